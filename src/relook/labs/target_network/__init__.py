"""Target networks: hold the target still for K updates, and how many weights that takes."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.deadly_triad import FEATURES, FIRST, SOLID, STATES
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, MARKERS, STYLES, legend, panels, titled
from relook.tabular import Array

ALPHA, UPDATES = 0.05, 40_000
CASES = ((0.9, 1), (0.9, 10), (0.9, 100), (0.99, 10), (0.99, 100))
"""γ, and K: updates from copy to copy."""
EVERY = 100
"""Updates between what is kept."""
PERIODS = np.concatenate([np.arange(1, 31), np.round(np.geomspace(31, 10_000, 20)).astype(int)])
GAMMAS = (0.9, 0.99)
ONE_WEIGHT = np.array([[1.0], [2.0]])
"""Two states with V(s) = w and 2 w, the first of which leads to the second, and the second to itself."""
SECOND = np.array([[0.0, 1.0], [0.0, 1.0]])


class Found(NamedTuple):
    rms: NDArray[np.float64]
    """The root mean square of V, which should be 0, every so many updates [case, time]."""
    growth: NDArray[np.float64]
    """The largest |eigenvalue| of what K updates and a copy make of V [γ, K], with eight weights for seven states."""
    one_weight: NDArray[np.float64]
    """The same with one weight for two states."""
    power: float
    """The last `rms` with γ = 0.99 and K = 100, by the power of a matrix."""


def compute(same: bool = False) -> Found:
    """If `same`, the target network is the network itself, as `target = network` makes it, and not a copy."""
    gamma, period = np.array(CASES).T
    weight = np.tile(FIRST, (len(CASES), 1))
    target, found = weight if same else weight.copy(), []
    for n in range(UPDATES):
        if n % EVERY == 0:
            found.append(_rms(weight))
        if not same:
            target[n % period == 0] = weight[n % period == 0]
        ahead = gamma * (target @ FEATURES[6])
        weight += ALPHA / STATES * (ahead[:, None] - weight @ FEATURES.T) @ FEATURES
    found.append(_rms(weight))
    last = np.linalg.matrix_power(_copied(FEATURES, SOLID, 0.99, 100), UPDATES // 100) @ FEATURES @ FIRST
    return Found(
        np.array(found).T,
        np.array([[_largest(_copied(FEATURES, SOLID, g, k)) for k in PERIODS] for g in GAMMAS]),
        np.array([[_largest(_copied(ONE_WEIGHT, SECOND, g, k)) for k in PERIODS] for g in GAMMAS]),
        float(np.sqrt(np.square(last).mean())),
    )


def _rms(weight: Array) -> NDArray[np.float64]:
    """Of V; by hypotenuses, which do not overflow where squares do."""
    root: NDArray[np.float64] = np.hypot.reduce(weight @ FEATURES.T, axis=1) / STATES**0.5
    return root


def _copied(features: Array, chain: Array, gamma: float, period: int) -> Array:
    """The matrix that K updates with a fixed target make V of: V ← Mᴷ V + (Σ_{j<K} Mʲ) α Φ Φᵀ D γ P V.

    M = 1 - α Φ Φᵀ D, and D says that all states are alike. With one weight for two states M keeps what Φ cannot say,
    which the first V has none of; so all is seen through the projection on what Φ can say.
    """
    size = len(chain)
    pull = ALPHA / size * features @ features.T
    stay = np.linalg.matrix_power(np.eye(size) - pull, period)
    says = features @ np.linalg.pinv(features)
    # Σ_{j<K} Mʲ α Φ Φᵀ D = 1 - Mᴷ
    step: Array = (stay + (np.eye(size) - stay) @ (gamma * chain)) @ says
    return step


def _largest(step: Array) -> float:
    return float(np.abs(np.linalg.eigvals(step)).max())


def claims(found: Found) -> list[Claim]:
    last = dict(zip(CASES, found.rms[:, -1].tolist(), strict=True))
    start = float(found.rms[0, 0])
    return [
        Claim("V, at γ = 0.9 and K = 1, over what it was", last[0.9, 1] / start, 1e6, 0, "it diverges", "at least"),
        Claim(
            "V at γ = 0.9, the larger one of K = 10 and K = 100",
            max(last[0.9, 10], last[0.9, 100]),
            0.0,
            1e-10,
            "the target holds still long enough: the largest |eigenvalue| is below 1",
        ),
        Claim("V, at γ = 0.99 and K = 10, over what it was", last[0.99, 10] / start, 1e6, 0, "it diverges", "at least"),
        Claim(
            "V at γ = 0.99 and K = 100, update by update",
            last[0.99, 100],
            found.power,
            1e-8,
            "the 400th power of the matrix that 100 updates and a copy are; 40,000 roundings",
        ),
        Claim(
            "how much a copy leaves of V for K = 10,000, at γ = 0.99",
            found.growth[1, -1],
            0.99,
            1e-8,
            "eight weights can say any V of seven states, so that V becomes γ P V, as in policy evaluation",
        ),
        Claim(
            "the same with one weight for two states, at γ = 0.9",
            found.one_weight[0, -1],
            6 * 0.9 / 5,
            1e-8,
            "least squares gives w = γ (1 · 2 + 2 · 2) / (1 + 4) times the old w",
        ),
        Claim(
            "the least that any K leaves with one weight, at γ = 0.9",
            float(found.one_weight[0].min()),
            1.0,
            0.0,
            "it is 1 + (1 - (1 - αh)ᴷ) · 0.08, with h = 2.5",
            "at least",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        "A target held still for K updates stops the divergence if K is large enough, and weights are many",
        f"Left: Baird's seven states and eight weights, expected updates, α = {ALPHA}; V should be 0. Right: exact, "
        "from eigenvalues; below 1, V goes to 0.",
        width=5.2,
    )
    updates = np.arange(0, UPDATES + 1, EVERY)
    for i, (gamma, period) in enumerate(CASES):
        style = STYLES[(1, 10, 100).index(period)]
        at = int(np.linspace(60, 280, len(CASES))[i])
        colour, label = COLOURS[GAMMAS.index(gamma)], f"γ = {gamma}, K = {period}"
        left.semilogy(updates, found.rms[i], style, color=colour, label=label, marker=MARKERS[i], markevery=[at])
    left.set_ylim(1e-16, 1e40)
    left.annotate(f"{found.rms[-1, -1]:.2f}", (UPDATES, found.rms[-1, -1]), fontsize=9, va="bottom", ha="right")
    titled(left, "How large V gets", "updates", "root mean square of V")
    legend(left, "upper left")
    for i, gamma in enumerate(GAMMAS):
        right.semilogx(PERIODS, found.growth[i], "-", color=COLOURS[i], label=f"8 weights, 7 states, γ = {gamma}")
        right.semilogx(PERIODS, found.one_weight[i], "--", color=COLOURS[i], label=f"1 weight, 2 states, γ = {gamma}")
    right.set_ylim(0.66, 1.22)
    right.axhline(1, color=GREY, linewidth=1, linestyle=":")
    titled(right, "What K updates and a copy make of V", "K", "largest |eigenvalue|")
    legend(right, "lower left")
    return figure


def lesson(found: Found) -> str:
    least = PERIODS[(found.growth < 1).argmax(1)]
    return (
        f"With a target that moves with every update V diverges at γ = 0.9; copied every 10 or 100 updates it goes to "
        f"0. At γ = 0.99, 10 are too few, and with 100 V has fallen to {found.rms[-1, -1]:.2f} after 40,000 updates. "
        f"The least K that is enough is {least[0]} at γ = 0.9 and {least[1]} at γ = 0.99. "
        "Between copies the network comes near its target, so that a copy does what a sweep of policy evaluation does "
        f"(factor {found.growth[1, -1]:.2f}), whatever the data. That takes weights enough to say any V. One "
        f"weight for two states ends in least squares, and each copy multiplies V by {found.one_weight[0, -1]:.2f} at "
        "γ = 0.9: no K helps. A larger K is safer and slower."
    )


LAB = Lab(
    name="target_network",
    title="Target networks, and why many weights help",
    question=(
        "In Baird's counterexample (relook lab deadly_triad) values grow without end, since each update moves the "
        "target γ V(s') that it aims at. A target network is a copy of the weights that stays as it is for K updates "
        "and is then copied anew. Does it help, and how large must K be? And does it help if there are fewer weights "
        "than states?"
    ),
    prompt="Two states, V = w and 2 w, the first leads to the second, γ = 0.9, rewards 0. Which K makes w go to 0?",
    choices=("K = 10 and more", "K = 1,000 and more", "none"),
    answer=lambda found: (
        2 if found.one_weight[0].min() >= 1 else int((found.one_weight[0][np.searchsorted(PERIODS, 10) :] >= 1).any())
    ),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="target = network, which is another name and no copy",
    wrong=lambda: compute(same=True),
    notes=(
        "- DQN",
        "- Qlearning -> DDPG -> TD3 -> SAC",
        "- Bellman's equation for optimality (Q-function) can be trained to satisfy using any environment iteraction "
        "data, as long as there is enough experience from high-reward areas in environment)",
    ),
    reading=(
        "relook lab deadly_triad",
        "Sutton & Barto 2018, Example 11.1 and section 11.2",
        "Che et al. 2024 (arXiv:2405.21043)",
        "Mnih et al. 2015, Human-level control through deep reinforcement learning",
    ),
)
