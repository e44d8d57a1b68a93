"""Seconds of learning, from a run's record of time: without evaluations and checkpoints."""

import polars as pl

STAGES = ("collect", "estimate", "update", "record")


def learning(timing: pl.DataFrame) -> pl.DataFrame:
    """The unit of each iteration, and its `seconds` of learning; an algorithm has those of the stages that it needs."""
    stages = [stage for stage in STAGES if stage in timing.columns]
    return timing.select("unit", seconds=pl.sum_horizontal(stages))
