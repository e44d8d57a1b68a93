"""Entropy in the goal: the soft Bellman equation, and when Q-learning and policy gradients are the same."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, backup, optimal, visits
from relook.tabular.three_states import GAMMA, student

ALPHAS = np.geomspace(0.01, 100, 25)
"""Temperatures α: what a nat of entropy is worth in rewards."""
ALPHA = 0.5
"""The one of which more is computed."""
LENGTH = 4
"""Actions of the paths along which values are compared."""
POLICIES = 20
"""Random Q whose gradients are compared."""


class Found(NamedTuple):
    excess: NDArray[np.float64]
    """V_soft - V* of each α [alphas, S]."""
    inconsistency: float
    """The largest difference of V_soft from what paths of four actions, whatever they are, say it is."""
    soft: NDArray[np.float64]
    """The gradient of soft Q-learning's loss by Q [POLICIES, S, A], on states and actions of its own policy."""
    policy: NDArray[np.float64]
    """-α ∇J, with J the return and α times the entropy along the way, by complex steps [POLICIES, S, A]."""
    value: NDArray[np.float64]
    """The gradient of the value error ½ E[(V_Q - V^π)²] by Q [POLICIES, S, A]."""


def compute(without_entropy: bool = False) -> Found:
    """`without_entropy` has V(s) = Σ_a π(a|s) Q(s, a) in Bellman's equation, with the same softmax policy."""
    mdp, rng = student(), np.random.default_rng(19)
    best, _ = optimal(mdp, GAMMA)
    excess = np.array([_soft_values(mdp, alpha, without_entropy)[0] - best for alpha in ALPHAS])
    # Near the best Q, as learned ones are: elsewhere the value error is all that one sees.
    guesses = _soft_values(mdp, ALPHA, False)[1] + rng.normal(0, 1, (POLICIES, mdp.size, mdp.choices))
    gradients = np.array([_gradients(mdp, q, without_entropy) for q in guesses])
    return Found(excess, _inconsistency(mdp, without_entropy), *gradients.transpose(1, 0, 2, 3))


def _soft_values(mdp: MDP, alpha: float, without_entropy: bool) -> tuple[Array, Array]:
    """V = α log Σ_a e^(Q/α), Q = r + γ P V, iterated until it stands still, and Q."""
    value, change = np.zeros(mdp.size), np.inf
    while change > 1e-13 * (1 + np.abs(value).max()):
        q = backup(mdp, value, GAMMA)
        pi = softmax(q / alpha, 1)
        following = (pi * q).sum(1) if without_entropy else alpha * logsumexp(q / alpha, 1)
        change, value = np.abs(following - value).max(), following
    return value, q


def _inconsistency(mdp: MDP, without_entropy: bool) -> float:
    """V(s₀) = E[Σ_t γᵗ (r_t - α log π(a_t|s_t)) + γᵈ V(s_d)] for all sequences of actions, the best and the worst."""
    value, q = _soft_values(mdp, ALPHA, without_entropy)
    cost = ALPHA * np.log(softmax(q / ALPHA, 1))
    off = []
    for actions in itertools.product(range(mdp.choices), repeat=LENGTH):
        path: Array = value
        for a in reversed(actions):
            path = mdp.mean_reward[:, a] - cost[:, a] + GAMMA * mdp.transition[:, a] @ path
        off.append(np.abs(path - value).max())
    return float(max(off))


def _soft_return(mdp: MDP, q: NDArray[Any]) -> NDArray[Any]:
    """V^π [S] of π = softmax(Q/α), entropy included; Q may be complex."""
    e = np.exp(q / ALPHA)
    pi = e / e.sum(1, keepdims=True)
    p, r = np.einsum("sa,sat->st", pi, mdp.transition), (pi * (mdp.mean_reward - ALPHA * np.log(pi))).sum(1)
    solved: NDArray[Any] = np.linalg.solve(np.eye(mdp.size) - GAMMA * p, r)
    return solved


