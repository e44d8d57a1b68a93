"""Rewards of the past do not belong to an action, and yet leaving them out can add noise."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import brentq

from relook.labs.lab import Claim, Lab
from relook.labs.listing import listed, score, summed
from relook.labs.picture import COLOURS, GREY, STYLES, legend, panels, titled
from relook.tabular.three_states import student, undecided

LENGTH = 4
"""Actions of the student's trajectories."""
CHANCE = 1 / (1 + np.exp(-0.3))
"""π(a = 1) = σ(θ) at θ = 0.3, in both steps of the counter-example."""
SCORE = CHANCE * (1 - CHANCE)
"""The variance of ∂ log π(a)/∂θ = a - σ(θ)."""
ECHOES = np.linspace(-1.5, 1.0, 51)
"""ρ in r₁ = ρ r₀, where r₀ = ±1 is luck."""
SHOWN = (-1.0, -0.5, 0.5)
SHARES = np.linspace(-0.5, 1.5, 41)
"""How much of the past is added to the rewards to go: 0 is rewards to go, 1 the whole return."""


class Found(NamedTuple):
    past: float
    """The largest |E[∇ log π(a_t|s_t) r_k]| with k < t, of the student."""
    bias: float
    """The largest difference between the student's mean gradients from whole returns and from rewards to go."""
    student: tuple[float, float]
    """The student's variance with whole returns, and with rewards to go."""
    full: NDArray[np.float64]
    """The counter-example's variance with whole returns, for each of `ECHOES`."""
    to_go: NDArray[np.float64]
    """The same with rewards to go."""
    mixed: NDArray[np.float64]
    """The same with a share of the past, for each of `SHOWN` and `SHARES`."""
    reversed: tuple[float, float]
    """Both variances at ρ = -1, where r₁ takes back what r₀ gave."""
    crossing: float
    """ρ at which they are equal."""


def compute(first: int = 0) -> Found:
    """Rewards to go at step t are those from step t + `first` on."""
    mdp, policy = student(), undecided()
    every, slope = listed(mdp, policy, LENGTH), score(policy)
    steps = np.arange(LENGTH)
    past = []
    for t in steps[1:]:
        for k in range(t):
            weight = np.where(steps == t, every.reward[:, [k]], 0.0)
            past.append(np.einsum("n,nsa->sa", every.probability, summed(slope, weight, every)))
    total = every.reward.sum(1, keepdims=True)
    to_go = np.stack([every.reward[:, t + first :].sum(1) for t in steps], 1)
    means, variances = [], []
    for weight in (np.broadcast_to(total, to_go.shape), to_go):
        each = summed(slope, weight, every)
        mean = np.einsum("n,nsa->sa", every.probability, each)
        means.append(mean)
        variances.append(float(every.probability @ np.square(each - mean).sum((1, 2))))
    return Found(
        float(np.abs(past).max()),
        float(np.abs(means[0] - means[1]).max()),
        (variances[0], variances[1]),
        np.array([_variance(echo, 1.0, first) for echo in ECHOES]),
        np.array([_variance(echo, 0.0, first) for echo in ECHOES]),
        np.array([[_variance(echo, share, first) for share in SHARES] for echo in SHOWN]),
        (_variance(-1.0, 1.0, first), _variance(-1.0, 0.0, first)),
        float(brentq(lambda echo: _variance(echo, 1.0, first) - _variance(echo, 0.0, first), -0.9, -0.1)),
    )


def _variance(echo: float, share: float, first: int) -> float:
    """Of Σ_t (rewards to go + share × rewards before) ∂ log π(a_t)/∂θ, in two steps with r₀ = ±1 and r₁ = ρ r₀.

    A sum over both actions and the luck: eight cases. No action matters, so that the gradient is 0.
    """
    one, two, luck = (x.ravel() for x in np.meshgrid([0, 1], [0, 1], [-1.0, 1.0]))
    probability = np.where(one, CHANCE, 1 - CHANCE) * np.where(two, CHANCE, 1 - CHANCE) / 2
    reward = np.stack([luck, echo * luck])
    estimate = np.zeros(len(luck))
    for t, action in enumerate((one, two)):
        weight = reward[t + first :].sum(0) + share * reward[: t + first].sum(0)
        estimate += weight * (action - CHANCE)
    return float(probability @ np.square(estimate) - (probability @ estimate) ** 2)


