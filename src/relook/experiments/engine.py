"""Where units of work are carried out: in processes of this machine or on a Ray cluster. Only this file imports Ray."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import IO, Any, Protocol

from relook.errors import RelookError, WrongRequest
from relook.experiments.node import SHARED, Order, Report, train
from relook.experiments.shipping import Piece, Receiver, Sender, present
from relook.runs.files import lock, no_link, write_whole
from relook.workers import Task, available_cores, ended, in_processes, record_failure, stop_signals


class Engine(Protocol):
    """Carries out units of work."""

    @property
    def here(self) -> bool:
        """Whether they train on this machine."""
        ...

    @property
    def workers(self) -> int:
        """How many units train at a time."""
        ...

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        """Carry out units; returns when all have ended, one way or another. `watch` is called a few times a second."""
        ...

    def close(self) -> None:
        """Let go of whatever was started."""
        ...


@dataclass(frozen=True)
class Embedded:
    """Processes on this machine."""

    workers: int
    here = True

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        in_processes(tasks, self.workers, watch)

    def close(self) -> None:
        """Nothing was started that does not end by itself."""


# Ray

OLDEST = (2, 54)
"""Before it, a page in a browser may end what runs here (CVE-2026-27482); before 2.52, run code (CVE-2025-62593)."""
STORAGE = ("auto", "shared", "objects")
LOSSES = 3
"""A unit that loses its worker so often, without a newer checkpoint, has failed."""
GRACE = 60.0
"""Seconds for which units wait that no node of the cluster has room for any more."""
ANSWER = 10.0
"""Seconds in which the head of a cluster answers."""
LOOK, CHECK = 0.1, 2.0
"""Seconds between two calls of `watch`, and between two looks at the nodes."""
OBJECTS = 100 * 2**20
"""Bytes of the object store of a Ray that we start: it carries little, because all its units see the same storage."""
NOTICES = "relook"
"""Where in Ray's own store our notices to the nodes are."""


