"""docs/which-algorithm.md and its pictures: all nine on the tasks that they have in common."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from benchmarks.learning import computing
from benchmarks.learning.page import DOCS, IMAGES, finals, trainings
from benchmarks.learning.rows import NINE, ROWS, Row
from relook.algorithms import ALGORITHMS
from relook.statistics.aggregates import Scores
from relook.statistics.comparison import Comparison, Rules, compare
from relook.statistics.comparison_plots import improvement, intervals, profiles
from relook.statistics.plots import save
from relook.statistics.references import reference
from relook.statistics.reports import Table, heading, markdown, number, tables, with_interval
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


ADVICE = """## Which to use

- **Steps are dear, actions are continuous** (a robot, a slow simulator): **SAC**. It has the highest IQM of the nine,
  {iqm[SAC]}, before TD3's {iqm[TD3]}; a seed of it scores above one of TD3 in {chance[SAC, TD3]} of all pairs. It
  learns from every step again and again: one costs {cost[sac]:.0f} times the computing of one of PPO.
- **Steps are cheap** (a fast simulator, many environments at once): **PPO**. It has {iqm[PPO]}, and goes on from there:
  {mean[million-ppo-walker2d-v5]} on Walker2d-v5 after a million steps, where SAC has {mean[replay-sac-walker2d-v5]}
  after 300,000 and {more:.0f} times the computing. **TRPO** ({iqm[TRPO]}; above PPO in {chance[TRPO, PPO]} of pairs)
  does as well: it bounds how far the policy moves in one step, and takes more code to do so.
- **A few discrete actions**: **DQN** where steps are dear ({mean[classic-dqn-lunarlander-v3]} on LunarLander-v3 after
  250,000; PPO has {mean[classic-ppo-lunarlander-v3]} after 500,000), **PPO** where they are cheap
  ({mean[classic-ppo-mountaincar-v0]} on MountainCar-v0 after a million; DQN {mean[classic-dqn-mountaincar-v0]} after
  120,000). DQN also does well with a continuous action of one component, of which it has three values to choose from
  ({mean[nine-dqn-pendulum-v1]} on Pendulum-v1; SAC {mean[nine-sac-pendulum-v1]}), but each further component makes
  them three times as many: 729 on HalfCheetah-v5, where it has {mean[nine-dqn-halfcheetah-v5]} and SAC
  {mean[replay-sac-halfcheetah-v5]}.
- **To understand**: **REINFORCE** ({iqm[REINFORCE]}), **VPG** ({iqm[VPG]}) and **A2C** ({iqm[A2C]}), in this order:
  each is the one before it with an idea more. PPO comes next, and is the one of them to work with.
- **DDPG** ({iqm[DDPG]}) is what TD3 and SAC come from. On HalfCheetah-v5 it is above TD3
  ({mean[replay-ddpg-halfcheetah-v5]}; {mean[replay-td3-halfcheetah-v5]}), on Walker2d-v5 far below
  ({mean[replay-ddpg-walker2d-v5]}; {mean[replay-td3-walker2d-v5]}): take TD3, or SAC.

Five tasks and five seeds say this much: look at how wide the intervals are. They say nothing of images, of rewards that
come at the end only, or of trainings much longer than these; and settings that are one for all tasks are the best for
none.
"""


def advice(found: Comparison) -> str:
    """What the figures say, in words."""
    arms = {method: Scores([*tasks.values()]) for method, tasks in found.scores.items()}
    cost = computing.relative(BASELINE.lower())
    return ADVICE.format(
        iqm={method: number(own["IQM"].value) for method, own in found.aggregates.items()},
        chance={
            f"{first}, {second}": f"{probability_of_improvement(arms[first], arms[second]).value:.0%}"
            for first, second in product(arms, arms)
        },
        cost=cost,
        more=cost["sac"] * 300_000 / 1_000_000,
        mean={row.name: number(float(finals(row).mean())) for row in ROWS if row.table.exists()},
    )


def page(found: Comparison) -> str:
    """The whole page."""
    steps = ", ".join(f"{count:,} on {task}" for task, count in NINE.items())
    report = markdown(heading(found), [in_short(found), everyone(found), *tables(found)], "The figures")
    shown = [f"![{name}](images/which-{name}.png)\n" for name in PICTURES]
    return "\n".join([INTRODUCTION.format(tasks=len(NINE), steps=steps), advice(found), *shown, report])


def write() -> None:
    """The page and its pictures."""
    found = compared()
    PAGE.write_text(page(found), encoding="utf-8")
    for name, picture in PICTURES.items():
        save(picture(found), IMAGES / f"which-{name}.png")
