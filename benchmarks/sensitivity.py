"""How sensitive is each algorithm to its hyper-parameters? `python -m benchmarks.sensitivity [train [--workers W]]`

    python -m benchmarks.sensitivity train    runs the grids below, which go on where they stand, and keeps every
                                              training's final score in results/sensitivity.csv

Measured beforehand on two busy cores: the discrete family takes about half an hour of one core, the continuous one as
long, and DQN at its default size would take two hours more for each task, so it takes no part.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from relook.runs.reading import Run, opened
from relook.runs.tidy import figure

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/sensitivity")
SCORES = RESULTS / "sensitivity.csv"


@dataclass(frozen=True)
class Sweep:
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

SWEEPS = (
    *(
        Sweep("discrete", algorithms, environments, f"{step} {DISCRETE} {size}")
        for environments, size in (
            ("CartPole-v1 FrozenLake-v1", "--steps 40000 --evaluate-episodes 10"),
            ("Acrobot-v1", "--steps 30000 --evaluate-episodes 2"),
        )
        for algorithms, step in (("reinforce vpg a2c ppo", RATES), ("trpo", KLS))
    ),
    Sweep(
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
    for sweep in SWEEPS:
        subprocess.run([sys.executable, "-m", "relook.cli", *sweep.command(), *workers], check=True)
    rows = [row for sweep in SWEEPS for run in opened(sweep.out) for row in finals(run, sweep.family)]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train"])
    known, workers = parser.parse_known_args()
    if known.what == "train":
        train(workers)


if __name__ == "__main__":
    main()
