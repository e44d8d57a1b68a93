"""Opening a run: tables, a summary, and agents that act. Nothing that a run directory holds is executed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from relook.errors import RelookError, WrongRequest
from relook.importing import named_function
from relook.runs.files import no_link, number, read_json, read_lines

if TYPE_CHECKING:
    import polars as pl

    from relook.envs import EnvironmentSpec
    from relook.runs.acting import TrainedAgent

SCHEMA = 3
"""Version of the directory's layout and records. A reader refuses versions that it does not know."""


@dataclass(frozen=True)
class AgentRecord:
    """One agent as it was asked for."""

    agent: int
    seed: int
    unit: int
    hyperparameters: Mapping[str, Any]
    arm: str | None = None
    """What its setting is called, in a run whose agents are not every value with every seed."""
    pruned: int | None = None
    """Steps at which a search let it go, because its setting was clearly behind; None if it trains to the end."""


class Run:
    """A run directory, open for reading. Raises `WrongRequest` if `path` is not one."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise WrongRequest(f"expected the directory of a run; found no run.json in {self.path}")
        self.record = read_json(self.path / "run.json")
        if self.record.get("schema") != SCHEMA:
            raise RelookError(
                f"expected a run of schema {SCHEMA} in {self.path}; found {self.record.get('schema')!r}; read it with "
                f"the version of relook that wrote it"
            )
        try:
            self.algorithm = str(self.record["algorithm"])
            self.agents = [
                AgentRecord(
                    int(row["agent"]),
                    int(row["seed"]),
                    int(row["unit"]),
                    dict(row["hyperparameters"]),
                    None if row.get("arm") is None else str(row["arm"]),
                    None if row.get("pruned") is None else int(row["pruned"]),
                )
                for row in self.record["agents"]
            ]
            self.steps = int(self.record["steps"])
            self._environment = dict(self.record["environment"])
            self.environment_name = str(self._environment["name"])
            keys = ("arguments", "max_episode_steps", "reset_seed", "rescale_actions")
            self._environment_options: dict[str, Any] = {key: self._environment[key] for key in keys}
            if not self.agents or min(self.steps, *(agent.unit for agent in self.agents)) < 0:
                raise ValueError("no agents, or a negative number of steps or of a unit")
        except (KeyError, TypeError, ValueError) as error:
            raise RelookError(
                f"expected a complete record in {self.path / 'run.json'}; found it damaged: {error!r}"
            ) from error

    @property
    def units(self) -> list[int]:
        return sorted({agent.unit for agent in self.agents})

    def members(self, unit: int) -> list[AgentRecord]:
        """The agents of a unit that train to the end, in the order of its parameters: all but the pruned ones."""
        return self._members.get(unit, [])

    @cached_property
    def _members(self) -> dict[int, list[AgentRecord]]:
        found: dict[int, list[AgentRecord]] = {}
        for agent in self.agents:
            if agent.pruned is None:
                found.setdefault(agent.unit, []).append(agent)
        return found

    def has_ended(self, unit: int) -> bool:
        """Whether a unit has nothing to do now: it finished, waits where it was to pause, or lost every agent."""
        events = self.unit_events(unit)
        waits = "paused" in events and not {"pause", "pending"}.isdisjoint(self.record)
        return "finished" in events or waits or not self.members(unit)

    def unit_directory(self, unit: int) -> Path:
        return no_link(no_link(self.path / "units") / str(unit))

    def environment(self, trusted: str | Callable[..., Any] | None = None) -> EnvironmentSpec:
        """The spec of the run's environment.

        A name that makes relook import a module is only taken from the record if the user repeats it (`trusted`); a
        function that cannot be imported is handed in again.
        """
        from relook.envs import EnvironmentSpec

        name = self.environment_name
        if callable(trusted):
            return EnvironmentSpec(name, **self._environment_options, function=trusted)
        if not self._environment.get("importable", True):
            raise WrongRequest(
                f"this run's environment is a function that cannot be imported, {name}; hand it in from Python: env="
            )
        if ":" in name and name != trusted:
            raise WrongRequest(
                f"this run's environment imports code, {name}, and relook imports nothing because a file says so; "
                f"repeat it: --env {name}"
            )
        return EnvironmentSpec(name, **self._environment_options)

    def actor_critic(self, trusted: str | Callable[..., Any] | None = None) -> Callable[..., Any] | None:
        """The user's function that made the run's networks; None if they are ours.

        Like an environment's, a name is only taken from the record if the user repeats it (`trusted`).
        """
        given = self.record.get("actor_critic")
        if given is None:
            return None
        name = str(given["name"])
        if callable(trusted):
            return trusted
        if not given["importable"]:
            raise WrongRequest(
                f"this run's networks are made by a function that cannot be imported, {name}; hand it in from Python: "
                f"actor_critic="
            )
        if name != trusted:
            raise WrongRequest(
                f"this run's networks import code, {name}, and relook imports nothing because a file says so; repeat "
                f"it: --actor-critic {name}"
            )
        return named_actor_critic(name)

    def _frame(self, name: str) -> pl.DataFrame:
        import polars as pl  # here, because it starts threads, and workers do without both

        rows = [
            {"unit": unit, **{k: number(v) if v in ("inf", "-inf") else v for k, v in row.items()}}
            for unit in self.units
            for row in read_lines(self.unit_directory(unit) / f"{name}.jsonl")
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def metrics(self) -> pl.DataFrame:
        """One row for each agent and iteration; the columns are described in the algorithm's `METRICS`."""
        return self._frame("metrics")

    @property
    def episodes(self) -> pl.DataFrame:
        """One row for each finished episode, of training and evaluation."""
        return self._frame("episodes")

    @property
    def evaluations(self) -> pl.DataFrame:
        """One row for each agent, evaluation and mode."""
        return self._frame("evaluations")

    @property
    def timing(self) -> pl.DataFrame:
        """Seconds that each stage of each iteration took, for each unit."""
        return self._frame("timing")

    @property
    def events(self) -> pl.DataFrame:
        """What happened to each unit: how it was graded, and how it ended."""
        return self._frame("events")

    def unit_events(self, unit: int) -> dict[str, dict[str, Any]]:
        """The last event of each kind in one unit."""
        return {row["event"]: row for row in read_lines(self.unit_directory(unit) / "events.jsonl")}

    def stopped(self, unit: int) -> dict[int, dict[str, Any]]:
        """The agents of a unit that stopped while the others went on, with status, reason, steps and place."""
        rows = read_lines(self.unit_directory(unit) / "events.jsonl")
        return {int(row["agent"]): row for row in rows if row["event"] == "stopped"}

    def recorded_episodes(self) -> Iterator[dict[str, Any]]:
        """The episodes as they were recorded, in the order in which they ended, with the `unit` of each."""
        for unit in self.units:
            for row in read_lines(self.unit_directory(unit) / "episodes.jsonl"):
                yield {"unit": unit, **row}

    def recorded_actions(self, episode: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """The actions of a recorded episode as its environment received them, [length, …].

        Raises `RelookError` if the record does not fit the file of actions.
        """
        path = no_link(self.unit_directory(int(episode["unit"])) / "actions.bin")
        try:
            where = episode["actions"]
            dtype, shape = np.dtype(str(where["dtype"])), tuple(int(n) for n in where["shape"])
            offset, count = int(where["offset"]), math.prod(shape)
            whole = dtype.kind in "biuf" and min(offset, *shape) >= 0
            if not whole or offset + count * dtype.itemsize > path.stat().st_size:
                raise ValueError(f"{where} is not in its {path.stat().st_size} bytes")
            with path.open("rb") as file:
                file.seek(offset)
                actions = np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype).reshape(shape)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise RelookError(f"expected the actions of an episode in {path}; found none there: {error}") from error
        asked = np.dtype(str(where.get("as", dtype.str)))
        return actions.astype(asked if asked.kind in "biuf" else dtype)

    def recorded_values(self, episode: Mapping[str, Any]) -> np.ndarray[Any, Any] | None:
        """V(s) of each observation that was acted on in a recorded episode [length]; None if there are no estimates.

        Raises `RelookError` if the record does not fit the file of values.
        """
        where = episode.get("values")
        if where is None:
            return None
        kind = "training" if episode["kind"] == "training" else "evaluation"
        path = no_link(self.unit_directory(int(episode["unit"])) / f"{kind}-values.bin")
        try:
            offset, stride, length = int(where["offset"]), int(where["stride"]), int(episode["length"])
            if min(offset, length) < 0 or stride < 4 or offset + stride * (length - 1) + 4 > path.stat().st_size:
                raise ValueError(f"{where} is not in its {path.stat().st_size} bytes")
            values = np.memmap(path, dtype=np.uint8, mode="r")
            rows = np.lib.stride_tricks.as_strided(values[offset:], (length, 4), (stride, 1))
            return np.ascontiguousarray(rows).view("<f4").ravel()
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise RelookError(f"expected the value estimates of an episode in {path}; found none: {error}") from error

    def parameters(self, unit: int) -> dict[str, np.ndarray[Any, Any]]:
        """The tensors [A, …] that a unit ended with. Raises `RelookError` if it has none or they are damaged."""
        path = no_link(self.unit_directory(unit) / "parameters.safetensors")
        if not path.is_file():
            raise RelookError(f"unit {unit} of {self.path} has not ended: there is no {path}")
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise RelookError(f"expected parameters in {path}; found it damaged: {error}") from error

    def recorded_digests(self, unit: int) -> dict[str, str]:
        """`parameters_sha256` of each agent, by its number, as it was written down when training ended."""
        try:
            with safe_open(self.unit_directory(unit) / "parameters.safetensors", framework="numpy") as file:
                return dict(json.loads((file.metadata() or {}).get("sha256", "{}")))
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise RelookError(f"expected parameters in unit {unit} of {self.path}; found damage: {error}") from error

    @cached_property
    def agent_summaries(self) -> list[dict[str, Any]]:
        """How each agent ended: status, steps, final return, digest of its parameters."""
        finals: dict[int, float] = {}
        for unit in self.units:
            for row in read_lines(self.unit_directory(unit) / "evaluations.jsonl"):
                try:
                    if row["deterministic"]:
                        finals[row["agent"]] = number(row["mean_return"])
                except (KeyError, TypeError, ValueError) as error:
                    raise RelookError(
                        f"expected an evaluation in each line of evaluations.jsonl of unit {unit}; found {error!r}"
                    ) from error
        summaries = []
        for unit in self.units:
            events = self.unit_events(unit)
            ends = ("finished", "interrupted", "failed")
            end = next((end for end in ends if end in events), "unfinished")
            parameters = self.parameters(unit) if end in ("finished", "interrupted") else None
            stopped = self.stopped(unit)
            steps = {row["agent"]: row["steps"] for row in read_lines(self.unit_directory(unit) / "metrics.jsonl")}
            positions = {agent.agent: position for position, agent in enumerate(self.members(unit))}
            for agent in (agent for agent in self.agents if agent.unit == unit):
                position = positions.get(agent.agent)
                status = "pruned" if position is None else "crashed" if end == "failed" else end
                own = None if parameters is None or position is None else parameters_sha256(parameters, position)
                summaries.append(
                    {
                        "agent": agent.agent,
                        **({} if agent.arm is None else {"arm": agent.arm}),
                        "seed": agent.seed,
                        "hyperparameters": dict(agent.hyperparameters),
                        "status": stopped.get(agent.agent, {"status": status})["status"],
                        "steps": steps.get(agent.agent, 0),
                        "final_return": finals.get(agent.agent),
                        "parameters_sha256": own,
                    }
                )
        return sorted(summaries, key=lambda row: int(row["agent"]))

    def varied(self) -> list[str]:
        """The hyper-parameters in which the agents of this run differ."""
        names = self.agents[0].hyperparameters
        return [name for name in names if len({str(agent.hyperparameters[name]) for agent in self.agents}) > 1]

    def agent(
        self,
        index: int,
        *,
        env: str | Callable[..., Any] | None = None,
        actor_critic: str | Callable[..., Any] | None = None,
    ) -> TrainedAgent:
        """A trained agent that acts.

        `env` and `actor_critic` repeat a name that imports code, or hand in the function that the run was given.
        """
        from relook.runs.acting import TrainedAgent

        return TrainedAgent(self, index, self.environment(env), self.actor_critic(actor_critic))


