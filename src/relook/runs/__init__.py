"""Runs: directories of plain files that training writes and everything else reads.

Import from the modules: `relook.runs.reading` does without torch, `relook.runs.unit` does not.
"""
