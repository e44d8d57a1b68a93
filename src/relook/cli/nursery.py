"""`relook nursery`: a process that becomes workers. `relook.workers.Nursery` calls it."""

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from relook.algorithms import ALGORITHMS


def run(arguments: Sequence[str]) -> None:
    """Fork a worker for each line of standard input; say its process number, and how it ended, on standard output."""
    import relook.cli.work
    import relook.training  # noqa: F401  # imported once, for all workers

    for known in ALGORITHMS.values():
        _ = known.config
    gc.freeze()  # what is there now is shared, as long as nobody writes to it
    deaths, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    unread = b""
    while True:
        ready, _, _ = select.select([0, deaths], [], [])
        if deaths in ready:
            os.read(deaths, 2**16)
            _tell_deaths()
        if 0 in ready:
            asked = os.read(0, 2**16)
            if not asked:
                return
            *lines, unread = (unread + asked).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    os.close(deaths)
                    os.close(wakes)
                    _work(json.loads(line))
                _say(pid=pid)


def _say(**answer: int) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _tell_deaths() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say(pid=pid, status=os.waitstatus_to_exitcode(status))


def _work(asked: dict[str, Any]) -> NoReturn:
    """Be the worker: with its own place, files and signals, and nothing of this process's but what it has imported."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(asked["directory"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.path[:] = asked["path"]
        from relook.cli.main import main

        status = main(asked["words"])
    except SystemExit as end:  # what the interpreter does with one, when it ends
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
