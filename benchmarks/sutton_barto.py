"""Figures and examples of Sutton & Barto 2018 again, with relook's tabular code: `python -m benchmarks.sutton_barto`.

Names of figures, such as `figure-3-2 example-6-5`, make only these again; without any, all are made. Each becomes a
picture in docs/images/sutton-barto, and its readings go to results/sutton_barto.json, where those of the others stay.
From all of them follows docs/sutton-barto.md: what the book says beside what comes out here.

The book is the second edition, 2018; numbers of figures, examples and sections are its numbers. Everything is computed
with fixed seeds in float64, in about two minutes on one core.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm, poisson

from relook.labs.picture import COLOURS, GREY, MARKERS, STYLES, legend, panels, titled
from relook.statistics.plots import save
from relook.tabular import MDP, Array, backup, evaluate, from_environment, greedy, optimal, sweeps
from relook.tabular import bandits as arms
from relook.tabular.blackjack import HIT, STICK, blackjack, dealer, number
from relook.tabular.double_q_learning import DoubleQLearning
from relook.tabular.dyna_q import DynaQ
from relook.tabular.learner import ActionValues, Step, epsilon_greedy, practise
from relook.tabular.prediction import Episode, lambda_return, monte_carlo, n_step_td, play, td, td_lambda
from relook.tabular.q_learning import QLearning
from relook.tabular.sarsa import Sarsa

ROOT = Path(__file__).parents[1]
ROWS = Path(__file__).parent / "results" / "sutton_barto.json"
PAGE = ROOT / "docs" / "sutton-barto.md"
IMAGES = ROOT / "docs" / "images" / "sutton-barto"
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right: rows grow downwards."""
FOREVER = 1_000_000
ROUNDING = 1e-9
RESAMPLES = 200

PRINTED, TEXT, PLOT = "printed in the figure", "printed in the text", "read off the plot"


@dataclass(frozen=True)
class Reading:
    """A number of the book, and the same one here."""

    what: str
    published: float
    tolerance: float
    """Half of the last digit that is printed, what "about" leaves open, or how surely a plot can be read."""
    ours: float
    error: float | None
    """The standard error of `ours`; None for what is exact."""
    how: str
    """How the book's number was read."""

    @property
    def off(self) -> float:
        return abs(self.ours - self.published)

    @property
    def agrees(self) -> bool:
        """Within the tolerance and two standard errors."""
        return self.off <= self.tolerance + 2 * (self.error or 0.0) + ROUNDING


Made = tuple[list[Reading], Figure]


@dataclass(frozen=True)
class Entry:
    """A figure or an example of the book."""

    number: str
    shows: str
    text: str
    """What stands below its picture."""
    make: Callable[[], Made]


FIGURES: dict[str, Entry] = {}


def reproduces(number: str, shows: str, text: str) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Enter a function under the name of what it reproduces."""

    def enter(make: Callable[[], Made]) -> Callable[[], Made]:
        FIGURES[number.lower().replace(" ", "-").replace(".", "-")] = Entry(number, shows, text, make)
        return make

    return enter


# What several figures share


def deterministic(
    size: int, choices: int, go: Callable[[int, int], tuple[int, float]], start: int, ends: Sequence[int] = ()
) -> MDP:
    """The MDP in which an action leads to one state, with one reward: `go(state, action)`."""
    transition, reward = np.zeros((size, choices, size)), np.zeros((size, choices, size))
    for s, a in product(range(size), range(choices)):
        if s not in ends:
            to, r = go(s, a)
            transition[s, a, to], reward[s, a, to] = 1, r
    return MDP(transition, reward, np.eye(size)[start], np.isin(np.arange(size), ends))


def moved(shape: tuple[int, int], state: int, action: int, wind: int = 0) -> tuple[int, int, bool]:
    """Row and column after a move in a grid, and whether an edge was in the way."""
    row, column = divmod(state, shape[1])
    row, column = row + MOVES[action][0] - wind, column + MOVES[action][1]
    to = min(max(row, 0), shape[0] - 1), min(max(column, 0), shape[1] - 1)
    return *to, to != (row, column)


def uniform(mdp: MDP) -> Array:
    return np.full((mdp.size, mdp.choices), 1 / mdp.choices)


def mean(samples: Array) -> tuple[float, float]:
    """Of independent runs, with its standard error."""
    return float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples)))


def resampled(statistic: Callable[[Array], float], runs: Array) -> tuple[float, float]:
    """A statistic of independent runs, the last axis, with its standard error by the bootstrap."""
    rng, n = np.random.default_rng(0), runs.shape[-1]
    return statistic(runs), float(np.std([statistic(runs[..., rng.integers(n, size=n)]) for _ in range(RESAMPLES)]))


def rms(values: Array, truth: Array) -> Array:
    """√ of the mean square error over states, the last axis."""
    error: Array = np.sqrt(np.square(values - truth).mean(-1))
    return error


def largest(what: str, printed: Array, ours: Array, digit: float) -> Reading:
    """How far a table is from one that was printed with so many digits."""
    return Reading(what, 0, digit / 2, float(np.abs(printed - ours).max()), None, PRINTED)


def numbers(at: Axes, table: Array, title: str, form: str = ".1f") -> None:
    """A table of numbers on fields that are the darker the larger."""
    low, high = float(table.min()), float(table.max())
    at.grid(visible=False)
    at.imshow(table, cmap="Greys", vmin=low, vmax=low + 2.2 * max(high - low, 1))
    for (row, column), value in np.ndenumerate(table):
        at.text(column, row, signed(float(value), form), ha="center", va="center", fontsize=9)
    at.set_xticks(range(table.shape[1]))
    at.set_yticks(range(table.shape[0]))
    titled(at, title, "column", "row")


def signed(value: float, form: str) -> str:
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def lines(at: Axes, first: int, curves: dict[str, Array]) -> None:
    """Curves over first, first + 1, …, which differ in colour and in style."""
    for i, (name, y) in enumerate(curves.items()):
        at.plot(
            first + np.arange(len(y)), y, color=COLOURS[i], linestyle=STYLES[i % len(STYLES)], linewidth=1.6, label=name
        )


def marked(at: Axes, x: Sequence[float], curves: dict[str, Array]) -> None:
    """Curves of few points, which differ in their marks."""
    for i, (name, y) in enumerate(curves.items()):
        at.plot(x, y, color=COLOURS[i], marker=MARKERS[i], markersize=4, linewidth=1.2, label=name)


# Chapter 2: bandits

ARMS, PROBLEMS, STEPS, EARLY, LAST = 10, 2000, 1000, 30, 100
"""Ten arms, as many problems and steps as in the book; what a curve ends with is the mean of its last 100 steps."""


class Testbed:
    """2000 problems: the value of each arm is drawn from N(0, 1), and each reward from N(value, 1)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.value = self.rng.standard_normal((PROBLEMS, ARMS))
        self.rows = np.arange(PROBLEMS)

    def draw(self, rng: np.random.Generator, arm: Any) -> Array:
        drawn: Array = self.value[self.rows, arm] + rng.standard_normal(PROBLEMS)
        return drawn

    def play(self, method: Callable[..., arms.Played], **options: float) -> tuple[Array, Array]:
        """Rewards [T, B], and whether the arm was the best one [T, B]."""
        pulled, rewards = method(self.draw, (PROBLEMS, ARMS), STEPS, self.rng, **options)
        return rewards, (pulled == self.value.argmax(1)).astype(float)


