"""The mistakes that make a comparison mean nothing, each refused in one sentence, and what may be allowed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from relook.errors import WrongRequest
from relook.statistics.scores import Training, checked, of_table, score, select


def training(method: str = "A", seed: int = 0, **changed: Any) -> Training:
    facts = {"time_limit": "500", "evaluation_mode": "deterministic", "reward_scaling": "none"}
    steps = np.array([0.0, 500.0, 1000.0])
    curve = steps, np.array([0.0, 5.0, 10.0])
    made = Training(method, "CartPole-v1", seed, curve, 1000.0, facts=facts, configuration=method)
    return replace(made, **changed)


def two_methods(seeds: int = 5, **changed: Any) -> list[Training]:
    """A as it is, and B with something changed."""
    return [t for s in range(seeds) for t in (training("A", s), training("B", s, **changed))]


def facts(**changed: str) -> dict[str, str]:
    return {**training().facts, **changed}


MISTAKES = {
    "phases": (two_methods(phase="tune"), "tuning seeds beside test seeds of A"),
    "tuning": (two_methods(facts=facts(tuning_trials="100")), "tuned differently .*A: not said, B: 100"),
    "configurations": ([*two_methods(), training("A", 9, configuration="other")], "A has 2 configurations"),
    "budgets": (two_methods(budget=2000.0), "different numbers of steps .*1,000.*2,000.*--steps 1000"),
    "time-limit": (two_methods(facts=facts(time_limit="200")), "different time limits .*A: 500, B: 200"),
    "evaluation-mode": (two_methods(facts=facts(evaluation_mode="stochastic")), "different modes"),
    "reward-scaling": (two_methods(facts=facts(reward_scaling="0.1")), "scale the rewards .*differently"),
    "env-versions": (two_methods(task="CartPole-v0"), "CartPole-v0 and CartPole-v1 are different environments"),
}


@pytest.mark.parametrize("name", [*MISTAKES])
def test_a_mistake_is_refused_and_says_how_to_go_on(name: str) -> None:
    trainings, message = MISTAKES[name]
    with pytest.raises(WrongRequest, match=message) as caught:
        checked(trainings)
    assert f"--allow {name}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*MISTAKES])
def test_what_is_allowed_is_said_beside_the_result(name: str) -> None:
    trainings, _ = MISTAKES[name]
    found, notes = checked(trainings, [name])
    assert len(found) == len(trainings)
    assert any(note.startswith("allowed: ") for note in notes)


@pytest.mark.parametrize("other", [*MISTAKES])
def test_an_allowance_allows_nothing_else(other: str) -> None:
    trainings, message = MISTAKES[other]
    with pytest.raises(WrongRequest, match=message):
        checked(trainings, [name for name in MISTAKES if name != other])


def test_trainings_that_compare_are_let_through() -> None:
    found, notes = checked(two_methods())
    assert (len(found), notes) == (10, [])
    checked(two_methods(budget=1030.0))  # whole iterations of another length


def test_the_same_seed_twice_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(WrongRequest, match=r"the same seed is there twice.*A on CartPole-v1 with seed 3"):
        checked([*two_methods(), training("A", 3)], [*MISTAKES])


def test_tuning_seeds_alone_are_refused_too() -> None:
    with pytest.raises(WrongRequest, match="tuning seeds"):
        checked([replace(t, phase="tune") for t in two_methods()])


def test_every_method_must_be_on_every_task() -> None:
    with pytest.raises(WrongRequest, match=r"found none of B on Acrobot-v1.*--tasks"):
        checked([*two_methods(), training("A", 0, task="Acrobot-v1")])


def test_failed_trainings_stay_in_and_are_counted() -> None:
    found, notes = checked(two_methods(status="diverged"))
    assert len(found) == 10
    assert any("5 of 10 trainings failed and stay in" in note for note in notes)


def test_methods_and_tasks_are_chosen_by_their_exact_names() -> None:
    """ppo is not ppo-x."""
    trainings = [training("ppo"), training("ppo-x"), training("a2c")]
    assert [t.method for t in select(trainings, ["ppo"], [])] == ["ppo"]
    with pytest.raises(WrongRequest, match="expected a method among ppo, ppo-x, a2c; found 'pp'"):
        select(trainings, ["pp"], [])
    with pytest.raises(WrongRequest, match="expected a task among CartPole-v1; found 'CartPole'"):
        select(trainings, [], ["CartPole"])


def test_a_comparison_at_a_step_looks_no_further() -> None:
    longer = (np.array([0.0, 500.0, 1000.0, 2000.0]), np.array([0.0, 5.0, 10.0, 99.0]))
    found, _ = checked(two_methods(budget=2000.0, curve=longer), steps=1000)
    assert {score(t) for t in found} == {10.0}
    with pytest.raises(WrongRequest, match="expected an evaluation up to step 5"):
        checked([replace(training(), curve=(np.array([10.0]), np.array([1.0])))], steps=5)


def test_the_score_is_the_last_evaluations_or_the_area() -> None:
    assert score(training()) == 10
    assert score(training(), last=2) == 7.5
    assert score(training(), "auc") == 2.5
    with pytest.raises(WrongRequest, match="at least 4 evaluations"):
        score(training(), last=4)


def test_a_failed_training_scores_what_it_reached_or_what_was_declared() -> None:
    failed = training(status="crashed", budget=2000.0)
    assert score(failed) == 10
    assert score(failed, failed=-7.0) == -7
    assert score(training(), failed=-7.0) == 10
    assert score(failed, "auc") == (0 * 500 + 5 * 500 + 10 * 1000) / 2000  # it keeps what it had to the end
    nothing = training(status="diverged", curve=(np.array([1.0]), np.array([np.nan])))
    with pytest.raises(WrongRequest, match="--failed-score"):
        score(nothing)


# -- tables -----------------------------------------------------------------------------------------------------------

ROWS = "method,task,seed,step,score\nA,t,0,10,1\nA,t,0,20,3\nA,t,1,10,2\nA,t,1,20,5\n"


def table(tmp_path: Path, text: str) -> list[Training]:
    (tmp_path / "scores.csv").write_text(text)
    return of_table(tmp_path / "scores.csv")


def test_a_tidy_table_becomes_trainings(tmp_path: Path) -> None:
    found = table(tmp_path, ROWS)
    assert [(t.method, t.task, t.seed, t.budget, t.phase, t.status) for t in found] == [
        ("A", "t", 0, 20, "test", "ok"),
        ("A", "t", 1, 20, "test", "ok"),
    ]
    assert [c.tolist() for c in found[0].curve] == [[10, 20], [1, 3]]


def test_parquet_is_the_same(tmp_path: Path) -> None:
    from_csv = table(tmp_path, ROWS)
    pl.read_csv(tmp_path / "scores.csv").write_parquet(tmp_path / "scores.parquet")
    for one, other in zip(from_csv, of_table(tmp_path / "scores.parquet"), strict=True):
        assert str(one) == str(other)


def test_everything_that_a_table_says_is_taken_over(tmp_path: Path) -> None:
    [found] = table(
        tmp_path,
        "Method,task,seed,return_mean,status,phase,config_hash,tuning_trials,time_limit,evaluation_mode,episode_returns,wall_time\n"
        "A,t,3,7,crashed,tune,abc,50,200,stochastic,6;8,12.5\n",
    )
    assert (found.status, found.phase, found.configuration, found.seconds) == ("crashed", "tune", "abc", 12.5)
    assert found.facts == {"tuning_trials": "50", "time_limit": "200", "evaluation_mode": "stochastic"}
    assert found.episodes.tolist() == [6, 8]


def test_seeds_for_tuning_are_known_by_their_numbers(tmp_path: Path) -> None:
    [found] = table(tmp_path, "method,task,seed,score\nA,t,10000,1\n")
    assert found.phase == "tune"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,task,seed,max_return\nA,t,0,1\n", "expected a column score .*found max_return: the best of many"),
        ("method,task,seed,best\nA,t,0,1\n", "found best: the best of many"),
        ("method,seed,score\nA,0,1\n", "found no task among"),
        ("method,task,seed,score\nA,t,0,1\nA,t,0,2\n", "the same seed is there twice: expected one row of A on t"),
        (ROWS + "A,t,1,20,9\n", "the same seed is there twice: expected one row for each step"),
        ("method,task,seed,score\nA,t,x,1\n", "expected whole numbers as seeds"),
        ("method,task,seed,score\nA,t,0,\n", "expected a finite score of A on t, seed 0"),
        ("method,task,seed,score\nA,t,,1\n", "in every row"),
        ("method,task,seed,score\n", "found none"),
        ("method,task,seed,score,status\nA,t,0,1,odd\n", "expected ok, crashed, diverged, killed as status"),
        ("method,task,seed,score,phase\nA,t,0,1,odd\n", "expected test, tune as phase"),
        ("method,task,seed,score,episode_returns\nA,t,0,1,3;x\n", "expected episode_returns such as"),
        (ROWS.replace("score\n", "score,phase\n").replace("1\n", "1,test\n").replace("3\n", "3,tune\n"), "phase"),
        ("", "expected a table"),
    ],
)
def test_a_table_that_says_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WrongRequest, match=message):
        table(tmp_path, text)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match=r"expected a run's directory, a \.csv or a \.parquet"):
        of_table(tmp_path / "scores.xlsx")
    with pytest.raises(WrongRequest, match="no such file"):
        of_table(tmp_path / "scores.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(WrongRequest, match="expected a table"):
        of_table(tmp_path / "bad.parquet")
