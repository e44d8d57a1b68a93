"""docs/which-algorithm.md: all nine algorithms on one set of tasks, and which to use when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from benchmarks.learning.page import DOCS, IMAGES, trainings
from benchmarks.learning.rows import NINE, ROWS
from relook.statistics.aggregates import Estimate
from relook.statistics.comparison import Comparison, Rules, compare
from relook.statistics.comparison_plots import intervals, profiles
from relook.statistics.plots import save
from relook.statistics.references import reference
from relook.statistics.reports import with_interval
from relook.statistics.scores import Training, checked

PAGE = DOCS / "which-algorithm.md"
ORDER = ("reinforce", "vpg", "a2c", "trpo", "ppo", "dqn", "ddpg", "td3", "sac")
OVER_ALL = "TEXT"
IMPROVEMENT = "TEXT"
ADVICE = "TEXT"
PICTURES = {"intervals": intervals, "profiles": profiles}


def common() -> list[Training]:
    """Every seed of every algorithm on the tasks that all of them were trained on, method by method."""
    rows = [row for row in ROWS if row.study in ("nine", "replay") and row.task in NINE and row.table.exists()]
    there = [task for task in NINE if {row.algorithm for row in rows if row.task == task} == {*ORDER}]
    rows = [row for row in rows if row.task in there and row.steps == NINE[row.task]]
    rows.sort(key=lambda row: (ORDER.index(row.algorithm), there.index(row.task)))
    return [replace(t, method=row.algorithm.upper(), task=row.task) for row in rows for t in trainings(row)]


@cache
def compared(baseline: str) -> Comparison:
    """All algorithms, against one of them."""
    found, notes = checked(common())
    return compare(found, Rules(baseline=baseline, resamples=2_000), reference(), notes)


def page() -> str:
    """The whole page."""
    found = compared(ORDER[0].upper())
    return "\n".join(
        [
            ADVICE,
            "## The common set",
            "",
            *by_task(found),
            "",
            "## Over all tasks",
            "",
            OVER_ALL,
            *aggregates(found),
            "",
            "![Aggregates with their intervals](images/which-intervals.png)",
            "",
            "![Performance profiles](images/which-profiles.png)",
            "",
            "## Probability of improvement",
            "",
            IMPROVEMENT,
            *improvements(found),
            "",
        ]
    )


def by_task(found: Comparison) -> Iterator[str]:
    """Mean returns, tasks against algorithms."""
    yield f"| algorithm | {' | '.join(f'{task}, {NINE[task] // 1000}k steps' for task in found.tasks)} |"
    yield "|---|" + "---|" * len(found.tasks)
    for method in found.methods:
        yield f"| {method} | {' | '.join(with_interval(found.per_task[task][method]) for task in found.tasks)} |"


def aggregates(found: Comparison) -> Iterator[str]:
    """Normalised scores over all tasks."""
    names = ("mean", "IQM", "optimality gap")
    yield f"| algorithm | seeds | {' | '.join(names)} |"
    yield "|---|---|" + "---|" * len(names)
    for method in found.methods:
        cells = (with_interval(found.aggregates[method][name]) for name in names)
        yield f"| {method} | {found.seeds(method)} | {' | '.join(cells)} |"


def improvements(found: Comparison) -> Iterator[str]:
    """How often a seed of the row scores more than one of the column."""
    yield f"| row above column | {' | '.join(found.methods)} |"
    yield "|---|" + "---|" * len(found.methods)
    against = {column: {d.first: d.improvement for d in compared(column).differences} for column in found.methods}
    for row in found.methods:
        cells = [_chance(against[column].get(row)) for column in found.methods]
        yield f"| {row} | {' | '.join(cells)} |"


def _chance(chance: Estimate | None) -> str:
    if chance is None:
        return ""
    shown = f"{chance.value:.2f}"
    return f"**{shown}**" if chance.low > 0.5 else shown


def write() -> None:
    """The page and its pictures."""
    PAGE.write_text(page(), encoding="utf-8")
    for name, draw in PICTURES.items():
        save(draw(compared(ORDER[0].upper())), IMAGES / f"which-{name}.png")
