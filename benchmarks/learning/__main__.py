"""Carry out rows of the tables: `python -m benchmarks.learning [ROW …]`; `… list`, `… page` and `… computing`."""

import json
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

import polars as pl

from benchmarks.learning import computing, nine, page
from benchmarks.learning.rows import BY_NAME, PLANNED, RESULTS, Row, Search
from relook.runs.reading import Run, opened
from relook.runs.tidy import tidy

WHERE = ("workers", "engine", "address", "storage")
"""What `relook grid` and `relook tune` may be told besides: where they train, and not what."""


def carry_out(asked: Row | Search, options: Sequence[str]) -> None:
    """Train what is left of a row or a search, and keep what came of it."""
    ended = subprocess.run([sys.executable, "-m", "relook.cli", *asked.command.split()[1:], *options], check=False)
    if ended.returncode:
        raise SystemExit(ended.returncode)  # it has said why
    RESULTS.mkdir(exist_ok=True)
    if isinstance(asked, Search):
        shutil.copy(asked.out / "tuning.md", asked.report)
        shutil.copy(asked.out / "tuning.json", asked.report.with_suffix(".json"))
    else:
        (run,) = opened(asked.out)
        keep(asked, run)


def keep(row: Row, run: Run) -> None:
    """Every evaluation of every seed, and what it was made with and how."""
    frame = tidy([run]).filter(table="evaluations", name="mean_return").with_columns(run=pl.lit(row.name))
    made = {
        "command": row.command,
        "versions": json.dumps(run.record["versions"]),
        "commit": str(run.record["git"]["commit"]),
        "created": run.record["created"],
    }
    frame.write_parquet(row.table, metadata=made)


def show() -> None:
    """What there is, and which of it has been carried out."""
    for asked in BY_NAME.values():
        kept = asked.report if isinstance(asked, Search) else asked.table
        print(f"{'✓' if kept.exists() else ' '} {asked.name:40} {asked.command}")


def main(words: Sequence[str]) -> None:
    parser = ArgumentParser("python -m benchmarks.learning")
    parser.description = "Carry out rows of the tables one after another, and make the pages anew."
    parser.add_argument(
        "names", nargs="*", metavar="ROW", help="a row, a search, list, page or computing; all rows without"
    )
    for option in WHERE:
        parser.add_argument(f"--{option}", help="as `relook grid` has it")
    form = parser.parse_args(words)
    options = [word for name in WHERE if (value := getattr(form, name)) for word in (f"--{name}", value)]
    names = form.names or [*(row.name for row in PLANNED), "computing"]
    if unknown := [name for name in names if name not in (*BY_NAME, "list", "page", "computing")]:
        rows = "rows (`python -m benchmarks.learning list`)"
        parser.error(f"expected {rows}, list, page or computing; found {', '.join(unknown)}")
    if "list" in names:
        show()
        return
    for name in names:
        if name in BY_NAME:
            carry_out(BY_NAME[name], options)
    if "computing" in names:
        computing.measure(nine.timed())
    page.write()
    if nine.carried_out():
        nine.write()


if __name__ == "__main__":
    main(sys.argv[1:])
