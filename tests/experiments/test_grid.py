"""Grids: what is planned, what a file may say, and that a grid goes on where it stood."""

import errno
import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import polars as pl
import pytest
from rich.console import Console

import relook
from relook.cli.grid import print_plan
from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.cost import Cost, Estimate, measure
from relook.experiments.engine import Embedded
from relook.experiments.grid import Grid, check_ended, from_toml, left, prepare_runs, reopened, spread
from relook.runs.reading import Run, opened
from relook.training import work
from relook.workers import record_failure

DOCS = Path(__file__).parents[2] / "docs" / "grids.md"
SMALL: dict[str, list[Any]] = {"envs": [2], "horizon": [16], "minibatch": [16], "hidden": [(8,)]}
TINY = "--envs 2 --horizon 16 --minibatch 16 --hidden 8 --steps 96 --evaluate-episodes 1 --workers 1"


def grid(**changed: Any) -> Grid:
    values = {"ppo": SMALL | {"epochs": [2], "learning_rate": [1e-3, 1e-2]}, "vpg": SMALL | {"value_epochs": [2]}}
    environments = [EnvironmentSpec("CartPole-v1"), EnvironmentSpec("Pendulum-v1", {"g": 9.0}, 20)]
    asked: dict[str, Any] = {"algorithms": values, "environments": environments, "seeds": [3, 1], "steps": 96}
    return Grid(**asked | changed)


def rows(runs: Any) -> pl.DataFrame:
    """How every agent of a grid ended, a row each: the same for the same grid, however it was carried out."""
    return pl.DataFrame(
        [{"run": run.path.name, **summary} for run in runs for summary in run.agent_summaries],
        infer_schema_length=None,
    )


def carry_out(tasks: Any) -> None:
    for task in tasks:
        work(task.run, task.unit, task.spec)


def test_a_run_for_each_algorithm_on_each_environment(tmp_path: Path) -> None:
    runs = prepare_runs(grid(), tmp_path / "g", 1)
    assert [run.path.name for run, _ in runs] == [
        "ppo-CartPole-v1",
        "ppo-Pendulum-v1-g=9.0",
        "vpg-CartPole-v1",
        "vpg-Pendulum-v1-g=9.0",
    ]
    assert [len(run.agents) for run, _ in runs] == [4, 4, 2, 2]
    assert {agent.seed for run, _ in runs for agent in run.agents} == {1, 3}
    assert [len(run.units) for run, _ in runs] == [1] * 4
    assert [run.path for run in opened(tmp_path / "g")] == sorted(run.path for run, _ in runs)


def test_more_workers_than_runs_share_the_agents(tmp_path: Path) -> None:
    runs = prepare_runs(grid(algorithms={"ppo": SMALL}), tmp_path / "g", 4)
    assert [len(run.units) for run, _ in runs] == [2, 2]


def test_a_grid_that_goes_on_is_the_grid_that_was_not_interrupted(tmp_path: Path) -> None:
    whole = prepare_runs(grid(), tmp_path / "whole", 1)
    carry_out(left(whole))
    parts = prepare_runs(grid(), tmp_path / "parts", 1)
    carry_out(left(parts)[:2])
    with pytest.raises(RelookError, match="the same command goes on from there"):
        check_ended([run for run, _ in parts], tmp_path / "parts")
    last = parts[3][0].path
    (last / "run.json").rename(last / "run.json.half")
    again = prepare_runs(grid(), tmp_path / "parts", 1)
    remaining = left(again)
    assert [task.run.path.name for task in remaining] == ["vpg-CartPole-v1", "vpg-Pendulum-v1-g=9.0"]
    carry_out(remaining)
    assert left(again) == []
    check_ended([run for run, _ in again], tmp_path / "parts")
    first, second = (rows([Run(run.path) for run, _ in runs]) for runs in (whole, again))
    assert first.equals(second)
    assert len(first) == 12
    assert first["parameters_sha256"].n_unique() == 12


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 128}, "its steps is 96, and asked for is 128"),
        ({"seeds": [3]}, r"its seeds is \[3, 1\], and asked for is \[3\]"),
        ({"environments": [EnvironmentSpec("CartPole-v1")]}, "its environments is"),
    ],
)
def test_another_grid_in_its_directory_is_refused(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    prepare_runs(grid(), tmp_path / "g", 1)
    with pytest.raises(WrongRequest, match=said):
        prepare_runs(grid(**changed), tmp_path / "g", 1)


def test_a_run_whose_settings_mean_something_else_by_now_is_refused(tmp_path: Path) -> None:
    (run, _), *_ = prepare_runs(grid(algorithms={"ppo": SMALL}), tmp_path / "g", 1)
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    was = record["agents"][1]["hyperparameters"]["discount"]
    record["agents"][1]["hyperparameters"]["discount"] = 0.5  # as if that had been the default
    (run.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(WrongRequest, match=rf"its agent 1 discount is 0\.5, and asked for is {was}"):
        prepare_runs(grid(algorithms={"ppo": SMALL}), tmp_path / "g", 1)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WrongRequest, match="holds other files"):
        prepare_runs(grid(), tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"algorithms": {}}, "at least one algorithm"),
        ({"environments": []}, "at least one algorithm and one environment"),
        ({"environments": [EnvironmentSpec("CartPole-v1")] * 2}, "found CartPole-v1 twice"),
        (
            {"environments": [EnvironmentSpec("x", function=lambda: gym.make("CartPole-v1"))]},
            "other processes can import",
        ),
        ({"presets": {"ppo": "nobody"}}, "a preset of ppo among"),
    ],
)
def test_what_is_no_grid_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        grid(**changed).requests()