@reproduces(
    "Figure 2.2",
    "ε-greedy on the 10-armed testbed",
    "Who never explores stays with the first arm that looked good. Exploring 10 % of the time finds the best arm most "
    "often within 1000 steps.",
)
def figure_2_2() -> Made:
    played = {epsilon: Testbed(22).play(arms.epsilon_greedy, epsilon=epsilon) for epsilon in (0.0, 0.01, 0.1)}
    density = quad(lambda x: x * ARMS * norm.pdf(x) * norm.cdf(x) ** (ARMS - 1), -10, 10)[0]
    readings = [
        Reading("value of the best of ten arms, on average", 1.54, 0.005, density, None, TEXT),
        Reading("ε = 0: reward at the end", 1.0, 0.1, *mean(played[0.0][0][-LAST:].mean(0)), TEXT + ', "about"'),
        Reading("ε = 0: share of the best arm at the end", 1 / 3, 0.05, *mean(played[0.0][1][-LAST:].mean(0)), TEXT),
        Reading("ε = 0.1: share of the best arm at the end", 0.8, 0.04, *mean(played[0.1][1][-LAST:].mean(0)), PLOT),
    ]
    figure, (left, right) = panels(2, "Exploring pays within a few hundred steps", f"Means of {PROBLEMS:,} problems.")
    for at, part, name in ((left, 0, "reward"), (right, 1, "share of the best arm")):
        curves = {f"ε = {epsilon:g}": result[part].mean(1) for epsilon, result in played.items()}
        lines(at, 1, curves)
        titled(at, name.capitalize(), "step", name)
    right.set_ylim(0, 1)
    legend(left, "lower right")
    legend(right, "upper left")
    return readings, figure


@reproduces(
    "Figure 2.3",
    "optimistic initial values against ε-greedy, α = 0.1",
    "Values that begin at 5 disappoint whatever is tried, so that everything is tried; later nothing is wasted.",
)
def figure_2_3() -> Made:
    options = {
        "Q₁ = 5, ε = 0": {"epsilon": 0.0, "initial": 5.0},
        "Q₁ = 0, ε = 0.1": {"epsilon": 0.1, "initial": 0.0},
    }
    best = {name: Testbed(23).play(arms.epsilon_greedy, alpha=0.1, **chosen)[1] for name, chosen in options.items()}
    readings = [
        Reading(f"{name}: share of the best arm at the end", published, 0.05, *mean(best[name][-LAST:].mean(0)), PLOT)
        for name, published in zip(options, (0.85, 0.78), strict=True)
    ]
    figure, (at,) = panels(1, "Optimism explores early, and then wastes nothing", f"Means of {PROBLEMS:,} problems.")
    lines(at, 1, {name: shares.mean(1) for name, shares in best.items()})
    titled(at, "", "step", "share of the best arm")
    at.set_ylim(0, 1)
    legend(at, "lower right")
    return readings, figure


@reproduces(
    "Figure 2.4",
    "upper confidence bounds (c = 2) against ε-greedy",
    "UCB tries every arm once in its first ten steps and takes the one that did best in the eleventh: the spike.",
)
def figure_2_4() -> Made:
    rewards = {
        "UCB, c = 2": Testbed(24).play(arms.ucb, c=2.0)[0],
        "ε-greedy, ε = 0.1": Testbed(24).play(arms.epsilon_greedy, epsilon=0.1)[0],
    }
    upper, plain = rewards.values()
    early = upper[:EARLY]
    spike = resampled(lambda some: float(some.mean(-1).argmax()) + 1, early)
    readings = [
        Reading("step of the spike of UCB, the largest reward of the first 30 steps", 11, 0, *spike, TEXT),
        Reading("UCB: reward at the end", 1.5, 0.07, *mean(upper[-LAST:].mean(0)), PLOT),
        Reading("ε-greedy: reward at the end", 1.35, 0.07, *mean(plain[-LAST:].mean(0)), PLOT),
    ]
    top = float(early.mean(1).max())
    figure, (at,) = panels(1, "Trying what is uncertain beats trying anything", f"Means of {PROBLEMS:,} problems.")
    lines(at, 1, {name: reward.mean(1) for name, reward in rewards.items()})
    at.annotate(
        "step 11",
        (11, top),
        (120, top - 0.45),
        fontsize=8,
        arrowprops={"arrowstyle": "-", "color": GREY},
    )
    titled(at, "", "step", "reward")
    legend(at, "lower right")
    return readings, figure


# Chapter 3: a gridworld

SIDE, GRID_GAMMA = 5, 0.9
JUMPS = {1: (21, 10.0), 3: (13, 5.0)}
"""From A and B anything leads to A′ and B′, with these rewards."""
FIGURE_3_2 = """3.3 8.8 4.4 5.3 1.5  1.5 3.0 2.3 1.9 0.5  0.1 0.7 0.7 0.4 -0.4  -1.0 -0.4 -0.4 -0.6 -1.2
    -1.9 -1.3 -1.2 -1.4 -2.0"""
FIGURE_3_5 = """22.0 24.4 22.0 19.4 17.5  19.8 22.0 19.8 17.8 16.0  17.8 19.8 17.8 16.0 14.4
    16.0 17.8 16.0 14.4 13.0  14.4 16.0 14.4 13.0 11.7"""


def parsed(text: str) -> Array:
    return np.array(text.split(), dtype=float)


def jumping_grid() -> MDP:
    """Example 3.5: whoever runs against the edge stays and pays 1."""

    def go(state: int, action: int) -> tuple[int, float]:
        if state in JUMPS:
            return JUMPS[state]
        row, column, hit = moved((SIDE, SIDE), state, action)
        return row * SIDE + column, -1.0 if hit else 0.0

    return deterministic(SIDE**2, len(MOVES), go, 0)


def of_grid(value: Array, printed: str, best: str, message: str) -> Made:
    published = parsed(printed)
    readings = [
        largest("largest difference from the 25 values", published, value, 0.1),
        Reading(f"value of A, {best}", published[1], 0.05, float(value[1]), None, PRINTED),
        Reading(f"value of B, {best}", published[3], 0.05, float(value[3]), None, PRINTED),
    ]
    figure, (at,) = panels(1, message, "A is in row 0, column 1, B in row 0, column 3. γ = 0.9.", height=4.2)
    numbers(at, value.reshape(SIDE, SIDE), "")
    return readings, figure


@reproduces(
    "Figure 3.2",
    "values of the random policy in a gridworld",
    "A is worth less than the 10 that it pays, because it leads to where the edge is near; B is worth more than its 5.",
)
def figure_3_2() -> Made:
    mdp = jumping_grid()
    value = evaluate(mdp, uniform(mdp), GRID_GAMMA)
    return of_grid(value, FIGURE_3_2, "random policy", "What states are worth to whoever walks at random")


@reproduces(
    "Figure 3.5",
    "optimal values of the same gridworld",
    "Values fall by the factor γ with each step away from A.",
)
def figure_3_5() -> Made:
    value, _ = optimal(jumping_grid(), GRID_GAMMA)
    return of_grid(value, FIGURE_3_5, "optimal", "What states are worth to whoever acts best")


# Chapter 4: dynamic programming

