"""`relook grid ALGORITHM… --env ID…`, or a TOML file."""

import itertools
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import numpy as np
import psutil
import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli.options import environment_arguments, parse, sizes, variants
from relook.cli.progress import Newest
from relook.cli.tables import held_out_table
from relook.errors import Interrupted, RelookError, WrongRequest
from relook.runs.reading import GRID, Run

if TYPE_CHECKING:
    from relook.envs import EnvironmentSpec
    from relook.experiments.cost import Estimate
    from relook.experiments.engine import Engine
    from relook.experiments.grid import Grid, Study


@dataclass(kw_only=True)
class Where:
    """Where a grid is carried out, and where it lies."""

    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Processes at a time; as many as there are processor cores unless said otherwise."""
    engine: Literal["embedded", "ray"] = "embedded"
    """Where units of work train: in processes of this machine, or as tasks of a Ray cluster, see docs/clusters.md."""
    address: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """The head of a Ray cluster that runs; without one, Ray is started on this machine and stopped in the end."""
    storage: Literal["auto", "shared", "objects"] = "auto"
    """How results come from a cluster's nodes: by storage that all see, through Ray, or whichever works."""
    plan: bool = False
    """Print the plan and what it will cost, and stop there."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The grid's directory, below runs/ unless said otherwise; the same command goes on with a grid that is there."""


