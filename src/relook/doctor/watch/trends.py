"""What several checks ask of a series: does it rise or fall, how far does it scatter, what is it in the end?"""

import math
from typing import NamedTuple

import numpy as np

from relook.doctor.watch.watched import Array, Missing, Watched, finite, median_of

POINTS = 100
"""A longer series is thinned to so many medians first: Theil and Sen's estimate takes all pairs."""

SURE = 1e-3
"""Chance of a trend as strong as this in numbers without one, below which it counts as one. Rows of a training hang
together, so that this is not the rate of false alarms; sizes are asked for besides."""

PARTS = 5
"""The beginning and the end of a training are a fifth of it each."""


class Trend(NamedTuple):
    """Where a series goes."""

    change: float
    """From its beginning to its end, by the median of the slopes of all pairs (Theil 1950, Sen 1968)."""
    p: float
    """Of Kendall's τ between time and value, by its normal approximation with ties (Mann 1945, Kendall 1975)."""

    @property
    def rises(self) -> bool:
        return self.p < SURE and self.change > 0

    @property
    def falls(self) -> bool:
        return self.p < SURE and self.change < 0


def trend(values: Array) -> Trend:
    """The trend of equally spaced values; those that are no numbers are left out.

    Both are written out, since importing scipy.stats takes most of a second, in which a short training is half done.
    """
    y = finite(values)
    if len(y) > POINTS:
        y = np.array([np.median(part) for part in np.array_split(y, POINTS)])
    n = len(y)
    if n < 4 or not np.ptp(y):
        return Trend(0.0, 1.0)
    first, second = np.triu_indices(n, 1)
    rise = y[second] - y[first]
    slope = float(np.median(rise / (second - first))) * (n - 1)
    _, ties = np.unique(y, return_counts=True)
    spread = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
    score = abs(float(np.sign(rise).sum())) - 1  # less one: a whole number taken for a continuous one
    return Trend(slope, math.erfc(max(0.0, score) / math.sqrt(2 * spread)))


class Returns(NamedTuple):
    """How training returns have developed."""

    early: float
    """Median over the first fifth of the iterations in which episodes ended."""
    untrained: float
    """The same, or the median of the stochastic evaluation before the first step if that is lower: some learn at once.
    """
    late: float
    """Median over the last fifth."""
    noise: float
    """Robust standard deviation of the early ones, by the median distance of neighbours, so that a rise does not count.
    """
    each: int
    """How many there are in a fifth."""
    best: float
    """The best median of any fifth."""
    best_noise: float
    """As `noise`, of that fifth: where a reward is found now and then by chance, one fifth is better than another."""
    spread: float
    """Between the highest and the lowest of all."""
    differ: bool
    """Whether those of the last fifth do, by their quartiles: where all are the same, nothing says what to prefer."""

    @property
    def gained(self) -> bool:
        """Whether it is better in the end than it was, by more than a median scatters."""
        chance = max(3 * self.noise / math.sqrt(self.each), 0.02 * self.spread)
        return self.late > self.untrained + min(chance, 0.3 * self.spread)  # what is learned in a moment has no noise

    @property
    def lost(self) -> bool:
        """Whether it is worse in the end than it was, by more than single ones scatter."""
        return self.late < self.early - max(2 * self.noise, 0.02 * self.spread)


def returns_of(watched: Watched) -> Returns:
    """Raises `Missing` if hardly any training episode has ended."""
    _, returns = watched.training_returns()
    parts = np.array_split(returns, PARTS)
    medians = [float(np.median(part)) for part in parts]
    best = int(np.argmax(medians))
    low, high = np.quantile(parts[-1], [0.25, 0.75])
    first = [median_of(e.returns) for e in watched.evaluations[:2] if e.evaluation == 0 and not e.deterministic]
    return Returns(
        medians[0],
        min(medians[0], *first, math.inf),
        medians[-1],
        _noise(parts[0]),
        len(parts[0]),
        medians[best],
        _noise(parts[best]),
        float(np.ptp(returns)),
        bool(high > low),
    )


def _noise(values: Array) -> float:
    """Robust standard deviation: 1.4826 × the median distance of neighbours ÷ √2."""
    return 1.4826 / math.sqrt(2) * float(np.median(np.abs(np.diff(values)))) if len(values) > 1 else 0.0


def attainable(watched: Watched, discount: float) -> float:
    """The largest |V(s)| that the returns seen so far allow, an upper bound that is generous.

    Where every step has the same reward r, it is |r| / (1 - γ). Otherwise an episode's whole return, or the highest
    reward per step for ever, whichever is more: the first covers a reward at an episode's end, the second episodes that
    a time limit cuts. Single rewards are not recorded.

    Raises `Missing` if no reward other than 0 has been seen, or nothing is discounted.
    """
    if not discount < 1:
        raise Missing("a discount below 1")
    returns = [finite(watched.columns.get("episode_return", np.zeros(0)))]
    lengths = [finite(watched.columns.get("episode_length", np.zeros(0)))]
    for evaluation in watched.evaluations:
        returns.append(finite(evaluation.returns))
        lengths.append(np.full(len(returns[-1]), evaluation.mean_length))
    size, length = np.abs(np.concatenate(returns)), np.concatenate(lengths)
    if not len(size) or len(size) != len(length) or size.max() == 0:
        raise Missing("a reward other than 0")
    rates = size / np.maximum(length, 1)
    for_ever = float(rates.max()) / (1 - discount)
    return for_ever if _constant(watched) else max(float(size.max()), for_ever)


def _constant(watched: Watched) -> bool:
    """Whether every step has had the same reward so far, in episodes of several lengths."""
    returns, lengths = (watched.columns.get(name, np.zeros(0)) for name in ("episode_return", "episode_length"))
    totals = np.array([evaluation.returns.mean() for evaluation in watched.evaluations if len(evaluation.returns)])
    means = np.array([evaluation.mean_length for evaluation in watched.evaluations if len(evaluation.returns)])
    if len(returns) != len(lengths):
        return False
    total, length = np.concatenate([returns, totals]), np.concatenate([lengths, means])
    there = np.isfinite(total) & (length > 0)
    rates = total[there] / length[there]
    return bool(there.sum() > 1 and np.ptp(length[there]) > 0 and np.ptp(rates) <= 1e-6 * np.abs(rates).max())
