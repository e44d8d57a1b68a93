"""The maximum of estimates is too large on average; double Q-learning and what it gives up for being unbiased."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array
from relook.tabular.bandits import best
from relook.tabular.double_q_learning import DoubleQLearning
from relook.tabular.learner import ActionValues, Step, epsilon_greedy
from relook.tabular.q_learning import QLearning

ACTIONS = np.array([1, 2, 3, 5, 7, 10, 15, 20])
"""How many actions there are; all are worth 0."""
DRAWS = 100_000
"""Maxima of each kind."""
TEN = int(np.flatnonzero(ACTIONS == 10)[0])
A, B, END = range(3)
RIGHT, LEFT = range(2)
MANY = 10
"""Actions in state B, each with rewards from N(-0.1, 1)."""
MEAN = -0.1
EPSILON, ALPHA = 0.1, 0.1
EPISODES, RUNS = 300, 5_000
LOOK = 19
"""The episode, counted from 0, at which learners are compared."""
CHECKS = 800
"""Runs of relook's own learners, of `LOOK` + 1 episodes each."""
OPTIMUM = EPSILON / 2
"""How often left is chosen by who knows that right is better."""


class Found(NamedTuple):
    single: NDArray[np.float64]
    """The mean of max_a Q̂(a), for each of `ACTIONS`."""
    double: NDArray[np.float64]
    """The mean of Q̂₂(argmax_a Q̂₁(a))."""
    gap: float
    """The same for two actions that are worth 0 and -1."""
    q: NDArray[np.float64]
    """The share of Q-learning's runs that go left, in each episode."""
    double_q: NDArray[np.float64]
    """The same of double Q-learning."""
    own_q: float
    """In episode `LOOK`, by relook's own Q-learning."""
    own_double_q: float


def compute(alone: bool = False) -> Found:
    """If `alone`, a table that says which action is best says what it is worth, too, though there are two tables."""
    rng = np.random.default_rng(1)
    single, double = [], []
    for n in ACTIONS:
        one, two = rng.standard_normal((2, DRAWS, n))
        single.append(float(one.max(1).mean()))
        double.append(_double(one, two, alone))
    one, two = rng.standard_normal((2, DRAWS, 2)) - [0.0, 1.0]
    return Found(
        np.array(single),
        np.array(double),
        _double(one, two, alone),
        _left(rng, 1, alone),
        _left(rng, 2, alone),
        _left_of(QLearning, rng),
        _left_of(DoubleQLearning, rng),
    )


def _double(one: Array, two: Array, alone: bool) -> float:
    """The mean of what `two` says of the actions that `one` says are best."""
    return float(np.take_along_axis(one if alone else two, one.argmax(1)[:, None], 1).mean())


def _left(rng: np.random.Generator, tables: int, alone: bool) -> NDArray[np.float64]:
    """The share of runs that go left in each episode, all runs at once, with one table or two."""
    at_a, at_b = np.zeros((tables, RUNS, 2)), np.zeros((tables, RUNS, MANY))
    row, share = np.arange(RUNS), []
    for _ in range(EPISODES):
        first = np.where(rng.random(RUNS) < EPSILON, rng.integers(2, size=RUNS), best(at_a.sum(0), rng))
        left = first == LEFT
        share.append(float(left.mean()))
        own = rng.integers(tables, size=RUNS)
        other = own if alone else tables - 1 - own
        ahead = np.where(left, at_b[other, row, best(at_b[own, row], rng)], 0.0)
        at_a[own, row, first] += ALPHA * (ahead - at_a[own, row, first])
        # all runs act in B, and those that are there learn
        second = np.where(rng.random(RUNS) < EPSILON, rng.integers(MANY, size=RUNS), best(at_b.sum(0), rng))
        own = rng.integers(tables, size=RUNS)
        error = rng.normal(MEAN, 1.0, RUNS) - at_b[own, row, second]
        at_b[own, row, second] += np.where(left, ALPHA * error, 0.0)
    return np.array(share)


def _left_of(kind: type[ActionValues], rng: np.random.Generator) -> float:
    """The share that goes left in episode `LOOK`, by one of relook's learners, run by run."""
    h = SimpleNamespace(discount=1.0, learning_rate=ALPHA, epsilon=EPSILON)
    count = 0
    for _ in range(CHECKS):
        learner = kind(np.zeros((3, MANY)), h)
        for _ in range(LOOK + 1):
            left = rng.random() < epsilon_greedy(learner.q[A, :2], EPSILON)[LEFT]
            learner.learn(Step(A, int(left), 0.0, B if left else END, 0, not left, False), rng)
            if left:
                learner.learn(Step(B, learner.act(B, rng), rng.normal(MEAN, 1.0), END, 0, True, False), rng)
        count += left
    return count / CHECKS


def largest(n: int) -> float:
    """E[max] of n standard normal numbers: ∫ x n φ(x) Φ(x)ⁿ⁻¹ dx."""
    return float(quad(lambda x: x * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), -10, 10, epsabs=1e-12)[0])


