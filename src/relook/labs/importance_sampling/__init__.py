"""Importance sampling: another policy's experience counts with a weight, and long experience hardly counts at all."""

from math import comb
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, under
from relook.tabular.three_states import STUDY, student

HORIZONS = (1, 5, 10, 20, 40, 80)
"""Lengths H of trajectories."""
SHORT, LONG = HORIZONS.index(20), HORIZONS.index(80)
SEEDS, EACH = 20, 10_000
"""Trajectories are drawn with so many seeds, so many with each."""
BEHAVIOUR, TARGET = 0.6, 0.5
"""How probable studying is, in every state, under the policy b that acts and under the policy π of interest."""
MOST = max(TARGET / BEHAVIOUR, (1 - TARGET) / (1 - BEHAVIOUR))
"""The largest π(a|s) / b(a|s)."""


class Found(NamedTuple):
    weight: NDArray[np.float64]
    """w = Π π(a|s) / b(a|s), or what is taken for it [horizons, seeds, trajectories]."""
    ret: NDArray[np.float64]
    """The return of the first 20 steps, undiscounted [seeds, trajectories]."""
    kept: NDArray[np.float64]
    """The share of trajectories that rejection sampling keeps [horizons]."""
    target: float
    """The expected return of 20 steps under π, by recursion."""
    behaviour: float
    """The same under b."""

    @property
    def share(self) -> NDArray[np.float64]:
        """The effective sample size over n, (Σw)² / n Σw², as each seed sees it [horizons, seeds]."""
        shares: NDArray[np.float64] = self.weight.mean(2) ** 2 / np.square(self.weight).mean(2)
        return shares


def compute(as_filter: bool = False) -> Found:
    """`as_filter` keeps the trajectories that π likes better than b does, and counts them all alike."""
    mdp, rng, count = student(), np.random.default_rng(4), SEEDS * EACH
    cumulative = mdp.transition.cumsum(2)
    state = rng.choice(mdp.size, size=count, p=mdp.start)
    log_weight, ret = np.zeros(count), np.zeros(count)
    weights, kept = [], []
    for step in range(1, HORIZONS[-1] + 1):
        studies = rng.random(count) < BEHAVIOUR
        action = np.where(studies, STUDY, 1 - STUDY)
        log_weight += np.where(studies, np.log(TARGET / BEHAVIOUR), np.log((1 - TARGET) / (1 - BEHAVIOUR)))
        uniform = rng.random(count)
        following = (uniform[:, None] >= cumulative[state, action, :-1]).sum(1)
        if step <= HORIZONS[SHORT]:
            ret += mdp.reward[state, action, following]
        state = following
        if step in HORIZONS:
            weight = np.exp(log_weight)
            kept.append(float((rng.random(count) * MOST**step < weight).mean()))
            if as_filter:
                weight = (weight >= 1) / (weight >= 1).mean()
            weights.append(weight.reshape(SEEDS, EACH))
    return Found(
        np.array(weights),
        ret.reshape(SEEDS, EACH),
        np.array(kept),
        _expected_return(mdp, TARGET),
        _expected_return(mdp, BEHAVIOUR),
    )


def _expected_return(mdp: MDP, studying: float) -> float:
    p, r = under(mdp, np.tile([studying, 1 - studying], (mdp.size, 1)))
    value = np.zeros(mdp.size)
    for _ in range(HORIZONS[SHORT]):
        value = r + p @ value
    return float(mdp.start @ value)


def _exact_share(horizon: int) -> float:
    """1 / E[w²], with the expectation summed over how often the trajectory studies."""
    second = sum(
        comb(horizon, k) * (TARGET**2 / BEHAVIOUR) ** k * ((1 - TARGET) ** 2 / (1 - BEHAVIOUR)) ** (horizon - k)
        for k in range(horizon + 1)
    )
    return 1 / second


def claims(found: Found) -> list[Claim]:
    n, horizon = SEEDS * EACH, HORIZONS[SHORT]
    estimate = found.weight[SHORT] * found.ret
    kept = MOST**-horizon
    return [
        Claim(
            "the mean weight of trajectories of 20 steps",
            float(found.weight[SHORT].mean()),
            1.0,
            4 * np.sqrt((1 / _exact_share(horizon) - 1) / n),
            "E_b[π/b] = Σ π = 1 at every step; four standard errors of 200,000 weights with variance E[w²] - 1",
        ),
        Claim(
            "the return of 20 steps, reweighted",
            float(estimate.mean()),
            found.target,
            float(4 * estimate.std() / np.sqrt(n)),
            "E_b[w R] = E_π[R], which a recursion over time gives exactly; four standard errors",
        ),
        Claim(
            "1 / E[w²] at 80 steps, over (24/25)⁸⁰",
            _exact_share(80) / (24 / 25) ** 80,
            1.0,
            1e-12,
            "every step multiplies E[w²] by 0.5²/0.6 + 0.5²/0.4 = 25/24; a binomial sum, exact but for rounding",
        ),
        Claim(
            "the effective share at 80 steps as the sample sees it, mean of 20 seeds of 10,000",
            float(found.share[LONG].mean()),
            _exact_share(80),
            0.0,
            "the few huge weights that E[w²] consists of are mostly not in a sample, which so looks better than it is",
            "at least",
        ),
        Claim(
            "the share of trajectories of 20 steps that rejection sampling keeps",
            float(found.kept[SHORT]),
            kept,
            4 * np.sqrt(kept * (1 - kept) / n),
            "w / 1.25²⁰ is kept on average, and E[w] = 1; four standard errors of 200,000 trajectories",
        ),
    ]


