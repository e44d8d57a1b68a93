"""One number for many seeds, and how far to trust it. The training seed is the unit: average its episodes first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # Student's quantile by itself: importing scipy.stats takes seconds


def iqm(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter (⌊n/4⌋ scores on each side).

    Agarwal et al. 2021, arXiv:2108.13264, §4. Below four scores it is the mean.
    """
    return float(_iqm(np.asarray(scores, dtype=np.float64)))


def _iqm(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    n = scores.shape[-1]
    whole: NDArray[np.float64] = np.sort(scores, -1)[..., n // 4 : n - n // 4].mean(-1)
    return whole


def mean_interval(scores: NDArray[np.float64], level: float = 0.95, axis: int = 0) -> tuple[NDArray[np.float64], ...]:
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


def iqm_interval(
    scores: NDArray[np.float64], level: float = 0.95, resamples: int = 2000
) -> tuple[NDArray[np.float64], ...]:
    """Low and high end of an interval for the IQM over the last axis, the seeds. NaN for a single seed.

    IQM ± t·√(n/(n-1))·SE with the standard error of `resamples` bootstrap samples of whole seeds: the correction
    repairs most of what a percentile bootstrap under-covers when seeds are few. The same scores give the same interval.
    """
    n = scores.shape[-1]
    centre = _iqm(scores)
    if n < 2:
        return np.full_like(centre, np.nan), np.full_like(centre, np.nan)
    chosen = np.random.default_rng(0).integers(n, size=(resamples, n))
    error = _iqm(scores[..., chosen]).std(-1)
    reach = stdtrit(n - 1, 0.5 + level / 2) * np.sqrt(n / (n - 1)) * error
    return centre - reach, centre + reach
