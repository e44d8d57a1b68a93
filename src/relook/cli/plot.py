"""`relook plot RUN…`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from relook.cli.options import output_file, parse
from relook.errors import WrongRequest
from relook.runs.reading import named, opened


@dataclass
class Form:
    """Draw learning curves of any runs: a thin line for each seed, a thick one for their centre, and a band."""

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN…")]
    """[NAME=]RUN: directories of runs, or of grids; runs of the same name are one."""
    y: Annotated[str, tyro.conf.arg(metavar="NAME")] = "evaluation"
    """evaluation (returns of deterministic episodes), stochastic-evaluation, or any metric, such as episode_return."""
    x: Literal["steps", "updates", "time"] = "steps"
    """Environment steps or updates of each agent, or seconds."""
    group: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY…")] = ()
    """A line for each value of these: run, algorithm, preset, task, seed, arm, or hyper-parameters. By run and setting
    unless said otherwise."""
    facet: Annotated[str | None, tyro.conf.arg(metavar="KEY")] = None
    """A panel for each value of this; for each task if there are several."""
    centre: Literal["mean", "iqm", "none"] = "mean"
    """The thick line: mean or interquartile mean of the seeds, or none."""
    band: Literal["pointwise", "simultaneous", "none"] = "pointwise"
    """95 % interval of the centre: at each step by itself, or for the whole curve at once (wider)."""
    smooth: int = 1
    """Draw means of this many points up to each; the axis says so."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png|.svg|.pdf")] = None
    """The picture; learning-curves.png in the first run's directory unless said otherwise."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "plot", arguments)
    if not form.runs:
        raise WrongRequest("expected at least one run directory; found none")
    if form.smooth < 1:
        raise WrongRequest(f"expected --smooth of at least one point; found {form.smooth}")
    if form.centre == "iqm" and form.band == "simultaneous":
        raise WrongRequest("expected --band pointwise or none for an IQM; a simultaneous band is one of the mean")
    there = [(name or str(run.path), run) for name, path in map(named, form.runs) for run in opened(path)]
    runs = [run for _, run in there]
    path = output_file(form.out or runs[0].path / "learning-curves.png", "--out")

    from relook.statistics import plots
    from relook.statistics.lines import X_LABELS, differing, grouped, lines, y_label

    plots.check_suffix(path)
    several = len({name for name, _ in there}) > 1
    # A branch is drawn from where it branches off.
    since = {id(run): run.record.get("ancestor", {"at": 0})["at"] if several else 0 for run in runs}
    found = [line for name, run in there for line in lines(run, name, form.y, form.x, since[id(run)])]
    facet = form.facet or ("task" if len({line.keys["task"] for line in found}) > 1 else None)
    by = form.group or [*(["run"] if several else []), *differing(found)]
    label, meaning = y_label(runs, form.y)
    subject = " and ".join(sorted({run.algorithm for run in runs}))
    if facet != "task":
        subject += f" on {found[0].keys['task']}"
    drawing = plots.Drawing(
        title=f"{subject}\n{meaning}".strip(),
        x_label=X_LABELS[form.x],
        y_label=label,
        centre=form.centre,
        band=form.band,
        smooth=form.smooth,
        same_scale=facet != "task",
        branches=[float(at) for at in since.values() if at and form.x == "steps"],
    )
    plots.save(plots.learning_curves(grouped(found, by, facet), drawing), path)
    print(path)
