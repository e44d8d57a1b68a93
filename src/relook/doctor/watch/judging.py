"""All checks on a run's agents: one finding for each check and setting, and what could not be looked at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from relook.doctor.findings import Check, Finding, worst_first
from relook.doctor.watch.watched import Missing, Watched
from relook.runs.tidy import figure

NAMED = 6
"""Agents that a finding names one by one."""


class Watching(Protocol):
    """A file of this room: what it asks for, and how it looks at one agent.

    `look` raises `Missing` where its inputs are not there. The figures of a finding have `excess`: how many times what
    is still healthy was found, by which the worst agent is chosen.
    """

    CHECK: Check

    def look(self, watched: Watched) -> Iterator[Finding]: ...


@dataclass(frozen=True)
class Report:
    """What came of looking at a run."""

    looked: int
    """Checks that had what they look at, for one agent at least."""
    findings: Sequence[Finding]
    """Errors first."""
    skipped: Mapping[str, str]
    """The names of the others, with what was missing."""


def judge(agents: Sequence[Watched], checks: Sequence[Watching]) -> Report:
    """Look at all agents of a run."""
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    groups = _by_setting(agents)
    for check in checks:
        missing: list[str] = []
        for setting, members in groups.items():
            seen: list[tuple[Watched, Finding]] = []
            for watched in members:
                findings_of, what = looked(check, watched)
                seen += [(watched, finding) for finding in findings_of]
                if what is not None:
                    missing.append(what)
            if seen:
                findings.append(_together(setting, members, seen))
        if len(missing) == len(agents):
            skipped[check.CHECK.name] = missing[0] if missing else "an agent"
    return Report(len(checks) - len(skipped), worst_first(findings), skipped)


def looked(check: Watching, watched: Watched) -> tuple[list[Finding], str | None]:
    """What a check finds in one agent, and, if it finds nothing, what was missing for any of its questions."""
    found: list[Finding] = []
    try:
        for finding in check.look(watched):
            found.append(finding)  # what was found before something was missing counts
    except Missing as what:
        return found, None if found else str(what)
    return found, None


def _by_setting(agents: Sequence[Watched]) -> dict[str, list[Watched]]:
    """Agents by what distinguishes their settings, in words."""
    names = agents[0].agent.hyperparameters if agents else {}
    differ = [name for name in names if len({str(one.agent.hyperparameters.get(name)) for one in agents}) > 1]
    groups: dict[str, list[Watched]] = {}
    for one in agents:
        values = ", ".join(f"{name}={figure(one.agent.hyperparameters.get(name))}" for name in differ)
        groups.setdefault(one.agent.arm or values, []).append(one)
    return groups


def _together(setting: str, members: Sequence[Watched], seen: Sequence[tuple[Watched, Finding]]) -> Finding:
    """One finding in place of one for each agent: the worst, and whom it is about."""

    def badness(one: tuple[Watched, Finding]) -> tuple[bool, float]:
        return one[1].severity == "error", float(one[1].figures.get("excess", 0.0))

    watched, worst = max(seen, key=badness)
    concerned = sorted({one.agent.agent for one, _ in seen})
    worst_one = f"agent {watched.agent.agent} (seed {watched.agent.seed})"
    if len(concerned) == 1:
        whom = f"{worst_one} of {len(members)}" if len(members) > 1 else worst_one
    else:
        all_of_them = len(concerned) == len(members)
        names = ", ".join(map(str, concerned[:NAMED])) + (", …" if len(concerned) > NAMED else "")
        count = f"all {len(members)} agents" if all_of_them else f"{len(concerned)} of {len(members)} agents ({names})"
        whom = f"{count}; worst {worst_one}"
    subject = f"{setting}: {whom}" if setting else whom
    figures: dict[str, Any] = {**worst.figures, "agent": watched.agent.agent, "agents": concerned}
    return replace(worst, subject=subject, figures=figures)
