"""What a node does with a unit: in place or not, and what it reports."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from relook.envs import EnvironmentSpec
from relook.experiments import node
from relook.experiments.node import SCRATCH, SHARED, Order, train
from relook.experiments.shipping import Parcel, Receiver, Sender
from relook.runs import checkpoints
from relook.runs.files import lock
from relook.runs.reading import Run
from relook.training import Request, prepare, settled, work
from support import SMALL

SPEC = EnvironmentSpec("CartPole-v1")
REPRODUCIBLE = ("metrics.jsonl", "episodes.jsonl", "actions.bin", "evaluations.jsonl", "parameters.safetensors")


class Ended:
    """A process that has ended."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def poll(self) -> int | None:
        return self.status

    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> int:
        return self.status


class Trains(Ended):
    """A process that trains until somebody stops it, and a little longer."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return 0 if self.signals else None

    def send_signal(self, number: int, /) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.signals.append(-1)


@pytest.fixture(autouse=True)
def in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are carried out in this process, and scratch directories are made in the test's own."""

    def here(run: Run, unit: int, trusted: str | None, threads: int, *, fork: bool) -> Ended:
        try:
            work(run, unit, run.environment(trusted))
        except Exception:  # whatever it is, `work` has recorded it, and a process would end with 1
            return Ended(1)
        return Ended()

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(node, "start", here)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return prepare(Request("ppo", SPEC, (0, 1), 128, SMALL, 1, tmp_path / "run", checkpoint_every=32), workers=2)


def order(run: Run, unit: int = 0, storage: str = "auto", **changed: Any) -> Order:
    record = run.record | {"agents": [agent for agent in run.record["agents"] if agent["unit"] == unit]}
    return replace(Order(record, unit, None, str(run.path), "secret", storage, begun=False), **changed)


def told(asked: Order, parcels: Iterable[Parcel] | None = None, interrupted: Callable[[], bool] = lambda: False) -> Any:
    asked = Order(**json.loads(json.dumps(asked.__dict__)))  # what crosses is what JSON can hold
    return list(train(asked, parcels, interrupted, "A"))


def reproducible(run: Run, unit: int = 0) -> dict[str, bytes]:
    return {name: (run.unit_directory(unit) / name).read_bytes() for name in REPRODUCIBLE}


def test_who_reads_the_token_trains_in_place(run: Run) -> None:
    (run.path / SHARED).write_text("secret")
    assert told(order(run)) == [("begun", "A"), ("ended", 0)]
    assert "finished" in run.unit_events(0)
    assert not (run.path / "units" / "1").exists()


@pytest.mark.parametrize("token", [None, b"\xffanother"])
def test_who_does_not_read_it_trains_elsewhere_and_sends_what_comes_of_it(
    run: Run, tmp_path: Path, token: bytes | None
) -> None:
    if token is not None:
        (run.path / SHARED).write_bytes(token)
    begun, *parcels, ended = told(order(run, unit=1))
    assert (begun, ended) == (("begun", "A"), ("ended", 0))
    assert not run.unit_directory(1).exists()
    for kind, (pieces, gone) in parcels:
        assert kind == "parcel"
        Receiver(run.unit_directory(1)).take(pieces, gone)
    sent = reproducible(run, 1)
    shutil.rmtree(run.unit_directory(1))
    work(run, 1, SPEC)
    assert sent == reproducible(run, 1)
    assert not list((tmp_path / "tmp").iterdir()), "nothing is left"


def test_a_unit_goes_on_from_the_checkpoint_that_was_sent_along(run: Run) -> None:
    work(run, 0, SPEC)
    whole, directory = reproducible(run), run.unit_directory(0)
    shutil.rmtree(directory / "checkpoints" / f"{max(checkpoints.steps_of(directory / 'checkpoints')):012d}")
    (directory / "parameters.safetensors").unlink()
    settled(run, [0], SPEC)
    assert reproducible_logs(run) != {name: whole[name] for name in REPRODUCIBLE[:-1]}
    assert told(order(run, begun=True)) == [("begun", "A"), ("asks", "")], "it does not begin anew"
    reports = told(order(run, begun=True), list(Sender(directory).parcels()))
    for _, (pieces, gone) in reports[1:-1]:
        Receiver(directory).take(pieces, gone)
    assert reproducible(run) == whole
    assert run.unit_events(0)["resumed"]["steps"] == 96
    assert sum(len(content) for _, (pieces, _) in reports[1:-1] for name, _, content in pieces if name in whole) < sum(
        map(len, whole.values())
    ), "only what is new comes back"


