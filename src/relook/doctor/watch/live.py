"""The doctor beside a training: a few looks, a few sentences, and next to no time."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from relook.doctor.findings import Finding
from relook.doctor.watch.checks import CHECKS
from relook.doctor.watch.judging import judge
from relook.doctor.watch.records import LIVE, Records
from relook.runs.files import read_lines
from relook.runs.reading import Run

EVERY = 0.05
"""Share of the training between two looks."""

SHARE = 0.01
"""Of the time that training has taken so far: a look that would go beyond is left out. The last one is made anyway."""

MOST = 5
"""Findings that are told while training; the rest is a number at the end."""


class Live:
    """Looks at a run now and then while it trains."""

    def __init__(self, run: Run) -> None:
        self._records = Records(run)
        self._read = dict.fromkeys(run.units, 0)
        self._began = time.monotonic()
        self._next, self._latest = EVERY, 0.0
        self._told: set[tuple[str, str]] = set()
        self.seconds = 0.0
        """Time spent in here, all together."""
        self.found: list[Finding] = []
        """By the newest look."""
        self.broken: Finding | None = None
        """The first error."""
        self.failed: Exception | None = None
        """What ended the watching: whatever is wrong with the doctor, the training goes on."""

    def take(self, unit: int, events: Iterable[Mapping[str, Any]], metrics: Iterable[Mapping[str, Any]]) -> None:
        """New lines of a unit."""
        began = time.monotonic()
        if self.failed is None:
            try:
                self._records.take_events(unit, events)
                self._records.take_metrics(unit, metrics)
            except Exception as error:
                self.failed = error
        self.seconds += time.monotonic() - began

    def look(self, done: float) -> list[Finding]:
        """What to tell now that a share of the training is done: nothing, unless it is time for a look."""
        if done < self._next:
            return []
        self._next = done - done % EVERY + EVERY
        if self.seconds + self._latest > SHARE * (time.monotonic() - self._began):
            return []
        return self.look_again()

    def look_again(self) -> list[Finding]:
        """Look, and give what has not been told yet, errors first."""
        began = time.monotonic()
        if self.failed is None:
            try:
                self._look()
            except Exception as error:
                self.failed = error
        self._latest = time.monotonic() - began
        self.seconds += self._latest
        new = [finding for finding in self.found if _key(finding) not in self._told][: MOST - len(self._told)]
        self._told |= {_key(finding) for finding in new}
        return new

    def _look(self) -> None:
        run = self._records.run
        for unit in run.units:
            rows = read_lines(run.unit_directory(unit) / "evaluations.jsonl")
            self._records.take_evaluations(unit, rows[self._read[unit] :])
            self._read[unit] = len(rows)
        self.found = list(judge(self._records.watched(LIVE), CHECKS).findings)
        if self.broken is None:
            self.broken = next((finding for finding in self.found if finding.severity == "error"), None)

    def summary(self) -> str:
        """One line for the end."""
        if self.failed is not None:
            return f"doctor: gave up watching ({self.failed}); relook doctor run {self._records.run.path} looks again"
        if self.found:
            count = f"{len(self.found)} finding{'s' if len(self.found) > 1 else ''}"
            return f"doctor: {count}, relook doctor run {self._records.run.path} says more"
        return "doctor: nothing found" + (" in the end" if self._told else "")


def _key(finding: Finding) -> tuple[str, str]:
    """A check and a setting: other agents of it are no news."""
    setting, colon, _ = finding.subject.rpartition(": ")
    return finding.check.name, setting if colon else ""
