"""What each part of an algorithm is worth: arms of an ablation compared, all of them at once."""

from __future__ import annotations

FULL, AGAIN, BASE = "full", "full again", "base"
"""The arms with all parts, with all of them once more, and with none."""


def left_out(part: str) -> str:
    """The arm with all parts but one."""
    return f"without {part}"


def added(part: str) -> str:
    """The arm with one part alone."""
    return f"base with {part}"
