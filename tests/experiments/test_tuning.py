"""Searches: what may be searched over, what is drawn, who is pruned, and that a search goes on where it stood."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relook
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments import tuning
from relook.experiments.search import Search, reopened
from relook.experiments.spaces import Range, space_of
from relook.experiments.tuning import PAUSE, carry_out, clearly_behind, draw, rising
from relook.runs.reading import Run
from relook.statistics import tuning as judged
from relook.statistics.aggregates import Array
from relook.statistics.reports import number
from relook.statistics.tuning import RANDOM, START, TPE, Trial, Tried, batches, judge
from relook.training import work
from relook.workers import Task

DOCS = Path(__file__).parents[2] / "docs" / "tuning.md"
SMALL: dict[str, Any] = {"envs": 2, "horizon": 64, "minibatch": 64, "epochs": 2, "hidden": (8,)}
SPACE = {"learning_rate": "1e-5:1e-1:log", "gae_lambda": "0.5:1", "clip": "0.1,0.2,0.3"}


def search(**changed: Any) -> Search:
    asked: dict[str, Any] = {
        "algorithm": "ppo",
        "environment": EnvironmentSpec("CartPole-v1", max_episode_steps=30),
        "space": space_of("ppo", changed.pop("space", SPACE)),
        "steps": 640,
        "start": SMALL | {"learning_rate": 1e-5},
        "trials": 8,
        "at_once": 4,
        "seeds": 2,
        "finalists": 2,
        "final_seeds": 2,
        "confirm_seeds": 3,
        "evaluate_episodes": 1,
    }
    return Search(**asked | changed)


class Here:
    """Carries out units in this process, and is killed after so many of them."""

    workers, here = 1, True

    def __init__(self, units: float = np.inf) -> None:
        self.units = units

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        for task in tasks:
            if self.units <= 0:
                raise KilledError
            self.units -= 1
            work(task.run, task.unit, task.spec)
            watch()

    def close(self) -> None:
        """Nothing to close."""


class KilledError(BaseException):
    """As if nobody could catch it."""


# Drawing


def trial(number: int, values: Mapping[str, Any], *returns: Sequence[float], **more: Any) -> Trial:
    seeds = [Tried(np.array(own, dtype=np.float64), 100, failed=False) for own in returns]
    return Trial(number, RANDOM, values, seeds, more.get("pruned", False), more.get("waits", False))


def test_what_is_drawn_follows_from_the_search_the_batch_and_the_trials() -> None:
    asked = search(trials=14, at_once=6)
    first = draw(asked, 0, [])
    assert list(first) == [f"trial {k}" for k in range(6)]
    assert [sampler for sampler, _ in first.values()] == [START, *[RANDOM] * 5]
    assert first["trial 0"][1] == {"learning_rate": 1e-5, "gae_lambda": 0.9, "clip": 0.2}
    assert draw(asked, 0, []) == first
    assert draw(replace(asked, first_seed=20_000), 0, []) != first
    tried = [trial(k, values, [0.0, float(k)]) for k, (_, values) in enumerate(first.values())]
    second = draw(asked, 1, tried)
    assert [sampler for sampler, _ in second.values()] == [RANDOM] * 3 + [TPE] * 3
    assert draw(asked, 1, tried) == second
    others = [replace(one, seeds=trial(0, {}, [0.0, -float(one.number)]).seeds) for one in tried]
    other = draw(asked, 1, others)
    assert [own for own in other.values() if own[0] == RANDOM] == [own for own in second.values() if own[0] == RANDOM]
    assert other != second, "TPE learns from the scores"
    assert len(draw(asked, 2, [])) == 2, "the last batch is what is left"


def test_tpe_goes_where_scores_are_high() -> None:
    asked = search(trials=100, at_once=40, random=0.01)
    rates = np.geomspace(1.1e-5, 0.9e-1, 40)
    tried = [
        trial(k, {"learning_rate": float(r), "gae_lambda": 0.9, "clip": 0.2}, [0.0, -abs(np.log10(r) + 2)])
        for k, r in enumerate(rates)
    ]
    drawn = [values["learning_rate"] for sampler, values in draw(asked, 1, tried).values() if sampler == TPE]
    assert len(drawn) == 39
    assert np.mean([1e-3 < rate < 1e-1 for rate in drawn]) > 0.7, "random draws would be there half of the time"


def test_settings_that_do_not_fit_together_or_were_there_are_drawn_again() -> None:
    asked = search(space={"minibatch": "16,32,64,128", "horizon": "8,16,32"}, trials=7, at_once=7, steps=2000)
    drawn = [tuple(values.values()) for _, values in draw(asked, 0, []).values()]
    assert drawn[0] == (64, 64)
    assert all(minibatch <= 2 * horizon for minibatch, horizon in drawn)
    assert len(set(drawn)) == 7, "all of the twelve that fit, and the start"
    never = search(space={"minibatch": "256,512"}, trials=2, at_once=2)
    with pytest.raises(WrongRequest, match="of 100 settings that were drawn none did, such as minibatch="):
        draw(never, 0, [])


def test_a_start_outside_the_space_is_no_trial_of_the_samplers() -> None:
    asked = search(space={"learning_rate": "1e-3:1e-2", "clip": "0.1,0.3"})
    first = draw(asked, 0, [])
    assert first["trial 0"][1] == {"learning_rate": 1e-5, "clip": 0.2}
    tried = [trial(k, values, [0.0, float(k)]) for k, (_, values) in enumerate(first.values())]
    assert len(draw(asked, 1, tried)) == 4


def test_values_have_few_digits_and_stay_in_their_range() -> None:
    assert Range(1e-5, 1e-2, log=True).drawn(0.00123456) == 0.001235
    assert Range(0.12344, 0.2).drawn(0.12344) == 0.12344
    assert Range(3, 9).drawn(7) == 7


# Pruning

LENGTH = 11
LATER = 4
"""The evaluation at which trials pause, of eleven."""


def earlier() -> list[Array]:
    """Trials that were trained to the end: from bad ones that stay there to good ones."""
    return [np.linspace(-500, end, LENGTH) for end in (-480, -300, -200, -150, -120, -100, -90, -85)]


SLOW_STARTER = np.array([-500.0, -500, -500, -490, -420])
LAGGARD = np.array([-480.0, -415, -440, -450, -410])
FINE = [np.array([-500.0, -450, -350, -300, end]) for end in (-250, -200, -150)]


def test_who_rises_is_spared_and_who_stays_behind_is_not() -> None:
    """Both are in the lower half of their batch, and below the lower quartile of the earlier ones."""
    assert np.ceil(PAUSE * (LENGTH - 1)) == LATER
    assert np.quantile([curve[LATER] for curve in earlier()], 0.25) > max(SLOW_STARTER[-1], LAGGARD[-1])
    assert clearly_behind([SLOW_STARTER, LAGGARD, *FINE], earlier()) == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("curve", "rises"),
    [
        ([0.0, 1, 2, 3, 4], True),
        ([9.0, 1, 2, 3, 4], True),  # what it was before it had learned anything does not count
        ([0.0, 5, 1, 4, 5], False),
        ([0.0, 0, 0, 0, 0], False),
        ([0.0, 0, 0, 0, 0.1], True),
        ([0.0, 1, 2], True),
        ([0.0, 1], True),
        ([1.0, 0], False),
        ([3.0], False),
    ],
)
def test_what_rises(curve: list[float], rises: bool) -> None:
    assert rising(np.array(curve)) is rises


def test_the_usual_pruner_would_have_cut_the_slow_starter() -> None:
    import optuna

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=4))
    for curve in earlier():
        values = dict(enumerate(map(float, curve)))
        study.add_trial(optuna.trial.create_trial(value=float(curve[-1]), intermediate_values=values))
    asked = study.ask()
    for step, value in enumerate(map(float, SLOW_STARTER)):
        asked.report(value, step)
    assert asked.should_prune()


def test_nobody_is_behind_without_something_to_be_behind_of() -> None:
    low = [np.full(LATER + 1, -500.0)] * 3
    assert clearly_behind(low, earlier()[:3]) == [False] * 3, "few were trained to the end"
    assert clearly_behind([], earlier()) == []
    alike = [np.full(LENGTH, -500.0)] * 8
    assert clearly_behind(low, alike) == [False] * 3, "a floor that all start from"
    high, higher = np.full(LATER + 1, -499.0), np.full(LATER + 1, -498.0)
    assert clearly_behind([low[0], high, higher], earlier()) == [True, False, False], "the lower half at most"


# A whole search


@pytest.fixture
def third_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """In trainings of a second nobody is behind for sure: decide that the third trial of a batch is."""

    def behind(batch: Sequence[Array], earlier: Sequence[Array]) -> list[bool]:
        assert len(batch) == 4
        assert len(earlier) == 4
        assert all(len(curve) == 3 for curve in batch)
        return [place == 2 for place in range(len(batch))]

    monkeypatch.setattr(tuning, "clearly_behind", behind)


def said(out: Path) -> dict[str, Any]:
    """Everything that a search found but how long it took."""
    return {key: value for key, value in judged.as_json(judge(out)).items() if key != "seconds"}


def digests(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("*/run.json")) for row in Run(path.parent).agent_summaries]


def test_a_search_goes_on_where_it_was_killed(tmp_path: Path, third_is_behind: None) -> None:
    """After any unit of work: while trials train, at the pause, when some were pruned, and while it confirms."""
    asked, whole, parts = search(), tmp_path / "whole", tmp_path / "parts"
    found = carry_out(asked, whole, Here())
    kills = 0
    while True:
        try:
            carry_out(asked, parts, Here(units=1))
            break
        except KilledError:
            kills += 1
    assert kills == 5, "trials, trials until the pause, those that go on, the final, two units that confirm"
    assert digests(parts) == digests(whole)
    assert said(parts) == said(whole)
    made = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    carry_out(reopened(whole), whole, Here(units=0))
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()} == made
    _says_what_is_so(found, asked)


def _says_what_is_so(found: Any, asked: Search) -> None:
    assert [t.sampler for t in found.trials] == [START, *[RANDOM] * 3, *[RANDOM] * 2, *[TPE] * 2]
    assert [t.pruned for t in found.trials] == [False] * 6 + [True, False]
    assert {len(t.seeds) for t in found.trials} == {2}
    assert [seed.made for seed in found.trials[6].seeds] == [256, 256]
    assert found.steps == (7 * 2 * 640 + 2 * 256 + 2 * 2 * 640, 2 * 384)
    agents = [agent for run in batches(found.path) for agent in run.agents]
    assert {agent.seed for agent in agents} == {10_000, 10_001}
    assert {agent.seed for agent in found.confirmed.agents} == {0, 1, 2}
    last = Run(found.path / "final")
    assert {agent.seed for agent in last.agents} == {10_002, 10_003}
    ends = {t.number: np.mean([s.returns[-1] for s in t.seeds]) for t in found.trials if not t.pruned}
    finalists = sorted(ends, key=lambda number: -ends[number])[:2]
    assert {agent.arm for agent in last.agents} == {f"trial {number}" for number in finalists}
    of_final = {t.number: np.mean([s.returns[-1] for s in t.seeds]) for t in found.finalists}
    assert found.chosen.number == max(of_final, key=lambda number: of_final[number])
    tuned, default, start = (found.arms[name].hyperparameters for name in ("tuned", "default", "start"))
    assert {name: tuned[name] for name in asked.space} == dict(found.chosen.values)
    assert (tuned["hidden"], default["hidden"], start["hidden"]) == ([8], [64, 64], [8])
    assert (default["learning_rate"], start["learning_rate"]) == (1e-3, 1e-5)
    assert found.optimism == found.chosen.score(found.worst) - found.arms["tuned"].scores.mean()


def test_agents_of_trials_are_one_population(tmp_path: Path) -> None:
    asked = search(space={"learning_rate": "1e-4:1e-2:log", "hidden": "8,16"}, trials=4)
    run, _ = tuning.first_batch(asked, tmp_path / "s", Here())
    hidden = [tuple(agent.hyperparameters["hidden"]) for agent in run.agents]
    assert len(run.agents) == 8
    assert len(run.units) == len(set(hidden)) == 2, "structural hyper-parameters are units of work by themselves"
    numeric, _ = tuning.first_batch(search(trials=4), tmp_path / "n", Here())
    assert len(numeric.units) == 1
    assert "pause" not in numeric.record


def test_another_search_in_its_directory_is_refused(tmp_path: Path) -> None:
    tuning.first_batch(search(), tmp_path / "s", Here())
    wider = search(space=SPACE | {"learning_rate": "1e-6:1e-1:log"})
    with pytest.raises(WrongRequest, match=r"its space.learning_rate"):
        carry_out(wider, tmp_path / "s", Here())
    with pytest.raises(WrongRequest, match="its trials is 8, and asked for is 9"):
        carry_out(search(trials=9), tmp_path / "s", Here())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(WrongRequest, match="holds other files"):
        carry_out(search(), tmp_path / "other", Here())


class Fails(Here):
    """Fails some units of the first batch, by their numbers."""

    def __init__(self, units: Sequence[int]) -> None:
        super().__init__()
        self.failing = units

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        from relook.workers import record_failure

        for task in tasks:
            if task.run.path.name == "trials-000" and task.unit in self.failing:
                record_failure(task.run, task.unit, "MemoryError: none left")
            else:
                super().carry_out([task], watch)


def test_what_fails_is_a_trial_with_the_worst_score(tmp_path: Path) -> None:
    asked = search(space={"learning_rate": "1e-4:1e-2:log", "hidden": "8,16"}, trials=4, seeds=1, confirm_seeds=2)
    run, _ = tuning.first_batch(asked, tmp_path / "s", Here())
    lost = {agent.arm for agent in run.agents if agent.unit == 1}
    found = carry_out(asked, tmp_path / "s", Fails([1]))
    assert {f"trial {t.number}" for t in found.trials if t.failed} == lost
    assert all(t.score(found.worst) == found.worst for t in found.trials if t.failed)
    assert found.chosen.failed == 0
    assert f"note: a seed that failed scores {number(found.worst)}, the worst that was seen" in judged.heading(found)
    with pytest.raises(RelookError, match=r"2 of 2 units of work failed .*MemoryError: none left"):
        carry_out(asked, tmp_path / "t", Fails([0, 1]))


def test_from_python(tmp_path: Path) -> None:
    def again(units: int) -> Any:
        return relook.tune(
            "ppo",
            EnvironmentSpec("CartPole-v1", max_episode_steps=30),
            space={"learning_rate": Range(1e-4, 1e-2, log=True), "clip": [0.1, 0.3]},
            steps=640,
            trials=2,
            at_once=2,
            seeds=1,
            finalists=1,
            confirm_seeds=2,
            evaluate_episodes=1,
            out=tmp_path / "s",
            engine=Here(units),
            **SMALL,
        )

    found = again(units=3)
    assert len(found.trials) == 2
    assert [*found.arms] == ["tuned", "default", *([START] if found.chosen.sampler != START else [])]
    assert again(units=0).optimism == found.optimism
