"""Sensitivity: the paper's formulas against plain loops, and what choosing by the same seeds does to them."""

import math
from itertools import chain, combinations, product
from typing import Any

import numpy as np
import pytest
from benchmarks.public_scores import Missing, sensitivity_of_ppo
from numpy.typing import NDArray

from relook.errors import WrongRequest
from relook.statistics import sensitivity as module
from relook.statistics.aggregates import mean_interval
from relook.statistics.scores import Training
from relook.statistics.sensitivity import (
    Rules,
    Study,
    Sweep,
    bootstrap,
    effective,
    halves,
    honest,
    honest_bootstrap,
    sensitivity,
    subsets,
    tuned,
)
from relook.statistics.sensitivity_plots import pictures
from relook.statistics.sensitivity_reports import as_json, heading, tables
from statistics_support import illegible, xs, ys

Array = NDArray[np.float64]
GRID = [*product((1e-4, 1e-3, 1e-2), (0.9, 0.99), ("relu", "tanh"))]
NAMES = ["learning_rate", "discount", "activation"]


def sweep(scores: Array, settings: list[tuple[Any, ...]] = GRID) -> Sweep:
    environments = [f"E{e}-v0" for e in range(scores.shape[1])]
    return Sweep("ppo", NAMES[: len(settings[0])], settings, environments, scores)


def naive(choose: Array, judge: Array, settings: list[tuple[Any, ...]]) -> dict[tuple[int, ...], float]:
    """The score of tuning each subset of hyper-parameters for each environment, in plain loops."""
    parts, environments = range(len(settings[0])), range(choose.shape[1])
    for_all = max(range(len(settings)), key=lambda h: sum(choose[h]))
    found = {}
    for subset in chain.from_iterable(combinations(parts, k) for k in range(len(parts) + 1)):
        total = 0.0
        for e in environments:
            may_be = [
                h
                for h, setting in enumerate(settings)
                if all(setting[p] == settings[for_all][p] for p in parts if p not in subset)
            ]
            total += judge[max(may_be, key=lambda h: choose[h, e]), e]
        found[subset] = total / len(environments)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    choose, judge = rng.normal(size=(2, 7, len(GRID), 4))
    found = tuned(choose, judge, sweep(choose[0, ..., None]).same)
    for b in range(7):
        assert found[b].tolist() == pytest.approx([*naive(choose[b], judge[b], GRID).values()])
    both = tuned(choose, choose, sweep(choose[0, ..., None]).same)
    np.testing.assert_allclose(both[:, -1], choose.max(1).mean(1))
    np.testing.assert_allclose(both[:, 0], choose.mean(2).max(1))


def test_sensitivity_is_never_negative_and_more_tuning_never_worse() -> None:
    means = np.random.default_rng(0).normal(size=(500, len(GRID), 3))
    found = dict(zip(subsets(3), tuned(means, means, sweep(means[0, ..., None]).same).T, strict=True))
    assert (found[0, 1, 2] >= found[()]).all()
    for small, large in product(found, found):
        if set(small) < set(large):
            assert (found[large] >= found[small] - 1e-12).all()


def test_the_effective_dimension_is_the_smallest_that_reaches_the_share() -> None:
    every = subsets(3)
    scores = np.zeros(8)

    def dimension_of(**tuned_scores: float) -> tuple[int, ...]:
        for place, subset in enumerate(every):
            scores[place] = tuned_scores.get("_" + "".join(map(str, subset)), 0.1)
        return every[effective(scores, 3)]

    assert dimension_of(_=0.95, _012=1.0) == ()
    assert dimension_of(_=0.949, _1=0.96, _2=0.97, _012=1.0) == (2,)
    assert dimension_of(_=0.5, _2=0.9, _01=0.951, _012=1.0) == (0, 1)
    assert dimension_of(_=0.5, _2=0.9, _01=0.94, _012=1.0) == (0, 1, 2)
    assert dimension_of(_=-1.04, _0=-2.0, _1=-2.0, _2=-2.0, _01=-2.0, _02=-2.0, _12=-2.0, _012=-1.0) == ()
    assert dimension_of(_=-1.06, _0=-2.0, _1=-1.01, _2=-2.0, _01=-2.0, _02=-2.0, _12=-2.0, _012=-1.0) == (1,)


# Honest scores


def test_honest_scores_are_those_of_plain_loops() -> None:
    scores = np.random.default_rng(0).normal(size=(len(GRID), 3, 7))
    chooses = halves(7, 20, np.random.default_rng(5))
    assert {int(half.sum()) for half in chooses} == {3, 4}
    np.testing.assert_array_equal(chooses[:20], ~chooses[20:])
    wanted = [
        [*naive(scores[..., half].mean(-1), scores[..., ~half].mean(-1), GRID).values()]
        for half in chooses.tolist()
        for half in [np.array(half)]
    ]
    np.testing.assert_allclose(honest(scores, sweep(scores).same, 20, seed=5), np.mean(wanted, 0))


