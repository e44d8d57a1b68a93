"""`relook ablate ALGORITHM --env ID…`: what is each part worth?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli import grid
from relook.cli.options import environment_arguments, parse, sizes
from relook.cli.tables import print_tables
from relook.errors import WrongRequest
from relook.runs.reading import GRID

if TYPE_CHECKING:
    from relook.experiments.ablation import Ablation


@dataclass(kw_only=True)
class Said:
    """What the report needs to know."""

    delta: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """δ, the smallest difference that matters: in returns for one environment, as a share of the way from random to
    good behaviour for several. Without it there is no verdict."""
    json: bool = False
    """Print JSON for programs."""


@dataclass(kw_only=True)
class Form(Said, grid.Form):
    """Train {names} with all of its parts, without each, with none, and with each alone, and say what each is worth.

    Hyper-parameters that are given hold for the full algorithm.
    """

    part: Annotated[tuple[str, ...], tyro.conf.arg(metavar="'NAME: KEY=VALUE…'")] = ()
    """A part of yours, with the hyper-parameters that it is off at; in place of those that the algorithm declares."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Only these of the declared parts."""


@dataclass(kw_only=True)
class DirectoryForm(Said, grid.Where):
    """Go on with an ablation, and report on it."""

    directory: tyro.conf.Positional[Path]
    """The ablation's directory."""


def run(arguments: Sequence[str]) -> None:
    match arguments:
        case [] | ["--help" | "-h", *_]:
            print("usage: relook ablate ALGORITHM --env ID… | DIR   (relook ablate ppo --help: all options)")
            for name, known in ALGORITHMS.items():
                print(f"  {name:<10} {', '.join(known.components)}")
            return
        case [name, *rest] if not (Path(name) / GRID).is_file():
            known = algorithm(name)
            form = parse(grid.form_for([known.name], Form), f"ablate {known.name}", rest)
            ablation = _ablation(known.name, form)
        case _:
            from relook.experiments.ablation import reopened

            form = parse(DirectoryForm, "ablate", arguments)
            form, ablation = replace(form, out=form.directory), reopened(form.directory)
    if (out := grid.carry_out(ablation, form, aside=form.json)) is not None:
        report(out, form.delta, as_json=form.json)


def _ablation(name: str, form: Any) -> "Ablation":
    from relook.experiments.ablation import Ablation

    asked = grid.values_asked([name], form)
    if several := [key for key, values in asked.items() if len(values) > 1]:
        raise WrongRequest(f"expected one value of {several[0]} for the full algorithm; found {len(asked[several[0]])}")
    return Ablation(
        name,
        grid.environments_asked(form),
        _parts(name, form),
        form.seeds,
        form.steps,
        {key: value for key, [value] in asked.items()},
        form.preset,
        form.first_seed,
        form.evaluate_episodes,
        form.checkpoint_every,
    )


def _parts(name: str, form: Any) -> Mapping[str, Mapping[str, Any]]:
    """The parts asked for: those that are spelled out, or the declared ones."""
    declared = algorithm(name).components
    if unknown := [part for part in form.only if part not in declared]:
        raise WrongRequest(f"expected --only with parts of {name}, {', '.join(declared)}; found {unknown[0]!r}")
    if form.part and form.only:
        raise WrongRequest("expected --part or --only; found both")
    if form.part:
        return dict(_part(name, text) for text in form.part)
    return {part: changed for part, changed in declared.items() if not form.only or part in form.only}


def _part(name: str, text: str) -> tuple[str, dict[str, Any]]:
    """One part, such as "GAE: gae_lambda=1"."""
    from relook.experiments.grid import values_of

    part, colon, pairs = text.partition(":")
    if not colon or not part.strip() or not all("=" in pair for pair in pairs.split()):
        raise WrongRequest(f"expected --part 'NAME: KEY=VALUE …', such as 'GAE: gae_lambda=1'; found {text!r}")
    defaults = {f.name: f.default for f in fields(algorithm(name).config)}
    given = environment_arguments(pairs.split())
    listed = {k: list(sizes(k, str(v))) if isinstance(defaults.get(k), tuple) else v for k, v in given.items()}
    return part.strip(), values_of(name, listed)


def report(out: Path, delta: float | None, *, as_json: bool) -> None:
    """What came of an ablation: on the terminal, and as files and pictures beside its runs."""
    from relook.statistics import ablation
    from relook.statistics.ablation_plots import pictures
    from relook.statistics.plots import save

    found = ablation.judge(out, delta)
    content = ablation.as_json(found)
    (out / "ablation.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "ablation.md").write_text(ablation.markdown(found), encoding="utf-8")
    names = []
    for name, figure in pictures(found):
        names.append(f"{name}.png")
        save(figure, out / names[-1])
    if as_json:
        print(json.dumps(content, indent=1, allow_nan=False))
        return
    print_tables(ablation.heading(found), ablation.tables(found, by_task=False))
    each = " (each task by itself)" if found.by_task else ""
    print(f"{out}: ablation.json, ablation.md{each}, {', '.join(names)}")
