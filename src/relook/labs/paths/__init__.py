"""Monte Carlo against TD on the same batch of episodes: TD merges the paths that cross in a state."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binom

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import Array

STATES = 5
TRUE = np.arange(1, STATES + 1) / (STATES + 1)
"""How probable it is to leave on the right, which pays 1, from each state of the random walk: V."""
SIZES = (5, 10, 25, 50)
"""Episodes of a batch."""
BATCHES, GROUPS = 2_000, 10
EARLIER = {"TD": (0.175, 0.054), "Monte Carlo": (0.230, 0.078)}
"""Errors after 5 and after 50 episodes in an earlier experiment of ours."""
UNSEEN = 0.5
"""V of a state that no episode has visited."""
SWEEPS = 2**16
"""How often TD(0) goes through a batch: until nothing changes any more."""


class Counted(NamedTuple):
    """What a batch of episodes holds, for B batches."""

    steps: NDArray[np.float64]
    """Steps from each state to the left and to the right [B, S, 2]."""
    paid: NDArray[np.float64]
    """The sum of the returns that followed each visit [B, S]."""
    firsts: NDArray[np.float64]
    """Episodes that visited each state, and how many of them paid [B, S, 2]."""


class Found(NamedTuple):
    td: NDArray[np.float64]
    """V of batch TD(0) for each of `SIZES` [n, B, S]."""
    solved: Array
    """V of the MDP that the counted steps describe, from Bellman's equation [n, B, S]."""
    every: NDArray[np.float64]
    """V of Monte Carlo: the mean return over all visits [n, B, S]."""
    first: NDArray[np.float64]
    """The same over the first visits of each episode."""
    predictor: dict[str, tuple[float, float]]
    """V(A), V(B) of the eight episodes of Sutton & Barto's example 6.4."""


def compute(sweeps: int = SWEEPS) -> Found:
    """`sweeps`: how often TD(0) goes through each batch."""
    counted = _walks(np.random.default_rng(6))
    # (A, 0, B, 0), six times (B, 1), (B, 0): A leads to B, and B to an end that pays 1 in six of eight cases
    leads, pays = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.0, 6 / 8])
    a, b = _swept(leads[None], pays[None], sweeps)[0]
    return Found(
        np.array([_swept(*_model(batch), sweeps) for batch in counted]),
        np.array([_solved(*_model(batch)) for batch in counted]),
        np.array([_mean(batch.paid, batch.steps.sum(2)) for batch in counted]),
        np.array([_mean(batch.firsts[..., 1], batch.firsts[..., 0]) for batch in counted]),
        {"Monte Carlo": (0.0, 6 / 8), "TD": (float(a), float(b))},
    )


