"""A grid: algorithms × environments × hyper-parameters × seeds, as a directory of runs.

Each algorithm on each environment is a run like any other. Agents whose shapes agree train in one population; the rest
are units of work of their own, and the units of all runs share the workers.
"""

from __future__ import annotations

import itertools
import json
import shutil
import tomllib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from relook.algorithms import algorithm
from relook.envs import EnvironmentSpec
from relook.errors import Interrupted, RelookError, WrongRequest
from relook.experiments.cost import measure, measured_memory
from relook.experiments.engine import Embedded, Engine
from relook.experiments.held_out import Variant, check, play
from relook.runs.files import number, plain, read_json, safe_name, write_whole
from relook.runs.reading import GRID, Run
from relook.training import Request, members, prepare, settled
from relook.workers import Task, available_cores

SCHEMA = 2
MOST_BYTES = 2**20


class Recorded(Protocol):
    """Something that a directory is made for."""

    def record(self) -> dict[str, Any]:
        """What is asked for, as JSON holds it, with the `kind` of study that it is."""
        ...


class Study(Recorded, Protocol):
    """Something that is a directory of runs, all of which are known beforehand."""

    def requests(self) -> dict[str, Request]:
        """The runs, by the names of their directories."""
        ...


@dataclass(frozen=True)
class Grid:
    """Every algorithm on every environment, with every combination of its hyper-parameters and every seed."""

    algorithms: Mapping[str, Mapping[str, Sequence[Any]]]
    """Algorithm → hyper-parameter → values; what is not named keeps its default."""
    environments: Sequence[EnvironmentSpec]
    seeds: Sequence[int]
    steps: int
    """Environment steps of each agent."""
    presets: Mapping[str, str] = field(default_factory=dict)
    """Algorithm → the preset that its defaults are."""
    evaluate_episodes: int = 10
    checkpoint_every: int = 10_000
    held_out: Sequence[Sequence[Variant]] = ()
    """For each of the environments, in their order, the variants that training never sees."""

    def requests(self) -> dict[str, Request]:
        """The runs, by the names of their directories."""
        if not self.algorithms or not self.environments:
            raise WrongRequest("expected at least one algorithm and one environment; found none")
        found: dict[str, Request] = {}
        for (name, asked), environment in itertools.product(self.algorithms.items(), self.environments):
            preset = self.presets.get(name)
            values, spec = preset_applied(name, preset, asked, environment)
            found[place(name, spec, found)] = Request(
                name,
                spec,
                self.seeds,
                self.steps,
                values,
                self.evaluate_episodes,
                preset=preset,
                checkpoint_every=self.checkpoint_every,
            )
        return found

    def variants(self) -> dict[str, Sequence[Variant]]:
        """The variants that training never sees, by the names of the runs' directories; none if nobody asks for any."""
        if not any(self.held_out):
            return {}
        if len(self.held_out) != len(self.environments):
            raise WrongRequest(
                f"expected held-out variants for each of {len(self.environments)} environments; found "
                f"{len(self.held_out)}"
            )
        return dict(zip(self.requests(), [own for _ in self.algorithms for own in self.held_out], strict=True))

    def record(self) -> dict[str, Any]:
        """What is asked for, as JSON holds it."""
        asked = {
            "schema": SCHEMA,
            "kind": "grid",
            "algorithms": {name: {k: list(v) for k, v in own.items()} for name, own in self.algorithms.items()},
            "presets": dict(self.presets),
            "environments": [environment_record(spec) for spec in self.environments],
            "seeds": list(self.seeds),
            "steps": self.steps,
            "evaluate_episodes": self.evaluate_episodes,
            "checkpoint_every": self.checkpoint_every,
            "held_out": [[dict(x) for x in own] for own in self.held_out] if any(self.held_out) else [],
        }
        return as_json(asked)


