"""Whole learning curves: a common grid, bands, area, and how many steps it took. Whole runs are what varies."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from relook.statistics.aggregates import Array, mean_interval

Curve = tuple[Array, Array]
"""Steps [E] in increasing order, and the score of one seed at each [E]."""


def align(curves: Sequence[Curve]) -> Curve:
    """Curves of seeds on the union of their steps [T]: scores [T, seeds], each the last one known at that step.

    The grid begins where every seed has a score and ends where the shortest ends: no curve is drawn on.
    """
    first, last = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    grid = np.unique(np.concatenate([steps for steps, _ in curves])).astype(np.float64)
    grid = grid[(grid >= first) & (grid <= last)]
    known = [scores[np.searchsorted(steps, grid, side="right") - 1] for steps, scores in curves]
    return grid, np.stack(known, 1) if len(grid) else np.zeros((0, len(curves)))


def simultaneous_band(scores: Array, level: float = 0.95, draws: int = 10_000) -> tuple[Array, Array]:
    """Low and high end [T] of a band that holds the whole mean curve of scores [T, seeds] at once: sup-t.

    x̄(t) ± c s(t) / √N, where c is the quantile of max_t |Σ_i ξ_i (x_i(t) - x̄(t))| / (s(t) √(N - 1)) over normal ξ, with
    Student's heavier tails for few seeds (Montiel Olea & Plagborg-Møller 2019). Where scores are very skewed (one seed
    in ten fails) no band of this kind covers as often as it says.
    """
    n = scores.shape[1]
    mean, spread = scores.mean(1), scores.std(1, ddof=1) if n > 1 else np.full(len(scores), np.nan)
    if n < 2:
        return spread, spread
    rng = np.random.default_rng(0)
    moving = spread > 0
    residual = (scores - mean[:, None])[moving] / (spread[moving, None] * np.sqrt(n - 1))
    highest = np.concatenate(
        [
            abs(rng.standard_normal((min(500, draws - start), n)) @ residual.T).max(1, initial=0)
            for start in range(0, draws, 500)
        ]
    )
    highest /= np.sqrt(rng.chisquare(n - 1, draws) / (n - 1))
    reach = np.quantile(highest, level) * spread / np.sqrt(n)
    return mean - reach, mean + reach


def pointwise_band(scores: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Low and high end [T] of Student's interval for the mean at each step by itself."""
    low, high = mean_interval(scores, level, axis=1)
    return low, high


def area(curve: Curve) -> float:
    """Area under a curve divided by its steps: the mean score over training, each holding until the next."""
    steps, scores = curve
    if len(steps) < 2:
        return float(scores[0])
    return float((scores[:-1] * np.diff(steps)).sum() / (steps[-1] - steps[0]))


def smoothed(scores: Array, window: int) -> Array:
    """Mean of the last `window` scores [T, …] at each step, of fewer at the start: nothing from the future."""
    if window == 1:
        return scores
    total = np.cumsum(scores, 0)
    total[window:] = total[window:] - total[:-window].copy()
    count = np.minimum(np.arange(1, len(scores) + 1), window)
    return np.asarray(total / count.reshape(-1, *[1] * (scores.ndim - 1)))


@dataclass(frozen=True)
class Reached:
    """Steps until a score was reached, for several seeds, some of which never did while they were watched."""

    steps: Array
    """Steps at which a seed reached it, or to which it was watched [seeds]."""
    reached: NDArray[np.bool_]
    """Whether it did [seeds]."""

    @classmethod
    def of(cls, curves: Sequence[Curve], threshold: float) -> Reached:
        """First evaluation of each seed at or above the threshold."""
        first = [np.flatnonzero(scores >= threshold) for _, scores in curves]
        steps = [steps[f[0]] if len(f) else steps[-1] for f, (steps, _) in zip(first, curves, strict=True)]
        return cls(np.array(steps, dtype=np.float64), np.array([len(f) > 0 for f in first]))

    def survival(self, level: float = 0.95) -> tuple[Array, Array, Array, Array]:
        """Steps, share of seeds that have not reached it by then, and the interval's ends: Kaplan & Meier 1958.

        The interval is Greenwood's on the log-log scale, which has none (NaN) where all seeds have reached it.
        """
        from scipy.stats import CensoredData, ecdf

        found = ecdf(CensoredData(self.steps[self.reached], right=self.steps[~self.reached])).sf
        with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # it warns of what is said above
            interval = found.confidence_interval(level, method="log-log")
        return found.quantiles, found.probabilities, interval.low.probabilities, interval.high.probabilities

    def median(self) -> float:
        """Steps by which half of the seeds had reached it; infinity if they did not while they were watched."""
        if not self.reached.any():
            return np.inf
        steps, share, *_ = self.survival()
        return float(next((at for at, left in zip(steps, share, strict=True) if left <= 0.5), np.inf))


def tolerance_confidence(seeds: int, share: float) -> float:
    """Confidence that the range from worst to best of `seeds` holds at least `share` of all seeds there could be.

    1 - N β^(N-1) + (N - 1) β^N, Wilks 1941: whatever the distribution.
    """
    return float(1 - seeds * share ** (seeds - 1) + (seeds - 1) * share**seeds)


def tolerance_share(seeds: int, confidence: float) -> float:
    """The share of all seeds that the range of these holds with this confidence."""
    from scipy.optimize import brentq

    return float(brentq(lambda share: tolerance_confidence(seeds, share) - confidence, 0, 1))


def tolerance_seeds(share: float, confidence: float) -> int:
    """The fewest seeds whose range holds `share` of all with this confidence."""
    seeds = max(2, ceil(log(1 - confidence) / log(share)))
    while tolerance_confidence(seeds, share) < confidence:
        seeds += 1
    return seeds
