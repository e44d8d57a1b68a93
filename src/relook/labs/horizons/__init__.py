"""A return of T steps or a discounted one: when they prefer other actions, and what a short-sighted γ costs."""

import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import bisect

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, backup, evaluate, policy_iteration, under
from relook.tabular.three_states import GAMMA, REST, STUDY, TIRED, student, undecided

LONGEST = 40
LISTED = 4
"""Steps T of which all plans are listed."""
SHORT = 0.5
"""A discount γ that looks 1 / (1 - γ) = 2 steps ahead."""
SIGHTS = np.geomspace(1.02, 50, 120)
"""1 / (1 - γ), how many steps a discount γ looks ahead."""


class Found(NamedTuple):
    by_steps: NDArray[np.float64]
    """Q(tired, study) - Q(tired, rest) of the best plan, with 1, 2, … steps left."""
    by_discount: NDArray[np.float64]
    """The same of the best policy for each discount of `SIGHTS`."""
    turn: float
    """The γ at which both actions are as good."""
    planned: float
    """The expected return of the best plan of `LISTED` steps, by recursion over the steps that are left."""
    listed: float
    """The largest of all plans, one policy for each step."""
    dying: tuple[float, float]
    """The discounted return of a policy; and its mean sum of rewards if each step is the last with probability 1 - γ"""
    loss: dict[float, NDArray[np.float64]]
    """For a discount: how much less than the best plan its policy gets in 1, 2, … steps."""


def compute(discounted: bool = False) -> Found:
    """If `discounted`, T steps are planned with γ = 1 - 1/T, as if that were the same."""
    mdp = student()
    best, gaps = [np.zeros(mdp.size)], []
    for left in range(1, LONGEST + 1):
        gamma = 1 - 1 / left if discounted else 1.0
        q = backup(mdp, best[-1], gamma)
        gaps.append(float(q[TIRED, STUDY] - q[TIRED, REST]))
        best.append(q.max(1))
    planned = np.array(best[1:]) @ mdp.start
    return Found(
        np.array(gaps),
        np.array([gap(mdp, 1 - 1 / sight) for sight in SIGHTS]),
        float(bisect(lambda gamma: gap(mdp, gamma), 0.1, 0.9, xtol=1e-13)),
        float(planned[LISTED - 1]),
        _best_listed(mdp),
        _dying(mdp, undecided()),
        {gamma: planned - _returns(mdp, policy_iteration(mdp, gamma)[0]) for gamma in (SHORT, GAMMA)},
    )


def gap(mdp: MDP, gamma: float) -> float:
    """Q*(tired, study) - Q*(tired, rest)."""
    _, value, _ = policy_iteration(mdp, gamma)
    q = backup(mdp, value, gamma)
    return float(q[TIRED, STUDY] - q[TIRED, REST])


def _returns(mdp: MDP, policy: Array) -> NDArray[np.float64]:
    """The expected sum of the rewards of 1, 2, … steps."""
    p, r = under(mdp, policy)
    state, total, found = mdp.start, 0.0, []
    for _ in range(LONGEST):
        total += float(state @ r)
        state = state @ p
        found.append(total)
    return np.array(found)


def _best_listed(mdp: MDP) -> float:
    """The largest expected return of all plans of `LISTED` steps, each of which has a deterministic policy per step."""
    policies = [np.eye(mdp.choices)[list(choice)] for choice in itertools.product(range(mdp.choices), repeat=mdp.size)]
    chains = [under(mdp, policy) for policy in policies]
    best = -np.inf
    for plan in itertools.product(chains, repeat=LISTED):
        state, total = mdp.start, 0.0
        for p, r in plan:
            total, state = total + float(state @ r), state @ p
        best = max(best, total)
    return best


def _dying(mdp: MDP, policy: Array) -> tuple[float, float]:
    """Σ_T γᵀ⁻¹ (1 - γ) E[r₁ + … + r_T], up to T = 1,000, of which less than 1e-40 is missing."""
    p, r = under(mdp, policy)
    state, total, mean = mdp.start, 0.0, 0.0
    for steps in range(1, 1_001):
        total += float(state @ r)
        mean += GAMMA ** (steps - 1) * (1 - GAMMA) * total
        state = state @ p
    return float(mdp.start @ evaluate(mdp, policy, GAMMA)), mean


