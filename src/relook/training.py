"""From a request to a finished run: plan the units of work, write down what was asked, let workers carry it out."""

import itertools
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import psutil

from relook.algorithms import Algorithm, algorithm
from relook.buffers import ReplayConfig, replay_bytes
from relook.envs import ActionSpace, EnvironmentSpec, ObservationSpace, Spaces, time_limit
from relook.errors import Interrupted, RelookError, WrongRequest
from relook.importing import name_of
from relook.population import Agent, Agents
from relook.population.hyperparameters import check, check_change, names, planned
from relook.runs import checkpoints, segments
from relook.runs.files import lock, number, plain, safe_name, write_whole
from relook.runs.metrics import COMMON
from relook.runs.reading import SCHEMA, Run, named_actor_critic
from relook.runs.unit import LOGS, settle, whole_iterations
from relook.runs.work import Work
from relook.workers import Task, available_cores, in_processes, record_failure

VERSIONS = ("relook", "torch", "numpy", "gymnasium", "mujoco", "safetensors")


@dataclass(frozen=True)
class Arm:
    """Some of a request's agents, with a setting and seeds of their own: a trial of a search, a part left out."""

    name: str
    changed: Mapping[str, Any]
    """Hyper-parameters in which it differs from what is asked for all."""
    seeds: Sequence[int]


@dataclass(frozen=True)
class Request:
    """What somebody asks to be trained."""

    algorithm: str
    environment: EnvironmentSpec
    seeds: Sequence[int]
    steps: int
    """Environment steps per agent; rounded down to whole iterations."""
    hyperparameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values of hyper-parameters; several values multiply the agents. What is not named keeps its default."""
    evaluate_episodes: int = 10
    out: Path | None = None
    """The run's directory; None makes a new one below `runs/`."""
    preset: str | None = None
    """The name of the preset that hyper-parameters and environment were taken from, for the record."""
    actor_critic: str | Callable[..., Any] | None = None
    """A function that makes the networks, or its name, `module:function`; None for ours."""
    checkpoint_every: int = 10_000
    """Environment steps per agent between checkpoints; 0: only at the end."""
    milestones: Sequence[int] = ()
    """Steps per agent whose checkpoints are kept for good."""
    arms: Sequence[Arm] = ()
    """In place of every value with every seed: `seeds` and values of `hyperparameters` are then those of all arms."""
    pause: int | None = None
    """Steps per agent after which units wait until somebody has decided who goes on: see `prune`."""
    study: Mapping[str, Any] = field(default_factory=dict)
    """What the study that it is part of has to say about it, for the record."""


