"""Where units of work are carried out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relook.workers import Task, in_processes


class Engine(Protocol):
    """Carries out units of work."""

    @property
    def workers(self) -> int:
        """How many units train at a time."""
        ...

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        """Carry out units; returns when all have ended, one way or another. `watch` is called a few times a second."""
        ...


@dataclass(frozen=True)
class Embedded:
    """Processes on this machine."""

    workers: int

    def carry_out(self, tasks: Sequence[Task], watch: Callable[[], None]) -> None:
        in_processes(tasks, self.workers, watch)