def as_json(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is when it has been written and read again: so records can be compared."""
    return dict(json.loads(json.dumps(plain(asked))))


def environment_record(spec: EnvironmentSpec) -> dict[str, Any]:
    """An environment's spec as JSON holds it; `EnvironmentSpec(**record)` is the way back."""
    return {name: getattr(spec, name) for name in ENVIRONMENT} | {"arguments": dict(spec.arguments)}


def defaults_of(name: str, preset: str | None) -> dict[str, Any]:
    """All hyper-parameters of an algorithm as they are when nobody asks for others, or as a preset has them."""
    known = algorithm(name)
    settings = {} if preset is None else known.preset(preset).hyperparameters
    return {f.name: f.default for f in fields(known.config)} | dict(settings)


def preset_applied(
    name: str, preset: str | None, asked: Mapping[str, Sequence[Any]], environment: EnvironmentSpec
) -> tuple[dict[str, Sequence[Any]], EnvironmentSpec]:
    """An algorithm's values and its environment with a preset's below those that are asked for."""
    if preset is None:
        return dict(asked), environment
    settings = algorithm(name).preset(preset)
    values = {key: value if isinstance(value, list) else [value] for key, value in settings.hyperparameters.items()}
    return {**values, **asked}, replace(environment, **settings.environment)


def place(name: str, environment: EnvironmentSpec, taken: Container[str]) -> str:
    """The directory of an algorithm's run on an environment. Raises `WrongRequest` if it is taken."""
    if environment.function is not None:
        raise WrongRequest(f"expected environments that other processes can import; found {environment.name}")
    arguments = "".join(f"-{key}={value}" for key, value in environment.arguments.items())
    directory = safe_name(f"{name}-{environment.name}{arguments}")
    if directory in taken:
        raise WrongRequest(f"expected different environments; found {environment.name} twice")
    return directory


# The file


ENVIRONMENT = ("name", "arguments", "max_episode_steps", "reset_seed", "rescale_actions")
KEYS = (
    "algorithms",
    "environments",
    "held_out",
    "seeds",
    "first_seed",
    "steps",
    "evaluate_episodes",
    "checkpoint_every",
)


def from_toml(path: Path) -> Grid:
    """The grid that a TOML file asks for; docs/grids.md describes it. Raises `WrongRequest` for anything else.

    The keys of `KEYS`; a table [hyperparameters] of values for all algorithms, and a table of each algorithm's name for
    its own, where `preset` names other defaults.
    """
    found = read_toml(path, "a grid")
    names = found.get("algorithms", [])
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise WrongRequest(f'expected algorithms = ["ppo", …] in {path}; found {names!r}')
    for key in found:
        if key not in (*KEYS, "hyperparameters", *names):
            raise WrongRequest(
                f"expected the keys {', '.join(KEYS)}, a table hyperparameters and one for each algorithm in {path}; "
                f"found {key!r}"
            )
    tables = {name: found.get(name, {}) for name in ("hyperparameters", *names)}
    if odd := [name for name, table in tables.items() if not isinstance(table, dict)]:
        raise WrongRequest(f"expected [{odd[0]}] to be a table in {path}; found {tables[odd[0]]!r}")
    presets = {name: table["preset"] for name, table in tables.items() if "preset" in table}
    own = {name: {k: v for k, v in tables[name].items() if k != "preset"} for name in names}
    try:
        entries = found.get("environments", [])
        environments = [environment_of(entry, "held_out") for entry in entries]
        everywhere = _held_out(found)
        held_out = [everywhere + ([] if isinstance(entry, str) else _held_out(entry)) for entry in entries]
        counted = {key: int(found[key]) for key in ("steps", "evaluate_episodes", "checkpoint_every") if key in found}
        seeds = _seeds(found.get("seeds", 10), int(found.get("first_seed", 0)))
    except (KeyError, TypeError, ValueError) as error:
        raise WrongRequest(
            f"expected names or tables as environments, and whole numbers, in {path}; {error}"
        ) from error
    return Grid(
        spread(names, tables["hyperparameters"], own),
        environments,
        seeds,
        presets=presets,
        held_out=held_out,
        **{"steps": 100_000, **counted},
    )


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a TOML file. Raises `WrongRequest` for one that is not there, or is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WrongRequest(f"expected at most {MOST_BYTES:,} bytes in {path}; it is larger")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongRequest(f"expected {what} in {path}, as TOML; found {error}") from error


def environment_of(entry: Any, *further: str) -> EnvironmentSpec:
    """An environment by its name, or from a table that may have `further` keys. Raises `ValueError` for other keys."""
    if isinstance(entry, str):
        return EnvironmentSpec(entry)
    if unknown := [key for key in entry if key not in (*ENVIRONMENT, *further)]:
        raise ValueError(f"found an environment with {unknown[0]!r}; it has {', '.join((*ENVIRONMENT, *further))}")
    return EnvironmentSpec(**{key: value for key, value in entry.items() if key not in further})


def _held_out(table: Mapping[str, Any]) -> list[Variant]:
    """The held-out variants of all environments, or of one."""
    variants = table.get("held_out", [])
    if not isinstance(variants, list) or not all(isinstance(variant, dict) and variant for variant in variants):
        raise ValueError(
            f"found held_out = {variants!r}; it is a list of arguments, such as [{{g = 5.0}}, {{g = 15.0}}]"
        )
    json.dumps(variants)  # a date is no argument that a record can hold
    return variants


def _seeds(asked: Any, first: int) -> list[int]:
    return [int(seed) for seed in asked] if isinstance(asked, list) else list(range(first, first + int(asked)))


def spread(
    names: Sequence[str], everyone: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, list[Any]]]:
    """Values of hyper-parameters for each algorithm: those for all that it has, and its own.

    Raises `WrongRequest` for one that no algorithm has, or that an algorithm is given by itself and does not have.
    """
    spread_: dict[str, dict[str, list[Any]]] = {}
    known = {name: {f.name: f.default for f in fields(algorithm(name).config)} for name in names}
    for name in names:
        elsewhere = {key for key in everyone if any(key in known[other] for other in names)} - known[name].keys()
        asked = {key: value for key, value in everyone.items() if key not in elsewhere} | dict(own.get(name, {}))
        for key in asked:
            if key not in known[name]:
                raise WrongRequest(f"expected hyper-parameters of {name}; it has no {key}")
        spread_[name] = {key: _values(known[name][key], value) for key, value in asked.items()}
    return spread_


