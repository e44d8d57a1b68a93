"""Lines of JSON, written and read: a line is a record, and a torn last line is not."""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from relook.errors import RelookError

MOST_BYTES = 64 * 2**20
"""No JSON document that relook writes is larger; a larger one is refused instead of read."""


MOST_BYTES_OF_LINES = 2 * 2**30
"""No file of records grows larger; a larger one is refused instead of read."""

PATIENCE = 50
"""How many tenths of a second to wait for a directory in which another process trains."""


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NaN becomes null and infinities become the strings "inf" and "-inf"."""
    match value:
        case float() if math.isnan(value):
            return None
        case float() if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        case Mapping():
            return {key: plain(part) for key, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case _:
            return value


def number(value: Any) -> float:
    """A number that `plain` wrote."""
    return math.nan if value is None else float(value)


def _line(record: Mapping[str, Any]) -> str:
    try:
        return json.dumps(record, allow_nan=False) + "\n"
    except ValueError:  # a NaN or an infinity somewhere
        return json.dumps(plain(record), allow_nan=False) + "\n"


def no_link(path: Path) -> Path:
    """A file or directory of a run. Raises `RelookError` for a link: it may lead to files that are not the run's."""
    if path.is_symlink():
        raise RelookError(f"expected {path} to be a run's own file; found a link to {path.readlink()}; remove it")
    return path


class LineWriter:
    """Appends records to a file, a line each."""

    def __init__(self, path: Path) -> None:
        no_link(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Append records and hand them to the operating system."""
        self._file.writelines(_line(record) for record in records)
        self._file.flush()

    def sync(self) -> None:
        """Have everything on the disk itself."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def safe_name(name: str) -> str:
    """A name that a file can have everywhere."""
    return "".join(c if c.isalnum() or c in "-_.=" else "-" for c in name)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever pulls the plug finds the old one or the new one, and nothing in between."""
    beside = path.with_name(f"{path.name}.partial")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync(path.parent)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def sync(directory: Path) -> None:
    """Have a directory's names on the disk itself, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(directory: Path) -> IO[bytes]:
    """Make a directory, unless it is there, and keep others from training in it until the returned file is closed.

    The end of this process closes it too; the file holds its number. Waits a little for a process that is about to end.

    Raises `RelookError` if another one trains there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = no_link(directory / "lock").open("ab")
    except OSError as error:
        raise RelookError(f"cannot write into {directory}: {error.strerror}; make it writable") from error
    try:
        import fcntl
    except ImportError:  # a system without such locks
        return file
    for _ in range(PATIENCE):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            file.flush()
            return file
    file.close()
    raise RelookError(f"{directory} is being trained by another process: wait for it, or end it")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole records of a file; none if there is no file. A last line without its end was torn and is dropped."""
    if not no_link(path).exists():
        return []
    if path.stat().st_size > MOST_BYTES_OF_LINES:
        raise RelookError(f"expected {path} to have at most {MOST_BYTES_OF_LINES} bytes; it is larger")
    try:
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    except (ValueError, RecursionError) as error:
        raise RelookError(f"expected a JSON record on every line of {path}; found something else: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise RelookError(f"expected a JSON object on every line of {path}; found something else")
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    if no_link(path).stat().st_size > MOST_BYTES:
        raise RelookError(f"expected {path} to be a record of at most {MOST_BYTES} bytes; it is larger")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RelookError(f"expected {path} to be JSON; found something else: {error}") from error
    if not isinstance(value, dict):
        raise RelookError(f"expected {path} to hold a JSON object; found {type(value).__name__}")
    return value
