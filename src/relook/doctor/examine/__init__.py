"""Checks that run an algorithm, ours or anybody's."""