def test_a_record_says_what_was_asked_for(tmp_path: Path) -> None:
    asked = grid(algorithms={"ppo": SMALL | {"target_kl": [float("inf"), 0.01]}}, presets={"ppo": "sb3"})
    prepare_runs(asked, tmp_path / "g", 1)
    assert reopened(tmp_path / "g").record() == asked.record()
    for damage in ("{}", "[]", '{"schema": 9}', '{"schema": 2, "kind": "grid", "algorithms": 3}'):
        (tmp_path / "g" / "grid.json").write_text(damage)
        with pytest.raises(RelookError, match=r"expected .*grid.json"):
            reopened(tmp_path / "g")


def test_hyperparameters_go_to_the_algorithms_that_have_them() -> None:
    assert spread(["ppo", "vpg"], {"discount": 0.9}, {"ppo": {"clip": [0.1, 0.2]}}) == {
        "ppo": {"discount": [0.9], "clip": [0.1, 0.2]},
        "vpg": {"discount": [0.9]},
    }
    assert spread(["ppo"], {"hidden": [8, 4], "learning_rate": 1}, {}) == {
        "ppo": {"hidden": [(8, 4)], "learning_rate": [1.0]}
    }
    assert spread(["ppo"], {"hidden": [[8, 4], [8]]}, {})["ppo"]["hidden"] == [(8, 4), (8,)]
    assert spread(["ppo", "vpg"], {"clip": 0.1}, {}) == {"ppo": {"clip": [0.1]}, "vpg": {}}
    with pytest.raises(WrongRequest, match=r"expected hyper-parameters of vpg; it has no clip$"):
        spread(["ppo", "vpg"], {}, {"vpg": {"clip": 0.1}})
    with pytest.raises(WrongRequest, match=r"it has no speed$"):
        spread(["ppo"], {"speed": 1}, {})


# Files


def test_the_documented_file_is_a_grid(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "study.toml").write_text(example)
    found = from_toml(tmp_path / "study.toml")
    assert found.algorithms["ppo"] == {
        "discount": [0.98, 0.99],
        "learning_rate": [1e-3, 3e-4],
        "hidden": [(64, 64), (256, 256)],
    }
    assert found.algorithms["trpo"] == {"discount": [0.98, 0.99], "target_kl": [0.02]}
    assert found.environments == [EnvironmentSpec("CartPole-v1"), EnvironmentSpec("Pendulum-v1", {"g": 9.0}, 100)]
    assert (list(found.seeds), found.steps) == (list(range(10)), 50_000)
    assert len(found.requests()) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("algorithms = [", "as TOML"),
        ("", r'expected algorithms = \["ppo"'),
        ('algorithms = "ppo"', "found 'ppo'"),
        ('algorithms = ["ppo"]\nstep = 5', "found 'step'"),
        ('algorithms = ["ppo"]\nppo = 5', "to be a table"),
        ('algorithms = ["ppo"]\nseeds = "many"', "whole numbers"),
        ('algorithms = ["ppo"]\nenvironments = [{id = "CartPole-v1"}]', "found an environment with 'id'"),
        ('algorithms = ["ppo"]\nenvironments = ["A"]\n[trpo]\nclip = 1', "found 'trpo'"),
        ('algorithms = ["nothing"]', "an algorithm among"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(WrongRequest, match=said):
        from_toml(tmp_path / "x.toml")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match="No such file"):
        from_toml(tmp_path / "x.toml")


