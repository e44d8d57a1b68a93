"""Whole curves: grids, bands, areas, censored steps, tolerance."""

import numpy as np
import pytest

from relook.statistics.curves import (
    Reached,
    align,
    area,
    pointwise_band,
    simultaneous_band,
    smoothed,
    tolerance_confidence,
    tolerance_seeds,
    tolerance_share,
)


def test_curves_meet_on_a_grid_by_their_last_known_scores() -> None:
    first = np.array([0.0, 10.0, 20.0]), np.array([1.0, 2.0, 3.0])
    second = np.array([0.0, 15.0, 30.0]), np.array([5.0, 6.0, 7.0])
    steps, scores = align([first, second])
    assert steps.tolist() == [0, 10, 15, 20]  # not drawn on where one has ended
    assert scores.tolist() == [[1, 5], [2, 5], [2, 6], [3, 6]]


def test_the_grid_begins_where_all_have_begun() -> None:
    steps, _ = align([(np.array([5.0, 10.0]), np.zeros(2)), (np.array([0.0, 10.0]), np.zeros(2))])
    assert steps.tolist() == [5, 10]


def test_the_area_is_the_mean_over_steps() -> None:
    assert area((np.array([0.0, 10.0, 40.0]), np.array([1.0, 2.0, 100.0]))) == pytest.approx((10 * 1 + 30 * 2) / 40)


def test_smoothing_looks_back_only() -> None:
    scores = np.array([0.0, 0.0, 9.0, 0.0, 0.0, 0.0])
    assert smoothed(scores, 3).tolist() == [0, 0, 3, 3, 3, 0]
    np.testing.assert_allclose(smoothed(np.stack([scores, scores], 1), 3)[:, 1], smoothed(scores, 3))
    assert smoothed(scores, 1).tolist() == scores.tolist()


def test_the_simultaneous_band_holds_whole_curves_and_the_pointwise_one_does_not() -> None:
    rng = np.random.default_rng(0)
    whole = {"simultaneous": 0, "pointwise": 0}
    for _ in range(150):
        scores = rng.normal(0, 1, (30, 8)) + 0.5 * rng.normal(0, 1, 8)  # around a true curve of 0
        for name, (low, high) in (
            ("simultaneous", simultaneous_band(scores, draws=1000)),
            ("pointwise", pointwise_band(scores)),
        ):
            whole[name] += bool(((low <= 0) & (high >= 0)).all())
    assert whole["simultaneous"] / 150 > 0.75  # of 30 almost unrelated steps and 8 seeds: the hardest of cases
    assert whole["pointwise"] / 150 < 0.6


def test_a_band_of_one_step_is_students_interval() -> None:
    scores = np.random.default_rng(1).normal(0, 1, (1, 6))
    np.testing.assert_allclose(simultaneous_band(scores, draws=200_000), pointwise_band(scores), rtol=0.02)


def test_bands_of_a_single_seed_and_of_no_spread() -> None:
    assert np.isnan(simultaneous_band(np.zeros((4, 1)))).all()
    low, high = simultaneous_band(np.full((4, 5), 500.0))
    assert low.tolist() == high.tolist() == [500] * 4


def test_steps_until_a_score_are_censored_where_it_never_came() -> None:
    """Kaplan & Meier by hand: two of four by step 20, a third watched no longer than 25, the last at 30."""
    reached = Reached(np.array([10.0, 20.0, 25.0, 30.0]), np.array([True, True, False, True]))
    steps, share, low, high = reached.survival()
    assert steps.tolist() == [10, 20, 25, 30]
    np.testing.assert_allclose(share, [0.75, 0.5, 0.5, 0])
    assert np.isnan(low[3])
    assert (low[:3] <= share[:3]).all()
    assert (high[:3] >= share[:3]).all()
    assert reached.median() == 20


def test_the_first_evaluation_at_the_threshold_counts() -> None:
    steps = np.array([0.0, 10.0, 20.0])
    found = Reached.of([(steps, np.array([0.0, 5.0, 4.0])), (steps, np.array([0.0, 1.0, 4.9]))], 5)
    assert found.steps.tolist() == [10, 20]
    assert found.reached.tolist() == [True, False]
    assert found.median() == 10
    assert Reached.of([(steps, np.zeros(3))], 5).median() == np.inf


def test_tolerance_statements() -> None:
    assert tolerance_seeds(0.9, 0.95) == 46
    assert tolerance_confidence(46, 0.9) > 0.95 > tolerance_confidence(45, 0.9)
    assert tolerance_share(10, 0.95) == pytest.approx(0.606, abs=0.001)
    assert tolerance_share(5, 0.95) == pytest.approx(0.343, abs=0.001)


def test_a_range_holds_the_share_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).uniform(0, 1, (20_000, 10))
    held = draws.max(1) - draws.min(1) >= 0.7
    assert held.mean() == pytest.approx(tolerance_confidence(10, 0.7), abs=0.01)
