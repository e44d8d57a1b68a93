"""The files of a unit of work on their way to another machine, for nodes that have no storage in common.

What goes is plain: names, offsets and bytes. What comes is checked for names, offsets and sizes before it is written.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from relook.errors import RelookError
from relook.runs.files import no_link, sync

Piece = tuple[str, int, bytes]
"""A file's name below the unit's directory, where in the file the bytes begin, and the bytes."""
Parcel = tuple[list[Piece], list[str] | None]
"""What is written together; in the last parcel of several, the names of files that are no more, else None."""

EVENTS, PARAMETERS = "events.jsonl", "parameters.safetensors"
GROWS = re.compile(
    r"(metrics|timing|episodes|evaluations|events)\.jsonl|(actions|training-values|evaluation-values)\.bin|worker\.log"
)
"""What grows while a unit trains: only what is new of it is sent."""
CHECKPOINT = re.compile(r"checkpoints/\d{12}/(tensors\.safetensors|record\.json|manifest\.json)")
SEGMENT = re.compile(r"replay/\d{12}-\d{12}\.safetensors")

PIECE = 2**23
"""Bytes in a parcel, at most."""
MOST_BYTES = 2**36
"""No file of a unit grows larger."""


def present(directory: Path) -> list[str]:
    """The names of the files that a unit has, and that a unit may have."""
    patterns = ("*", "checkpoints/*/*", "replay/*")
    found = chain.from_iterable(sorted(directory.glob(pattern)) for pattern in patterns)
    names = (path.relative_to(directory).as_posix() for path in found if path.is_file() and not path.is_symlink())
    return [name for name in names if _known(name)]


def _known(name: str) -> bool:
    return name == PARAMETERS or any(kind.fullmatch(name) for kind in (GROWS, CHECKPOINT, SEGMENT))


class Sender:
    """Reads the files of a unit while it trains, and remembers what of them has been sent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._sent: dict[str, tuple[int, int]] = {}

    def skip(self) -> None:
        """What is there now is known on the other side."""
        self._sent = {name: _mark((self.directory / name).stat()) for name in present(self.directory)}

    def grown(self) -> bool:
        """Whether there is anything new."""
        return any(
            self._sent.get(name) != _mark((self.directory / name).stat())
            for name in present(self.directory)
            if GROWS.fullmatch(name)
        )

    def unsent_checkpoint(self) -> bool:
        """Whether there is a checkpoint of which nothing has been sent."""
        return any(CHECKPOINT.fullmatch(name) and name not in self._sent for name in present(self.directory))

    def parcels(self) -> Iterator[Parcel]:
        """What is new since the last time.

        Whoever writes the parcels one after the other has, whenever he stops, a unit that can be gone on from. The end
        of a unit is a line of its events, and a checkpoint counts once the events reach to it: so they come after all
        that they speak of. Checkpoints are listed before events are read, because logs must reach as far as they do;
        events are read before parameters are looked for; what is no more is told at the very end.
        """
        checkpoints = [name for name in present(self.directory) if CHECKPOINT.fullmatch(name)]
        events = list(self._new(EVENTS))
        others = [name for name in present(self.directory) if name != EVENTS and not CHECKPOINT.fullmatch(name)]
        pieces: list[Piece] = []
        size = 0
        for piece in chain(chain.from_iterable(self._new(name) for name in (*others, *checkpoints)), events):
            if pieces and size + len(piece[2]) > PIECE:
                yield pieces, None
                pieces, size = [], 0
            pieces.append(piece)
            size += len(piece[2])
        gone = sorted(set(self._sent) - set(present(self.directory)))
        for name in gone:
            del self._sent[name]
        if pieces or gone:
            yield pieces, gone

    def _new(self, name: str) -> Iterator[Piece]:
        """What is new in one file; nothing if it has been taken away meanwhile."""
        try:
            with no_link(self.directory / name).open("rb") as file:
                found = os.fstat(file.fileno())
                before, size = self._sent.get(name), found.st_size
                if before == _mark(found):
                    return
                offset = before[0] if before and GROWS.fullmatch(name) and before[0] <= size else 0
                file.seek(offset)
                while content := file.read(min(PIECE, size - offset)):
                    yield name, offset, content
                    offset += len(content)
                if not size:
                    yield name, 0, b""
                self._sent[name] = _mark(found)
        except FileNotFoundError:
            return


def _mark(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


class Receiver:
    """Writes what another machine sends of a unit into its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written: set[Path] = set()

    def take(self, pieces: Sequence[Piece], gone: Iterable[str] | None) -> None:
        """Write a parcel. With the last one of several, all that belongs to a checkpoint is flushed to the disk.

        Raises `RelookError` for what no unit sends, `OSError` if there is no room.
        """
        for piece in pieces:
            match piece:
                case [name, int(offset), bytes(content)]:
                    path = self._path(name)
                case _:
                    raise RelookError("expected pieces of files from a worker; it sent something else")
            size = path.stat().st_size if path.exists() else 0
            if offset not in (0, size) or offset + len(content) > MOST_BYTES:
                raise RelookError(f"expected what follows the {size} bytes of {path}; a worker sent other bytes")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab" if offset else "wb") as file:
                file.write(content)
            self._written.add(path)
        if gone is None:
            return
        missing = [self._path(name) for name in gone]
        if any(path.name == "manifest.json" for path in self._written):
            flushed = self._written - set(missing)
            for path in flushed:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            for directory in {path.parent for path in flushed}:
                sync(directory)
            self._written.clear()
        for path in missing:
            path.unlink(missing_ok=True)
            if CHECKPOINT.fullmatch(path.relative_to(self.directory).as_posix()) and not any(path.parent.iterdir()):
                path.parent.rmdir()

    def _path(self, name: str) -> Path:
        """Where a file lies. Raises `RelookError` for a name that no file of a unit has: it may lead elsewhere."""
        if not isinstance(name, str) or not _known(name):
            raise RelookError(f"expected files of a unit of work from a worker; it sent {name!r}")
        path = self.directory
        for part in name.split("/"):
            path = no_link(path / part)
        return path
