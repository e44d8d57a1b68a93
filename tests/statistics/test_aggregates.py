"""Aggregates against figures computed by hand and by scipy."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from relook.statistics.aggregates import iqm, mean_interval


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