@dataclass(kw_only=True)
class Form(Where):
    """The options of every study."""

    env: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID…")]
    """Gymnasium ids, module:Name-v0, or module:function."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE…")] = ()
    """Keyword arguments of all environments."""
    max_episode_steps: Annotated[int | None, tyro.conf.arg(metavar="L")] = None
    """Truncate episodes after L steps instead of the environments' own limits."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Start from other hyper-parameters: ours for MuJoCo (mujoco), or another implementation's."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """How many seeds of each combination."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="K")] = 0
    """Seeds are K, K+1, …"""
    steps: Annotated[int, tyro.conf.arg(metavar="M")] = 100_000
    """Environment steps per agent, rounded down to whole iterations."""
    evaluate_episodes: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Episodes per evaluation, agent and mode."""
    checkpoint_every: Annotated[int, tyro.conf.arg(metavar="M")] = 10_000
    """Environment steps per agent between checkpoints."""


@dataclass(kw_only=True)
class GridForm(Form):
    """Train {names} on several environments, with every combination of the values of hyper-parameters."""

    held_out_env_arg: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE…")] = ()
    """Variants of all environments that training never sees, one a word (KEY=VALUE,KEY=VALUE changes two arguments):
    every agent is evaluated there in the end."""


@dataclass(kw_only=True)
class FileForm(Where):
    """Train a grid that a TOML file describes, see docs/grids.md; or go on with the grid in a directory."""

    file: tyro.conf.Positional[Path]
    """The file, or the directory of a grid."""


def form_for(names: Sequence[str], base: type[Form] = GridForm) -> type[Any]:
    """The options of a study of these algorithms: those of `base`, and values for every hyper-parameter of any."""
    extra: dict[str, Any] = {}
    for name in names:
        config = algorithm(name).config
        types = get_type_hints(config)
        for f in fields(config):
            one = str if isinstance(f.default, tuple) else types[f.name]
            note = tyro.conf.arg(metavar="VALUE…", help=f"{f.metadata['meaning']} [{f.metadata['kind']}]")
            extra.setdefault(f.name, (f.name, Annotated[GenericAlias(tuple, (one, ...)), note], field(default=())))
    form = make_dataclass(base.__name__, extra.values(), bases=(base,), kw_only=True)
    form.__doc__ = (base.__doc__ or "").format(names=", ".join(names))
    return form


def values_asked(names: Sequence[str], form: Any) -> dict[str, list[Any]]:
    """The values of hyper-parameters that a form was given."""
    defaults = {f.name: f.default for name in reversed(names) for f in fields(algorithm(name).config)}
    asked = {f.name: list(getattr(form, f.name)) for f in fields(form) if f.name in defaults and getattr(form, f.name)}
    return {
        name: [sizes(name, text) for text in values] if isinstance(defaults[name], tuple) else values
        for name, values in asked.items()
    }


def environments_asked(form: Form) -> "list[EnvironmentSpec]":
    """The environments that a form was given."""
    from relook.envs import EnvironmentSpec

    arguments = environment_arguments(form.env_arg)
    return [EnvironmentSpec(name, arguments, form.max_episode_steps) for name in form.env]


def run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0].startswith("-"):
        print("usage: relook grid ALGORITHM… --env ID… | FILE.toml | DIR   (relook grid ppo --help: all options)")
        print(f"algorithms: {', '.join(ALGORITHMS)}")
        return
    if arguments[0].endswith(".toml") or (Path(arguments[0]) / GRID).is_file():
        from relook.experiments.grid import from_toml, reopened

        given = parse(FileForm, "grid", arguments)
        if given.file.is_dir():
            train(reopened(given.file), replace(given, out=given.file))
        else:
            train(from_toml(given.file), given)
        return
    train(*requested(arguments))


def requested(arguments: Sequence[str]) -> "tuple[Grid, GridForm]":
    """The grid that words ask for, algorithms first, and where it is carried out."""
    words = itertools.takewhile(lambda word: not word.startswith("-"), arguments)
    known = [algorithm(name).name for name in words]
    if len(set(known)) < len(known):
        raise WrongRequest(f"expected different algorithms; found {' '.join(known)}")
    form = parse(form_for(known), f"grid {' '.join(known)}", arguments[len(known) :])
    return _grid(known, form), form


def _grid(names: Sequence[str], form: Any) -> "Grid":
    from relook.experiments.grid import Grid, spread

    if form.seeds < 1:
        raise WrongRequest(f"expected at least one seed; found --seeds {form.seeds}")
    asked = values_asked(names, form)
    values = spread(names, asked, {})
    for key in asked:
        if lacking := [name for name in names if key not in values[name]]:
            print(f"note: {key} holds for the others; {', '.join(lacking)} has no such thing", file=sys.stderr)
    return Grid(
        values,
        environments_asked(form),
        range(form.first_seed, form.first_seed + form.seeds),
        form.steps,
        {} if form.preset is None else dict.fromkeys(names, form.preset),
        form.evaluate_episodes,
        form.checkpoint_every,
        [variants(form.held_out_env_arg)] * len(form.env),
    )


def carry_out(study: "Study", form: Where, *, aside: bool = False) -> Path | None:
    """Plan, measure what it costs, train what is left, and say what became of it.

    What is said `aside` goes to standard error, because a program reads standard output. Returns where all of it lies
    when it has ended, None if the plan was all that was wanted.
    """
    from relook.experiments.cost import measure
    from relook.experiments.grid import check_ended, has_begun, left, place_of, prepare_runs

    out, console, said = place_of(study, form.out), Console(stderr=True), Console(stderr=aside)
    with closing(engine_of(form)) as engine:
        there = prepare_runs(study, out, engine.workers, here=engine.here)
        runs = [opened for opened, _ in there]
        if not has_begun(runs):
            console.print("measuring what it costs …", style="dim")
            print_plan(runs, measure(there, out, engine), out, said)
        if form.plan:
            return None
        rows = [Row(opened) for opened in runs]
        with live(rows, console) as watch:
            engine.carry_out(left(there), watch)
    said.print(table(rows))
    check_ended(runs, out)
    return out


def engine_of(form: Where) -> "Engine":
    """Where the units of work are carried out, as somebody asks for it."""
    from relook.experiments.engine import Embedded, Ray
    from relook.workers import available_cores

    if form.workers is not None and form.workers < 1:
        raise WrongRequest(f"expected at least one worker; found {form.workers}")
    if form.engine == "ray":
        return Ray(form.address, form.workers, form.storage)
    if form.address is not None or form.storage != "auto":
        raise WrongRequest("expected --engine ray with --address or --storage; found none")
    return Embedded(form.workers or available_cores())


def train(grid: "Grid", form: Where) -> None:
    """Carry out a grid, say how its agents do in held-out variants, and how to look at it."""
    from relook.experiments.grid import check_held_out, place_of

    check_held_out(grid)
    try:
        out = carry_out(grid, form)
    except (Interrupted, WrongRequest):
        raise
    except RelookError:  # some units failed: what the others learned is worth a look
        hold_out(grid, place_of(grid, form.out))
        raise
    if out:
        hold_out(grid, out)
        print(f"The grid lies in {out}. Next:\n  relook compare {out}\n  relook plot {out}")


def hold_out(grid: "Grid", out: Path) -> None:
    """Evaluate the agents of a grid in the variants that training never saw, and say how they do there."""
    from relook.experiments.grid import play_held_out
    from relook.experiments.held_out import results

    if not (names := grid.variants()):
        return
    Console(stderr=True).print("playing in held-out variants …", style="dim")
    runs = [Run(out / name) for name in names if (out / name / "run.json").is_file()]
    play_held_out(grid, runs)
    for opened in runs:
        if found := results(opened):
            Console(markup=False).print(held_out_table(opened, found))


def print_plan(runs: Sequence[Run], estimate: "Estimate", out: Path, console: Console) -> None:
    """What will be trained, and what it will cost."""
    shown = Table(box=SIMPLE_HEAD, title=f"{out}", title_justify="left")
    shown.add_column("run", no_wrap=True)
    for column in ("agents", "units", "steps each", "time of a unit", "memory of a unit", "disk"):
        shown.add_column(column, justify="right")
    for opened in runs:
        own = [cost for cost in estimate.units if cost.run == opened.path.name]
        shown.add_row(
            opened.path.name,
            str(len(opened.agents)),
            str(len(own)),
            f"{opened.steps:,}",
            duration(max(cost.seconds for cost in own)),
            size(max(cost.memory for cost in own)),
            size(sum(cost.disk for cost in own)),
        )
    console.print(shown)
    agents = sum(len(opened.agents) for opened in runs)
    console.print(
        f"{agents} agents in {len(estimate.units)} units of work; about {duration(estimate.seconds)} with "
        f"{estimate.workers} at a time, {size(estimate.memory)} of memory, {size(estimate.disk)} on the disk",
        highlight=False,
    )
    for what, needed, free in (
        ("memory", estimate.memory, psutil.virtual_memory().available),
        ("disk", estimate.disk, shutil.disk_usage(out).free),
    ):
        if needed > free:
            console.print(f"note: of the {what}, only {size(free)} are free", style="yellow", highlight=False)


def duration(seconds: float) -> str:
    """Roughly, as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(bytes_: float) -> str:
    """Roughly, in binary units."""
    return f"{bytes_ / 2**20:,.0f} MiB" if bytes_ < 2**30 else f"{bytes_ / 2**30:,.1f} GiB"


