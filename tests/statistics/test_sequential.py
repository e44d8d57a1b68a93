"""Looking early without erring more often, and how many seeds a question needs."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from scipy.special import comb

from relook.statistics.sequential import (
    Plan,
    cautious_deviation,
    look,
    seeds_for_power,
    seeds_for_precision,
    welch_power,
)

PLAN = Plan(looks=4, seeds_per_look=5)


def test_alpha_is_spent_whole_and_never_falls() -> None:
    for spending in ("linear", "late"):
        plan = Plan(5, 3, spending=spending)
        spent = [plan.spent(k) for k in range(1, 6)]
        assert spent == sorted(spent)
        assert spent[-1] == pytest.approx(0.05)
    assert Plan(5, 3, spending="late").spent(1) < 1e-4


def test_a_single_look_is_a_permutation_test() -> None:
    """|T| beyond the boundary just where the exact permutation p is below α, up to the luck of 10,000 relabellings."""
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 2.0):
        x, y = rng.normal(shift, 1, 5), rng.normal(0, 1, 5)
        both = np.concatenate([x, y])
        observed = abs(x.mean() - y.mean())
        sums = np.array([both[list(chosen)].sum() for chosen in combinations(range(10), 5)])
        p = (abs(2 * sums - both.sum()) / 5 >= observed - 1e-12).mean()
        decided = look([x], [y], Plan(1, 5)).decided
        if abs(p - 0.05) > 0.01:
            assert (decided == 1) == (p < 0.05)
    assert comb(10, 5) == 252


@pytest.mark.parametrize("statistic", ["mean", "rank"])
@pytest.mark.parametrize("tasks", [1, 3])
def test_looking_four_times_errs_no_more_often_than_asked(statistic: str, tasks: int) -> None:
    rng = np.random.default_rng(tasks)
    plan = Plan(4, 5, statistic=statistic)  # type: ignore[arg-type]
    wrong = 0
    for _ in range(200):
        x, y = rng.standard_t(3, (2, tasks, 20))
        wrong += look([*x], [*y], plan, paths=500).decided is not None
    assert wrong / 200 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_adding_seeds_until_p_is_small_errs_more_often() -> None:
    """What the plan protects from: the same looks with a plain test at each."""
    rng = np.random.default_rng(1)
    wrong = sum(
        any(stats.ttest_ind(x[:n], y[:n], equal_var=False).pvalue < 0.05 for n in (5, 10, 15, 20))
        for x, y in rng.normal(0, 1, (400, 2, 20))
    )
    assert wrong / 400 > 0.08


def test_a_clear_difference_is_found_early() -> None:
    rng = np.random.default_rng(2)
    used = []
    for _ in range(100):
        x, y = rng.normal(0, 1, (2, 1, 20))
        decided = look(x + 1.5, y, PLAN, paths=500).decided
        used.append(5 * (decided or 4))
        assert decided is not None
    assert np.mean(used) < 14


def test_only_whole_looks_count_and_the_past_stays_as_it_was() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, (2, 1, 30))
    eleven, fifteen, thirty = (look(x[:, :n], y[:, :n], PLAN) for n in (11, 15, 30))
    assert (len(eleven.statistic), len(fifteen.statistic), len(thirty.statistic)) == (2, 3, 4)
    np.testing.assert_allclose(fifteen.statistic[:2], eleven.statistic)
    assert len(look(x[:, :4], y[:, :4], PLAN).statistic) == 0
    assert look(x[:, :4], y[:, :4], PLAN).decided is None


def test_the_sign_of_t_tells_who_was_ahead() -> None:
    x, y = [np.arange(20.0) + 30], [np.arange(20.0)]
    ahead, behind = look(x, y, PLAN), look(y, x, PLAN)
    assert (ahead.statistic > 0).all()
    np.testing.assert_allclose(behind.statistic, -ahead.statistic)
    assert ahead.decided == behind.decided == 1


def test_tasks_count_alike_whatever_their_scale() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.5, 1, (2, 2, 20))
    larger = look([x[0], 1000 * x[1]], [y[0], 1000 * y[1]], PLAN)
    np.testing.assert_allclose(larger.statistic, look([*x], [*y], PLAN).statistic)


def test_several_comparisons_share_alpha() -> None:
    x, y = np.random.default_rng(5).normal(0, 1, (2, 1, 20))
    alone, among = look(x, y, PLAN), look(x, y, PLAN, comparisons=5)
    assert (among.boundary >= alone.boundary).all()
    assert (among.boundary > alone.boundary).any()


def test_no_spread_decides_nothing() -> None:
    assert look([np.full(20, 500.0)], [np.full(20, 500.0)], PLAN).decided is None


def test_power_is_what_simulation_finds() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(0, 1, (2, 4000, 12))
    found = (stats.ttest_ind(x + 1, y, axis=1, equal_var=False).pvalue < 0.05).mean()
    assert welch_power(12, 1, 1) == pytest.approx(found, abs=0.025)
    assert welch_power(64, 1, 0.5) == pytest.approx(0.801, abs=0.002)  # Cohen's table


def test_seeds_for_power_and_precision_are_the_fewest() -> None:
    n = seeds_for_power(20, 20)
    assert n == 17
    assert welch_power(17, 20, 20) >= 0.8 > welch_power(16, 20, 20)
    assert seeds_for_power(1000, 1) is None
    m = seeds_for_precision(20, 10)
    assert m is not None
    reach = [stats.t.ppf(0.975, 2 * k - 2) * 20 * math.sqrt(2 / k) for k in (m, m - 1)]
    assert reach[0] <= 10 < reach[1]
    assert seeds_for_power(0.1, 1) == 2


def test_a_pilots_spread_is_taken_cautiously() -> None:
    """Its own is too small more often than not; the cautious one, one time in five."""
    pilots = np.random.default_rng(7).normal(0, 20, (4000, 5)).std(1, ddof=1)
    assert (pilots < 20).mean() > 0.55
    cautious = np.array([cautious_deviation(float(s), 4) for s in pilots])
    assert (cautious < 20).mean() == pytest.approx(0.2, abs=0.02)
