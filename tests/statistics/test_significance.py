"""Tests and verdicts against scipy, closed forms and simulation."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from relook.statistics import significance
from relook.statistics.aggregates import Estimate, Scores, around
from relook.statistics.significance import Verdict
from statistics_support import public_atari as atari

RNG = np.random.default_rng(0)
X, Y = RNG.normal(1, 1, 7), RNG.normal(0, 3, 10)


def one(*scores: NDArray[np.float64]) -> Scores:
    return Scores([*scores])


def test_one_task_is_welchs_test() -> None:
    effect = significance.mean_difference(one(X), one(Y), 0.9)
    expected = stats.ttest_ind(X, Y, equal_var=False)
    assert significance.p_value(effect) == pytest.approx(expected.pvalue)
    assert effect.freedom == pytest.approx(expected.df)
    interval = expected.confidence_interval(0.9)
    np.testing.assert_allclose([effect.low, effect.high], [interval.low, interval.high])


def test_pairs_are_students_test_of_the_differences() -> None:
    effect = significance.paired_difference(one(X), one(Y[:7]))
    expected = stats.ttest_rel(X, Y[:7])
    assert significance.p_value(effect) == pytest.approx(expected.pvalue)
    assert effect.freedom == 6


def test_several_tasks_add_their_variances_and_keep_their_own_means() -> None:
    """Tasks that differ by a thousand do not blur a difference of one."""
    first, second = one(X, Y + 1000), one(X - 1, Y + 999)
    effect = significance.mean_difference(first, second)
    assert effect.value == pytest.approx(1)
    parts = [x.var(ddof=1) / len(x) for x in (X, X, Y, Y)]
    assert effect.error == pytest.approx(np.sqrt(sum(parts)) / 2)


def test_the_rank_test_is_exact() -> None:
    assert significance.mann_whitney(one(X), one(Y)) == stats.mannwhitneyu(X, Y, method="exact").pvalue
    assert significance.mann_whitney(one(X[:3]), one(X[:3] + 100)) == pytest.approx(0.1)  # the smallest there is


def test_the_rank_test_counts_ties_by_relabelling() -> None:
    """All ways to choose three of six, by hand."""
    x, y = np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0, 3.0])
    both = np.concatenate([x, y])

    def u(chosen: NDArray[np.bool_]) -> float:
        a, b = both[chosen], both[~chosen]
        return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).sum())

    choices = [np.array(c, dtype=bool) for c in product((0, 1), repeat=6) if sum(c) == 3]
    all_u = np.array([u(c) for c in choices])
    observed = u(np.array([1, 1, 1, 0, 0, 0], dtype=bool))
    expected = 2 * min((all_u <= observed).mean(), (all_u >= observed).mean())
    assert significance.mann_whitney(one(x), one(y)) == pytest.approx(min(1, expected))


def test_ranks_of_several_tasks_are_permuted_within_their_tasks() -> None:
    rng = np.random.default_rng(3)
    tasks = [rng.normal(100 * m, 1, (2, 8)) for m in range(4)]
    null = significance.mann_whitney(one(*(t[0] for t in tasks)), one(*(t[1] for t in tasks)))
    shifted = significance.mann_whitney(one(*(t[0] + 1.2 for t in tasks)), one(*(t[1] for t in tasks)))
    assert null > 0.05
    assert shifted < 0.01


def test_equivalence_is_two_one_sided_tests() -> None:
    effect = significance.mean_difference(one(X), one(Y))
    delta = 5.0
    upper = stats.t.cdf((effect.value - delta) / effect.error, effect.freedom)
    lower = stats.t.sf((effect.value + delta) / effect.error, effect.freedom)
    assert significance.equivalence(effect, delta) == pytest.approx(max(upper, lower))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_equivalence_says_what_the_interval_says(level: float) -> None:
    """p < α just where the interval at 1 - 2α lies inside ±δ."""
    for value in np.linspace(-2, 2, 41):
        effect = around(float(value), 0.4, 9, 2 * level - 1)
        inside = effect.low > -1.5 and effect.high < 1.5
        assert (significance.equivalence(effect, 1.5) < 1 - level) == inside


def test_without_any_spread_tests_take_their_limits() -> None:
    same = significance.mean_difference(one(np.full(5, 3.0)), one(np.full(5, 3.0)))
    other = significance.mean_difference(one(np.full(5, 4.0)), one(np.full(5, 3.0)))
    assert (significance.p_value(same), significance.p_value(other)) == (1, 0)
    assert (significance.equivalence(same, 0.5), significance.equivalence(other, 0.5)) == (0, 1)


def test_a_single_seed_has_no_p_value() -> None:
    effect = significance.mean_difference(one(X[:1]), one(Y))
    assert np.isnan([effect.low, significance.p_value(effect), significance.equivalence(effect, 1)]).all()


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.03], [0.03]),
        ([0.01, 0.04], [0.02, 0.04]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.5, 0.9, 0.001], [1, 1, 0.003]),
    ],
)
def test_holm(p: list[float], adjusted: list[float]) -> None:
    assert significance.holm(p) == pytest.approx(adjusted)


def test_max_t_against_a_common_baseline_is_dunnetts_test() -> None:
    rng = np.random.default_rng(2)
    *arms, control = [m + stats.zscore(rng.normal(0, 1, 40), ddof=1) for m in (0.4, 0.2, 0.6, 0.0)]
    expected = stats.dunnett(*arms, control=control, rng=np.random.default_rng(0))
    effects = [significance.mean_difference(one(arm), one(control)) for arm in arms]
    contrasts = np.concatenate([np.eye(3), -np.ones((3, 1))], 1)
    variances = np.array([arm.var(ddof=1) / 40 for arm in (*arms, control)])
    adjusted, wider = significance.max_t(effects, contrasts, variances)
    np.testing.assert_allclose(adjusted, expected.pvalue, atol=0.006)  # it has more degrees of freedom
    interval = expected.confidence_interval()
    np.testing.assert_allclose([e.low for e in wider], interval.low, atol=0.02)
    holm = significance.holm([significance.p_value(e) for e in effects])
    assert min(adjusted) < min(holm)  # which knows nothing of what they share


def test_the_probability_of_improvement_counts_pairs() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0])
    found = significance.probability_of_improvement(one(x, x), one(y, y + 10), resamples=500)
    assert found.value == pytest.approx((4.5 / 6 + 0) / 2)
    mirrored = significance.probability_of_improvement(one(y, y + 10), one(x, x), resamples=500)
    assert mirrored.value == pytest.approx(1 - found.value)
    assert 0 <= found.low < found.value < found.high <= 1


def test_a_clean_sweep_is_no_certainty() -> None:
    """Three seeds above three others: a bootstrap sees no spread, and would say 1 … 1."""
    few = significance.probability_of_improvement(one(X[:3] + 100), one(Y[:3]), resamples=500)
    many = significance.probability_of_improvement(one(np.tile(X, 9) + 100), one(np.tile(Y, 6)), resamples=500)
    assert (few.value, few.high) == (1, 1)
    assert few.low < 0.7
    assert 0.9 < many.low < 1
    other = significance.probability_of_improvement(one(X[:3] - 100), one(Y[:3]), resamples=500)
    assert (other.low, other.high) == pytest.approx((0, 1 - few.low))


def test_tasks_that_one_method_wins_altogether_are_no_certainty_beside_others_either() -> None:
    first, second, same = X[:3] + 100, Y[:3], np.ones(3)
    reach = 1 - significance.probability_of_improvement(one(first), one(second), resamples=500).low
    split = significance.probability_of_improvement(one(first, second), one(second, first), resamples=500)
    assert (split.low, split.value, split.high) == pytest.approx((0.5 - reach / 2, 0.5, 0.5 + reach / 2))
    both = significance.probability_of_improvement(one(first, first), one(second, second), resamples=500)
    assert (both.low, both.high) == pytest.approx((1 - reach / 2, 1))
    tied = significance.probability_of_improvement(one(first, same), one(second, same), resamples=500)
    assert (tied.low, tied.value, tied.high) == pytest.approx((0.75 - reach / 2, 0.75, 0.75))
    lost = np.array([*second[:2], 1000.0])
    mixed = significance.probability_of_improvement(one(first, first), one(second, lost), resamples=500)
    assert mixed.value < both.value
    assert mixed.value - mixed.low > both.value - both.low


@pytest.mark.parametrize("gaps", [[2.0] * 5, [2.2, 2.2, 2.2, 2.2, 0.0], [2.2, 2.2, -2.2, -2.2, 0.0], [3.0] * 3])
def test_the_interval_of_the_probability_of_improvement_covers_where_seeds_seldom_overlap(gaps: list[float]) -> None:
    rng = np.random.default_rng(5)
    truth = float(stats.norm.cdf(np.array(gaps) / np.sqrt(2)).mean())
    held = 0
    for _ in range(200):
        first = one(*(rng.normal(gap, 1, 5) for gap in gaps))
        second = one(*(rng.normal(0, 1, 5) for _ in gaps))
        found = significance.probability_of_improvement(first, second, resamples=150)
        held += found.low <= truth <= found.high
    assert held / 200 >= 0.94


def test_the_interval_of_the_probability_of_improvement_covers() -> None:
    rng = np.random.default_rng(3)
    truth = float(stats.norm.cdf(0.8 / np.sqrt(2)))
    covered = 0
    for _ in range(300):
        found = significance.probability_of_improvement(
            one(rng.normal(0.8, 1, 10)), one(rng.normal(0, 1, 10)), resamples=300
        )
        covered += found.low <= truth <= found.high
    assert 0.9 <= covered / 300 <= 0.99


@pytest.mark.parametrize("paired", [False, True])
def test_the_difference_of_an_aggregate_has_the_interval_of_its_mean(paired: bool) -> None:
    """For the mean of one task the bootstrap must agree with Welch's and with Student's intervals."""
    rng = np.random.default_rng(4)
    x = rng.normal(0, 1, 12)
    first, second = one(x), one(x + rng.normal(0, 0.3, 12))
    samples = first.bootstrap(20_000)[0], second.bootstrap(20_000, seed=0 if paired else 1)[0]
    means = [arm.intervals(resamples=20_000)["mean"] for arm in (first, second)]
    found = significance.difference(means[0], means[1], samples, level=0.95, kind="corrected", paired=paired)
    compared = significance.paired_difference if paired else significance.mean_difference
    expected = compared(first, second)
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], atol=0.03)


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (2.0, 0.3, "better"),
        (-2.0, 0.3, "worse"),
        (0.1, 0.3, "equivalent"),
        (0.5, 0.1, "equivalent"),  # there, and certainly smaller than δ
        (0.5, 0.6, "undecided"),
        (1.2, 0.3, "better"),
        (0.0, 0.0, "equivalent"),
        (3.0, 0.0, "better"),
    ],
)
def test_verdicts(value: float, error: float, expected: Verdict) -> None:
    effect = around(value, error, 18, 0.95)
    p, equal = significance.p_value(effect), significance.equivalence(effect, 1.0)
    assert significance.verdict(effect, p, equal, 0.05, 1.0) == expected


def test_never_equal_because_nothing_was_found() -> None:
    effect = Estimate(0.0, -3.0, 3.0, 1.5, 4)
    assert significance.verdict(effect, 1.0, significance.equivalence(effect, 1.0), 0.05, 1.0) == "undecided"


def test_welchs_test_errs_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    p = [significance.p_value(significance.mean_difference(one(x), one(y))) for x, y in rng.normal(0, 1, (2000, 2, 5))]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.06


def test_public_scores_give_the_published_probability_of_improvement() -> None:
    first, second = Scores(atari("SPR")), Scores(atari("DrQ(eps)"))
    found = significance.probability_of_improvement(first, second, resamples=10)
    assert found.value == pytest.approx(0.6170115385, abs=1e-9)
    ten = [Scores(atari(m, 10)) for m in ("SPR", "DrQ(eps)")]
    found = significance.probability_of_improvement(*ten, kind="percentile", resamples=2000)
    assert found.value == pytest.approx(0.6509615, abs=1e-7)
    assert (found.low, found.high) == pytest.approx((0.608, 0.690), abs=0.004)
