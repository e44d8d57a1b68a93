"""Two learners play rock, paper, scissors against each other: what goes round, and what settles."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import log_softmax

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array

PAYS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
"""What the first player gets for rock, paper, scissors, against the same of the second, who gets the opposite."""
STEPS, LAST, STARTS = 20_000, 5_000, 10
RATES = {"policy gradient": 0.3, "natural gradient": 0.1}
KINDS = tuple(RATES)
CORNERS = np.array([[0, 0], [1, 0], [0.5, 0.75**0.5]])


class Found(NamedTuple):
    first: dict[str, NDArray[np.float64]]
    """The first player's policy at each step [t, start, 3]."""
    second: dict[str, NDArray[np.float64]]
    away: NDArray[np.float64]
    """KL(u‖π₁) + KL(u‖π₂) of the natural gradient [t, start], less a constant, where u = (⅓, ⅓, ⅓)."""
    fictitious: NDArray[np.float64]
    """The share of each action up to each step, of both players of fictitious play [t, 2, 3]."""

    def now(self, kind: str) -> NDArray[np.float64]:
        """Exploitability of the policies as they are [t, start]."""
        return exploitability(self.first[kind], self.second[kind])

    def mean(self, kind: str) -> NDArray[np.float64]:
        """Exploitability of the mean of all policies so far [t, start]."""
        return exploitability(so_far(self.first[kind]), so_far(self.second[kind]))

    @property
    def fictitious_play(self) -> NDArray[np.float64]:
        """[t]"""
        return exploitability(self.fictitious[:, 0], self.fictitious[:, 1])


def exploitability(p: Array, q: Array) -> NDArray[np.float64]:
    """What best responses win, on average over both seats; the value of the game is 0."""
    mean: NDArray[np.float64] = ((q @ PAYS.T).max(-1) + (-p @ PAYS).max(-1)) / 2
    return mean


def so_far(policy: Array) -> Array:
    """The mean up to each step."""
    mean: Array = policy.cumsum(0) / np.arange(1, len(policy) + 1).reshape(-1, 1, 1)
    return mean


def compute(sign: float = -1.0) -> Found:
    """The second player gets `sign` times what the first one gets."""
    logs = {kind: _play(kind, rate, sign) for kind, rate in RATES.items()}
    return Found(
        {kind: np.exp(log[:, 0]) for kind, log in logs.items()},
        {kind: np.exp(log[:, 1]) for kind, log in logs.items()},
        -logs["natural gradient"].mean(-1).sum(1),
        _fictitious(sign),
    )


def _play(kind: str, rate: float, sign: float) -> NDArray[np.float64]:
    """Both log π [t, 2, start, 3], softmaxes of θ that climb the exact gradient of what each gets."""
    theta = np.random.default_rng(1).normal(size=(2, STARTS, 3))
    found = np.empty((STEPS, *theta.shape))
    for t in range(STEPS):
        found[t] = log_softmax(theta, -1)
        policy = np.exp(found[t])
        gets = np.stack([policy[1] @ PAYS.T, sign * policy[0] @ PAYS])
        if kind == "policy gradient":
            # ∂J/∂θ(a) = π(a) (q(a) - J); the natural gradient is q(a), up to a constant that softmax does not see
            gets = policy * (gets - (policy * gets).sum(-1, keepdims=True))
        theta = theta + rate * gets
    return found


def _fictitious(sign: float) -> NDArray[np.float64]:
    """Each plays its best response to the shares that the other one has played, and rock against paper at first."""
    count, found = np.zeros((2, 3)), np.empty((STEPS, 2, 3))
    choice = [0, 1]
    for t in range(STEPS):
        count[range(2), choice] += 1
        found[t] = count / (t + 1)
        choice = [int((PAYS @ count[1]).argmax()), int((sign * count[0] @ PAYS).argmax())]
    return found


def _regret(first: Array, second: Array) -> NDArray[np.float64]:
    """How much more the best fixed action would have got, for both players [2, start], in all."""
    one, two = second @ PAYS.T, -first @ PAYS
    best = np.stack([one.sum(0).max(-1), two.sum(0).max(-1)])
    got = np.stack([(first * one).sum((0, 2)), (second * two).sum((0, 2))])
    regret: NDArray[np.float64] = best - got
    return regret


def claims(found: Found) -> list[Claim]:
    natural = (found.first["natural gradient"], found.second["natural gradient"])
    regret = _regret(*natural).sum(0) / (2 * STEPS)
    rate = RATES["natural gradient"]
    bound = sum(-np.log(policy[0]).max(-1) for policy in natural) / (2 * rate * STEPS) + rate / 2
    means = {kind: found.mean(kind)[-1] for kind in KINDS}
    return [
        Claim(
            "the least exploitability of the natural gradient's policies in the last 5,000 steps, of ten starts",
            float(found.now("natural gradient")[-LAST:].min()),
            0.5,
            0.0,
            "they go round, further and further out",
            "at least",
        ),
        Claim(
            "that of the policy gradient on average in the last 5,000 steps, the least of ten starts",
            float(found.now("policy gradient")[-LAST:].mean(0).min()),
            0.5,
            0.0,
            "the same; it is slower near the edges",
            "at least",
        ),
        Claim(
            "the least change of KL(u‖π₁) + KL(u‖π₂) in a step of the natural gradient, u = (⅓, ⅓, ⅓)",
            float(np.diff(found.away, axis=0).min()),
            0.0,
            1e-10,
            "the first-order changes of both cancel, as the game is zero-sum, and the rest is a variance; rounding",
            "at least",
        ),
        Claim(
            "the largest exploitability of the mean policies, of ten starts and both gradients",
            max(float(mean.max()) for mean in means.values()),
            0.02,
            0.0,
            "after 20,000 steps; the players pass (⅓, ⅓, ⅓) on all sides",
            "at most",
        ),
        Claim(
            "the same of fictitious play",
            float(found.fictitious_play[-1]),
            0.02,
            0.0,
            "it converges in all zero-sum games with finitely many actions (Robinson 1951)",
            "at most",
        ),
        Claim(
            "the largest |exploitability of mean policies - mean regret| of the natural gradient",
            float(np.abs(means["natural gradient"] - regret).max()),
            0.0,
            1e-12,
            "what one gets, the other pays, so that only the best fixed actions are left; rounding",
        ),
        Claim(
            "the most by which that exploitability is above ln(1/π(a)) / ηT + η/2",
            float((means["natural gradient"] - bound).max()),
            0.0,
            0.0,
            "the natural gradient of a softmax is the algorithm Hedge, and this is the bound of its regret",
            "at most",
        ),
    ]


