"""`relook plot RUN…`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
import tyro

from relook.cli.options import output_file, parse
from relook.cli.tables import setting_name
from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run


@dataclass
class Form:
    """Draw the learning curves of runs: a thin line for each seed, a thick one for their centre."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    value: Literal["evaluation", "training"] = "evaluation"
    """Returns of the deterministic evaluation episodes, or of the training episodes."""
    centre: Literal["mean", "iqm"] = "mean"
    """The thick line: mean with its 95 % interval, or interquartile mean."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """The picture; learning-curves.png in the first run's directory unless said otherwise."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "plot", arguments)
    if not form.runs:
        raise WrongRequest("expected at least one run directory; found none")
    runs = [Run(path) for path in form.runs]
    path = output_file(form.out or form.runs[0] / "learning-curves.png", "--out")
    if path.suffix != ".png":
        raise WrongRequest(f"expected --out to end in .png; found {path.name}")

    from relook.statistics.plots import Curve, learning_curves

    curves: dict[str, Curve] = {}
    branches: list[float] = []
    several = len(runs) > 1
    for shown in runs:
        table = _table(shown, form.value)
        if several and (ancestor := shown.record.get("ancestor")):  # a branch is drawn from where it branches off
            before = table.filter(pl.col("steps") <= ancestor["at"])["steps"].max()
            table = table.filter(pl.col("steps") >= (before or 0))
            branches.append(float(ancestor["at"]))
        for setting, group in table.group_by("setting", maintain_order=True):
            wide = (
                group.sort("agent")
                .pivot("agent", index="steps", values="score")
                .sort("steps")
                .fill_null(strategy="forward")
                .drop_nulls()
            )
            name = f"{shown.path}: {setting[0]}".rstrip(": ") if several else str(setting[0])
            columns = [column for column in wide.columns if column != "steps"]
            curves[name] = (wide["steps"].to_numpy().astype(np.float64), wide.select(columns).to_numpy())
    environments = " and ".join(sorted({shown.environment_name for shown in runs}))
    algorithms = " and ".join(sorted({shown.algorithm for shown in runs}))
    episodes = runs[0].record["evaluate_episodes"]
    label = (
        f"return (mean of {episodes} deterministic episodes)"
        if form.value == "evaluation"
        else "return of training episodes (reward)"
    )
    learning_curves(
        curves,
        path,
        title=f"{algorithms} on {environments}",
        y_label=label,
        centre="IQM" if form.centre == "iqm" else "mean",
        branches=branches,
    )
    print(path)


def _table(shown: Run, value: str) -> pl.DataFrame:
    """Columns agent, steps, score, setting."""
    if value == "evaluation":
        frame = shown.evaluations
        if frame.is_empty():
            raise RelookError(f"{shown.path} holds no evaluations; draw --value training")
        frame = frame.filter(pl.col("deterministic")).select("agent", "steps", score="mean_return")
    else:
        frame = shown.metrics
        if frame.is_empty():
            raise RelookError(f"{shown.path} holds no finished iteration yet")
        frame = frame.select("agent", "steps", score="episode_return")
    names = {agent.agent: setting_name(shown, agent.hyperparameters) for agent in shown.agents}
    settings = pl.DataFrame({"agent": list(names), "setting": list(names.values())})
    return frame.join(settings, on="agent", maintain_order="left")