def reproducible_logs(run: Run) -> dict[str, bytes]:
    return {name: (run.unit_directory(0) / name).read_bytes() for name in REPRODUCIBLE[:-1]}


def test_storage_that_must_be_shared_and_is_not(run: Run) -> None:
    [_, (kind, why)] = told(order(run, storage="shared"))
    assert kind == "failed"
    assert why.startswith(f"expected node A to see {run.path}; it does not: mount the same storage there")


def test_objects_even_where_storage_is_shared(run: Run) -> None:
    (run.path / SHARED).write_text("secret")
    assert told(order(run, storage="objects"))[1][0] == "parcel"
    assert not run.unit_directory(0).exists()


def test_other_versions_on_a_node_are_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "_version", lambda name: {"torch": "1.0", "mujoco": None}.get(name, "?"))
    asked = order(
        run, record=run.record | {"versions": {"python": "2.7", "torch": "2.0", "relook": "?", "mujoco": "3"}}
    )
    assert told(asked) == [
        ("begun", "A"),
        (
            "failed",
            "expected torch 2.0, mujoco 3 on node A, as the run was made with; found torch 1.0, mujoco None; install "
            "the same",
        ),
    ]


def test_a_node_without_room_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Receiver, "take", full)
    reports = told(order(run, begun=True), [([("metrics.jsonl", 0, b"")], [])])
    assert reports[-1] == ("failed", "cannot write on node A: No space left on device; make room there")


def test_an_environment_that_only_the_driver_can_import(run: Run) -> None:
    environment = run.record["environment"] | {"name": "only_here:make"}
    asked = order(run, record=run.record | {"environment": environment}, trusted="only_here:make")
    *parcels, (kind, status) = told(asked)[1:]
    assert (kind, status) == ("ended", 1)
    for _, (pieces, gone) in parcels:
        Receiver(run.unit_directory(0)).take(pieces, gone)
    why = run.unit_events(0)["failed"]["error"]
    assert why.startswith("WrongRequest: expected the module of the environment 'only_here:make' to be importable")


def test_an_interrupt_lets_an_iteration_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / SHARED).write_text("secret")
    monkeypatch.setattr(node, "CHECK", 0.0)
    for networks, number in (("", 9), ('{"event": "networks"}\n', 2)):
        process = Trains()
        monkeypatch.setattr(node, "start", lambda *_, process=process, **__: process)
        run.unit_directory(0).mkdir(parents=True, exist_ok=True)
        (run.unit_directory(0) / "events.jsonl").write_text(networks)
        answers = chain([False, False], repeat(True))
        assert told(order(run), interrupted=partial(next, answers))[-1] == ("ended", 0)
        assert process.signals == [number, -1], "who has networks listens; who has not is stopped"
    assert told(order(run), interrupted=lambda: True) == [("begun", "A")], "nothing begins"


def test_a_worker_whose_node_has_gone_ends_its_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / SHARED).write_text("secret")
    process, parents = Trains(), iter([7, 7, 1])
    monkeypatch.setattr(node, "CHECK", 0.0)
    monkeypatch.setattr(node, "start", lambda *_, **__: process)
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(SystemExit, match="raylet has gone"):
        told(order(run))
    assert process.signals == [-1]


def test_who_comes_after_a_lost_worker_waits_for_its_process(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.path / SHARED).write_text("secret")
    monkeypatch.setattr("relook.runs.files.PATIENCE", 1)
    held = lock(run.unit_directory(0))
    asked = 0

    def then_ends() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            held.close()
        return False

    assert told(order(run), interrupted=then_ends)[-1] == ("ended", 0)
    assert asked > 3


def test_a_directory_that_cannot_be_written_is_not_waited_for(run: Run) -> None:
    (run.path / SHARED).write_text("secret")
    (run.path / "units").write_text("a file")
    [_, (kind, why)] = told(order(run))
    assert (kind, "cannot write into" in why) == ("failed", True)


def test_what_killed_units_left_goes(run: Run, tmp_path: Path) -> None:
    (run.path / SHARED).write_text("secret")
    left, used, other = (tmp_path / "tmp" / name for name in (f"{SCRATCH}a", f"{SCRATCH}b", "other"))
    for place in (left, used, other):
        lock(place).close()
    with lock(used):
        told(order(run))
        assert {path.name for path in (tmp_path / "tmp").iterdir()} == {used.name, other.name}
