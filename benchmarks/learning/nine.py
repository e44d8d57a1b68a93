"""docs/which-algorithm.md and its pictures: all nine on the tasks that they have in common."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from benchmarks.learning import computing
from benchmarks.learning.page import DOCS, IMAGES, trainings
from benchmarks.learning.rows import NINE, ROWS, Row
from relook.algorithms import ALGORITHMS
from relook.statistics.aggregates import Scores
from relook.statistics.comparison import Comparison, Rules, compare
from relook.statistics.comparison_plots import improvement, intervals, profiles
from relook.statistics.plots import save
from relook.statistics.references import reference
from relook.statistics.reports import Table, heading, markdown, tables, with_interval
from relook.statistics.scores import checked
from relook.statistics.significance import probability_of_improvement

PAGE = DOCS / "which-algorithm.md"
BASELINE, DELTA = "PPO", 0.05
TIMED = "Hopper-v5"
"""The task on which computing is told."""


def rows() -> list[Row]:
    """The row of each algorithm on each task, those of the study of replay where it has them."""
    found = {(row.algorithm, row.task): row for row in ROWS if row.study in ("replay", "nine")}
    return [found[pair] for pair in product(ALGORITHMS, NINE)]


def timed() -> list[Row]:
    """The rows of the task on which computing is told."""
    return [row for row in rows() if row.task == TIMED]


def carried_out() -> bool:
    """Whether all rows are there, and what their steps cost."""
    return computing.TABLE.exists() and all(row.table.exists() for row in rows())


def compared() -> Comparison:
    """The nine, each against the baseline, on the scale from random to good."""
    seeds = [
        replace(training, method=row.algorithm.upper(), task=row.task) for row in rows() for training in trainings(row)
    ]
    found, notes = checked(seeds)
    return compare(found, Rules(baseline=BASELINE, delta=DELTA), reference(), notes)


PICTURES = {"intervals": intervals, "profiles": profiles, "improvement": improvement}
"""What the page shows."""


def in_short(comparison: Comparison) -> Table:
    """One row for each algorithm, the best first."""
    costs, own = computing.relative(BASELINE.lower()), comparison.aggregates
    order = sorted(comparison.methods, key=lambda method: -own[method]["IQM"].value)
    cells = [
        [method, *(with_interval(own[method][name]) for name in ("IQM", "mean")), f"{costs[method.lower()]:.2g}×"]
        for method in order
    ]
    note = f"computing: time of a core for a step on {TIMED}, five seeds together, {BASELINE}'s = 1"
    return Table("In short", ["algorithm", "IQM [95 %]", "mean [95 %]", "computing"], cells, note)


def everyone(comparison: Comparison) -> Table:
    """The probability of improvement of each over each."""
    arms = {method: Scores([*tasks.values()]) for method, tasks in comparison.scores.items()}
    cells = [
        [first, *("" if a is b else f"{probability_of_improvement(a, b).value:.0%}" for b in arms.values())]
        for first, a in arms.items()
    ]
    note = "how often a seed of the row's algorithm scores above one of the column's, all tasks weighing the same"
    return Table("Everyone against everyone", ["", *arms], cells, note)


INTRODUCTION = """# Which algorithm when?

All nine deep algorithms on {tasks} tasks of continuous control, which all of them can take, with the same number of
environment steps for each: {steps}.
Five seeds on each task, none left out, and one setting of each algorithm for all tasks: `--preset mujoco` of PPO, TRPO,
A2C and VPG, the defaults of the others, with batches of 100 transitions for DDPG, TD3 and SAC (on HalfCheetah-v5 DDPG
and TD3 begin to learn at step 1,000, elsewhere at 10,000). DQN, which chooses, chooses among the ends and the middle of
each component of an action. A score is the return of the last evaluation, on a scale from 0 for random actions to 1 for
good behaviour, so that all tasks count alike. Every row's command and raw results: [benchmarks.md](benchmarks.md).
"""


def page(found: Comparison) -> str:
    """The whole page."""
    steps = ", ".join(f"{count:,} on {task}" for task, count in NINE.items())
    report = markdown(heading(found), [in_short(found), everyone(found), *tables(found)], "The figures")
    shown = [f"![{name}](images/which-{name}.png)\n" for name in PICTURES]
    return "\n".join([INTRODUCTION.format(tasks=len(NINE), steps=steps), *shown, report])


def write() -> None:
    """The page and its pictures."""
    found = compared()
    PAGE.write_text(page(found), encoding="utf-8")
    for name, picture in PICTURES.items():
        save(picture(found), IMAGES / f"which-{name}.png")
