"""A replay on disk: what is new is written once; all of it comes back; what is damaged is noticed."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from relook.errors import RelookError
from relook.runs import segments
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.training import Request, fork, prepare, resume, work
from support import TINY, spec_of

SPEC = spec_of("Pendulum-v1")


def asked(out: Path, steps: int = 320, **more: Any) -> Run:
    values = TINY["sac"] | more
    return prepare(Request("sac", SPEC, (0, 1), steps, values, 1, out, checkpoint_every=64, milestones=(128,)), 1)


def files(run: Run) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted((run.unit_directory(0) / "replay").iterdir())}


def listed(run: Run, steps: int) -> list[segments.Segment]:
    path = run.unit_directory(0) / "checkpoints" / f"{steps:012d}" / "record.json"
    return segments.recorded(json.loads(path.read_text()))


def parameters(run: Run) -> bytes:
    return (run.unit_directory(0) / "parameters.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = asked(tmp_path_factory.mktemp("trained") / "run")
    work(run, 0, SPEC)
    return run


@pytest.fixture
def whole(tmp_path: Path, trained: Run) -> Run:
    """A copy of it, to be damaged."""
    shutil.copytree(trained.path, tmp_path / "whole")
    return Run(tmp_path / "whole")


def test_a_checkpoint_costs_what_is_new(whole: Run) -> None:
    """A capacity of 100 transitions of 2 environments is 50 steps; 32 steps lie between checkpoints."""
    newest = listed(whole, 320)
    assert [(segment.first, segment.last) for segment in newest] == [(96, 128), (128, 160)]
    assert sum(segment.last - segment.first for segment in newest) >= 50, "all that the replay holds"
    kept = {segment.path(Path()).name for steps in (128, 256, 320) for segment in listed(whole, steps)}
    assert set(files(whole)) == kept, "what no checkpoint needs is taken away"
    assert len(set(files(whole).values())) == 1, "each holds the 32 steps of its own"
    sizes = [path.stat().st_size for path in (whole.unit_directory(0) / "checkpoints").rglob("*.safetensors")]
    assert max(sizes) - min(sizes) < 500, "checkpoints grow with episodes that run, and not with the replay"


def test_much_that_is_new_is_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run) -> None:
    monkeypatch.setattr(segments, "BYTES", 1000)  # 7 steps of 34 bytes for two agents of two environments
    begun = asked(tmp_path / "begun", steps=192)
    work(begun, 0, SPEC)
    newest = listed(begun, 192)
    assert [segment.last - segment.first for segment in newest[-5:]] == [7] * 4 + [4]
    longer = resume(begun.path, steps=320, workers=1)
    assert parameters(longer) == parameters(whole)


def test_a_resumed_unit_has_the_experience_that_it_had(tmp_path: Path, whole: Run) -> None:
    begun = asked(tmp_path / "begun", steps=192)
    work(begun, 0, SPEC)
    longer = resume(begun.path, steps=320, workers=1)
    assert parameters(longer) == parameters(whole)
    assert files(longer) == files(whole)


def test_a_branch_has_the_experience_of_its_trunk_in_files_of_its_own(
    tmp_path: Path, whole: Run, work_here: None
) -> None:
    branch = fork(whole, at=128, out=tmp_path / "branch", workers=1)
    assert parameters(branch) == parameters(whole)
    for path in (branch.unit_directory(0) / "replay").iterdir():
        path.unlink()
    assert files(whole)
    segments.check(whole.unit_directory(0) / "replay", listed(whole, 128))


@pytest.mark.parametrize("damage", ["torn", "other", "gone", "link"])
def test_a_damaged_segment_is_noticed_and_an_older_checkpoint_taken(tmp_path: Path, whole: Run, damage: str) -> None:
    before = parameters(whole)
    path = listed(whole, 320)[-1].path(whole.unit_directory(0) / "replay")
    content = path.read_bytes()
    path.unlink()
    if damage == "torn":
        path.write_bytes(content[:-1])
    elif damage == "other":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "link":
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    events = whole.unit_directory(0) / "events.jsonl"
    events.write_text("".join(line for line in events.read_text().splitlines(True) if '"finished"' not in line))
    work(whole, 0, SPEC)
    assert parameters(whole) == before
    [resumed] = [row for row in read_lines(events) if row["event"] == "resumed"]
    assert resumed["steps"] == 256
    assert path.name in resumed["passed_over"][0]
    assert path.read_bytes() == content
    assert not path.is_symlink()


@pytest.mark.parametrize(
    "rows",
    [
        "nonsense",
        [{"first": 0, "last": 4}],
        [{"first": 4, "last": 4, "bytes": 1, "sha256": ""}],
        [{"first": -4, "last": 4, "bytes": 1, "sha256": ""}],
        [{"first": 0, "last": 4, "bytes": 1, "sha256": ""}, {"first": 5, "last": 6, "bytes": 1, "sha256": ""}],
        [{"first": "../..", "last": 4, "bytes": 1, "sha256": ""}],
    ],
)
def test_records_that_list_something_else_are_refused(rows: Any) -> None:
    with pytest.raises(RelookError, match="expected segments of a replay"):
        segments.recorded({"replay": rows})


def test_a_segment_with_other_steps_than_its_record_says_is_refused(tmp_path: Path) -> None:
    good = segments.write(tmp_path, 0, 4, {"reward": torch.zeros(2, 4, 1)})
    segments.check(tmp_path, [good])
    found: list[int] = []
    segments.read(tmp_path, [good], lambda first, tensors: found.append(first))
    assert found == [0]
    for tensors in ({"reward": torch.zeros(2, 5, 1)}, {"reward": torch.zeros(())}, {}):
        bad = segments.write(tmp_path, 4, 8, tensors)
        with pytest.raises(RelookError, match="expected"):
            segments.read(tmp_path, [bad], lambda first, tensors: None)


def test_segments_are_links_where_that_is_possible_and_copies_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = segments.write(tmp_path / "a", 0, 4, {"reward": torch.zeros(2, 4, 1)})
    segments.copy([own], tmp_path / "a", tmp_path / "b")
    assert own.path(tmp_path / "a").samefile(own.path(tmp_path / "b"))

    def refuse(*_: Any) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    segments.copy([own], tmp_path / "a", tmp_path / "c")
    assert not own.path(tmp_path / "a").samefile(own.path(tmp_path / "c"))
    segments.check(tmp_path / "c", [own])
