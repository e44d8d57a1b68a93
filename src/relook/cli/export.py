"""`relook export RUN…`."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import tyro

from relook.cli.options import output_file, parse
from relook.errors import WrongRequest
from relook.exports import FORMATS
from relook.runs.reading import opened


@dataclass
class Form:
    """Write what runs hold for other tools: a tidy table, TensorBoard, Weights & Biases, MLflow or trackio."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN…")]
    """Directories of runs, or of grids."""
    out: Annotated[Path, tyro.conf.arg(metavar="PATH")]
    """Where to: a new file for parquet, a new directory for the others."""
    to: Literal["parquet", "tensorboard", "wandb", "mlflow", "trackio"] = "parquet"
    """The format; all but parquet need their package: pip install '.[NAME]' in relook's folder."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "export", arguments)
    if not form.runs:
        raise WrongRequest("expected at least one run directory; found none")
    runs = [run for path in form.runs for run in opened(path)]
    names = [run.path.resolve().name for run in runs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise WrongRequest(f"expected runs whose directories have different names; found {twice[0]} twice")
    out = output_file(form.out, "--out")
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise WrongRequest(f"expected --out to be new; {out} is there already, and nothing is written over")
    try:
        exporter = import_module(f"relook.exports.{form.to}")
    except ModuleNotFoundError as error:
        raise WrongRequest(
            f"--to {form.to} needs a package that is not installed, {error.name}: pip install '.[{form.to}]' in "
            "relook's folder"
        ) from error
    look = exporter.write(runs, out)
    print(f"{out}: {FORMATS[form.to]}\nNext:\n  {look}")
