"""How much better a new policy is: an identity, and the bounds that trust regions come from."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, backup, evaluate, greedy, visits
from relook.tabular.three_states import GAMMA, student, undecided

PAIRS, SIZE, CHOICES = 2_000, 4, 3
"""Pairs of policies, each in a random MDP of its own, of so many states and actions."""
MIXED = np.geomspace(1e-3, 1, 301)
"""β of (1 - β) π + β π', where π is the student's and π' takes the best actions by Q^π."""


class Compared(NamedTuple):
    """A policy π and a new one, π'."""

    gain: float
    """J(π') - J(π), by Bellman's equation for each."""
    identity: float
    """Σ_s d(s) Σ_a π'(a|s) A^π(s, a) with the visits d of π'."""
    surrogate: float
    """The same with the visits of π: the L(π') - J(π) that TRPO maximises."""
    trpo: float
    """What TRPO's theorem subtracts from L."""
    cpo: float
    """What CPO's corollary subtracts."""


class Found(NamedTuple):
    pairs: NDArray[np.float64]
    """`Compared` for each pair [5, PAIRS]."""
    mixed: NDArray[np.float64]
    """`Compared` for each mixture of the student's two policies [5, len(MIXED)]."""


def compute(old_states: bool = False) -> Found:
    """`old_states` takes the states that π visits also for the identity."""
    rng = np.random.default_rng(12)
    pairs = []
    for _ in range(PAIRS):
        transition = rng.dirichlet(np.ones(SIZE), (SIZE, CHOICES))
        reward = np.repeat(rng.standard_normal((SIZE, CHOICES, 1)), SIZE, 2)
        mdp = MDP(transition, reward, rng.dirichlet(np.ones(SIZE)), np.zeros(SIZE, dtype=bool))
        old, new = rng.dirichlet(np.ones(CHOICES), (2, SIZE))
        pairs.append(_compare(mdp, old, new, old_states))
    mdp, policy = student(), undecided()
    best = greedy(backup(mdp, evaluate(mdp, policy, GAMMA), GAMMA))
    mixed = [_compare(mdp, policy, (1 - b) * policy + b * best, old_states) for b in MIXED]
    return Found(np.array(pairs).T, np.array(mixed).T)


def _compare(mdp: MDP, old: Array, new: Array, old_states: bool) -> Compared:
    value = evaluate(mdp, old, GAMMA)
    advantage = backup(mdp, value, GAMMA) - value[:, None]
    gain = mdp.start @ (evaluate(mdp, new, GAMMA) - value)
    by_state = (new * advantage).sum(1)
    before, after = visits(mdp, old, GAMMA), visits(mdp, new, GAMMA)
    # π' may give an action no probability, which makes KL(π ‖ π') infinite; the total variation never is.
    with np.errstate(divide="ignore"):
        kl = (old * np.log(old / new)).sum(1).max()
    variation = np.abs(new - old).sum(1) / 2
    return Compared(
        float(gain),
        float((before if old_states else after) @ by_state),
        float(before @ by_state),
        float(4 * np.abs(advantage).max() * GAMMA / (1 - GAMMA) ** 2 * kl),
        float(2 * GAMMA * np.abs(by_state).max() / (1 - GAMMA) * (before @ variation)),
    )


