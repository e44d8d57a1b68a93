"""Normalised scores: (score - random) / (high - random), from a table with a version, never from the compared runs."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from relook.errors import WrongRequest
from relook.runs.files import MOST_BYTES


@dataclass(frozen=True)
class Reference:
    """What random and good behaviour score, task by task."""

    version: str
    scores: Mapping[str, tuple[float, float]]
    """Task → (random, high)."""

    def normalise(self, task: str, score: float) -> float:
        """0 for random behaviour, 1 for the high score. Raises `WrongRequest` for a task that is not in the table."""
        name = task if task in self.scores else task.partition(" (")[0]
        if name not in self.scores:
            raise WrongRequest(
                f"expected every task in the reference scores {self.version}; found no {task}; add it to a table of "
                f"your own (--reference FILE.toml), or compare each task by itself (--reference none)"
            )
        low, high = self.scores[name]
        return (score - low) / (high - low)


def reference(path: Path | None = None) -> Reference:
    """The table of a TOML file: `version`, and for each task `[scores."TASK"]` with `random` and `high`; ours if None.

    Raises `WrongRequest` for a file of another form.
    """
    if path is None:
        return _table(tomllib.loads(files(__package__).joinpath("reference_scores.toml").read_text(encoding="utf-8")))
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise WrongRequest(f"expected a table of reference scores in {path}; found no file, or one that is too large")
    try:
        return _table(tomllib.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WrongRequest(
            f'expected a version and [scores."TASK"] with random and high, two different numbers, in {path}; found '
            f"{error!r}"
        ) from error


def _table(content: Mapping[str, Any]) -> Reference:
    scores = {str(task): (float(row["random"]), float(row["high"])) for task, row in content["scores"].items()}
    if not all(math.isfinite(low) and math.isfinite(high) and low != high for low, high in scores.values()):
        raise ValueError("random and high that are equal or not finite")
    return Reference(str(content["version"]), scores)
