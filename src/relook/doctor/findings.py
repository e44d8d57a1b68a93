"""What a check says: a name, evidence with figures, likely causes, a remedy and the lesson to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning"]
"""`error`: something is broken, and what was learned is not to be trusted. `warning`: worth a look."""

LESSONS = "docs/doctor.md"
"""The page with a section on each check, named as the check is."""


@dataclass(frozen=True)
class Check:
    """What one file of `watch/` or `examine/` looks at."""

    name: str
    """Lower case, words joined by hyphens: also the name of its lesson."""
    component: str
    """What is broken where it finds something, in the words of `COMPONENTS`."""
    asks: str
    """The property that it asks for: a sentence that is true of what is healthy."""
    causes: tuple[str, ...]
    """What it usually comes from, the likeliest first."""
    remedy: str
    lesson: str
    """Why it matters and how one sees it, with sources: a paragraph of the page."""


COMPONENTS = (
    "environment",
    "buffer",
    "sampling",
    "networks",
    "exploration",
    "estimates",
    "policy loss",
    "value loss",
    "gradient",
    "optimiser",
    "target network",
    "temperature",
    "normalisation",
    "schedule",
    "evaluation",
    "randomness",
    "record",
    "hyper-parameters",
)
"""The parts of an algorithm that can be broken."""


@dataclass(frozen=True)
class Finding:
    """Something that a check found."""

    check: Check
    severity: Severity
    evidence: str
    """One sentence with figures: what was expected, and what was found."""
    where: str
    """Where to see it: a file and its field, or a command."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The figures of the evidence, for programs."""
    subject: str = ""
    """Whom it is about, if not all: an agent and its seed, a setting, an environment."""
    part: str = ""
    """Which component is broken, where that is not the check's own."""

    @property
    def component(self) -> str:
        return self.part or self.check.component

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "check": self.check.name,
            "component": self.component,
            "severity": self.severity,
            "subject": self.subject,
            "evidence": self.evidence,
            "figures": dict(self.figures),
            "where": self.where,
            "causes": list(self.check.causes),
            "remedy": self.check.remedy,
            "lesson": f"{LESSONS}#{self.check.name}",
        }


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Errors before warnings, otherwise in the order in which they were found."""
    return sorted(findings, key=lambda finding: finding.severity != "error")
