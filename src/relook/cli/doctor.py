"""`relook doctor run RUN`, and the words that lead to other files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from relook.cli import doctor_algorithm, doctor_functions, doctor_self_test
from relook.cli.findings import print_finding
from relook.cli.options import parse
from relook.doctor.watch.checks import CHECKS
from relook.doctor.watch.judging import Report, judge
from relook.doctor.watch.records import AFTERWARDS, Records
from relook.doctor.watch.watched import Watched
from relook.errors import RelookError, WrongRequest
from relook.runs.files import plain
from relook.runs.reading import Run, opened

WORDS = {
    "run": "look at what a run, or all runs of a grid, have written: relook doctor run runs/first",
    "algorithm": "examine an algorithm, ours or anybody's: relook doctor algorithm ppo",
    "functions": "examine losses and updates of your own: relook doctor functions losses",
    "self-test": "plant bugs in a copy of relook, and see whether they are noticed",
}


@dataclass
class Form:
    """Look at what a run has written: is it what it should be? Exits with status 1 if something is broken.

    Nothing is trained and nothing is played: only the run's files are read.
    """

    run: tyro.conf.Positional[Path]
    """The run's directory, or that of a grid."""
    json: bool = False
    """Print JSON for programs."""


def usage() -> str:
    lines = ["usage: relook doctor WORD …      (relook doctor WORD --help says more)", ""]
    return "\n".join([*lines, *(f"  {word:<12}{meaning}" for word, meaning in WORDS.items())])


def run(arguments: Sequence[str]) -> None:
    match arguments:
        case [] | ["--help" | "-h", *_]:
            print(usage())
        case ["run", *rest]:
            _runs(rest)
        case ["algorithm", *rest]:
            doctor_algorithm.run(rest)
        case ["functions", *rest]:
            doctor_functions.run(rest)
        case ["self-test", *rest]:
            doctor_self_test.run(rest)
        case [word, *_]:
            raise WrongRequest(
                f"expected relook doctor with a word among {', '.join(WORDS)}; found {word!r}; see relook doctor --help"
            )


def _runs(arguments: Sequence[str]) -> None:
    form = parse(Form, "doctor run", arguments)
    reports = []
    for one in opened(form.run):
        agents = Records(one).read().watched(AFTERWARDS)
        reports.append((one, agents, judge(agents, CHECKS)))
    if form.json:
        print(json.dumps(plain({"runs": [_record(*report) for report in reports]}), indent=1, allow_nan=False))
    else:
        console = Console(highlight=False, markup=False)
        for number, report in enumerate(reports):
            if number:
                console.print()
            _print(console, *report)
    broken = [finding for _, _, report in reports for finding in report.findings if finding.severity == "error"]
    if broken:
        names = ", ".join(dict.fromkeys(finding.check.name for finding in broken))
        raise RelookError(f"{form.run} is not what it should be: {names}")


def _record(run: Run, agents: Sequence[Watched], report: Report) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "algorithm": run.algorithm,
        "environment": run.environment_name,
        "agents": len(agents),
        "checks": report.looked,
        "skipped": [{"check": name, "missing": missing} for name, missing in report.skipped.items()],
        "findings": [finding.record() for finding in report.findings],
    }


def _print(console: Console, run: Run, agents: Sequence[Watched], report: Report) -> None:
    steps = max((int(one.steps[-1]) for one in agents if len(one.steps)), default=0)
    console.print(f"{run.algorithm} on {run.environment_name}", style="bold", end="")
    console.print(f"  {run.path}", style="dim", soft_wrap=True)
    console.print(f"{len(agents)} agents, {steps:,} of {run.steps:,} steps; {report.looked} checks")
    if report.skipped:
        console.print(f"nothing to look at for {', '.join(report.skipped)} (--json says why)", style="dim")
    if not report.findings:
        console.print("Nothing found.", style="green")
    for finding in report.findings:
        console.print()
        print_finding(console, finding)
