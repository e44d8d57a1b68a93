"""Where units of work are carried out: on this machine, or on many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from relook.workers import Task, in_processes


class Engine(Protocol):
    """Carries out units of work; what became of each is written in its run."""

    @property
    def workers(self) -> int:
        """How many units it trains at a time."""

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        """Train these units to their ends, or until somebody interrupts. `watch` is called a few times a second."""


class Embedded:
    """Processes of this machine."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        in_processes(tasks, self.workers, watch)
