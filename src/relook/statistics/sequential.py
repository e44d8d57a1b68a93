"""Looking at a comparison while it grows, without fooling oneself, and how many more seeds it needs.

Whoever adds seeds until p < 0.05 will get there. Here the looks are planned beforehand, and each spends a part of α.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtri, nctdtr, ndtr, ndtri, stdtrit

from relook.statistics.aggregates import Array

MOST_SEEDS = 100_000
"""A plan for more seeds than this is no plan."""


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first look."""

    looks: int
    """K: how often the seeds so far are looked at, at most."""
    seeds_per_look: int
    """n: new seeds of each method and task at every look."""
    alpha: float = 0.05
    """Chance of any false decision over all looks and all comparisons."""
    delta: float | None = None
    """Smallest difference that matters."""
    statistic: Literal["mean", "rank"] = "mean"
    """Differences of scores, or of their ranks within a look."""
    spending: Literal["linear", "late"] = "linear"
    """How much of α may be spent by look k of K: α k/K, or little at first: 2 (1 - Φ(z / √(k/K))), z = z_(1-α/2)."""

    def spent(self, look: int) -> float:
        """The part of α that may be spent by look 1 … K."""
        share = look / self.looks
        if self.spending == "linear":
            return self.alpha * share
        return float(2 * ndtr(-ndtri(1 - self.alpha / 2) / np.sqrt(share)))


@dataclass(frozen=True)
class Path:
    """A comparison look by look."""

    statistic: Array
    """T_k [looks so far]: cumulated standardised differences, positive where the first method scored higher."""
    boundary: Array
    """c_k [looks so far]: a decision falls at the first |T_k| > c_k; infinite where no decision can fall."""

    @property
    def decided(self) -> int | None:
        """The look at which it was decided; None if it was not yet."""
        [beyond] = np.nonzero(abs(self.statistic) > self.boundary)
        return int(beyond[0]) + 1 if len(beyond) else None


def look(
    first: Sequence[Array], second: Sequence[Array], plan: Plan, *, comparisons: int = 1, paths: int = 10_000
) -> Path:
    """Where a comparison stands: for each task the scores of both methods' seeds, in the order in which they came.

    T_k = Σ_(j≤k) (1/M) Σ_m (x̄_mj - ȳ_mj) / s_m with s_m the standard deviation of all seeds of task m at look 1. Under
    the null the methods' seeds are exchangeable: labels are permuted within (task, look), `paths` times, and the paths
    that ever cross a boundary are together no more than α allows by then (Lan & DeMets 1983). Several comparisons share
    α equally. Seeds beyond the last whole look, or beyond look K, do not count.
    """
    n = plan.seeds_per_look
    looks = min(plan.looks, *(len(scores) // n for scores in (*first, *second)))
    rng = np.random.default_rng(0)
    increments = np.zeros((paths + 1, looks))  # of the observed labels and of permuted ones
    for x, y in zip(first, second, strict=True):
        both = np.concatenate([np.reshape(arm[: looks * n], (looks, n)) for arm in (x, y)], 1)
        if plan.statistic == "rank":
            from scipy.stats import rankdata

            both = rankdata(both, axis=1)
        scale = both[0].std(ddof=1) if looks else 1.0
        both = np.broadcast_to(both / (scale or 1.0), (paths + 1, looks, 2 * n)).copy()
        both[1:] = rng.permuted(both[1:], axis=2)
        increments += (both[..., :n].mean(2) - both[..., n:].mean(2)) / len(first)
    path = increments.cumsum(1)
    alive, crossed, boundary = np.ones(paths + 1, dtype=bool), 0, np.full(looks, np.inf)
    for k in range(looks):
        allowed = int(plan.spent(k + 1) / comparisons * (paths + 1) + 1e-9) - crossed
        heights = np.sort(abs(path[alive, k]))[::-1]
        if 0 < allowed < len(heights):
            boundary[k] = heights[allowed] + 1e-9  # sums in another order are not beyond it
        beyond = alive & (abs(path[:, k]) > boundary[k])
        alive &= ~beyond
        crossed += int(beyond.sum())
    return Path(path[0], boundary)


def cautious_deviation(deviation: float, freedom: float) -> float:
    """An upper 80 % bound of a standard deviation, s √(f / χ²_(0.2, f)).

    A pilot's own is too small two times in three.
    """
    return float(deviation * np.sqrt(freedom / chdtri(freedom, 0.8)))


def seeds_for_precision(deviation: float, half_width: float, level: float = 0.95) -> int | None:
    """The fewest seeds a method with t s √(2/N) ≤ half_width; None above 100,000."""
    return _fewest(lambda n: stdtrit(2 * n - 2, 0.5 + level / 2) * deviation * np.sqrt(2 / n) <= half_width)


def seeds_for_power(deviation: float, delta: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """The fewest seeds a method with which Welch's test finds a difference of δ with this power; None above 100,000.

    By the noncentral t distribution. δ is the smallest difference that matters; the observed one, which is a lottery,
    does not enter.
    """
    return _fewest(lambda n: welch_power(n, deviation, delta, alpha) >= power)


def welch_power(n: int, deviation: float, delta: float, alpha: float = 0.05) -> float:
    """Power of a two-sided Welch test with n seeds a method, both with this standard deviation."""
    freedom, shift = 2 * n - 2, delta / (deviation * np.sqrt(2 / n))
    critical = stdtrit(freedom, 1 - alpha / 2)
    if shift > critical + 5:
        return 1.0  # to six digits; further out the noncentral t distribution runs out of numbers
    return float(1 - nctdtr(freedom, shift, critical) + nctdtr(freedom, shift, -critical))


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number of seeds from two on for which a condition holds that more seeds only make easier."""
    if not enough(MOST_SEEDS):
        return None
    return bisect_left(range(MOST_SEEDS), True, lo=2, key=lambda n: bool(enough(n)))
