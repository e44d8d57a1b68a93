"""A time limit is not an end: what values become if it is treated as one."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import brentq

from relook.formulas.returns import gae, td_target
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array

GAMMA, LIMIT = 0.99, 200
ALPHA, EPISODES = 0.01, 1_000
TRUE = 1 / (1 - GAMMA)
"""V of a state that pays 1 in every step for ever."""
LAMBDAS = 1 - np.linspace(1, 0, 21) ** 2
KINDS = ("terminated", "truncated")


class Found(NamedTuple):
    learned: dict[str, NDArray[np.float64]]
    """V after each episode of TD(0), where the limit is called a termination or a truncation."""
    settled: dict[str, NDArray[np.float64]]
    """The V that its own λ-returns agree with on average, for each of `LAMBDAS`."""
    slow: dict[str, NDArray[np.float64]]
    """The same from the definition of the λ-return, step by step."""
    left: NDArray[np.float64]
    """V at each step t of an agent that sees the time, where the limit is part of the task."""


def compute(same: bool = False) -> Found:
    """If `same`, one flag says that an episode is over, whatever it was that ended it."""
    ends = {kind: kind == "terminated" or same for kind in KINDS}
    return Found(
        {kind: _learned(end) for kind, end in ends.items()},
        {kind: np.array([_settled(_mean_target(lam, end)) for lam in LAMBDAS]) for kind, end in ends.items()},
        {kind: np.array([_settled(_slow_target(lam, end)) for lam in LAMBDAS]) for kind, end in ends.items()},
        _with_time(),
    )


def _flags(end: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each of the steps of an episode was a termination, and whether it was a truncation [1, T, 1]."""
    last = torch.arange(LIMIT).view(1, LIMIT, 1) == LIMIT - 1
    return last & end, last & (not end)


def _learned(end: bool) -> NDArray[np.float64]:
    """V ← V + α (r + γ V - V), without γ V where an episode is said to end."""
    reward, discount = torch.ones(1, LIMIT, dtype=torch.float64), torch.full((1, LIMIT), GAMMA, dtype=torch.float64)
    terminated = _flags(end)[0][..., 0]
    # the target is a + b V, by relook's formula at V = 0 and V = 1
    a = td_target(reward, torch.zeros_like(reward), terminated, discount)[0].numpy()
    b = td_target(reward, torch.ones_like(reward), terminated, discount)[0].numpy() - a
    value, found = 0.0, []
    for _ in range(EPISODES):
        for one, times in zip(a.tolist(), b.tolist(), strict=True):
            value += ALPHA * (one + times * value - value)
        found.append(value)
    return np.array(found)


def _mean_target(lam: float, end: bool) -> tuple[float, float]:
    """The mean λ-return of an episode where V is 0, and where V is 1 in all states."""
    terminated, truncated = _flags(end)
    reward = torch.ones(1, LIMIT, 1, dtype=torch.float64)
    settings = torch.tensor([GAMMA], dtype=torch.float64), torch.tensor([lam], dtype=torch.float64)
    found = []
    for value in (torch.zeros_like(reward), torch.ones_like(reward)):
        found.append(float((gae(reward, value, value, terminated, truncated, *settings) + value).mean()))
    return found[0], found[1]


def _slow_target(lam: float, end: bool) -> tuple[float, float]:
    """The same from the n-step returns: (1 - λ) Σ_n λⁿ⁻¹ G_n, and λᵐ⁻¹ G_m for the m steps that are left (Eq. 12.3)."""
    found = []
    for value in (0.0, 1.0):
        total = 0.0
        for left in range(1, LIMIT + 1):
            n = np.arange(1, left + 1)
            weight = np.where(n < left, 1 - lam, 1.0) * lam ** (n - 1.0)
            ahead = np.where((n == left) & end, 0.0, value)
            total += float(weight @ ((1 - GAMMA**n) / (1 - GAMMA) + GAMMA**n * ahead))
        found.append(total / LIMIT)
    return found[0], found[1]


def _settled(target: tuple[float, float]) -> float:
    """The V = a + b V of a target that is a at V = 0 and a + b at V = 1."""
    return target[0] / (1 - (target[1] - target[0]))


def _with_time() -> NDArray[np.float64]:
    """Bellman's equation, backwards from the limit, where nothing follows."""
    value = [1.0]
    while len(value) < LIMIT:
        value.append(1 + GAMMA * value[-1])
    return np.array(value[::-1])


def last_of_cycle(end: bool) -> float:
    """V right after an episode, once episodes change it no more: T - 1 updates towards 1 + γ V and one towards 1."""

    def change(value: float) -> float:
        before = TRUE + (value - TRUE) * (1 - ALPHA * (1 - GAMMA)) ** (LIMIT - 1)
        return before + ALPHA * (1 + (0 if end else GAMMA * before) - before) - value

    return float(brentq(change, 0, 200, xtol=1e-12))


