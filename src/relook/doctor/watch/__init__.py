"""Checks that read what a run has written. None of them imports an algorithm."""
