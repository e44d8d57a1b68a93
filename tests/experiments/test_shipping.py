"""A unit's files on their way: all that is new arrives, once, and nothing else is written."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from relook.envs import EnvironmentSpec
from relook.errors import RelookError
from relook.experiments import shipping
from relook.experiments.shipping import GROWS, Parcel, Receiver, Sender, present
from relook.runs import checkpoints
from relook.runs.reading import Run
from relook.runs.unit import LOGS, PARAMETERS, settle
from relook.training import Request, prepare, read_work, settled, work
from support import TINY

OFF = EnvironmentSpec("Pendulum-v1", max_episode_steps=20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A unit with a replay and two checkpoints."""
    out = tmp_path_factory.mktemp("shipping") / "run"
    run = prepare(Request("sac", OFF, (0,), 128, TINY["sac"], 1, out, checkpoint_every=32), workers=1)
    work(run, 0, OFF)
    return Run(run.path)


def files(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in present(directory)}


def send(sender: Sender, receiver: Receiver) -> list[Parcel]:
    parcels = list(sender.parcels())
    for pieces, gone in parcels:
        receiver.take(pieces, gone)
    return parcels


def test_every_file_of_a_unit_has_a_name_that_may_be_sent(trained: Run) -> None:
    names = present(trained.unit_directory(0))
    assert {*LOGS, PARAMETERS} <= set(names)
    assert all(GROWS.fullmatch(name) for name in LOGS)
    unit = trained.unit_directory(0)
    others = {path.relative_to(unit).as_posix() for path in unit.rglob("*") if path.is_file()} - set(names)
    assert others == {"lock"}


@pytest.mark.parametrize("piece", [100, 2**23])
def test_what_was_sent_is_what_is_there(
    trained: Run, tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "PIECE", piece)
    sender, receiver = Sender(trained.unit_directory(0)), Receiver(tmp_path / "there")
    parcels = send(sender, receiver)
    assert files(tmp_path / "there") == files(trained.unit_directory(0))
    assert all(sum(len(content) for *_, content in pieces) <= piece for pieces, _ in parcels)
    assert (len(parcels) > 10) == (piece == 100)
    assert list(sender.parcels()) == [], "nothing is sent twice"


