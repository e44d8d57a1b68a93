"""What a step of each algorithm costs: all nine in turn, with the settings of their rows. Nothing else should run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.learning.rows import RESULTS, Row
from benchmarks.timing import learning
from relook.runs.reading import Run

ROUNDS = 3
TABLE = RESULTS / "computing.csv"
STEPS = 10_240
"""Of an on-policy algorithm: five iterations, of REINFORCE ten."""
WITH_REPLAY = {
    "dqn": "--learning-starts 1000 --steps 3000",
    "sac": "--learning-starts 1000 --random-steps 1000 --steps 3000",
}
WITH_REPLAY |= dict.fromkeys(("ddpg", "td3"), WITH_REPLAY["sac"])
"""Three iterations, the first of which only collects."""


def measure(rows: list[Row]) -> None:
    """Time the algorithm of each row, in turn."""
    made = [
        {"algorithm": row.algorithm, "task": row.task, "round": turn, "seconds": seconds(row)}
        for turn in range(ROUNDS)
        for row in rows
    ]
    pl.DataFrame(made).write_csv(TABLE, float_precision=9)


def seconds(row: Row) -> float:
    """A core's for a step of all seeds together."""
    asked = f"{row.algorithm} --env {row.environment} {row.options} --seeds {row.seeds} --workers 1"
    asked += f" --evaluate-episodes 0 {WITH_REPLAY.get(row.algorithm, f'--steps {STEPS}')}"
    with TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        command = [sys.executable, "-m", "relook.cli", "train", *asked.split(), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        timing = Run(out).timing
    return per_step(timing)


def per_step(timing: pl.DataFrame) -> float:
    """The median over iterations of a unit's learning, without the first."""
    return float(np.median(learning(timing)["seconds"][1:])) / int(timing["steps"][0])


def relative(baseline: str) -> Mapping[str, tuple[float, float, float]]:
    """What a step of each algorithm costs, when one of the baseline costs 1: the rounds' median, lowest and highest."""
    rounds = pl.read_csv(TABLE).pivot("algorithm", index="round", values="seconds").drop("round")
    ratios = {own.name: (own / rounds[baseline]).to_numpy() for own in rounds}
    return {name: (float(np.median(own)), float(own.min()), float(own.max())) for name, own in ratios.items()}