def test_honest_scores_do_not_depend_on_how_they_are_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).normal(size=(len(GRID), 3, 6))
    same = sweep(scores).same
    whole = honest(scores, same, 50)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 500)
    np.testing.assert_allclose(honest(scores, same, 50), whole)
    assert bootstrap(scores, same, 50).shape == honest_bootstrap(scores, same, 50).shape == (50, 8)


def test_without_noise_honest_scores_are_the_plain_ones() -> None:
    scores = np.repeat(np.random.default_rng(0).normal(size=(len(GRID), 3, 1)), 4, axis=-1)
    same = sweep(scores).same
    np.testing.assert_allclose(honest(scores, same, 10), tuned(scores[None, ..., 0], scores[None, ..., 0], same)[0])


def test_settings_that_do_not_differ_look_tuned_and_sensitive_unless_other_seeds_score() -> None:
    """Every setting's true score is 0 and so is Φ: what the plain figures say beyond that is selection."""
    plain: list[list[float]] = []
    fair: list[list[float]] = []
    for seed in range(60):
        scores = np.random.default_rng(seed).normal(size=(len(GRID), 3, 6))
        same = sweep(scores).same
        means = scores.mean(-1)[None]
        for kept, found in ((plain, tuned(means, means, same)[0]), (fair, honest(scores, same, 50))):
            kept.append([found[-1], found[0], found[-1] - found[0]])
    mean, error = np.mean(fair, 0), np.std(fair, 0, ddof=1) / math.sqrt(60)
    assert (abs(mean) < 4 * error).all()
    assert (np.mean(plain, 0) > 0.2).all()
    assert (np.mean(plain, 0) - 4 * np.std(plain, 0, ddof=1) / math.sqrt(60) > 0).all(), "the plain ones are biased"


def test_of_a_setting_that_is_best_by_far_the_intervals_are_students() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(len(GRID), 2, 10))
    scores[3] += 100
    whole = sensitivity(trainings(scores), Rules(resamples=5000))
    found, scale = whole.algorithms["ppo"], whole.scale
    best = np.stack([(scores[3, e] - low) / (high - low) for e, (low, high) in enumerate(scale.values())])
    assert found.plain.each.value == pytest.approx(best.mean())
    error = math.sqrt(sum(row.var(ddof=1) / 10 for row in best)) / 2
    assert found.plain.each.error == pytest.approx(error, rel=0.05)
    assert found.honest is not None
    assert found.honest.each.value == pytest.approx(best.mean())
    assert found.honest.each.error == pytest.approx(error, rel=0.05)


# From trainings to a study


def trainings(
    scores: Array, algorithm: str = "ppo", settings: list[tuple[Any, ...]] = GRID, **changed: Any
) -> list[Training]:
    """One for each setting, environment and seed of scores [H, E, N]."""
    return [
        Training(
            f"{algorithm} {h}",
            f"E{e}-v0",
            n,
            (np.array([100.0]), scores[h, e, n : n + 1]),
            100.0,
            algorithm=algorithm,
            hyperparameters=dict(zip([*NAMES, "fixed"], [*setting, 1], strict=False)),
            **changed,
        )
        for h, setting in enumerate(settings)
        for e in range(scores.shape[1])
        for n in range(scores.shape[2])
    ]


def study(scores: Array, **rules: Any) -> Study:
    return sensitivity(trainings(scores), Rules(resamples=300, splits=50, **rules))


def noisy(means: Array, seeds: int = 5, seed: int = 0) -> Array:
    return np.asarray(means[..., None] + 0.01 * np.random.default_rng(seed).normal(size=(*means.shape, seeds)))


def test_an_algorithm_that_wants_the_same_everywhere_is_not_sensitive() -> None:
    means = np.array([[a + b for _ in range(3)] for a, b, _ in product((0.0, 3.0, 1.0), (1.0, 0.0), (0, 0))])
    found = study(noisy(means)).algorithms["ppo"]
    for figures in (found.plain, found.honest):
        assert figures is not None
        assert figures.sensitivity.value == pytest.approx(0, abs=0.01)
        assert figures.parts == []
    assert found.sweep.settings[found.for_all][:2] == (1e-3, 0.9)


