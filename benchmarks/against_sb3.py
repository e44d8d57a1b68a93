"""Is it the same algorithm? Learning curves of `--preset sb3` and of Stable-Baselines3 itself, ten seeds each side.

    python -m benchmarks.against_sb3 [ours|theirs]

Both sides train with Stable-Baselines3's default hyper-parameters and are evaluated alike: ten deterministic episodes
at the start and at every tenth of training. Each seed of each side is one row group of results/against_sb3.csv; what
is there already is not run again, so that an interrupted measurement goes on. Writes results/against_sb3.{md,png}.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from benchmarks import peers
from relook.runs.reading import Run

RESULTS = Path(__file__).parent / "results"
CSV = RESULTS / "against_sb3.csv"
SEEDS = range(10)
SIDES = ("relook", "stable-baselines3")


@dataclass(frozen=True)
class Task:
    env: str
    envs: int
    steps: int


TASKS = (Task("CartPole-v1", 8, 294_912), Task("Pendulum-v1", 1, 299_008), Task("Hopper-v5", 1, 299_008))
"""Whole rollouts of 2,048 steps, the last that fit into 300,000 steps: one side rounds down, the other up."""


def ours(task: Task, seeds: list[int]) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        options = f"--env {task.env} --preset sb3 --envs {task.envs} --steps {task.steps}"
        seeds_wanted = f"--seeds {len(seeds)} --first-seed {seeds[0]}"
        command = [sys.executable, "-m", "relook.cli", "train", "ppo", *options.split(), *seeds_wanted.split()]
        subprocess.run([*command, "--out", str(out)], check=True)
        run = Run(out)
        seed_of = pl.DataFrame({"agent": [a.agent for a in run.agents], "seed": [a.seed for a in run.agents]})
        return (
            run.evaluations.filter("deterministic")
            .join(seed_of, on="agent")
            .select(pl.lit("relook").alias("side"), pl.lit(task.env).alias("env"), "seed", "steps", "mean_return")
        )


def theirs(task: Task, seed: int) -> pl.DataFrame:
    options = f"--env {task.env} --envs {task.envs} --steps {task.steps} --seed {seed} --evaluate-episodes 10"
    return rows(task, peers.run("sb3.py", "ppo", *options.split()))


def rows(task: Task, lines: list[str]) -> pl.DataFrame:
    """What sb3.py printed, as a table."""
    evaluations = [row for line in lines if "mean_return" in (row := json.loads(line))]
    return pl.DataFrame(evaluations).select(
        pl.lit("stable-baselines3").alias("side"), pl.lit(task.env).alias("env"), "seed", "steps", "mean_return"
    )


def keep(new: pl.DataFrame) -> None:
    kept = pl.concat([pl.read_csv(CSV), new]) if CSV.exists() else new
    kept.sort("env", "side", "seed", "steps").write_csv(CSV)


def missing(side: str, task: Task) -> list[int]:
    if not CSV.exists():
        return list(SEEDS)
    there = pl.read_csv(CSV).filter((pl.col("side") == side) & (pl.col("env") == task.env))["seed"].to_list()
    return [seed for seed in SEEDS if seed not in there]


def measure(side: str) -> None:
    if side == "ours":
        for task in TASKS:
            if seeds := missing("relook", task):
                keep(ours(task, seeds).filter(pl.col("seed").is_in(seeds)))
        return
    wanted = [(task, seed) for seed in SEEDS for task in TASKS if seed in missing("stable-baselines3", task)]
    with ThreadPoolExecutor(2) as pool:  # one process for each of two cores
        for table in pool.map(lambda one: theirs(*one), wanted):
            keep(table)


def differences(kept: pl.DataFrame) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """For each task, the scores of both sides: at the last step, and on average over training (the curve's area)."""
    for task in TASKS:
        for what in ("at the end", "mean over training"):
            scores = []
            for side in SIDES:
                own = kept.filter((pl.col("env") == task.env) & (pl.col("side") == side))
                if what == "at the end":
                    own = own.filter(pl.col("steps") == pl.col("steps").max())
                scores.append(own.group_by("seed").agg(pl.col("mean_return").mean()).sort("seed")["mean_return"])
            yield task.env, what, scores[0].to_numpy(), scores[1].to_numpy()


def welch(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Mean difference with its 95 % interval (Welch)."""
    difference = float(x.mean() - y.mean())
    if x.std() == y.std() == 0:  # every seed of both sides reached the same return
        return difference, difference, difference
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    return difference, float(interval.low), float(interval.high)


def table(kept: pl.DataFrame) -> str:
    lines = [
        "# `--preset sb3` against Stable-Baselines3 2.9.2",
        "",
        "Ten deterministic episodes per evaluation; no seed that was run is left out. Made by",
        "`python -m benchmarks.against_sb3`; every evaluation is in `against_sb3.csv`, curves in `against_sb3.png`.",
        "The interval is Welch's 95 % interval of the difference of means.",
        "",
        "| task | return | relook: mean ± sd (seeds) | Stable-Baselines3 | difference | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for env, what, x, y in differences(kept):
        if len(x) < 2 or len(y) < 2:
            continue
        difference, low, high = welch(x, y)
        sides = [f"{s.mean():.1f} ± {s.std(ddof=1):.1f} ({len(s)})" for s in (x, y)]
        lines.append(f"| {env} | {what} | {' | '.join(sides)} | {difference:+.1f} | {low:+.1f} … {high:+.1f} |")
    return "\n".join(lines) + "\n"


def draw(kept: pl.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(TASKS), figsize=(4.4 * len(TASKS), 3.6), layout="constrained")
    for axis, task in zip(axes, TASKS, strict=True):
        for side, colour in zip(SIDES, ("C0", "C1"), strict=True):
            own = kept.filter((pl.col("env") == task.env) & (pl.col("side") == side))
            if own.is_empty():
                continue
            for _, curve in own.group_by("seed"):
                axis.plot(*curve.sort("steps").select("steps", "mean_return"), color=colour, alpha=0.25, linewidth=0.8)
            mean = own.group_by("steps").agg(pl.col("mean_return").mean()).sort("steps")
            label = f"{side} ({own['seed'].n_unique()} seeds)"
            axis.plot(mean["steps"], mean["mean_return"], color=colour, linewidth=2.2, label=label)
        axis.set_title(task.env)
        axis.set_xlabel("environment steps")
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k")
    axes[0].set_ylabel("return (10 deterministic episodes)")
    axes[0].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(sides: list[str]) -> None:
    for side in sides or ["ours", "theirs"]:
        measure(side)
    kept = pl.read_csv(CSV)
    (RESULTS / "against_sb3.md").write_text(table(kept), encoding="utf-8")
    draw(kept, RESULTS / "against_sb3.png")


if __name__ == "__main__":
    main(sys.argv[1:])
