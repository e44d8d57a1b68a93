"""docs/which-algorithm.md and its pictures: all nine on the tasks that they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from benchmarks.learning import computing
from benchmarks.learning.page import DOCS, IMAGES, finals, mean_of, trainings
from benchmarks.learning.rows import NINE, ROWS, Row
from relook.algorithms import ALGORITHMS
from relook.statistics.aggregates import Estimate, Scores
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
    found, notes = checked(seeds, allow=("configurations",))  # of DDPG and TD3, as the introduction says
    return compare(found, Rules(baseline=BASELINE, delta=DELTA), reference(), notes)


PICTURES = {"intervals": intervals, "profiles": profiles, "improvement": improvement}
"""What the page shows."""


def in_short(comparison: Comparison) -> Table:
    """One row for each algorithm, the best first."""
    relative, own = computing.relative(BASELINE.lower()), comparison.aggregates
    order = sorted(comparison.methods, key=lambda method: -own[method]["IQM"].value)
    costs = {name: np.format_float_positional(cost, 2, fractional=False, trim="-") for name, cost in relative.items()}
    cells = [
        [method, *(with_interval(own[method][name]) for name in ("IQM", "mean")), f"{costs[method.lower()]}×"]
        for method in order
    ]
    note = f"computing: time of a core for a step on {TIMED}, five seeds together, {BASELINE}'s = 1"
    return Table("In short", ["algorithm", "IQM [95 %]", "mean [95 %]", "computing"], cells, note)


Pairs = Mapping[tuple[str, str], Estimate]


def pairs(comparison: Comparison) -> Pairs:
    """The probability of improvement of each over each."""
    arms = {method: Scores([*tasks.values()]) for method, tasks in comparison.scores.items()}
    found: dict[tuple[str, str], Estimate] = {}
    for first, second in combinations(arms, 2):
        found[first, second] = own = probability_of_improvement(arms[first], arms[second])
        found[second, first] = Estimate(1 - own.value, 1 - own.high, 1 - own.low)
    return found


def everyone(comparison: Comparison, chances: Pairs) -> Table:
    """Who is above whom, and where that is open."""

    def cell(first: str, second: str) -> str:
        if first == second:
            return ""
        own = chances[first, second]
        return f"{own.value:.0%}" if own.low > 0.5 or own.high < 0.5 else f"({own.value:.0%})"

    names = comparison.methods
    cells = [[first, *(cell(first, second) for second in names)] for first in names]
    note = (
        "how often a seed of the row's algorithm scores above one of the column's, all tasks weighing the same; in "
        "brackets where the 95 % interval holds 50 %, so that it is open who is better"
    )
    return Table("Everyone against everyone", ["", *names], cells, note)


INTRODUCTION = """# Which algorithm when?

All nine deep algorithms on five tasks of continuous control, which all of them can take, with the same number of
environment steps for each: {steps}.
Five seeds on each task, none left out, and one setting of each algorithm for all tasks, none of them searched for these
tasks and steps:

- PPO, TRPO, A2C and VPG have `--preset mujoco`, which was searched for on HalfCheetah-v5, at a million steps. With
  fewer steps other step sizes do better ([LOG.md](../LOG.md)), and 50,000 steps are 24 updates of PPO, TRPO and VPG.
- SAC, TD3 and DDPG have their defaults, with batches of 100 transitions (on HalfCheetah-v5 DDPG and TD3 begin to learn
  at step 1,000, an earlier default, and elsewhere at 10,000).
- REINFORCE has its defaults. It sees observations as they are, where the other four that learn from rollouts normalise
  them; part of what separates it from VPG is that.
- DQN has its defaults, and chooses among the ends and the middle of each component of an action.

A score is the return of the last evaluation, on a scale from 0 for random actions to 1 for good behaviour, so that all
tasks count alike. Every row's command and raw results, and what others report: [benchmarks.md](benchmarks.md).
"""
ADVICE = """## Which to use

What follows holds for these settings, tasks and steps. Figures without a unit are IQMs, brackets 95 % intervals, and a
chance is the probability that a seed of the first scores above one of the second on a task drawn from the five.

- **Steps are dear, actions are continuous** (a robot, a slow simulator): **SAC**, with the highest IQM of the nine,
  {iqm[SAC]}; TD3 comes next with {iqm[TD3]} (chance of SAC: {chance[SAC, TD3]}). They learn from every step again and
  again: on Hopper-v5 one of SAC's costs {cost[sac]:.0f} times the computing of one of PPO's.