def claims(found: Found) -> list[Claim]:
    short = found.loss[SHORT]
    return [
        Claim(
            "the γ at which studying and resting are worth the same when tired",
            found.turn,
            float((np.sqrt(3.72) - 1.8) / 0.24),
            1e-9,
            "Bellman's equations come down to 0.12 γ² + 1.8 γ - 1 = 0; bisection",
        ),
        Claim(
            "how many of the last 40 steps a tired student should study in",
            float((found.by_steps > 0).sum()),
            1.0,
            0.0,
            "the last one, after which nothing can happen any more; with two left resting is better by 0.3",
        ),
        Claim(
            "the return of the best plan of four steps, by recursion",
            found.planned,
            found.listed,
            1e-12,
            "the largest of all 8⁴ plans, listed; rounding",
        ),
        Claim(
            "the mean return if each step is the last with probability 1 - γ, less the discounted return",
            found.dying[1] - found.dying[0],
            0.0,
            1e-10,
            "step t is reached with probability γᵗ; rounding in a sum of 1,000 terms",
        ),
        Claim(
            "what the best policy for γ = 0.5 loses in each step of a long life",
            float(short[-1] - short[-2]),
            7 / 6 - 2 / 5,
            1e-9,
            "mean rewards per step, 7/6 and 2/5, from the shares of time in each state; what is missing falls as 2⁻ᵀ",
        ),
        Claim(
            "the advantage of studying with 40 steps left",
            float(found.by_steps[-1]),
            -23 / 18,
            1e-9,
            "that in the mean reward per step, h(s) = r - 7/6 + Σ p h, where γ → 1 leads, too; 0.4⁴⁰ is missing",
        ),
    ]


def draw(found: Found) -> Figure:
    per_step = found.loss[SHORT][-1] - found.loss[SHORT][-2]
    figure, (left, right) = panels(
        2,
        f"With two steps left a tired student rests, with γ = {SHORT} it studies, which costs {per_step:.2f} per step",
        "The student of three states; all values are exact. Right: the best plan knows how many "
        "steps are left, the policies do not.",
    )
    steps = np.arange(1, LONGEST + 1)
    left.semilogx(SIGHTS, found.by_discount, "-", color=COLOURS[0], label="discounted, at 1 / (1 - γ)")
    left.semilogx(steps, found.by_steps, "s", color=COLOURS[1], markersize=5, label="undiscounted, at T steps left")
    left.axhline(0, color=GREY, linewidth=1)
    ticks = (1, 2, 5, 10, 20, 50)
    left.set_xticks(ticks, [str(tick) for tick in ticks])
    left.minorticks_off()
    titled(left, "When tired: above 0 study, below rest", "steps that one looks ahead", "Q(study) - Q(rest)")
    legend(left, "upper right")
    for gamma, style, colour in ((SHORT, "^--", COLOURS[2]), (GAMMA, "o-", COLOURS[0])):
        right.plot(
            steps, found.loss[gamma], style, color=colour, markersize=4, label=f"the best policy for γ = {gamma}"
        )
    titled(right, "Less than the best plan", "steps T", "undiscounted return that is lost")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    short, usual = found.loss[SHORT], found.loss[GAMMA]
    return (
        "A discounted return is the undiscounted one of a life whose every step is the last with probability 1 - γ: "
        f"{found.dying[1]:.4f} either way for the policy that is undecided, with γ = {GAMMA}. Such a life has "
        "1 / (1 - γ) steps on average, but that is no horizon of so many steps: with two steps left a tired student "
        f"should rest (better by {-found.by_steps[1]:.1f}), with γ = 0.5 study, and rest only above γ = "
        f"{found.turn:.4f}. The best policy for γ = 0.5 then falls ill again and again and loses "
        f"{short[-1] - short[-2]:.3f} per step, {short[-1]:.1f} in {LONGEST} steps. With γ = {GAMMA} the policy is "
        f"right except for the last step, in which it still rests when tired; it loses {usual[-1]:.3f} however long "
        "life is. A best plan of T steps depends on the time that is left, a best discounted policy does not, which "
        "is one reason why most algorithms learn the latter."
    )


LAB = Lab(
    name="horizons",
    title="T steps, or a discount",
    question=(
        "Two returns: the sum of the rewards of T steps, and the discounted sum Σ γᵗ r_t without end. A discount "
        "γ looks about 1 / (1 - γ) steps ahead, so γ = 0.5 looks 2 ahead. The student of three states is tired: "
        "studying pays 1 now and may make ill, resting pays nothing and refreshes. When do the two returns prefer "
        "other actions?"
    ),
    prompt="Tired: what is best with two steps left, undiscounted, and what for γ = 0.5?",
    choices=("study in both", "rest in both", "rest with two steps left, study with γ = 0.5"),
    answer=lambda found: 2 if found.by_steps[1] < 0 and found.turn > SHORT else int(found.by_steps[1] < 0),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="T steps are planned with the discount γ = 1 - 1/T, as if that were the same",
    wrong=lambda: compute(discounted=True),
    notes=(
        "- finite horizon, infinite horizon discounted return",
        "Goal in RL is to select a policy which maximizes expected return when the agent acts according to it",
    ),
    reading=(
        "relook lab time_limits",
        "relook lab bellman",
        "Sutton & Barto 2018, sections 3.3 and 10.3",
        "Puterman 1994, Markov Decision Processes, section 5.3 and chapter 8",
    ),
)