def claims(found: Found) -> list[Claim]:
    apart: Array = np.array([np.abs(found.settled[kind] - found.slow[kind]).max() for kind in KINDS])
    returns = TRUE * (1 - np.mean(GAMMA ** np.arange(1, LIMIT + 1)))
    return [
        Claim(
            "V after 1,000 episodes, the limit taken for a truncation",
            found.learned["truncated"][-1],
            TRUE,
            1e-6,
            "1 / (1 - γ); a share of e⁻²⁰ is still missing",
        ),
        Claim(
            "V right after an episode, the limit taken for an end",
            found.learned["terminated"][-1],
            last_of_cycle(end=True),
            1e-9,
            "the V that T - 1 updates to 1 + γ V and one to 1 leave as it was; 0.97¹⁰⁰⁰ of the first V is left",
        ),
        Claim(
            "V that agrees with one-step targets on average, the limit taken for an end",
            found.settled["terminated"][0],
            1 / (1 - GAMMA * (1 - 1 / LIMIT)),
            1e-9,
            "one target in T has no γ V: an end in T steps on average; rounding",
        ),
        Claim(
            "the same with whole returns",
            found.settled["terminated"][-1],
            float(returns),
            1e-9,
            "the mean over t of (1 - γᵀ⁻ᵗ) / (1 - γ); rounding",
        ),
        Claim(
            "the largest |V - 1 / (1 - γ)| over all λ, the limit taken for a truncation",
            float(np.abs(found.settled["truncated"] - TRUE).max()),
            0.0,
            1e-9,
            "V of the state after the limit takes the place of what was cut off; rounding",
        ),
        Claim(
            "the largest difference of any V from that of λ-returns as a sum over n-step returns",
            float(apart.max()),
            0.0,
            1e-9,
            "relook's `gae` against the definition; rounding",
        ),
    ]


def draw(found: Found) -> Figure:
    wrong = found.learned["terminated"][-1]
    figure, (left, right) = panels(
        2,
        f"A state that is worth {TRUE:.0f} seems to be worth {wrong:.1f} if a limit of {LIMIT} steps counts as an end",
        f"One state, reward 1 in each step, for ever; γ = {GAMMA}. Left: TD(0), α = {ALPHA}, seen after each episode. "
        "Right: the V that agrees with its own λ-returns on average, exact.",
    )
    looks = (("terminated", "--", COLOURS[1], "limit = end"), ("truncated", "-", COLOURS[0], "limit = cut, V goes on"))
    for kind, style, colour, label in looks:
        left.plot(np.arange(1, EPISODES + 1), found.learned[kind], style, color=colour, label=label)
        right.plot(LAMBDAS, found.settled[kind], style, color=colour, label=label)
        at = found.learned[kind][-1]
        left.annotate(f"{at:.1f}", (EPISODES, at), fontsize=9, va="bottom", ha="right")
    first, last = found.settled["terminated"][[0, -1]]
    right.annotate(f"{first:.1f}", (0, first), fontsize=9, va="bottom", ha="left")
    right.annotate(f"{last:.1f}", (1, last), fontsize=9, va="top", ha="right")
    for at_panel in (left, right):
        at_panel.axhline(TRUE, color=GREY, linewidth=1, linestyle=":")
        at_panel.set_ylim(0, 112)
    titled(left, "What TD(0) learns", "episodes", "V")
    titled(right, "The mistake depends on λ, the truth does not", "λ", "V")
    legend(left, "lower right")
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    ends = found.settled["terminated"]
    return (
        f"The state pays 1 for ever and is worth 1 / (1 - γ) = {TRUE:.0f}. Gymnasium's time limit cuts an episode "
        f"off: `truncated`. Whoever treats that as `terminated` teaches V that one step in {LIMIT} is the last, and "
        f"one-step targets settle at {ends[0]:.1f} ({found.learned['terminated'][-1]:.1f} right after an episode), "
        f"whole returns at {ends[-1]:.1f}. With V of the state after the cut in the target, all λ give "
        f"{found.settled['truncated'][0]:.0f}. An agent that is off so much would end the episode for a prize of 80. "
        "If the limit is part of the task and not of the training, an end is right, but then the time that is left "
        f"belongs into the state: V falls from {found.left[0]:.1f} to {found.left[-1]:.0f} in the course of an episode."
    )


LAB = Lab(
    name="time_limits",
    title="A time limit is not an end",
    question=(
        "Training cuts episodes off after 200 steps, so that the agent sees many beginnings. One state, one action, "
        "reward 1 in each step, and it would go on for ever: with γ = 0.99 it is worth 1 + 0.99 + 0.99² + … = 100. The "
        "target of TD is r + γ V(s'), and r alone where an episode ends. What is learned if the limit is taken for an "
        "end?"
    ),
    prompt="One target in 200 lacks γ V(s'). What does TD(0) learn in place of 100?",
    choices=("about 99.5, since one target in 200 is wrong", "about 67", "about 87, which is what 200 steps pay"),
    answer=lambda found: int(np.abs(np.array([99.5, 67, 86.6]) - found.settled["terminated"][0]).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="one flag `done` for both, terminated or truncated",
    wrong=lambda: compute(same=True),
    notes=(
        "- finite horizon, infinite horizon discounted return",
        "- Iterate fast in simple environments: CartPole-v0, InvertedPendulum-v0, FrozenLake-v0, HalfCheetah-v2 "
        "(100-250 steps) OpenAI Gym",
    ),
    reading=(
        "relook lab gae",
        "Pardo et al. 2018 (arXiv:1712.00378)",
        "Gymnasium, Handling Time Limits",
        "Sutton & Barto 2018, sections 3.3 and 3.4",
    ),
)
