"""Action spaces from words, trends against SciPy, and one finding for many agents."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from doctor.watch.watched_support import ITERATIONS, evaluations, flat, line, training
from relook.doctor.findings import Check, Finding
from relook.doctor.watch.judging import judge
from relook.doctor.watch.trends import attainable, returns_of, trend
from relook.doctor.watch.watched import Missing, Watched, actions_of, median_of
from relook.runs.reading import AgentRecord


@pytest.mark.parametrize(
    ("kind", "space", "middle", "half"),
    [
        ("Continuous(size=1)", "Box(-2.0, 2.0, (1,), float32)", [0], [2]),
        ("Continuous(size=2)", "Box([-1. -5.], [3.  0.5], (2,), float32)", [1, -2.25], [2, 2.75]),
        ("Continuous(size=6)", "Box(-1.0, 1.0, (2, 3), float64)", [0] * 6, [1] * 6),
    ],
)
def test_continuous_actions_from_words(kind: str, space: str, middle: list[float], half: list[float]) -> None:
    actions = actions_of(kind, space, rescaled=True)
    assert actions is not None
    assert (actions.middle.tolist(), actions.half.tolist(), actions.width) == (middle, half, len(middle))
    assert actions.bounded


def test_choices_from_words() -> None:
    for kind, sizes in (("Choices(sizes=(2,))", (2,)), ("Choices(sizes=(3, 4))", (3, 4))):
        actions = actions_of(kind, "anything", rescaled=True)
        assert actions is not None
        assert (actions.sizes, actions.width) == (sizes, len(sizes))
        assert actions.most_entropy() == pytest.approx(np.log(sizes).sum())


@pytest.mark.parametrize(
    ("kind", "space"),
    [
        ("Continuous(size=1)", "Dict()"),
        ("Continuous(size=2)", "Box([-1. ... -1.], [1. ... 1.], (2,), float32)"),
        ("Continuous(size=999999999)", "Box(-2.0, 2.0, (1,), float32)"),
        ("Choices(sizes=())", ""),
        ("Choices(sizes=(0,))", ""),
        ("__import__('os')", ""),
    ],
)
def test_words_that_are_not_understood_are_no_actions(kind: str, space: str) -> None:
    assert actions_of(kind, space, rescaled=True) is None


def test_unbounded_actions_have_no_middle() -> None:
    actions = actions_of("Continuous(size=1)", "Box(-inf, inf, (1,), float32)", rescaled=True)
    assert actions is not None
    assert not actions.bounded


@pytest.mark.parametrize("seed", range(8))
def test_trends_are_theil_and_sens_and_kendalls(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=60).round(1) + np.linspace(0, seed / 2, 60)
    found, x = trend(values), np.linspace(0, 1, 60)
    assert found.change == pytest.approx(scipy.stats.theilslopes(values, x)[0])
    assert found.p == pytest.approx(scipy.stats.kendalltau(x, values).pvalue, rel=0.25)
    assert found.rises == (found.p < 1e-3 and found.change > 0)


def test_trends_of_long_short_and_equal_series() -> None:
    assert trend(np.linspace(0, 1, 100_000)).rises
    assert trend(-np.linspace(0, 1, 100_000)).falls
    assert trend(np.ones(50)) == trend(np.arange(3.0)) == (0.0, 1.0)
    with_gaps = np.where(np.arange(60) % 3 == 0, np.nan, np.arange(60.0))
    assert trend(with_gaps).rises


def test_returns_that_rise_fall_and_stay() -> None:
    up, down, still = (returns_of(training({"episode_return": x})) for x in (line(20, 400), line(400, 20), flat(20)))
    assert (up.gained, up.lost) == (True, False)
    assert (down.gained, down.lost) == (False, True)
    assert (still.gained, still.lost, still.differ) == (False, False, True)
    assert not returns_of(training({"episode_return": np.full(ITERATIONS, -500.0)})).differ
    learned_at_once = training(
        {"episode_return": flat(-85, 0.05)}, evaluations=evaluations([[-500.0] * 5], deterministic=False)
    )
    assert returns_of(learned_at_once).gained
    with pytest.raises(Missing):
        returns_of(training({"episode_return": np.full(ITERATIONS, np.nan)}))


def test_what_values_can_reach() -> None:
    assert attainable(training(), 0.99) == pytest.approx(100)  # 1 at every step
    sparse = training({"episode_return": flat(1.0, 0), "episode_length": line(50, 10, 0)})
    assert attainable(sparse, 0.9) == pytest.approx(1.0)
    dense = training({"episode_return": line(-1600, -200, 0), "episode_length": np.full(ITERATIONS, 200.0)})
    assert attainable(dense, 0.99) == pytest.approx(1600)
    with pytest.raises(Missing):
        attainable(training({"episode_return": np.zeros(ITERATIONS)}), 0.9)
    with pytest.raises(Missing):
        attainable(training(), 1.0)


def test_a_median_of_nothing_is_missing() -> None:
    assert median_of(np.array([1.0, np.nan, 3.0])) == 2
    with pytest.raises(Missing):
        median_of(np.array([np.nan]))


class Odd:
    """Finds something in agents with an odd seed; an error where it is 5; agents without a seed cannot be looked at."""

    CHECK = Check("odd", "record", "Seeds are even.", ("a", "b", "c"), "Choose others.", "")

    def look(self, watched: Watched) -> Iterator[Finding]:
        seed = watched.agent.seed
        if seed % 2:
            severity = "error" if seed == 5 else "warning"
            yield Finding(self.CHECK, severity, f"expected an even seed; found {seed}", "", {"excess": float(seed)})  # type: ignore[arg-type]
        if seed >= 100:
            raise Missing("a small seed")


def agents(seeds: list[int], rates: list[float]) -> list[Watched]:
    base = training()
    return [
        replace(base, agent=AgentRecord(i, seed, 0, {"learning_rate": rate}))
        for i, (seed, rate) in enumerate((seed, rate) for rate in rates for seed in seeds)
    ]


def test_one_finding_for_all_agents_of_a_setting() -> None:
    [finding] = judge(agents([0, 1, 3, 7], [1e-3]), [Odd()]).findings
    assert finding.subject == "3 of 4 agents (1, 2, 3); worst agent 3 (seed 7)"
    assert finding.figures["agents"] == [1, 2, 3]
    assert finding.evidence.endswith("found 7")
    [finding] = judge(agents([0, 1, 5, 7], [1e-3]), [Odd()]).findings
    assert (finding.severity, finding.figures["agent"]) == ("error", 2)  # an error is worse than any warning
    [one] = judge(agents([1], [1e-3]), [Odd()]).findings
    assert one.subject == "agent 0 (seed 1)"


def test_settings_are_named_and_errors_come_first() -> None:
    found = judge(agents([1, 0], [1e-3, 1e-2]) + agents([5], [1e-1]), [Odd()]).findings
    assert [finding.severity for finding in found] == ["error", "warning", "warning"]
    assert found[0].subject.startswith("learning_rate=0.1: agent 0 (seed 5)")
    assert found[1].subject.startswith("learning_rate=0.001: agent 0 (seed 1) of 2")


def test_a_check_is_skipped_where_no_agent_can_be_looked_at() -> None:
    report = judge(agents([100, 102], [1e-3]), [Odd()])
    assert (report.looked, report.skipped, report.findings) == (0, {"odd": "a small seed"}, [])
    report = judge(agents([100, 2], [1e-3]), [Odd()])
    assert (report.looked, report.skipped) == (1, {})
    assert len(judge(agents([101], [1e-3]), [Odd()]).findings) == 1  # what was found before something was missing


def test_actions_in_the_policys_units() -> None:
    box = actions_of("Continuous(size=2)", "Box([-1. -5.], [3.  0.5], (2,), float32)", rescaled=True)
    assert box is not None
    assert box.to_policy(np.array([[3.0, 0.5], [1.0, -2.25]])).tolist() == [[1, 1], [0, 0]]
