"""Is one method better than another? Differences, probability of improvement, tests, and the verdict they allow.

No two intervals are laid side by side to see whether they overlap: the difference itself gets an interval. "Not
significant" is never called "equal": that needs a smallest effect δ that matters, and an interval inside ±δ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtr

from relook.statistics.aggregates import RESAMPLES, Array, Estimate, Scores, around, estimate

Verdict = Literal["better", "worse", "equivalent", "undecided"]
FEWEST = 3
"""Below three seeds there is no verdict."""
FEW = 5
"""Below five seeds a verdict comes with a warning."""
OTHER_SEED = 1
"""The bootstrap of the second method, when it is resampled independently of the first."""


def difference(
    first: Estimate, second: Estimate, samples: tuple[Array, Array], *, level: float, kind: str, paired: bool
) -> Estimate:
    """θ_A - θ_B of an aggregate with its interval, from both estimates and their bootstrap samples [b].

    Independent arms: their variances add up, with Welch and Satterthwaite's degrees of freedom. `paired`: the samples
    drew the same seeds in both arms, and the spread of their differences counts.
    """
    value, apart = first.value - second.value, samples[0] - samples[1]
    if np.isnan(first.error) or np.isnan(second.error):
        return Estimate(value, np.nan, np.nan)
    error, freedom = float(np.hypot(first.error, second.error)), first.freedom
    if paired:
        raw = float(samples[0].std())
        error = float(apart.std()) * (first.error / raw if raw else 1.0)  # the same correction for few seeds
    elif error:
        freedom = error**4 / (first.error**4 / first.freedom + second.error**4 / second.freedom)
    if kind == "percentile":
        low, high = np.quantile(apart, [0.5 - level / 2, 0.5 + level / 2])
        return Estimate(value, float(low), float(high), error, freedom)
    return around(value, error, freedom, level)


def mean_difference(first: Scores, second: Scores, level: float = 0.95) -> Estimate:
    """Difference of the means over tasks, each task with the variances of its own: Welch's t, stratified.

    One task: Welch 1947. NaN where a task has a single seed of a method.
    """
    tasks = len(first.tasks)
    value = float(np.mean([x.mean() - y.mean() for x, y in zip(first.tasks, second.tasks, strict=True)]))
    if min(*first.seeds, *second.seeds) < 2:
        return Estimate(value, np.nan, np.nan)
    parts = np.array([(x.var(ddof=1) / len(x), len(x) - 1) for x in (*first.tasks, *second.tasks)])
    variance = float(parts[:, 0].sum())
    freedom = variance**2 / float((parts[:, 0] ** 2 / parts[:, 1]).sum()) if variance else float(parts[:, 1].sum())
    return around(value, float(np.sqrt(variance)) / tasks, freedom, level)


def paired_difference(first: Scores, second: Scores, level: float = 0.95) -> Estimate:
    """The same for seeds that belong together: Student's t of the differences, seed by seed, stratified by task."""
    apart = Scores([x - y for x, y in zip(first.tasks, second.tasks, strict=True)])
    return mean_difference(apart, Scores([np.zeros(len(task)) for task in apart.tasks]), level)


def p_value(effect: Estimate) -> float:
    """Two-sided p of "no difference", by Student's t. Without any spread: 1 for no difference, and otherwise 0."""
    if np.isnan(effect.error):
        return np.nan
    if effect.error == 0:
        return float(effect.value == 0)
    return float(2 * stdtr(effect.freedom, -abs(effect.value / effect.error)))


def equivalence(effect: Estimate, delta: float) -> float:
    """The p value of "the difference is δ or more, on either side": two one-sided tests, Schuirmann 1987."""
    if np.isnan(effect.error):
        return np.nan
    inside = delta - abs(effect.value)
    return float(stdtr(effect.freedom, -inside / effect.error)) if effect.error else float(inside <= 0)


def mann_whitney(first: Scores, second: Scores, resamples: int = RESAMPLES) -> float:
    """Two-sided p of the rank test of Mann & Whitney 1947, the exchangeability of both methods' seeds.

    One task: exact, with ties by all relabellings while there are at most `resamples` and by random ones beyond.
    Several tasks: the tasks' rank sums are averaged, and labels are permuted within each task.
    """
    from scipy.stats import PermutationMethod, mannwhitneyu, rankdata

    if len(first.tasks) == 1:
        x, y = first.tasks[0], second.tasks[0]
        tied = len(np.unique([*x, *y])) < len(x) + len(y)
        method = PermutationMethod(n_resamples=resamples, rng=np.random.default_rng(0)) if tied else "exact"
        return float(mannwhitneyu(x, y, method=method).pvalue)
    rng = np.random.default_rng(0)
    observed, permuted = 0.0, np.zeros(resamples)
    for x, y in zip(first.tasks, second.tasks, strict=True):
        ranks = rankdata([*x, *y]) - (len(x) + len(y) + 1) / 2
        scale = len(x) * len(y)
        observed += ranks[: len(x)].sum() / scale
        permuted += rng.permuted(np.tile(ranks, (resamples, 1)), axis=1)[:, : len(x)].sum(1) / scale
    tiny = 1e-9  # sums in another order
    return float((1 + (abs(permuted) >= abs(observed) - tiny).sum()) / (1 + resamples))


