"""`relook tune ALGORITHM --env ID --space NAME=RANGE…`, or a TOML file: settings that are chosen, and confirmed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli import grid
from relook.cli.options import parse
from relook.cli.tables import print_tables
from relook.errors import WrongRequest
from relook.runs.reading import GRID, Run

if TYPE_CHECKING:
    from relook.experiments.cost import Estimate
    from relook.experiments.search import Search
    from relook.experiments.tuning import Watching
    from relook.statistics.tuning import Trial, Tuned


@dataclass(kw_only=True)
class Form(grid.Form):
    """Search for hyper-parameters of {names} on tuning seeds, and confirm what was found on fresh ones.

    Hyper-parameters that are given are where the search starts; those that the space does not have hold for all trials.
    """

    space: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=LOW:HIGH[:log]|NAME=VALUE,VALUE…")]
    """What is searched over: a range, in its logarithm if that is said, or a few values (sizes: 64x64,256x256)."""
    trials: Annotated[int, tyro.conf.arg(metavar="N")] = 32
    """How many settings are tried."""
    at_once: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Trials that are drawn, and train, at the same time."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 3
    """Seeds of each trial."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="K")] = 10_000
    """Tuning seeds are K, K+1, …, from 10,000 on; what is drawn follows from K too."""
    random: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.5
    """Share of the trials of each batch that are drawn at random, at least one."""
    prune: bool = True
    """Stop trials that are clearly behind, and not rising, after 40 % of the steps."""
    failed_score: Annotated[float | None, tyro.conf.arg(metavar="SCORE")] = None
    """What a seed scores that crashed or diverged: the worst evaluation of all trials unless said otherwise."""
    finalists: Annotated[int, tyro.conf.arg(metavar="K")] = 4
    """So many of the best trials are trained on further tuning seeds, and the best of them there is chosen; with 1 the
    best trial is chosen as it is."""
    final_seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Further tuning seeds of each finalist."""
    confirm_seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Fresh seeds on which the best setting, the start and the default are trained in the end."""
    json: bool = False
    """Print JSON for programs."""


@dataclass(kw_only=True)
class FileForm(grid.Where):
    """Search as a TOML file describes it, see docs/tuning.md; or go on with the search in a directory."""

    file: tyro.conf.Positional[Path]
    """The file, or the directory of a search."""
    confirm_seeds: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Confirm once more, on so many seeds that were never used."""
    env: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Repeats the environment's name if it imports code."""
    json: bool = False
    """Print JSON for programs."""


def run(arguments: Sequence[str]) -> None:
    match arguments:
        case [] | ["--help" | "-h", *_]:
            print("usage: relook tune ALGORITHM --env ID --space NAME=RANGE… | FILE.toml | DIR")
            print(f"(relook tune ppo --help: all options)   algorithms: {', '.join(ALGORITHMS)}")
        case [name, *_] if name.endswith(".toml") or (Path(name) / GRID).is_file():
            from relook.experiments.search import from_toml, reopened

            given = parse(FileForm, "tune", arguments)
            if given.file.is_dir():
                search = reopened(given.file, given.env)
                carry_out(search, replace(given, out=given.file), given.confirm_seeds, as_json=given.json)
            else:
                carry_out(from_toml(given.file), given, given.confirm_seeds, as_json=given.json)
        case _:
            search, form = requested(arguments)
            carry_out(search, form, None, as_json=form.json)


def requested(arguments: Sequence[str]) -> "tuple[Search, Form]":
    """The search that words ask for, the algorithm first, and where it is carried out."""
    known = algorithm(arguments[0])
    form = parse(grid.form_for([known.name], Form), f"tune {known.name}", arguments[1:])
    return _search(known.name, form), form