def _values(default: Any, given: Any) -> list[Any]:
    """Several values of one hyper-parameter; sizes are lists themselves."""
    values = given if isinstance(given, list) else [given]
    if isinstance(default, tuple):
        values = values if any(isinstance(part, list | tuple) for part in values) else [values]
        return [tuple(part) if isinstance(part, list | tuple) else (part,) for part in values]
    if isinstance(default, float):  # 1 is 1.0, and JSON has no infinity
        return [number(v) if isinstance(v, int | str) and not isinstance(v, bool) else v for v in values]
    return values


# The directory


def prepare_runs(study: Study, out: Path, workers: int, *, here: bool = True) -> list[tuple[Run, EnvironmentSpec]]:
    """The runs of a study, ready to be carried out `here` or elsewhere: new ones, or those that are there from before.

    Raises `WrongRequest` if the directory holds another study, and says in what it differs; also where the same words
    mean other hyper-parameters than they did, because defaults or a preset have changed since.
    """
    requests, record = study.requests(), study.record()
    claim(out, record)
    each = max(1, -(-workers // len(requests)))
    runs = []
    for name, request in requests.items():
        if not (out / name / "run.json").is_file():
            shutil.rmtree(out / name, ignore_errors=True)  # begun, and killed before it was a run
            prepare(replace(request, out=out / name), each, here=here)
        run = Run(out / name)
        there, asked = _settings(run, request)
        _check_same(record | there, record | asked, run.path)
        runs.append((run, request.environment))
    return runs


def _settings(run: Run, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hyper-parameters of every agent of a run, and those that it is asked to have."""
    asked = members(algorithm(request.algorithm).config, request)
    return (
        {f"agent {agent.agent}": dict(agent.hyperparameters) for agent in run.agents},
        as_json({f"agent {index}": setting for index, (_, setting, _) in enumerate(asked)}),
    )


def claim(out: Path, record: Mapping[str, Any]) -> None:
    """Make a directory a study's own. Raises `WrongRequest` if it is another's, or holds other files."""
    if (out / GRID).is_file():
        _check_same(read_json(out / GRID), record, out)
        return
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise WrongRequest(
            f"expected --out to name a new directory, or one of this {record['kind']}; {out} holds other files"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / GRID, (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        raise WrongRequest(f"cannot write into {out}: {error.strerror}; choose another --out") from error


def _check_same(there: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> None:
    """Raise `WrongRequest` if a record is another than the one that is there, and name the first thing that differs."""
    was: Any = there
    now: Any = asked
    path: list[str] = []
    while isinstance(was, Mapping) and isinstance(now, Mapping):
        differing = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        if not differing:
            return
        path.append(differing[0])
        was, now = was.get(path[-1]), now.get(path[-1])
    if was != now:
        raise WrongRequest(
            f"expected the {asked['kind']} that {out} was made for; its {' '.join(path)} is {json.dumps(was)}, and "
            f"asked for is {json.dumps(now)}: choose another --out for another one"
        )


def reopened(out: Path) -> Grid:
    """The grid that a directory was made for. Raises `RelookError` if its record is damaged."""
    found = read_json(out / GRID)
    try:
        if (found["schema"], found["kind"]) != (SCHEMA, "grid"):
            raise ValueError(f"a {found['kind']} of schema {found['schema']!r}")
        algorithms = {
            name: {key: _values(_default(name, key), values) for key, values in own.items()}
            for name, own in found["algorithms"].items()
        }
        return Grid(
            algorithms,
            [EnvironmentSpec(**{key: entry[key] for key in ENVIRONMENT}) for entry in found["environments"]],
            [int(seed) for seed in found["seeds"]],
            int(found["steps"]),
            dict(found["presets"]),
            int(found["evaluate_episodes"]),
            int(found["checkpoint_every"]),
            [[dict(variant) for variant in own] for own in found["held_out"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RelookError(f"expected a grid in {out / GRID}; found it damaged: {error!r}") from error


def _default(name: str, key: str) -> Any:
    return next(f.default for f in fields(algorithm(name).config) if f.name == key)


def values_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """One value for each of an algorithm's hyper-parameters, as TOML and JSON hold them, in the types of its `Config`.

    Raises `WrongRequest` for one that the algorithm does not have.
    """
    return {key: values[0] for key, values in spread([name], given, {})[name].items()}


def left(runs: Sequence[tuple[Run, EnvironmentSpec]]) -> list[Task]:
    """The units that have not ended, brought to their newest checkpoints; those that failed are tried again.

    The largest come first, so that in the end no worker waits for long.
    """
    tasks: list[Task] = []
    for run, spec in runs:
        units = [unit for unit in run.units if not run.has_ended(unit)]
        if begun := [unit for unit in units if run.unit_directory(unit).exists()]:
            settled(run, begun, spec)
        memory = measured_memory(run)
        tasks += [Task(run, unit, spec, memory.get(unit, 0)) for unit in units]
    return sorted(tasks, key=lambda task: -task.run.steps * len(task.run.members(task.unit)))


def check_ended(runs: Sequence[Run], out: Path) -> None:
    """Raise `RelookError` if units failed, `Interrupted` if some have not ended; the others are whole."""
    events = {(run, unit): run.unit_events(unit) for run in runs for unit in run.units}
    failed = [(run, unit, found["failed"]) for (run, unit), found in events.items() if "failed" in found]
    if failed:
        reasons = sorted({f"{run.path.name}: {event.get('error', 'no reason recorded')}" for run, _, event in failed})
        run, unit, _ = failed[0]
        raise RelookError(
            f"{len(failed)} of {len(events)} units of work failed ({'; '.join(reasons)}); the others are whole, and "
            f"the same command tries the failed ones again; the log of the first is "
            f"{run.unit_directory(unit) / 'worker.log'}"
        )
    if not all(run.has_ended(unit) for run, unit in events):
        raise Interrupted(
            f"interrupted; {out} keeps what was trained until then, and the same command goes on from there"
        )


def place_of(study: Recorded, out: Path | None) -> Path:
    """The directory of a study: the one asked for, or one below `runs/` that is its own."""
    record = study.record()
    digest = sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return out or Path("runs") / f"{record['kind']}-{digest[:8]}"


def has_begun(runs: Sequence[Run]) -> bool:
    """Whether any unit of these runs has."""
    return any(run.unit_directory(unit).exists() for run in runs for unit in run.units)


def carry_out(study: Study, out: Path | None = None, engine: Engine | None = None) -> list[Run]:
    """Train what is left of a study, after a moment of each kind of unit if nothing has begun; returns its runs.

    Raises what `prepare_runs`, `measure` and `check_ended` do.
    """
    engine, out = engine or Embedded(available_cores()), place_of(study, out)
    there = prepare_runs(study, out, engine.workers, here=engine.here)
    if not has_begun([run for run, _ in there]):
        measure(there, out, engine)
    engine.carry_out(left(there), lambda: None)
    runs = [Run(run.path) for run, _ in there]
    check_ended(runs, out)
    return runs


def grid(
    algorithms: Sequence[str],
    environments: Sequence[str | EnvironmentSpec],
    *,
    steps: int = 100_000,
    seeds: int | Sequence[int] = 10,
    presets: Mapping[str, str] | None = None,
    own: Mapping[str, Mapping[str, Any]] | None = None,
    evaluate_episodes: int = 10,
    checkpoint_every: int = 10_000,
    held_out: Sequence[Variant] = (),
    out: str | Path | None = None,
    engine: Engine | None = None,
    **hyperparameters: Any,
) -> list[Run]:
    """Train every algorithm on every environment, as `relook grid` does, and return the runs.

    Values of hyper-parameters, or lists of them, are for all algorithms; `own` has those of single ones, and `presets`
    the names of their defaults. `held_out` are variants of every environment that training never sees:
    `relook.experiments.held_out.results(run)` says how the agents do there. The same call goes on with what was
    interrupted. `engine` is this machine unless said otherwise.
    """
    asked = Grid(
        spread(algorithms, hyperparameters, own or {}),
        [EnvironmentSpec(env) if isinstance(env, str) else env for env in environments],
        _seeds(seeds if isinstance(seeds, int) else list(seeds), 0),
        steps,
        presets or {},
        evaluate_episodes,
        checkpoint_every,
        [held_out] * len(environments),
    )
    check_held_out(asked)
    runs = carry_out(asked, None if out is None else Path(out), engine)
    play_held_out(asked, runs)
    return runs


def check_held_out(asked: Grid) -> None:
    """Make and step every held-out variant before anything trains. Raises `WrongRequest`."""
    variants = asked.variants()
    if variants and asked.evaluate_episodes < 1:
        raise WrongRequest("expected episodes to evaluate held-out variants with; found --evaluate-episodes 0")
    done = set()
    for name, request in asked.requests().items():
        if variants.get(name) and repr(request.environment) not in done:
            check(request.environment, variants[name])
            done.add(repr(request.environment))


def play_held_out(asked: Grid, runs: Sequence[Run]) -> None:
    """Evaluate the agents of these runs that finished in the held-out variants, unless that has been done."""
    variants, requests = asked.variants(), asked.requests()
    for run in runs:
        if variants.get(run.path.name):
            play(run, requests[run.path.name].environment, variants[run.path.name], asked.evaluate_episodes)
