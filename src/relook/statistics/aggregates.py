"""One number for many seeds, and how far to trust it. The training seed is the unit: average its episodes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # Student's quantile by itself: importing scipy.stats takes seconds

Array = NDArray[np.float64]
RESAMPLES = 10_000
QUARTER = 0.25
SMALL = 12_000
"""Numbers that are counted at a time: few enough to stay in the processor's cache."""
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
        self.runs: Array = runs
        """Every run's score [R], one task after the other."""
        self.task_of = np.repeat(np.arange(len(self.tasks)), self.seeds)
        self.weight: Array = 1 / (len(self.tasks) * self.seeds[self.task_of])
        self._sums: dict[tuple[float, np.dtype[Any]], _Sums] = {}

    @property
    def freedom(self) -> int:
        """Degrees of freedom: runs - tasks."""
        return len(self.runs) - len(self.tasks)

    @cached_property
    def trimmed(self) -> float:
        """Share of the runs that the IQM leaves out on each side: ⌊n/4⌋ of n, or a quarter if seeds are unequal."""
        n = len(self.runs)
        return (n // 4) / n if len(set(self.seeds.tolist())) == 1 else QUARTER

    def resampled(self, resamples: int = RESAMPLES, seed: int = 0, block: int = 100) -> Iterator[NDArray[np.float32]]:
        """How often each run is in stratified bootstrap samples: seeds drawn with replacement within each task.

        Yields counts [block, R] in the order of `runs`. The same `seed` draws the same training seeds, also of another
        method with as many: that is what makes a paired difference.
        """
        rng = np.random.default_rng(seed)
        runs, first = len(self.runs), (np.cumsum(self.seeds) - self.seeds)[self.task_of]
        small = np.uint16 if self.seeds.max() < 2**16 else np.int64  # takes half of the time to draw
        rows = max(1, SMALL // runs)
        places = first + runs * np.arange(rows)[:, None]
        for start in range(0, resamples, block):
            b = min(block, resamples - start)
            if len(set(self.seeds.tolist())) == 1:
                drawn = rng.integers(self.seeds[0], size=(b, runs), dtype=small)
            else:
                drawn = np.concatenate([rng.integers(n, size=(b, n), dtype=small) for n in self.seeds], 1)
            counts = np.empty((b, runs), dtype=np.float32)
            for row in range(0, b, rows):
                some = drawn[row : row + rows]
                flat = (places[: len(some)] + some).ravel()
                counts[row : row + rows] = np.bincount(flat, minlength=some.size).reshape(some.shape)
            yield counts

    def aggregates(self, counts: NDArray[Any] | None = None, threshold: float = 1.0) -> Array:
        """The `AGGREGATES` [5, b] of bootstrap samples given by their counts [b, R]; of the scores themselves without.

        The optimality gap is threshold - mean of min(score, threshold); the worst quarter is the mean of the lowest
        quarter of the runs. Computed in the precision of the counts.
        """
        counts = np.ones((1, len(self.runs))) if counts is None else counts
        key = (threshold, counts.dtype)
        if key not in self._sums:
            self._sums[key] = _Sums(self, threshold, counts.dtype)
        return self._sums[key].aggregates(counts, self.trimmed)

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


class _Sums:
    """Everything about bootstrap samples that is a sum over their runs, as one matrix product.

    A trimmed mean needs the samples' runs in order. All samples have the same order, so it is cut into chunks, and the
    sums of whole chunks come from the product too; only the chunk in which a cut falls is looked at run by run. Scores
    are taken from their mean, so that single precision is enough for samples.
    """

    def __init__(self, scores: Scores, threshold: float, dtype: np.dtype[Any]) -> None:
        runs, weight, tasks = scores.runs, scores.weight, len(scores.tasks)
        self.centre, self.tasks = float(runs.mean()), tasks
        capped = np.minimum(runs, threshold)
        self.gap = threshold - float(capped.mean())
        size = max(1, round(len(runs) ** 0.5 * 2))
        order = np.argsort(runs, kind="stable")
        chunk = np.empty(len(runs), dtype=np.int64)
        chunk[order] = np.arange(len(runs)) // size
        self.chunks = int(chunk.max()) + 1
        moved, every = runs - self.centre, np.arange(len(runs))
        matrix = np.zeros((len(runs), tasks + 1 + 2 * self.chunks))
        matrix[every, scores.task_of] = moved / scores.seeds[scores.task_of]
        matrix[:, tasks] = weight * (capped - capped.mean())
        matrix[every, tasks + 1 + chunk] = weight
        matrix[every, tasks + 1 + self.chunks + chunk] = weight * moved
        self.matrix = matrix.astype(dtype)
        # The runs of each chunk [chunks, size] in order; the last one is filled up with runs of no weight.
        fill = self.chunks * size - len(runs)
        self.members = np.append(order, np.repeat(order[-1:], fill)).reshape(-1, size)
        weighs = np.append(np.ones(len(runs)), np.zeros(fill)).reshape(-1, size)
        self.weights, self.scores = (weighs * weight[self.members]).astype(dtype), moved[self.members].astype(dtype)

    def aggregates(self, counts: NDArray[Any], trimmed: float) -> Array:
        sums = counts @ self.matrix
        of_task = sums[:, : self.tasks]
        parts = sums[:, self.tasks + 1 :]
        weights, values = parts[:, : self.chunks], parts[:, self.chunks :]
        shares = (trimmed, 1 - trimmed) if trimmed == QUARTER else (trimmed, 1 - trimmed, QUARTER)
        below = self._below(np.array(shares, dtype=counts.dtype), counts, weights, values)
        iqms = (below[:, 1] - below[:, 0]) / (1 - 2 * trimmed)
        ordered = np.sort(of_task, 1)
        medians = (ordered[:, (self.tasks - 1) // 2] + ordered[:, self.tasks // 2]) / 2
        worst = below[:, 0 if trimmed == QUARTER else 2] / QUARTER
        of_runs = np.stack([of_task.mean(1), medians, iqms, worst]).astype(np.float64) + self.centre
        return np.stack([*of_runs[:3], self.gap - sums[:, self.tasks], of_runs[3]])

    def _below(self, shares: NDArray[Any], counts: NDArray[Any], weights: NDArray[Any], values: NDArray[Any]) -> Array:
        """Σ weight · score over the lowest shares [s] of each sample's weight [b, s]."""
        samples = np.arange(len(counts))[:, None]
        until, so_far = weights.cumsum(1), values.cumsum(1)
        at = np.minimum((until[:, None] < shares[:, None]).sum(2), self.chunks - 1)
        before = until[samples, at] - weights[samples, at]
        inside = counts[samples[..., None], self.members[at]] * self.weights[at]
        room = (shares - before)[..., None] - (inside.cumsum(2) - inside)
        used = np.minimum(np.maximum(room, 0, out=room), inside, out=room)
        whole: Array = so_far[samples, at] - values[samples, at] + (used * self.scores[at]).sum(2)
        return whole


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