# What it costs


def test_costs_add_up_as_workers_share_them() -> None:
    units = [Cost("r", i, 1, seconds, memory, 1.0) for i, (seconds, memory) in enumerate([(4, 1), (3, 5), (2, 2)])]
    assert (Estimate(units, 1).seconds, Estimate(units, 1).memory, Estimate(units, 1).disk) == (9, 5, 3)
    assert (Estimate(units, 2).seconds, Estimate(units, 2).memory) == (5, 7)


def test_a_smoke_costs_little_and_leaves_nothing(tmp_path: Path, work_here: None) -> None:
    replay = {"envs": [1], "hidden": [(8,)], "capacity": [500], "batch": [8]}
    runs = prepare_runs(
        grid(
            algorithms={"ppo": SMALL, "sac": replay},
            steps=50_000,
            environments=[EnvironmentSpec("Pendulum-v1", max_episode_steps=20)],
        ),
        tmp_path / "g",
        1,
    )
    found = measure(runs, tmp_path / "g", Embedded(1))
    assert [(cost.run, cost.agents) for cost in found.units] == [("ppo-Pendulum-v1", 2), ("sac-Pendulum-v1", 2)]
    assert all(cost.seconds > 1 and cost.memory > 2**20 and cost.disk > 2**16 for cost in found.units)
    assert not (tmp_path / "g" / ".smoke").exists()
    assert not any(run.unit_directory(unit).exists() for run, _ in runs for unit in run.units)


# The command


def test_the_command_plans_trains_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    out = tmp_path / "g"
    words = ["grid", "ppo", "vpg", "--env", "CartPole-v1", "--seeds", "2", "--learning-rate", "1e-3", "1e-4"]
    words += [*TINY.split(), "--out", str(out)]
    assert main([*words, "--plan"]) == 0
    said = capsys.readouterr().out
    assert "8 agents in 2 units of work; about" in said
    assert not any(path.name == "units" for path in out.glob("*/*"))
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "ppo-CartPole-v1" in said
    assert "1 of 1" in said
    assert f"relook compare {out}" in said
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")} == made, "nothing is done twice"
    assert main(["grid", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")} == made, "nor by its directory"
    assert "100%" in capsys.readouterr().out, "whole iterations are all there is to do"
    methods = ["ppo learning_rate=0.001", "vpg learning_rate=0.001"]
    assert main(["compare", str(out), "--methods", *methods, "--json"]) == 0
    assert main(["plot", str(out), "--out", str(tmp_path / "x.png")]) == 0
    assert main(["export", str(out), "--out", str(tmp_path / "x.parquet")]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ppo", "ppo", "--env", "CartPole-v1"], "different algorithms"),
        (["nothing", "--env", "CartPole-v1"], "an algorithm among"),
        (["ppo", "--env", "CartPole-v9"], "CartPole-v9"),
        (["ppo", "--env", "CartPole-v1", "--workers", "0"], "at least one worker"),
        (["ppo", "--env", "CartPole-v1", "--seeds", "0"], "at least one seed"),
        (["study.toml"], "expected a grid in study.toml"),
    ],
)
def test_wrong_requests_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grid", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_what_fails_at_once_stops_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Run, unit: int, *_: Any) -> None:
        record_failure(run, unit, "RuntimeError: no display")
        raise RuntimeError("no display")

    monkeypatch.setattr("relook.training.work", fail)
    out = tmp_path / "g"
    assert main(["grid", "ppo", "--env", "CartPole-v1", "--seeds", "1", *TINY.split(), "--out", str(out)]) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert "ppo-CartPole-v1 fails after a moment (RuntimeError: no display), so nothing was started" in err
    assert not [*out.glob("ppo-CartPole-v1/units/*")]


def test_from_python(tmp_path: Path, work_here: None) -> None:
    asked: dict[str, Any] = {"seeds": 2, "steps": 96, "evaluate_episodes": 1, "out": tmp_path / "g", "hidden": (8,)}
    asked |= {"envs": 2, "horizon": 16, "minibatch": 16, "own": {"ppo": {"clip": [0.1, 0.2]}}, "engine": Embedded(1)}
    runs = relook.grid(["ppo", "vpg"], ["CartPole-v1", EnvironmentSpec("Pendulum-v1", {"g": 9.0}, 20)], **asked)
    assert [len(run.agents) for run in runs] == [4, 4, 2, 2]
    assert all(run.has_ended(unit) for run in runs for unit in run.units)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "g").rglob("*.jsonl")}
    relook.grid(["ppo", "vpg"], ["CartPole-v1", EnvironmentSpec("Pendulum-v1", {"g": 9.0}, 20)], **asked)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "g").rglob("*.jsonl")} == made


