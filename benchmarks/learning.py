"""Do algorithms with their default settings learn? `python -m benchmarks.learning [NAME[=RUN] …]`

Runs the commands below, keeps every deterministic evaluation of every seed (results/learning.csv) and writes a table
of the final ones (results/learning.md). No seed that was run is left out. NAME=RUN takes a run of that command that
was made before, for tasks that take hours.
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
    algorithm: str
    options: str
    threshold: float


TASKS = (
    Task("cartpole", "ppo", "--env CartPole-v1 --steps 100000 --seeds 10", 475),
    Task("cartpole-fresh", "ppo", "--env CartPole-v1 --steps 100000 --seeds 50 --first-seed 100", 475),
    Task("inverted-pendulum", "ppo", "--env InvertedPendulum-v5 --steps 100000 --seeds 10", 950),
    Task("pendulum", "ppo", "--env Pendulum-v1 --steps 300000 --seeds 10", -200),
    Task("acrobot", "ppo", "--env Acrobot-v1 --steps 300000 --seeds 10", -85),
    Task("frozenlake", "ppo", "--env FrozenLake-v1 --env-arg is_slippery=false --steps 50000 --seeds 10", 1),
    Task(
        "cartpole-clipped-together",
        "ppo",
        "--env CartPole-v1 --steps 100000 --seeds 20 --first-seed 100 --clip-together True --scale-rewards False",
        475,
    ),
    Task(
        "cartpole-normalised",
        "ppo",
        "--env CartPole-v1 --steps 100000 --seeds 20 --first-seed 100 --normalise-observations True",
        475,
    ),
    *(
        Task(f"{algorithm}-{name}", algorithm, f"--env {env} --steps {steps} --seeds 10", threshold)
        for algorithm in ("trpo", "a2c", "vpg", "reinforce")
        for name, env, steps, threshold in (
            ("cartpole", "CartPole-v1", *((300_000, 400) if algorithm == "reinforce" else (200_000, 475))),
            *((("acrobot", "Acrobot-v1", 300_000, -95),) if algorithm in ("trpo", "a2c") else ()),
            ("inverted-pendulum", "InvertedPendulum-v5", 200_000, 950),
            ("pendulum", "Pendulum-v1", 300_000, -200),
        )
    ),
    Task("dqn-cartpole", "dqn", "--env CartPole-v1 --steps 100000 --seeds 10", 475),
    Task("dqn-acrobot", "dqn", "--env Acrobot-v1 --steps 200000 --seeds 10", -90),
    Task("sac-pendulum", "sac", "--env Pendulum-v1 --steps 20000 --seeds 10", -160),
    Task("td3-pendulum", "td3", "--env Pendulum-v1 --steps 20000 --seeds 10", -160),
    Task("ddpg-pendulum", "ddpg", "--env Pendulum-v1 --steps 20000 --seeds 10", -200),
    Task("sac-inverted-pendulum", "sac", "--env InvertedPendulum-v5 --steps 30000 --seeds 10", 950),
    Task("sac-halfcheetah", "sac", "--env HalfCheetah-v5 --steps 100000 --seeds 3", 5738),
    Task("td3-halfcheetah", "td3", "--env HalfCheetah-v5 --steps 100000 --seeds 3", 5172),
)
"""The last two of PPO's are what the defaults are not; LOG.md says what came of them."""


def main(words: list[str]) -> None:
    asked = {name: run for name, _, run in (word.partition("=") for word in words)}
    for task in TASKS:
        if asked and task.name not in asked:
            continue
        if made := asked.get(task.name):
            keep(task, Run(made))
            continue
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "run"
            subprocess.run(
                [sys.executable, "-m", "relook.cli", "train", task.algorithm, *task.options.split(), "--out", str(out)],
                check=True,
            )
            keep(task, Run(out))


def keep(task: Task, run: Run) -> None:
    """Put a run's evaluations into the results, in place of those that the task had."""
    csv = RESULTS / "learning.csv"
    seeds = pl.DataFrame({"agent": [a.agent for a in run.agents], "seed": [a.seed for a in run.agents]})
    rows = (
        run.evaluations.filter("deterministic")
        .join(seeds, on="agent")
        .select(pl.lit(task.name).alias("task"), "seed", "steps", "mean_return")
        .sort("seed", "steps")
    )
    kept = pl.concat([pl.read_csv(csv).filter(pl.col("task") != task.name), rows]) if csv.exists() else rows
    kept.write_csv(csv)
    (RESULTS / "learning.md").write_text(table(kept), encoding="utf-8")


def table(kept: pl.DataFrame) -> str:
    """The final evaluations, a row for each task."""
    lines = [
        "# What algorithms learn with their default settings",
        "",
        "Return of the last deterministic evaluation (10 episodes a seed), over all seeds that were run.",
        "Made by `python -m benchmarks.learning`; every evaluation of every seed is in `learning.csv`.",
        "",
        "| `relook train …` | seeds | learned | mean | 95 % interval | IQM | worst |",
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
            f"| `{task.algorithm} {task.options}` | {len(finals)} | {learned} "
            f"| {finals.mean():.1f} | {low:.1f} … {high:.1f} | {iqm(finals):.1f} | {finals.min():.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
