"""The log-derivative trick, and the lemma that ∇ log π is 0 on average: sums over everything that can happen."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import softmax

from relook.labs.lab import Claim, Lab
from relook.labs.listing import listed, score, summed, values
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array, backup, evaluate, visits
from relook.tabular.three_states import FRESH, GAMMA, STUDY, student, undecided

LENGTH = 4
"""Actions of a trajectory."""
SAMPLED = 10_000
STEP = 1e-5
"""Of finite differences: their error is about 10⁻¹⁰ of curvature and 10⁻¹¹ of rounding."""


class Found(NamedTuple):
    policy: Array
    score: NDArray[np.float64]
    """∂ log π(a|s) / ∂θ(s, b) [S, a, b], or what is taken for it."""
    probability_slope: float
    """The largest difference between ∂P(τ|π)/∂θ and P(τ|π) Σ_t ∇ log π(a_t|s_t), over all τ and θ."""
    gradient: NDArray[np.float64]
    """Σ_τ P(τ|π) R(τ) Σ_t ∇ log π(a_t|s_t) [S, A]."""
    difference: NDArray[np.float64]
    """∂J/∂θ of the expected return of four steps, by finite differences of a recursion [S, A]."""
    estimate: NDArray[np.float64]
    """The mean of R(τ) Σ_t ∇ log π(a_t|s_t) over sampled trajectories [S, A]."""
    error: NDArray[np.float64]
    """Its standard error [S, A]."""
    theorem: NDArray[np.float64]
    """Σ_s d(s) Σ_a π(a|s) Q(s, a) ∇ log π(a|s) for the discounted return without end [S, A]."""
    discounted: NDArray[np.float64]
    """The same by finite differences [S, A]."""

    @property
    def mean_score(self) -> NDArray[np.float64]:
        """Σ_a π(a|s) ∇ log π(a|s) [S, A]."""
        mean: NDArray[np.float64] = np.einsum("sa,sab->sb", self.policy, self.score)
        return mean


def compute(logarithm: bool = True) -> Found:
    """`logarithm=False` takes ∇π(a|s) where ∇ log π(a|s) belongs."""
    mdp, policy = student(), undecided()
    theta = np.log(policy)
    slope = score(policy) if logarithm else policy[:, :, None] * score(policy)
    every = listed(mdp, policy, LENGTH)
    total = summed(slope, np.ones(every.action.shape), every)

    by_parameter = _differences(lambda x: listed(mdp, softmax(x, axis=-1), LENGTH).probability, theta)
    weighted = every.reward.sum(1)[:, None, None] * total
    drawn = weighted[np.random.default_rng(5).choice(len(weighted), size=SAMPLED, p=every.probability)]
    value = evaluate(mdp, policy, GAMMA)
    q = backup(mdp, value, GAMMA)
    return Found(
        policy,
        slope,
        float(np.abs(by_parameter - every.probability[:, None, None] * total).max()),
        np.einsum("n,nsa->sa", every.probability, weighted),
        _differences(lambda x: mdp.start @ values(mdp, softmax(x, axis=-1), LENGTH)[0][0], theta),
        drawn.mean(0),
        drawn.std(0) / np.sqrt(SAMPLED),
        visits(mdp, policy, GAMMA)[:, None] * np.einsum("sa,sa,sab->sb", policy, q, slope),
        _differences(lambda x: mdp.start @ evaluate(mdp, softmax(x, axis=-1), GAMMA), theta),
    )


def _differences(
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """∂of/∂θ, with θ's axes last."""
    slopes = []
    for unit in np.eye(at.size).reshape(at.size, *at.shape):
        slopes.append((np.asarray(of(at + STEP * unit)) - of(at - STEP * unit)) / (2 * STEP))
    return np.moveaxis(np.array(slopes), 0, -1).reshape(*np.shape(slopes[0]), *at.shape)


