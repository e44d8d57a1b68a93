"""Carry out rows of the tables: `python -m benchmarks.learning [ROW …] [OPTION …]`; `… list` and `… page`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from benchmarks.learning import nine, page
from benchmarks.learning.rows import BY_NAME, RESULTS, ROWS, Row, Search
from benchmarks.timing import learning
from relook.runs.reading import Run, opened
from relook.runs.tidy import tidy


def carry_out(asked: Row | Search, options: list[str]) -> None:
    """Train what is left of a row or a search, and keep what came of it."""
    subprocess.run([sys.executable, "-m", "relook.cli", *asked.command.split()[1:], *options], check=True)
    out = Path(asked.command.split()[-1])
    RESULTS.mkdir(exist_ok=True)
    if isinstance(asked, Search):
        shutil.copy(out / "tuning.md", asked.report)
        shutil.copy(out / "tuning.json", asked.report.with_suffix(".json"))
    else:
        (run,) = opened(out)
        keep(asked, run)


def keep(row: Row, run: Run) -> None:
    """Every evaluation of every seed, and what it was made with and how."""
    frame = tidy([run]).filter(table="evaluations", name="mean_return").with_columns(run=pl.lit(row.name))
    made = {
        "command": row.command,
        "versions": json.dumps(run.record["versions"]),
        "commit": str(run.record["git"]["commit"]),
        "created": run.record["created"],
        "seconds": f"{seconds(run):.6g}",
    }
    frame.write_parquet(row.table, metadata=made)


def seconds(run: Run) -> float:
    """Seconds of a core that a seed's learning took: iterations × their median, so that a pause does not count."""
    units = learning(run.timing).group_by("unit").agg(pl.col("seconds").median() * pl.len())
    return float(units["seconds"].sum()) / len(run.agents)


def main(words: list[str]) -> None:
    options = next((words[i:] for i, word in enumerate(words) if word.startswith("-")), [])
    names = words[: len(words) - len(options)] or [row.name for row in ROWS]
    if names == ["list"]:
        for asked in BY_NAME.values():
            kept = asked.report if isinstance(asked, Search) else asked.table
            print(f"{'✓' if kept.exists() else ' '} {asked.name:40} {asked.command}")
        return
    if unknown := [name for name in names if name not in (*BY_NAME, "page")]:
        raise SystemExit(f"expected rows (`python -m benchmarks.learning list`), or page; found {', '.join(unknown)}")
    for name in names:
        if name != "page":
            carry_out(BY_NAME[name], options)
    page.write()
    if nine.carried_out():
        nine.write()


if __name__ == "__main__":
    main(sys.argv[1:])