def test_an_algorithm_that_wants_another_discount_in_each_environment_has_dimension_one() -> None:
    """In E0 0.9 is 1 better, in E1 and E2 0.99 is; the best learning rate is the same."""
    means = np.array(
        [
            [rate + gain for gain in ((1.0, 0.0, 0.0) if discount == 0.9 else (0.0, 1.0, 1.0))]
            for rate, discount, _ in product((0.0, 1.0, 0.0), (0.9, 0.99), ("relu", "tanh"))
        ]
    )
    whole = study(noisy(means))
    found, scale = whole.algorithms["ppo"], whole.scale
    for figures in (found.plain, found.honest):
        assert figures is not None
        assert figures.parts == ["discount"]
        assert figures.sensitivity.value == pytest.approx(1 / (3 * (scale["E0-v0"][1] - scale["E0-v0"][0])), abs=0.02)
    assert found.dimensions == (1, 1)
    assert [found.sweep.settings[places[0]][1] for places in found.for_each] == [0.9, 0.99, 0.99]


def test_the_scale_is_the_pool_of_all_trainings_in_an_environment() -> None:
    one, other = (np.random.default_rng(k).normal(k, size=(len(GRID), 2, 5)) for k in range(2))
    found = sensitivity([*trainings(one), *trainings(other, "a2c")], Rules(resamples=100))
    for e, (low, high) in enumerate(found.scale.values()):
        pool = np.concatenate([one[:, e].ravel(), other[:, e].ravel()])
        assert (low, high) == pytest.approx(tuple(np.percentile(pool, [5, 95])))
    np.testing.assert_allclose(
        found.algorithms["a2c"].sweep.scores[:, 1],
        (other[:, 1] - low) / (high - low),  # the settings are in order
    )


def test_units_of_returns_do_not_matter() -> None:
    scores = np.random.default_rng(0).normal(size=(len(GRID), 3, 6))
    stretched = scores * np.array([1.0, 100.0, 0.01])[:, None] + np.array([0.0, -500.0, 3.0])[:, None]
    one, other = (study(s).algorithms["ppo"] for s in (scores, stretched))
    for a, b in ((one.plain, other.plain), (one.honest, other.honest)):
        assert a is not None
        assert b is not None
        for x, y in ((a.each, b.each), (a.one, b.one), (a.sensitivity, b.sensitivity)):
            assert (x.value, x.low, x.high) == pytest.approx((y.value, y.low, y.high))
        assert a.parts == b.parts


def test_a_study_is_the_same_in_any_order() -> None:
    found = trainings(np.random.default_rng(0).normal(size=(len(GRID), 2, 4)))
    one, other = (sensitivity(own, Rules(resamples=50)) for own in (found, found[::-1]))
    assert as_json(one) == as_json(other)


def test_settings_that_are_equally_good_are_counted() -> None:
    scores = np.zeros((len(GRID), 2, 3))
    scores[:4] = np.random.default_rng(0).normal(-3, size=(4, 2, 3))
    found = study(scores)
    assert [len(places) for places in found.algorithms["ppo"].for_each] == [8, 8]
    [_, settings, _] = tables(found)
    assert "and 7 more that score the same" in settings.rows[1][2]


def test_what_a_reader_must_know() -> None:
    noise = np.random.default_rng(0).normal(size=(len(GRID), 2, 1))
    alone = study(noise)
    assert alone.algorithms["ppo"].honest is None
    assert math.isnan(alone.algorithms["ppo"].plain.each.low)
    assert any("no intervals: expected at least 2 seeds, found 1" in note for note in alone.notes)
    three = study(np.random.default_rng(0).normal(size=(len(GRID), 2, 3)))
    figures = three.algorithms["ppo"].honest
    assert figures is not None
    assert math.isnan(figures.each.low)
    assert not math.isnan(three.algorithms["ppo"].plain.each.low)
    assert any("what half of the seeds chose: expected at least 4 seeds, found 3" in note for note in three.notes)
    rising = noisy(np.array([[a, a] for a, _, _ in product((0.0, 1.0, 2.0), (0, 0), (0, 0))]))
    assert any("has learning_rate=0.01, at the end of the values" in note for note in study(rising).notes)
    part = sensitivity(trainings(rising[1:], settings=GRID[1:]), Rules(resamples=50))
    assert any("11 of 12 combinations are there" in note for note in part.notes)
    assert "12 settings × 5 seeds × 2 environments" in heading(study(rising))[0]