def _gradients(mdp: MDP, q: Array, without_entropy: bool) -> tuple[Array, Array, Array]:
    """Of one Q, in a table, whose policy is π = softmax(Q/α); states are weighted by how often π visits them."""
    pi = softmax(q / ALPHA, 1)
    d = visits(mdp, pi, GAMMA)[:, None]
    true = _soft_return(mdp, q).real
    if without_entropy:
        chain = np.einsum("sa,sat->st", pi, mdp.transition)
        true = np.linalg.solve(np.eye(mdp.size) - GAMMA * chain, (pi * mdp.mean_reward).sum(1))
    target = backup(mdp, true, GAMMA)
    soft = d * pi * (q - target)

    ascent = np.empty_like(q)
    for place in np.ndindex(q.shape):
        moved = q.astype(complex)
        moved[place] += 1e-30j
        ascent[place] = (mdp.start @ _soft_return(mdp, moved)).imag / 1e-30
    # V_Q = α log Σ e^(Q/α), and ∂V_Q / ∂Q(s, a) = π(a|s).
    error = ALPHA * logsumexp(q / ALPHA, 1, keepdims=True) - true[:, None]
    return soft, -ALPHA * ascent, d * pi * error


def claims(found: Found) -> list[Claim]:
    bound = ALPHAS * np.log(2) / (1 - GAMMA)
    return [
        Claim(
            "the smallest V_soft - V*, of 25 α and three states",
            float(found.excess.min()),
            0.0,
            1e-10,
            "a soft maximum is at least the maximum; for small α all are 0 but for rounding",
            "at least",
        ),
        Claim(
            "the largest (V_soft - V*) / (α log 2 / (1 - γ))",
            float((found.excess.max(1) / bound).max()),
            1.0,
            1e-10,
            "the entropy of two actions is at most log 2 a step, and for large α nearly that",
            "at most",
        ),
        Claim(
            "the largest difference of V_soft from any path's r - α log π and last V_soft",
            found.inconsistency,
            0.0,
            1e-10,
            "V(s) = Q(s, a) - α log π(a|s) for every action, not on average only; 16 paths of four actions",
        ),
        Claim(
            "the largest difference of soft Q-learning's gradient from -α ∇J + the value error's",
            float(np.abs(found.soft - found.policy - found.value).max()),
            0.0,
            1e-10,
            "Q = V_Q + α log π, put into the loss; ∇J by complex steps, which do not cancel, of 20 random Q",
        ),
    ]


def draw(found: Found) -> Figure:
    share = np.abs(found.soft - found.policy - found.value).max()
    figure, (left, right) = panels(
        2,
        f"Soft Q-learning's gradient is -α ∇J and a value error's, to {share:.0e}",
        f"The student of three states, γ = {GAMMA}. Right: the first of {POLICIES} random Q, α = {ALPHA}, states and "
        "actions as its own policy visits and takes them.",
    )
    left.loglog(ALPHAS, ALPHAS * np.log(2) / (1 - GAMMA), ":", color=GREY, label="α log 2 / (1 - γ)", linewidth=2)
    left.loglog(ALPHAS, found.excess.max(1), "o-", color=COLOURS[0], markersize=4, label="largest of three states")
    left.set_ylim(1e-6, 1e3)
    titled(left, "What entropy adds to V*", "temperature α", "V_soft - V*")
    legend(left, "lower right")
    names = [f"{state}\n{action}" for state in student().states for action in student().actions]
    place = np.arange(len(names))
    right.bar(place - 0.2, found.policy[0].ravel(), 0.38, color=COLOURS[0], label="-α ∇J, the policy gradient")
    right.bar(
        place + 0.2, found.value[0].ravel(), 0.38, color="white", edgecolor=COLOURS[1], hatch="///", label="value error"
    )
    right.plot(place, found.soft[0].ravel(), "D", color="black", markersize=6, label="soft Q-learning: their sum")
    right.axhline(0, color=GREY, linewidth=1)
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.35 * (high - low))
    right.set_xticks(place, names, fontsize=8)
    titled(right, "Two algorithms, one gradient", "", "∂ / ∂Q(s, a)")
    legend(right)
    return figure


