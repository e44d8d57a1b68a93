"""Five numbers that may weight ∇ log π: the same mean, and variances that differ by a factor of eighteen."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.listing import Listed, drawn, listed, score, summed, values
from relook.labs.picture import COLOURS, GREY, panels, titled
from relook.tabular import under
from relook.tabular.three_states import FRESH, STUDY, student, undecided

LENGTH = 4
"""Actions of a trajectory; returns are undiscounted."""
WEIGHTS = ("R(τ)", "rewards\nto go", "rewards to\ngo less V", "Q", "A = Q - V")
"""What weights ∇ log π(a_t|s_t), the numbers Φ_t."""
FULL, TO_GO, LESS_VALUE, ACTION_VALUE, ADVANTAGE = range(5)
SAMPLED = 100_000


class Found(NamedTuple):
    mean: NDArray[np.float64]
    """E[Σ_t Φ_t ∇ log π(a_t|s_t)] for each of five Φ [5, S, A]."""
    variance: NDArray[np.float64]
    """Its variance for one trajectory, summed over parameters [5]."""
    gradient: NDArray[np.float64]
    """∇J by a recursion over time [S, A]."""
    sampled: float
    """The variance of the third, rewards to go less V, over trajectories that were drawn."""
    error: float
    """Its standard error."""


def compute(sees_action: bool = False) -> Found:
    """`sees_action` takes Q(s, a) for the baseline of rewards to go, in place of V(s)."""
    mdp, policy = student(), undecided()
    every, slope = listed(mdp, policy, LENGTH), score(policy)
    value, q = values(mdp, policy, LENGTH)

    def estimates(among: Listed) -> list[NDArray[np.float64]]:
        """Σ_t Φ_t ∇ log π(a_t|s_t) [N, S, A] for each Φ."""
        t, state, action = np.arange(LENGTH), among.state[:, :-1], among.action
        to_go = among.reward[:, ::-1].cumsum(1)[:, ::-1]
        of_action = q[t, state, action]
        of_state = value[t, state]
        baseline = of_action if sees_action else of_state
        full = np.broadcast_to(to_go[:, :1], to_go.shape)
        weights = (full, to_go, to_go - baseline, of_action, of_action - of_state)
        return [summed(slope, weight, among) for weight in weights]

    each = np.array(estimates(every))
    mean = np.einsum("n,knsa->ksa", every.probability, each)
    variance = np.einsum("n,knsa->k", every.probability, np.square(each - mean[:, None]))

    p, _ = under(mdp, policy)
    present, gradient = mdp.start, np.zeros(policy.shape)
    for t in range(LENGTH):
        gradient += present[:, None] * np.einsum("sa,sa,sab->sb", policy, q[t], slope)
        present = present @ p

    rng = np.random.default_rng(6)
    few = drawn(mdp, policy, LENGTH, rng.choice(mdp.size, size=SAMPLED, p=mdp.start), rng)
    sample = estimates(few)[LESS_VALUE]
    squares = np.square(sample - sample.mean(0)).sum((1, 2))
    return Found(mean, variance, gradient, float(squares.mean()), float(squares.std() / np.sqrt(SAMPLED)))


def claims(found: Found) -> list[Claim]:
    falling = found.variance[[FULL, TO_GO, ACTION_VALUE, LESS_VALUE, ADVANTAGE]]
    return [
        Claim(
            "the largest difference between the means of the five",
            float(np.ptp(found.mean, axis=0).max()),
            0.0,
            1e-12,
            "times ∇ log π, what they differ by is 0 on average in each state; exact but for rounding",
        ),
        Claim(
            "the largest difference between their mean and ∇J by recursion",
            float(np.abs(found.mean[FULL] - found.gradient).max()),
            0.0,
            1e-12,
            "Σ_t Σ_s p(s_t = s) Σ_a π Q_t ∇ log π, without any trajectory",
        ),
        Claim(
            "the variance with rewards to go less V, of 100,000 trajectories",
            found.sampled,
            float(found.variance[LESS_VALUE]),
            4 * found.error,
            "the sum over all trajectories says what the sample must; four standard errors",
        ),
        Claim(
            "the largest ratio of a variance to the one before, in R(τ), rewards to go, Q, rewards to go less V, A",
            float((falling[1:] / falling[:-1]).max()),
            1.0,
            0.0,
            "exact for this MDP and policy; it is no theorem, but what mostly happens",
            "at most",
        ),
    ]


def draw(found: Found) -> Figure:
    ratio = found.variance[FULL] / found.variance[ADVANTAGE]
    figure, (left, right) = panels(
        2,
        f"Five weights, one gradient: the advantage needs {ratio:.0f} times fewer trajectories than the return",
        "The student of three states, four steps, undiscounted; exact, from a sum over all 571 trajectories. "
        "Variance: of one trajectory's estimate, summed over parameters.",
    )
    colours = [COLOURS[i] for i in range(5)]
    mean = found.mean[:, FRESH, STUDY]
    left.bar(WEIGHTS, mean, 0.6, color=colours)
    for i, x in enumerate(mean):
        left.annotate(f"{x:.4f}", (i, x), fontsize=9, ha="center", va="bottom")
    left.set_ylim(0, 1.15 * mean.max())
    titled(left, "The mean is the same …", "Φ", "∂J / ∂θ(fresh, study)")
    bars = right.bar(WEIGHTS, found.variance, 0.6, color=colours)
    right.bar_label(bars, [f"{x:.2f}" for x in found.variance], fontsize=9, padding=2)
    right.set_ylim(0, 1.1 * found.variance.max())
    right.axhline(0, color=GREY, linewidth=1)
    titled(right, "… the variance is not", "Φ", "variance")
    for at in (left, right):
        at.tick_params(axis="x", labelsize=8)
    return figure


def lesson(found: Found) -> str:
    full, to_go, less_value, action_value, advantage = found.variance
    return (
        f"All five have the mean ∇J, to 12 digits. One trajectory's estimate has a variance of {full:.2f} with the "
        f"whole return, {to_go:.2f} with rewards to go, {action_value:.2f} with Q in their place, {less_value:.2f} "
        f"with rewards to go less V, and {advantage:.2f} with the advantage: {full / advantage:.0f} times less than "
        "with the return. V(s) takes away what all actions share; Q takes away the luck after the action, and "
        "that is worth less here. Both together are the advantage. V and Q are exact in this lab: a learned V keeps "
        "the mean all the same, but a learned Q does not. The order is no theorem: relook lab past_rewards "
        "has a counter-example."
    )


LAB = Lab(
    name="baselines",
    title="Five weights with the same mean",
    question=(
        "The policy gradient is E[Σ_t Φ_t ∇ log π(a_t|s_t)], and Φ_t may be the whole return R(τ); the rewards to go "
        "from step t on; those less a baseline V(s_t); the action value Q(s_t, a_t), which is what they are on "
        "average; or the advantage A = Q - V. Is the mean really the same for all, and how much does the variance of "
        "one trajectory's estimate differ? The student of three states is small enough to add up all trajectories."
    ),
    prompt="Which has the smaller variance: Q, which has no luck in it, or lucky rewards to go with V subtracted?",
    choices=("Q", "rewards to go less V", "about the same"),
    answer=lambda found: (
        2
        if abs(np.log(found.variance[ACTION_VALUE] / found.variance[LESS_VALUE])) < 0.1
        else int(found.variance[LESS_VALUE] < found.variance[ACTION_VALUE])
    ),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the baseline sees the action: Q(s, a) is subtracted, not V(s)",
    wrong=lambda: compute(sees_action=True),
    notes=(
        "- https://spinningup.openai.com/en/latest/spinningup/extrapgproof2.html",
        "On-Policy Value Function",
        "- On-Policy Action-Value Function",
    ),
    reading=(
        "relook lab past_rewards",
        "relook lab gae",
        "Schulman et al. 2016 (arXiv:1506.02438), Eq. 1",
        "Sutton & Barto 2018, section 13.4",
    ),
    erratum=(
        "The link in the notes has lost its underscores: the proof that Q may take the place of the return is at "
        "spinningup/extra_pg_proof2.html."
    ),
)
