"""The deterministic policy gradient: exact for the true Q, and a search for errors in a learned one."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array

GAMMA = 0.9
A, B = np.array([[1.0, 0.3], [0.0, 0.9]]), np.array([[0.1], [0.5]])
"""A cart's place and speed: s' = A s + B a + noise."""
COST, EFFORT, NOISE = np.diag([1.0, 0.1]), np.array([[0.2]]), 0.05 * np.eye(2)
"""The reward is -(sᵀ COST s + aᵀ EFFORT a); states at first have the covariance 1, the noise NOISE."""
FIRST = np.array([[-0.2, -0.3]])
"""The policy at first: a = K s."""
OLD = np.array([[0.1, -0.5]])
"""A policy whose actions were stored, for the mistake."""
STEPS, RATE = 3_000, 0.02

CRITICS, RETURNS, SPREAD, LUCK = 40_000, 8, 1.0, 1.0
"""Critics, each fitted to so many returns of actions up to SPREAD from the best one, with noise of LUCK."""


class Found(NamedTuple):
    slope: tuple[Array, Array]
    """∇J by K at first: from the theorem, and by complex steps [1, 2]."""
    gain: tuple[Array, Array]
    """K after gradient ascent, and the best one, from Riccati's equation [1, 2]."""
    curvature: float
    """h, where Q(s, a) = Q(s, a*) - ½ h (a - a*)² under the best policy."""
    tested: NDArray[np.float64]
    """Actions that returns were measured of, less a* [RETURNS]."""
    critic: NDArray[np.float64]
    """Level and slope at a* that each critic has learned, less Q(s, a*) [2, CRITICS]."""
    actor: NDArray[np.float64]
    """Where gradient ascent on each critic ends, less a* [CRITICS]."""

    def error(self, action: NDArray[np.float64], critic: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a critic says of actions, less the truth."""
        off: NDArray[np.float64] = critic[0] + critic[1] * action
        return off


def compute(replayed: bool = False) -> Found:
    """`replayed` takes Q's slope at the action that was replayed, of another policy, and not at the policy's own."""
    theorem = _gradient(FIRST, replayed)
    expected = np.array([[_slope_of_performance(direction) for direction in np.eye(2)]])
    gain = FIRST
    for _ in range(STEPS):
        gain = gain + RATE * _gradient(gain, replayed)
    p = solve_discrete_are(np.sqrt(GAMMA) * A, np.sqrt(GAMMA) * B, COST, EFFORT)
    inner = EFFORT + GAMMA * B.T @ p @ B
    best = -np.linalg.solve(inner, GAMMA * B.T @ p @ A)
    return Found((theorem, expected), (gain, best), float(2 * inner[0, 0]), *_critics(float(2 * inner[0, 0])))


def _costs(gain: Array) -> Array:
    """P of V(s) = -sᵀ P s - constant under a = K s."""
    closed = np.sqrt(GAMMA) * (A + B @ gain)
    p: Array = solve_discrete_lyapunov(closed.T, COST + gain.T @ EFFORT @ gain)
    return p


def _slope_of_performance(direction: Array, step: float = 1e-30) -> float:
    """∂J/∂K along a direction at first, by a complex step; the conjugates in scipy's Lyapunov would spoil it."""
    gain = FIRST + step * 1j * direction
    closed = A + B @ gain
    system = np.eye(4) - GAMMA * np.kron(closed.T, closed.T)
    p = np.linalg.solve(system, (COST + gain.T @ EFFORT @ gain).ravel()).reshape(2, 2)
    performance = -np.trace(p) - GAMMA / (1 - GAMMA) * np.trace(p @ NOISE)
    return float(performance.imag / step)


def _gradient(gain: Array, replayed: bool) -> Array:
    """E[∇_a Q(s, a) sᵀ], a = K s, with ∇_a Q = -2 (EFFORT a + γ Bᵀ P (A s + B a)), summed over Σ γᵗ s sᵀ."""
    closed = np.sqrt(GAMMA) * (A + B @ gain)
    visits = solve_discrete_lyapunov(closed, np.eye(2) + GAMMA / (1 - GAMMA) * NOISE)
    at = OLD if replayed else gain
    slope: Array = -2 * (EFFORT @ at + GAMMA * B.T @ _costs(gain) @ (A + B @ at)) @ visits
    return slope


def _critics(h: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Least squares for level and slope; the curvature is known. All by what they are off from the truth."""
    rng = np.random.default_rng(20)
    tested = np.linspace(-SPREAD, SPREAD, RETURNS)
    noise = rng.normal(0, LUCK, (RETURNS, CRITICS))
    critic = np.linalg.pinv(np.stack([np.ones(RETURNS), tested], 1)).astype(np.float64) @ noise
    actor = np.zeros(CRITICS)
    for _ in range(200):
        actor += 0.1 * (critic[1] - h * actor)
    return tested, critic, actor


def _errors(found: Found) -> dict[str, NDArray[np.float64]]:
    """Errors of critics at actions, one for each critic."""
    own = found.error(found.actor, found.critic)
    other = found.error(found.actor, np.roll(found.critic, 1, axis=1))
    tried = found.tested[np.arange(CRITICS) % RETURNS]
    return {
        "at actions\nthat were tested": found.error(tried, found.critic),
        "at its\nactor's action": own,
        "another critic,\nsame action": other,
        "the smaller\nof both": np.minimum(own, other),
    }


def claims(found: Found) -> list[Claim]:
    _, own, other, _ = _errors(found).values()
    too_much = LUCK**2 / np.square(found.tested).sum() / found.curvature
    lost = found.curvature / 2 * np.square(found.actor)

    def sharp(sample: NDArray[np.float64]) -> float:
        return float(4 * sample.std() / np.sqrt(CRITICS))

    return [
        Claim(
            "the largest difference of E[∇_a Q ∇_K μ] from the slope of J",
            float(np.abs(found.slope[0] - found.slope[1]).max()),
            0.0,
            1e-10,
            "the deterministic policy gradient theorem; J by K with complex steps, which do not cancel",
        ),
        Claim(
            "the largest difference of K after 3,000 steps of it from Riccati's",
            float(np.abs(found.gain[0] - found.gain[1]).max()),
            0.0,
            1e-8,
            "the best policy is linear, and the only place where the gradient is 0",
        ),
        Claim(
            "the mean error of 40,000 critics at their actors' actions",
            float(own.mean()),
            float(too_much),
            sharp(own),
            "a slope that is off by w moves the action by w / h, and there the critic says w² / h too much; four "
            "standard errors",
        ),
        Claim(
            "the mean error of other critics at the same actions",
            float(other.mean()),
            0.0,
            sharp(other),
            "least squares has no bias at an action that was chosen without its data; four standard errors",
        ),
        Claim(
            "what the actors lose of the true Q, on average",
            float(lost.mean()),
            float(too_much / 2),
            sharp(lost),
            "½ h (w / h)²; four standard errors",
        ),
    ]


def draw(found: Found) -> Figure:
    errors = _errors(found)
    own = float(errors["at its\nactor's action"].mean())
    figure, (left, right) = panels(
        2,
        f"Critics without bias say {own:.2f} too much of the actions that their actors find",
        f"Q(s, a) of one state under the best policy of a linear system; each critic is fitted to {RETURNS} noisy "
        f"returns of actions within ±{SPREAD:g}. Right: {CRITICS:,} critics; bars: means, whiskers: four standard "
        "errors.",
    )
    action = np.linspace(-2, 2, 200)
    for i in range(10):
        curve = -found.curvature / 2 * action**2 + found.critic[0, i] + found.critic[1, i] * action
        left.plot(action, curve, "--", color=COLOURS[0], linewidth=0.8, label="critics" if i == 0 else None)
    left.plot(action, -found.curvature / 2 * action**2, color="black", linewidth=2.2, label="the true Q")
    said = found.error(found.actor, found.critic) - found.curvature / 2 * np.square(found.actor)
    left.plot(found.actor[:10], said[:10], "^", color=COLOURS[1], markersize=8, label="what actors find")
    left.axhline(0, color=GREY, linestyle=":", linewidth=1)
    left.set_ylim(-2, 2.4)
    titled(left, "Ten critics and their actors", "a - a*", "Q(s, a) - Q(s, a*)")
    legend(left, "upper left")
    means = [float(e.mean()) for e in errors.values()]
    whiskers = [4 * float(e.std()) / np.sqrt(CRITICS) for e in errors.values()]
    colours = [COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[3]]
    right.bar(list(errors), means, 0.55, yerr=whiskers, capsize=4, color=colours)
    for i, (mean, whisker) in enumerate(zip(means, whiskers, strict=True)):
        # Without `+ 0.0` a small negative number reads -0.00.
        right.annotate(
            f"{round(mean, 2) + 0.0:.2f}", (i, max(mean, 0) + whisker), (0, 4), textcoords="offset points", ha="center"
        )
    right.axhline(0, color=GREY, linewidth=1)
    right.set_ylim(1.4 * min(means), 1.2 * max(means))
    right.tick_params(axis="x", labelsize=8)
    titled(right, "How much too high a critic is", "", "mean error")
    return figure


def lesson(found: Found) -> str:
    _, own, other, smaller = (float(e.mean()) for e in _errors(found).values())
    off = float(np.abs(found.slope[0] - found.slope[1]).max())
    return (
        f"With the true Q the deterministic policy gradient is ∇J (difference {off:.0e}), and its ascent ends in the "
        f"best policy. No sum over actions is needed, which is why DDPG, TD3 and SAC can do with continuous ones. With "
        f"a learned Q the actor climbs the critic, errors included: critics that are right on average at every action "
        f"say {own:.2f} too much at the action that their own actor finds, and {round(other, 2) + 0.0:.2f} at one that "
        f"another critic's actor found. The error feeds on itself where targets come from such values. TD3 takes the "
        f"smaller of two critics, which here says {-smaller:.2f} too little: it is biased as well, in the direction "
        "that does not attract the actor. A critic that knows the curvature, as here, is a mild case."
    )


LAB = Lab(
    name="deterministic_gradient",
    title="The deterministic policy gradient, and actors that exploit critics",
    question=(
        "A policy a = μ(s) without chance in it, for actions that are numbers. Its gradient is ∇J = E[∇_a Q(s, a) "
        "∇_θ μ(s)] at a = μ(s), over the states that it visits: push every action up its Q. A linear system with "
        "quadratic costs is a world where Q, J and the best policy are known exactly. DDPG has no true Q. Say a critic "
        "is fitted to few noisy returns; at every single action its error is 0 on average. The actor follows its slope "
        "to the top."
    ),
    prompt="How large is the critic's error, on average, at the action that its actor finds?",
    choices=("0, as at every action", "positive: the critic says too much", "negative: the critic says too little"),
    answer=lambda found: int(np.sign(_errors(found)["at its\nactor's action"].mean().round(2)) % 3),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="Q's slope is taken at the replayed action, and not at the policy's own",
    wrong=lambda: compute(replayed=True),
    notes=(
        "- Deep Deterministic Policy Gradient (DDPG)",
        "- Twin Delayed DDPG (TD3)",
        "- Deterministic Policies:",
        "- Qlearning -> DDPG -> TD3 -> SAC",
    ),
    reading=(
        "relook lab overestimation",
        "relook lab reparameterisation",
        "Silver et al. 2014, Deterministic Policy Gradient Algorithms, Theorem 1",
        "Lillicrap et al. 2016 (arXiv:1509.02971)",
        "Fujimoto et al. 2018 (arXiv:1802.09477), section 4",
    ),
)