GRID = "grid.json"
"""The record of a grid, beside the directories of its runs."""


def opened(path: Path) -> list[Run]:
    """The run in a directory, or all runs of a grid that lies there. Raises `WrongRequest` for anything else."""
    if not (path / GRID).is_file():
        return [Run(path)]
    found = [Run(record.parent) for record in sorted(path.glob("*/run.json"))]
    if not found:
        raise WrongRequest(f"expected runs in the grid {path}; found none yet")
    return found


def named(source: str) -> tuple[str | None, Path]:
    """`[NAME=]PATH`: the name, if there is one, and the path."""
    name, equals, place = source.partition("=")
    if not equals or Path(source).exists():
        return None, Path(source)
    return name or None, Path(place)


def named_actor_critic(name: str) -> Callable[..., Any]:
    """The function that the user names as `module:function`. Raises `WrongRequest` if there is none."""
    function = named_function(name, "actor-critic") if ":" in name else None
    if function is None:
        raise WrongRequest(f"expected --actor-critic module:function; found {name!r}, which names no function")
    return function


def parameters_sha256(parameters: Mapping[str, np.ndarray[Any, Any]], position: int) -> str:
    """Digest of the learned parameters of the agent at `position` in its unit.

    SHA-256 over its tensors in the alphabetical order of their names, each as little-endian float32 in row-major
    order. Padding and the normaliser's statistics do not count; neither does who else was in the unit.
    """
    digest = sha256()
    for name in sorted(parameters):
        if not name.startswith("normaliser/"):
            digest.update(np.ascontiguousarray(parameters[name][position], dtype="<f4").tobytes())
    return digest.hexdigest()