class Ray:
    """A Ray cluster: each unit is a task of it, which goes on from its last checkpoint when a worker or a node dies.

    Without an `address` a Ray of `workers` processors is started on this machine, listening on its loopback interface
    only, and stopped in the end. `storage` says how results come back: `shared` by storage that all nodes see,
    `objects` through Ray's object store, `auto` whichever a node can do. `workers` bounds how many units train at a
    time; None: as many as the cluster has processors.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, storage: str = "auto") -> None:
        if storage not in STORAGE:
            raise WrongRequest(f"expected a storage among {', '.join(STORAGE)}; found {storage}")
        self._address, self._asked, self.storage = address, workers, storage
        self.here = address is None
        self._ray: Any = None
        self._started = False
        self._last_words: LastWords | None = None

    @property
    def ray(self) -> Any:
        """Ray itself, connected."""
        if self._ray is None:
            self._ray, self._started = _connected(self._address, self._asked or available_cores())
            self._last_words = LastWords()
            atexit.register(self.close)
        return self._ray

    @property
    def workers(self) -> int:
        """How many units train at a time, on the nodes that there are now."""
        processors = int(sum(node.get("CPU", 0) for node in self.nodes()))
        return min(self._asked or processors, max(1, processors))

    @property
    def in_flight(self) -> int:
        """How many units are handed to Ray at a time: some wait there, so that no processor waits for us."""
        return self.workers if self._asked and self._address else 2 * self.workers

    def nodes(self) -> list[Mapping[str, float]]:
        """What each living node has, free or not."""
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def post(self, notice: str) -> None:
        """Let every node of the cluster see a notice."""
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(notice, b"", namespace=NOTICES)

    def take_down(self, notice: str) -> None:
        """No node sees it any more."""
        from ray.experimental.internal_kv import _internal_kv_del

        _internal_kv_del(notice, namespace=NOTICES)

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        """Carry out units as tasks of the cluster. Raises `RelookError` if no node has room for one of them."""
        if lacking := without_room(tasks, self.nodes()):
            raise RelookError(f"{lacking[0][1]}, so nothing was started")
        _Round(self, tasks).run(watch)

    def close(self) -> None:
        """Leave the cluster; stop it if it was started here."""
        if self._ray is not None and self._started:
            self._ray.shutdown()
        if self._last_words is not None:
            self._last_words.are_not_needed()
        self._ray = self._last_words = None
        atexit.unregister(self.close)


class LastWords:
    """Says that this command was ended, when nothing else can: Ray ends it if the head dies, or the node here."""

    def __init__(self) -> None:
        said = "relook: ended from outside, by a signal or because Ray lost the head of the cluster or the node here; "
        said += "what was trained until then is kept, and the same command goes on from there"
        words = ["sh", "-c", f"read needless || echo '{said}' >&2"]
        self._listener = subprocess.Popen(words, stdin=subprocess.PIPE, process_group=0)

    def are_not_needed(self) -> None:
        """It ends in order."""
        with suppress(BrokenPipeError):
            self._listener.communicate(b"\n")


def _connected(address: str | None, processors: int) -> tuple[Any, bool]:
    """Ray, connected, and whether it is ours to shut down. Raises `WrongRequest` if it is not installed or too old."""
    _check_version()
    if address is not None:
        _check_listens(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        _keep_to_ourselves()
    import ray
    from ray._private import worker

    if ray.is_initialized():
        return ray, False
    worker._worker_logs_enabled = False  # what Ray's processes print would come in the middle of what we do
    asked: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        asked |= {"num_cpus": processors, "num_gpus": 0, "object_store_memory": OBJECTS}
        asked |= {"include_dashboard": False, "dashboard_host": "127.0.0.1"}
    try:
        with _hushed():
            ray.init(address or "local", **asked)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        reason = _first_line(error)
        if address is None:
            raise RelookError(f"cannot start Ray on this machine: {reason}") from error
        raise RelookError(
            f"cannot join the Ray cluster at {address} ({reason}): it needs to be its head's address, this machine one "
            f"of its nodes, and RAY_AUTH_MODE and token those that it was started with; see docs/clusters.md"
        ) from error
    if address is None and ray.util.get_node_ip_address() != "127.0.0.1":
        ray.shutdown()
        raise RelookError(
            "expected a Ray that listens on the loopback interface only; it was imported before it could be told so: "
            "start a cluster, see docs/clusters.md, and give its --address"
        )
    return ray, True


@contextmanager
def _hushed() -> Iterator[None]:
    """Nobody reads what Ray's own processes and threads have to say while it starts: an error comes as an exception."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _check_listens(address: str) -> None:
    """Raise `WrongRequest` if nobody is there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise WrongRequest(f"expected the HOST:PORT of a cluster's head as --address; found {address}")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise WrongRequest(
            f"expected the head of a Ray cluster at {address}; nobody answers ({error}); docs/clusters.md says how to "
            f"start one"
        ) from error


INSTALL = "pip install -U '.[ray]' in relook's folder"


def _check_version() -> None:
    needed = ".".join(map(str, OLDEST))
    try:
        found = metadata.version("ray")
    except metadata.PackageNotFoundError as error:
        raise WrongRequest(f"expected Ray {needed} or newer; found none; {INSTALL}") from error
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        raise WrongRequest(f"expected Ray {needed} or newer, for older ones are not safe; found {found}; {INSTALL}")


def _keep_to_ourselves() -> None:
    """Let a Ray that is started from here listen on the loopback interface only, to those who know a secret."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # its name for: nodes have the address 127.0.0.1
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _on_node(order: dict[str, Any], parcels: list[Any] | None, stop: str) -> Iterator[Report]:
    """A task of Ray: a unit of work, reported on as it goes."""
    import ray
    from ray.experimental.internal_kv import _internal_kv_exists

    node = f"{ray.util.get_node_ip_address()} ({ray.get_runtime_context().get_node_id()[:8]})"
    sent = None if parcels is None else (ray.get(parcel) for parcel in parcels)
    yield from train(Order(**order), sent, lambda: _internal_kv_exists(stop, namespace=NOTICES), node)


def without_room(tasks: Iterable[Task], nodes: Sequence[Mapping[str, float]]) -> list[tuple[Task, str]]:
    """The units that no node could train even if it did nothing else, with what they lack."""
    most = max((node.get("memory", 0.0) for node in nodes if node.get("CPU", 0) >= 1), default=None)
    found = []
    for task in tasks:
        what = f"a unit of {task.run.algorithm} on {task.run.environment_name} needs"
        if most is None:
            found.append((task, f"{what} a processor, and no node of the cluster has one"))
        elif task.memory > most:
            needs, has = (f"{size / 2**20:,.0f} MiB" for size in (task.memory, most))
            found.append((task, f"{what} {needs} of memory, and the largest node of the cluster has {has}"))
    return found


@dataclass(eq=False)
class _Flight:
    """A unit that was handed to Ray."""

    task: Task
    parcels: list[Any] | None
    """Ray's references to what was sent along."""
    guard: IO[bytes] | None = None
    """Keeps others from training in the directory, when it is us who write there."""
    receiver: Receiver | None = None
    node: str | None = None
    """Where it trains; None before it has begun."""
    status: int | None = None