SMALL = 4
SHOWN = (0, 1, 2, 3, 10)
FIGURE_4_1 = {
    1: "0 -1 -1 -1  -1 -1 -1 -1  -1 -1 -1 -1  -1 -1 -1 0",
    2: "0 -1.7 -2 -2  -1.7 -2 -2 -2  -2 -2 -2 -1.7  -2 -2 -1.7 0",
    3: "0 -2.4 -2.9 -3  -2.4 -2.9 -3 -2.9  -2.9 -3 -2.9 -2.4  -3 -2.9 -2.4 0",
    10: "0 -6.1 -8.4 -9  -6.1 -7.7 -8.4 -8.4  -8.4 -8.4 -7.7 -6.1  -9 -8.4 -6.1 0",
}
FOUR_BY_FOUR = "0 -14 -20 -22  -14 -18 -20 -20  -20 -20 -18 -14  -22 -20 -14 0"


def small_grid() -> MDP:
    """Example 4.1: two corners are ends, and each step costs 1."""

    def go(state: int, action: int) -> tuple[int, float]:
        row, column, _ = moved((SMALL, SMALL), state, action)
        return row * SMALL + column, -1.0

    return deterministic(SMALL**2, len(MOVES), go, 1, (0, SMALL**2 - 1))


@reproduces(
    "Figure 4.1",
    "iterative policy evaluation in a small gridworld",
    "Each sweep looks one step farther. The book cuts -1.75 to -1.7 after two sweeps, which the tolerance allows.",
)
def figure_4_1() -> Made:
    mdp = small_grid()
    found: dict[int, Array] = {0: np.zeros(mdp.size)}
    for k, value in zip(range(1, max(SHOWN) + 1), sweeps(mdp, uniform(mdp), 1.0), strict=False):
        found[k] = value
    final = evaluate(mdp, uniform(mdp), 1.0)
    readings = [
        largest(f"largest difference from the 16 values after {k} sweep{'s' * (k > 1)}", parsed(text), found[k], 0.1)
        for k, text in FIGURE_4_1.items()
    ]
    readings.append(largest("the same of the values that sweeps converge to", parsed(FOUR_BY_FOUR), final, 1.0))
    figure, axes = panels(6, "Sweep by sweep, values of the random policy spread from the ends", width=3.0, height=2.8)
    names = [*(f"k = {k}" for k in SHOWN), "k → ∞"]
    for at, name, value in zip(axes, names, [*(found[k] for k in SHOWN), final], strict=True):
        numbers(at, value.reshape(SMALL, SMALL), name)
    return readings, figure


LOT, CARRIED, RENT, CARRYING, CAR_GAMMA = 20, 5, 10.0, 2.0, 0.9
REQUESTS, RETURNS = (3, 4), (3, 2)
"""Cars that are asked for and come back each day, on average, at both places."""
CARRY = tuple(sorted(range(-CARRIED, CARRIED + 1), key=lambda move: (abs(move), -move)))
"""Cars from the first place to the second one; the smaller number comes first and wins where it makes no difference."""


def one_place(requests: float, returns: float) -> tuple[Array, Array]:
    """Cars in the evening by cars in the morning, as probabilities [21, 21], and the mean rent of the day [21]."""
    counts = np.arange(LOT + 1)
    there, rent = np.zeros((LOT + 1, LOT + 1)), np.zeros(LOT + 1)
    back = poisson.pmf(counts, returns)
    for morning in counts:
        asked = poisson.pmf(np.arange(morning), requests)
        let = np.append(asked, 1 - asked.sum())  # as many as there are, or fewer
        rent[morning] = RENT * (let * np.arange(morning + 1)).sum()
        for rented, p in enumerate(let):
            left = morning - rented
            there[morning, left:] += p * back[: LOT + 1 - left]
            there[morning, LOT] += p * (1 - back[: LOT + 1 - left].sum())
    return there, rent


@cache
def car_rental() -> MDP:
    """Example 4.2. More cars than there are cannot be moved; those above 20 are lost."""
    (first, rent), (second, other) = (one_place(*rates) for rates in zip(REQUESTS, RETURNS, strict=True))
    side = LOT + 1
    transition, reward = np.zeros((side**2, len(CARRY), side**2)), np.zeros((side**2, len(CARRY), side**2))
    for a, b, i in product(range(side), range(side), range(len(CARRY))):
        move = min(max(CARRY[i], -b), a)
        here, there = min(a - move, LOT), min(b + move, LOT)
        transition[a * side + b, i] = np.outer(first[here], second[there]).ravel()
        reward[a * side + b, i] = rent[here] + other[there] - CARRYING * abs(move)
    return MDP(transition, reward, np.full(side**2, side**-2.0), np.zeros(side**2, dtype=bool))


@reproduces(
    "Figure 4.2",
    "Jack's car rental: the best policy and its values",
    "Policy iteration begins with never moving a car and ends after four improvements. A number is how many cars go "
    "from the first place to the second one over night. The book's 612 is not the largest value here: played with "
    "drawn customers, the best policy earns 637.3 ± 0.3 from two full lots, and never moving a car 611.",
)
def figure_4_2() -> Made:
    mdp, side = car_rental(), LOT + 1
    policies = [greedy(np.tile(np.arange(len(CARRY)) == 0, (mdp.size, 1)).astype(float))]
    while True:
        value = evaluate(mdp, policies[-1], CAR_GAMMA)
        better = greedy(backup(mdp, value, CAR_GAMMA).round(9))
        if (better == policies[-1]).all():
            break
        policies.append(better)
    move = np.array(CARRY)[policies[-1].argmax(1)].reshape(side, side)
    readings = [
        Reading("policies, the first and the best one included", 5, 0, len(policies), None, PRINTED),
        Reading("most cars that are moved to the second place", 5, 0, int(move.max()), None, PRINTED),
        Reading("most cars that are moved to the first place", 4, 0, -int(move.min()), None, PRINTED),
        Reading("smallest value", 420, 5, float(value.min()), None, PRINTED + ", at an axis"),
        Reading("largest value", 612, 5, float(value.max()), None, PRINTED + ", at an axis"),
    ]
    figure, (left, right) = panels(
        2, "Move cars to the second place, which lends more than it gets back", width=5.2, height=4.4
    )
    for at in (left, right):
        at.grid(visible=False)
        at.set_xticks(range(0, side, 5))
        at.set_yticks(range(0, side, 5))
    left.imshow(move, origin="lower", cmap="Greys", vmin=-CARRIED, vmax=14)
    for (a, b), cars in np.ndenumerate(move):
        left.text(b, a, signed(cars, "d"), ha="center", va="center", fontsize=6.5)
    titled(left, "Cars that are moved", "cars at the second place", "cars at the first place")
    image = right.imshow(value.reshape(side, side), origin="lower", cmap="Greys")
    figure.colorbar(image, ax=right, shrink=0.8).set_label("value in $", fontsize=9)
    titled(right, "Values", "cars at the second place", "cars at the first place")
    return readings, figure


GOAL, HEADS = 100, 0.4
SWEEPS = (1, 2, 3, 32)


