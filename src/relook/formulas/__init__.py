"""Formulas that more than one algorithm uses: pure functions from tensors to tensors. No state, no configuration."""
