"""One tidy table: a row for each number of metrics, evaluations, episodes and timing."""

from collections.abc import Sequence
from pathlib import Path

from relook.errors import WrongRequest
from relook.runs.reading import Run
from relook.runs.tidy import tidy


def write(runs: Sequence[Run], out: Path) -> str:
    """Write a file. Its columns are described in `relook.runs.tidy.COLUMNS`."""
    if out.suffix != ".parquet":
        raise WrongRequest(f"expected --out to end in .parquet; found {out.name}")
    tidy(runs).write_parquet(out)
    return f"relook compare {out}"