ENDS = ("finished", "paused", "interrupted", "failed")


class Row:
    """A run in the table: what its agents will make together, and what they have made."""

    def __init__(self, opened: Run) -> None:
        from relook.training import planned_steps

        self.run, self.newest, self.planned = opened, Newest(opened), sum(planned_steps(opened))
        self.units = len(opened.units)

    def cells(self) -> list[str]:
        self.newest.update()
        last = {unit: event["event"] for unit, event in self.newest.events if event["event"] in ENDS}
        stopped = {event["agent"] for _, event in self.newest.events if event["event"] == "stopped"}
        returns = np.array(list(self.newest.returns.values()))
        failed = sum(end == "failed" for end in last.values()) + len(stopped)
        return [
            self.run.path.name,
            str(len(self.run.agents)),
            f"{sum(self.newest.steps.values()) / self.planned:.0%}",
            f"{returns.mean():,.0f}" if len(returns) else "–",
            f"{returns.min():,.0f}" if len(returns) else "–",
            f"{sum(end in ('finished', 'paused') for end in last.values())} of {self.units}",
            str(failed or ""),
        ]


def table(rows: Sequence[Row]) -> Table:
    """A row for each run: how far it is, how it does, and what failed."""
    shown = Table(box=SIMPLE_HEAD)
    shown.add_column("run", no_wrap=True)
    for column in ("agents", "done", "return so far", "worst", "units ended", "failed"):
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row.cells())
    return shown


SECONDS = 0.5
"""Between two looks at the files of all runs."""


@contextmanager
def live(rows: Sequence[Row], console: Console) -> Iterator[Callable[[], None]]:
    """A table that is drawn anew while the grid trains, on a terminal only."""
    if not console.is_terminal:
        yield lambda: None
        return
    drawn = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as screen:

        def watch() -> None:
            nonlocal drawn
            if time.monotonic() - drawn > SECONDS:
                screen.update(table(rows), refresh=True)
                drawn = time.monotonic()

        yield watch
