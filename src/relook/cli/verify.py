"""`relook verify RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from relook.cli.options import parse
from relook.errors import RelookError


@dataclass
class Form:
    """Play a run's recorded evaluation episodes again, and recompute its parameters' digests: is it what it says?"""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    training: bool = False
    """The recorded episodes of training too."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "verify", arguments)

    from relook.runs.reading import Run
    from relook.runs.verifying import verify
    from relook.training import changed_versions

    verified = Run(form.run)
    kinds = ("evaluation", "training") if form.training else ("evaluation",)
    verdict = verify(verified, verified.environment(form.env), kinds)
    if verdict.differs is not None:
        versions = [f"{name} {then}, now {now}" for name, (then, now) in changed_versions(verified).items()]
        made = f"; it was made with {'; '.join(versions)}" if versions else ""
        raise RelookError(f"{verified.path} differs: {verdict.differs}{made}")
    print(f"reproduced: {verdict.episodes} episodes and the parameters of {verdict.agents} agents")