NOISE = np.random.default_rng(0).normal(size=(len(GRID), 2, 4))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (trainings(NOISE[:, :1]), "expected several environments.*found E0-v0 alone"),
        (trainings(NOISE[:1], settings=GRID[:1]), "expected several settings of ppo.*found one"),
        (trainings(NOISE)[:-4], "found no training of ppo learning_rate=0.01, discount=0.99, activation=tanh on E1-v0"),
        (trainings(NOISE)[:-1], "as many seeds of every setting of ppo.*found 3 of .* and 4 of"),
        (trainings(NOISE * 0), "scores on E0-v0 that differ"),
        (
            [*trainings(NOISE), *trainings(NOISE, "a2c", phase="tune")],
            "tuning seeds beside test seeds",
        ),
        ([*trainings(NOISE), *(_t for _t in trainings(NOISE))], "the same seed is there twice"),
    ],
)
def test_what_means_nothing_is_refused(found: list[Training], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        sensitivity(found, Rules())


def test_unequal_budgets_are_refused_until_allowed() -> None:
    longer = [t if t.method != "ppo 0" else Training(**{**vars(t), "budget": 500.0}) for t in trainings(NOISE)]
    with pytest.raises(WrongRequest, match="different numbers of steps"):
        sensitivity(longer, Rules())
    assert any("allowed: " in note for note in sensitivity(longer, Rules(resamples=50), ["budgets"]).notes)


def test_tuning_seeds_alone_are_what_they_are_for() -> None:
    found = sensitivity(trainings(NOISE, phase="tune"), Rules(resamples=50))
    assert not any("tuning" in note for note in found.notes)


def test_more_hyper_parameters_than_can_be_tried_are_refused() -> None:
    many = [
        Training(
            "x", f"E{e}-v0", 0, (np.array([1.0]), np.array([1.0])), 1.0, hyperparameters={f"p{i}": h for i in range(9)}
        )
        for h in range(2)
        for e in range(2)
    ]
    with pytest.raises(WrongRequest, match="at most 8 hyper-parameters; found 9"):
        sensitivity(many, Rules())


def test_ppo_of_the_paper() -> None:
    """Table of scores averaged over seeds that comes with the paper's code; settings that diverged are not in it."""
    try:
        settings, means = sensitivity_of_ppo()
    except Missing as why:
        pytest.skip(str(why))
    same = Sweep("PPO", ["gae_lambda", "ent_coef", "actor_lr", "critic_lr"], settings, [], means[..., None]).same
    found = tuned(means[None], means[None], same)[0]
    assert found[-1] == pytest.approx(1.265131, abs=1e-6)
    assert found[0] == pytest.approx(1.162593, abs=1e-6)
    assert found[-1] - found[0] == pytest.approx(0.102538, abs=1e-6)


# Tables and pictures


MANY = [f"a rather long name of method {k}" for k in range(9)]
CASES = {
    "one": study(NOISE),
    "a single seed": study(NOISE[..., :1]),
    "nine with long names": sensitivity(
        [t for k, name in enumerate(MANY) for t in trainings(NOISE + k * NOISE[::-1], name)], Rules(resamples=50)
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_person_can_read_the_pictures(case: str) -> None:
    found = CASES[case]
    shown = dict(pictures(found, next(iter(found.algorithms))))
    assert [*shown] == ["plane", *(f"values-{name}" for name in found.algorithms)]
    for figure in [*shown.values()][:2]:
        assert illegible(figure) == []
        text = " ".join(t.get_text() for legend in figure.legends for t in (legend.get_title(), *legend.get_texts()))
        assert "seed" in text


def test_dots_are_the_figures() -> None:
    found = CASES["one"].algorithms["ppo"]
    shown = dict(pictures(CASES["one"], "ppo"))
    assert found.honest is not None
    dots = [(xs(line)[0], ys(line)[0]) for line in shown["plane"].axes[0].lines if line.get_marker() == "o"]
    assert dots == [(f.sensitivity.value, f.each.value) for f in (found.plain, found.honest)]
    rate = shown["values-ppo"].axes[0]
    [line, *_] = [line for line in rate.lines if line.get_marker() == "o"]
    others = found.sweep.settings[found.for_all][1:]
    means = found.sweep.scores[:, 0].mean(-1)
    assert ys(line) == pytest.approx([means[found.sweep.settings.index((r, *others))] for r in (1e-4, 1e-3, 1e-2)])
    assert [label.get_text() for label in rate.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    low, _ = mean_interval(found.sweep.scores[found.sweep.settings.index((1e-4, *others)), 0])
    band = np.asarray(rate.collections[0].get_paths()[0].vertices)
    assert band[band[:, 0] == 0][:, 1].min() == pytest.approx(float(low))


def test_every_figure_of_the_tables_is_in_the_json() -> None:
    content = as_json(CASES["one"])
    own = content["algorithms"]["ppo"]
    assert [row["score"] for row in own["all_seeds"]["tuned"]][-1] == own["all_seeds"]["one_for_each"]["value"]
    assert own["settings"][own["one_for_all"]] == dict(zip(NAMES, GRID[own["one_for_all"]], strict=True))
    assert as_json(CASES["a single seed"])["algorithms"]["ppo"]["halves"] is None
    [first, _, third] = tables(CASES["one"])
    assert [row[1] for row in first.rows] == ["all seeds", "halves"]
    assert [row[-1] for row in third.rows if row[-1]] == [str(own[way]["dimension"]) for way in ("all_seeds", "halves")]