def prepare(request: Request, workers: int | None = None, *, here: bool = True) -> Run:
    """Check a request and write it down as a run directory that holds no results yet.

    Agents that differ in numeric hyper-parameters only share a population; each combination of structural ones is
    planned apart. Where there are fewer such groups than workers, groups are split. Unless it trains `here`, this
    machine's memory does not matter. Raises `WrongRequest`.
    """
    known = algorithm(request.algorithm)
    asked = members(known.config, request)
    settings = [setting for i, (_, setting, _) in enumerate(asked) if setting not in [m[1] for m in asked[:i]]]
    if request.evaluate_episodes < 0:
        raise WrongRequest(f"expected at least 0 episodes per evaluation; found {request.evaluate_episodes}")
    if request.checkpoint_every < 0:
        raise WrongRequest(f"expected at least 0 steps between checkpoints; found {request.checkpoint_every}")
    if any(steps < 0 for steps in request.milestones):
        raise WrongRequest(f"expected milestones of at least 0 steps; found {list(request.milestones)}")
    workers = available_cores() if workers is None else workers
    if workers < 1:
        raise WrongRequest(f"expected at least one worker; found {workers}")
    for setting in settings:
        check_length(request.steps, known.config(**setting))
    env = request.environment.make()
    observation, action = ObservationSpace(env.observation_space), ActionSpace(env.action_space)
    limit = time_limit(env)
    env.close()
    spaces = Spaces(observation, action)
    known.check_task(spaces, limit)
    networks = _networks(request.actor_critic)
    if networks is not None:  # a function that we do not know: let it fail now, and not in every worker
        make = request.actor_critic if callable(request.actor_critic) else named_actor_critic(networks["name"])
        for setting in settings:
            _check_networks(known, spaces, setting, make)

    structural = names(known.config, "structural")
    groups: dict[str, list[int]] = {}
    agents = []
    for index, (arm, setting, seed) in enumerate(asked):
        groups.setdefault(repr([setting[name] for name in structural]), []).append(index)
        named = {} if arm is None else {"arm": arm}
        agents.append({"agent": index, **named, "seed": seed, "unit": -1, "hyperparameters": setting})
    pieces = max(1, workers // len(groups))
    units = [share for group in groups.values() for share in _shares(group, pieces)]
    for unit, share in enumerate(units):
        for index in share:
            agents[index]["unit"] = unit

    needed = _replay_bytes(units, agents, known, request.steps, spaces, workers)
    if needed is not None and here:
        _check_memory(needed)

    spec = request.environment
    record = {
        "schema": SCHEMA,
        "algorithm": known.name,
        "preset": request.preset,
        "actor_critic": networks,
        "environment": {
            "name": spec.name,
            "arguments": dict(spec.arguments),
            "max_episode_steps": spec.max_episode_steps,
            "reset_seed": spec.reset_seed,
            "rescale_actions": spec.rescale_actions,
            "importable": spec.function is None,
            "observation_space": str(observation.space),
            "action_space": str(action.space),
            "observation_size": observation.size,
            "action_kind": str(action.kind),
            "time_limit": limit,
        },
        "steps": request.steps,
        "evaluate_episodes": request.evaluate_episodes,
        "checkpoint_every": request.checkpoint_every,
        "milestones": list(request.milestones),
        "replay_bytes": needed,
        "metrics": {name: asdict(metric) for name, metric in {**COMMON, **known.metrics}.items()},
        **({"pause": request.pause} if request.pause is not None else {}),
        **({"study": request.study} if request.study else {}),
        "agents": agents,
        "versions": _versions(),
        "git": _git_state(),
        "machine": _machine(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    directory = _new_directory(request.out, f"{known.name}-{spec.name}")
    try:
        _write_record(directory, record)
    except OSError as error:
        raise WrongRequest(f"cannot write into {directory}: {error.strerror}; choose another --out") from error
    return Run(directory)


def _replay_bytes(
    units: Sequence[Sequence[int]],
    agents: Sequence[Mapping[str, Any]],
    known: Algorithm,
    steps: int,
    spaces: Spaces,
    workers: int,
) -> int | None:
    """The memory that the replays of all units that train at the same time take in the end; None without replays."""
    if not hasattr(known.config, "capacity"):
        return None
    own = [replay_bytes(len(unit), steps, known.config(**agents[unit[0]]["hyperparameters"]), spaces) for unit in units]
    return sum(sorted(own, reverse=True)[:workers])


def _check_memory(needed: int) -> None:
    """Raise `WrongRequest` if this machine has not so many bytes left."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise WrongRequest(
            f"expected a replay that fits into the {free / 2**20:,.0f} MiB of memory that are free; found one of "
            f"{needed / 2**20:,.0f} MiB; ask for a smaller capacity, fewer seeds or fewer workers"
        )


def _write_record(directory: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(plain(record), indent=1, allow_nan=False) + "\n"
    write_whole(directory / "run.json", text.encode())


def _networks(actor_critic: str | Callable[..., Any] | None) -> dict[str, Any] | None:
    """The record of who makes the networks."""
    if actor_critic is None or isinstance(actor_critic, str):
        return None if actor_critic is None else {"name": actor_critic, "importable": True}
    name, importable = name_of(actor_critic)
    return {"name": name, "importable": importable}


def _check_networks(known: Algorithm, spaces: Spaces, setting: Mapping[str, Any], make: Callable[..., Any]) -> None:
    """Raise `WrongRequest` if a user's function makes other networks than those that an algorithm learns."""
    numeric = {name: setting[name] for name in names(known.config, "numeric")}
    wanted = known.networks.__name__
    try:
        made, *_ = known.build(spaces, Agents([Agent(0, 0, numeric)]), known.config(**setting), make)
    except TypeError as error:
        raise WrongRequest(
            f"{known.name} learns a {wanted}: expected a function that makes one when it is called as {wanted} is; "
            f"found one that cannot be called so: {error}"
        ) from error
    if not isinstance(made, known.networks):
        raise WrongRequest(f"{known.name} learns a {wanted}: expected a function that makes one; found {made!r}")


def members(config: type[Any], request: Request) -> list[tuple[str | None, dict[str, Any], int]]:
    """Arm, setting and seed of every agent that is asked for, checked."""
    if not request.arms:
        settings, seeds = _settings(config, request.hyperparameters), _checked_seeds(request.seeds)
        return [(None, setting, seed) for setting, seed in itertools.product(settings, seeds)]
    names = [arm.name for arm in request.arms]
    if len(set(names)) < len(names):
        raise WrongRequest(f"expected arms of different names; found {', '.join(names)}")
    members: list[tuple[str | None, dict[str, Any], int]] = []
    for arm in request.arms:
        [setting] = _settings(config, {**request.hyperparameters, **{k: [v] for k, v in arm.changed.items()}})
        members += [(arm.name, setting, seed) for seed in _checked_seeds(arm.seeds)]
    return members


def _checked_seeds(seeds: Sequence[int]) -> Sequence[int]:
    if not seeds:
        raise WrongRequest("expected at least one seed; found none")
    if len(set(seeds)) < len(seeds):
        raise WrongRequest(f"expected different seeds; found {list(seeds)}")
    if min(seeds) < 0:
        raise WrongRequest(f"expected seeds of at least 0; found {min(seeds)}")
    return seeds


def _settings(config: type[Any], asked: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values asked for, completed by defaults, checked."""
    for name, values in asked.items():
        if not values:
            raise WrongRequest(f"expected at least one value of {name}; found none")
        for value in values:
            check(config, {name: value})
        if len(set(values)) < len(values):
            raise WrongRequest(f"expected different values of {name}; found {', '.join(map(str, values))}")
    defaults = {f.name: f.default for f in fields(config)}
    settings = [{**defaults, **dict(zip(asked, values, strict=True))} for values in itertools.product(*asked.values())]
    for setting in settings:
        config(**setting).check()
    return settings


def _shares(items: list[int], pieces: int) -> list[list[int]]:
    """At most `pieces` contiguous shares of nearly equal size."""
    pieces = min(pieces, len(items))
    size, larger = divmod(len(items), pieces)
    ends = list(itertools.accumulate(size + (i < larger) for i in range(pieces)))
    return [items[end - size - (i < larger) : end] for i, end in enumerate(ends)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in VERSIONS} | {"python": platform.python_version()}


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "processor": platform.processor(), "cores": available_cores()}


def changed_versions(run: Run) -> dict[str, tuple[str | None, str | None]]:
    """The packages that are others today than when the run was made: then and now."""
    now = _versions()
    then = dict(run.record["versions"])
    return {name: (then.get(name), now[name]) for name in now if then.get(name) != now[name]}


def _git_state() -> dict[str, Any] | None:
    """Commit of the working directory's repository, and whether files differ from it; None outside a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _new_directory(asked: Path | None, name: str) -> Path:
    """Make the run's directory: the one asked for, or the first of runs/NAME, runs/NAME-2, … that is free."""
    safe = safe_name(name)
    candidates = [asked] if asked else (Path("runs") / (f"{safe}-{i}" if i > 1 else safe) for i in itertools.count(1))
    for directory in candidates:
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError as error:
            if asked and directory.is_dir() and not any(directory.iterdir()):
                return directory
            if asked:
                raise WrongRequest(f"expected --out to name a new directory; {directory} exists already") from error
        except OSError as error:
            raise WrongRequest(
                f"cannot make the directory {directory}: {error.strerror}; choose another --out"
            ) from error
    raise AssertionError("there is always a free name")


def read_work(run: Run, unit: int, spec: EnvironmentSpec) -> Work:
    """One unit of work of a prepared run."""
    config = algorithm(run.algorithm).config
    everyone, members = [agent for agent in run.agents if agent.unit == unit], run.members(unit)
    if not members:
        raise RelookError(f"expected a unit with agents to train among {run.units}; found {unit}")
    values = [_typed(config, agent.hyperparameters) for agent in members]
    numeric, until = names(config, "numeric"), run.record.get("pending", {}).get("at", run.record.get("pause"))
    agents = [
        Agent(member.agent, member.seed, {name: own[name] for name in numeric})
        for member, own in zip(members, values, strict=True)
    ]
    return Work(
        run.unit_directory(unit),
        spec,
        Agents(agents),
        config(**values[0]),
        run.steps,
        int(run.record["evaluate_episodes"]),
        int(run.record["checkpoint_every"]),
        tuple(int(steps) for steps in run.record["milestones"]),
        None if until is None else int(until),
        tuple((agent.agent, agent.seed) for agent in everyone) if len(members) < len(everyone) else (),
    )


def _typed(config: type[Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as read from JSON, in the types of their defaults."""
    values: dict[str, Any] = {}
    for f in fields(config):
        if f.name not in recorded:
            raise RelookError(f"expected all hyper-parameters in the run's record; found no {f.name}")
        value = recorded[f.name]
        if isinstance(f.default, tuple):
            value = tuple(value)
        elif isinstance(f.default, float):
            value = number(value)
        values[f.name] = value
    check(config, values)
    return values


def check_length(steps: int, config: Any) -> None:
    """Raise `WrongRequest` for a training too short for one iteration, or for one update from a replay."""
    whole_iterations(steps, config.steps_each)
    if isinstance(config, ReplayConfig):
        needed = -(-config.learning_starts // config.iteration) * config.iteration
        if steps < needed:
            raise WrongRequest(
                f"expected at least {needed} steps, the iterations up to learning_starts, {config.learning_starts}, "
                f"before which nothing is learned; found {steps}; ask for more steps or a smaller learning_starts"
            )


def planned_steps(run: Run, asked: int | None = None) -> list[int]:
    """The environment steps that each agent will make: what was asked for, rounded down to its whole iterations.

    An agent that was pruned has made those of the iteration in which its time came.
    """
    config = algorithm(run.algorithm).config
    planned_ = []
    for agent in run.agents:
        each = config(**_typed(config, agent.hyperparameters)).steps_each
        whole = whole_iterations(asked or run.steps, each)
        planned_.append(each * (whole if agent.pruned is None else min(whole, -(-agent.pruned // each))))
    return planned_


def work(run: Run, unit: int, spec: EnvironmentSpec, actor_critic: Callable[..., Any] | None = None) -> None:
    """Carry out one unit in this process. A failure is recorded in the unit before it is raised.

    `actor_critic` makes the networks, unless they are ours.
    """
    networks = {} if actor_critic is None else {"actor_critic": actor_critic}
    try:
        algorithm(run.algorithm).train(read_work(run, unit, spec), **networks)
    except Exception as error:
        record_failure(run, unit, f"{type(error).__name__}: {error}")
        raise


def carry_out(
    run: Run,
    spec: EnvironmentSpec,
    workers: int,
    watch: Callable[[], None] = lambda: None,
    actor_critic: Callable[..., Any] | None = None,
) -> None:
    """Carry out all units of a prepared run that have not finished, each in a fresh process, `workers` at a time.

    `watch` is called a few times a second meanwhile. With an environment or an `actor_critic` that is a function which
    other processes cannot import, units are carried out in this process instead. Raises `RelookError` if a unit
    failed, after the others have ended, or if every single agent stopped early. A first Ctrl-C lets every unit end its
    iteration and keep what it has, and raises `Interrupted`; a second one kills.
    """
    cause = None
    units = [unit for unit in run.units if not run.has_ended(unit)]
    if spec.function is not None or actor_critic is not None:
        cause = _carry_out_here(run, units, spec, watch, actor_critic)
    else:
        in_processes([Task(run, unit, spec) for unit in units], workers, watch)
    watch()
    events = {unit: run.unit_events(unit) for unit in run.units}
    failed = [unit for unit in run.units if "failed" in events[unit]]
    if failed:
        reasons = {events[unit]["failed"].get("error", "no reason recorded") for unit in failed}
        log = run.unit_directory(failed[0]) / "worker.log"
        raise RelookError(
            f"{len(failed)} of {len(run.units)} units of work failed ({'; '.join(sorted(reasons))}); the others are "
            f"whole" + (f"; the log of unit {failed[0]} is {log}" if log.exists() else "")
        ) from cause
    if not all(run.has_ended(unit) for unit in run.units):
        raise Interrupted(
            f"interrupted; {run.path} keeps what was trained until then; go on with: relook resume {run.path}"
        )
    stopped = [stop for unit in run.units for stop in run.stopped(unit).values()]
    if len(stopped) == len(run.agents):
        causes = sorted({f"{stop['status']}: {stop['reason']}" for stop in stopped})
        raise RelookError(f"no agent could be trained to the end ({'; '.join(causes)}); {run.path} holds what there is")


def _carry_out_here(
    run: Run,
    units: Sequence[int],
    spec: EnvironmentSpec,
    watch: Callable[[], None],
    actor_critic: Callable[..., Any] | None,
) -> Exception | None:
    """Units one after the other in this process. Returns the last failure, which `work` has recorded."""
    cause = None
    for unit in units:
        try:
            work(run, unit, spec, actor_critic)
        except Exception as error:
            cause = error
        watch()
        if "interrupted" in run.unit_events(unit):
            break
    return cause


def resume(
    run: Run | str | Path,
    *,
    steps: int | None = None,
    env: str | Callable[..., gym.Env[Any, Any]] | None = None,
    actor_critic: str | Callable[..., Any] | None = None,
    workers: int | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Run:
    """Go on with a run that did not end, or to more `steps`, as if nothing had happened; return it when it has ended.

    `env` and `actor_critic` repeat a name that imports code, or hand in the function that the run was given. Raises
    `WrongRequest` if there is nothing to do, and what `carry_out` raises.
    """
    run = run if isinstance(run, Run) else Run(run)
    _check_no_pause(run)
    spec, networks = run.environment(env), run.actor_critic(actor_critic)
    workers = available_cores() if workers is None else workers
    make = networks if callable(actor_critic) else None
    if "pending" in run.record:  # a fork: first to where it branches off
        if settled(run, run.units, spec) < int(run.record["pending"]["at"]):
            carry_out(run, spec, workers, watch, make)
        run = _branched(run)
    units = [unit for unit in run.units if not run.has_ended(unit)]
    if steps is not None and steps != run.steps:
        made = max(summary["steps"] for summary in run.agent_summaries)
        if steps < made:
            raise WrongRequest(f"expected at least the {made:,} steps that {run.path} has made; found {steps:,}")
        units = [unit for unit in run.units if run.members(unit)]
    if not units:
        raise WrongRequest(f"{run.path} has ended at its {run.steps:,} steps; for more of them: --steps M")
    settled(run, units, spec)
    watch()  # what is cut off is not waited for
    if steps is not None and steps != run.steps:
        horizons = [*run.record.get("horizons", []), run.steps]
        _write_record(run.path, {**run.record, "steps": steps, "horizons": horizons})
        run = Run(run.path)
    carry_out(run, spec, workers, watch, make)
    return Run(run.path)


def prune(run: Run, agents: Collection[int]) -> Run:
    """Let a run that waits at its pause go on without some of its agents; the others will not notice.

    A unit of work that loses all of its agents has ended.
    """
    record = dict(run.record)
    at = record.pop("pause")
    record["agents"] = [
        {**agent, "pruned": at} if agent["agent"] in agents else dict(agent) for agent in record["agents"]
    ]
    _write_record(run.path, record)
    return Run(run.path)


def _check_no_pause(run: Run) -> None:
    if "pause" in run.record:
        raise WrongRequest(
            f"expected a run by itself; {run.path} waits for its study to say which of its agents go on: "
            f"relook tune {run.path.parent}"
        )


def settled(run: Run, units: Sequence[int], spec: EnvironmentSpec) -> int:
    """Bring the files of these units to their newest checkpoints; returns the steps that all of them have made."""
    made = []
    for unit in (unit for unit in units if run.members(unit)):
        with lock(run.unit_directory(unit)):
            point, _ = settle(read_work(run, unit, spec))
        made.append(0 if point is None else point.steps)
    return min(made)


def fork(
    run: Run | str | Path,
    *,
    at: int,
    out: str | Path | None = None,
    env: str | Callable[..., gym.Env[Any, Any]] | None = None,
    actor_critic: str | Callable[..., Any] | None = None,
    workers: int | None = None,
    watch: Callable[[Run], Callable[[], None]] = lambda run: lambda: None,
    **hyperparameters: Any,
) -> Run:
    """A new run that has everything in common with `run` up to step `at`, and from there on other hyper-parameters.

    The random numbers stay the same too. Where there is no checkpoint at that step it is trained again from the one
    before it. `watch` is given the new run and returns what is called meanwhile. Raises `WrongRequest` for a step that
    the run has not reached, and for a change that the state of a training cannot follow.
    """
    run = run if isinstance(run, Run) else Run(run)
    branch = branch_off(run, at, out, hyperparameters)
    return resume(branch, env=env, actor_critic=actor_critic, workers=workers, watch=watch(branch))


def again(run: Run, out: str | Path | None) -> Run:
    """The directory of the same training once more, to be trained by `resume`.

    Raises `WrongRequest` for a run that was not trained in one go, from its beginning to the steps first asked for.
    """
    _check_no_pause(run)
    if {"ancestor", "horizons"} & set(run.record):
        raise WrongRequest(f"expected a run from one request; {run.path} branched off from another, or was made longer")
    if any(agent.pruned is not None for agent in run.agents):
        raise WrongRequest(f"expected a run that kept its agents; some of {run.path} were pruned on the way")
    directory = _new_directory(Path(out) if out is not None else None, f"{run.path.name}-again")
    made_now = {"versions": _versions(), "git": _git_state(), "machine": _machine()}
    of = {"run": str(run.path.resolve()), "created": run.record["created"]}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    _write_record(directory, {**run.record, **made_now, "created": created, "reproduces": of})
    return Run(directory)


def branch_off(run: Run, at: int, out: str | Path | None, hyperparameters: Mapping[str, Any]) -> Run:
    """The directory of a fork, with the newest checkpoints that it shares with `run`; to be trained by `resume`."""
    _check_no_pause(run)
    config = algorithm(run.algorithm).config
    check(config, dict(hyperparameters))
    check_change(config, hyperparameters)
    if "pending" in run.record:
        raise WrongRequest(f"{run.path} is a fork that has not reached its branch: relook resume {run.path}")
    made = min(summary["steps"] for summary in run.agent_summaries if summary["status"] != "pruned")
    each = {}
    for agent in run.agents:
        before = config(**_typed(config, agent.hyperparameters))
        replace(before, **hyperparameters).check()
        each[agent.unit] = before.steps_each
    if not 0 <= at <= made:
        raise WrongRequest(f"expected --at a step from 0 to the {made:,} that {run.path} has made; found {at:,}")
    odd = sorted({steps for steps in each.values() if at % steps})
    if odd:
        raise WrongRequest(f"expected --at a multiple of {odd[0]:,}, the steps of an iteration; found {at:,}")

    points = {
        unit: checkpoints.newest_until(run.unit_directory(unit) / checkpoints.CHECKPOINTS, at) for unit in run.units
    }
    stands = {0 if point is None else point.steps for point in points.values()}
    since = run.record.get("ancestor", {"at": 0})["at"]
    if min(stands) < since:
        raise WrongRequest(f"expected --at a step from {since:,} on, where {run.path} branched off; found {at:,}")
    if "horizons" in run.record and stands != {at}:  # what lies between was trained with another schedule, perhaps
        raise WrongRequest(
            f"expected --at a step of which there are checkpoints, because {run.path} was made longer; found {at:,}"
        )

    directory = _new_directory(Path(out) if out is not None else None, f"{run.path.name}-fork")
    for unit, point in points.items():
        own, other = run.unit_directory(unit), directory / "units" / str(unit)
        checkpoints.copy(point, own, other, LOGS)
        if point is not None:
            segments.copy(segments.recorded(point.record), own / segments.REPLAY, other / segments.REPLAY)
    ancestor = {"run": str(run.path.resolve()), "created": run.record["created"], "at": at}
    record = {**run.record, "ancestor": ancestor, "pending": {"at": at, "hyperparameters": dict(hyperparameters)}}
    record.pop("horizons", None)
    # Forks of the fork start from where it began to be another training.
    record["milestones"] = sorted({*run.record["milestones"], at})
    record["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    _write_record(directory, record)
    return Run(directory)


def _branched(run: Run) -> Run:
    """A fork that has come to where it branches off, with what is other from there on."""
    record = dict(run.record)
    changed = record.pop("pending")["hyperparameters"]
    record["agents"] = [
        {**agent, "hyperparameters": {**agent["hyperparameters"], **changed}} for agent in record["agents"]
    ]
    _write_record(run.path, {**record, "ancestor": {**record["ancestor"], "changed": changed}})
    return Run(run.path)


def annealed(run: Run) -> list[str]:
    """The hyper-parameters that change over the whole of this run's training, for any of its agents."""
    config = algorithm(run.algorithm).config
    found = [planned(config(**_typed(config, agent.hyperparameters))) for agent in run.agents]
    return sorted({name for own in found for name in own})


def train(
    algorithm_name: str,
    /,
    env: str | Callable[..., gym.Env[Any, Any]],
    *,
    steps: int,
    seeds: int | Sequence[int] = 10,
    preset: str | None = None,
    actor_critic: str | Callable[..., Any] | None = None,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    reset_seed: Literal["each", "once"] = "each",
    rescale_actions: bool | None = None,
    evaluate_episodes: int = 10,
    workers: int | None = None,
    out: str | Path | None = None,
    **hyperparameters: Any,
) -> Run:
    """Train agents and return the finished run, as `relook train` does.

    `seeds` is a number of agents (with seeds from 0) or the seeds themselves. A list as a hyper-parameter's value
    multiplies the agents. `preset` names other defaults, such as `sb3`. Raises `WrongRequest` if the request cannot be
    carried out, `RelookError` if it failed.
    """
    known = algorithm(algorithm_name)
    spec = replace(environment_spec(env, env_args or {}, max_episode_steps), reset_seed=reset_seed)
    if preset is not None:
        spec = replace(spec, **known.preset(preset).environment)
        hyperparameters = {**known.preset(preset).hyperparameters, **hyperparameters}
    if rescale_actions is not None:
        spec = replace(spec, rescale_actions=rescale_actions)
    request = Request(
        algorithm_name,
        spec,
        range(seeds) if isinstance(seeds, int) else tuple(seeds),
        steps,
        {name: _values(algorithm_name, name, value) for name, value in hyperparameters.items()},
        evaluate_episodes,
        Path(out) if out is not None else None,
        preset,
        actor_critic,
    )
    here = callable(actor_critic) and not name_of(actor_critic)[1]
    if spec.function is not None or here:
        what = "these networks" if here else "this environment"
        print(f"relook: other processes cannot import {what}; training in this one", file=sys.stderr)
        workers = 1
        make = named_actor_critic(actor_critic) if isinstance(actor_critic, str) else actor_critic
    else:
        make = None
    workers = available_cores() if workers is None else workers
    run = prepare(request, workers)
    carry_out(run, spec, workers, actor_critic=make)
    return Run(run.path)


def _values(name: str, hyperparameter: str, value: Any) -> list[Any]:
    """What Python was given for a hyper-parameter, as a list of values: a list, but for sizes a list of sequences."""
    config = algorithm(name).config
    if isinstance({f.name: f.default for f in fields(config)}.get(hyperparameter), tuple):
        several = isinstance(value, list) and any(isinstance(part, list | tuple) for part in value)
        one = (value,) if isinstance(value, int) else tuple(value)
        return [tuple(sizes) for sizes in value] if several else [one]
    return value if isinstance(value, list) else [value]


def environment_spec(
    env: str | Callable[..., gym.Env[Any, Any]], arguments: Mapping[str, Any], max_episode_steps: int | None
) -> EnvironmentSpec:
    """The spec of an environment given by name or as a function, by its importable name if it has one."""
    if isinstance(env, str):
        return EnvironmentSpec(env, arguments, max_episode_steps)
    name, importable = name_of(env)
    return EnvironmentSpec(name, arguments, max_episode_steps, function=None if importable else env)