def claims(found: Found) -> list[Claim]:
    off = np.abs(found.estimate - found.difference) / found.error
    differences = "central differences with a step of 10⁻⁵ are good to about 10⁻¹⁰"
    return [
        Claim(
            "the largest |Σ_a π(a|s) ∂ log π(a|s) / ∂θ|",
            float(np.abs(found.mean_score).max()),
            0.0,
            1e-12,
            "Σ π ∇ log π = Σ ∇π = ∇1; a sum of two products, exact but for rounding",
        ),
        Claim(
            "the largest difference between ∂P(τ|π)/∂θ and P(τ|π) Σ_t ∇ log π(a_t|s_t)",
            found.probability_slope,
            0.0,
            1e-8,
            "the probabilities of states do not depend on θ and drop out of ∇ log P; " + differences,
        ),
        Claim(
            "the largest difference between E[R Σ_t ∇ log π] and ∂J/∂θ, four steps",
            float(np.abs(found.gradient - found.difference).max()),
            0.0,
            1e-8,
            "∇ Σ P R = Σ P R ∇ log P; " + differences,
        ),
        Claim(
            "the same without end, discounted: Σ d Σ π Q ∇ log π and ∂J/∂θ",
            float(np.abs(found.theorem - found.discounted).max()),
            0.0,
            1e-8,
            "the policy gradient theorem, with d(s) the discounted visits; " + differences,
        ),
        Claim(
            "the largest distance of 10,000 trajectories' estimate from ∂J/∂θ, in standard errors",
            float(off.max()),
            0.0,
            4.0,
            "four standard errors, for each of three independent parameters",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"∇ log π is 0 on average (to {abs(found.mean_score).max():.0e}), and weighted by returns it is ∇J (to "
        f"{abs(found.gradient - found.difference).max():.0e})",
        "The student of three states. Left: π(a|s) ∂ log π(a|s) / ∂θ(s, study). Right: trajectories of four steps, "
        f"{SAMPLED:,} sampled; whiskers: 4 standard errors.",
    )
    place = np.arange(len(found.policy))
    push = found.policy * found.score[:, :, STUDY]
    left.bar(place - 0.2, push[:, 0], 0.38, color=COLOURS[0], label="if it studies")
    left.bar(place + 0.2, push[:, 1], 0.38, color=COLOURS[1], hatch="//", label="if it rests")
    left.plot(place, found.mean_score[:, STUDY], "D", color=COLOURS[6], label="sum")
    left.axhline(0, color=GREY, linewidth=1)
    left.set_xticks(place, student().states)
    left.set_ylim(-0.42, 0.42)
    titled(left, "What drives π(study|s) up and down cancels", "state s", "probability × slope")
    legend(left, "lower left")
    right.bar(place, found.difference[:, STUDY], 0.5, color="#cccccc", label="finite differences of J")
    right.plot(place - 0.1, found.gradient[:, STUDY], "o", color=COLOURS[0], label="sum over all τ")
    right.errorbar(
        place + 0.1,
        found.estimate[:, STUDY],
        4 * found.error[:, STUDY],
        fmt="s",
        color=COLOURS[1],
        capsize=4,
        label="mean over sampled τ",
    )
    right.axhline(0, color=GREY, linewidth=1)
    right.set_xticks(place, student().states)
    titled(right, "The gradient, three ways", "state s", "∂J / ∂θ(s, study)")
    legend(right, "upper right")
    return figure


def lesson(found: Found) -> str:
    study, rest = found.policy[FRESH] * found.score[FRESH, :, STUDY]
    return (
        "∇P = P ∇ log P turns the slope of an expectation into an expectation, which samples can estimate; and of "
        "log P(τ|π) only Σ log π(a_t|s_t) depends on θ, so that nobody needs to know how the world works. When fresh, "
        f"studying moves θ(study) by {study:+.2f} and resting by {rest:+.2f}, each times its probability: they "
        "cancel. So a return that is the same for all actions teaches nothing, and any number that does not depend on "
        f"the action may be subtracted from it. ∂J/∂θ(fresh, study) is {found.gradient[FRESH, STUDY]:.4f}, summed over "
        f"all trajectories, and {found.estimate[FRESH, STUDY]:.2f} ± {found.error[FRESH, STUDY]:.2f} as {SAMPLED:,} "
        "samples say: unbiased, but noisy."
    )


def _answer(found: Found) -> int:
    """Which way the mean of ∂ log π / ∂θ(fresh, study) points."""
    mean = found.mean_score[FRESH, STUDY]
    return 2 if abs(mean) < 1e-9 else int(mean < 0)


LAB = Lab(
    name="log_derivative",
    title="Where the policy gradient comes from",
    question=(
        "Policy optimisation climbs J(π_θ) = E[R(τ)], but θ decides which trajectories come; a sampled return has "
        "no slope by θ. The log-derivative trick, ∇P = P ∇ log P, makes ∇J = E[R(τ) Σ_t ∇ log π(a_t|s_t)] of it. Does "
        "that equal what one gets by changing θ a little and computing J again? And what is the mean of ∇ log π(a|s) "
        "itself, if actions are drawn from π?"
    ),
    prompt=(
        "A fresh student studies with probability 0.6. Actions are drawn from π, and each time θ takes a small step "
        "along ∇ log π(a|s) of the action that was drawn. Where does it go on average, at first?"
    ),
    choices=("towards studying, which is drawn more often", "towards resting", "nowhere"),
    answer=_answer,
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="returns weight the slope of π(a|s), not that of log π(a|s)",
    wrong=lambda: compute(logarithm=False),
    notes=(
        r"- Policy Optimization \(\pi_\theta(a|s)\)",
        r"- Optimize parameters \(\theta\) on objective \(J(\pi_\theta)\)",
        "- Vanilla policy gradient REINFORCE",
        "- https://spinningup.openai.com/en/latest/spinningup/rl_intro3.html#id16",
    ),
    reading=(
        "relook lab baselines",
        "relook lab past_rewards",
        "Sutton & Barto 2018, sections 13.1 to 13.3",
        "Spinning Up, Part 3: Intro to Policy Optimization",
    ),
)
