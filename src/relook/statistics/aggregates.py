"""One number for many seeds, and how far to trust it. The training seed is the unit: average its episodes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # Student's quantile by itself: importing scipy.stats takes seconds

Array = NDArray[np.float64]
RESAMPLES = 10_000
QUARTER = 0.25
AGGREGATES = ("mean", "median", "IQM", "optimality gap", "worst quarter")
"""What `Scores.aggregates` computes, in this order."""


def iqm(scores: Sequence[float] | Array) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter (⌊n/4⌋ scores on each side).

    Agarwal et al. 2021, arXiv:2108.13264, §4. Below four scores it is the mean.
    """
    return float(_iqm(np.asarray(scores, dtype=np.float64)))


def _iqm(scores: Array) -> Array:
    """Over the last axis."""
    n = scores.shape[-1]
    whole: Array = np.sort(scores, -1)[..., n // 4 : n - n // 4].mean(-1)
    return whole


def mean_interval(scores: Array, level: float = 0.95, axis: int = 0) -> tuple[Array, ...]:
    """Low and high end of Student's interval for the mean over seeds: x̄ ± t·s/√n. NaN for a single seed.

    It covers the mean better than a percentile bootstrap when seeds are few, and like any interval too rarely when
    one seed in ten fails: look at the single seeds too.
    """
    n = scores.shape[axis]
    mean = scores.mean(axis)
    if n < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    reach = stdtrit(n - 1, 0.5 + level / 2) * scores.std(axis, ddof=1) / np.sqrt(n)
    return mean - reach, mean + reach


def iqm_interval(scores: Array, level: float = 0.95, resamples: int = 2000) -> tuple[Array, ...]:
    """Low and high end of the corrected interval for the IQM over the last axis, the seeds of one task.

    As `Scores.intervals`, for many steps of a curve at once: whole seeds are resampled. NaN for a single seed.
    """
    n = scores.shape[-1]
    centre = _iqm(scores)
    if n < 2:
        return np.full_like(centre, np.nan), np.full_like(centre, np.nan)
    chosen = np.random.default_rng(0).integers(n, size=(resamples, n))
    reach = stdtrit(n - 1, 0.5 + level / 2) * np.sqrt(n / (n - 1)) * _iqm(scores[..., chosen]).std(-1)
    return centre - reach, centre + reach


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error with its degrees of freedom, and the interval at the level that was asked for."""

    value: float
    low: float
    high: float
    error: float = np.nan
    freedom: float = np.nan


class Scores:
    """The scores of one method: for each task one number per training seed.

    Every task weighs the same, and within a task every seed: a run of task m weighs 1 / (M N_m).
    """

    def __init__(self, tasks: Sequence[Array]) -> None:
        self.tasks = [np.asarray(task, dtype=np.float64) for task in tasks]
        self.seeds = np.array([len(task) for task in self.tasks])
        if not len(self.tasks) or not self.seeds.all():
            raise ValueError("expected at least one task and one seed of each")
        runs = np.concatenate(self.tasks)
        if not np.isfinite(runs).all():
            raise ValueError("expected finite scores; give failed runs the score that they deserve")
        order = np.argsort(runs, kind="stable")
        self.runs: Array = runs[order]
        """Every run's score [R], in increasing order."""
        self.place = np.argsort(order)
        """Where in `runs` each seed of each task is [R], in the order in which they were given."""
        self.task_of = np.repeat(np.arange(len(self.tasks)), self.seeds)[order]
        self.weight: Array = 1 / (len(self.tasks) * self.seeds[self.task_of])

    @property
    def freedom(self) -> int:
        """Degrees of freedom: runs - tasks."""
        return len(self.runs) - len(self.tasks)

    @cached_property
    def trimmed(self) -> float:
        """Share of the runs that the IQM leaves out on each side: ⌊n/4⌋ of n, or a quarter if seeds are unequal."""
        n = len(self.runs)
        return (n // 4) / n if len(set(self.seeds.tolist())) == 1 else QUARTER

    def resampled(self, resamples: int = RESAMPLES, seed: int = 0, block: int = 250) -> Iterator[Array]:
        """How often each run is in stratified bootstrap samples: seeds drawn with replacement within each task.

        Yields counts [block, R] in the order of `runs`. The same `seed` draws the same training seeds, also of another
        method with as many: that is what makes a paired difference.
        """
        rng = np.random.default_rng(seed)
        runs, equal = len(self.runs), len(set(self.seeds.tolist())) == 1
        places = np.split(self.place, np.cumsum(self.seeds)[:-1])
        for start in range(0, resamples, block):
            b = min(block, resamples - start)
            if equal:
                drawn = rng.integers(self.seeds[0], size=(b, len(self.tasks), self.seeds[0]), dtype=np.int32)
                where = np.stack(places)[np.arange(len(self.tasks))[:, None], drawn].reshape(b, runs)
            else:
                drawn_each = (rng.integers(n, size=(b, n), dtype=np.int32) for n in self.seeds)
                where = np.concatenate([place[d] for place, d in zip(places, drawn_each, strict=True)], 1)
            flat = (where + runs * np.arange(b)[:, None]).ravel()
            yield np.bincount(flat, minlength=b * runs).reshape(b, runs).astype(np.float64)

    def aggregates(self, counts: Array | None = None, threshold: float = 1.0) -> Array:
        """The `AGGREGATES` [5, b] of bootstrap samples given by their counts [b, R]; of the scores themselves without.

        The optimality gap is threshold - mean of min(score, threshold); the worst quarter is the mean of the lowest
        quarter of the runs.
        """
        weighted = self.weight * (np.ones((1, len(self.runs))) if counts is None else counts)
        of_task = np.zeros((len(self.runs), len(self.tasks)))
        of_task[np.arange(len(self.runs)), self.task_of] = self.runs * len(self.tasks)
        task_means = weighted @ of_task
        # A trimmed mean of sorted scores is Σ xᵢ (cᵢ - cᵢ₋₁) with the cumulated weights clipped; summed by parts, so
        # that samples need not be sorted one by one.
        cumulated = np.cumsum(weighted[:, :-1], 1, out=weighted[:, :-1])
        steps, lowest, highest = np.diff(self.runs), self.runs[0], self.runs[-1]
        cut, keep = self.trimmed, 1 - self.trimmed
        gap = threshold - (np.minimum(highest, threshold) - cumulated @ np.diff(np.minimum(self.runs, threshold)))
        worst = highest - (np.minimum(cumulated, QUARTER) @ steps) / QUARTER
        iqms = (highest * keep - lowest * cut - np.clip(cumulated, cut, keep, out=cumulated) @ steps) / (keep - cut)
        return np.stack([task_means.mean(1), np.median(task_means, 1), iqms, gap, worst])

    def bootstrap(self, resamples: int = RESAMPLES, seed: int = 0, threshold: float = 1.0) -> Array:
        """The `AGGREGATES` [5, resamples] of stratified bootstrap samples."""
        return np.concatenate([self.aggregates(c, threshold) for c in self.resampled(resamples, seed)], 1)

    def profile(self, levels: Array) -> Array:
        """Performance profile: for each level τ the share of runs with a score above it, tasks weighing the same.

        Agarwal et al. 2021, arXiv:2108.13264, §4.2.
        """
        return np.asarray(self.weight @ (self.runs[:, None] > levels))

    def profile_band(self, levels: Array, level: float = 0.95, resamples: int = 2000) -> tuple[Array, Array]:
        """Low and high end of the corrected interval of the profile, at each level τ by itself."""
        share = self.profile(levels)
        if not self.freedom:
            return np.full_like(share, np.nan), np.full_like(share, np.nan)
        above = self.weight[:, None] * (self.runs[:, None] > levels)
        error = np.concatenate([counts @ above for counts in self.resampled(resamples)]).std(0)
        reach = stdtrit(self.freedom, 0.5 + level / 2) * np.sqrt(len(self.runs) / self.freedom) * error
        return np.maximum(share - reach, 0), np.minimum(share + reach, 1)

    def intervals(
        self, level: float = 0.95, kind: str = "corrected", resamples: int = RESAMPLES, threshold: float = 1.0
    ) -> dict[str, Estimate]:
        """Every aggregate with its interval over seeds; NaN where each task has a single seed.

        `corrected`: θ ± t √(R / (R - M)) SE with R runs of M tasks, R - M degrees of freedom and the standard error SE
        of the bootstrap, which by itself is too small for few seeds. `percentile` is the plain percentile bootstrap.
        """
        centre, samples = self.aggregates(threshold=threshold)[:, 0], self.bootstrap(resamples, threshold=threshold)
        return {
            name: estimate(value, some, self.freedom, len(self.runs), level, kind)
            for name, value, some in zip(AGGREGATES, centre, samples, strict=True)
        }


def estimate(value: float, samples: Array, freedom: float, runs: int, level: float, kind: str) -> Estimate:
    """A number with the interval that its bootstrap samples [b] give. NaN without degrees of freedom."""
    if not freedom:
        return Estimate(float(value), np.nan, np.nan)
    error = float(np.sqrt(runs / freedom) * samples.std())
    if kind == "percentile":
        low, high = np.quantile(samples, [0.5 - level / 2, 0.5 + level / 2])
        return Estimate(float(value), float(low), float(high), error, freedom)
    return around(float(value), error, freedom, level)


def around(value: float, error: float, freedom: float, level: float) -> Estimate:
    """Student's interval: value ± t · standard error."""
    reach = float(stdtrit(freedom, 0.5 + level / 2)) * error
    return Estimate(value, value - reach, value + reach, error, freedom)