class _Round:
    """Units on their way through a cluster, from the first to the last."""

    def __init__(self, engine: Ray, tasks: Sequence[Task]) -> None:
        self._engine, self._ray, self._storage = engine, engine.ray, engine.storage
        self._remote = self._ray.remote(max_retries=0, num_returns="streaming", num_cpus=1)(_on_node)
        self._waiting, self._flying = deque(tasks), dict[Any, _Flight]()
        self._runs = {task.run.path: task.run for task in tasks}
        self._agents = defaultdict[tuple[Path, int], list[Any]](list)
        for run in self._runs.values():
            for agent in run.record["agents"]:
                self._agents[run.path, agent["unit"]].append(agent)
        self._losses: dict[Task, tuple[int, int]] = {}
        self._token = secrets.token_hex(16)
        self._stop = f"stop-{self._token}"  # a notice: the iterations that are under way are the last ones
        self._interrupted = False
        self._lacking_since: float | None = None

    def run(self, watch: Callable[[], None]) -> None:
        """Hand units to Ray and take what comes back, until all have ended."""
        checked = watched = time.monotonic()
        most = self._engine.in_flight
        try:
            self._mark_storage()
            with _interrupts() as interrupts:
                while self._waiting or self._flying:
                    while self._waiting and len(self._flying) < most:
                        self._submit(self._waiting.popleft())
                    self._take_what_is_there()
                    now = time.monotonic()
                    if now - watched > LOOK:
                        watch()
                        watched = now
                    if now - checked > CHECK:
                        most = self._engine.in_flight
                        self._give_up_without_room(now)
                        checked = now
                    if interrupts and not self._interrupted:
                        self._interrupt()
        finally:
            self._end()

    def _mark_storage(self) -> None:
        """Put our token where nodes that see the same storage find it."""
        for run in self._runs.values() if self._storage != "objects" else ():
            try:
                write_whole(no_link(run.path / SHARED), self._token.encode())
            except OSError as error:
                raise RelookError(f"cannot write into {run.path}: {error.strerror}; make room") from error

    def _submit(self, task: Task) -> None:
        """Hand a unit to Ray."""
        directory = task.run.unit_directory(task.unit)
        begun = directory.exists() and bool(present(directory))
        flight = _Flight(task, None)
        try:
            if self._storage == "objects":
                if task in self._losses:
                    from relook.training import settled

                    settled(task.run, [task.unit], task.spec)
                flight.guard, flight.receiver = lock(directory), Receiver(directory)
                flight.parcels = [self._ray.put(parcel) for parcel in Sender(directory).parcels()]
            trusted = task.spec.name if task.spec.imports_code else None
            where = str(task.run.path.resolve())
            record = task.run.record | {"agents": self._agents[task.run.path, task.unit]}
            order = Order(record, task.unit, trusted, where, self._token, self._storage, begun)
            options = {"memory": task.memory} if task.memory else {}
            generator = self._remote.options(**options).remote(asdict(order), flight.parcels, self._stop)
        except (OSError, RelookError, self._ray.exceptions.RayError) as error:
            self._fail(flight, f"cannot hand it to the cluster: {_first_line(error)}")
        else:
            self._flying[generator] = flight

    def _take_what_is_there(self) -> None:
        """Take the next report of every unit that has one; wait a moment for the first."""
        if not (flying := list(self._flying)):
            return
        ready, _ = self._ray.wait(flying, num_returns=1, timeout=LOOK / 2)
        if ready:
            ready, _ = self._ray.wait(flying, num_returns=len(flying), timeout=0)
        for generator in ready:
            flight = self._flying[generator]
            try:
                self._take(generator, flight, self._ray.get(next(generator)))
            except StopIteration:
                self._land(generator)
            except self._ray.exceptions.RayTaskError as error:
                self._fail(self._flying.pop(generator), _task_failure(error, flight.node))
            except self._ray.exceptions.TaskCancelledError:
                self._release(self._flying.pop(generator))
            except self._ray.exceptions.RayError as error:
                self._lose(self._flying.pop(generator), _loss(error, flight.node))

    def _take(self, generator: Any, flight: _Flight, report: Any) -> None:
        """Do what a report asks for."""
        match report:
            case "begun", str(node):
                flight.node = node
            case "asks", "" if self._engine.storage == "auto":  # a node does not see the storage: perhaps none does
                self._storage = "objects"
                self._flying.pop(generator)
                self._waiting.appendleft(flight.task)
            case "parcel", [list(pieces), list() | None as gone]:
                self._write(generator, flight, pieces, gone)
            case "ended", int(status):
                flight.status = status
            case "failed", str(why):
                self._fail(self._flying.pop(generator), why)
            case _:
                self._ray.cancel(generator)
                self._fail(self._flying.pop(generator), f"expected reports from node {flight.node}; it sent others")

    def _write(self, generator: Any, flight: _Flight, pieces: list[Piece], gone: list[str] | None) -> None:
        """Write what a node has sent of a unit; a unit that cannot be written has failed."""
        directory = flight.task.run.unit_directory(flight.task.unit)
        flight.parcels = None
        try:
            if flight.receiver is None:
                flight.guard, flight.receiver = lock(directory), Receiver(directory)
            flight.receiver.take(pieces, gone)
        except (OSError, RelookError) as error:
            why = f"{error.strerror}; make room" if isinstance(error, OSError) else str(error)
            self._ray.cancel(generator)
            self._fail(self._flying.pop(generator), f"cannot write into {directory} what came from its node: {why}")

    def _land(self, generator: Any) -> None:
        """A unit has ended."""
        flight = self._flying.pop(generator)
        self._release(flight)
        task, status = flight.task, flight.status
        failed = task.run.unit_events(task.unit).get("failed")
        if failed:
            record_failure(task.run, task.unit, f"{failed.get('error')}; on node {flight.node}")
        elif self._interrupted or status == 0:
            return
        elif status is None or status < 0:
            how = "ended" if status is None else ended(status)
            self._lose(flight, f"the process on node {flight.node} {how}")
        else:
            self._fail(flight, f"the worker on node {flight.node} {ended(status)}")

    def _lose(self, flight: _Flight, why: str) -> None:
        """A unit has lost its worker: once more from its newest checkpoint, unless that never comes to a newer one."""
        from relook.runs.checkpoints import CHECKPOINTS, steps_of

        self._release(flight)
        task = flight.task
        if self._interrupted or task.run.has_ended(task.unit):
            return
        newest = max(steps_of(task.run.unit_directory(task.unit) / CHECKPOINTS), default=0)
        before, at = self._losses.get(task, (0, newest))
        lost = before + 1 if newest <= at else 1
        self._losses[task] = lost, newest
        name = f"unit {task.unit} of {task.run.path.name}"
        if lost >= LOSSES:
            self._fail(
                flight, f"lost its worker {lost} times without a newer checkpoint in between; the last time {why}"
            )
        else:
            print(f"relook: {why}; {name} goes on from its newest checkpoint", file=sys.stderr)
            self._waiting.appendleft(task)

    def _fail(self, flight: _Flight, why: str) -> None:
        self._release(flight)
        record_failure(flight.task.run, flight.task.unit, why)

    def _release(self, flight: _Flight) -> None:
        if flight.guard is not None:
            flight.guard.close()

    def _give_up_without_room(self, now: float) -> None:
        """Units that no node has room for any more have failed, unless one comes back soon."""
        not_begun = {flight.task: generator for generator, flight in self._flying.items() if flight.node is None}
        lacking = without_room([*not_begun, *self._waiting], self._engine.nodes())
        if not lacking:
            self._lacking_since = None
            return
        self._lacking_since = self._lacking_since or now
        if now - self._lacking_since < GRACE:
            return
        for task, why in lacking:
            if task in not_begun:
                self._ray.cancel(not_begun[task])
                self._fail(self._flying.pop(not_begun[task]), why)
            else:
                self._waiting.remove(task)
                self._fail(_Flight(task, None), why)

    def _interrupt(self) -> None:
        """Let units that train end their iteration, and none begin."""
        self._interrupted = True
        print("relook: ending after the iteration; once more to stop at once", file=sys.stderr)
        self._waiting.clear()
        self._engine.post(self._stop)
        for generator, flight in list(self._flying.items()):
            if flight.node is None:
                self._ray.cancel(generator)

    def _end(self) -> None:
        """Stop what still trains, and leave nothing behind."""
        for generator, flight in self._flying.items():
            self._ray.cancel(generator)
            self._release(flight)
        if self._flying:
            self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=5)
        self._engine.take_down(self._stop)
        for run in self._runs.values():
            (run.path / SHARED).unlink(missing_ok=True)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Signals that ask to end, as they come: the first is put into the list, the second is an interrupt.

    Nothing is torn by the first one: what it finds half written is written to its end.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    before = {kind: signal.signal(kind, hear) for kind in stop_signals()}
    try:
        yield heard
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _loss(error: Exception, node: str | None) -> str:
    """What was lost, in words."""
    where = "a node" if node is None else f"node {node}"
    match type(error).__name__:
        case "OutOfMemoryError":
            return f"{where} ran out of memory, and Ray ended the worker there"
        case "NodeDiedError" | "ObjectLostError" | "OwnerDiedError" | "ObjectFetchTimedOutError":
            return f"{where} died"
        case "WorkerCrashedError" | "LocalRayletDiedError":
            return f"the worker on {where} died"
        case other:
            return f"the worker on {where} was lost ({other}: {_first_line(error)})"


def _task_failure(error: Any, node: str | None) -> str:
    """Why a task of ours failed before its unit could."""
    address = re.search(r"ip=([\w.:]+)", str(error))
    where = node or (address[1] if address else "?")
    if "failed to import on the worker" in str(error.cause):
        return f"expected relook on every node of the cluster; node {where} cannot import it: install it there"
    return f"{type(error.cause).__name__} on node {where}: {_first_line(error.cause)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
