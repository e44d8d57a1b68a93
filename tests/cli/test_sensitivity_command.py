"""`relook sensitivity`: what it reads, prints and writes, and what it refuses in one clear sentence."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.runs.reading import Run

TASKS = ("A-v0", "B-v0")


def table(path: Path, **changed: Any) -> Path:
    """Two methods with 3 × 2 settings and 4 seeds on two tasks; PPO wants another learning rate on each."""
    rng = np.random.default_rng(0)
    rows = [
        {"method": method, "task": task, "seed": seed, "step": 100, "learning_rate": rate, "Discount": discount}
        | {"score": 10.0 * (i - (task == "B-v0" and method == "ppo")) + rng.normal(), "time_limit": 10}
        for method, task, (i, rate), discount, seed in product(
            ("ppo", "a2c"), TASKS, enumerate((1e-4, 1e-3, 1e-2)), (0.9, 0.99), range(4)
        )
        for i in [-abs(i - 1 - (task == "B-v0" and method == "ppo"))]
    ]
    frame = pl.DataFrame(rows).with_columns(**{name: pl.lit(value) for name, value in changed.items()})
    frame.write_csv(path)
    return path


def sensitivity(*words: object) -> int:
    try:
        return main(["sensitivity", *map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)


def result(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert sensitivity(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The sentence with which it is refused."""
    assert sensitivity(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("relook: ")
    assert err.count("\n") == 1
    return err


NAMES = ("--hyperparameters", "learning_rate", "Discount")


def test_a_table_says_which_columns_are_hyper_parameters(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv")
    found = result(capsys, path, *NAMES)
    assert [*found["algorithms"]] == ["ppo", "a2c"]
    ppo, a2c = found["algorithms"].values()
    assert ppo["hyperparameters"] == ["learning_rate", "discount"]
    assert (ppo["halves"]["dimension_of"], a2c["halves"]["dimension_of"]) == (["learning_rate"], [])
    assert ppo["halves"]["sensitivity"]["low"] > 0
    assert a2c["halves"]["sensitivity"]["low"] < 0 < a2c["halves"]["sensitivity"]["high"]
    assert [*result(capsys, path, *NAMES, "--methods", "a2c")["algorithms"]] == ["a2c"]
    wide = result(capsys, path, *NAMES, "--alpha", "0.01")["algorithms"]["ppo"]["halves"]["sensitivity"]
    assert wide["low"] < ppo["halves"]["sensitivity"]["low"]


def test_runs_and_what_is_exported_of_them_say_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, train_here: Callable[..., Run]
) -> None:
    for name in ("CartPole-v1", "FrozenLake-v1"):
        train_here(tmp_path / name, EnvironmentSpec(name), seeds=(0, 1), learning_rate=[1e-3, 1e-1])
    found = result(capsys, tmp_path / "CartPole-v1", tmp_path / "FrozenLake-v1")
    own = found["algorithms"]["ppo"]
    assert found["environments"] == ["CartPole-v1", "FrozenLake-v1"]
    assert own["settings"] == [{"learning_rate": 1e-3}, {"learning_rate": 1e-1}]
    assert np.array(own["scores"]).shape == (2, 2, 2)
    run = Run(tmp_path / "CartPole-v1")
    finals = {
        (a.hyperparameters["learning_rate"], a.seed): s["final_return"]
        for a, s in zip(run.agents, run.agent_summaries, strict=True)
    }
    low, high = found["scale"]["CartPole-v1"]
    assert own["scores"][1][0] == pytest.approx([(finals[1e-1, seed] - low) / (high - low) for seed in (0, 1)])
    assert (
        main(
            [
                "export",
                str(tmp_path / "CartPole-v1"),
                str(tmp_path / "FrozenLake-v1"),
                "--out",
                str(tmp_path / "x.parquet"),
            ]
        )
        == 0
    )
    capsys.readouterr()
    again = result(capsys, tmp_path / "x.parquet")
    assert again["algorithms"]["ppo"]["scores"] == own["scores"]
    renamed = result(capsys, f"mine={tmp_path / 'CartPole-v1'}", f"mine={tmp_path / 'FrozenLake-v1'}")
    assert [*renamed["algorithms"]] == ["mine"]


def test_it_prints_tables_and_writes_them_with_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "values-old.png").write_text("of an older study")
    assert sensitivity(table(tmp_path / "x.csv"), *NAMES, "--out", out, "--baseline", "a2c") == 0
    said = capsys.readouterr().out
    for part in ("Sensitivity", "learning_rate=0.001, discount=", "halves", "Settings that score most"):
        assert part in said
    names = ["plane.png", "sensitivity.json", "sensitivity.md", "values-a2c.png", "values-ppo.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert "# Sensitivity" in (out / "sensitivity.md").read_text()
    assert [*json.loads((out / "sensitivity.json").read_text())["algorithms"]] == ["ppo", "a2c"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected several settings of ppo"),  # no column is named: but then each seed is there many times
        ((*NAMES, "--tasks", "A-v0"), "found A-v0 alone"),
        ((*NAMES, "--tasks", "C-v0"), "expected a task among A-v0, B-v0; found 'C-v0'"),
        ((*NAMES, "--methods", "pp"), "names are exact"),
        (("--hyperparameters", "learning_rat"), "expected a column learning_rat in"),
        ((*NAMES, "--baseline", "pp"), "expected --baseline with one of ppo, a2c; found 'pp'"),
        ((*NAMES, "--allow", "everything"), "expected --allow with one of"),
        ((*NAMES, "--alpha", "0.7"), "expected --alpha between 0 and 0.5; found 0.7"),
        ((*NAMES, "--steps", "10"), "expected an evaluation up to step 10"),
        ((*NAMES, "--score", "auc"), "expected evaluations over training"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    path = table(tmp_path / "x.csv")
    if not words:
        pl.read_csv(path).filter(learning_rate=1e-4, Discount=0.9).write_csv(path)
    assert said in refused(capsys, path, *words)


def test_what_must_not_be_mixed_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv")
    frame = pl.read_csv(path)
    some = (pl.col("method") == "a2c") & (pl.col("task") == "A-v0")
    for column, value, said in (
        ("step", 900, "different numbers of steps"),
        ("time_limit", 500, "different time limits"),
    ):
        frame.with_columns(pl.when(some).then(value).otherwise(column).alias(column)).write_csv(path)
        assert said in refused(capsys, path, *NAMES)
    tuning = frame.with_columns(seed=pl.when(some).then(pl.col("seed") + 10_000).otherwise("seed"))
    tuning.write_csv(path)
    assert "tuning seeds beside test seeds" in refused(capsys, path, *NAMES)
    frame.with_columns(seed=pl.col("seed") + 10_000).write_csv(path)
    assert sensitivity(path, *NAMES) == 0
    capsys.readouterr()
    frame.filter(~(some & (pl.col("learning_rate") == 1e-2))).write_csv(path)
    said = refused(capsys, path, *NAMES)
    assert "found no training of a2c learning_rate=0.01, discount=0.9 on A-v0, nor of 1 more" in said
    assert "relook sensitivity --hyperparameters NAME" in refused(capsys, path)
    frame.filter(learning_rate=1e-4, Discount=0.9).with_columns(hyperparameters=pl.lit("[[[")).write_csv(path)
    assert "expected several settings of" in refused(capsys, path)
    assert "found none" in refused(capsys)
