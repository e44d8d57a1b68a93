"""docs/benchmarks.md is what the evaluations of its rows say."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import polars as pl
import pytest
from benchmarks.learning import computing, nine, rows
from benchmarks.learning.__main__ import keep
from benchmarks.learning.page import (
    PAGE,
    README,
    REPLACED,
    came_of,
    finals,
    of_others,
    page,
    published,
    readme,
    rounded,
    trainings,
)
from benchmarks.learning.published import TABLE, means
from benchmarks.learning.rows import AGAIN, BY_NAME, PLANNED, ROWS, SEARCHES, STUDIES, Row, Search
from benchmarks.public_scores import Missing
from gymnasium.spaces import Box, Discrete

from relook.algorithms import ALGORITHMS
from relook.cli import grid, tune
from relook.cli.main import main
from relook.envs import EnvironmentSpec, time_limit
from relook.experiments.grid import defaults_of
from relook.runs.reading import Run
from relook.statistics.aggregates import Scores, mean_interval
from relook.statistics.references import reference
from relook.statistics.scores import of_table
from relook.statistics.significance import mean_difference

EARLIER = ("replay-td3-halfcheetah-v5", "replay-ddpg-halfcheetah-v5")
"""Rows that were trained when their `--learning-starts 1000` was the default, and did not have to be typed."""
CARRIED_OUT = [row for row in PLANNED if row.table.exists()]


def test_the_page_is_what_its_rows_say() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert page() == written, "run python -m benchmarks.learning page"
    for image in re.findall(r"\]\((images/[^)]+)\)", written):
        assert (PAGE.parent / image).is_file()


def test_the_readme_has_the_same_numbers() -> None:
    assert readme() == README.read_text(encoding="utf-8"), "run python -m benchmarks.learning page"


@pytest.mark.parametrize("row", CARRIED_OUT, ids=lambda row: row.name)
def test_no_seed_is_left_out(row: Row) -> None:
    found = trainings(row)
    assert sorted(training.seed for training in found) == list(range(row.first_seed, row.first_seed + row.seeds))
    assert all(training.failed or training.curve[0][-1] >= 0.95 * row.steps for training in found)
    assert all(training.hyperparameters == row.settings for training in found)
    typed = row.command.replace(" --learning-starts 1000", "") if row.name in EARLIER else row.command
    assert pl.read_parquet_metadata(row.table)["command"] == typed


@pytest.mark.parametrize("search", [search for search in SEARCHES if search.report.exists()], ids=lambda s: s.name)
def test_a_search_is_the_one_that_was_carried_out(search: Search) -> None:
    asked, _ = tune.requested(search.command.split()[2:])
    assert json.loads(search.report.with_suffix(".json").read_text(encoding="utf-8"))["search"] == asked.record()


def test_a_row_keeps_every_evaluation_of_every_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    words = f"train a2c --env CartPole-v1 --seeds 2 --steps 2048 --evaluate-episodes 2 --out {tmp_path}/run"
    assert main(words.split()) == 0
    row, run = Row("classic", "a2c", "CartPole-v1", 2048, seeds=2), Run(tmp_path / "run")
    keep(row, run)
    kept = of_table(row.table)
    assert [training.seed for training in kept] == [0, 1]
    evaluated = run.evaluations.filter(pl.col("agent") == 1, pl.col("deterministic")).sort("steps")
    assert [list(numbers) for numbers in kept[1].curve] == [
        evaluated[key].to_list() for key in ("steps", "mean_return")
    ]
    about = pl.read_parquet_metadata(row.table)
    assert about["command"] == row.command
    assert all(training.hyperparameters == row.settings for training in kept)
    assert all(training.hyperparameters != replace(row, options="--discount 0.5").settings for training in kept)


def test_the_page_of_all_nine_is_what_their_rows_say() -> None:
    written = nine.PAGE.read_text(encoding="utf-8")
    assert nine.page(nine.compared()) == written, "run python -m benchmarks.learning page"
    for image in re.findall(r"\]\((images/[^)]+)\)", written):
        assert (nine.PAGE.parent / image).is_file()


def test_what_a_step_costs_is_the_time_of_a_short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row.algorithm for row in nine.timed()] == [*ALGORITHMS]
    monkeypatch.setitem(computing.WITH_REPLAY, "dqn", "--learning-starts 64 --iteration 64 --steps 320")
    row = Row("nine", "dqn", "CartPole-v1", 320, seeds=2)
    began = time.perf_counter()
    assert 0 < computing.seconds(row) * 64 * 4 < time.perf_counter() - began
    stages = {"collect": [9.0, 0.25, 0.5, 0.25], "update": [0.0, 1.0, 3.0, 2.0], "evaluate": [5.0, 5.0, 5.0, 5.0]}
    timing = pl.DataFrame({"unit": 0, "steps": [10, 20, 30, 40], **stages})
    assert computing.per_step(timing) == pytest.approx(2.25 / 10)


def test_the_page_of_all_nine_puts_the_best_first_and_tells_what_they_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = pl.read_parquet(CARRIED_OUT[0].table).filter(pl.col("seed") < 5)
    scale = reference().scores
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(nine, "trainings", lambda row: of_table(row.table))
    for row in nine.told():
        known.write_parquet(row.table)
    monkeypatch.setattr(computing, "TABLE", tmp_path / "computing.csv")
    slower = iter([*[1.0] * 9, *[2.0] * 9, *[4.0] * 8, 4.4])  # from round to round, SAC in the last one most
    monkeypatch.setattr(computing, "seconds", lambda row: ([*ALGORITHMS].index(row.algorithm) + 1) * next(slower))
    computing.measure(nine.timed())
    for row in rows.COMMON:  # the k-th algorithm reaches k tenths of good behaviour, and costs k times as much
        k = [*ALGORITHMS].index(row.algorithm) + 1
        low, high = scale[row.task]
        score = low + (high - low) * (k / 10 + pl.col("seed") / 1000)
        table = known.with_columns(
            algorithm=pl.lit(row.algorithm), method=pl.lit(row.algorithm), task=pl.lit(row.environment), value=score
        )
        table.write_parquet(row.table)
    assert nine.carried_out()
    found = nine.compared()
    short = nine.in_short(found).rows
    assert [row[0] for row in short] == ["SAC", "TD3", "DDPG", "DQN", "PPO", "TRPO", "A2C", "VPG", "REINFORCE"]
    assert short[0][-2:] == ["1.8×", "1.8 … 2"]
    assert [row[-2] for row in short] == [f"{k / 5:.2g}×" for k in range(9, 0, -1)]
    for place, [_, *chances] in enumerate(nine.everyone(found, nine.pairs(found)).rows):
        assert chances == ["100%"] * place + [""] + ["0%"] * (8 - place)
    text = nine.page(found)
    assert "the chance of SAC is 100% [" in " ".join(text.split())
    assert "a step of SAC costs 1.8 times the computing of one of PPO, one of TD3 1.6 times" in " ".join(text.split())
    assert "cost 185% of what 300,000 of SAC do" in text
    assert all(f"images/which-{name}.png" in text for name in ("intervals", "profiles", "improvement"))


def test_the_page_of_all_nine_recommends_what_its_figures_do() -> None:
    found = nine.compared()
    reached, chances = {method: own["IQM"].value for method, own in found.aggregates.items()}, nine.pairs(found)
    assert sorted(reached, key=lambda method: -reached[method])[:2] == ["SAC", "TD3"]
    assert reached["REINFORCE"] < reached["VPG"] < reached["A2C"] < reached["PPO"]
    close = mean_difference(nine.arms(found)["SAC"], nine.arms(found)["TD3"])
    assert close.low < 0 < close.high
    [trpo] = [difference for difference in found.differences if difference.first == "TRPO"]
    assert str(trpo.verdict) == "undecided"
    for pair in (("TRPO", "PPO"), ("VPG", "A2C")):  # of which the page says that it is open
        assert chances[pair].low < 0.5 < chances[pair].high
    assert max(chances["REINFORCE", "PPO"].high, chances["VPG", "PPO"].high, chances["A2C", "PPO"].high) < 0.5


def test_single_rows_differ_where_the_page_of_all_nine_says_so_and_only_there() -> None:
    of = {row.name: Scores([finals(row)]) for row in ROWS if row.table.exists()}
    for higher, lower in (
        ("replay-sac-halfcheetah-v5", "million-ppo-halfcheetah-v5"),
        ("classic-dqn-lunarlander-v3", "classic-ppo-lunarlander-v3"),
        ("replay-sac-walker2d-v5", "replay-td3-walker2d-v5"),
        ("replay-sac-halfcheetah-v5", "nine-dqn-halfcheetah-v5"),
        ("replay-sac-walker2d-v5", "nine-dqn-walker2d-v5"),
        ("replay-td3-walker2d-v5", "replay-ddpg-walker2d-v5"),
    ):
        assert mean_difference(of[higher], of[lower]).low > 0
    for one, other in (
        ("million-ppo-walker2d-v5", "replay-sac-walker2d-v5"),
        ("million-ppo-hopper-v5", "replay-sac-hopper-v5"),
        ("replay-ddpg-halfcheetah-v5", "replay-td3-halfcheetah-v5"),
    ):
        found = mean_difference(of[one], of[other])
        assert found.low < 0 < found.value < found.high


def test_rows_that_the_page_of_all_nine_shows_are_as_far_apart_as_it_seems() -> None:
    mean = {row.name: finals(row).mean() for row in ROWS if row.table.exists()}
    assert mean["classic-ppo-mountaincar-v0"] > mean["classic-dqn-mountaincar-v0"]
    assert mean["nine-dqn-pendulum-v1"] > mean["nine-sac-pendulum-v1"] - 20
    assert mean["nine-dqn-halfcheetah-v5"] < mean["replay-sac-halfcheetah-v5"] / 2
    assert mean["replay-ddpg-walker2d-v5"] < mean["replay-td3-walker2d-v5"] / 2


def test_the_page_of_all_nine_tells_what_failed() -> None:
    curves = {row.name: np.array([training.curve[1] for training in trainings(row)]) for row in rows.COMMON}
    random, _ = reference().scores["Pendulum-v1"]
    low, high = mean_interval(curves["nine-vpg-pendulum-v1"][:, -1])
    assert low < random < high
    assert mean_interval(curves["nine-a2c-pendulum-v1"][:, -1])[1] < random
    fell = {name: curves[f"nine-{name}-invertedpendulum-v5"].min(0)[-2:] for name in ("sac", "td3")}
    assert list(fell["sac"] < 200) == [False, True]
    assert list(fell["td3"] < 200) == [True, False]
    assert (np.diff(curves["nine-dqn-halfcheetah-v5"].mean(0)[-4:]) > 0).all()


@pytest.mark.parametrize(
    ("value", "exact", "same"),
    [(0.0016, 0.001634, True), (0.99, 0.9896, True), (0.915, 0.9145, True), (0.99, 0.9816, False), (64, 64, True)],
)
def test_a_setting_is_rounded_to_the_digits_that_it_has(value: float, exact: float, same: bool) -> None:
    assert rounded(value, exact) == same


def test_a_preset_that_is_exactly_where_a_search_started_is_not_what_it_chose_rounded() -> None:
    assert came_of(next(search for search in SEARCHES if search.about == "more-entropy")) == "what it started from"


def test_rows_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(ROWS) + len(AGAIN) + len(SEARCHES)


def test_every_row_stands_in_a_table_and_asks_for_what_exists() -> None:
    assert {row.study for row in ROWS} == {*STUDIES}
    for row in PLANNED:
        asked, form = grid.requested(row.command.split()[2:])
        [request] = asked.requests().values()
        assert [request.algorithm, request.environment.name, request.steps, form.out] == [
            row.algorithm,
            row.environment,
            row.steps,
            row.out,
        ]
        assert row.settings.keys() == defaults_of(row.algorithm, None).keys()


def test_rows_that_trained_again_have_the_same_settings_and_others_than_before() -> None:
    for row, again in AGAIN.items():
        assert again.settings == row.settings
        earlier = [training for path in REPLACED.glob(f"{row.name}-*.parquet") for training in of_table(path)]
        assert earlier
        assert all(training.hyperparameters != row.settings for training in earlier)


def test_published_means_of_curves_stand_at_the_steps_of_the_row() -> None:
    found = {row.name: [(published()[place - 1]["name"], *value) for place, *value in of_others(row)] for row in ROWS}
    assert ("TD3's authors, -v1", 3335.5, "[2,614, 4,057]") in found["replay-td3-walker2d-v5"]
    assert ("FlashSAC's PPO, -v4", 998.7, "[872.1, 1,125]") in found["million-ppo-ant-v5"]
    from_curves = {source["name"] for source in published() if "curves" in source}
    assert sum(name in from_curves for others in found.values() for name, *_ in others) == 10


@pytest.mark.parametrize(("task", "count"), [("Pendulum-v1", 3), ("Hopper-v5", 27), ("HalfCheetah-v5", 729)])
def test_ends_are_choices_among_actions_of_the_task(task: str, count: int) -> None:
    chooses, moves = EnvironmentSpec(f"{rows.ENDS}{task}").make(), gymnasium.make(task)
    choice_of, space, actions = chooses.action_space, moves.action_space, chooses.get_wrapper_attr("choices")
    assert isinstance(choice_of, Discrete)
    assert isinstance(space, Box)
    assert choice_of.n == count == len(np.unique(actions, axis=0))
    assert {*np.unique(actions)} == {*space.low, *space.high, 0.0}
    assert time_limit(chooses) == time_limit(moves)
    chooses.reset(seed=3)
    moves.reset(seed=3)
    for choice in (0, 1, count - 1):
        (seen, *rest), (wanted, *others) = chooses.step(choice), moves.step(actions[choice])
        np.testing.assert_array_equal(seen, wanted)
        assert rest[:3] == others[:3]


def test_published_curves_are_the_means_of_the_raw_ones() -> None:
    try:
        found = means()
    except Missing as missing:
        pytest.skip(str(missing))
    assert found.write_csv() == TABLE.read_text(encoding="utf-8")
