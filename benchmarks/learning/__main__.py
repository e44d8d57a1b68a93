"""Carry out rows of the tables: `python -m benchmarks.learning [ROW …] [OPTION …]`; `… list` and `… page`."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl

from benchmarks.learning import page
from benchmarks.learning.rows import BY_NAME, RESULTS, ROWS, Row
from relook.runs.reading import Run, opened
from relook.runs.tidy import tidy


def carry_out(row: Row, options: list[str]) -> None:
    """Train what is left of a row, and keep its evaluations."""
    subprocess.run([sys.executable, "-m", "relook.cli", *row.command.split()[1:], *options], check=True)
    (run,) = opened(Path(row.command.split()[-1]))
    keep(row, run)


def keep(row: Row, run: Run) -> None:
    """Every evaluation of every seed, and what it was made with and how."""
    frame = tidy([run]).filter(table="evaluations", name="mean_return").with_columns(run=pl.lit(row.name))
    made = {
        "command": row.command,
        "versions": json.dumps(run.record["versions"]),
        "commit": str(run.record["git"]["commit"]),
        "created": run.record["created"],
    }
    RESULTS.mkdir(exist_ok=True)
    frame.write_parquet(row.table, metadata=made)


def main(words: list[str]) -> None:
    options = next((words[i:] for i, word in enumerate(words) if word.startswith("-")), [])
    names = words[: len(words) - len(options)] or [row.name for row in ROWS]
    if names == ["list"]:
        for row in ROWS:
            print(f"{'✓' if row.table.exists() else ' '} {row.name:45} {row.command}")
        return
    if unknown := [name for name in names if name not in (*BY_NAME, "page")]:
        raise SystemExit(f"expected rows (`python -m benchmarks.learning list`), or page; found {', '.join(unknown)}")
    for name in names:
        if name != "page":
            carry_out(BY_NAME[name], options)
    page.write()


if __name__ == "__main__":
    main(sys.argv[1:])