def gambler() -> MDP:
    """Example 4.3: states are the capital, and stakes from 1 to 50; more than is there or needed cannot be staked."""
    size, choices = GOAL + 1, GOAL // 2
    transition, reward = np.zeros((size, choices, size)), np.zeros((size, choices, size))
    for capital, a in product(range(1, GOAL), range(choices)):
        stake = min(a + 1, capital, GOAL - capital)
        transition[capital, a, capital + stake] = HEADS
        transition[capital, a, capital - stake] = 1 - HEADS
    reward[:, :, GOAL] = 1
    return MDP(transition, reward, np.eye(size)[GOAL // 2], np.isin(np.arange(size), (0, GOAL)))


@reproduces(
    "Figure 4.3",
    "the gambler's problem with p = 0.4",
    "Who has 50 stakes all of it, and who has 51 need not stake more than 1: many stakes are equally good, and the "
    "smallest is shown. A sweep here takes all values from the sweep before; the book's seem to use new ones at once.",
)
def figure_4_3() -> Made:
    mdp = gambler()
    found, value = {}, np.zeros(mdp.size)
    for k in range(1, max(SWEEPS) + 1):
        value = backup(mdp, value, 1.0).max(1)
        found[k] = value
    final, q = optimal(mdp, 1.0)
    stake = q.round(9).argmax(1) + 1
    readings = [
        Reading("stake at a capital of 50", 50, 0, int(stake[50]), None, TEXT),
        Reading("stake at 51, the smallest of the best", 1, 0, int(stake[51]), None, PLOT),
        Reading("stake at 25", 25, 0, int(stake[25]), None, PLOT),
        Reading("value at 50", 0.4, 0.02, float(final[50]), None, PLOT),
        Reading("value at 75", 0.64, 0.02, float(final[75]), None, PLOT),
    ]
    capital = np.arange(1, GOAL)
    figure, (left, right) = panels(2, "With a bad coin, stake as boldly as helps, and no more often than it must be")
    lines(left, 1, {f"sweep {k}": found[k][1:GOAL] for k in SWEEPS})
    titled(left, "Probability to reach 100", "capital", "value")
    legend(left, "upper left")
    right.step(capital, stake[1:GOAL], where="mid", color=COLOURS[0], linewidth=1.2)
    titled(right, "The smallest of the best stakes", "capital", "stake")
    return readings, figure


# Chapter 5: Monte Carlo methods

HARD = {1: 17, 2: 13, 3: 13, 4: 12, 5: 12, 6: 12, 7: 17, 8: 17, 9: 17, 10: 17}
"""From which sum on the book's policy sticks without a usable ace, by the dealer's card; 1 is an ace."""
SOFT = {1: 19, 2: 18, 3: 18, 4: 18, 5: 18, 6: 18, 7: 18, 8: 18, 9: 19, 10: 19}
"""The same with a usable ace. Thorp's strategy has 18 in place of 19 against an ace: the book's "notch"."""


def thresholds(q: Array, ace: bool) -> dict[int, int]:
    """The smallest sum from which on sticking is best, by the dealer's card."""
    found = {}
    for shown in range(1, 11):
        hits = [total for total in range(11 + ace, 22) if q[number(total, shown, ace)].argmax() == HIT]
        found[shown] = max(hits) + 1
    return found


@reproduces(
    "Figure 5.2",
    "blackjack: the best policy",
    "Here the policy is computed and not sampled. The book finds that its policy is Thorp's but for a "
    "notch, to hit 18 with a usable ace against an ace, and cannot say why. Under its rules the notch is right.",
)
def figure_5_2() -> Made:
    _, q = optimal(blackjack(), 1.0)
    hard, soft = thresholds(q, False), thresholds(q, True)
    notch = q[number(18, 1, True)]
    readings = [
        Reading("dealer's cards of 10 with another threshold, no usable ace", 0, 0, unlike(hard, HARD), None, PLOT),
        Reading("the same with a usable ace", 0, 0, unlike(soft, SOFT), None, PLOT),
        Reading(
            "the notch: stick from this sum on, usable ace against an ace", 19, 0, soft[1], None, TEXT + " and plot"
        ),
    ]
    note = f"Hitting 18 with a usable ace against an ace is better by {notch[HIT] - notch[STICK]:.4f}."
    figure, axes = panels(2, "Against a weak card of the dealer's, stick early", note)
    cards = range(1, 11)
    for at, name, own, book in zip(axes, ("No usable ace", "Usable ace"), (hard, soft), (HARD, SOFT), strict=True):
        y = np.array([own[card] for card in cards]) - 0.5
        at.fill_between([*cards], y, 21.5, step="mid", color="#DDDDDD")
        at.step([*cards], y, where="mid", color=COLOURS[0], label="relook")
        at.plot([*cards], [book[card] - 0.5 for card in cards], "o", color=COLOURS[1], label="the book")
        at.text(5.5, 20, "stick", ha="center", va="center", fontsize=9)
        at.text(8.5, 13, "hit", ha="center", va="center", fontsize=9)
        at.set_xticks([*cards], ["A", *(str(card) for card in cards if card > 1)])
        at.set_ylim(10.5, 21.5)
        titled(at, name, "the dealer shows", "sum of the player")
    legend(axes[1], "lower right")
    return readings, figure


def unlike(one: dict[int, int], other: dict[int, int]) -> int:
    return sum(one[key] != other[key] for key in one)


HAND = (13, 2, True)
HOLD = 20
OFF_RUNS, OFF_EPISODES = 100, 10_000


def sticking(mdp: MDP) -> Array:
    """The policy of Example 5.1: stick from 20 on."""
    policy: Array = np.eye(2)[np.full(mdp.size, HIT)]
    for total, shown, ace in product(range(HOLD, 22), range(1, 11), (False, True)):
        policy[number(total, shown, ace)] = np.eye(2)[STICK]
    return policy


def weighed(runs: int, episodes: int, seed: int) -> tuple[Array, Array]:
    """Importance ratios and returns [runs, episodes] from a hand, of a policy that hits and sticks by a coin."""
    mdp, rng = blackjack(), np.random.default_rng(seed)
    target = sticking(mdp)
    ratio, returns = np.ones(runs * episodes), np.zeros(runs * episodes)
    state, going = np.full(runs * episodes, number(*HAND)), np.arange(runs * episodes)
    ends = dealer(HAND[1], False)
    while len(going):
        action = rng.integers(2, size=len(going))
        ratio[going] *= target[state[going], action] / 0.5
        stuck = going[action == STICK]
        held = state[stuck] // (number(1, 0, False) - number(0, 0, False))
        has = rng.choice([*ends], size=len(stuck), p=[*ends.values()])
        returns[stuck] = np.sign(held - has)
        going = going[action == HIT]
        before = state[going]
        for s in np.unique(before):
            drawn = before == s
            state[going[drawn]] = rng.choice(mdp.size, size=drawn.sum(), p=mdp.transition[s, HIT])
        bust = mdp.terminal[state[going]]
        returns[going[bust]] = -1
        going = going[~bust]
    return ratio.reshape(runs, episodes), returns.reshape(runs, episodes)


@reproduces(
    "Figure 5.3",
    "ordinary and weighted importance sampling of one blackjack hand (Example 5.4)",
    "The book's value is a mean of a hundred million episodes, whose standard error is about 0.0001. Both estimates "
    "find it; the weighted one is far less wrong while episodes are few.",
)
def figure_5_3() -> Made:
    mdp = blackjack()
    value = float(evaluate(mdp, sticking(mdp), 1.0)[number(*HAND)])
    ratio, returns = weighed(OFF_RUNS, OFF_EPISODES, 53)
    count, total = np.arange(1, OFF_EPISODES + 1), (ratio * returns).cumsum(1)
    ordinary, weighted = total / count, total / np.maximum(ratio.cumsum(1), 1e-300)
    square = {"ordinary": np.square(ordinary - value), "weighted": np.square(weighted - value)}
    readings = [
        Reading("value of the hand", -0.27726, 0.0002, value, None, TEXT),
        *(
            Reading(
                f'{name}: mean square error after 1000 episodes ("closely approximated")',
                0,
                0.02,
                *mean(error[:, 999]),
                TEXT + ", in words",
            )
            for name, error in square.items()
        ),
    ]
    figure, (at,) = panels(
        1, "Weights that add up to 1 keep early estimates sane", f"Means of {OFF_RUNS} runs, each from 0."
    )
    lines(at, 1, {f"{name} importance sampling": error.mean(0) for name, error in square.items()})
    at.set_xscale("log")
    titled(at, "", "episodes", "mean square error")
    legend(at, "upper right")
    return readings, figure


# Chapter 6: temporal differences

WALKS = 100
BETTER = 'ahead of the best Monte Carlo ("consistently better")'


def walk(size: int, left: float) -> MDP:
    """A random walk on `size` states between two ends; the right one gives 1, the left one `left` (Example 6.2)."""
    transition, reward = np.zeros((size + 2, 1, size + 2)), np.zeros((size + 2, 1, size + 2))
    for s in range(1, size + 1):
        transition[s, 0, [s - 1, s + 1]] = 0.5
    reward[:, :, 0], reward[:, :, -1] = left, 1
    ends = np.isin(np.arange(size + 2), (0, size + 1))
    return MDP(transition, reward, np.eye(size + 2)[(size + 1) // 2], ends)


@cache
def walked(size: int, left: float, runs: int, episodes: int) -> list[list[Episode]]:
    mdp = walk(size, left)
    return [
        [play(mdp, uniform(mdp), np.random.default_rng((size, run, k))) for k in range(episodes)] for run in range(runs)
    ]


def errors(walks: list[list[Episode]], mdp: MDP, initial: float, learn: Callable[[Array, Episode], None]) -> Array:
    """Root mean square error of the values before the first episode and after each one [runs, episodes + 1]."""
    inner, truth = ~mdp.terminal, evaluate(mdp, uniform(mdp), 1.0)[~mdp.terminal]
    found = np.zeros((len(walks), len(walks[0]) + 1))
    for own, run in zip(found, walks, strict=True):
        value = np.where(mdp.terminal, 0.0, initial)
        own[0] = rms(value[inner], truth)
        for k, episode in enumerate(run):
            learn(value, episode)
            own[k + 1] = rms(value[inner], truth)
    return found


@reproduces(
    "Example 6.2",
    "TD(0) against constant-α Monte Carlo on a random walk",
    "Rates are the book's. With any of them, Monte Carlo learns more slowly than TD, or stays less exact.",
)
def example_6_2() -> Made:
    mdp, walks = walk(5, 0.0), walked(5, 0.0, WALKS, 100)

    def curves(learn: Callable[..., None], rates: tuple[float, ...]) -> dict[float, Array]:
        return {
            alpha: errors(walks, mdp, 0.5, partial(learn, alpha=alpha, gamma=1.0, terminal=mdp.terminal))
            for alpha in rates
        }

    by_td, by_mc = curves(td, (0.05, 0.1, 0.15)), curves(monte_carlo, (0.01, 0.02, 0.03, 0.04))
    both = np.stack([error.T[1:] for error in (*by_td.values(), *by_mc.values())])
    low_td, low_mc = (float(part.mean(-1).min()) for part in (both[: len(by_td)], both[len(by_td) :]))

    def behind(some: Array) -> float:
        curve = some.mean(-1)
        return float((curve[: len(by_td)].min(0) >= curve[len(by_td) :].min(0)).sum())

    readings = [
        Reading("error before the first walk", 0.235, 0.01, float(by_td[0.1][0, 0]), None, PLOT),
        Reading("TD, α = 0.05: error after 100 walks", 0.06, 0.02, *mean(by_td[0.05][:, -1]), PLOT),
        Reading(
            f"walks of 100 after which the best TD is not {BETTER}", 0, 0, *resampled(behind, both), TEXT + ", in words"
        ),
    ]
    figure, (left, right) = panels(
        2,
        "TD learns the random walk better than Monte Carlo does",
        f"Means of {WALKS} runs over the same walks. Lowest: {low_td:.3f} with TD, {low_mc:.3f} with Monte Carlo.",
    )
    for at, name, found in ((left, "TD(0)", by_td), (right, "Monte Carlo", by_mc)):
        lines(at, 0, {f"α = {alpha:g}": error.mean(0) for alpha, error in found.items()})
        at.set_ylim(0, 0.26)
        titled(at, name, "walks", "RMS error over states")
        legend(at, "lower left")
    return readings, figure


def certain(episodes: Sequence[Episode], mdp: MDP) -> tuple[Array, Array]:
    """What batch TD(0) and batch Monte Carlo converge to (Example 6.3): values of the MDP that the episodes look like,
    and mean returns. A state that was never seen keeps its first value, 0.5.
    """
    size = mdp.size
    count, total = np.zeros((size, size)), np.zeros(size)
    for states, rewards in episodes:
        np.add.at(count, (states[:-1], states[1:]), 1)
        np.add.at(total, states[:-1], rewards[-1])  # all others are 0
    seen = count.sum(1)
    unseen = (seen == 0) & ~mdp.terminal
    count[np.ix_(unseen, mdp.terminal)] = 1
    share = count / np.maximum(count.sum(1, keepdims=True), 1)
    looks = MDP(share[:, None], mdp.reward, mdp.start, mdp.terminal)
    by_mc = np.where(unseen, 0.5, total / np.maximum(seen, 1))
    return evaluate(looks, uniform(mdp), 1.0), by_mc


@reproduces(
    "Figure 6.2",
    "the random walk with batch training",
    "All walks so far are shown again and again until values no longer change. Both limits are computed directly: the "
    "values of the chain that the walks look like, and the means of the returns.",
)
def figure_6_2() -> Made:
    mdp, walks = walk(5, 0.0), walked(5, 0.0, WALKS, 100)
    inner, truth = ~mdp.terminal, evaluate(mdp, uniform(mdp), 1.0)[~mdp.terminal]
    found = np.array([[[rms(v[inner], truth) for v in certain(run[:k], mdp)] for k in range(1, 101)] for run in walks])
    by_td, by_mc = found[:, :, 0], found[:, :, 1]
    behind = resampled(lambda some: float((some[0].mean(-1) >= some[1].mean(-1)).sum()), np.stack([by_td.T, by_mc.T]))
    readings = [
        Reading(f"walks of 100 after which TD is not {BETTER}", 0, 0, *behind, TEXT + ", in words"),
        Reading("TD: error after 100 walks", 0.05, 0.02, *mean(by_td[:, -1]), PLOT),
        Reading("MC: error after 100 walks", 0.07, 0.02, *mean(by_mc[:, -1]), PLOT),
    ]
    figure, (at,) = panels(1, "From the same walks, batch TD infers more", f"Means of {WALKS} runs.")
    lines(at, 1, {"TD(0)": by_td.mean(0), "Monte Carlo": by_mc.mean(0)})
    at.set_ylim(bottom=0)
    titled(at, "", "walks", "RMS error over states")
    legend(at, "upper right")
    return readings, figure


A, B, OVER = range(3)
SEEN = [Episode([A, B, OVER], [0.0, 0.0]), *[Episode([B, OVER], [1.0])] * 6, Episode([B, OVER], [0.0])]
PASSES, SMALL_STEP = 600, 0.05


def batch(learn: Callable[..., None], episodes: Sequence[Episode], terminal: Array) -> Array:
    """Values after each pass over all episodes [PASSES + 1, S]: what they would change is added up, and then done."""
    value = np.zeros(len(terminal))
    found = [value]
    for _ in range(PASSES):
        change = np.zeros_like(value)
        for episode in episodes:
            own = value.copy()
            learn(own, episode, SMALL_STEP, 1.0, terminal)
            change += own - value
        value = value + change
        found.append(value)
    return np.array(found)


@reproduces(
    "Example 6.4",
    "eight episodes: what is A worth?",
    "A was seen once, and a return of 0 followed; but it led to B, which is worth 3/4. TD says 3/4, Monte Carlo 0.",
)
def example_6_4() -> Made:
    terminal = np.array([False, False, True])
    by_td, by_mc = batch(td, SEEN, terminal), batch(monte_carlo, SEEN, terminal)
    readings = [
        Reading("V(B), both", 0.75, 1e-6, float(by_td[-1, B]), None, TEXT),
        Reading("V(A) with batch TD", 0.75, 1e-6, float(by_td[-1, A]), None, TEXT),
        Reading("V(A) with batch Monte Carlo", 0, 1e-6, float(by_mc[-1, A]), None, TEXT),
    ]
    figure, (at,) = panels(1, "TD knows that A leads to B; Monte Carlo does not use it")
    curves = {"V(B), both": by_td[:, B], "V(A), TD": by_td[:, A], "V(A), Monte Carlo": by_mc[:, A]}
    lines(at, 0, curves)
    at.set_xlim(0, 150)
    titled(at, "", "passes over the eight episodes", "value")
    legend(at, "center right")
    return readings, figure


def learned(
    make: Callable[..., ActionValues], mdp: MDP, episodes: int, rng: np.random.Generator, **settings: float
) -> Array:
    """Return and steps of each episode of a new learner [episodes, 2]."""
    learner = make(np.zeros((mdp.size, mdp.choices)), SimpleNamespace(**settings))
    return np.array([practise(learner, mdp, rng, FOREVER) for _ in range(episodes)])


def exploring(mdp: MDP, epsilon: float) -> float:
    """What the ε-greedy policy gets on average that follows from the best values."""
    _, q = optimal(mdp, 1.0)
    return float(mdp.start @ evaluate(mdp, epsilon_greedy(q.round(9), epsilon), 1.0))


WINDY = (7, 10)
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
WINDY_RUNS, WINDY_EPISODES, PLOTTED = 20, 250, 8000


def windy() -> MDP:
    """Example 6.5: the wind of a column lifts whoever leaves it."""

    def go(state: int, action: int) -> tuple[int, float]:
        row, column, _ = moved(WINDY, state, action, WIND[state % WINDY[1]])
        return row * WINDY[1] + column, -1.0

    return deterministic(WINDY[0] * WINDY[1], len(MOVES), go, 3 * WINDY[1], (3 * WINDY[1] + 7,))


@reproduces(
    "Example 6.5",
    "Sarsa in a windy gridworld, ε = 0.1, α = 0.5",
    "The slope of the curve is episodes per step. The book says that it grows to one in about 17 steps, where 15 would "
    "do without exploring, and so it is with the best values. But α = 0.5 keeps Sarsa's values moving, and the last 50 "
    "of 250 episodes are longer than that. An independent program took 21.6 ± 0.2 steps for them.",
)
def example_6_5() -> Made:
    mdp, rng = windy(), np.random.default_rng(65)
    best = -float(mdp.start @ optimal(mdp, 1.0)[0])
    settings = {"learning_rate": 0.5, "discount": 1.0, "epsilon": 0.1}
    steps = np.stack([learned(Sarsa, mdp, WINDY_EPISODES, rng, **settings)[:, 1] for _ in range(WINDY_RUNS)])
    done = (steps.cumsum(1) <= PLOTTED).sum(1).astype(float)
    readings = [
        Reading("fewest steps to the goal", 15, 0, best, None, TEXT),
        Reading("steps of an episode, best values and ε = 0.1", 17, 1, -exploring(mdp, 0.1), None, TEXT + ', "about"'),
        Reading("steps of an episode that Sarsa ends with", 17, 1, *mean(steps[:, -50:].mean(1)), TEXT + ', "about"'),
        Reading("episodes within 8000 steps", 170, 20, *mean(done), PLOT),
    ]
    figure, (at,) = panels(
        1, "Episodes come faster and faster, until only exploring keeps them from 15 steps", f"{WINDY_RUNS} runs."
    )
    for run in steps:
        at.plot(run.cumsum(), np.arange(1, WINDY_EPISODES + 1), color=COLOURS[0], linewidth=0.7, alpha=0.5)
    at.set_xlim(0, PLOTTED)
    at.set_ylim(0, 220)
    titled(at, "", "steps", "episodes")
    return readings, figure


CLIFF_RUNS, CLIFF_EPISODES = 30, 500


@reproduces(
    "Example 6.6",
    "cliff walking: Sarsa against Q-learning, ε = 0.1, α = 0.5",
    "Q-learning learns the shortest path, along the edge, and falls while it explores. Sarsa learns that exploring is "
    "part of what it does, and keeps away.",
)
def example_6_6() -> Made:
    mdp = from_environment(gym.make("CliffWalking-v1"))
    settings = {"learning_rate": 0.5, "discount": 1.0, "epsilon": 0.1}
    returns = {}
    for name, make in (("Sarsa", Sarsa), ("Q-learning", QLearning)):
        rng = np.random.default_rng(66)
        returns[name] = np.stack([learned(make, mdp, CLIFF_EPISODES, rng, **settings)[:, 0] for _ in range(CLIFF_RUNS)])
    readings = [
        Reading("steps of the shortest path", 13, 0, -float(mdp.start @ optimal(mdp, 1.0)[0]), None, PRINTED),
        *(
            Reading(
                f"{name}: return of an episode at the end", published, 6, *mean(returns[name][:, -250:].mean(1)), PLOT
            )
            for name, published in (("Sarsa", -25), ("Q-learning", -50))
        ),
        Reading("best values and ε = 0.1, which Q-learning tends to", -50, 6, exploring(mdp, 0.1), None, PLOT),
    ]
    figure, (at,) = panels(
        1,
        "Q-learning knows the shortest path, and Sarsa earns more",
        f"Means of {CLIFF_RUNS} runs and of the last 10 episodes at each point.",
    )
    smooth = {name: np.convolve(own.mean(0), np.full(10, 0.1), "valid") for name, own in returns.items()}
    lines(at, 10, smooth)
    at.set_ylim(-100, 0)
    titled(at, "", "episode", "return of an episode")
    legend(at, "lower right")
    return readings, figure


FROM_B, NOISE, BIAS_RUNS, BIAS_EPISODES = 10, 1.0, 1000, 300
LEFT, RIGHT = range(2)


def lefts(make: Callable[..., ActionValues], rng: np.random.Generator) -> Array:
    """Whether each episode of Example 6.7 went left from A, to B, which pays N(-0.1, 1) whatever is done there."""
    learner = make(np.zeros((3, FROM_B)), SimpleNamespace(learning_rate=0.1, discount=1.0, epsilon=0.1))
    found = np.zeros(BIAS_EPISODES)

    def act(state: int, choices: int) -> int:
        policy = epsilon_greedy(learner.q[state, :choices], 0.1)
        return int(np.searchsorted(policy.cumsum()[:-1], rng.random(), side="right"))

    for k in range(BIAS_EPISODES):
        action = act(A, 2)
        found[k] = action == LEFT
        learner.learn(Step(A, action, 0.0, B if action == LEFT else OVER, 0, action != LEFT, False), rng)
        if action == LEFT:
            reward = rng.normal(-0.1, NOISE)
            learner.learn(Step(B, act(B, FROM_B), reward, OVER, 0, True, False), rng)
    return found


@reproduces(
    "Figure 6.5",
    "maximisation bias: Q-learning against double Q-learning (Example 6.7)",
    "The book has many actions in B and does not say how many; here there are ten. Exploring alone goes left 5 % of "
    "the time.",
)
def figure_6_5() -> Made:
    found = {}
    for name, make in (("Q-learning", QLearning), ("double Q-learning", DoubleQLearning)):
        rng = np.random.default_rng(67)
        found[name] = np.stack([lefts(make, rng) for _ in range(BIAS_RUNS)])
    single, double = found.values()
    readings = [
        Reading("Q-learning: share of left at the end", 0.10, 0.03, *mean(single[:, -30:].mean(1)), TEXT + ', "about"'),
        Reading("double Q-learning: share of left at the end", 0.05, 0.02, *mean(double[:, -30:].mean(1)), PLOT),
    ]
    figure, (at,) = panels(1, "The largest of noisy values looks better than it is", f"Means of {BIAS_RUNS:,} runs.")
    lines(at, 1, {name: own.mean(0) for name, own in found.items()})
    at.axhline(0.05, color=GREY, linewidth=1, linestyle=":", label="the least that ε = 0.1 allows")
    at.set_ylim(0, 1)
    titled(at, "", "episode", "share of left from A")
    legend(at, "upper right")
    return readings, figure


# Chapters 7 and 12: between TD and Monte Carlo

NINETEEN, FIRST = 19, 10
RATES = tuple(k / 10 for k in range(1, 11))
LENGTHS = (1, 2, 4, 8, 16, 32)
DECAYS = (0.0, 0.4, 0.8, 0.9, 0.95)
SHORT_RUNS = 50


def swept(runs: int, learn: Callable[..., None], options: Sequence[dict[str, float]]) -> Array:
    """Error over 19 states, mean of the first ten episodes, by option, rate and run [options, rates, runs]."""
    mdp, walks = walk(NINETEEN, -1.0), walked(NINETEEN, -1.0, runs, FIRST)

    def error(alpha: float, option: dict[str, float]) -> Array:
        found = errors(walks, mdp, 0.0, lambda v, e: learn(v, e, alpha, 1.0, mdp.terminal, **option))
        each: Array = found[:, 1:].mean(1)
        return each

    return np.array([[error(alpha, option) for alpha in RATES] for option in options])


def lowest(found: Array) -> tuple[int, int]:
    """Which option and which rate have the lowest mean."""
    option, rate = np.unravel_index(found.mean(2).argmin(), found.shape[:2])
    return int(option), int(rate)


@reproduces(
    "Figure 7.2",
    "n-step TD on a random walk with 19 states",
    "An n between TD(0) and Monte Carlo is best. All rates and all n see the same walks.",
)
def figure_7_2() -> Made:
    found = swept(WALKS, n_step_td, [{"n": n} for n in LENGTHS])
    i, j = lowest(found)
    readings = [
        Reading("n with the lowest error", 4, 0, *resampled(lambda some: LENGTHS[lowest(some)[0]], found), PLOT),
        Reading("the lowest error", 0.25, 0.02, *mean(found[i, j]), PLOT),
        Reading("rate α of the lowest error", 0.4, 0.1, *resampled(lambda some: RATES[lowest(some)[1]], found), PLOT),
    ]
    figure, (at,) = panels(
        1, "Neither one step nor the whole episode: a few steps are best", f"Means of {WALKS} runs, 10 walks each."
    )
    marked(at, RATES, {f"n = {n}": own.mean(1) for n, own in zip(LENGTHS, found, strict=True)})
    at.set_ylim(0.2, 0.56)
    titled(at, "", "rate α", "RMS error, mean of 10 walks")
    legend(at, "lower right")
    return readings, figure


@reproduces(
    "Figure 12.6",
    "the off-line λ-return algorithm and TD(λ) on the same random walk",
    "Both do about as well at their best; the off-line algorithm can use larger rates, TD(λ) need not wait for an end.",
)
def figure_12_6() -> Made:
    options = [{"lam": lam} for lam in DECAYS]
    with np.errstate(over="ignore", invalid="ignore"):
        found = [swept(SHORT_RUNS, learn, options) for learn in (lambda_return, td_lambda)]
    names = ("Off-line λ-return", "TD(λ)")
    readings = []
    for name, own in zip(names, found, strict=True):
        i, j = lowest(own)
        readings.append(Reading(f"{name}: the lowest error", 0.25, 0.03, *mean(own[i, j]), PLOT))
    figure, axes = panels(
        2,
        "λ-returns at the end of an episode, and traces during it, learn about as well",
        f"Means of {SHORT_RUNS} runs, 10 walks each.",
    )
    for at, name, own in zip(axes, names, found, strict=True):
        marked(at, RATES, {f"λ = {lam:g}": each.mean(1) for lam, each in zip(DECAYS, own, strict=True)})
        at.set_ylim(0.2, 0.56)
        titled(at, name, "rate α", "RMS error, mean of 10 walks")
    legend(axes[0], "lower right")
    return readings, figure


# Chapter 8: planning

MAZE = (6, 9)
WALLS = {(1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7)}
PLANNING = (0, 5, 50)
DYNA_RUNS, DYNA_EPISODES = 30, 50


def maze(reward_of_step: float = 0.0, reward_of_goal: float = 1.0) -> MDP:
    """The Dyna maze (Example 8.1): from row 2, column 0, to the upper right corner."""

    def go(state: int, action: int) -> tuple[int, float]:
        row, column, _ = moved(MAZE, state, action)
        to = state if (row, column) in WALLS else row * MAZE[1] + column
        return to, reward_of_step + (reward_of_goal if to == MAZE[1] - 1 else 0.0)

    return deterministic(MAZE[0] * MAZE[1], len(MOVES), go, 2 * MAZE[1], (MAZE[1] - 1,))


@reproduces(
    "Figure 8.2",
    "Dyna-Q in a maze with 0, 5 and 50 planning steps",
    "What was found once is worked out without walking. An agent counts as ε-optimal from the first episode whose "
    "steps, averaged over runs, are at most 1.25 times those of the best values with ε = 0.1; the book does not say "
    "what it counted as. The first episode is a random walk, whose mean is exact here: half of the book's. Another "
    "program that walked through this maze at random took 859 ± 13 steps.",
)
def figure_8_2() -> Made:
    costs = maze(-1.0, 0.0)
    shortest = -float(costs.start @ optimal(costs, 1.0)[0])
    first = -float(costs.start @ evaluate(costs, uniform(costs), 1.0))
    settings = {"learning_rate": 0.1, "discount": 0.95, "epsilon": 0.1, "bonus": 0.0}
    steps = {}
    for n in PLANNING:
        rng = np.random.default_rng(82)
        runs = [
            learned(DynaQ, maze(), DYNA_EPISODES, rng, planning_steps=n, **settings)[:, 1] for _ in range(DYNA_RUNS)
        ]
        steps[n] = np.stack(runs)
    good = 1.25 * -exploring(costs, 0.1)
    reached = {
        n: resampled(lambda some: float((some.mean(-1) <= good).argmax()) + 1, own.T) for n, own in steps.items()
    }
    readings = [
        Reading("steps of the shortest path", 14, 0, shortest, None, PRINTED + ", at an axis"),
        Reading("steps of the first episode, a random walk", 1700, 300, first, None, TEXT + ', "about"'),
        *(
            Reading(f"{n} planning steps: episodes until ε-optimal", book, slack, *reached[n], TEXT + ', "about"')
            for n, book, slack in zip(PLANNING, (25, 5, 3), (8, 2, 1), strict=True)
        ),
    ]
    figure, (at,) = panels(
        1,
        "Planning finds in three episodes what takes dozens without",
        f"Means of {DYNA_RUNS} runs; the first is left out.",
    )
    curves = {f"{n} planning steps": own.mean(0)[1:] for n, own in steps.items()}
    lines(at, 2, curves)
    at.axhline(shortest, color=GREY, linewidth=1, linestyle=":", label="shortest path: 14 steps")
    at.set_ylim(0, 800)
    titled(at, "", "episode", "steps of an episode")
    legend(at, "upper right")
    return readings, figure


# Chapter 13: policy gradients


def corridor() -> MDP:
    """Example 13.1: in the second of three cells, left and right are exchanged; each step costs 1."""
    to = {(0, LEFT): 0, (0, RIGHT): 1, (1, LEFT): 2, (1, RIGHT): 0, (2, LEFT): 1, (2, RIGHT): 3}
    return deterministic(4, 2, lambda s, a: (to[s, a], -1.0), 0, (3,))


def of_right(p: float) -> float:
    """The value of the first cell of a policy that goes right with probability p wherever it is."""
    mdp = corridor()
    return float(mdp.start @ evaluate(mdp, np.tile([1 - p, p], (mdp.size, 1)), 1.0))


@reproduces(
    "Example 13.1",
    "a short corridor whose cells look alike",
    "Who cannot tell the cells apart does best at random. The best value, -11.657, is what the book calls about -11.6.",
)
def example_13_1() -> Made:
    found = minimize_scalar(lambda p: -of_right(p), bounds=(0.05, 0.95), method="bounded", options={"xatol": 1e-9})
    readings = [
        Reading("best probability of right", 0.59, 0.005, float(found.x), None, TEXT + ', "about"'),
        Reading("its value", -11.6, 0.1, -float(found.fun), None, TEXT + ', "about"'),
        Reading("value of ε-greedy right, ε = 0.1", -44, 0.5, of_right(0.95), None, TEXT),
        Reading("value of ε-greedy left, ε = 0.1", -82, 0.5, of_right(0.05), None, TEXT),
    ]
    p = np.linspace(0.02, 0.98, 193)
    figure, (at,) = panels(1, "Where states look alike, the best policy is a random one")
    at.plot(p, [of_right(float(x)) for x in p], color=COLOURS[0])
    for x, name, side in ((0.05, "ε-greedy left", 8), (0.95, "ε-greedy right", -8), (float(found.x), "best", 0)):
        at.plot(x, of_right(x), "o", color=COLOURS[1])
        at.annotate(
            f"{name}\n{signed(of_right(x), '.1f')}",
            (x, of_right(x)),
            (side, -26 if not side else -4),
            textcoords="offset points",
            ha={8: "left", -8: "right", 0: "center"}[side],
            fontsize=8,
        )
    at.set_ylim(-100, 0)
    titled(at, "", "probability of right", "value of the first cell")
    return readings, figure


# The page


def rows() -> dict[str, list[Reading]]:
    """All readings that were kept, in the order of the book."""
    kept = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else {}
    return {name: [Reading(**reading) for reading in kept[name]] for name in FIGURES if name in kept}


def keep(found: dict[str, list[Reading]]) -> None:
    text = json.dumps({name: [asdict(one) for one in found[name]] for name in FIGURES if name in found}, indent=1)
    ROWS.write_text(text + "\n", encoding="utf-8")


def row(entry: Entry, one: Reading) -> str:
    ours = "exact" if one.error is None else f"± {one.error:.2g}"
    room = f"within {one.tolerance:g}" if one.tolerance else "exactly"
    room += " and two errors" if one.off > one.tolerance + ROUNDING else ""
    verdict = f"yes, {room}" if one.agrees else f"**no**, off by {one.off:.2g}, more than {one.tolerance:g}"
    digits = max(0, 1 - int(np.floor(np.log10(one.error)))) if one.error else None
    shown = signed(one.ours, f".{digits}f" if digits is not None else ".5g" if abs(one.ours) > 1e-9 else ".0f")
    cells = [entry.number, one.what, signed(one.published, ".5g"), one.how, f"{shown} ({ours})", verdict]
    return "| " + " | ".join(cells) + " |"


def page(found: dict[str, list[Reading]]) -> str:
    """docs/sutton-barto.md."""
    every = [one for readings in found.values() for one in readings]
    agree = sum(one.agrees for one in every)
    text = [
        "# Sutton & Barto's figures again",
        "",
        "Made by `python -m benchmarks.sutton_barto`, with the code of `relook.tabular` and with fixed seeds.",
        "",
        "Richard Sutton and Andrew Barto, *Reinforcement Learning: An Introduction*, second edition, 2018. Of "
        f"{len(every)} readings of {len(found)} figures and examples, {agree} agree. Numbers of the book are of three "
        "kinds: printed in a figure, printed in the text, and read off a plot, which was done from memory, with the "
        "uncertainty that is named. A reading agrees if it is within this tolerance and two standard errors of ours, "
        "which are those of independent runs, or of a bootstrap over runs. What is exact was solved and not sampled. "
        "What is known about a reading that does not agree stands below its picture.",
        "",
        "| | what | book | how it was read | relook | agrees |",
        "|---|---|---|---|---|---|",
        *(row(FIGURES[name], one) for name, readings in found.items() for one in readings),
        "",
    ]
    for name in found:
        entry = FIGURES[name]
        text += [f"## {entry.number}: {entry.shows}", "", f"![{entry.shows}](images/sutton-barto/{name}.png)", ""]
        text += [entry.text, ""]
    return "\n".join(text)


def main(names: Sequence[str]) -> None:
    if unknown := set(names) - set(FIGURES):
        sys.exit(f"expected names out of {', '.join(FIGURES)}; found {', '.join(sorted(unknown))}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    found = rows()
    for name in names or FIGURES:
        begun = time.perf_counter()
        found[name], figure = FIGURES[name].make()
        save(figure, IMAGES / f"{name}.png")
        print(f"{name}: {time.perf_counter() - begun:.1f} s", flush=True)
        for one in found[name]:
            print(f"    {row(FIGURES[name], one)}", flush=True)
        keep(found)
    PAGE.write_text(page(rows()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
