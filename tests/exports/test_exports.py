"""What is written for other tools is what the run holds: read back with the tools themselves."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from relook.cli.main import main
from relook.exports import FORMATS
from relook.runs.reading import Run
from relook.runs.tidy import COLUMNS, histories, tidy
from relook.statistics.scores import of_run, of_table

Points = dict[int, float]
"""Value by step."""


def exported(run: Run, form: str, out: Path) -> Path:
    assert main(["export", str(run.path), "--to", form, "--out", str(out)]) == 0
    return out


def expected(run: Run) -> dict[int, dict[str, Points]]:
    """Agent → name → points, straight from the run's tables."""
    found: dict[int, dict[str, Points]] = {agent.agent: {} for agent in run.agents}
    for row in run.metrics.to_dicts():
        for name in ("policy_loss", "entropy", "updates"):
            found[row["agent"]].setdefault(f"training/{name}", {})[row["steps"]] = row[name]
    for row in run.evaluations.to_dicts():
        mode = "evaluation" if row["deterministic"] else "stochastic evaluation"
        found[row["agent"]].setdefault(f"{mode}/mean_return", {})[row["steps"]] = row["mean_return"]
    return found


def assert_same(found: dict[str, Points], agent: int, run: Run) -> None:
    for name, points in expected(run)[agent].items():
        assert found[name] == pytest.approx(points, rel=1e-6), name


def test_the_tidy_table_holds_every_number_of_every_table(tiny_run: Run, tmp_path: Path) -> None:
    frame = pl.read_parquet(exported(tiny_run, "parquet", tmp_path / "all.parquet"))
    assert frame.equals(tidy([tiny_run]))
    assert frame.columns == [*COLUMNS]
    for table in ("metrics", "evaluations", "episodes", "timing"):
        source: pl.DataFrame = getattr(tiny_run, table)
        own = frame.filter(pl.col("table") == table)
        places = {"unit", "agent", "iteration", "steps", "episode", "environment", "evaluation", "deterministic"}
        numbers = [name for name, kind in source.schema.items() if kind.is_numeric() and name not in places]
        assert set(own["name"]) == {name for name in numbers if source[name].count()}
        for name in numbers:
            assert own.filter(pl.col("name") == name)["value"].sum() == pytest.approx(source[name].sum())
    agents = frame.filter(pl.col("agent").is_not_null())
    assert dict(agents.select("agent", "seed").unique().rows()) == {a.agent: a.seed for a in tiny_run.agents}
    assert json.loads(agents["hyperparameters"][0])["horizon"] == 64
    assert agents["elapsed"].null_count() == 0


def test_two_runs_are_told_apart_in_one_table(tiny_run: Run, tmp_path: Path) -> None:
    both = tidy([tiny_run, Run(tiny_run.path)])
    assert len(both) == 2 * len(tidy([tiny_run]))
    assert set(both["run"]) == {str(tiny_run.path)}
    assert tidy([]).columns == [*COLUMNS]


@pytest.mark.parametrize("mode", ["deterministic", "stochastic"])
def test_a_comparison_reads_the_table_as_it_reads_the_run(tiny_run: Run, tmp_path: Path, mode: str) -> None:
    again = of_table(exported(tiny_run, "parquet", tmp_path / "all.parquet"), mode)
    for ours, theirs in zip(of_run(tiny_run, mode=mode), again, strict=True):
        assert (ours.method, ours.task, ours.seed, ours.status) == (
            theirs.method,
            theirs.task,
            theirs.seed,
            theirs.status,
        )
        assert ours.configuration == theirs.configuration
        assert ours.facts["time_limit"] == theirs.facts["time_limit"]
        assert [x.tolist() for x in ours.curve] == [x.tolist() for x in theirs.curve]


