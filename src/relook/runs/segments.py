"""A replay on disk: segments, written once and never again, so that a checkpoint costs what is new."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import file_digest, sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from relook.errors import RelookError
from relook.runs.files import no_link, write_whole

REPLAY = "replay"
"""Where a unit has them."""

BYTES = 2**22
"""No segment is much larger: it is copied in memory before it is written."""


@dataclass(frozen=True)
class Segment:
    """The steps `first` … `last` - 1 of a replay, in a file of its own."""

    first: int
    last: int
    bytes: int
    sha256: str

    def path(self, directory: Path) -> Path:
        """Its file."""
        return directory / f"{self.first:012d}-{self.last:012d}.safetensors"


def write(directory: Path, first: int, last: int, tensors: Mapping[str, Tensor]) -> Segment:
    """Put a segment on the disk, whole or not at all. Raises `OSError` if there is no place for it."""
    content = save(dict(tensors))
    segment = Segment(first, last, len(content), sha256(content).hexdigest())
    directory.mkdir(parents=True, exist_ok=True)
    write_whole(segment.path(directory), content)
    return segment


def recorded(record: Mapping[str, Any]) -> list[Segment]:
    """The segments that a checkpoint's record lists. Raises `RelookError` for anything else than one after another."""
    try:
        found = [
            Segment(int(row["first"]), int(row["last"]), int(row["bytes"]), str(row["sha256"]))
            for row in record.get(REPLAY, [])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise RelookError(f"expected segments of a replay in a checkpoint; found {error!r}") from error
    follows = all(one.last == other.first for one, other in pairwise(found))
    if not follows or any(not 0 <= segment.first < segment.last for segment in found):
        raise RelookError("expected segments of a replay that follow one another in a checkpoint; found others")
    return found


def as_record(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """What `recorded` reads."""
    return [asdict(segment) for segment in segments]


def check(directory: Path, segments: Iterable[Segment]) -> None:
    """Raise `RelookError` unless every segment is as it was written."""
    for segment in segments:
        path = no_link(segment.path(no_link(directory)))
        if not path.is_file() or path.stat().st_size != segment.bytes:
            raise RelookError(f"expected {path} with {segment.bytes} bytes of experience; found another file or none")
        with path.open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != segment.sha256:
                raise RelookError(f"expected {path} as it was written; found it changed")


def read(directory: Path, segments: Iterable[Segment], take: Callable[[int, Mapping[str, Tensor]], None]) -> None:
    """Hand the first step of each segment and its tensors to `take`, one segment after the other."""
    for segment in segments:
        try:
            tensors = load_file(segment.path(directory))
            steps = {tensor.shape[1] for tensor in tensors.values()}
        except (OSError, ValueError, IndexError, SafetensorError) as error:
            raise RelookError(f"expected experience in {segment.path(directory)}; found {error}") from error
        if steps != {segment.last - segment.first}:
            raise RelookError(f"expected {segment.last - segment.first} steps in {segment.path(directory)}")
        take(segment.first, tensors)


def copy(segments: Iterable[Segment], directory: Path, other: Path) -> None:
    """Give another unit the same segments: as links to the same memory of the disk, where that is possible."""
    for segment in segments:
        other.mkdir(parents=True, exist_ok=True)
        source, target = no_link(segment.path(directory)), segment.path(other)
        try:
            os.link(source, target)
        except OSError:
            target.write_bytes(source.read_bytes())


def prune(directory: Path, needed: Iterable[Segment]) -> None:
    """Take away the files that none of these segments has."""
    keep = {segment.path(directory) for segment in needed}
    for path in directory.glob("*"):
        if path not in keep:
            path.unlink(missing_ok=True)
