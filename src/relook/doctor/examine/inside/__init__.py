"""Checks that look on while one of our algorithms trains: every part against what its own inputs ask for."""
