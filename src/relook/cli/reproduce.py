"""`relook reproduce RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from relook.cli.options import parse
from relook.errors import RelookError


@dataclass
class Form:
    """Train a run once more from its record, and say whether the same came of it."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The new run's directory, which must not exist yet; below runs/ unless said otherwise."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Processes at a time; as many as there are processor cores unless said otherwise."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """Repeats the function that makes the networks, if it is not ours."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "reproduce", arguments)

    from relook.cli.progress import showing
    from relook.runs.reading import Run
    from relook.statistics.reproduction import reproduced
    from relook.training import again, changed_versions, planned_steps, resume

    first = Run(form.run)
    second = again(first, form.out)
    with showing(second, sum(planned_steps(second))) as progress:
        done = resume(second, env=form.env, actor_critic=form.actor_critic, workers=form.workers, watch=progress.update)
    became = reproduced(first.agent_summaries, done.agent_summaries)
    versions = [f"{name} {then} then, {now} now" for name, (then, now) in changed_versions(first).items()]
    told = f"{became}{' (' + ', '.join(versions) + ')' if versions else ''}"
    if became.startswith(("outside", "not")):
        raise RelookError(f"{first.path}, trained again as {done.path}: {told}")
    print(told)
