"""`relook train ALGORITHM --env ID …`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from relook.algorithms import ALGORITHMS, TABULAR, Algorithm, algorithm
from relook.cli.options import environment_arguments, parse, sizes
from relook.errors import Interrupted, RelookError, WrongRequest

if TYPE_CHECKING:
    from relook.doctor.watch.live import Live


@dataclass
class Form:
    """The options of every algorithm."""

    env: Annotated[str, tyro.conf.arg(metavar="ID")]
    """A Gymnasium id (CartPole-v1), one that a module registers (module:Name-v0), or module:function."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE …")] = ()
    """Keyword arguments of the environment."""
    max_episode_steps: Annotated[int | None, tyro.conf.arg(metavar="L")] = None
    """Truncate episodes after L steps instead of the environment's own limit."""
    reset_seed: Annotated[str, tyro.conf.arg(metavar="each|once")] = "each"
    """Seed every reset, or only each environment's first: for environments whose seed chooses their task."""
    rescale_actions: Annotated[bool | None, tyro.conf.arg(metavar="True|False")] = None
    """Let [-1, 1] stand for the bounds of continuous actions (the default), or act in the environment's own units."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Start from other hyper-parameters: ours for MuJoCo (mujoco), or another implementation's;
    `relook algorithms NAME` lists them."""
    actor_critic: Annotated[str | None, tyro.conf.arg(metavar="MODULE:FUNCTION")] = None
    """A function that makes networks of your own; see docs/own-networks.md."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """How many agents, each with a seed of its own."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="K")] = 0
    """Seeds are K, K+1, …"""
    steps: Annotated[int, tyro.conf.arg(metavar="M")] = 100_000
    """Environment steps per agent, rounded down to whole iterations."""
    evaluate_episodes: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Episodes per evaluation, agent and mode, at the start and at every tenth of training; 0: no evaluation."""
    checkpoint_every: Annotated[int, tyro.conf.arg(metavar="M")] = 10_000
    """Environment steps per agent between checkpoints, from which `relook resume` goes on; 0: only at the end."""
    milestones: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STEP …")] = ()
    """Steps per agent whose checkpoints are kept for good; of the others, the last two."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Processes at a time; as many as there are processor cores unless said otherwise."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The run's directory, which must not exist yet; below runs/ unless said otherwise."""
    watch: bool = True
    """Let the doctor look on, and say in a sentence what it finds."""
    strict: bool = False
    """End the training after its iteration where the doctor finds an error, and exit with status 1."""


def form_for(known: Algorithm, preset: str | None = None) -> type[Any]:
    """The options of one algorithm: the common ones, and one or more values for each of its hyper-parameters.

    The defaults are those of `preset`, if one is named.
    """
    types, values = get_type_hints(known.config), {} if preset is None else known.preset(preset).hyperparameters
    extra = []
    for f in fields(known.config):
        one, default = types[f.name], values.get(f.name, f.default)
        if isinstance(default, tuple):  # several sizes are one value: 64,64
            one, default = str, ",".join(map(str, default))
        many = GenericAlias(tuple, (one, ...))
        note = f"{f.metadata['meaning']} [{f.metadata['kind']}]"
        extra.append((f.name, Annotated[many, tyro.conf.arg(help=note)], field(default=(default,))))
    form = make_dataclass(f"Train{known.name}", extra, bases=(Form,))
    form.__doc__ = (
        f"{known.title}.\n\nA hyper-parameter given several values multiplies the agents: numeric ones train side by "
        f"side in one population, structural ones as separate units of work."
    )
    return form


def run(arguments: Sequence[str]) -> None:
    match arguments:
        case [] | ["--help" | "-h", *_]:
            print("usage: relook train ALGORITHM --env ID …   (relook train ALGORITHM --help lists the options)")
            print(f"algorithms: {', '.join(ALGORITHMS)}\non tables: {', '.join(TABULAR)}")
            return
        case [name, *rest]:
            known = algorithm(name)
    form = parse(form_for(known, _preset(rest)), f"train {known.name}", rest)
    if form.seeds < 1:
        raise WrongRequest(f"expected at least one seed; found --seeds {form.seeds}")
    if form.reset_seed not in ("each", "once"):
        raise WrongRequest(f"expected --reset-seed each or once; found {form.reset_seed!r}")
    if form.strict and not form.watch:
        raise WrongRequest("expected --strict with the doctor that it obeys; found --no-watch; leave one of them out")

    from relook.cli.progress import showing
    from relook.doctor.watch.live import Live
    from relook.envs import EnvironmentSpec
    from relook.training import Request, carry_out, planned_steps, prepare
    from relook.workers import available_cores

    spec = EnvironmentSpec(form.env, environment_arguments(form.env_arg), form.max_episode_steps, form.reset_seed)
    if form.preset is not None:
        spec = replace(spec, **known.preset(form.preset).environment)
    if form.rescale_actions is not None:
        spec = replace(spec, rescale_actions=form.rescale_actions)
    request = Request(
        known.name,
        spec,
        range(form.first_seed, form.first_seed + form.seeds),
        form.steps,
        _asked(known, form),
        form.evaluate_episodes,
        form.out,
        form.preset,
        form.actor_critic,
        form.checkpoint_every,
        form.milestones,
    )
    workers = form.workers if form.workers is not None else available_cores()
    prepared = prepare(request, workers)
    planned = planned_steps(prepared)
    for steps in sorted({*planned} - {form.steps}):
        print(f"{form.steps:,} steps are rounded down to whole iterations: {steps:,}", file=sys.stderr)
    if prepared.record["replay_bytes"]:
        mebibytes = prepared.record["replay_bytes"] / 2**20
        print(f"The replay takes up to {mebibytes:,.0f} MiB of memory.", file=sys.stderr)
    doctor = Live(prepared) if form.watch else None
    try:
        with showing(prepared, sum(planned), doctor, strict=form.strict) as progress:
            carry_out(prepared, spec, workers, progress.update)
    except Interrupted:
        _obey(form, doctor, prepared.path)
        raise
    print(f"\nThe run lies in {prepared.path}. Next:")
    for command in ("show", "plot"):
        print(f"  relook {command} {prepared.path}")
    repeat = f" --env {form.env}" if spec.imports_code else ""
    repeat += f" --actor-critic {form.actor_critic}" if form.actor_critic else ""
    print(f"  relook evaluate {prepared.path}{repeat}")
    _obey(form, doctor, prepared.path)


def _obey(form: Form, doctor: "Live | None", path: Path) -> None:
    """Raise `RelookError` if the doctor found an error, and the user wants to end then."""
    if form.strict and doctor is not None and doctor.broken is not None:
        found = doctor.broken
        raise RelookError(
            f"the doctor found {found.check.name}: {found.evidence}; --strict ends there, and {path} keeps what was "
            f"trained: relook doctor run {path}"
        ) from None


def _preset(words: Sequence[str]) -> str | None:
    """The preset that a command line names: it decides what the other options' defaults are."""
    for word, following in pairwise([*words, ""]):
        if word.startswith("--preset"):
            return word.partition("=")[2] or following
    return None


def _asked(known: Algorithm, form: Any) -> dict[str, list[Any]]:
    """The hyper-parameters whose values differ from the default."""
    asked = {}
    for f in fields(known.config):
        values = list(getattr(form, f.name))
        if isinstance(f.default, tuple):
            values = [sizes(f.name, text) for text in values]
        if values != [f.default]:
            asked[f.name] = values
    return asked
