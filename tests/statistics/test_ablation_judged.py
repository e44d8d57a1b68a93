"""Ablations on made-up scores whose answer is known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from relook.errors import RelookError, WrongRequest
from relook.statistics import ablation
from relook.statistics.ablation import AGAIN, BASE, FULL, Judged, added, judge, judged, left_out
from relook.statistics.ablation_plots import pictures
from relook.statistics.aggregates import Estimate
from relook.statistics.comparison import Rules
from relook.statistics.scores import Training

PARTS = {name: {name: False} for name in ("a", "b", "c")}
RULES = Rules(delta=10, resamples=200)


def scores(
    means: Mapping[str, float], seeds: int = 12, sd: float = 5, seed: int = 0, task: str = "T"
) -> list[Training]:
    rng = np.random.default_rng(seed)
    found: list[Training] = []
    for arm, mean in means.items():
        for score in rng.normal(mean, sd, seeds * 2 if arm in (FULL, BASE) else seeds):
            curve = np.array([0.0, 100.0]), np.array([0.0, score])
            found.append(Training(arm, task, len(found), curve, 100.0))
    return found


def means(full: float, without: Mapping[str, float], base: float, alone: Mapping[str, float]) -> dict[str, float]:
    return {
        FULL: full,
        AGAIN: full,
        **{left_out(name): value for name, value in without.items()},
        BASE: base,
        **{added(name): value for name, value in alone.items()},
    }


KNOWN = means(100, {"a": 50, "b": 130, "c": 100}, 20, {"a": 70, "b": 20, "c": 60})
"""Part a is needed; b harms, but only among the others; c does nothing there, and much alone."""


@pytest.fixture(scope="module")
def known() -> Judged:
    return judged("ppo", PARTS, scores(KNOWN), RULES)


def test_parts_are_ranked_and_judged(known: Judged) -> None:
    assert [part.name for part in known.parts] == ["a", "c", "b"]
    a, c, b = known.parts
    assert (a.among.worth, b.among.worth, c.among.worth) == ("needed", "harmful", "no effect")
    assert tuple(part.alone and part.alone.worth for part in (a, b, c)) == ("needed", "no effect", "needed")
    assert a.among.effect.low < 50 < a.among.effect.high
    assert b.among.effect.low < -30 < b.among.effect.high
    assert a.among.improvement.value == 1
    assert b.among.improvement.value == 0
    assert a.among.improvement.low <= a.among.improvement.value <= a.among.improvement.high


def test_parts_that_depend_on_each_other_are_seen(known: Judged) -> None:
    a, c, b = (part.interaction or Estimate(0, 0, 0) for part in known.parts)
    assert a.low < 0 < a.high
    assert b.high < 0
    assert c.high < 0


def test_the_noise_floor_is_the_full_algorithm_against_itself(known: Judged) -> None:
    again = known.again[""]
    assert again.low < 0 < again.high
    reach = (again.high - again.low) / 2
    assert reach > 2.0 * again.error, "wider than Student's: it holds for all comparisons at once"


def test_equal_arms_are_rarely_called_different() -> None:
    """The family of all parts errs in 5 of 100 ablations; single intervals would in three times as many."""
    parts = {name: {name: 0} for name in "abcdef"}
    flat = {FULL: 0.0, AGAIN: 0.0, **{left_out(name): 0.0 for name in parts}}
    alone = {BASE: 0.0, **{added(name): 0.0 for name in parts}}
    erred = singly = 0
    for seed in range(24):
        found = judged("ppo", parts, scores(flat | alone, seeds=6, seed=seed), Rules(delta=3, resamples=20))
        effects = [part.among.effect for part in found.parts]
        erred += any(e.low > 0 or e.high < 0 for e in effects)
        singly += any(abs(e.value) > 2.1 * e.error for e in effects)
    assert erred <= 4  # 24 × 0.05 = 1.2, and more than 4 in 1 of 150 cases
    assert singly > 2 * erred


def test_several_tasks_share_a_scale(tmp_path: Path) -> None:
    found = judged(
        "ppo",
        PARTS,
        [*scores(KNOWN, task="CartPole-v1"), *scores({a: 3 * m - 500 for a, m in KNOWN.items()}, task="Acrobot-v1")],
        Rules(delta=0.02, resamples=100),
    )
    assert [*found.scopes] == ["", "CartPole-v1", "Acrobot-v1"]
    assert {part.name for part in found.by_task["Acrobot-v1"]} == {"a", "b", "c"}
    assert found.parts[0].among.effect.value == pytest.approx((50 / 477.8 + 150 / 399.1) / 2, rel=0.1)
    titles = [table.title for table in ablation.tables(found)]
    assert titles[:2] == ["Left out on all tasks", "Alone on all tasks"]
    assert len(titles) == 7
    assert len([*ablation.tables(found, by_task=False)]) == 3
    assert "| a | 0.2" in ablation.markdown(found)
    assert ablation.as_json(found)["parts"]["CartPole-v1"][0]["left_out"]["verdict"] == "needed"
    assert [name for name, _ in pictures(found)] == ["ablation", "curves-CartPole-v1", "curves-Acrobot-v1"]


def test_a_single_part_has_no_base() -> None:
    found = judged("ppo", {"a": {}}, scores({FULL: 9, AGAIN: 9, left_out("a"): 1}), Rules(resamples=50))
    assert found.parts[0].alone is None
    assert found.parts[0].among.worth is None, "no δ, no verdict"
    assert [table.title for table in ablation.tables(found)] == ["Left out on T", "What the parts are off at"]
    assert len([*pictures(found)]) == 2


def test_missing_arms_and_other_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RelookError, match="found no 'without b'"):
        judged("ppo", PARTS, scores({FULL: 1, AGAIN: 1, left_out("a"): 1}), RULES)
    with pytest.raises(WrongRequest, match=r"no grid\.json"):
        judge(tmp_path)
    (tmp_path / "grid.json").write_text('{"kind": "grid"}')
    with pytest.raises(WrongRequest, match="found a grid"):
        judge(tmp_path)
    (tmp_path / "grid.json").write_text('{"kind": "ablation", "components": [1]}')
    with pytest.raises(RelookError, match="found it damaged"):
        judge(tmp_path)
    with pytest.raises(WrongRequest, match="--delta above 0"):
        judge(tmp_path, delta=-1)
