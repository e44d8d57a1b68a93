"""Baird's counterexample: off-policy data, bootstrapping and shared weights together let values grow without end."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array, evaluate
from relook.tabular.three_states import GAMMA, student, undecided

DISCOUNT, ALPHA = 0.99, 0.01
UPDATES, SEEDS = 1_000, 20
STATES = 7
FEATURES = np.zeros((STATES, 8))
"""V(s) of the first six states is 2 w_s + w₈, that of the seventh w₇ + 2 w₈."""
FEATURES[range(6), range(6)], FEATURES[:6, 7] = 2, 1
FEATURES[6, 6:] = 1, 2
FIRST = np.array([1.0, 1, 1, 1, 1, 1, 10, 1])
SOLID = np.tile(np.eye(STATES)[6], (STATES, 1))
"""The action that π always takes leads to the seventh state."""
ANYWHERE = np.full((STATES, STATES), 1 / STATES)
"""The data: each state is as likely as any other, wherever one was."""


class Found(NamedTuple):
    semi: NDArray[np.float64]
    """The root mean square of V after each semi-gradient update; the true V is 0."""
    residual: NDArray[np.float64]
    """The same with the whole gradient of the squared error."""
    bellman: NDArray[np.float64]
    """The mean squared error γ V(s') - V(s) that the residual gradient descends."""
    sampled: NDArray[np.float64]
    """Semi-gradient updates from samples [seed, update]."""
    legs: dict[str, NDArray[np.float64]]
    """The same as `semi` with one thing made safe."""
    radius: dict[str, float]
    """How much V grows in an update, in the long run: the largest |eigenvalue|."""
    split: float
    """E[δ²] less (mean δ)² less variance, for the student: 0."""
    off: float
    """How far the V is from V^π that has the least E[δ²] (one sample of s' in both places)."""


def compute(detached: bool = False) -> Found:
    """If `detached`, the gradient of the squared error leaves out γ V(s'), as a target in an automatic gradient."""
    shared, table, none = FEATURES, np.eye(STATES), np.zeros((STATES, STATES))
    every = {"all three": (shared, SOLID), "data of the policy": (shared, ANYWHERE)}
    every |= {"one weight per state": (table, SOLID), "whole returns": (shared, none)}
    change = {name: _semi(features, chain) for name, (features, chain) in every.items()}
    slope = FEATURES if detached else FEATURES - DISCOUNT * SOLID @ FEATURES
    whole = -ALPHA / STATES * FEATURES @ slope.T @ (np.eye(STATES) - DISCOUNT * SOLID)
    values = _follow(np.eye(STATES) + whole)
    legs = {name: _rms(_follow(np.eye(STATES) + by)) for name, by in change.items()}
    split, off = _one_sample()
    return Found(
        legs["all three"],
        _rms(values),
        np.square(DISCOUNT * values @ SOLID.T - values).mean(1),
        _sampled(np.random.default_rng(1)),
        legs,
        {name: float(np.abs(np.linalg.eigvals(np.eye(STATES) + by)).max()) for name, by in change.items()},
        split,
        off,
    )


def _semi(features: Array, chain: Array) -> Array:
    """C in V ← V + C V: the mean of α (γ V(s') - V(s)) ∇V(s), states alike, in terms of V."""
    change: Array = ALPHA / STATES * features @ features.T @ (DISCOUNT * chain - np.eye(STATES))
    return change


def _follow(step: Array) -> Array:
    """V [update + 1, S] from the first weights on."""
    values = [FEATURES @ FIRST]
    for _ in range(UPDATES):
        values.append(step @ values[-1])
    return np.array(values)


def _rms(values: Array) -> NDArray[np.float64]:
    root: NDArray[np.float64] = np.sqrt(np.square(values).mean(-1))
    return root


def _sampled(rng: np.random.Generator) -> NDArray[np.float64]:
    """Update by update from one transition, with the importance ratio π/b: 7 if b took π's action, else 0."""
    weight = np.tile(FIRST, (SEEDS, 1))
    found = [_rms(weight @ FEATURES.T)]
    for _ in range(UPDATES):
        at = FEATURES[rng.integers(STATES, size=SEEDS)]
        ratio = np.where(rng.random(SEEDS) < 1 / STATES, STATES, 0.0)
        error = DISCOUNT * weight @ FEATURES[6] - (weight * at).sum(1)
        weight = weight + ALPHA * (ratio * error)[:, None] * at
        found.append(_rms(weight @ FEATURES.T))
    return np.array(found).T


def _one_sample() -> tuple[float, float]:
    """The student's E[δ²] at the V that makes it least, split up, and that V's distance from V^π."""
    mdp, policy = student(), undecided()
    s, a, after = np.nonzero(mdp.transition)
    chance = policy[s, a] * mdp.transition[s, a, after] / mdp.size
    row = np.eye(mdp.size)[s] - GAMMA * np.eye(mdp.size)[after]
    reward, root = mdp.reward[s, a, after], np.sqrt(chance)
    value = np.linalg.lstsq(root[:, None] * row, root * reward, rcond=None)[0]
    error = reward - row @ value
    mean = np.array([mdp.size * chance[s == i] @ error[s == i] for i in range(mdp.size)])
    variance = np.array([mdp.size * chance[s == i] @ np.square(error[s == i] - mean[i]) for i in range(mdp.size)])
    split = float(chance @ np.square(error) - np.square(mean).mean() - variance.mean())
    return split, float(np.abs(value - evaluate(mdp, policy, GAMMA)).max())


def claims(found: Found) -> list[Claim]:
    power = np.linalg.matrix_power(np.eye(STATES) + _semi(FEATURES, SOLID), UPDATES) @ FEATURES @ FIRST
    safe = [radius for name, radius in found.radius.items() if name != "all three"]
    return [
        Claim(
            "how many times larger V is after 1,000 semi-gradient updates",
            found.semi[-1] / found.semi[0],
            float(_rms(power)) / found.semi[0],
            1e-8,
            "the update is linear, so that V is multiplied by the 1,000th power of a matrix; rounding",
        ),
        Claim(
            "the same", found.semi[-1] / found.semi[0], 100, 0, "though V = 0 is right and can be written", "at least"
        ),
        Claim(
            "the least growth of 20 seeds that learn from samples",
            float((found.sampled[:, -1] / found.sampled[:, 0]).min()),
            10,
            0,
            "it is not the expected update that is to blame, nor a seed",
            "at least",
        ),
        Claim(
            "the largest |eigenvalue| of an update, with one of the three made safe, less 1",
            max(safe) - 1,
            0,
            0,
            "where it is below 1, V shrinks from any first weights; exact to 1e-15 or so",
            "at most",
        ),
        Claim(
            "V after 1,000 residual-gradient updates, as a share of what it was",
            found.residual[-1] / found.residual[0],
            0.5,
            0,
            "it descends the mean of (γ V(s') - V(s))²",
            "at most",
        ),
        Claim(
            "the largest rise of that mean in an update",
            float(np.diff(found.bellman).max()),
            0.0,
            0.0,
            "gradient descent on a quadratic, with steps that are small enough",
            "at most",
        ),
        Claim(
            "the student: E[δ²] less the square of the mean δ, less the variance of δ",
            found.split,
            0.0,
            1e-12,
            "E[x²] = E[x]² + Var x in each state; rounding",
        ),
    ]


def draw(found: Found) -> Figure:
    growth = found.semi[-1] / found.semi[0]
    figure, (left, right) = panels(
        2,
        f"Three harmless things together make V grow {growth:.0f}-fold in 1,000 updates; without any one of them it "
        "does not",
        f"Baird's seven states, γ = {DISCOUNT}, α = {ALPHA}; all rewards are 0, and so is the true V. "
        f"Thin: {SEEDS} seeds from samples, the rest expected updates. With one weight per state all V first go to "
        "that of the seventh, 12, and then slowly to 0.",
    )
    left.semilogy(found.sampled.T, color=GREY, linewidth=0.4, alpha=0.5)
    left.semilogy(found.semi, color=COLOURS[1], label="semi-gradient: γ V(s') is held fixed")
    left.semilogy(found.residual, "--", color=COLOURS[0], label="residual gradient: it is not")
    titled(left, "What a fixed target does", "updates", "root mean square of V")
    looks = (("-", COLOURS[1]), ("--", COLOURS[0]), (":", COLOURS[2]), ("-.", COLOURS[3]))
    for (name, values), (style, colour) in zip(found.legs.items(), looks, strict=True):
        right.semilogy(values, linestyle=style, color=colour, label=name)
    right.set_ylim(left.get_ylim())
    titled(right, "One of the three made safe", "updates", "root mean square of V")
    for at in (left, right):
        legend(at, "upper left")
    return figure


def lesson(found: Found) -> str:
    return (
        "The true V is 0, and the weights can say so. Yet semi-gradient updates with states from another policy "
        f"make V {found.semi[-1] / found.semi[0]:.0f} times as large in 1,000 updates: an update multiplies it by "
        f"{found.radius['all three']:.4f} in the long run. Whole returns in place of γ V(s'), states as the policy "
        "visits them, or one weight per state make that factor smaller than 1. The residual gradient descends "
        f"E[δ²], and V shrinks to {found.residual[-1] / found.residual[0]:.0%}. But it is slow, and with one sample of "
        "s' it minimises the variance of δ as well: for the student it would end "
        f"{found.off:.2f} away from V^π. DQN, DDPG, TD3 and SAC have all three; that they mostly work is put down to "
        "target networks, many weights and data that is not far from the policy."
    )


LAB = Lab(
    name="deadly_triad",
    title="The deadly triad",
    question=(
        "Values may be learned from any data, it is said. Seven states, all rewards 0, γ = 0.99. The policy π always "
        "goes to the seventh state; the data shows all states alike. V(s) = 2 w_s + w₈ in the first six states and "
        "w₇ + 2 w₈ in the seventh, so that weights are shared. The semi-gradient update adds "
        "α (γ V(s') - V(s)) ∇V(s), states averaged. The true V is 0 everywhere and can be written with w = 0. Where "
        "does learning go?"
    ),
    prompt="After 1,000 updates with α = 0.01, what has become of V, which should be 0?",
    choices=("it has shrunk towards 0", "it stays about as large", "it is more than 100 times as large"),
    answer=lambda found: int(np.searchsorted([0.8, 10], found.semi[-1] / found.semi[0])),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the residual gradient is taken with γ V(s') detached",
    wrong=lambda: compute(detached=True),
    notes=(
        "- Bellman's equation for optimality (Q-function) can be trained to satisfy using any environment iteraction "
        "data, as long as there is enough experience from high-reward areas in environment)",
    ),
    reading=(
        "relook lab target_network",
        "Sutton & Barto 2018, sections 11.2, 11.3 and 11.5",
        "Baird 1995, Residual Algorithms",
        "van Hasselt et al. 2018 (arXiv:1812.02648)",
    ),
    erratum=(
        "The notes say that any data will do if there is enough of it from where rewards are high. That is so for "
        "tables. With shared weights, data from another policy can let values grow without end, however much of it "
        "there is."
    ),
)
