"""`relook sensitivity RUN…`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from relook.cli.options import output_file, parse
from relook.errors import WrongRequest

if TYPE_CHECKING:
    from relook.statistics.reports import Table
    from relook.statistics.scores import Training
    from relook.statistics.sensitivity import Rules, Study


@dataclass
class Form:
    """Say how much an algorithm gains by tuning for each environment, and which hyper-parameters that takes.

    Grids of one or more algorithms over several environments with several settings; or tidy tables of anybody's
    scores, see docs/sensitivity.md.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN…")]
    """[NAME=]RUN, a grid, or [NAME=]TABLE."""
    hyperparameters: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Which columns of tables are hyper-parameters."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Only these algorithms, by their exact names."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Only these environments, by their exact names."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The algorithm that divides the plane of the picture; the first unless said otherwise."""
    score: Annotated[Literal["final", "auc"], tyro.conf.arg(metavar="{final,auc}")] = "final"
    """final: the mean of the last evaluations; auc: the mean over training."""
    last: int = 1
    """How many last evaluations the final score is the mean of."""
    steps: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Score at this step."""
    mode: Literal["deterministic", "stochastic"] = "deterministic"
    """Which evaluations of runs count."""
    failed_score: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """What a training that failed scores; what it had reached unless said otherwise."""
    alpha: float = 0.05
    """Intervals have the level 1 - α."""
    allow: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WHAT…")] = ()
    """Go on in spite of: phases, tuning, budgets, time-limit, evaluation-mode, reward-scaling, env-versions."""
    json: bool = False
    """Print JSON for programs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """A directory for the study as JSON, Markdown and pictures."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "sensitivity", arguments)
    if not form.runs:
        raise WrongRequest("expected at least one grid, run directory, .csv or .parquet file; found none")
    rules = _rules(form)

    from relook.cli.tables import print_tables
    from relook.statistics import sensitivity_reports as reports
    from relook.statistics.sensitivity import sensitivity

    found = sensitivity(_read(form), rules, form.allow)
    baseline = form.baseline or next(iter(found.algorithms))
    if baseline not in found.algorithms:
        raise WrongRequest(f"expected --baseline with one of {', '.join(found.algorithms)}; found {baseline!r}")
    heading, tables, content = reports.heading(found), [*reports.tables(found)], reports.as_json(found)
    written = [] if form.out is None else _write(form.out, found, baseline, heading, tables, content)
    if form.json:
        print(json.dumps(content, indent=1, allow_nan=False))
        return
    print_tables(heading, tables)
    if written:
        print(f"{form.out}: {', '.join(written)}")


def _rules(form: Form) -> Rules:
    from relook.statistics.scores import ALLOWANCES
    from relook.statistics.sensitivity import Rules

    if unknown := [name for name in form.allow if name not in ALLOWANCES]:
        raise WrongRequest(f"expected --allow with one of {', '.join(ALLOWANCES)}; found {unknown[0]!r}")
    for name, value, low, high in (
        ("--alpha", form.alpha, 0.0, 0.5),
        ("--last", form.last, 0, float("inf")),
        ("--steps", form.steps, 0, float("inf")),
    ):
        if value is not None and not low < value < high:
            raise WrongRequest(f"expected {name} between {low:g} and {high:g}; found {value:g}")
    return Rules(form.score, form.last, form.failed_score, 1 - form.alpha)


def _read(form: Form) -> list[Training]:
    """The trainings that were asked for, until the step that was asked for."""
    from relook.statistics.scores import read, select

    settings = [name.lower() for name in form.hyperparameters]
    found = [training for source in form.runs for training in read(source, form.mode, settings)]
    found = select([replace(t, method=t.algorithm or t.method) for t in found], form.methods, form.tasks)
    return found if form.steps is None else [t.until(form.steps) for t in found]


def _write(
    out: Path, found: Study, baseline: str, heading: Sequence[str], tables: Sequence[Table], content: dict[str, Any]
) -> list[str]:
    """Everything into a directory, which may hold an older study: its pictures go. Returns the files' names."""
    from relook.runs.files import safe_name
    from relook.statistics.plots import save
    from relook.statistics.reports import markdown
    from relook.statistics.sensitivity_plots import pictures

    if out.exists() and not out.is_dir():
        raise WrongRequest(f"expected --out to be a directory; {out} is a file")
    output_file(out, "--out").mkdir(exist_ok=True)
    written = ["sensitivity.json", "sensitivity.md"]
    (out / written[0]).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / written[1]).write_text(markdown(heading, tables, "Sensitivity"), encoding="utf-8")
    for old in (*out.glob("values-*.png"), out / "plane.png"):
        old.unlink(missing_ok=True)
    for name, figure in pictures(found, baseline):
        written.append(f"{safe_name(name)}.png")
        save(figure, out / written[-1])
    return written