def _search(name: str, form: Any) -> "Search":
    from relook.experiments.search import Search
    from relook.experiments.spaces import parsed, space_of

    start = grid.values_asked([name], form)
    if several := [key for key, values in start.items() if len(values) > 1]:
        raise WrongRequest(
            f"expected one value of {several[0]}, where the search starts; found {len(start[several[0]])}: what is "
            f"searched over is given as --space {several[0]}=…"
        )
    if len(form.env) != 1:
        raise WrongRequest(f"expected one environment; found {' '.join(form.env) or 'none'}")
    [environment] = grid.environments_asked(form)
    return Search(
        name,
        environment,
        space_of(name, parsed(form.space)),
        form.steps,
        {key: value for key, [value] in start.items()},
        form.preset,
        form.trials,
        form.at_once,
        form.seeds,
        form.first_seed,
        form.random,
        form.prune,
        form.failed_score,
        form.finalists,
        form.final_seeds,
        form.confirm_seeds,
        form.evaluate_episodes,
        form.checkpoint_every,
    )


def carry_out(search: "Search", form: grid.Where, confirm_seeds: int | None, *, as_json: bool) -> None:
    """Measure what a search costs, search, confirm, and report."""
    from relook.experiments import tuning
    from relook.experiments.cost import measure
    from relook.experiments.grid import has_begun, place_of

    out, console = place_of(search, form.out), Console(stderr=True)
    with closing(grid.engine_of(form)) as engine:
        first, spec = tuning.first_batch(search, out, engine)
        if not has_begun([first]):
            console.print("measuring what it costs …", style="dim")
            estimate = measure([(first, spec)], out, engine)
            if not as_json:
                _print_plan(search, first, estimate, out)
        if form.plan:
            return
        found = tuning.carry_out(search, out, engine, _watching(console), _telling(console), confirm_seeds)
    report(found, as_json=as_json)


def _print_plan(search: "Search", first: Run, estimate: "Estimate", out: Path) -> None:
    """What the first batch costs by measurement, and the whole search if all cost as much and none is pruned."""
    console = Console()
    grid.print_plan([first], estimate, out, console)
    arms = 3 if search.starting != search.default else 2
    finalists = min(search.finalists, search.trials) if search.finalists > 1 else 0
    agents = search.trials * search.seeds + finalists * search.final_seeds + arms * search.confirm_seeds
    whole = estimate.seconds * agents / len(first.agents)
    further = f"the best {finalists} on {search.final_seeds} more, " if finalists else ""
    console.print(
        f"in all {search.trials} trials of {search.seeds} seeds, {search.at_once} at a time, {further}and {arms} "
        f"settings confirmed on {search.confirm_seeds} fresh seeds: {agents} agents, about {grid.duration(whole)} if "
        f"none is pruned, {grid.size(estimate.disk * agents / len(first.agents))} on the disk",
        highlight=False,
    )


def _watching(console: Console) -> "Watching":
    """A live table with a row for each batch."""
    rows: dict[Path, grid.Row] = {}

    @contextmanager
    def watching(opened: Run) -> Iterator[Any]:
        rows[opened.path] = grid.Row(opened)
        with grid.live([*rows.values()], console) as watch:
            yield watch

    return watching


def _telling(console: Console) -> Any:
    """A line for each batch."""

    def tell(tried: "Sequence[Trial]", worst: float) -> None:
        from relook.statistics.reports import number
        from relook.statistics.tuning import ranked, said

        best = ranked(tried, worst)[0]
        console.print(
            f"{len(tried)} trials, {sum(trial.pruned for trial in tried)} pruned; best so far trial {best.number} "
            f"({best.sampler}): {number(best.score(worst))} with {said(best.values)}",
            highlight=False,
        )

    return tell


def report(found: "Tuned", *, as_json: bool) -> None:
    """What came of a search: on the terminal, and as files and a picture beside its runs."""
    from relook.statistics import tuning
    from relook.statistics.plots import save
    from relook.statistics.tuning_plots import picture

    content = tuning.as_json(found)
    (found.path / "tuning.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (found.path / "tuning.md").write_text(tuning.markdown(found), encoding="utf-8")
    save(picture(found), found.path / "search.png")
    if as_json:
        print(json.dumps(content, indent=1, allow_nan=False))
        return
    print_tables(tuning.heading(found), tuning.tables(found))
    print(f"{found.path}: tuning.json, tuning.md, search.png. Next:\n  relook compare {found.confirmed.path}")