def draw(found: Found) -> Figure:
    exact = np.array([_exact_share(h) for h in HORIZONS])
    figure, (left, right) = panels(
        2,
        f"Weights correct the return, but leave the worth of {exact[SHORT]:.0%} of all trajectories at 20 steps, of "
        f"{exact[LONG]:.0%} at 80",
        f"The student studies with probability {BEHAVIOUR} and learns about a policy that does with {TARGET}; {SEEDS} "
        f"seeds, {EACH:,} trajectories each. Boxes: seeds.",
    )
    left.semilogy(HORIZONS, exact, "o-", color=COLOURS[0], label="exact: (24/25)ᴴ")
    left.semilogy(
        HORIZONS, found.share.mean(1), "s--", color=COLOURS[1], markerfacecolor="none", label="as the sample sees it"
    )
    left.semilogy(HORIZONS, [MOST**-h for h in HORIZONS], "^:", color=COLOURS[2], label="a filter (rejection) keeps")
    left.set_ylim(1e-4, 1.5)
    titled(left, "What experience is worth", "length H of trajectories", "effective share of n")
    legend(left, "lower left")
    reweighted = (found.weight[SHORT] * found.ret).mean(1)
    chosen = found.weight[SHORT] >= 1
    filtered = np.array([r[c].mean() for r, c in zip(found.ret, chosen, strict=True)])
    right.boxplot(
        [found.ret.mean(1), filtered, reweighted],
        tick_labels=["as it came", "only w ≥ 1,\nall alike", "reweighted"],
        medianprops={"color": COLOURS[0], "linewidth": 2},
    )
    for truth, label, place in (
        (found.target, "truth under π", (0.02, found.target)),
        (found.behaviour, "truth under b", (0.5, found.behaviour)),
    ):
        right.axhline(truth, color=GREY, linestyle="--", linewidth=1)
        right.annotate(label, place, xycoords=("axes fraction", "data"), fontsize=8, color=GREY, va="bottom")
    titled(right, "Return of 20 steps", "", "estimate")
    return figure


def lesson(found: Found) -> str:
    chosen = found.weight[SHORT] >= 1
    return (
        f"Reweighted by Π π/b, returns of a policy that studies with probability {BEHAVIOUR} average to "
        f"{(found.weight[SHORT] * found.ret).mean():.2f}, the return {found.target:.2f} of the policy of interest, "
        f"while they average to {found.ret.mean():.2f} as they came. Nothing is filtered out: whoever keeps the "
        f"trajectories with w ≥ 1 alone, all alike, gets {found.ret[chosen].mean():.2f}, and a filter that is "
        f"right, rejection sampling, keeps {found.kept[SHORT]:.1%} of them. The price of weights is variance: each "
        f"step costs a factor 24/25 of the effective sample size, which leaves {_exact_share(20):.2f} at 20 steps "
        f"and {_exact_share(80):.3f} at 80. There the sample itself says {found.share[LONG].mean():.3f}, because the "
        "weights that matter most are too rare to be in it."
    )


LAB = Lab(
    name="importance_sampling",
    title="Importance sampling reweights",
    question=(
        "Experience comes from a policy b that acts; what is wanted is the expected return of another policy π. A "
        "trajectory counts with the weight w = Π π(a_t|s_t) / b(a_t|s_t). Then E_b[w R] = E_π[R]: what π does more "
        "often than b counts more. Weights that differ make an average less certain, as if there were fewer samples: "
        "the effective sample size is (Σw)² / Σw². The student studies with probability 0.6 under b and 0.5 under π. "
        "How much is left of n trajectories of H steps?"
    ),
    prompt="The two policies differ by 0.1 only. Of 10,000 trajectories of 80 steps, how many are left in effect?",
    choices=("about 9,000", "about 4,000", "about 400"),
    answer=lambda found: int(np.abs(np.log(np.array([0.9, 0.4, 0.04]) / found.share[LONG].mean())).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the weights are used as a filter: trajectories with w ≥ 1 are kept and all count alike",
    wrong=lambda: compute(as_filter=True),
    notes=(
        "- Importance sampling is a technique to filter these samples",
        "- random variables, Bayes theorem, chain rule prob, expected value, standard dev, importance sampling",
    ),
    reading=(
        "relook lab trajectories",
        "relook lab likelihood",
        "Sutton & Barto 2018, section 5.5",
        "Precup, Sutton & Singh 2000, Eligibility traces for off-policy policy evaluation",
    ),
    erratum=(
        "The notes call importance sampling a technique to filter samples. It reweights them, and drops none. A filter "
        "with the same expectation exists, rejection sampling, and throws away nearly all long trajectories. One-step "
        "Q-learning needs neither: its target takes the best action in the next state, whoever chose the one before."
    ),
)
