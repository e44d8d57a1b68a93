"""`relook resume RUN`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from relook.cli.options import parse


@dataclass
class Form:
    """Go on with a run that did not end, or to more steps, as if nothing had happened."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="M")] = None
    """Environment steps per agent, counted from the beginning, if there shall be more than were asked for."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Processes at a time; as many as there are processor cores unless said otherwise."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """Repeats the function that makes the networks, if it is not ours."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "resume", arguments)

    from relook.cli.progress import showing
    from relook.runs.reading import Run
    from relook.training import annealed, changed_versions, planned_steps, resume

    stands = Run(form.run)
    if form.steps not in (None, stands.steps) and annealed(stands):
        print(
            f"note: {' and '.join(annealed(stands))} fall over the whole of a training: with another number of steps "
            f"this is another training than one of {form.steps:,} steps from the beginning",
            file=sys.stderr,
        )
    for name, (then, now) in changed_versions(stands).items():
        print(f"note: trained with {name} {then} so far, and with {now} from here on: bits may differ", file=sys.stderr)
    with showing(stands, sum(planned_steps(stands, form.steps))) as progress:
        resume(
            stands,
            steps=form.steps,
            env=form.env,
            actor_critic=form.actor_critic,
            workers=form.workers,
            watch=progress.update,
        )
