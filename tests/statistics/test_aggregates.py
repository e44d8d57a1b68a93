"""Aggregates against figures computed by hand and by scipy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from relook.statistics.aggregates import Scores, iqm, mean_interval
from statistics_support import public_atari as atari


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 4.0], 2.5),
        ([1.0, 4.0, 100.0], 35.0),
        ([100.0, 1.0, 4.0, 6.0], 5.0),
        ([1.0, 2.0, 3.0, 4.0, 90.0], 3.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0], 3.5),
        ([-50.0, -9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 10.0, 1000.0], 4.0),
    ],
)
def test_iqm_leaves_out_a_quarter_on_each_side(scores: list[float], expected: float) -> None:
    assert iqm(scores) == pytest.approx(expected)
    assert iqm(scores[::-1]) == pytest.approx(expected)


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_is_students(n: int, level: float) -> None:
    scores = np.random.default_rng(n).normal(100, 20, n)
    expected: tuple[Any, Any] = stats.t.interval(level, n - 1, loc=scores.mean(), scale=stats.sem(scores))
    np.testing.assert_allclose(mean_interval(scores, level), expected)


def test_the_interval_works_along_an_axis() -> None:
    scores = np.random.default_rng(0).normal(0, 1, (4, 6))
    low, high = mean_interval(scores, axis=1)
    assert low.shape == high.shape == (4,)
    for row, ends in zip(scores, zip(low, high, strict=True), strict=True):
        np.testing.assert_allclose(ends, mean_interval(row))


def test_a_single_seed_has_no_interval() -> None:
    assert np.isnan(mean_interval(np.array([3.0]))).all()
    low, high = mean_interval(np.ones((5, 1)), axis=1)
    assert low.shape == high.shape == (5,)
    assert np.isnan([low, high]).all()


# -- several tasks ----------------------------------------------------------------------------------------------------


def some_tasks(*seeds: int) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(len(seeds))
    return [rng.normal(0.5 * m, 1 + m, n) for m, n in enumerate(seeds)]


def plainly(tasks: Sequence[NDArray[np.float64]], threshold: float) -> list[float]:
    """The aggregates as their definitions say, for the same number of seeds in every task."""
    runs = np.concatenate(tasks)
    means = [task.mean() for task in tasks]
    lowest = np.sort(runs)[: len(runs) // 4]
    return [
        float(x)
        for x in (
            np.mean(means),
            np.median(means),
            stats.trim_mean(runs, 0.25),
            threshold - np.minimum(runs, threshold).mean(),
            lowest.mean(),
        )
    ]


@pytest.mark.parametrize("seeds", [(4,), (8, 8, 8), (4, 4, 4, 4, 4)])
def test_aggregates_are_what_their_definitions_say(seeds: tuple[int, ...]) -> None:
    tasks = some_tasks(*seeds)
    np.testing.assert_allclose(Scores(tasks).aggregates(threshold=0.7)[:, 0], plainly(tasks, 0.7))


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7])
def test_the_iqm_cuts_whole_runs(n: int) -> None:
    tasks = some_tasks(n, n)
    assert Scores(tasks).aggregates()[2, 0] == pytest.approx(stats.trim_mean(np.concatenate(tasks), 0.25))


def test_tasks_weigh_the_same_whatever_their_seeds() -> None:
    """Every seed of one task three times over: nothing changes, as it stands for the same share of the whole."""
    first, second = some_tasks(4, 8)
    once = Scores([np.repeat(first, 2), second]).aggregates()
    np.testing.assert_allclose(Scores([first, second]).aggregates(), once)


def test_a_bootstrap_sample_is_the_aggregates_of_its_runs() -> None:
    tasks = some_tasks(6, 6, 6)
    scores = Scores(tasks)
    [counts] = scores.resampled(50, seed=3, block=50)
    for row, found in zip(counts, scores.aggregates(counts, 0.7).T, strict=True):
        drawn = [np.repeat(scores.runs, (row * (scores.task_of == m)).astype(int)) for m in range(3)]
        assert [len(task) for task in drawn] == [6, 6, 6]
        expected = plainly(drawn, 0.7)
        worst = np.sort(np.concatenate(drawn))
        expected[4] = (worst[:4].sum() + worst[4] / 2) / 4.5  # a quarter of eighteen runs
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        scores.aggregates(counts.astype(np.float64), 0.7), scores.aggregates(counts, 0.7), atol=1e-6
    )


def test_the_bootstrap_is_scipys() -> None:
    """Standard errors and percentiles of a stratified bootstrap of the IQM."""
    tasks = some_tasks(8, 8, 8)
    found = Scores(tasks).intervals(kind="percentile", resamples=20_000)["IQM"]
    expected = stats.bootstrap(
        tasks,
        lambda *samples, axis: stats.trim_mean(np.concatenate(samples, axis), 0.25, axis),
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    spread = expected.standard_error
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.06 * spread)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.06 * spread)
    assert found.error == pytest.approx(spread * np.sqrt(24 / 21), rel=0.03)


def test_the_corrected_interval_of_a_mean_of_one_task_is_students() -> None:
    [task] = some_tasks(12)
    found = Scores([task]).intervals(resamples=40_000)["mean"]
    low, high = map(float, mean_interval(task))
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=0.02 * (high - low))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_corrected_interval_covers_what_it_says_and_the_percentile_interval_does_not(seeds: int) -> None:
    """Eight tasks of skewed scores, 400 times over; the figures of a real population are in benchmarks/statistics."""
    rng = np.random.default_rng(seeds)
    covered = {"corrected": 0, "percentile": 0}
    truth = float(stats.trim_mean(rng.lognormal(0, 0.7, (8, 100_000)).ravel(), 0.25))
    for _ in range(400):
        scores = Scores([*rng.lognormal(0, 0.7, (8, seeds))])
        for kind in covered:
            found = scores.intervals(kind=kind, resamples=300)["IQM"]
            covered[kind] += found.low <= truth <= found.high
    assert 0.92 <= covered["corrected"] / 400 <= 0.98
    if seeds == 3:
        assert covered["percentile"] / 400 < 0.9


def test_without_a_second_seed_there_is_no_interval() -> None:
    found = Scores([np.array([1.0]), np.array([2.0])]).intervals(resamples=100)
    assert found["mean"].value == 1.5
    assert all(np.isnan([e.low, e.high]).all() for e in found.values())


@pytest.mark.parametrize("tasks", [[], [np.zeros(0)], [np.array([1.0, np.nan])], [np.array([np.inf])]])
def test_scores_that_say_nothing_are_refused(tasks: list[NDArray[np.float64]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Scores(tasks)


def test_profiles_count_runs_above_a_level() -> None:
    scores = Scores([np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 1.0])])
    levels = np.array([-1.0, 0.0, 1.0, 2.5, 3.0])
    np.testing.assert_allclose(scores.profile(levels), [1, 0.875, 0.25, 0.125, 0])
    low, high = scores.profile_band(levels, resamples=500)
    assert (low <= scores.profile(levels)).all()
    assert (high >= scores.profile(levels)).all()
    assert high[2] - low[2] > 0.2
    assert low[0] == high[0] == 1


PUBLISHED = {
    "SPR": [0.6157957428691673, 0.39562938291779215, 0.3366493194937694, 0.5773017532342755],
    "DrQ(eps)": [0.4647412513971657, 0.312901399063074, 0.2796469290852646, 0.6305341162701135],
}
"""Mean, median, IQM and optimality gap of 100 runs × 26 games, by the published definitions' own code."""


@pytest.mark.parametrize("method", [*PUBLISHED])
def test_aggregates_of_public_scores_are_the_published_ones(method: str) -> None:
    found = Scores(atari(method)).aggregates()[:4, 0]
    np.testing.assert_allclose(found, PUBLISHED[method], rtol=0, atol=1e-9)
