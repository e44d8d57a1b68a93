"""docs/which-algorithm.md and its pictures: all nine on the tasks that they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from benchmarks.learning import computing
from benchmarks.learning.page import DOCS, IMAGES, finals, mean_of, trainings
from benchmarks.learning.rows import COMMON, NINE, ROWS, Row
from relook.statistics.aggregates import Estimate, Scores
from relook.statistics.comparison import Comparison, Rules, compare
from relook.statistics.comparison_plots import improvement, intervals, profiles
from relook.statistics.plots import save
from relook.statistics.references import reference
from relook.statistics.reports import Table, heading, markdown, number, tables, with_interval
from relook.statistics.scores import checked
from relook.statistics.significance import mean_difference, probability_of_improvement

PAGE = DOCS / "which-algorithm.md"
BASELINE, DELTA = "PPO", 0.05
TIMED = "Hopper-v5"
"""The task on which computing is told."""


def timed() -> list[Row]:
    """The rows of the task on which computing is told."""
    return [row for row in COMMON if row.task == TIMED]


def told() -> list[Row]:
    """The rows that the words speak of."""
    return [row for row in ROWS if f"[{row.name}]" in WORDS]


def carried_out() -> bool:
    """Whether all rows are there, and what their steps cost."""
    return computing.TABLE.exists() and all(row.table.exists() for row in (*COMMON, *told()))


def compared() -> Comparison:
    """The nine, each against the baseline, on the scale from random to good."""
    seeds = [
        replace(training, method=row.algorithm.upper(), task=row.task) for row in COMMON for training in trainings(row)
    ]
    found, notes = checked(seeds, allow=("configurations",))  # of DDPG and TD3, as the words say
    return compare(found, Rules(baseline=BASELINE, delta=DELTA), reference(), notes)


PICTURES = {"intervals": intervals, "profiles": profiles, "improvement": improvement}
"""What the page shows."""


def in_short(comparison: Comparison) -> Table:
    """One row for each algorithm, the best first."""
    costs, own = computing.relative(BASELINE.lower()), comparison.aggregates
    cells = []
    for method in sorted(comparison.methods, key=lambda method: -own[method]["IQM"].value):
        cost, low, high = map(short, costs[method.lower()])
        reached = [with_interval(own[method][name]) for name in ("IQM", "mean")]
        cells.append([method, *reached, f"{cost}×", f"{low} … {high}"])
    note = COMPUTING.format(task=TIMED, baseline=BASELINE, rounds=computing.ROUNDS)
    return Table("In short", ["algorithm", "IQM [95 %]", "mean [95 %]", "computing", "lowest … highest"], cells, note)


def short(value: float) -> str:
    """Two digits."""
    return np.format_float_positional(value, 2, fractional=False, trim="-")


Pairs = Mapping[tuple[str, str], Estimate]


def arms(comparison: Comparison) -> Mapping[str, Scores]:
    """The scores of each, task by task."""
    return {method: Scores([*tasks.values()]) for method, tasks in comparison.scores.items()}


def pairs(comparison: Comparison) -> Pairs:
    """The probability of improvement of each over each."""
    found: dict[tuple[str, str], Estimate] = {}
    for (first, a), (second, b) in combinations(arms(comparison).items(), 2):
        found[first, second] = own = probability_of_improvement(a, b)
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
    return Table("Everyone against everyone", ["", *names], cells, EVERYONE)


COMPUTING = """computing: time of a core for a step on {task}, simulator included and evaluations not, five seeds
together, {baseline}'s = 1; the median of {rounds} rounds. With the settings above: 256 × 256 units and one environment
for SAC, TD3 and DDPG, 128 × 128 and one for DQN, 64 × 64 for the others, with 64 environments, A2C with 16 and
REINFORCE with 4"""
EVERYONE = """how often a seed of the row's algorithm scores above one of the column's, a tie counting half and all
tasks weighing the same; in brackets where the 95 % interval holds 50 %: by wins alone nobody is ahead, be it that seeds
differ or that each wins on some of the tasks. The intervals are not adjusted for there being 36 pairs: one or two may
miss 50 % by chance"""
WORDS = """# Which algorithm when?