- **Steps are cheap** (a fast simulator, many environments at once): **PPO**. Here it has {iqm[PPO]}, and it goes on
  from there. After a million steps, which cost {share:.0%} of what 300,000 of SAC do, it has
  {mean[million-ppo-walker2d-v5]} on Walker2d-v5 (SAC after 300,000: {mean[replay-sac-walker2d-v5]}),
  {mean[million-ppo-hopper-v5]} on Hopper-v5 ({mean[replay-sac-hopper-v5]}), but
  {mean[million-ppo-halfcheetah-v5]} on HalfCheetah-v5 ({mean[replay-sac-halfcheetah-v5]}).
- **TRPO** or PPO? Open: {iqm[TRPO]}, chance {chance[TRPO, PPO]}. It bounds how far the policy moves in an update, and
  takes more code to do so.
- **A few discrete actions**: **DQN** where steps are dear: {mean[classic-dqn-lunarlander-v3]} on LunarLander-v3 after
  {steps[classic-dqn-lunarlander-v3]}, where PPO has {mean[classic-ppo-lunarlander-v3]} after
  {steps[classic-ppo-lunarlander-v3]}. Continuous actions may be made a few as well, with three values for each
  component: on Pendulum-v1 (3 choices) it has {mean[nine-dqn-pendulum-v1]} (SAC {mean[nine-sac-pendulum-v1]}), on
  Hopper-v5 (27) {mean[nine-dqn-hopper-v5]} ({mean[replay-sac-hopper-v5]}). Where these are many it fails: 729 on
  HalfCheetah-v5, {mean[nine-dqn-halfcheetah-v5]} ({mean[replay-sac-halfcheetah-v5]}), and on Walker2d-v5,
  {mean[nine-dqn-walker2d-v5]} ({mean[replay-sac-walker2d-v5]}).
- **To understand**: read REINFORCE ({iqm[REINFORCE]}), VPG ({iqm[VPG]}) and A2C ({iqm[A2C]}) in this order; each adds
  an idea to the one before. That is no ranking: VPG against A2C is open ({chance[VPG, A2C]}). PPO comes next, and is
  the one of them to work with.
- **DDPG** ({iqm[DDPG]}; chance against TD3 {chance[DDPG, TD3]}) is what TD3 and SAC come from, and does not always fall
  behind: {mean[replay-ddpg-halfcheetah-v5]} on HalfCheetah-v5 (TD3 {mean[replay-td3-halfcheetah-v5]}), but
  {mean[replay-ddpg-walker2d-v5]} on Walker2d-v5 ({mean[replay-td3-walker2d-v5]}).

Five tasks and five seeds say this much. They say nothing of images, of rewards that come at the end only, or of
trainings much longer than these; and one setting for all tasks is seldom the best for any.
"""


def advice(found: Comparison, chances: Pairs) -> str:
    """What the figures say, in words."""
    cost, rows = computing.relative(BASELINE.lower()), [row for row in ROWS if row.table.exists()]
    return ADVICE.format(
        iqm={method: with_interval(own["IQM"]) for method, own in found.aggregates.items()},
        chance={", ".join(pair): f"{own.value:.0%} [{own.low:.0%}, {own.high:.0%}]" for pair, own in chances.items()},
        cost=cost,
        share=1_000_000 / (NINE[TIMED] * cost["sac"]),
        mean={row.name: mean_of(finals(row)).replace("**", "") for row in rows},
        steps={row.name: f"{row.steps:,}" for row in rows},
    )


def page(found: Comparison) -> str:
    """The whole page."""
    steps, chances = ", ".join(f"{count:,} on {task}" for task, count in NINE.items()), pairs(found)
    introduction = INTRODUCTION.format(steps=steps)
    report = markdown(heading(found), [in_short(found), everyone(found, chances), *tables(found)], "The figures")
    shown = [f"![{name}](images/which-{name}.png)\n" for name in PICTURES]
    return "\n".join([introduction, advice(found, chances), *shown, report])


def write() -> None:
    """The page and its pictures."""
    found = compared()
    PAGE.write_text(page(found), encoding="utf-8")
    for name, picture in PICTURES.items():
        save(picture(found), IMAGES / f"which-{name}.png")