def test_tensorboard(tiny_run: Run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    out = exported(tiny_run, "tensorboard", tmp_path / "tb")
    for history, agent in zip(histories(tiny_run), tiny_run.agents, strict=True):
        events = EventAccumulator(str(out / history.name), size_guidance={"tensors": 0})
        events.Reload()
        found = {
            tag: {e.step: float(make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
            for tag in events.Tags()["tensors"]
        }
        assert_same(found, agent.agent, tiny_run)


def wandb_records(path: Path) -> list[bytes]:
    """The records of an offline run: a header of seven bytes, then blocks of 32 KiB as in LevelDB's log."""
    data = path.read_bytes()
    place, records, part = 7, [], b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part += data[place + 7 : place + 7 + length]
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(part)
            part = b""
        place += 7 + length
    return records


def test_weights_and_biases_without_a_network(tiny_run: Run, tmp_path: Path) -> None:
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    out = exported(tiny_run, "wandb", tmp_path / "wb")
    found: dict[str, dict[str, Points]] = {}
    for path in out.glob("wandb/offline-run-*/*.wandb"):
        name, points = "", dict[str, Points]()
        for bytes_ in wandb_records(path):
            record = Record.FromString(bytes_)
            if record.WhichOneof("record_type") == "run":
                name = record.run.display_name
                config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
                assert config["algorithm"] == "ppo"
                assert record.run.run_group == "ppo on CartPole-v1"
            if record.WhichOneof("record_type") == "history":
                items = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
                }
                for key, value in items.items():
                    points.setdefault(key, {})[items["step"]] = value
        found[name] = points
    for history, agent in zip(histories(tiny_run), tiny_run.agents, strict=True):
        assert_same(found[history.name], agent.agent, tiny_run)


def test_mlflow(tiny_run: Run, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    out = exported(tiny_run, "mlflow", tmp_path / "ml")
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("relook")
    assert experiment is not None
    written = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    for history, agent in zip(histories(tiny_run), tiny_run.agents, strict=True):
        run = written[history.name]
        assert run.info.status == "FINISHED"
        assert run.data.params["seed"] == str(agent.seed)
        assert run.data.params["horizon"] == "64"
        found = {
            name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
            for name in run.data.metrics
        }
        assert_same(found, agent.agent, tiny_run)


LOOK = """
import json, trackio
runs = {run.name: run for run in trackio.Api().runs("relook")}
from trackio.sqlite_storage import SQLiteStorage
print(json.dumps({name: [runs[name].config, SQLiteStorage.get_logs("relook", name)] for name in runs}))
"""


def test_trackio(tiny_run: Run, tmp_path: Path) -> None:
    """In processes of its own: trackio learns where to write when it is imported."""
    out = tmp_path / "tk"
    command = [sys.executable, "-m", "relook.cli", "export", str(tiny_run.path), "--to", "trackio", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    environment = os.environ | {"TRACKIO_DIR": str(out)}
    said = subprocess.run([sys.executable, "-c", LOOK], check=True, capture_output=True, text=True, env=environment)
    written: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    for history, agent in zip(histories(tiny_run), tiny_run.agents, strict=True):
        config, rows = written[history.name]
        assert config["seed"] == agent.seed
        found: dict[str, Points] = {}
        for row in rows:
            for name, value in row.items():
                found.setdefault(name, {})[row["step"]] = value
        assert_same(found, agent.agent, tiny_run)


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_written_over(tiny_run: Run, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.parquet").write_text("kept")
    arguments = ["export", str(tiny_run.path), "--to", form, "--out"]
    assert main([*arguments, str(tmp_path / "kept.parquet")]) == 2
    assert main([*arguments, str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("nothing is written over") == 2
    assert (tmp_path / "kept.parquet").read_text() == "kept"


def test_wrong_requests_are_refused(
    tiny_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = str(tiny_run.path), str(tmp_path / "x")
    for arguments, said in (
        (["--out", out], "at least one run"),
        ([path, "--out", out], "to end in .parquet"),
        ([path, path, "--to", "wandb", "--out", out], "different names"),
        ([path, "--to", "wandb", "--out", str(tmp_path / "no" / "x")], "there is no directory"),
        ([str(tmp_path), "--out", out], "no run.json"),
    ):
        assert main(["export", *arguments]) == 2
        assert said in capsys.readouterr().err
    for module in ("tensorboard", "tensorboard.summary"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "relook.exports.tensorboard", raising=False)
    assert main(["export", path, "--to", "tensorboard", "--out", out]) == 2
    assert "pip install '.[tensorboard]' in relook's folder" in capsys.readouterr().err
    assert not Path(out).exists()