def _walks(rng: np.random.Generator) -> list[Counted]:
    """Random walks from the middle, all at once, and the first 5, 10, 25, 50 of each batch."""
    count = BATCHES * SIZES[-1]
    steps, state, walk = np.zeros((count, STATES, 2)), np.full(count, STATES // 2), np.arange(count)
    paid = np.zeros(count)
    while len(walk):
        right = rng.integers(2, size=len(walk))
        steps[walk, state, right] += 1
        state = state + 2 * right - 1
        paid[walk[state == STATES]] = 1
        inside = (state >= 0) & (state < STATES)
        walk, state = walk[inside], state[inside]
    parted, pays = steps.reshape(BATCHES, SIZES[-1], STATES, 2), paid.reshape(BATCHES, SIZES[-1], 1)
    visits = parted.sum(3)
    firsts = np.stack([visits > 0, (visits > 0) * pays], -1)
    return [Counted(parted[:, :n].sum(1), (visits * pays)[:, :n].sum(1), firsts[:, :n].sum(1)) for n in SIZES]


def _mean(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full_like(total, UNSEEN), where=count > 0)
    return mean


def _model(batch: Counted) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p(s'|s) [B, S, S] and r(s) [B, S] as they were counted; a state that was not seen pays `UNSEEN` and ends."""
    count = batch.steps.sum(2, keepdims=True)
    share = np.divide(batch.steps, count, out=np.zeros_like(batch.steps), where=count > 0)
    left = share[..., 0, None] * np.eye(STATES, k=-1)
    pays = share[..., 1] * (np.arange(STATES) == STATES - 1) + UNSEEN * (count[..., 0] == 0)
    return left + share[..., 1, None] * np.eye(STATES, k=1), pays


def _swept(leads: NDArray[np.float64], pays: NDArray[np.float64], sweeps: int) -> NDArray[np.float64]:
    """V after so many sweeps of V(s) ← the mean of r + V(s') over all visits of s in the batch, from V = `UNSEEN`.

    A sweep is linear in (V, 1), so that many of them are a power of its matrix.
    """
    size = leads.shape[-1]
    sweep = np.zeros((len(leads), size + 1, size + 1))
    sweep[:, :size, :size], sweep[:, :size, size], sweep[:, size, size] = leads, pays, 1
    power: Array = np.linalg.matrix_power(sweep, sweeps)
    value: NDArray[np.float64] = power[:, :size] @ np.append(np.full(size, UNSEEN), 1)
    return value


def _solved(leads: NDArray[np.float64], pays: NDArray[np.float64]) -> Array:
    value: Array = np.linalg.solve(np.eye(STATES) - leads, pays[..., None])[..., 0]
    return value


def rms(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the error over states, for each size and batch [n, B]."""
    square: NDArray[np.float64] = np.square(value - TRUE).mean(2)
    return np.sqrt(square)


def first_visit_error(n: int) -> float:
    """The expected square of Monte Carlo's error over first visits, mean over states.

    A state is visited by an episode with the probability h of getting from the middle to it, and each first visit draws
    a return of 1 with probability V: of m visits the error is V (1 - V) / m.
    """
    middle = STATES // 2
    far = np.abs(np.arange(STATES) - middle)
    reached = (middle + 1) / (middle + 1 + far)
    m = np.arange(1, n + 1)
    inverse = (binom.pmf(m, n, reached[:, None]) / m).sum(1)
    return float((TRUE * (1 - TRUE) * inverse + binom.pmf(0, n, reached) * (UNSEEN - TRUE) ** 2).mean())


def claims(found: Found) -> list[Claim]:
    squares = rms(found.first) ** 2
    groups = [rms(value).reshape(len(SIZES), GROUPS, -1).mean(2) for value in (found.td, found.every, found.first)]
    five = SIZES.index(5)
    both = {"TD": rms(found.td), "Monte Carlo": rms(found.every)}
    again = [
        abs(both[kind][i].mean() - error) / (both[kind][i].std() / np.sqrt(100))
        for kind, errors in EARLIER.items()
        for i, error in zip((five, -1), errors, strict=True)
    ]
    return [
        Claim(
            "V(A) of batch TD in eight episodes, one of which went from A to B",
            found.predictor["TD"][0],
            0.75,
            1e-12,
            "A always led to B, and six of eight visits of B paid 1; Monte Carlo says 0 (Sutton & Barto, example 6.4)",
        ),
        Claim(
            "the largest difference of batch TD from Bellman's equation with the counted steps, over all batches",
            float(np.abs(found.td - found.solved).max()),
            0.0,
            1e-9,
            "batch TD(0) settles at the values of the most likely MDP (section 6.3); rounding in 2¹⁶ sweeps",
        ),
        Claim(
            "the mean square error of first-visit Monte Carlo of 5 episodes",
            float(squares[five].mean()),
            first_visit_error(5),
            4 * float(squares[five].std()) / np.sqrt(BATCHES),
            "visits are binomial, and the error of m of them is V (1 - V) / m; four standard errors of 2,000 batches",
        ),
        Claim(
            "in how many of 40 groups of 200 batches TD was nearer to V than both kinds of Monte Carlo",
            float((groups[0] < np.minimum(groups[1], groups[2])).sum()),
            40.0,
            0.0,
            "ten groups for each number of episodes, all of which agree",
        ),
        Claim(
            "how many standard errors the errors of an earlier experiment (0.175, 0.230; 0.054, 0.078) are off",
            float(max(again)),
            4.0,
            0.0,
            "four standard errors of a mean of 100 batches, as many as figure 6.2 of Sutton & Barto has",
            "at most",
        ),
    ]


def draw(found: Found) -> Figure:
    td, every, first = (rms(value).mean(1) for value in (found.td, found.every, found.first))
    figure, (left, right) = panels(
        2,
        f"From the same {SIZES[-1]} episodes TD is off by {td[-1]:.3f} and Monte Carlo by {every[-1]:.3f}, since TD "
        "merges paths",
        f"Left: five states, start in the middle, 1 for leaving on the right; {BATCHES:,} batches of each size, root "
        "mean square over states. Right: (A, 0, B, 0), six times (B, 1), once (B, 0).",
    )
    for error, style, colour, label in (
        (every, "s--", COLOURS[1], "Monte Carlo, every visit"),
        (first, "^:", COLOURS[4], "Monte Carlo, first visits"),
        (td, "o-", COLOURS[0], "batch TD(0)"),
    ):
        left.loglog(SIZES, error, style, color=colour, label=label)
    left.set_xticks(SIZES, [str(n) for n in SIZES])
    ticks = (0.05, 0.1, 0.2)
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    left.minorticks_off()
    titled(left, "Random walk", "episodes in the batch", "error of V")
    legend(left, "lower left")
    for i, (kind, hatch, colour) in enumerate((("Monte Carlo", "//", COLOURS[1]), ("TD", "", COLOURS[0]))):
        where = np.arange(2) + 0.36 * (i - 0.5)
        bars = right.bar(where, found.predictor[kind], 0.34, color=colour, hatch=hatch, edgecolor="white", label=kind)
        right.bar_label(bars, [f"{value:.2f}" for value in found.predictor[kind]], fontsize=9, padding=2)
    right.set_xticks([0, 1], ["V(A), seen once", "V(B), seen eight times"])
    right.set_ylim(0, 1.1)
    right.set_axisbelow(True)
    right.axhline(0.75, color=GREY, linewidth=1, linestyle=":")
    titled(right, "Eight episodes: what is A worth?", "", "value")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    td, every, first = (rms(value).mean(1) for value in (found.td, found.every, found.first))
    return (
        "Monte Carlo knows of a state what happened after its own visits. TD asks what happened after any visit of the "
        "states that follow it: where two paths cross, all ways in are combined with all ways out, which are many more "
        f"paths than there were episodes. So A is worth {found.predictor['TD'][0]:.2f} and not "
        f"{found.predictor['Monte Carlo'][0]:.0f}, and on the random walk TD's error is {td[0]:.3f} against "
        f"{every[0]:.3f} after 5 episodes, {td[-1]:.3f} against {every[-1]:.3f} after 50. All visits of one episode "
        "have the same end here, and a mean over all of them gives long episodes more weight than they tell: Monte "
        f"Carlo with first visits alone is off by {first[-1]:.3f}. Merging is right only where the state tells all "
        "that matters; if it does not, paths that look alike are mixed up, and Monte Carlo, which never asks what a "
        "next state looks like, is safer."
    )


LAB = Lab(
    name="paths",
    title="Monte Carlo, TD, and where paths cross",
    question=(
        "A batch of episodes is all there is: what is each state worth? Monte Carlo takes the mean of the returns that "
        "were seen from it. TD(0) goes through the batch again and again, V(s) ← mean of r + V(s'), until nothing "
        "changes. Both are right in the end. Which is nearer to the truth after few episodes, and why?"
    ),
    prompt=(
        "Eight episodes: once A, reward 0, B, reward 0, end; six times B, reward 1, end; once B, reward 0, end. What "
        "are A and B worth for TD?"
    ),
    choices=("V(A) = 0 and V(B) = 0.75", "V(A) = 0.75 and V(B) = 0.75", "V(A) = 0.375 and V(B) = 0.75"),
    answer=lambda found: int(np.abs(np.array([0, 0.75, 0.375]) - found.predictor["TD"][0]).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="TD goes through the batch eight times only, and V has not settled",
    wrong=lambda: compute(sweeps=8),
    notes=("- Classical RL algorithms", "Value Functions", "On-Policy Value Function"),
    reading=(
        "relook lab bellman",
        "relook lab partial_observability",
        "Sutton & Barto 2018, section 6.3, examples 6.3 and 6.4",
        "Greydanus & Olah 2019, The Paths Perspective on Value Learning, Distill",
    ),
)