All nine deep algorithms on five tasks of continuous control, which all of them can take, with the same number of
environment steps for each: {steps} (a training ends with its last whole rollout, up to 2 % earlier). Five seeds on each
task, none left out.

- PPO, TRPO, A2C and VPG have `--preset mujoco`. It was searched for on HalfCheetah-v5, one of the five, and PPO's
  entropy bonus was looked at on Hopper-v5 too, both at a million steps. It was not made for few: 50,000 steps are 24
  rollouts, with each of which PPO makes 320 gradient steps and TRPO and VPG one of the policy. On Pendulum-v1 VPG does
  no better than random actions with it and A2C worse, where their defaults have {mean[classic-vpg-pendulum-v1]} and
  {mean[classic-a2c-pendulum-v1]} after {steps_of[classic-a2c-pendulum-v1]}.
- SAC, TD3 and DDPG have their defaults, but batches of 100 and a replay of 300,000 transitions. SAC begins to learn at
  step 1,000, DDPG and TD3 at 10,000. That became their default after TD3 had disappointed on Hopper-v5 and Walker2d-v5,
  on the seeds shown here ([LOG.md](../LOG.md)); of HalfCheetah-v5, where both did well, the trainings that begin at
  1,000 were kept.
- DQN has its defaults, and chooses among the ends and the middle of each component of an action.
- REINFORCE has its defaults: it explores more (log σ begins at 0, not −1), has 4 environments and not 64, and sees
  observations as they are, where the four above normalise them. How much of its distance to VPG is the algorithm was
  not measured.

A score is the return of the last evaluation, on a scale from 0 for random actions to 1 for a reference: {references}.
The first two we declared, the third is the most that there is, the others are Gymnasium's thresholds. Scores are not
cut off at 1: on HalfCheetah-v5 DDPG, TD3 and SAC have {cheetah}, so that it weighs most in a mean. The IQM, the mean
without the best and the worst quarter of an algorithm's trainings, leaves these out. Every row's command and raw
results, and what others report: [benchmarks.md](benchmarks.md).

## Which to use

What follows holds for these settings, tasks and steps. Scores are IQMs over the five tasks, returns are means over
seeds, and brackets are 95 % intervals. A chance is the probability that a seed of the first scores above one of the
second on a task drawn from the five, a tie counting half.

- **Steps are dear, actions are continuous** (a robot, a slow simulator): **SAC or TD3**, with scores of {iqm[SAC]} and
  {iqm[TD3]}. Which of them is too close to call: their means differ by {difference}, and the chance of SAC is
  {chance[SAC, TD3]}, not adjusted for 36 pairs. Walker2d-v5 separates them most, {mean[replay-sac-walker2d-v5]} and
  {mean[replay-td3-walker2d-v5]}; on InvertedPendulum-v5 a seed of each fell late, SAC's in the last evaluation (to
  {worst[nine-sac-invertedpendulum-v5]}), TD3's in the one before. They learn from every step again and again: a step of
  SAC costs {cost[sac]} times the computing of one of PPO, one of TD3 {cost[td3]} times.
- **Steps are cheap** (a fast simulator, many environments at once): **PPO**. Here it scores {iqm[PPO]}, but a million
  of its steps cost {share:.0%} of what 300,000 of SAC do. After these (ten seeds, SAC has five) no difference to SAC
  was found on Walker2d-v5, {mean[million-ppo-walker2d-v5]} (SAC {mean[replay-sac-walker2d-v5]}), and Hopper-v5,
  {mean[million-ppo-hopper-v5]} ({mean[replay-sac-hopper-v5]}), though there is room for large ones; on HalfCheetah-v5
  PPO stays behind, even with settings of its own: {mean[million-ppo-halfcheetah-v5]}
  ({mean[replay-sac-halfcheetah-v5]}). Longer trainings were not made.
- **TRPO** or PPO? Open: TRPO scores {iqm[TRPO]}, its chance is {chance[TRPO, PPO]}. It bounds how far the policy moves
  in an update, and needs conjugate gradients and a line search to do so.
