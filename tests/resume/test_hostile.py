"""Run directories that are damaged, or made to do harm: one clear sentence, and nothing outside is touched."""

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from relook.cli.main import main
from relook.errors import RelookError
from relook.runs import checkpoints
from relook.runs.files import MOST_BYTES
from relook.runs.reading import Run

Change = Callable[[Path], None]
UNIT = Path("units") / "0"


class Bomb:
    """Whoever unpickles this leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


def record(**changes: Any) -> Change:
    """Other entries of run.json; `...` takes one away."""

    def change(run: Path) -> None:
        path = run / "run.json"
        whole = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({name: value for name, value in whole.items() if value is not ...}))

    return change


def environment(**changes: Any) -> Change:
    def change(run: Path) -> None:
        whole = json.loads((run / "run.json").read_text())
        record(environment={**whole["environment"], **changes})(run)

    return change


def agent(**changes: Any) -> Change:
    def change(run: Path) -> None:
        first, *others = json.loads((run / "run.json").read_text())["agents"]
        record(agents=[{**first, **changes}, *others])(run)

    return change


def text(name: str | Path, content: str | bytes) -> Change:
    def change(run: Path) -> None:
        (run / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def flipped(name: str | Path, at: float) -> Change:
    """One bit is another, somewhere in a file."""

    def change(run: Path) -> None:
        content = bytearray((run / name).read_bytes())
        content[int(at * len(content))] ^= 4
        (run / name).write_bytes(bytes(content))

    return change


def cut(name: str | Path, share: float = 0.5) -> Change:
    def change(run: Path) -> None:
        os.truncate(run / name, int(share * (run / name).stat().st_size))

    return change


def grown(name: str | Path, size: int) -> Change:
    """A file with a hole in it, which takes no room."""
    return lambda run: os.truncate(run / name, size)


def link(name: str | Path) -> Change:
    """In place of a file or directory, a link to one outside that looks the same."""

    def change(run: Path) -> None:
        outside = run.parent / "outside" / Path(name).name
        shutil.move(run / name, outside)
        (run / name).symlink_to(outside)

    return change


def row(file: str, **changes: Any) -> Change:
    """Other entries in the last record of a file."""

    def change(run: Path) -> None:
        path = run / UNIT / f"{file}.jsonl"
        *lines, last = path.read_text().splitlines()
        path.write_text("\n".join([*lines, json.dumps({**json.loads(last), **changes})]) + "\n")

    return change


def tensors(change_them: Callable[[dict[str, np.ndarray[Any, Any]]], Any]) -> Change:
    def change(run: Path) -> None:
        path = run / UNIT / "parameters.safetensors"
        whole = load_file(path)
        change_them(whole)
        save_file(whole, path)

    return change


def actions(**changes: Any) -> Change:
    def change(run: Path) -> None:
        last = json.loads((run / UNIT / "episodes.jsonl").read_text().splitlines()[-1])
        row("episodes", actions={**last["actions"], **changes})(run)

    return change


SHOW, EVALUATE, PLOT = ("show",), ("evaluate", "--episodes", "1"), ("plot",)
VERIFY, RESUME = ("verify",), ("resume",)
PARAMETERS, DEEP = UNIT / "parameters.safetensors", "[" * 100_000

REFUSED: dict[str, tuple[Change, tuple[str, ...], str]] = {
    "no record": (lambda run: (run / "run.json").unlink(), SHOW, "expected the directory of a run"),
    "record cut": (cut("run.json"), SHOW, "expected .*run.json to be JSON"),
    "record empty": (text("run.json", ""), SHOW, "expected .*run.json to be JSON"),
    "record a list": (text("run.json", "[]"), SHOW, "to hold a JSON object; found list"),
    "record deep": (text("run.json", DEEP), SHOW, "expected .*run.json to be JSON"),
    "record binary": (text("run.json", bytes(range(256))), SHOW, "expected .*run.json to be JSON"),
    "record huge": (grown("run.json", MOST_BYTES + 1), SHOW, "it is larger"),
    "record a link": (link("run.json"), SHOW, "found a link to"),
    "schema newer": (record(schema=99), SHOW, "expected a run of schema 3 .*; found 99"),
    "schema older": (record(schema=1), SHOW, "expected a run of schema 3 .*; found 1"),
    "schema missing": (record(schema=...), SHOW, "expected a run of schema 3 .*; found None"),
    "agents missing": (record(agents=...), SHOW, "expected a complete record"),
    "agents a text": (record(agents="all"), SHOW, "expected a complete record"),
    "no agents": (record(agents=[]), SHOW, "expected a complete record"),
    "unit a path": (agent(unit="../../outside"), SHOW, "expected a complete record"),
    "unit negative": (agent(unit=-1), SHOW, "expected a complete record"),
    "seed a text": (agent(seed="zero"), SHOW, "expected a complete record"),
    "hyperparameters missing": (agent(hyperparameters={}), RESUME, "expected"),
    "steps a text": (record(steps="many"), SHOW, "expected a complete record"),
    "steps negative": (record(steps=-5), SHOW, "expected a complete record"),
    "algorithm unknown": (record(algorithm="os.system"), RESUME, "expected an algorithm among"),
    "algorithm a path": (record(algorithm="../ppo"), RESUME, "expected an algorithm among"),
    "environment imports code": (environment(name="exploding:Env-v0"), EVALUATE, "repeat it: --env exploding:Env-v0"),
    "environment a function": (environment(name="os:getcwd"), VERIFY, "relook imports nothing because a file says so"),
    "environment imports code, resumed": (environment(name="exploding:make"), RESUME, "repeat it: --env"),
    "networks import code": (
        record(actor_critic={"name": "exploding:make", "importable": True}),
        EVALUATE,
        "repeat it: --actor-critic exploding:make",
    ),
    "environment unknown": (environment(name="CartPole-v99"), EVALUATE, "CartPole-v99"),
    "environment arguments": (environment(arguments={"gravity": "down", "os": 1}), VERIFY, "refused the arguments"),
    "units a link": (link("units"), SHOW, "found a link to"),
    "unit a link": (link(UNIT), SHOW, "found a link to"),
    "metrics a link": (link(UNIT / "metrics.jsonl"), SHOW, "found a link to"),
    "metrics no JSON": (text(UNIT / "metrics.jsonl", "{}\nnonsense\n{}\n"), SHOW, "expected a JSON record on every"),
    "events numbers": (text(UNIT / "events.jsonl", "1\n2\n"), SHOW, "expected a JSON object on every line"),
    "events deep": (text(UNIT / "events.jsonl", DEEP + "\n"), SHOW, "expected a JSON record on every line"),
    "evaluations without a return": (row("evaluations", deterministic=True, mean_return="high"), SHOW, "expected"),
    "parameters cut": (cut(PARAMETERS), SHOW, "found it damaged"),
    "parameters empty": (text(PARAMETERS, ""), SHOW, "found it damaged"),
    "parameters a pickle": (text(PARAMETERS, pickle.dumps(Bomb())), EVALUATE, "found it damaged"),
    "parameters a link": (link(PARAMETERS), EVALUATE, "found a link to"),
    "parameters with a huge head": (text(PARAMETERS, (2**60).to_bytes(8, "little") + b"{}"), SHOW, "found it damaged"),
    "parameters missing": (lambda run: (run / PARAMETERS).unlink(), EVALUATE, "there is no"),
    "a tensor missing": (
        tensors(lambda whole: whole.pop("policy/0/weight")),
        EVALUATE,
        "expected parameters 'policy/0",
    ),
    "a tensor misshapen": (
        tensors(lambda whole: whole.update({"policy/0/weight": np.zeros((2, 4, 3), np.float32)})),
        EVALUATE,
        r"'policy/0/weight' of shape .*; found \[2, 4, 3\]",
    ),
    "a tensor of another type": (
        tensors(lambda whole: whole.update({"value/0/bias": whole["value/0/bias"].astype(np.float64)})),
        EVALUATE,
        "of type torch.float32; found torch.float64",
    ),
    "another agent's parameters": (
        tensors(lambda whole: whole.update({"value/0/bias": whole["value/0/bias"] + 1})),
        VERIFY,
        "the parameters of agent 0",
    ),
    "actions beyond the end": (actions(offset=10**9), VERIFY, "expected the actions of an episode"),
    "actions before the beginning": (actions(offset=-8), VERIFY, "expected the actions of an episode"),
    "actions that are objects": (actions(dtype="|O"), VERIFY, "expected the actions of an episode"),
    "actions of no type": (actions(dtype="os.system"), VERIFY, "expected the actions of an episode"),
    "actions without end": (actions(shape=[2**40]), VERIFY, "expected the actions of an episode"),
    "actions cut": (cut(UNIT / "actions.bin", 0.9), VERIFY, "expected the actions of an episode"),
    "actions changed": (flipped(UNIT / "actions.bin", 0.999), VERIFY, "differs"),
    "a digest changed": (row("episodes", digest="0" * 32), VERIFY, "somewhere in its .* steps"),
    "a length changed": (row("episodes", length=100_000), VERIFY, "it ends at step"),
    "a seed that is none": (row("episodes", reset_seed="one"), VERIFY, "differs"),
    "an ending changed": (row("episodes", ending="cut"), VERIFY, "now, and was cut"),
}


@pytest.fixture
def copied(tmp_path: Path, tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run, beside a directory that is none of its business."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "exploding.py").write_text("import os\nos.mkdir('exploded')\n")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run.path, tmp_path / "run")
    return tmp_path / "run"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_run_is_refused_with_one_sentence(
    name: str, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, (verb, *options), said = REFUSED[name]
    change(copied)
    before = contents(copied), contents(copied.parent / "outside")
    assert main([verb, str(copied), *options]) in (1, 2)
    printed = capsys.readouterr()
    sentence = printed.err.strip().splitlines()[-1]
    assert sentence.startswith("relook: ")
    assert "Traceback" not in printed.err + printed.out
    assert "failed: " not in sentence, "it was not foreseen"
    assert re.search(said, sentence), sentence
    assert (contents(copied), contents(copied.parent / "outside")) == before
    assert not (copied.parent / "exploded").exists()


def test_there_are_at_least_forty_of_them() -> None:
    assert len(REFUSED) + len(DAMAGED) >= 60


def newest(run: Path) -> Path:
    directory = run / UNIT / "checkpoints"
    return directory / f"{checkpoints.steps_of(directory)[0]:012d}"


def manifest(**changes: Any) -> Change:
    """Another manifest of the newest checkpoint, whose digests are right for what is there."""

    def change(point: Path) -> None:
        files = {}
        for name in ("tensors.safetensors", "record.json"):
            content = (point / name).read_bytes()
            files[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        whole = {"schema": 1, "steps": int(point.name), "files": files, **changes}
        (point / "manifest.json").write_text(json.dumps(whole))

    return change


def both(*changes: Change) -> Change:
    def change(point: Path) -> None:
        for one in changes:
            one(point)

    return change


ESCAPE = {"../../../../outside/secret": {"bytes": 1, "sha256": "0"}}
DAMAGED: dict[str, tuple[Change, str]] = {
    "no manifest": (lambda point: (point / "manifest.json").unlink(), "no file manifest.json"),
    "manifest cut": (cut("manifest.json"), "JSONDecodeError"),
    "manifest deep": (text("manifest.json", DEEP), "RecursionError"),
    "manifest a list": (text("manifest.json", "[]"), "TypeError"),
    "manifest newer": (manifest(schema=9), "schema 9"),
    "other steps": (manifest(steps=7), "7 steps"),
    "files that are elsewhere": (manifest(files=ESCAPE), "KeyError"),
    "tensors cut": (cut("tensors.safetensors"), "other than its manifest says"),
    "tensors flipped": (flipped("tensors.safetensors", 0.9), "other than its manifest says"),
    "tensors grown": (grown("tensors.safetensors", 10**10), "larger than"),
    "tensors a link": (link("tensors.safetensors"), "found a link"),
    "tensors a pickle": (both(text("tensors.safetensors", pickle.dumps(Bomb())), manifest()), "SafetensorError"),
    "no tensors": (lambda point: (point / "tensors.safetensors").unlink(), "no file tensors.safetensors"),
    "record flipped": (flipped("record.json", 0.5), "other than its manifest says"),
    "record a list": (both(text("record.json", "[]"), manifest()), "list in record.json"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_passed_over_with_a_reason(name: str, copied: Path) -> None:
    change, said = DAMAGED[name]
    point = newest(copied)
    (point.parent / "outside").mkdir()
    change(point)
    found, passed_over = checkpoints.newest(copied / UNIT / "checkpoints")
    assert found is not None
    assert found.steps < int(point.name)
    assert len(passed_over) == 1
    assert said in passed_over[0]
    with pytest.raises(RelookError, match=r"checkpoint|link"):
        checkpoints.read(copied / UNIT / "checkpoints", int(point.name))
    assert not (copied.parent / "exploded").exists()