def test_only_what_is_new_is_sent(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    old, new = here / "checkpoints" / "000000000032", here / "checkpoints" / "000000000064"
    old.mkdir(parents=True)
    for name in ("manifest.json", "record.json", "tensors.safetensors"):
        (old / name).write_text(name)
    (here / "metrics.jsonl").write_text("one\n")
    sender, receiver = Sender(here), Receiver(there)
    assert (sender.grown(), sender.unsent_checkpoint()) == (True, True)
    send(sender, receiver)
    assert (sender.grown(), sender.unsent_checkpoint()) == (False, False)
    with (here / "metrics.jsonl").open("a") as file:
        file.write("two\n")
    shutil.copytree(old, new)
    shutil.rmtree(old)
    (here / "checkpoints" / "000000000096.partial").mkdir()
    (here / "checkpoints" / "000000000096.partial" / "record.json").write_text("not whole")
    assert (sender.grown(), sender.unsent_checkpoint()) == (True, True)
    [(pieces, gone)] = send(sender, receiver)
    assert pieces[0] == ("metrics.jsonl", 4, b"two\n")
    assert {name for name, _, _ in pieces[1:]} == {f"checkpoints/000000000064/{path.name}" for path in new.iterdir()}
    assert gone == sorted(f"checkpoints/000000000032/{path.name}" for path in new.iterdir())
    assert files(there) == files(here)
    assert [path.name for path in (there / "checkpoints").iterdir()] == ["000000000064"]


def test_a_log_that_was_cut_comes_whole(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "metrics.jsonl").write_text("one\ntwo\n")
    sender, receiver = Sender(here), Receiver(there)
    send(sender, receiver)
    (here / "metrics.jsonl").write_text("other\n")
    send(sender, receiver)
    assert (there / "metrics.jsonl").read_text() == "other\n"


def test_what_is_known_on_the_other_side_is_not_sent(trained: Run) -> None:
    sender = Sender(trained.unit_directory(0))
    sender.skip()
    assert list(sender.parcels()) == []


def test_a_file_that_goes_while_it_is_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = tmp_path / "here" / "checkpoints" / "000000000032" / "record.json"
    point.parent.mkdir(parents=True)
    (tmp_path / "here" / "metrics.jsonl").write_text("one\n")
    point.write_text("gone in a moment")
    listed = shipping.present

    def then_goes(directory: Path) -> list[str]:
        names = listed(directory)
        point.unlink(missing_ok=True)
        return names

    monkeypatch.setattr(shipping, "present", then_goes)
    assert list(Sender(tmp_path / "here").parcels()) == [([("metrics.jsonl", 0, b"one\n")], [])]


def test_whoever_stops_receiving_at_any_moment_can_go_on(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sending arrives up to any of its pieces: the first one's checkpoint counts, and at some time a newer."""
    monkeypatch.setattr(shipping, "PIECE", 1)  # a parcel for each piece
    monkeypatch.setattr(shipping.Sender, "_new", whole_files)
    here = trained.unit_directory(0)
    before = tmp_path / "before"
    shutil.copytree(trained.path, before)
    newest = max(checkpoints.steps_of(here / "checkpoints"))
    shutil.rmtree(before / "units/0/checkpoints" / f"{newest:012d}")
    (before / "units/0" / PARAMETERS).unlink()
    settled(Run(before), [0], OFF)
    sender = Sender(here)
    sender._sent = {name: (len(content), 0) for name, content in files(before / "units/0").items()}
    parcels = list(sender.parcels())
    assert len(parcels) > 8
    ended, stands = [], []
    for arrived in range(len(parcels) + 1):
        there = tmp_path / str(arrived)
        shutil.copytree(before, there)
        receiver = Receiver(there / "units/0")
        for pieces, gone in parcels[:arrived]:
            receiver.take(pieces, gone)
        run = Run(there)
        ended.append("finished" in run.unit_events(0))
        if ended[-1]:
            assert files(there / "units/0") == files(here), "an end is told when all is there"
        else:
            point, _ = settle(read_work(run, 0, OFF))
            assert point is not None
            stands.append(point.steps)
    assert stands == sorted(stands)
    assert {*stands} == {newest - 32, newest}
    assert ended == [False] * len(parcels) + [True]


def whole_files(self: Sender, name: str) -> Any:
    """In place of `Sender._new`: what was not there before, by size alone."""
    content, (known, _) = (self.directory / name).read_bytes(), self._sent.get(name, (0, 0))
    if len(content) != known:
        yield name, known if GROWS.fullmatch(name) else 0, content[known if GROWS.fullmatch(name) else 0 :]


# What comes is not trusted


@pytest.mark.parametrize(
    "name",
    [
        "../run.json",
        "/etc/passwd",
        "run.json",
        "lock",
        "checkpoints/../../run.json",
        "checkpoints/000000000032/../../metrics.jsonl",
        "checkpoints/32/record.json",
        "checkpoints/000000000032.partial/record.json",
        "replay/x.safetensors",
        "metrics.jsonl\n",
        "units/0/metrics.jsonl",
        "",
        b"metrics.jsonl",
        None,
    ],
)
def test_names_that_no_file_of_a_unit_has_are_refused(tmp_path: Path, name: Any) -> None:
    receiver = Receiver(tmp_path / "unit")
    with pytest.raises(RelookError, match="expected files of a unit of work from a worker; it sent"):
        receiver.take([(name, 0, b"x")], [])
    with pytest.raises(RelookError, match="expected files of a unit of work from a worker; it sent"):
        receiver.take([], [name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "pieces", [[("metrics.jsonl", 0)], ["metrics.jsonl"], [("metrics.jsonl", "0", b"x")], [("metrics.jsonl", 0, "x")]]
)
def test_what_is_no_piece_is_refused(tmp_path: Path, pieces: Sequence[Any]) -> None:
    with pytest.raises(RelookError, match="expected pieces of files"):
        Receiver(tmp_path / "unit").take(pieces, [])


@pytest.mark.parametrize("offset", [-1, 1, 3, 5, 2**62])
def test_offsets_that_do_not_follow_are_refused(tmp_path: Path, offset: int) -> None:
    receiver = Receiver(tmp_path)
    receiver.take([("metrics.jsonl", 0, b"one\n")], None)
    with pytest.raises(RelookError, match="expected what follows the 4 bytes"):
        receiver.take([("metrics.jsonl", offset, b"two\n")], None)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"one\n"


def test_a_file_that_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "MOST_BYTES", 6)
    receiver = Receiver(tmp_path)
    receiver.take([("metrics.jsonl", 0, b"one\n")], None)
    with pytest.raises(RelookError, match="a worker sent other bytes"):
        receiver.take([("metrics.jsonl", 4, b"two\n")], None)


def links(tmp_path: Path) -> list[Callable[[], str]]:
    outside = tmp_path / "outside"
    outside.mkdir()
    unit = tmp_path / "unit"
    unit.mkdir()

    def file() -> str:
        (unit / "metrics.jsonl").symlink_to(outside / "x")
        return "metrics.jsonl"

    def directory() -> str:
        (unit / "replay").symlink_to(outside)
        return "replay/000000000000-000000000001.safetensors"

    return [file, directory]


@pytest.mark.parametrize("which", [0, 1])
def test_links_are_not_followed(tmp_path: Path, which: int) -> None:
    name = links(tmp_path)[which]()
    with pytest.raises(RelookError, match="found a link"):
        Receiver(tmp_path / "unit").take([(name, 0, b"x")], [])
    assert not list((tmp_path / "outside").iterdir())
    assert present(tmp_path / "unit") == []


def test_a_checkpoint_is_on_the_disk_before_older_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "checkpoints" / "000000000032" / "manifest.json"
    receiver = Receiver(tmp_path)
    receiver.take([("checkpoints/000000000032/manifest.json", 0, b"{}")], [])
    synced: list[bool] = []
    flush = os.fsync

    def fsync(file: int) -> None:
        synced.append(old.exists())
        flush(file)

    monkeypatch.setattr(os, "fsync", fsync)
    new = ("checkpoints/000000000064/manifest.json", 0, b"{}")
    receiver.take([("metrics.jsonl", 0, b"one\n"), new], ["checkpoints/000000000032/manifest.json"])
    assert len(synced) == 4, "two files and their directories"
    assert all(synced)
    assert not old.parent.exists()
    receiver.take([("metrics.jsonl", 4, b"two\n")], [])
    assert len(synced) == 4, "a log alone may be lost with the power: it is written again from the checkpoint on"
