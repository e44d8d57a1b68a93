"""`relook fork RUN --at STEP`."""

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from relook.algorithms import Algorithm, algorithm
from relook.cli.options import parse, sizes
from relook.errors import WrongRequest
from relook.population.hyperparameters import check_change, settled_at_start
from relook.runs.reading import Run


@dataclass
class Form:
    """A new run from a step of another one: everything in common until there, the random numbers afterwards too."""

    run: tyro.conf.Positional[Path]
    """The directory of the run that it branches off from."""
    at: Annotated[int, tyro.conf.arg(metavar="STEP")]
    """Environment steps per agent; trained again from the checkpoint before it, where there is none."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Processes at a time; as many as there are processor cores unless said otherwise."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """Repeats the function that makes the networks, if it is not ours."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The new run's directory, which must not exist yet; below runs/ unless said otherwise."""


def _changeable(known: Algorithm) -> list[Field[Any]]:
    return [f for f in fields(known.config) if f.name not in settled_at_start(known.config)]


def form_for(known: Algorithm) -> type[Any]:
    """The options, with one for each hyper-parameter that may be changed."""
    types = get_type_hints(known.config)
    extra = []
    for f in _changeable(known):
        kind = str if isinstance(f.default, tuple) else types[f.name]
        extra.append((f.name, Annotated[kind | None, tyro.conf.arg(help=f.metadata["meaning"])], field(default=None)))
    form = make_dataclass(f"Fork{known.name}", extra, bases=(Form,))
    form.__doc__ = Form.__doc__
    return form


def run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        print("usage: relook fork RUN --at STEP [--out DIR] --<hyper-parameter> VALUE   (relook fork RUN --help)")
        if arguments and arguments[0] not in ("--help", "-h"):
            raise WrongRequest(f"expected the directory of a run first; found {arguments[0]!r}")
        return
    trunk = Run(arguments[0])
    known = algorithm(trunk.algorithm)
    check_change(known.config, (word.removeprefix("--").replace("-", "_") for word in arguments[1:]))
    form = parse(form_for(known), "fork", arguments)
    changed = {}
    for f in _changeable(known):
        value = getattr(form, f.name)
        if value is not None:
            changed[f.name] = sizes(f.name, value) if isinstance(f.default, tuple) else value

    from relook.cli.progress import showing
    from relook.training import branch_off, planned_steps, resume

    branch = branch_off(trunk, form.at, form.out, changed)
    with showing(branch, sum(planned_steps(branch))) as progress:
        resume(
            branch,
            env=form.env,
            actor_critic=form.actor_critic,
            workers=form.workers,
            watch=progress.update,
        )
    print(f"\nThe branch lies in {branch.path}. Next:\n  relook plot {trunk.path} {branch.path}")
