"""`relook replay RUN`."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from relook.cli.options import output_file, parse
from relook.errors import RelookError, WrongRequest


@dataclass
class Form:
    """Look at recorded episodes again: played from their seeds and actions, and checked against what was recorded."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    agent: Annotated[tuple[int, ...], tyro.conf.arg(metavar="K …")] = (0,)
    """Agents; several are seen side by side in one film."""
    episode: Annotated[str, tyro.conf.arg(metavar="best|worst|last|N")] = "last"
    """Which episode of each agent: by its return, or its number in the order in which they ended."""
    kind: Literal["evaluation", "training"] = "evaluation"
    """Evaluation episodes (deterministic ones), or those of training."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE.mp4|FILE.gif")] = None
    """A film of the episode, with return so far, V(s) and action beside the picture."""
    filmstrip: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png")] = None
    """A picture of how one agent grew: an episode of each evaluation, from the first to the last."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "replay", arguments)
    for path, option, endings in (
        (form.video, "--video", (".mp4", ".gif")),
        (form.filmstrip, "--filmstrip", (".png",)),
    ):
        if path is not None and output_file(path, option).suffix not in endings:
            raise WrongRequest(f"expected {option} to end in {' or '.join(endings)}; found {path.name}")
    if form.filmstrip is not None and len(form.agent) > 1:
        raise WrongRequest(f"expected one --agent for a filmstrip; found {len(form.agent)}")

    from relook.runs import film
    from relook.runs.reading import Run

    film.without_a_screen()

    from relook.runs.verifying import difference

    shown = Run(form.run)
    spec = shown.environment(form.env)
    recorded = [
        row
        for row in shown.recorded_episodes()
        if row["kind"] == form.kind and (form.kind == "training" or row["deterministic"])
    ]
    chosen = [_choose(form.episode, [row for row in recorded if row["agent"] == k], k) for k in form.agent]
    for row in chosen:
        found = difference(shown, spec, row)
        if found is not None:
            raise RelookError(f"{_name(row)} cannot be shown as it was: {found}")
        print(f"{_name(row)}: {row['length']:,} steps, {row['ending']}, return {row['return']:,.1f}, as recorded")
    if form.video is not None:
        films = [film.film(shown, spec, row, f"agent {row['agent']}, after {row['steps']:,} steps") for row in chosen]
        with closing(spec.make()) as env:
            fps = float(env.metadata.get("render_fps", 30))
        film.write(form.video, film.frames(films), fps)
        print(form.video)
    if form.filmstrip is not None:
        own = [row for row in recorded if row["agent"] == form.agent[0] and row["kind"] == "evaluation"]
        grown = {row["steps"]: row for row in reversed(own)}  # the first environment's of each evaluation
        if not grown:
            raise WrongRequest(f"{shown.path} holds no evaluation episodes of agent {form.agent[0]}")
        films = [film.film(shown, spec, row, f"after {steps:,} steps") for steps, row in sorted(grown.items())]
        film.filmstrip(films).save(form.filmstrip)
        print(form.filmstrip)


def _name(row: dict[str, Any]) -> str:
    return f"agent {row['agent']}, {row['kind']} episode of environment {row['environment']} at step {row['steps']:,}"


def _choose(which: str, rows: list[dict[str, Any]], agent: int) -> dict[str, Any]:
    """The episode that is asked for, among an agent's."""
    if not rows:
        raise WrongRequest(f"this run holds no such episode of agent {agent}")
    match which:
        case "last":
            return rows[-1]
        case "best":
            return max(rows, key=lambda row: float(row["return"] or 0))
        case "worst":
            return min(rows, key=lambda row: float(row["return"] or 0))
    if not which.isdecimal() or int(which) >= len(rows):
        raise WrongRequest(
            f"expected --episode best, worst, last or a number from 0 to {len(rows) - 1}; found {which!r}"
        )
    return rows[int(which)]
