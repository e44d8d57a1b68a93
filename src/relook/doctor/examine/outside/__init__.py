"""Checks of a training function of anybody's, which is handed an environment, a number of steps and a seed."""