def _excess(compared: Compared) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how many times TRPO and CPO subtract more than |J(π') - L(π')|."""
    missed = np.abs(np.asarray(compared.gain) - compared.surrogate)
    return compared.trpo / missed, compared.cpo / missed


def _four_errors(sample: NDArray[np.float64]) -> float:
    """Four standard errors of the difference of two medians of such samples.

    That of one median is half the distance of the order statistics √n / 2 ranks below and above it.
    """
    low, high = np.quantile(sample, 0.5 + np.array([-0.5, 0.5]) / np.sqrt(len(sample)))
    return float(4 * np.sqrt(2) * (high - low) / 2)


def claims(found: Found) -> list[Claim]:
    c = Compared(*found.pairs)
    trpo, cpo = _excess(c)
    return [
        Claim(
            "the largest |J(π') - J(π) - Σ d Σ π' A^π| of 2,000 random pairs",
            float(np.abs(np.asarray(c.gain) - c.identity).max()),
            0.0,
            1e-12,
            "an identity (Kakade & Langford 2002); both sides come from linear systems of four equations",
        ),
        Claim(
            "pairs whose J(π') is below TRPO's bound or CPO's",
            float(((c.gain < np.asarray(c.surrogate) - np.array([c.trpo, c.cpo])).any(0)).sum()),
            0.0,
            0.0,
            "both bounds are theorems",
        ),
        Claim(
            "by how many times TRPO's bound subtracts more than is needed, median",
            float(np.median(trpo)),
            2660.0,
            _four_errors(trpo),
            "measured before on other random pairs; four standard errors of the difference of two medians of 2,000",
        ),
        Claim(
            "by how many times CPO's bound does, median",
            float(np.median(cpo)),
            164.0,
            _four_errors(cpo),
            "measured before as well; four standard errors of the difference of two medians of 2,000",
        ),
    ]


def draw(found: Found) -> Figure:
    pairs, mixed = Compared(*found.pairs), Compared(*found.mixed)
    trpo, cpo = (float(np.median(x)) for x in _excess(pairs))
    figure, (left, right) = panels(
        2,
        f"The bounds hold for every pair, and subtract {cpo:,.0f} (CPO) or {trpo:,.0f} (TRPO) times what is needed",
        f"Left: {PAIRS:,} pairs of random policies in random MDPs of {SIZE} states and {CHOICES} actions, γ = {GAMMA}. "
        "Right: the student of three states; π' studies and rests as Q^π says is best.",
    )
    missed = np.abs(np.asarray(pairs.gain) - pairs.surrogate)
    left.loglog(missed, pairs.trpo, "o", markersize=2, color=COLOURS[0], alpha=0.5, label="TRPO")
    left.loglog(missed, pairs.cpo, "^", markersize=2, color=COLOURS[1], alpha=0.5, label="CPO")
    ends = np.array([missed.min(), missed.max()])
    left.loglog(ends, ends, "--", color=GREY, label="as much as needed")
    titled(left, "What the bounds subtract", "|J(π') - L(π')|, what is needed", "what is subtracted")
    legend(left, "lower right")
    for value, style, colour, label in (
        (np.asarray(mixed.gain), "-", COLOURS[2], "J(π') - J(π), the truth"),
        (np.asarray(mixed.surrogate), ":", GREY, "L(π') - J(π), by the states that π visits"),
        (np.asarray(mixed.surrogate) - mixed.cpo, "--", COLOURS[1], "CPO guarantees"),
        (np.asarray(mixed.surrogate) - mixed.trpo, "-.", COLOURS[0], "TRPO guarantees"),
    ):
        # Below 0 nothing is guaranteed: there the logarithm leaves the picture.
        right.loglog(MIXED, value, style, color=colour, linewidth=2, label=label)
    right.set_ylim(1e-3, 30)
    titled(right, "From π a share β of the way to the best actions", "β", "gain in J")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    mixed = Compared(*found.mixed)
    trpo, cpo = (float(np.median(x)) for x in _excess(Compared(*found.pairs)))
    sure_trpo, sure_cpo = (np.asarray(mixed.surrogate) - x for x in (mixed.trpo, mixed.cpo))
    return (
        f"J(π') - J(π) is the old policy's advantage, added up over what the new policy does in the states that the "
        f"new one visits. The states that the old one visited give L, which differs by little as long as the policies "
        f"do; what a bound subtracts for it makes improvement certain, step by step, which is the theory of monotonic "
        f"improvement. It is certain and slow: TRPO's theorem subtracts {trpo:,.0f} times, CPO's {cpo:,.0f} times what "
        f"is needed, in the median of {PAIRS:,} pairs. The student could gain {np.max(mixed.gain):.2f} by taking the "
        f"best actions by Q^π at once; CPO's bound is best at β = {MIXED[sure_cpo.argmax()]:.3f}, where it guarantees "
        f"{sure_cpo.max():.3f}, TRPO's at β = {MIXED[sure_trpo.argmax()]:.4f} with {sure_trpo.max():.4f}. Therefore "
        "TRPO as it is used takes far larger steps, up to a mean KL that is chosen by hand, and gives up the certainty."
    )


LAB = Lab(
    name="performance_difference",
    title="How much better a new policy is, and what bounds say",
    question=(
        "A new policy π' is judged by data of the old one, π: by its advantages A^π in the states that π visits, "
        "L(π') = J(π) + Σ_s d^π(s) Σ_a π'(a|s) A^π(s, a). The truth is the same sum with the states that π' visits. "
        "TRPO's theorem makes L safe: J(π') ≥ L(π') - 4 ε γ / (1 - γ)² max_s KL(π ‖ π'), with ε = max |A^π|. CPO's "
        "corollary subtracts less: 2 γ ε' / (1 - γ) Σ_s d^π(s) D_TV(s), where ε' is the largest |Σ_a π' A^π| and D_TV "
        "half of Σ_a |π' - π|. For 2,000 random pairs of policies, everything is exact here."
    ),
    prompt="How many times more than |J(π') - L(π')|, which is needed, does TRPO's theorem subtract, in the median?",
    choices=("about 3 times", "about 100 times", "more than 1,000 times"),
    answer=lambda found: int(
        np.abs(np.log(np.array([3, 100, 2000]) / np.median(_excess(Compared(*found.pairs))[0]))).argmin()
    ),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the sum runs over the states that the old policy visits, as if they were the new one's",
    wrong=lambda: compute(old_states=True),
    notes=(
        "monotonic improvement theory (basis of advanced policy gradient algorithms)? "
        "http://joschu.net/docs/thesis.pdf",
        "- directly optimize on bjective, policy performance",
        "- Trust Region Policy Optimization (TRPO)",
    ),
    reading=(
        "relook lab clipping",
        "relook lab natural_gradient",
        "Kakade & Langford 2002, Approximately Optimal Approximate Reinforcement Learning, Lemma 6.1",
        "Schulman et al. 2015 (arXiv:1502.05477), Theorem 1",
        "Achiam et al. 2017 (arXiv:1705.10528), Corollary 1",
    ),
)