def lesson(found: Found) -> str:
    off = float(np.abs(found.soft - found.policy - found.value).max())
    parts = [float(np.linalg.norm(x[0])) for x in (found.policy, found.value)]
    half = int(np.abs(ALPHAS - ALPHA).argmin())
    return (
        f"With α times the entropy in the goal, max_a Q becomes α log Σ e^(Q/α), and the best policy is "
        f"softmax(Q/α). V grows by at most α log 2 / (1 - γ) for two actions: at α = {ALPHAS[half]:.2g} by "
        f"{found.excess[half].max():.2f} of {ALPHAS[half] * np.log(2) / (1 - GAMMA):.2f}. V = Q - α log π then holds "
        f"for every action, so that V can be learned from any path, of whatever policy. And soft Q-learning does what "
        f"a policy gradient does: its gradient is -α ∇J plus that of the value error, with a difference of {off:.0e}; "
        f"of the first Q the two parts have lengths of {parts[0]:.2f} and {parts[1]:.2f}. This holds for states and "
        "actions of the policy itself and targets from its own values. With old data, or a hard maximum, it does not; "
        "nor are two algorithms alike that weight the two parts otherwise."
    )


LAB = Lab(
    name="entropy",
    title="Entropy, and where Q-learning and policy gradients meet",
    question=(
        "Add α times the entropy of π to every reward. The best V then satisfies the soft Bellman equation, V(s) = "
        "α log Σ_a exp(Q(s, a)/α) with Q = r + γ Σ p V, and the best policy is π = softmax(Q/α). Soft Q-learning "
        "moves Q towards its target, by the gradient of ½ E[(Q - target)²]. A policy gradient moves π up J, return "
        "and entropy. If π is softmax(Q/α) they move the same numbers Q. How do the two gradients compare, on states "
        "and actions of π itself?"
    ),
    prompt="How does the gradient of soft Q-learning's loss compare with the policy gradient ∇J?",
    choices=(
        "it has little to do with it: one fits values, the other improves a policy",
        "it is -α ∇J, and nothing else",
        "it is -α ∇J, and the gradient of an error of V",
    ),
    answer=lambda found: (
        0 if np.abs(found.soft - found.policy - found.value).max() > 1e-8 else 1 + int(np.abs(found.value).max() > 1e-8)
    ),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the entropy is left out of V: V(s) = Σ_a π(a|s) Q(s, a)",
    wrong=lambda: compute(without_entropy=True),
    notes=(
        "- Interpolating Between Policy Optimization and Q-Learning. Serendipitously, policy optimization and "
        "Q-learning are not incompatible (and under some circumstances, it turns out, equivalent), and there exist a "
        "range of algorithms that live in between the two extremes. Algorithms that live on this spectrum are able to "
        "carefully trade-off between the strengths and weaknesses of either side. Examples include",
        "- Soft Actor-Critic (SAC)",
        "- Q-learning",
        "- Policy Optimization \\(\\pi_\\theta(a|s)\\)",
    ),
    reading=(
        "relook lab bellman",
        "relook lab deterministic_gradient",
        "Schulman, Chen & Abbeel 2017 (arXiv:1704.06440), on the equivalence",
        "Nachum et al. 2017 (arXiv:1702.08892), on path consistency",
        "Haarnoja et al. 2018 (arXiv:1812.05905), section 4",
    ),
    erratum=(
        "The notes are right that the two are not incompatible, and leave open which circumstances make them "
        "equivalent. These do: entropy in the goal, π = softmax(Q/α), states and actions of π itself, and targets "
        "from its own values. Then soft Q-learning's gradient is -α times the policy gradient plus that of a value "
        "error. Q-learning with a hard maximum and old data is not a policy gradient."
    ),
)
