"""`relook work RUN UNIT`: what a worker process does. `relook train` calls it."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from relook.cli.options import parse
from relook.errors import WrongRequest


@dataclass
class Form:
    """Carry out one unit of work of a prepared run."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    unit: tyro.conf.Positional[int]
    """The unit's number."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """Repeats the function that makes the networks, if it is not ours."""
    threads: int = 1
    """Threads of large matrix products: processor cores that no other unit uses."""


def _end_with_parent(parent: int) -> None:
    """Whoever kills the command means its workers too: end after the iteration, with a checkpoint."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "work", arguments)
    from relook.population import use_threads
    from relook.runs.reading import Run
    from relook.training import work

    if form.threads < 1:
        raise WrongRequest(f"expected at least one thread; found {form.threads}")
    use_threads(form.threads)

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    prepared = Run(form.run)
    work(prepared, form.unit, prepared.environment(form.env), prepared.actor_critic(form.actor_critic))
