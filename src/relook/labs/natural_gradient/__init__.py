"""The natural gradient: distance measured between policies, and not between parameters."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import expit, logit

from relook.formulas.distributions import categorical_fisher, categorical_kl
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array, backup, evaluate, visits
from relook.tabular.policy_gradient import gradient
from relook.tabular.three_states import GAMMA, student, undecided

START, GOAL, ALPHA = -4.0, 0.99, 0.1
"""θ at first, where π(1) = 1 / (1 + e⁴) = 0.018; π(1) that is wanted; and the step size of both."""
SCALES = (0.5, 1.0, 2.0)
"""κ: what is learned is φ, and θ = κ φ."""


class Found(NamedTuple):
    fisher: tuple[float, float]
    """F at the start as it was estimated, and the second derivative of KL(π_θ ‖ π_θ') by θ'."""
    plain: NDArray[np.float64]
    """π(1) after each step of the gradient."""
    natural: NDArray[np.float64]
    """π(1) after each step of the natural gradient."""
    counts: NDArray[np.int64]
    """Steps that both take for each of `SCALES` [2, scales]."""
    student: tuple[Array, Array]
    """F⁻¹ ∇J [S, A] of the student of three states, and its advantages less their mean in each state."""


def compute(by_reward: bool = False) -> Found:
    """`by_reward` takes the mean square of r ∇log π, the gradient that was sampled, for the Fisher information."""
    plain, natural = _climb(1.0, False, by_reward), _climb(1.0, True, by_reward)
    counts = [[len(_climb(scale, way, by_reward)) - 1 for scale in SCALES] for way in (False, True)]
    return Found(
        (_fisher(expit(START), by_reward), _curvature(START)), plain, natural, np.array(counts), _student(by_reward)
    )


def _fisher(p: float, by_reward: bool) -> float:
    """E[(∂ log π(a) / ∂θ)²] of π(1) = σ(θ); action 1 has a reward of 1, action 0 of 0."""
    weight = 0.0 if by_reward else 1.0
    return p * (1 - p) ** 2 + weight * (1 - p) * p**2


def _climb(scale: float, natural: bool, by_reward: bool) -> NDArray[np.float64]:
    """π(1) at the start and after each step up J = π(1) until the goal is reached, with θ = `scale` φ."""
    phi, p = START / scale, [expit(START)]
    while p[-1] < GOAL:
        slope = scale * p[-1] * (1 - p[-1])
        phi += ALPHA * slope / (scale**2 * _fisher(p[-1], by_reward) if natural else 1.0)
        p.append(expit(scale * phi))
    return np.array(p)


def _curvature(theta: float, step: float = 1e-3) -> float:
    """∂²KL/∂θ'² at θ' = θ, by differences of relook's KL."""
    log_p = torch.nn.functional.logsigmoid(
        torch.tensor([[[-t, t]] for t in (theta - step, theta, theta + step)], dtype=torch.float64)
    )
    below, here, above = categorical_kl(log_p[1:2].expand(3, 1, 2), log_p).tolist()
    return float((below - 2 * here + above) / step**2)


def _student(by_reward: bool) -> tuple[Array, Array]:
    """The policy is a softmax of θ(s, a), so that F has one block for each state, weighted by visits as ∇J is."""
    mdp, policy = student(), undecided()
    value = evaluate(mdp, policy, GAMMA)
    advantage = backup(mdp, value, GAMMA) - value[:, None]
    slope = gradient(mdp, np.log(policy), GAMMA)
    natural = np.empty_like(slope)
    for s, (p, d) in enumerate(zip(policy, visits(mdp, policy, GAMMA), strict=True)):
        log_p = torch.from_numpy(np.log(p)).expand(2, 1, 2)
        block = categorical_fisher(log_p, torch.eye(2, dtype=torch.float64).unsqueeze(1)).squeeze(1).numpy()
        if by_reward:
            score = np.eye(2) - p
            block = np.einsum("a,ab,ac->bc", p * advantage[s] ** 2, score, score)
        # A constant added to both θ(s, ·) changes nothing: of all solutions, the one without it.
        natural[s] = np.linalg.pinv(d * block) @ slope[s]
    return natural, advantage - advantage.mean(1, keepdims=True)


def claims(found: Found) -> list[Claim]:
    start, goal = START, float(logit(GOAL))
    # dθ/dt = p (1 - p) and 1 / p (1 - p) = 2 + e^θ + e^-θ, whose integral is:
    time = 2 * (goal - start) + np.exp(goal) - np.exp(start) - np.exp(-goal) + np.exp(-start)
    one = SCALES.index(1.0)
    return [
        Claim(
            "F at θ = -4, less the curvature of KL there",
            found.fisher[0] - found.fisher[1],
            0.0,
            1e-6,
            "F is KL's second derivative; second differences with a step of 0.001 are off by less",
        ),
        Claim(
            "steps of the natural gradient",
            float(found.counts[1, one]),
            float(np.ceil((goal - start) / ALPHA)),
            0.0,
            "F⁻¹ ∇J = 1: every step adds α to θ, which goes from -4 to log 99",
        ),
        Claim(
            "steps of the gradient",
            float(found.counts[0, one]),
            float(time / ALPHA),
            2.0,
            "∫ dθ / α p (1 - p) from -4 to log 99; finite steps and rounding up add about one",
        ),
        Claim(
            "the most that another unit of θ changes the number of natural steps by",
            float(np.ptp(found.counts[1])),
            0.0,
            0.0,
            "with θ = κ φ, ∇J is multiplied by κ and F by κ², so that κ F⁻¹ ∇J stays the same",
        ),
        Claim(
            "the largest difference of the student's F⁻¹ ∇J from its advantages, less their mean in a state",
            float(np.abs(found.student[0] - found.student[1]).max()),
            0.0,
            1e-10,
            "∇J = d π A and F = d (diag π - π πᵀ) in each state: d and π drop out; rounding in a 2 × 2 inverse",
        ),
    ]


def draw(found: Found) -> Figure:
    slow, fast = found.counts[:, SCALES.index(1.0)]
    figure, (left, right) = panels(
        2,
        f"Away from an unlikely best action it takes the gradient {slow:,} steps, the natural gradient {fast}",
        "Two actions, π(1) = σ(θ), rewards 1 and 0; from π(1) = 0.018 to 0.99 with a step size of 0.1. Right: what is "
        "learned is φ, where θ = κ φ.",
    )
    left.plot(found.natural, "-", color=COLOURS[0], label=f"natural gradient, {fast} steps")
    left.plot(found.plain, "--", color=COLOURS[1], label=f"gradient, {slow:,} steps")
    left.axhline(GOAL, color=GREY, linestyle=":", linewidth=1)
    left.set_xscale("symlog", linthresh=10)
    left.set_xticks([0, 10, 100, 1000], ["0", "10", "100", "1,000"])
    left.set_xlim(0, 2 * slow)
    titled(left, "The way to the best action", "steps", "π(1)")
    legend(left, "upper left")
    left.set_ylim(0, 1.3)
    for counts, mark, colour, label in (
        (found.counts[1], "o-", COLOURS[0], "natural gradient"),
        (found.counts[0], "s--", COLOURS[1], "gradient"),
    ):
        right.loglog(SCALES, counts, mark, color=colour, label=label)
        for scale, count in zip(SCALES, counts, strict=True):
            right.annotate(f"{count:,}", (scale, count), (0, 6), textcoords="offset points", fontsize=8, ha="center")
    right.set_xticks(SCALES, [f"{scale:g}" for scale in SCALES])
    right.minorticks_off()
    right.set_xlim(0.4, 2.5)
    right.set_ylim(30, 30_000)
    titled(right, "The unit of the parameter", "κ", "steps")
    legend(right)
    return figure


def lesson(found: Found) -> str:
    (half, slow, twice), (_, fast, _) = found.counts
    return (
        f"The gradient is multiplied by π(1) (1 - π(1)), which is {found.fisher[0]:.3f} at the start: the best action "
        f"is hardly tried, so that hardly anything is learned of it, and again little is left to learn at the end. "
        f"Divided by F, which is as small, it makes equal steps in θ: {fast} of them in place of {slow:,}. One could "
        f"take larger steps without F, but how large depends on the unit of θ: with θ = κ φ the gradient takes "
        f"{half:,} steps at κ = 0.5 and {twice:,} at κ = 2, the natural gradient {fast} always, because KL does not "
        "see parameters. For a softmax of θ(s, a) the natural gradient is the advantage, however seldom a state is "
        "visited. Known exactly, F costs nothing here; from samples it is noisy, and with many parameters "
        "TRPO solves F x = g by conjugate gradients."
    )


LAB = Lab(
    name="natural_gradient",
    title="The natural gradient, and what Fisher information is",
    question=(
        "Two actions: action 1 gives a reward of 1, action 0 none, and π(1) = σ(θ) = 1 / (1 + e^-θ). The best action "
        "is unlikely at first, π(1) = 0.018. Gradient ascent adds α ∂J/∂θ to θ, which measures a step by how far θ "
        "moves. The natural gradient F⁻¹ ∇J measures it by how far the policy moves, by KL, whose curvature is the "
        "Fisher information F = E[(∂ log π/∂θ)²]. It takes 86 steps with α = 0.1 to get to π(1) = 0.99."
    ),
    prompt="How many steps does the gradient take with the same α?",
    choices=("about as many", "about 5 times as many", "about 20 times as many"),
    answer=lambda found: int(np.abs(np.log(np.array([1, 5, 20]) * len(found.natural) / len(found.plain))).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="F is estimated from the sampled gradients, r ∇log π, and not from ∇log π alone",
    wrong=lambda: compute(by_reward=True),
    notes=(
        "- Trust Region Policy Optimization (TRPO)",
        "- VPG -> TRPO -> PPO",
        r"- Optimize parameters \(\theta\) on objective \(J(\pi_\theta)\)",
    ),
    reading=(
        "relook lab performance_difference",
        "relook lab clipping",
        "Kakade 2001, A Natural Policy Gradient",
        "Schulman et al. 2015 (arXiv:1502.05477), Appendix C",
        "Agarwal et al. 2021 (arXiv:1908.00261), section 5.3",
    ),
)
