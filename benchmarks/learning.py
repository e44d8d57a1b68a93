"""Does PPO with its default settings learn? `python -m benchmarks.learning [NAME …]`

Runs the commands below, keeps every deterministic evaluation of every seed (results/learning.csv) and writes a table
of the final ones (results/learning.md). No seed that was run is left out.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from relook.runs.reading import Run
from relook.statistics.aggregates import iqm, mean_interval

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Task:
    """A command, and the final return that counts as learned."""

    name: str
    options: str
    threshold: float


TASKS = (
    Task("cartpole", "--env CartPole-v1 --steps 100000 --seeds 10", 475),
    Task("cartpole-fresh", "--env CartPole-v1 --steps 100000 --seeds 50 --first-seed 100", 475),
    Task("inverted-pendulum", "--env InvertedPendulum-v5 --steps 100000 --seeds 10", 950),
    Task("pendulum", "--env Pendulum-v1 --steps 300000 --seeds 10", -200),
    Task("frozenlake", "--env FrozenLake-v1 --env-arg is_slippery=false --steps 50000 --seeds 10", 1),
    Task(
        "cartpole-clipped-together",
        "--env CartPole-v1 --steps 100000 --seeds 20 --first-seed 100 --clip-together True --scale-rewards False",
        475,
    ),
    Task(
        "cartpole-normalised",
        "--env CartPole-v1 --steps 100000 --seeds 20 --first-seed 100 --normalise-observations True",
        475,
    ),
)
"""The last two are what the defaults are not; LOG.md says what came of them."""


def main(names: list[str]) -> None:
    csv = RESULTS / "learning.csv"
    kept = pl.read_csv(csv) if csv.exists() else pl.DataFrame()
    for task in TASKS:
        if names and task.name not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "run"
            subprocess.run(
                [sys.executable, "-m", "relook.cli", "train", "ppo", *task.options.split(), "--out", str(out)],
                check=True,
            )
            run = Run(out)
            seeds = pl.DataFrame({"agent": [a.agent for a in run.agents], "seed": [a.seed for a in run.agents]})
            rows = (
                run.evaluations.filter("deterministic")
                .join(seeds, on="agent")
                .select(pl.lit(task.name).alias("task"), "seed", "steps", "mean_return")
                .sort("seed", "steps")
            )
        others = kept.filter(pl.col("task") != task.name) if len(kept) else kept
        kept = pl.concat([others, rows]) if len(others) else rows
        kept.write_csv(csv)
        (RESULTS / "learning.md").write_text(table(kept), encoding="utf-8")


def table(kept: pl.DataFrame) -> str:
    """The final evaluations, a row for each task."""
    lines = [
        "# What PPO learns with its default settings",
        "",
        "Return of the last deterministic evaluation (10 episodes a seed), over all seeds that were run.",
        "Made by `python -m benchmarks.learning`; every evaluation of every seed is in `learning.csv`.",
        "",
        "| `relook train ppo …` | seeds | learned | mean | 95 % interval | IQM | worst |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        own = kept.filter(pl.col("task") == task.name)
        if own.is_empty():
            continue
        finals = own.filter(pl.col("steps") == own["steps"].max())["mean_return"].to_numpy()
        low, high = mean_interval(finals)
        learned = f"{(finals >= task.threshold).sum()} of {len(finals)} ≥ {task.threshold:g}"
        lines.append(
            f"| `{task.options}` | {len(finals)} | {learned} | {finals.mean():.1f} | {low:.1f} … {high:.1f} "
            f"| {iqm(finals):.1f} | {finals.min():.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
