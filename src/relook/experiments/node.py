"""What a node of a cluster does with a unit: train it in place, or in a scratch directory if it sees no common storage.

A unit is carried out in a process of its own, as on one machine. This file knows nothing of the cluster's engine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from relook.errors import RelookError
from relook.experiments.shipping import Parcel, Receiver, Sender
from relook.runs.files import lock, no_link
from relook.runs.reading import Run
from relook.workers import LOOK, start

SHARED = ".shared"
"""A file of a run that holds a token while it trains: whoever reads the same token sees the same storage."""
SCRATCH = "relook-scratch-"
CHECK = 1.0
"""Seconds between two looks at what else there is to do while a unit trains."""
SEND = 3.0
"""Seconds between two sendings of what grows, when there is no new checkpoint."""
PATIENCE = 600
"""Seconds to wait for a process whose Ray worker was killed: it ends its iteration first."""

Report = tuple[str, Any]
"""begun: on which node; asks: for the unit's files; parcel: what is new of them; ended: with a status; failed: why."""


@dataclass(frozen=True)
class Order:
    """A unit of work, as a node is asked to carry it out: nothing but what JSON can hold."""

    record: Mapping[str, Any]
    """Of its run, with the unit's agents alone."""
    unit: int
    trusted: str | None
    """Repeats the environment's name if it imports code: whoever asks has said it."""
    path: str
    """Where the run lies for who asks."""
    token: str
    """What is in its file `SHARED`."""
    storage: str
    """auto, shared or objects."""
    begun: bool
    """Whether the unit has been trained before."""


def train(
    order: Order, parcels: Iterable[Parcel] | None, interrupted: Callable[[], bool], node: str
) -> Iterator[Report]:
    """Carry out a unit, and report.

    `parcels` are the unit's files, if they were sent along. Once `interrupted` says so, the unit ends its iteration.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # Ray blocks it, and what we start would inherit that
    yield "begun", node
    _sweep()
    try:
        _check_versions(order.record["versions"], node)
        if _is_shared(order):
            run = Run(order.path)
            _wait_for(run.unit_directory(order.unit), interrupted)
            yield from _carry_out(run, order, interrupted, node)
        elif order.storage == "shared":
            raise RelookError(
                f"expected node {node} to see {order.path}; it does not: mount the same storage there, or leave out "
                f"--storage shared"
            )
        elif order.begun and parcels is None:
            yield "asks", ""
        else:
            with _scratch(order.record) as run:
                sender = _unpacked(run.unit_directory(order.unit), parcels or ())
                yield from _carry_out(run, order, interrupted, node, sender)
    except OSError as error:
        yield "failed", f"cannot write on node {node}: {error.strerror}; make room there"
    except RelookError as error:
        yield "failed", str(error)


def _check_versions(then: Mapping[str, str | None], node: str) -> None:
    """Raise `RelookError` if this node has other packages than those that the run was made with."""
    now = {name: _version(name) for name in then if name != "python"}
    others = [name for name in now if now[name] != then[name]]
    if others:
        wanted, found = (", ".join(f"{name} {own[name]}" for name in others) for own in (then, now))
        raise RelookError(
            f"expected {wanted} on node {node}, as the run was made with; found {found}; install the same"
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_shared(order: Order) -> bool:
    """Whether this node sees the directory that the unit lies in."""
    if order.storage == "objects":
        return False
    try:
        return no_link(Path(order.path) / SHARED).read_text(encoding="utf-8") == order.token
    except (OSError, UnicodeDecodeError):
        return False


def _wait_for(directory: Path, interrupted: Callable[[], bool]) -> None:
    """Wait until nobody trains in a directory any more: a worker that was lost may leave a process behind."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and not interrupted():
        try:
            return lock(directory).close()
        except RelookError as error:
            if error.__cause__ is not None:  # nobody holds it; it cannot be written
                raise
    return None


@contextmanager
def _scratch(record: Mapping[str, Any]) -> Iterator[Run]:
    """The run in a directory of its own on this machine, which goes when the unit has ended."""
    place = Path(tempfile.mkdtemp(prefix=SCRATCH))
    try:
        with lock(place):
            (place / "run.json").write_text(json.dumps(record), encoding="utf-8")
            yield Run(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep() -> None:
    """Take away what was left on this machine by units that were killed."""
    import fcntl

    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*/lock"):
        with suppress(OSError), left.open("rb") as file:  # somebody else's, or in use
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)


def _unpacked(directory: Path, parcels: Iterable[Parcel]) -> Sender:
    """Write what was sent along, and be ready to send what comes."""
    receiver = Receiver(directory)
    for pieces, gone in parcels:
        receiver.take(pieces, gone)
    sender = Sender(directory)
    sender.skip()
    return sender


def _carry_out(
    run: Run, order: Order, interrupted: Callable[[], bool], node: str, sender: Sender | None = None
) -> Iterator[Report]:
    """Train a unit in a process; with a `sender`, send what it writes."""
    if interrupted():
        return
    directory = run.unit_directory(order.unit)
    directory.mkdir(parents=True, exist_ok=True)
    with no_link(directory / "worker.log").open("a", encoding="utf-8") as log:
        log.write(f"on node {node}\n")
    parent, told, looked, sent = os.getppid(), False, time.monotonic(), time.monotonic()
    worker = start(run, order.unit, order.trusted, 1, fork=True)
    try:
        while (status := worker.poll()) is None:
            time.sleep(LOOK)
            if (now := time.monotonic()) - looked < CHECK:
                continue
            looked = now
            if os.getppid() != parent:
                sys.exit("the node's raylet has gone")
            if not told and interrupted():
                told = True
                worker.send_signal(signal.SIGINT if "networks" in run.unit_events(order.unit) else signal.SIGKILL)
            if sender and (sender.unsent_checkpoint() or (now - sent > SEND and sender.grown())):
                yield from (("parcel", parcel) for parcel in sender.parcels())
                sent = now
        if sender:
            yield from (("parcel", parcel) for parcel in sender.parcels())
        yield "ended", status
    finally:
        worker.kill()
