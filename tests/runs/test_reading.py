"""Opening a run: its tables, its agents, and what is refused."""

import json
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from relook.algorithms.ppo import METRICS
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.runs.files import LineWriter
from relook.runs.metrics import COMMON
from relook.runs.reading import Run


@pytest.fixture
def copied(tiny_run: Run, tmp_path: Path) -> Path:
    """A copy of the tiny run, to be damaged."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "copy"))


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `run.json`."""
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))


def test_tables_have_the_documented_rows_and_columns(tiny_run: Run) -> None:
    agents, iterations, evaluations, modes = 2, 4, 5, 2
    assert set(tiny_run.metrics.columns) == {"unit", "agent", "iteration", "steps", *COMMON, *METRICS}
    assert tiny_run.metrics.height == agents * iterations
    assert tiny_run.metrics["steps"].unique().sort().to_list() == [128, 256, 384, 512]
    assert tiny_run.evaluations.height == agents * evaluations * modes
    assert {"agent", "steps", "deterministic", "mean_return", "returns"} <= set(tiny_run.evaluations.columns)
    assert tiny_run.timing.height == iterations
    assert {"collect", "estimate", "update", "record", "evaluate"} <= set(tiny_run.timing.columns)
    assert tiny_run.events["event"].to_list() == ["checked", "networks", "finished"]
    trained = tiny_run.episodes.filter(pl.col("kind") == "training")
    assert trained.height == tiny_run.metrics["episodes"].sum()
    assert tiny_run.episodes.height == trained.height + agents * evaluations * modes


def test_the_summary_says_how_each_agent_ended(tiny_run: Run) -> None:
    last = tiny_run.evaluations.filter(pl.col("deterministic") & (pl.col("steps") == 512)).sort("agent")
    summaries = tiny_run.agent_summaries
    assert [row["final_return"] for row in summaries] == last["mean_return"].to_list()
    assert [(row["agent"], row["seed"], row["status"], row["steps"]) for row in summaries] == [
        (0, 0, "finished", 512),
        (1, 1, "finished", 512),
    ]


def test_a_table_holds_infinities_as_numbers(copied: Path) -> None:
    writer = LineWriter(copied / "units" / "0" / "metrics.jsonl")
    writer.write([{"agent": 0, "iteration": 4, "steps": 640, "value_loss": float("inf")}])
    writer.close()
    losses = Run(copied).metrics["value_loss"]
    assert losses.dtype == pl.Float64
    assert losses.is_infinite().sum() == 1


@pytest.mark.parametrize("index", [0, 1])
def test_an_agent_plays_its_recorded_deterministic_evaluation_again(tiny_run: Run, index: int) -> None:
    agent, env = tiny_run.agent(index), gym.make("CartPole-v1")
    [recorded] = tiny_run.episodes.filter(
        (pl.col("agent") == index) & pl.col("deterministic") & (pl.col("steps") == 512)
    ).to_dicts()
    for _ in range(2):
        total, done = 0.0, False
        observation, _ = env.reset(seed=recorded["reset_seed"])
        while not done:
            observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
            total, done = total + float(reward), terminated or truncated
        assert total == recorded["return"]


def test_a_stochastic_agent_repeats_itself_only_when_fresh(tiny_run: Run) -> None:
    observation = np.zeros(4, dtype=np.float32)

    def draw(index: int) -> list[int]:
        agent = tiny_run.agent(index)
        return [int(agent.act(observation, deterministic=False)) for _ in range(40)]

    first = draw(0)
    assert draw(0) == first
    assert set(first) == {0, 1}
    assert draw(1) != first


def test_an_agent_that_does_not_exist_is_refused(tiny_run: Run) -> None:
    with pytest.raises(WrongRequest, match="from 0 to 1; found 2"):
        tiny_run.agent(2)