def claims(found: Found) -> list[Claim]:
    exact = "a sum over everything that can happen, exact but for rounding"
    return [
        Claim(
            "the largest |E[∇ log π(a_t|s_t) r_k]| with k < t",
            found.past,
            0.0,
            1e-12,
            "given the past, ∇ log π(a_t|s_t) is 0 on average; " + exact,
        ),
        Claim(
            "the largest difference between the student's gradients, from returns and from rewards to go",
            found.bias,
            0.0,
            1e-12,
            "so the past may be left out; " + exact,
        ),
        Claim("the variance with whole returns if r₁ = -r₀", found.reversed[0], 0.0, 1e-12, "the return is always 0"),
        Claim(
            "the variance with rewards to go if r₁ = -r₀",
            found.reversed[1],
            SCORE,
            1e-12,
            "step 1 keeps the weight r₁ = ±1, and ∂ log π/∂θ has the variance σ(θ)(1 - σ(θ)) = 0.244",
        ),
        Claim(
            "the ρ at which both variances are equal",
            found.crossing,
            -0.5,
            1e-9,
            "2(1 + ρ)² = (1 + ρ)² + ρ² where 1 + 2ρ = 0",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"Where luck is taken back (r₁ = -r₀), rewards to go have variance {found.reversed[1]:.3f}, and whole returns "
        f"{found.reversed[0]:.0f}",
        "Two steps with r₀ = ±1 by chance and r₁ = ρ r₀; actions matter in neither. Exact, from all eight cases.",
    )
    left.plot(ECHOES, found.full, color=COLOURS[0], label="whole return")
    left.plot(ECHOES, found.to_go, "--", color=COLOURS[1], label="rewards to go")
    left.axvline(found.crossing, color=GREY, linestyle=":", linewidth=1)
    left.annotate(f" equal at ρ = {found.crossing:.1f}", (found.crossing, 1.5), fontsize=9, color=GREY)
    titled(left, "Left of the line, the past helps", "ρ: what the next reward makes of luck", "variance")
    legend(left, "upper left")
    for i, echo in enumerate(SHOWN):
        right.plot(SHARES, found.mixed[i], color=COLOURS[i + 2], linestyle=STYLES[i], label=f"ρ = {echo:+.1f}")
        least = int(found.mixed[i].argmin())
        right.plot(SHARES[least], found.mixed[i][least], "o", color=COLOURS[i + 2])
    for share, name in ((0, "rewards to go"), (1, "whole return")):
        right.axvline(share, color=GREY, linestyle=":", linewidth=1)
        right.annotate(f" {name}", (share, 1), xycoords=("data", "axes fraction"), fontsize=8, color=GREY, va="top")
    titled(right, "The past is a baseline: the best share is -ρ", "share of the past that is added", "variance")
    legend(right, "center right")
    return figure


def lesson(found: Found) -> str:
    full, to_go = found.student
    return (
        "Rewards before an action are 0 on average once ∇ log π(a_t|s_t) weights them, whatever the MDP, and leaving "
        f"them out mostly helps: for the student the variance falls from {full:.2f} to {to_go:.2f}. But the past is a "
        "baseline like any other, and a good one where it foretells what comes. If the second reward takes back the "
        f"luck of the first, whole returns have variance {found.reversed[0]:.0f} and rewards to go "
        f"{found.reversed[1]:.3f}; whole returns win for every ρ below {found.crossing:.1f}. A baseline V that knows "
        "the past is at least as good as either here. So past rewards do more than add noise: the gradient stays, the "
        "variance may go either way."
    )


LAB = Lab(
    name="past_rewards",
    title="Rewards to go can hurt",
    question=(
        "An action cannot change rewards that came before it. So the policy gradient keeps its mean if "
        "∇ log π(a_t|s_t) is weighted by the rewards from step t on only, and it is often said that past rewards "
        "just add noise. Two steps, the same policy in both: r₀ = ±1 is pure luck, and r₁ = ρ r₀. Which has the "
        "smaller variance, whole returns or rewards to go?"
    ),
    prompt="Let ρ = -1: the second reward takes back the first. Which gradient estimate is less noisy?",
    choices=("from rewards to go", "from whole returns", "both alike"),
    answer=lambda found: 2 if np.isclose(*found.reversed) else int(found.reversed[0] < found.reversed[1]),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="rewards to go begin one step too late, with r_{t+1}",
    wrong=lambda: compute(first=1),
    notes=(
        "- Policy reward only based on future rewards",
        "- https://spinningup.openai.com/en/latest/spinningup/extrapgproof1.html",
        "- due to the fact that expectation is 0 and this can be formed when t$$ < $$",
    ),
    reading=(
        "relook lab baselines",
        "relook lab log_derivative",
        "Sutton & Barto 2018, sections 13.3 and 13.4",
        "Spinning Up, Part 3: Intro to Policy Optimization",
    ),
    erratum=(
        "The expectation in the notes is 0 where the reward is older than the action: E[∇ log π(a_t|s_t) r_k] = 0 for "
        "k < t. That says nothing of the variance, which may rise without the past. The link has lost its underscores: "
        "the proof is at spinningup/extra_pg_proof1.html."
    ),
)