def draw(found: Found) -> Figure:
    kind, start = "policy gradient", 4
    figure, (left, right) = panels(
        2,
        f"Self-play goes round (exploitability {found.now(kind)[-1].mean():.2f} at the end); the mean of its policies "
        f"settles ({found.mean(kind)[-1].mean():.3f})",
        f"Rock, paper, scissors; exact policy gradients with η = {RATES[kind]}, both players at once. Left: one start. "
        "Right: ten starts thin, one thick; fictitious play has one.",
    )
    left.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=GREY, linewidth=1)
    path, mean = found.first[kind][:, start], so_far(found.first[kind])[:, start]
    left.plot(*(path[:1_000] @ CORNERS).T, color=COLOURS[1], linewidth=0.7, label="π, 1,000 steps")
    left.plot(*(mean[:1_000] @ CORNERS).T, color=COLOURS[0], linewidth=1.8, linestyle="--", label="mean of π so far")
    left.plot(*(path[0] @ CORNERS), "o", color=COLOURS[1], label="first π")
    left.plot(*CORNERS.mean(0), "*", color="black", markersize=10, label="(⅓, ⅓, ⅓)")
    for corner, name, where in zip(CORNERS, ("rock", "paper", "scissors"), ("top", "top", "bottom"), strict=True):
        left.annotate(name, corner, fontsize=9, ha="center", va=where)
    left.set_xlim(-0.1, 1.65)
    left.set_ylim(-0.1, 1.0)
    left.set_aspect("equal")
    left.axis("off")
    titled(left, "The first player's policy", "", "")
    legend(left, "upper right")
    step = np.unique(np.geomspace(1, STEPS, 400).astype(int)) - 1
    looks = ((found.now(kind), "-", COLOURS[1], "policies as they are"), (found.mean(kind), "--", COLOURS[0], "means"))
    for values, style, colour, label in looks:
        right.loglog(step + 1, values[step], style, color=colour, linewidth=0.4, alpha=0.5)
        right.loglog(step + 1, values[step, start], style, color=colour, label=label)
    right.loglog(step + 1, found.fictitious_play[step], ":", color=COLOURS[2], label="fictitious play")
    titled(right, "What a best response wins", "steps", "exploitability")
    legend(right, "lower left")
    return figure


def lesson(found: Found) -> str:
    now, mean = found.now("policy gradient"), found.mean("policy gradient")
    return (
        "Each learner goes uphill against the other one as it is now, and the other one moves on: from scissors to "
        f"rock to paper. In the last {LAST:,} steps a best response wins {now[-LAST:].mean():.2f} per game on average "
        f"against them, and never less than {now[-LAST:].min():.2f}. The mean of all policies so far is hard to beat: "
        f"{mean[-1].max():.3f} at most after {STEPS:,} steps; so is fictitious play ({found.fictitious_play[-1]:.3f}), "
        "which answers the other's whole past. That is why self-play keeps old opponents. A rating does not show "
        "it: among rock, paper and scissors, each wins as often as it loses, so that all have the same Elo, and each "
        "loses every game to its best response. Means help in zero-sum games of two; elsewhere there is no promise."
    )


LAB = Lab(
    name="self_play",
    title="Self-play goes round in circles",
    question=(
        "Two policies play rock, paper, scissors: 1 for a win, -1 for a loss. Both are softmaxes and follow the exact "
        "gradient of what they get against the other one, step by step. The only policy that cannot be exploited plays "
        "each action with probability ⅓. Exploitability is what a best response wins per game: 0 there, 1 for a "
        "policy that always plays rock. Does self-play find (⅓, ⅓, ⅓)?"
    ),
    prompt="After 20,000 steps, how much does a best response win against what self-play has learned?",
    choices=("nothing, to two digits", "about 0.1", "more than 0.5"),
    answer=lambda found: int(np.searchsorted([0.02, 0.4], found.now("policy gradient")[-1].mean())),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the second player climbs what the first one gets: a minus sign is missing",
    wrong=lambda: compute(sign=1.0),
    notes=(
        "Why does model only seek to optimize it's ability to win and not defend?",
        "- directly optimize on bjective, policy performance",
    ),
    reading=(
        "relook lab entropy",
        "Brown 1951, Iterative Solution of Games by Fictitious Play",
        "Heinrich & Silver 2016 (arXiv:1603.01121)",
        "Bailey & Piliouras 2018, Multiplicative Weights Update in Zero-Sum Games",
        "Lanctot et al. 2017 (arXiv:1711.00832)",
    ),
)
