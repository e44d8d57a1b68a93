"""Published learning curves, their means over seeds: `python -m benchmarks.learning.published` makes the table anew.

The raw curves stay out of this project (benchmarks/public_scores.py says where they come from); their means and
intervals at every 50,000 steps are in published_curves.csv.
"""

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.public_scores import mujoco
from relook.statistics.aggregates import mean_interval

TABLE = Path(__file__).with_name("published_curves.csv")
METHODS = ("SAC", "TD3", "PPO")
TASKS = ("HalfCheetah", "Hopper", "Walker2d", "Ant")
STEPS = range(0, 1_000_001, 50_000)


def means() -> pl.DataFrame:
    """Mean and Student's 95 % interval over seeds, each seed's curve taken as straight between its evaluations."""
    curves, rows = mujoco(), []
    for method in METHODS:
        for task in TASKS:
            own = curves.filter(pl.col("method") == method, pl.col("env").str.starts_with(f"{task}-")).sort("step")
            seeds = [curve["step", "return"].to_numpy().T for _, curve in own.group_by("seed", maintain_order=True)]
            scores = np.array([np.interp(STEPS, *seed) for seed in seeds])
            ends = zip(STEPS, scores.mean(0), *mean_interval(scores), strict=True)
            rows += [
                (method.lower(), own["env"][0], len(seeds), step, *(round(float(end), 1) for end in figures))
                for step, *figures in ends
            ]
    return pl.DataFrame(rows, schema=["algorithm", "task", "seeds", "step", "mean", "low", "high"], orient="row")


if __name__ == "__main__":
    means().write_csv(TABLE)
