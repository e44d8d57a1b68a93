"""Checkpoints: all that a unit of work needs to go on as if nothing had happened, on disk whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from relook.errors import RelookError
from relook.runs.files import MOST_BYTES, no_link, plain, read_json, sync

SCHEMA = 1
MANIFEST, TENSORS, RECORD = "manifest.json", "tensors.safetensors", "record.json"
CHECKPOINTS = "checkpoints"
"""Where a unit has them."""
KEEP = 2
"""How many of the newest checkpoints are kept, beside the milestones: the one before, if the newest is damaged."""


@dataclass(frozen=True)
class Checkpoint:
    """What one holds. `tensors` are named `what/…`, by what keeps them; `record` is all that is not a tensor."""

    steps: int
    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]


def steps_of(directory: Path) -> list[int]:
    """The steps per agent at which a unit has checkpoints, the newest first. They may be damaged."""
    if not directory.is_dir():
        return []
    return sorted((int(path.name) for path in directory.iterdir() if path.name.isdecimal()), reverse=True)


def write(directory: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint into a unit's directory of checkpoints.

    It is written beside its place and flushed to the disk, file by file and then the directory, before it is given its
    name: whoever pulls the plug finds it whole or not at all. Raises `OSError` if there is no place for it; what was
    there before stays as it was.
    """
    final = _path(directory, checkpoint.steps)
    beside = directory / f"{final.name}.partial"
    contents = {
        TENSORS: save_tensors(dict(checkpoint.tensors)),
        RECORD: json.dumps(plain(checkpoint.record), allow_nan=False).encode(),
    }
    files = {name: {"bytes": len(x), "sha256": sha256(x).hexdigest()} for name, x in contents.items()}
    manifest = {"schema": SCHEMA, "steps": checkpoint.steps, "files": files}
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        for name, content in {**contents, MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
            with (beside / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        sync(beside)
        if final.exists():  # damaged, or written again after a kill at the very end
            final.rename(directory / f"{final.name}.replaced")
        beside.rename(final)
        sync(directory)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def prune(directory: Path, milestones: frozenset[int]) -> None:
    """Take away all but the newest and the milestones, and what was replaced."""
    for replaced in directory.glob("*.replaced"):
        shutil.rmtree(replaced, ignore_errors=True)
    for steps in steps_of(directory)[KEEP:]:
        if steps not in milestones:
            shutil.rmtree(_path(directory, steps), ignore_errors=True)


def newest(
    directory: Path, belongs: Callable[[Checkpoint], None] = lambda checkpoint: None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and what was found wrong with those after it.

    `belongs` raises `RelookError` for one that is whole but cannot be gone on from.
    """
    passed_over = []
    for steps in steps_of(directory):
        try:
            found = read(directory, steps)
            belongs(found)
        except RelookError as error:
            passed_over.append(str(error))
        else:
            return found, passed_over
    return None, passed_over


def records(directory: Path) -> list[Mapping[str, Any]]:
    """The records of all checkpoints that have one: what they need beside their own files."""
    found: list[Mapping[str, Any]] = []
    for steps in steps_of(directory):
        path = _path(directory, steps) / RECORD
        if no_link(path).is_file():
            found.append(read_json(path))
    return found


def newest_until(directory: Path, steps: int) -> Checkpoint | None:
    """The newest whole checkpoint up to a step."""
    for own in steps_of(directory):
        if own <= steps:
            try:
                return read(directory, own)
            except RelookError:
                continue
    return None


def copy(checkpoint: Checkpoint | None, unit: Path, other: Path, logs: Iterable[str]) -> None:
    """Give another unit a checkpoint, and what had been written by then."""
    other.mkdir(parents=True)
    if checkpoint is None:
        return
    for name in logs:
        with (unit / name).open("rb") as file:
            (other / name).write_bytes(file.read(int(checkpoint.record["logs"][name])))
    write(other / CHECKPOINTS, checkpoint)


def read(directory: Path, steps: int) -> Checkpoint:
    """A checkpoint, if all of it is as it was written. Raises `RelookError` if it is damaged."""
    path = _path(directory, steps)

    def damaged(found: str) -> RelookError:
        return RelookError(f"expected a whole checkpoint in {path}; found {found}")

    def content(name: str, most: int) -> bytes:
        file = path / name
        if not no_link(file).is_file():
            raise damaged(f"no file {name}")
        if file.stat().st_size > most:
            raise damaged(f"{name} larger than {most} bytes")
        return file.read_bytes()

    no_link(no_link(directory) / path.name)
    try:
        manifest = json.loads(content(MANIFEST, MOST_BYTES))
        if (manifest["schema"], manifest["steps"]) != (SCHEMA, steps):
            raise damaged(f"schema {manifest['schema']!r} and {manifest['steps']!r} steps in its manifest")
        contents = {}
        for name in (TENSORS, RECORD):
            size, digest = int(manifest["files"][name]["bytes"]), str(manifest["files"][name]["sha256"])
            contents[name] = content(name, size)
            if len(contents[name]) != size or sha256(contents[name]).hexdigest() != digest:
                raise damaged(f"{name} other than its manifest says")
        record = json.loads(contents[RECORD])
        if not isinstance(record, dict):
            raise damaged(f"{type(record).__name__} in {RECORD}")
        return Checkpoint(steps, load_tensors(contents[TENSORS]), record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise damaged(f"{type(error).__name__}: {error}") from error


def _path(directory: Path, steps: int) -> Path:
    return directory / f"{steps:012d}"
