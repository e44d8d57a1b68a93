"""How sensitive is each algorithm to its hyper-parameters, and how far are the figures to be trusted?

    python -m benchmarks.sensitivity train       runs the grids below, which go on where they stand, keeps every
                                                 training's final score in results/sensitivity.csv, and makes the page
    python -m benchmarks.sensitivity page        docs/studies/sensitivity.md and its pictures, from these scores
    python -m benchmarks.sensitivity simulate    where the truth is known: bias and coverage, results/sensitivity.md

A test makes the page and compares.

With one worker on two cores that others used too, at the lowest priority, the discrete family took 89 minutes and the
continuous one 22. DQN at its default size was measured to take two hours for one task, so it takes no part.
"""

import argparse
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from relook.runs.reading import Run, opened
from relook.runs.tidy import figure
from relook.statistics.aggregates import Estimate
from relook.statistics.plots import save
from relook.statistics.reports import markdown, number
from relook.statistics.scores import of_table
from relook.statistics.sensitivity import Rules, Study, Sweep, measure, sensitivity, tuned
from relook.statistics.sensitivity_plots import pictures
from relook.statistics.sensitivity_reports import heading, tables

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs/sensitivity")
SCORES = RESULTS / "sensitivity.csv"
PAGE = Path(__file__).parents[1] / "docs" / "studies" / "sensitivity.md"


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
SMALL = (
    "--hidden 64,64 --batch 64 --random-steps 1000 --learning-starts 1000 --seeds 6 --steps 6000 --checkpoint-every 0"
)

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
    pl.DataFrame(rows, infer_schema_length=None).write_csv(SCORES)


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


FAMILIES = {
    "discrete": "Algorithms that learn from what they just did, on tasks with a few choices",
    "continuous": "Algorithms that learn from a replay, on tasks with continuous actions",
}
INTRODUCTION = """# How sensitive each algorithm is

How much does an algorithm gain by hyper-parameters of its own for each environment, over one setting for all of them,
and which hyper-parameters does that take? Every algorithm is trained with every combination of a step size and a
discount, six seeds of each, and `relook sensitivity` answers ([what it computes](../sensitivity.md)). The step size is
the learning rate of the policy, and for TRPO, which has none, the KL divergence that bounds its step.

In the sentences below a random half of the seeds chooses the settings and the other half scores them, and ± is a 95 %
interval over seeds. What six seeds choose for themselves looks better than it is; the tables have both.
"""


def page(scores: Path = SCORES) -> str:
    """The study's page."""
    lines = [INTRODUCTION]
    for family, title in FAMILIES.items():
        found = study(family, scores)
        lines += [
            f"## {title}",
            "",
            *text(*findings(found)),
            f"![Performance and sensitivity]({picture('plane', family)})",
            "",
        ]
        for table in tables(found):
            lines += [markdown([], [table], "").split("\n\n", 1)[1].replace("## ", "### ").strip(), ""]
        lines += [f"- {line}" for line in heading(found)] + [""]
        for name in found.algorithms:
            lines += [f"![What each hyper-parameter of {name} does]({picture('values', name)})", ""]
    return "\n".join([*lines, *commands()])


def study(family: str, scores: Path = SCORES) -> Study:
    methods = {name for piece in PIECES if piece.family == family for name in piece.algorithms.split()}
    return sensitivity([t for t in of_table(scores, settings=HYPERPARAMETERS) if t.method in methods], Rules())


def findings(found: Study) -> Iterator[str]:
    """What the figures of halves say, in sentences."""
    honest = {name: own.honest for name, own in found.algorithms.items() if own.honest is not None}
    said = {
        name: f"{name} ({number(own.sensitivity.value)} ± {reach(own.sensitivity)})" for name, own in honest.items()
    }
    order = sorted(honest, key=lambda name: honest[name].sensitivity.value)
    gains = [said[name] for name in order if honest[name].sensitivity.low > 0]
    open_ = [said[name] for name in order if honest[name].sensitivity.low <= 0]
    if gains:
        yield f"Tuning for each environment gains something with {', '.join(gains)}, in brackets Φ."
    if open_:
        yield (
            f"Whether tuning for each environment gains anything is undecided, with so few seeds, for "
            f"{', '.join(open_)}: the interval of Φ, in brackets, holds zero."
        )
    wants: dict[str, list[str]] = {}
    for name, own in honest.items():
        wants.setdefault(" and ".join(own.parts) or "nothing", []).append(name)
    parts = [f"{what} for {', '.join(names)}" for what, names in wants.items()]
    yield f"To reach 95 % of the tuned score these figures want tuned for each environment: {'; '.join(parts)}."
    best = max(honest, key=lambda name: honest[name].one.value)
    yield (
        f"With one setting for all environments {best} scores most ({number(honest[best].one.value)} ± "
        f"{reach(honest[best].one)})."
    )
    plain = [own.plain for own in found.algorithms.values()]
    yield (
        f"Had all seeds chosen and scored, Φ would have been {number(min(x.sensitivity.value for x in plain))} to "
        f"{number(max(x.sensitivity.value for x in plain))}, and the effective dimension up to "
        f"{max(x.dimension for x in plain)}: a part of that is luck."
    )


def reach(estimate: Estimate) -> str:
    return number(estimate.high - estimate.value)


def text(*sentences: str) -> list[str]:
    """A paragraph."""
    return [*textwrap.wrap(" ".join(sentences), 116, break_long_words=False, break_on_hyphens=False), ""]


def picture(kind: str, name: str) -> str:
    return f"../images/sensitivity-{kind}-{name}.png"


def commands() -> list[str]:
    return [
        "## How it was made",
        "",
        *text(
            "The sizes fit two processor cores: few seeds, short trainings, and small networks for algorithms that",
            "learn from a replay. DQN takes no part: one task of it was measured to take two hours. Other values,",
            "budgets and environments would give other figures. `python -m benchmarks.sensitivity train` runs",
        ),
        "```",
        *(f"relook {' '.join(piece.command())}" for piece in PIECES),
        "```",
        "",
        *text(
            "and keeps every final score in [sensitivity.csv](../../benchmarks/results/sensitivity.csv). The same",
            "tables, of one family:",
        ),
        "```",
        "relook sensitivity benchmarks/results/sensitivity.csv --methods ddpg td3 sac \\",
        f"    --hyperparameters {' '.join(HYPERPARAMETERS)}",
        "```",
        "",
    ]


def draw() -> None:
    """The page's pictures."""
    for family in FAMILIES:
        found = study(family)
        for name, figure_ in pictures(found, next(iter(found.algorithms))):
            kind, _, algorithm = name.partition("-")
            save(figure_, PAGE.parent / picture(kind, algorithm or family))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "page", "simulate"])
    known, workers = parser.parse_known_args()
    if known.what == "simulate":
        return simulate()
    if known.what == "train":
        train(workers)
    PAGE.write_text(page(), encoding="utf-8")
    draw()
    return None


if __name__ == "__main__":
    main()
