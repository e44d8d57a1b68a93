"""Units of work on the cores of this machine: a process for each, some at a time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relook.envs import EnvironmentSpec
from relook.runs.files import LineWriter, no_link
from relook.runs.reading import Run


@dataclass(frozen=True, eq=False)
class Task:
    """A unit of work of a prepared run, and what it trains in."""

    run: Run
    unit: int
    spec: EnvironmentSpec


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
    waiting, running = deque(tasks), dict[Task, subprocess.Popen[bytes]]()
    threads = max(1, min(workers, available_cores()) // max(1, len(tasks)))  # cores that would have no unit
    interrupted = False
    try:
        with _stop_signals_as_interrupts():
            while waiting or running:
                try:
                    while waiting and len(running) < workers:
                        task = waiting.popleft()
                        running[task] = _start(task, threads)
                    time.sleep(0.1)
                    watch()
                    for task, process in list(running.items()):
                        if process.poll() is not None:
                            del running[task]
                            dead = process.returncode and "failed" not in task.run.unit_events(task.unit)
                            if dead and not interrupted:  # an interrupt may come before a worker listens to it
                                record_failure(task.run, task.unit, f"the worker {_end(process.returncode)}")
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


def _interrupt(running: dict[Task, subprocess.Popen[bytes]]) -> None:
    """Ask workers that train to end, and stop those that have not begun."""
    for task, process in list(running.items()):
        if "networks" in task.run.unit_events(task.unit):
            process.send_signal(signal.SIGINT)
        else:
            process.kill()
            process.wait()
            del running[task]


@contextmanager
def _stop_signals_as_interrupts() -> Iterator[None]:
    """Let the polite request to end (SIGTERM) and a closed terminal (SIGHUP) do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {kind: signal.signal(kind, signal.default_int_handler) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _end(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode > 0:
        return f"ended with status {returncode}"
    name = signal.Signals(-returncode).name
    hint = "; by somebody, or because the machine ran out of memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def _start(task: Task, threads: int) -> subprocess.Popen[bytes]:
    directory = task.run.unit_directory(task.unit)
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "relook.cli", "work", str(task.run.path), str(task.unit)]
    command += ["--env", task.spec.name] if task.spec.imports_code else []
    command += ["--threads", str(threads)] if threads > 1 else []
    networks = task.run.record["actor_critic"]
    command += ["--actor-critic", networks["name"]] if networks else []
    # What this process can import, its workers can; and one thread each, for numpy's libraries too.
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with no_link(directory / "worker.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=0,  # a Ctrl-C reaches this process alone, which tells its workers
        )
