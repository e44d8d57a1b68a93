"""Units of work on the cores of this machine: a process for each, some at a time."""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from relook.runs.files import LineWriter, no_link
from relook.runs.reading import Run

if TYPE_CHECKING:
    from relook.envs import EnvironmentSpec


@dataclass(frozen=True, eq=False)
class Task:
    """A unit of work of a prepared run, and what it trains in."""

    run: Run
    unit: int
    spec: EnvironmentSpec
    memory: int = 0
    """Bytes that it is known to need; 0 if that is not known."""


class Worker(Protocol):
    """A process that carries out a unit."""

    def poll(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


LOOK, WATCH = 0.01, 0.1
"""Seconds between two looks at the workers, and between two calls of `watch`."""


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def record_failure(run: Run, unit: int, message: str) -> None:
    """Write down that a unit failed, and why."""
    directory = run.unit_directory(unit)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        events = LineWriter(directory / "events.jsonl")
        events.write([{"event": "failed", "error": message}])
        events.close()
    except OSError as error:  # a full disk, for which reason it may have failed too
        print(f"relook: unit {unit} failed: {message}; nor can this be written down: {error}", file=sys.stderr)


def in_processes(tasks: Sequence[Task], workers: int, watch: Callable[[], None]) -> None:
    """Carry out units, of one run or of several, in processes of their own, `workers` at a time.

    A process that dies without saying why is recorded as a failure. `watch` is called a few times a second. After a
    first Ctrl-C every unit that trains ends its iteration, and none begins; a second one kills.
    """
    waiting, running = deque(tasks), dict[Task, Worker]()
    threads = max(1, min(workers, available_cores()) // max(1, len(tasks)))  # cores that would have no unit
    interrupted, fork = False, len(tasks) > 1 or bool(_nurseries)
    try:
        watched = -math.inf
        with _stop_signals_as_interrupts():
            while waiting or running:
                try:
                    while waiting and len(running) < workers:
                        task = waiting.popleft()
                        named = task.spec.name if task.spec.imports_code else None
                        running[task] = start(task.run, task.unit, named, threads, fork=fork)
                    time.sleep(LOOK)
                    if time.monotonic() - watched > WATCH:
                        watch()
                        watched = time.monotonic()
                    for task, process in list(running.items()):
                        if (status := process.poll()) is not None:
                            del running[task]
                            dead = status and "failed" not in task.run.unit_events(task.unit)
                            if dead and not interrupted:  # an interrupt may come before a worker listens to it
                                record_failure(task.run, task.unit, f"the worker {ended(status)}")
                except KeyboardInterrupt:
                    if interrupted:
                        raise
                    interrupted = True
                    print("relook: ending after the iteration; once more to stop at once", file=sys.stderr)
                    waiting.clear()
                    _interrupt(running)
    finally:
        for process in running.values():
            process.kill()
        for process in running.values():
            process.wait()


def _interrupt(running: dict[Task, Worker]) -> None:
    """Ask workers that train to end, and stop those that have not begun."""
    for task, process in list(running.items()):
        if "networks" in task.run.unit_events(task.unit):
            process.send_signal(signal.SIGINT)
        else:
            process.kill()
            process.wait()
            del running[task]


def stop_signals() -> list[signal.Signals]:
    """What asks this process to end: Ctrl-C, SIGTERM, and SIGHUP of a closed terminal.

    Without those that it was started to ignore, as `nohup` has it for SIGHUP, and a script for Ctrl-C when it starts
    something in the background.
    """
    kinds = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [kind for kind in kinds if signal.getsignal(kind) != signal.SIG_IGN]


@contextmanager
def _stop_signals_as_interrupts() -> Iterator[None]:
    """Let the polite request to end (SIGTERM) and a closed terminal (SIGHUP) do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.signal(kind, signal.default_int_handler) for kind in stop_signals()}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def ended(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode > 0:
        return f"ended with status {returncode}"
    name = signal.Signals(-returncode).name
    hint = "; by somebody, or because the machine ran out of memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def start(run: Run, unit: int, trusted: str | None, threads: int, *, fork: bool) -> Worker:
    """Begin a unit in a process of its own, forked from the nursery or started from nothing.

    `trusted` repeats the environment's name if it imports code.
    """
    directory = run.unit_directory(unit)
    directory.mkdir(parents=True, exist_ok=True)
    words = ["work", str(run.path), str(unit)]
    words += ["--env", trusted] if trusted else []
    words += ["--threads", str(threads)] if threads > 1 else []
    networks = run.record["actor_critic"]
    words += ["--actor-critic", networks["name"]] if networks else []
    log = no_link(directory / "worker.log")
    if fork and sys.platform == "linux":
        return nursery().start(words, log)
    with log.open("ab") as file:
        return subprocess.Popen(
            [*COMMAND, *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=_environment(),
            process_group=0,  # a Ctrl-C reaches this process alone, which tells its workers
        )


COMMAND = (sys.executable, "-m", "relook.cli")


def _environment() -> dict[str, str]:
    """What this process can import, its workers can; and one thread each, for numpy's libraries too."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


class Nursery:
    """A process that has imported what workers need, and becomes one by forking as often as it is asked to.

    A worker then is as fresh as one that is started from nothing, and begins in milliseconds instead of seconds. What
    is asked and answered are lines of JSON. If this process ends, the nursery does, and its workers as they do when
    their parent has gone.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._unread = b""
        self._unborn = deque[Forked]()
        self._living = dict[int, Forked]()
        self.gone = False

    def start(self, words: Sequence[str], log: Path) -> Forked:
        """Fork a worker that does what `relook WORDS…` does, and prints into a file."""
        place = {"log": str(log.absolute()), "directory": str(Path.cwd()), "environment": _environment()}
        self._asks.write((json.dumps({"words": list(words), "path": sys.path, **place}) + "\n").encode())
        self._asks.flush()
        worker = Forked(self)
        self._unborn.append(worker)
        return worker

    def listen(self) -> None:
        """Take in what has been answered: which workers were born, in the order of asking, and which have died."""
        while (heard := self._answers.read(2**16)) is not None:
            if not heard:
                return self._give_up()
            self._unread += heard
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "status" in answer:
                self._living.pop(answer["pid"]).returncode = answer["status"]
            else:
                worker = self._unborn.popleft()
                worker.pid = answer["pid"]
                self._living[answer["pid"]] = worker
        return None

    def _give_up(self) -> None:
        """The nursery was killed: its workers are about to end, and nobody learns how."""
        self.gone = True
        for worker in self._unborn:
            worker.returncode = 1
        self._unborn.clear()
        for pid, worker in list(self._living.items()):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                worker.returncode = 1
                del self._living[pid]

    def close(self) -> None:
        """End it."""
        with suppress(BrokenPipeError):
            self._asks.close()
        self._answers.close()
        self._process.wait()


class Forked:
    """A worker that a nursery has forked, with what is needed of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self.pid: int | None = None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, None while it lives."""
        if self.returncode is None:
            self._nursery.listen()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        while self.poll() is None and self.pid is None:
            time.sleep(0.01)
        if self.returncode is None and self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end."""
        while (status := self.poll()) is None:
            time.sleep(0.01)
        return status


_nurseries: list[Nursery] = []
"""The one of this process, once it was needed: to import everything takes seconds."""


def nursery() -> Nursery:
    """The nursery of this process; a new one if the last was killed."""
    if _nurseries:
        _nurseries[-1].listen()
    if not _nurseries or _nurseries[-1].gone:
        _nurseries.append(Nursery())
        atexit.register(_nurseries[-1].close)
    return _nurseries[-1]