def digests(run: Run) -> list[str]:
    """The digests of a run of one unit, as the contract describes them."""
    tensors = load_file(run.unit_directory(0) / "parameters.safetensors")
    learned = [tensors[name] for name in sorted(tensors) if not name.startswith("normaliser/")]
    return [
        sha256(b"".join(tensor[a].astype("<f4").tobytes(order="C") for tensor in learned)).hexdigest()
        for a in range(len(run.agents))
    ]


def test_the_digest_of_parameters_is_what_its_description_says(
    tiny_run: Run, tmp_path: Path, train_here: Callable[..., Run]
) -> None:
    normalised = train_here(
        tmp_path / "n", EnvironmentSpec("CartPole-v1"), normalise_observations=[True], hidden=[(3,)]
    )
    assert any(name.startswith("normaliser/") for name in normalised.parameters(0))
    for run in (tiny_run, normalised):
        summaries = [summary["parameters_sha256"] for summary in run.agent_summaries]
        assert summaries == digests(run)
        assert len(set(summaries)) == 2


@pytest.mark.parametrize("name", ["trap_module:function", "trap_module:Trap-v0"])
def test_a_record_that_names_code_imports_nothing(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "trap_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    rewrite(copied, lambda record: record["environment"].update(name=name))
    run = Run(copied)
    assert (run.metrics.height, run.agent_summaries[0]["status"]) == (8, "finished")
    with pytest.raises(WrongRequest, match=f"--env {name}"):
        run.environment()
    with pytest.raises(WrongRequest, match=f"--env {name}"):
        run.agent(0, env="trap_module:other")
    assert "trap_module" not in sys.modules
    assert run.environment(trusted=name).name == name
    with pytest.raises(SystemExit):
        run.agent(0, env=name)


@pytest.mark.parametrize("schema", [0, 2, 4, "3", None])
def test_another_schema_is_refused(copied: Path, schema: Any) -> None:
    rewrite(copied, lambda record: record.update(schema=schema))
    with pytest.raises(RelookError, match=r"of schema 3 in .*; found"):
        Run(copied)


def test_a_directory_without_a_record_is_no_run(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(WrongRequest, match=r"no run\.json"):
            Run(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1'])
def test_a_record_that_is_not_json_is_damaged(copied: Path, content: str) -> None:
    (copied / "run.json").write_text(content)
    with pytest.raises(RelookError, match=r"run\.json"):
        Run(copied)


@pytest.mark.parametrize(
    "damage",
    [
        {"agents": None},
        {"agents": [{"agent": 0}]},
        {"agents": [3]},
        {"steps": "many"},
        {"environment": {}},
        {"environment": None},
        {"environment": {"name": "CartPole-v1"}},
        {"algorithm": None, "agents": 3},
    ],
    ids=str,
)
def test_an_incomplete_record_is_damaged(copied: Path, damage: dict[str, Any]) -> None:
    rewrite(copied, lambda record: record.update(damage))
    with pytest.raises(RelookError, match="damaged"):
        Run(copied).environment()


@pytest.mark.parametrize("kept", [0, 5, 200, -10])
def test_damaged_parameters_are_an_error(copied: Path, kept: int) -> None:
    path = copied / "units" / "0" / "parameters.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    run = Run(copied)
    with pytest.raises(RelookError, match=r"parameters\.safetensors; found it damaged"):
        run.parameters(0)
    with pytest.raises(RelookError, match="damaged"):
        run.agent(0)


def test_a_unit_that_has_not_ended_has_no_parameters(copied: Path) -> None:
    unit = copied / "units" / "0"
    (unit / "parameters.safetensors").unlink()
    events = (unit / "events.jsonl").read_text().splitlines(keepends=True)
    (unit / "events.jsonl").write_text("".join(line for line in events if "finished" not in line))
    run = Run(copied)
    assert [(row["status"], row["parameters_sha256"]) for row in run.agent_summaries] == [("unfinished", None)] * 2
    with pytest.raises(RelookError, match="has not ended"):
        run.agent(0)


def test_a_torn_last_line_is_not_a_row(copied: Path) -> None:
    path = copied / "units" / "0" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert Run(copied).metrics.height == 7