def claims(found: Found) -> list[Claim]:
    sharp = 4 / np.sqrt(DRAWS)
    many = f"; four standard errors of {DRAWS:,} draws"

    def error(p: float) -> float:
        return float(4 * np.sqrt(p * (1 - p) * (1 / RUNS + 1 / CHECKS)))

    return [
        Claim(
            "the mean of the largest of ten estimates, where all actions are worth 0",
            found.single[TEN],
            largest(10),
            0.59 * sharp,
            "∫ x 10 φ(x) Φ(x)⁹ dx; it has the standard deviation 0.59" + many,
        ),
        Claim(
            "the same where a second estimate says what the choice of the first is worth",
            found.double[TEN],
            0.0,
            sharp,
            "the second does not know why an action was chosen" + many,
        ),
        Claim(
            "the same for two actions that are worth 0 and -1, which is less than the best one's 0",
            found.gap,
            -float(norm.cdf(-1 / np.sqrt(2))),
            1.1 * sharp,
            "the worse one is chosen with probability Φ(-1/√2); the standard deviation is 1.09" + many,
        ),
        Claim(
            "the share of Q-learning's runs that go left in episode 20",
            found.q[LOOK],
            0.9,
            0.0,
            f"{RUNS:,} runs, so that 0.94 is measured within 0.014; the best policy goes left in 5 %",
            "at least",
        ),
        Claim(
            "how much less often double Q-learning does",
            found.q[LOOK] - found.double_q[LOOK],
            0.6,
            0.0,
            "0.94 less 0.29, within 0.03",
            "at least",
        ),
        Claim(
            "Q-learning's share, less that of relook's own learner",
            found.q[LOOK] - found.own_q,
            0.0,
            error(0.94),
            "two programs of the same algorithm; four standard errors of both",
        ),
        Claim(
            "double Q-learning's share, less that of relook's own learner",
            found.double_q[LOOK] - found.own_double_q,
            0.0,
            error(0.29),
            "two programs of the same algorithm; four standard errors of both",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"The largest of ten estimates of 0 is {found.single[TEN]:.2f} on average, and Q-learning goes after it",
        f"Left: {DRAWS:,} maxima of each kind, each estimate off by N(0, 1). Right: {RUNS:,} runs; left leads to "
        f"{MANY} actions with rewards from N(-0.1, 1), right to 0; ε = α = 0.1, γ = 1.",
    )
    left.plot(ACTIONS, [largest(int(n)) for n in ACTIONS], color=GREY, linewidth=1, label="exact")
    left.plot(ACTIONS, found.single, "o", color=COLOURS[1], label="max of one estimate")
    left.plot(ACTIONS, found.double, "s--", color=COLOURS[0], label="one chooses, another says how much")
    left.set_ylim(-0.2, 2.6)
    left.set_xticks(ACTIONS)
    titled(left, "What actions that are worth 0 seem to be worth", "actions", "mean estimate of the best")
    legend(left, "upper left")
    episode = np.arange(1, EPISODES + 1)
    right.plot(episode, found.q, color=COLOURS[1], label="Q-learning")
    right.plot(episode, found.double_q, "--", color=COLOURS[0], label="double Q-learning")
    right.axhline(OPTIMUM, color=GREY, linewidth=1, linestyle=":", label="who knows better (ε / 2)")
    right.plot([LOOK + 1] * 2, [found.q[LOOK], found.double_q[LOOK]], "o", color=GREY, markersize=4)
    for share in (found.q[LOOK], found.double_q[LOOK]):
        right.annotate(f"  {share:.0%}", (LOOK + 1, share), fontsize=9, va="bottom")
    right.set_ylim(0, 1.05)
    titled(right, "How often they go left, where less is to be had", "episode", "share of runs")
    legend(right, "upper right")
    return figure


def lesson(found: Found) -> str:
    return (
        f"Each estimate is right on average, and the largest of ten is {found.single[TEN]:.2f} too large: the maximum "
        "picks out the errors that are positive. Q-learning's target has such a maximum in it: in episode "
        f"{LOOK + 1}, {found.q[LOOK]:.0%} of its runs go where rewards are noisy, for -0.1 instead of 0. With two "
        f"tables, of which one chooses and the other says how much, it is {found.double_q[LOOK]:.0%}; the best policy "
        f"explores it in {OPTIMUM:.0%}. Two tables do not make estimates exact: where actions differ, the choice is "
        f"sometimes wrong and the estimate too small ({found.gap:.2f} instead of 0 for two actions with a gap of 1). "
        "Double DQN and the two critics of TD3 and SAC come from here."
    )


LAB = Lab(
    name="overestimation",
    title="The largest estimate is too large",
    question=(
        "Q-learning's target is r + γ max_a Q(s', a), and each Q(s', a) is an estimate that may be off either way. "
        "What if all ten actions are worth 0 and every estimate is off by a normal error of standard deviation 1? And "
        "what does it do to behaviour? From state A, right ends the episode with 0; left leads to state B, from which "
        "ten actions end it with a reward from N(-0.1, 1). All values start at 0, and the learner explores with "
        "ε = 0.1."
    ),
    prompt="Right is better. How many of Q-learning's runs go left in episode 20?",
    choices=("about 5 %, as ε says", "about half", "more than 90 %"),
    answer=lambda found: int(np.abs(np.array([0.05, 0.5, 0.95]) - found.q[LOOK]).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="with two tables, the one that chooses the next action says what it is worth, too",
    wrong=lambda: compute(alone=True),
    notes=(
        "- Qlearning -> DDPG -> TD3 -> SAC",
        "- Q-learning",
        "- DQN",
        r"- Learn approximator \(Q_\theta(s,a)\) for optimal action-value function \(Q^*(s,a)\), the policy is "
        r"obtained by the supremum policy \(a(s) = argmax_a Q_\theta(s,a)\)",
    ),
    reading=(
        "relook lab target_network",
        "Sutton & Barto 2018, section 6.7 and Example 6.7",
        "van Hasselt 2010, Double Q-learning",
        "van Hasselt et al. 2016 (arXiv:1509.06461)",
        "Fujimoto et al. 2018 (arXiv:1802.09477), section 4",
    ),
)
