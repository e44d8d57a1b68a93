"""How sensitive is each algorithm to its hyper-parameters, and how far are the figures to be trusted?

    python -m benchmarks.sensitivity train       runs the grids below, which go on where they stand, and keeps every
                                                 training's final score in results/sensitivity.csv
    python -m benchmarks.sensitivity simulate    where the truth is known: bias and coverage, results/sensitivity.md

`python docs/studies/sensitivity.py` makes the study's page from the scores.

Measured beforehand on two busy cores: the discrete family takes about half an hour of one core, the continuous one as
long, and DQN at its default size would take two hours more for each task, so it takes no part.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from relook.runs.reading import Run, opened
from relook.runs.tidy import figure
from relook.statistics.sensitivity import Rules, Sweep, measure, tuned

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/sensitivity")
SCORES = RESULTS / "sensitivity.csv"


@dataclass(frozen=True)
class Piece:
    """One `relook grid`."""

    family: str
    algorithms: str
    environments: str
    options: str

    @property
    def out(self) -> Path:
        return RUNS / f"{self.algorithms}-{self.environments}".replace(" ", "-")

    def command(self) -> list[str]:
        return f"grid {self.algorithms} --env {self.environments} {self.options} --out {self.out}".split()


RATES, KLS = "--learning-rate 1e-4 1e-3 1e-2 1e-1", "--target-kl 1e-3 1e-2 1e-1 1"
DISCRETE = "--discount 0.9 0.98 1 --seeds 6 --checkpoint-every 0"
SMALL = "--hidden 64,64 --batch 64 --random-steps 1000 --seeds 6 --steps 6000 --checkpoint-every 0"

PIECES = (
    *(
        Piece("discrete", algorithms, environments, f"{step} {DISCRETE} {size}")
        for environments, size in (
            ("CartPole-v1 FrozenLake-v1", "--steps 40000 --evaluate-episodes 10"),
            ("Acrobot-v1", "--steps 30000 --evaluate-episodes 2"),
        )
        for algorithms, step in (("reinforce vpg a2c ppo", RATES), ("trpo", KLS))
    ),
    Piece(
        "continuous",
        "ddpg td3 sac",
        "Pendulum-v1 InvertedPendulum-v5 Reacher-v5",
        f"--learning-rate 1e-4 1e-3 1e-2 --discount 0.9 0.99 {SMALL} --evaluate-episodes 4",
    ),
)
"""TRPO has no learning rate of its policy: what its step is bounded by stands in its place."""
HYPERPARAMETERS = ("learning_rate", "target_kl", "discount")


def train(workers: list[str]) -> None:
    """Run all grids; what has been trained before is not trained again."""
    for piece in PIECES:
        subprocess.run([sys.executable, "-m", "relook.cli", *piece.command(), *workers], check=True)
    rows = [row for piece in PIECES for run in opened(piece.out) for row in finals(run, piece.family)]
    pl.DataFrame(rows).write_csv(SCORES)


def finals(run: Run, family: str) -> Iterator[dict[str, object]]:
    """The last evaluation of every agent."""
    varied = run.varied()
    for agent, summary in zip(run.agents, run.agent_summaries, strict=True):
        yield {
            "family": family,
            "method": run.algorithm,
            "task": run.environment_name,
            **{name: figure(agent.hyperparameters[name]) if name in varied else None for name in HYPERPARAMETERS},
            "seed": agent.seed,
            "step": run.steps,
            "score": round(float(summary["final_return"]), 4),
            "status": summary["status"],
            "n_eval_episodes": run.record["evaluate_episodes"],
        }


DATA_SETS = 400
SETTINGS: list[tuple[float, ...]] = [*product((1e-4, 1e-3, 1e-2, 1e-1), (0.9, 0.98, 1.0))]
FIGURES = ("one for each", "one for all", "Φ")


def simulate() -> None:
    """Twelve settings in three environments whose true scores are known; a seed's score is one of these plus noise."""
    lines = [
        "# Sensitivity where the truth is known",
        "",
        "Twelve settings in three environments; true scores are normal with the standard deviation of the first",
        f"column, and a seed's score is one of them plus standard normal noise. {DATA_SETS} data sets a row, made by",
        "`python -m benchmarks.sensitivity simulate`. *True*: of the settings that are really best, and of those that",
        "half as many seeds choose. *Covers*: how often the 95 % interval holds it.",
        "",
        "| differ by | seeds | figure | true | by all seeds | covers | true of halves | by halves | covers |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row for spread in (0.0, 1.0, 4.0) for seeds in (4, 6, 10) for row in simulated(spread, seeds)),
    ]
    (RESULTS / "sensitivity.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def simulated(spread: float, seeds: int) -> Iterator[str]:
    """Rows of the table: for each figure its truth, what is said of it on average, and how often its interval holds."""
    rng = np.random.default_rng(round(spread * 100) + seeds)
    said = np.zeros((DATA_SETS, len(FIGURES), 6))
    for row in said:
        means = spread * rng.normal(size=(12, 3))
        scores = means[..., None] + rng.normal(size=(12, 3, seeds))
        sweep = Sweep("", ["learning_rate", "discount"], SETTINGS, ["A", "B", "C"], scores)
        found = measure(sweep, Rules(resamples=300, splits=100))
        assert found.honest is not None
        half = means + rng.normal(size=(2000, 12, 3)) / np.sqrt(seeds // 2)
        truths = of(tuned(means[None], means[None], sweep.same)), of(tuned(half, means + 0 * half, sweep.same))
        for place, truth, own in zip((0, 3), truths, (found.plain, found.honest), strict=True):
            for k, estimate in enumerate((own.each, own.one, own.sensitivity)):
                covers = estimate.low <= truth[k] <= estimate.high
                row[k, place : place + 3] = truth[k], estimate.value, covers
    for name, (true, all_, covers, true_of_halves, by_halves, covers_it) in zip(FIGURES, said.mean(0), strict=True):
        yield (
            f"| {spread:g} | {seeds} | {name} | {true:.2f} | {all_:.2f} | {covers:.1%} | {true_of_halves:.2f} | "
            f"{by_halves:.2f} | {covers_it:.1%} |"
        )


def of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The three figures, from scores [b, S] of all subsets of hyper-parameters."""
    mean = scores.mean(0)
    return np.array([mean[-1], mean[0], mean[-1] - mean[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "simulate"])
    known, workers = parser.parse_known_args()
    if known.what == "train":
        train(workers)
    else:
        simulate()


if __name__ == "__main__":
    main()
