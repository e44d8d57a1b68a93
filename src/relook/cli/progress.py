"""The progress line of `relook train`: read from the run's own files, like everything that looks at runs."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from relook.cli.tables import print_settings, stopped
from relook.doctor.findings import Finding
from relook.doctor.watch.live import Live
from relook.errors import RelookError, WrongRequest
from relook.runs.files import number
from relook.runs.reading import Run


class Tail:
    """The new whole lines of a growing file, which may be cut before it grows again."""

    def __init__(self, path: Path) -> None:
        self._path, self._position = path, 0

    def read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            self._position = min(self._position, file.seek(0, 2))
            file.seek(self._position)
            whole, end, _ = file.read().rpartition(b"\n")
        self._position += len(whole) + len(end)
        return [json.loads(line) for line in whole.splitlines()]


class Newest:
    """What has become of a run's agents so far, from the files that its workers write."""

    def __init__(self, run: Run, doctor: Live | None = None) -> None:
        """`doctor` is told what is read."""
        self._doctor = doctor
        self.steps = {agent.agent: 0 for agent in run.agents}
        self.returns: dict[int, float] = {}
        """The newest training returns."""
        self.events: list[tuple[int, dict[str, Any]]] = []
        """Everything that units said about themselves, in the order in which it was read."""
        units = {unit: run.unit_directory(unit) for unit in run.units}
        self.ended = False
        """Whether no unit trains any longer."""
        self._training = set(run.units)
        self._tails = {unit: (Tail(at / "events.jsonl"), Tail(at / "metrics.jsonl")) for unit, at in units.items()}

    def update(self) -> list[tuple[int, dict[str, Any]]]:
        """Read what has been written since; returns the new events with their units. Finished units are left alone."""
        new = []
        for unit, (events, metrics) in list(self._tails.items()):
            own = [(unit, event) for event in events.read()]
            rows = metrics.read()
            if self._doctor is not None:
                self._doctor.take(unit, [event for _, event in own], rows)
            for row in rows:
                self.steps[row["agent"]] = row["steps"]
                if row["episode_return"] is not None:
                    self.returns[row["agent"]] = number(row["episode_return"])
            if any(event["event"] == "finished" for _, event in own):
                del self._tails[unit]
            if any(event["event"] in ("finished", "interrupted", "failed") for _, event in own):
                self._training.discard(unit)
            new += own
        self.ended = not self._training
        self.events += new
        return new


class Progress:
    """Share done, return so far over agents, steps per second, time left, what stopped.

    The line is drawn on a terminal only; what limits a run's promises is said anywhere.
    """

    def __init__(self, run: Run, steps: int, stream: TextIO, doctor: Live | None = None, *, strict: bool) -> None:
        """`steps` is what all agents will make together; `strict` ends training where the `doctor` finds an error."""
        self._run = run
        self._newest = Newest(run, doctor)
        self._doctor, self._strict, self._steps = doctor, strict, steps
        self._notes: Counter[str] = Counter()
        self._began: float | None = None
        self._before = 0
        self._console = Console(file=stream)
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[returns]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            TextColumn("{task.fields[notes]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        title = f"{run.algorithm} {run.environment_name} × {len(run.agents)}"
        self._task = self._bar.add_task(title, total=steps, returns="starting", speed="", notes="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self) -> None:
        """Read what the workers have written since, and say what is worth a line of its own."""
        for unit, event in self._newest.update():
            self._say(unit, event)
        done = sum(self._newest.steps.values())
        if self._began is None and done:  # what a run that goes on had made before does not count
            self._began, self._before = time.monotonic(), done
        elapsed = time.monotonic() - self._began if self._began else 0
        if self._doctor is not None:
            self._tell(self._doctor.look(done / self._steps))
            if self._strict and self._doctor.broken is not None and not self._newest.ended:
                self._strict = False  # once is enough: a second interrupt would kill
                raise KeyboardInterrupt
        self._bar.update(
            self._task,
            completed=done,
            returns=self._returns_so_far(),
            speed=f"{(done - self._before) / elapsed:,.0f} steps/s" if elapsed > 1 else "",
            notes=", ".join(f"{count} {what}" for what, count in self._notes.items()),
        )

    def conclude(self, *, failed: bool = False) -> None:
        """After training: what the doctor finds in all of it, and one line that says how much that is.

        Where training failed or was interrupted, it would mislead to say that nothing was found.
        """
        if self._doctor is None:
            return
        self._tell(self._doctor.look_again())
        if self._doctor.found or not failed:
            self._console.print(self._doctor.summary(), highlight=False, markup=False, soft_wrap=True)

    def _tell(self, findings: Sequence[Finding]) -> None:
        """A short paragraph each."""
        for finding in findings:
            self._console.print(
                f"doctor: {finding.severity}: {finding.check.name}, {finding.subject}: {finding.evidence}. Perhaps "
                f"{finding.check.causes[0]}.",
                style="red" if finding.severity == "error" else "yellow",
                highlight=False,
                markup=False,
            )

    def _returns_so_far(self) -> str:
        if not self._newest.returns:
            return "starting" if not self._began else "no episode has ended"
        returns = np.array(list(self._newest.returns.values()))
        return f"return {returns.mean():,.0f} (worst {returns.min():,.0f})"

    def _say(self, unit: int, event: dict[str, Any]) -> None:
        members = sum(agent.unit == unit for agent in self._run.agents)
        match event:
            case {"event": "checked", "numerics": numerics, "replay": replay}:
                if numerics != "exact":
                    self._console.print(
                        "note: on this machine an agent's numbers depend on the agents it trains with, in the last bit"
                    )
                if replay != "exact" and unit == self._run.units[0]:
                    self._console.print(
                        "note: this environment does not repeat an episode from its seed and actions; episodes of "
                        "this run cannot be replayed, and resuming it begins new ones"
                    )
            case {"event": "resumed", "steps": int(steps), "passed_over": list(passed_over)}:
                for problem in passed_over:
                    self._console.print(f"note: {problem}; the one before it is taken", style="yellow", highlight=False)
                self._console.print(f"unit {unit} goes on from step {steps:,}", highlight=False)
            case {"event": "episodes given up", "environments": list(environments)}:
                self._console.print(
                    f"note: {len(environments)} running episodes of unit {unit} did not come out as they had been; new "
                    f"ones begin, and the run is no longer exact",
                    style="yellow",
                    highlight=False,
                )
            case {"event": "finished" | "interrupted" as end}:
                self._notes[end] += members - len(self._run.stopped(unit))
            case {"event": "failed"}:
                self._notes["stopped"] += members
            case {"event": "stopped", "status": str(status)}:
                self._notes[status] += 1
                self._console.print(stopped(self._run, event), style="yellow", highlight=False)


@contextmanager
def showing(run: Run, steps: int, doctor: Live | None = None, *, strict: bool = False) -> Iterator[Progress]:
    """The progress line while a run is trained, and a table of what became of it, also if only a part did.

    A `doctor` looks on. With `strict` an error that it finds does what a first Ctrl-C does.
    """
    progress = Progress(run, steps, sys.stderr, doctor, strict=strict)
    try:
        with progress:
            yield progress
    except WrongRequest:
        raise
    except RelookError:
        print_settings(Run(run.path))
        progress.conclude(failed=True)
        raise
    print_settings(Run(run.path))
    progress.conclude()
