"""A disk that is full, or that may not be written to: a clear message, and what there was stays whole."""

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from relook.errors import RelookError
from relook.runs import checkpoints
from relook.runs.reading import Run
from relook.training import Request, prepare, resume, work
from support import SMALL, spec_of

SAME = ("metrics.jsonl", "episodes.jsonl", "evaluations.jsonl", "actions.bin", "parameters.safetensors")
ROOM = 200_000
"""Bytes that a file may have; a checkpoint of these networks takes more, everything else less."""


def prepared(out: Path) -> Run:
    values = SMALL | {"hidden": [(64, 64)]}
    request = Request("ppo", spec_of("CartPole-v1"), (0, 1), 256, values, 1, out, checkpoint_every=96)
    return prepare(request, workers=1)


def trained(out: Path) -> Run:
    run = prepared(out)
    work(run, 0, spec_of("CartPole-v1"))
    return run


def files(run: Run) -> list[bytes]:
    return [(run.unit_directory(0) / name).read_bytes() for name in SAME]


def test_a_disk_that_is_full_leaves_the_checkpoint_before_it_whole(tmp_path: Path) -> None:
    """In a child whose files may only grow to a certain size, from the second checkpoint on."""
    whole, full = trained(tmp_path / "whole"), prepared(tmp_path / "full")
    child = os.fork()
    if child == 0:
        write = checkpoints.write

        def with_little_room(directory: Path, checkpoint: Any) -> None:
            if checkpoint.steps > 96:
                resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
            write(directory, checkpoint)

        checkpoints.write = with_little_room
        try:
            work(full, 0, spec_of("CartPole-v1"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = full.unit_events(0)["failed"]["error"]
    assert "cannot write the checkpoint of step 192" in said
    assert "File too large; the one at step 96 is whole: make room, and relook resume goes on from there" in said
    directory = full.unit_directory(0) / "checkpoints"
    assert [path.name for path in directory.iterdir()] == [f"{96:012d}"]
    assert checkpoints.newest(directory)[1] == []
    work(full, 0, spec_of("CartPole-v1"))
    assert files(full) == files(whole)


def test_a_directory_that_has_become_read_only_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mkdir = prepared(tmp_path / "run"), Path.mkdir

    def read_only(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.name.endswith(".partial") and not path.name.startswith(f"{96:012d}"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        mkdir(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(RelookError, match="Read-only file system; the one at step 96 is whole"):
        work(run, 0, spec_of("CartPole-v1"))
    assert [path.name for path in (run.unit_directory(0) / "checkpoints").iterdir()] == [f"{96:012d}"]


def test_a_run_that_may_not_be_written_to_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, opened = prepared(tmp_path / "run"), Path.open

    def read_only(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "a" in mode or "w" in mode:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(RelookError, match=r"cannot write into .*: Permission denied; make it writable"):
        resume(run.path, workers=1)