- **A few discrete actions**: **DQN** where steps are dear: {mean[classic-dqn-lunarlander-v3]} on LunarLander-v3 after
  {steps_of[classic-dqn-lunarlander-v3]}, where PPO, with settings of its own, has {mean[classic-ppo-lunarlander-v3]}
  after {steps_of[classic-ppo-lunarlander-v3]}. This is one task; on MountainCar-v0 the defaults of both fail
  ([LOG.md](../LOG.md)).
  Continuous actions can be made discrete, with three values for each component: on Pendulum-v1 (3 choices) DQN has
  {mean[nine-dqn-pendulum-v1]} (SAC {mean[nine-sac-pendulum-v1]}), on Hopper-v5 (27) {mean[nine-dqn-hopper-v5]}
  ({mean[replay-sac-hopper-v5]}). With 729 choices it is far behind: {mean[nine-dqn-halfcheetah-v5]}
  ({mean[replay-sac-halfcheetah-v5]}) on HalfCheetah-v5, where it still rises at the end, and
  {mean[nine-dqn-walker2d-v5]} ({mean[replay-sac-walker2d-v5]}) on Walker2d-v5. Whether their number is why was not
  tested.
- **To understand**: read the code of REINFORCE (returns of whole episodes), VPG (advantages by a value function), A2C
  (many short rollouts, one loss) and PPO in `src/relook/algorithms/`, in this order ([side by side](side-by-side.md)).
  Their scores here, {iqm[REINFORCE]}, {iqm[VPG]} and {iqm[A2C]}, are not what these ideas are worth, as their settings
  differ; VPG against A2C is open ({chance[VPG, A2C]}). PPO is the one of them to work with.
- **DDPG** (score {iqm[DDPG]}; chance against TD3 {chance[DDPG, TD3]}) is what TD3 and SAC come from, and does not
  always fall behind: {mean[replay-ddpg-halfcheetah-v5]} on HalfCheetah-v5 (TD3 {mean[replay-td3-halfcheetah-v5]}), but
  {mean[replay-ddpg-walker2d-v5]} on Walker2d-v5 ({mean[replay-td3-walker2d-v5]}).

Five tasks and five seeds say this much. They say nothing of images, of rewards that come at the end only, or of
trainings much longer than these; and one setting for all tasks is seldom the best for any.
"""


def in_words(found: Comparison, chances: Pairs) -> str:
    """What the figures say."""
    costs, scores, scale, rows = computing.relative(BASELINE.lower()), arms(found), reference().scores, told()
    cheetah = np.concatenate([found.scores[name]["HalfCheetah-v5"] for name in ("DDPG", "TD3", "SAC")])
    declared = ("Pendulum-v1", "Walker2d-v5", "InvertedPendulum-v5", "HalfCheetah-v5", "Hopper-v5")
    return WORDS.format(
        steps=", ".join(f"{count:,} on {task}" for task, count in NINE.items()),
        references=", ".join(f"{number(scale[task][1])} on {task}" for task in declared),
        cheetah=f"{cheetah.min():.1f} to {cheetah.max():.1f}",
        iqm={method: with_interval(own["IQM"]) for method, own in found.aggregates.items()},
        chance={", ".join(pair): f"{own.value:.0%} [{own.low:.0%}, {own.high:.0%}]" for pair, own in chances.items()},
        difference=with_interval(mean_difference(scores["SAC"], scores["TD3"])),
        cost={name: short(median) for name, (median, _, _) in costs.items()},
        share=1_000_000 / (NINE[TIMED] * costs["sac"][0]),
        mean={row.name: mean_of(finals(row), bold="") for row in rows},
        worst={row.name: number(float(finals(row).min())) for row in rows},
        steps_of={row.name: f"{row.steps:,}" for row in rows},
    )


def page(found: Comparison) -> str:
    """The whole page."""
    chances = pairs(found)
    shown = [f"![{name}](images/{name}.png)\n" for name in ("learning-nine", *(f"which-{name}" for name in PICTURES))]
    report = markdown(heading(found), [in_short(found), everyone(found, chances), *tables(found)], "The figures")
    return "\n".join([in_words(found, chances), *shown, report])


def write() -> None:
    """The page and its pictures."""
    found = compared()
    PAGE.write_text(page(found), encoding="utf-8")
    for name, picture in PICTURES.items():
        save(picture(found), IMAGES / f"which-{name}.png")
