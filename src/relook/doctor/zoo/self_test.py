"""Does the examination notice bugs? Plants one after another in a copy of the source, and asks."""

import compileall
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from relook.doctor.zoo.bug import SOURCE, Bug
from relook.errors import RelookError
from relook.workers import available_cores

T = TypeVar("T")
R = TypeVar("R")
TIERS = ("inside", "outside")
"""First what needs no training, then what trains in small environments, for what the first missed."""


@dataclass(frozen=True)
class Caught:
    """What became of a bug."""

    bug: Bug
    tier: str
    """Which examination noticed: `inside`, or `outside` for what that one missed; empty if none did."""
    checks: tuple[str, ...]
    """The checks that found something, the cause first; none if the bug was missed."""
    component: str
    evidence: str
    seconds: float
    """To the alarm, or to the end of the examination."""

    @property
    def right(self) -> bool:
        """Whether the component was named that the bug is in."""
        return bool(self.checks) and self.component == self.bug.component


class Cage:
    """A copy of the package in which one bug at a time is let out, and a process that examines it there."""

    def __init__(self, directory: Path) -> None:
        self.package = directory / "relook"
        shutil.copytree(SOURCE, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(self.package, quiet=2)
        self._keeper = subprocess.Popen(
            [sys.executable, str(self.package / "doctor" / "zoo" / "keeper.py")],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def examine(self, bug: Bug) -> Caught:
        """Plant a bug, look for it, and take it out again."""
        before = bug.plant(self.package)
        path = self.package / bug.file
        compiled = Path(cache_from_source(str(path)))
        compiled.unlink(missing_ok=True)
        seconds, tier, told = 0.0, "", dict[str, Any]()
        try:
            for tier in TIERS:
                told = self.ask(tier, bug.algorithm)
                seconds += told["seconds"]
                if told["findings"]:
                    break
        finally:
            path.write_text(before, encoding="utf-8")
        rows = told["findings"]
        return Caught(
            bug,
            tier if rows else "",
            tuple(row["check"] for row in rows),
            told["component"],
            rows[0]["evidence"] if rows else "",
            seconds,
        )

    def ask(self, tier: str, algorithm: str) -> dict[str, Any]:
        """What an examination says of an algorithm as the copy has it."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        print(tier, algorithm, file=self._keeper.stdin, flush=True)
        line = self._keeper.stdout.readline()
        if not line:
            raise RelookError(f"expected the examination of {algorithm} to answer; its process ended")
        told: dict[str, Any] = json.loads(line)
        return told

    def close(self) -> None:
        """End the process."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        self._keeper.stdout.close()


@contextmanager
def cages(count: int) -> Iterator[list[Cage]]:
    """So many cages, which are gone afterwards."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="relook-zoo-"))
            made.append(Cage(Path(scratch)))
            stack.callback(made[-1].close)
        yield made


def self_test(bugs: Sequence[Bug], told: Callable[[Caught], None], workers: int | None = None) -> list[Caught]:
    """Examine every bug, as many at a time as there are processor cores; `told` is called for each as it is done."""

    def examine(cage: Cage, bug: Bug) -> Caught:
        caught = cage.examine(bug)
        told(caught)
        return caught

    return _in_cages(bugs, examine, workers)


def false_alarms(algorithms: Sequence[str], workers: int | None = None) -> dict[str, list[str]]:
    """The checks that find something in each algorithm as it is, where nothing is to be found."""

    def examine(cage: Cage, algorithm: str) -> list[str]:
        return [row["check"] for row in cage.ask("inside", algorithm)["findings"]]

    return dict(zip(algorithms, _in_cages(algorithms, examine, workers), strict=True))


def _in_cages(what: Sequence[T], examine: Callable[[Cage, T], R], workers: int | None) -> list[R]:
    """Each in a cage that is free."""
    with cages(min(workers or available_cores(), len(what))) as made:
        free: SimpleQueue[Cage] = SimpleQueue()
        for cage in made:
            free.put(cage)

        def one(own: T) -> R:
            cage = free.get()
            try:
                return examine(cage, own)
            finally:
                free.put(cage)

        with ThreadPoolExecutor(len(made)) as pool:
            return list(pool.map(one, what))