def probability_of_improvement(
    first: Scores, second: Scores, *, level: float = 0.95, kind: str = "corrected", resamples: int = RESAMPLES
) -> Estimate:
    """P(a seed of the first method scores above one of the second) on a random task, with its interval.

    (1/M) Σ_m (1/NK) Σ_ij [1(x_i > y_j) + ½ 1(x_i = y_j)], Agarwal et al. 2021, arXiv:2108.13264, §4.3. Both methods'
    seeds are resampled. A bootstrap sees no spread in a task that one method wins with every pair of seeds. Newcombe's
    interval (2006, method 5) says how far such a task may still be from certain; one such reach is shared by all that
    the same method wins, as the chances of no loss multiply, and adds to the bootstrap's as squares do (Zou and Donner,
    Statistics in Medicine 27:1693-1702, 2008). A task on which all pairs tie is taken as it is.
    """
    rng = np.random.default_rng(0)
    value, samples, pairs = 0.0, np.zeros(resamples), []
    for x, y in zip(first.tasks, second.tasks, strict=True):
        wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        pairs.append(wins)
        value += float(wins.mean()) / len(first.tasks)
        of_x = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), resamples) / len(x)
        of_y = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), resamples) / len(y)
        samples += ((of_x @ wins) * of_y).sum(1) / len(first.tasks)
    if min(*first.seeds, *second.seeds) < 2:
        return Estimate(value, np.nan, np.nan)
    found = estimate(value, samples, first.freedom + second.freedom, len(first.runs) + len(second.runs), level, kind)

    def unseen(all_of_them: int) -> float:
        swept = [wins for wins in pairs if wins.min() == wins.max() == all_of_them]
        return max((_newcombe(len(wins), wins.shape[1], level) for wins in swept), default=0.0) / len(pairs)

    low = max(value - math.hypot(value - found.low, unseen(1)), 0.0)
    high = min(value + math.hypot(found.high - value, unseen(0)), 1.0)
    return Estimate(value, low, high, found.error, found.freedom)


def _newcombe(n: int, k: int, level: float) -> float:
    """The largest probability of improvement with which none among n × k pairs is still to be expected.

    θ² = z² θ (1 - θ) [1 + (N - 1) ((1 - θ) / (2 - θ) + θ / (1 + θ))] / (nk) with N = (n + k) / 2: Newcombe, Statistics
    in Medicine 25:559-573, 2006, method 5.
    """
    from scipy.optimize import brentq

    z2 = float(ndtri(0.5 + level / 2)) ** 2

    def excess(p: float) -> float:
        spread = (1 - p) * (1 + ((n + k) / 2 - 1) * ((1 - p) / (2 - p) + p / (1 + p))) / (n * k)
        return float(p - z2 * spread)

    return float(brentq(excess, 0, 1))


def holm(p: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, so that the chance of any false rejection is kept: Holm 1979."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted = accumulate((min(1.0, (len(p) - rank) * p[i]) for rank, i in enumerate(order)), max)
    of = dict(zip(order, adjusted, strict=True))
    return [of[i] for i in range(len(p))]


def max_t(
    effects: Sequence[Estimate], contrasts: Array, variances: Array, level: float = 0.95, draws: int = 100_000
) -> tuple[list[float], list[Estimate]]:
    """The p values and intervals that hold for all declared comparisons at once: the maximum of their t statistics.

    `contrasts` [comparisons, methods] says with which sign a method's mean enters each comparison, and `variances`
    [methods] how uncertain these means are: comparisons that share a method are correlated. Samples of the multivariate
    t distribution, with the smallest degrees of freedom of all, take that into account; a common baseline is the case
    of Dunnett 1955.
    """
    freedom = min(effect.freedom for effect in effects)
    covariance = (contrasts * variances) @ contrasts.T
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1.0  # methods whose seeds all scored the same
    rng = np.random.default_rng(0)
    noise = rng.multivariate_normal(np.zeros(len(effects)), covariance / np.outer(scale, scale), draws, method="eigh")
    highest = abs(noise).max(1) / np.sqrt(rng.chisquare(freedom, draws) / freedom)
    adjusted = [p_value(e) if e.error == 0 else float((highest >= abs(e.value / e.error)).mean()) for e in effects]
    reach = float(np.quantile(highest, level))
    wider = [Estimate(e.value, e.value - reach * e.error, e.value + reach * e.error, e.error, freedom) for e in effects]
    return adjusted, wider


def verdict(effect: Estimate, p: float, p_equivalent: float, alpha: float, delta: float) -> Verdict:
    """What may be said about the first method against the second, from adjusted p values of both tests.

    A difference that is there but certainly smaller than δ is an equivalence.
    """
    if p_equivalent < alpha and abs(effect.value) < delta:
        return "equivalent"
    if p < alpha:
        return "better" if effect.value > 0 else "worse"
    return "undecided"