# What goes wrong on the way


def test_what_fails_later_lets_the_rest_finish_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for one of three runs, and has room again later."""
    out, full = tmp_path / "g", [True]

    def breaks(run: Run, unit: int, *rest: Any) -> None:
        if full[0] and run.path.name == "trpo-CartPole-v1":
            record_failure(run, unit, "OSError: No space left on device")
            raise OSError(errno.ENOSPC, "No space left on device")
        work(run, unit, *rest)

    monkeypatch.setattr("relook.training.work", breaks)
    words = ["grid", "ppo", "trpo", "vpg", "--env", "CartPole-v1", "--seeds", "1", "--envs", "2", "--hidden", "8"]
    words += ["--steps", "1024", "--horizon", "128", "--evaluate-episodes", "1", "--workers", "1", "--out", str(out)]
    assert main(words) == 1
    err = " ".join(capsys.readouterr().err.split())
    assert (
        "1 of 3 units of work failed (trpo-CartPole-v1: OSError: No space left on device); the others are whole" in err
    )
    statuses = {run.path.name: run.agent_summaries[0]["status"] for run in opened(out)}
    assert statuses == {"ppo-CartPole-v1": "finished", "trpo-CartPole-v1": "crashed", "vpg-CartPole-v1": "finished"}
    full[0] = False
    assert main(words) == 0
    assert {run.agent_summaries[0]["status"] for run in opened(out)} == {"finished"}


def test_a_file_that_changed_meanwhile_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    study, out = tmp_path / "study.toml", tmp_path / "g"
    text = 'algorithms = ["ppo"]\nenvironments = ["CartPole-v1"]\nseeds = 2\nsteps = 96\nevaluate_episodes = 1\n'
    text += "[ppo]\nenvs = 2\nhorizon = 16\nminibatch = 16\nhidden = [8]\nlearning_rate = 1e-3\n"
    study.write_text(text)
    assert main(["grid", str(study), "--workers", "1", "--out", str(out)]) == 0
    study.write_text(text.replace("1e-3", "[1e-3, 1e-2]"))
    assert main(["grid", str(study), "--workers", "1", "--out", str(out)]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert f"expected the grid that {out} was made for; its algorithms ppo learning_rate is" in err
    assert "is [0.001], and asked for is [0.001, 0.01]: choose another --out" in err
    assert [len(run.agents) for run in opened(out)] == [2], "nothing was lost"


def test_a_plan_says_what_there_is_no_room_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [(run, _)] = prepare_runs(
        grid(algorithms={"ppo": SMALL}, environments=[EnvironmentSpec("CartPole-v1")]), tmp_path, 1
    )
    print_plan([run], Estimate([Cost(run.path.name, 0, 2, 1.0, 1e15, 1e18)], 1), run.path, Console())
    said = capsys.readouterr().out
    assert "note: of the memory, only" in said
    assert "note: of the disk, only" in said
    print_plan([run], Estimate([Cost(run.path.name, 0, 2, 1.0, 1.0, 1.0)], 1), run.path, Console())
    assert "note" not in capsys.readouterr().out


def test_a_value_for_all_holds_for_those_that_have_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TRPO has a trust region in place of a learning rate."""
    words = [
        "grid",
        "ppo",
        "trpo",
        "--env",
        "CartPole-v1",
        "Acrobot-v1",
        "--learning-rate",
        "1e-4",
        "3e-4",
        "--seeds",
        "2",
    ]
    assert main([*words, "--steps", "8192", "--plan", "--out", str(tmp_path / "grid")]) == 0
    printed, said = capsys.readouterr()
    assert "note: learning_rate holds for the others; trpo has no such thing" in said
    assert "12 agents" in printed
    rates = {
        run.path.name: {a.hyperparameters.get("learning_rate") for a in run.agents} for run in opened(tmp_path / "grid")
    }
    assert rates == {
        "ppo-CartPole-v1": {1e-4, 3e-4},
        "ppo-Acrobot-v1": {1e-4, 3e-4},
        "trpo-CartPole-v1": {None},
        "trpo-Acrobot-v1": {None},
    }
