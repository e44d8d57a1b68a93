"""Trajectories, their probabilities, and the expected return: all of them, added up."""

import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, panels, titled
from relook.tabular import MDP, Array, under
from relook.tabular.three_states import STUDY, student, undecided

LENGTH = 4
"""Actions T of a trajectory τ = (s₀, a₀, …, s_T)."""


class Found(NamedTuple):
    probability: NDArray[np.float64]
    """P(τ|π) of every trajectory."""
    ret: NDArray[np.float64]
    """R(τ), the sum of its rewards."""
    by_notes: NDArray[np.float64]
    """What the notes' formula gives, with p(s₀) inside the product."""
    by_dynamic_programming: float
    """The expected return by recursion over time."""
    posterior: NDArray[np.float64]
    """p(s₀ | a₀ = study) [S] of all trajectories, by counting probability."""
    bayes: NDArray[np.float64]
    """The same from Bayes' theorem."""


def compute(start_inside: bool = False) -> Found:
    mdp, policy = student(), undecided()
    probability, ret, by_notes, first = [], [], [], []
    for states in itertools.product(range(mdp.size), repeat=LENGTH + 1):
        for actions in itertools.product(range(mdp.choices), repeat=LENGTH):
            steps = list(zip(states[:-1], actions, states[1:], strict=True))
            product = float(np.prod([policy[s, a] * mdp.transition[s, a, s2] for s, a, s2 in steps]))
            inside = mdp.start[states[0]] ** LENGTH * product
            by_notes.append(inside)
            probability.append(inside if start_inside else mdp.start[states[0]] * product)
            ret.append(sum(mdp.reward[step] for step in steps))
            first.append((states[0], actions[0]))
    p, start, studies = np.array(probability), *np.array(first).T
    posterior = np.array([p[(start == s) & (studies == STUDY)].sum() for s in range(mdp.size)])
    likelihood = mdp.start * policy[:, STUDY]
    return Found(
        p,
        np.array(ret),
        np.array(by_notes),
        _by_dynamic_programming(mdp, policy),
        posterior / posterior.sum(),
        likelihood / likelihood.sum(),
    )


def _by_dynamic_programming(mdp: MDP, policy: Array) -> float:
    """Σ_s p(s₀ = s) V_T(s), with V_0 = 0 and V_{k+1} = r_π + P_π V_k."""
    p, r = under(mdp, policy)
    value = np.zeros(mdp.size)
    for _ in range(LENGTH):
        value = r + p @ value
    return float(mdp.start @ value)


def claims(found: Found) -> list[Claim]:
    exact = "a sum of 3,888 products, exact but for rounding"
    return [
        Claim("the sum of P(τ|π) over all trajectories", found.probability.sum(), 1.0, 1e-12, exact),
        Claim(
            "Σ P(τ|π) R(τ), less the expected return by recursion",
            float(found.probability @ found.ret) - found.by_dynamic_programming,
            0.0,
            1e-12,
            exact,
        ),
        Claim(
            "the sum over all trajectories with p(s₀) inside the product, as the notes have it",
            found.by_notes.sum(),
            0.5**4 + 0.3**4 + 0.2**4,
            1e-12,
            "p(s₀) then comes T = 4 times, and Σ p(s₀)⁴ is left",
        ),
        Claim(
            "the largest difference of p(s₀|a₀ = study), counted, from Bayes' theorem",
            float(np.abs(found.posterior - found.bayes).max()),
            0.0,
            1e-12,
            exact,
        ),
    ]


def draw(found: Found) -> Figure:
    mean = float(found.probability @ found.ret)
    figure, (left, right) = panels(
        2,
        f"All {(found.probability > 0).sum():,} trajectories of four steps: their probabilities add up to 1, their "
        f"returns to J(π) = {mean:.3f}",
        "The student of three states, with a policy that studies with probability 0.6 when fresh, 0.5 when tired, 0.2 "
        "when ill.",
    )
    edges = np.arange(-4.25, 8.75, 0.5)
    left.hist(found.ret, edges.tolist(), weights=found.probability, color=COLOURS[0], alpha=0.75)
    left.axvline(mean, color=COLOURS[1], linewidth=2, linestyle="--")
    top = left.get_ylim()[1]
    left.annotate(" J(π)", (mean, 0.96 * top), fontsize=9, va="top", color=COLOURS[1])
    titled(left, "Where the probability lies", "return R(τ)", "probability")
    sums = [found.probability.sum(), found.by_notes.sum()]
    bars = right.bar(["p(s₀) Π p π", "Π p(s₀) p π\n(the notes)"], sums, color=[COLOURS[0], COLOURS[1]], width=0.5)
    right.bar_label(bars, [f"{x:.4f}" for x in sums], fontsize=9, padding=2)
    right.set_ylim(0, 1.15)
    titled(right, "p(s₀) comes once", "", "sum over all trajectories")
    return figure


def lesson(found: Found) -> str:
    return (
        "P(τ|π) = p(s₀) Π π(a_t|s_t) p(s_{t+1}|s_t, a_t): the chain rule of probability, with p(s₀) once. The sum over "
        f"all trajectories is {found.probability.sum():.12g}; with p(s₀) inside the product it would be "
        f"{found.by_notes.sum():.4f}. Weighted by it, the returns add up to the goal of reinforcement learning, "
        f"J(π) = {found.probability @ found.ret:.4f}, which a recursion over time finds without listing anything."
    )


LAB = Lab(
    name="trajectories",
    title="Trajectories, their probability, and the goal",
    question=(
        "A trajectory τ is a first state, drawn from p(s₀), and then action after action, state after state. How "
        "probable is one, given a policy π? And what is the expected return J(π) = E[R(τ)], if one lists all "
        "trajectories of four steps of the student of three states and adds up?"
    ),
    prompt="The notes write p(s₀) inside the product over time. What do these P(τ) of all trajectories add up to?",
    choices=("1, as probabilities do", "more than 1", "less than a tenth"),
    answer=lambda found: 2 if found.by_notes.sum() < 0.1 else 1 if found.by_notes.sum() > 1 + 1e-9 else 0,
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="p(s₀) is inside the product over time",
    wrong=lambda: compute(start_inside=True),
    notes=(
        "Trajectories",
        "- finite horizon, infinite horizon discounted return",
        "Goal in RL is to select a policy which maximizes expected return when the agent acts according to it",
        r"\(P(traj|\pi) = \prod_{t=0}^{T-1} p(s_0) p(s_{t+1}| s_t, a_t) \pi(a_t | s_t) \)",
        "- random variables, Bayes theorem, chain rule prob, expected value, standard dev, importance sampling",
    ),
    reading=("relook lab bellman", "Sutton & Barto 2018, section 3.1", "Spinning Up, Key Concepts in RL"),
    erratum=(
        "The notes have p(s₀) inside the product, where it comes once for each step. Outside it, once, the "
        "probabilities add up to 1."
    ),
)
