"""Variants of an environment that training never sees: does what was learned hold there too?

Every agent that finished plays fresh episodes where it was trained and in every variant, from the same reset seeds.
What they return is kept in the run, in `held-out.jsonl`: a line for each agent and environment.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from relook.envs import ActionSpace, EnvironmentSpec, ObservationSpace
from relook.errors import RelookError, WrongRequest
from relook.importing import named_function
from relook.runs.acting import evaluate
from relook.runs.files import LineWriter, no_link, number, read_lines
from relook.runs.reading import AgentRecord, Run

FILE = "held-out.jsonl"

Variant = Mapping[str, Any]
"""The arguments in which it differs from what is trained in; none for that itself."""


@dataclass(frozen=True)
class Tested:
    """What an agent returns on average, in the environment that it was trained in and in a variant."""

    agent: AgentRecord
    variant: Variant
    trained_in: float
    held_out: float
    episodes: int


# Before training


def check(spec: EnvironmentSpec, variants: Sequence[Variant]) -> None:
    """Make every variant of an environment and step it once.

    Raises `WrongRequest` for one that cannot be made or stepped, has other spaces, or is no other environment.
    """
    env = spec.make()
    made_with, spaces = _arguments(spec, env), _spaces(env)
    env.close()
    for place, variant in enumerate(variants):
        said = words(variant)
        if not variant or all(name in made_with and _equal(made_with[name], x) for name, x in variant.items()):
            raise WrongRequest(
                f"expected variants of {spec.name} that training does not see; {said or 'no argument'} is what it is "
                f"trained in: leave it out"
            )
        if variant in variants[:place]:
            raise WrongRequest(f"expected different variants of {spec.name}; found {said} twice")
        found = _stepped(varied(spec, variant), said)
        if found != spaces:
            raise WrongRequest(
                f"expected variants of {spec.name} with its spaces, {' and '.join(spaces)}; with {said} it has "
                f"{' and '.join(found)}"
            )


def varied(spec: EnvironmentSpec, variant: Variant) -> EnvironmentSpec:
    """An environment with some other arguments."""
    return replace(spec, arguments={**spec.arguments, **variant})


def words(variant: Variant) -> str:
    """A variant as people write it."""
    return ", ".join(f"{name}={value}" for name, value in variant.items())


def _arguments(spec: EnvironmentSpec, env: gym.Env[Any, Any]) -> dict[str, Any]:
    """What an environment was made with: what is asked for, on top of what it is registered with and of defaults."""
    function: Callable[..., Any] | None = spec.function
    if function is None and ":" in spec.name:
        function = named_function(spec.name, "environment")
    registered = env.spec.kwargs if function is None and env.spec is not None else {}
    parameters = inspect.signature(function or type(env.unwrapped)).parameters.values()
    defaults = {part.name: part.default for part in parameters if part.default is not part.empty}
    return {**defaults, **registered, **spec.arguments}


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except ValueError:  # arrays
        return False


def _spaces(env: gym.Env[Any, Any]) -> tuple[str, str]:
    """What must be the same for an agent to live in both of two environments."""
    size = ObservationSpace(env.observation_space).size
    return f"observations of {size} numbers", str(ActionSpace(env.action_space).kind)


def _stepped(spec: EnvironmentSpec, said: str) -> tuple[str, str]:
    """The spaces of an environment that can be reset and stepped."""
    env = spec.make()
    try:
        spaces = _spaces(env)
        env.reset(seed=0)
        env.action_space.seed(0)
        env.step(env.action_space.sample())
    except WrongRequest:
        raise
    except Exception as error:
        raise WrongRequest(
            f"expected variants of {spec.name} that can be stepped; with {said} it fails: {type(error).__name__}: "
            f"{error}; leave it out"
        ) from error
    finally:
        env.close()
    return spaces


# After training


def play(run: Run, spec: EnvironmentSpec, variants: Sequence[Variant], episodes: int) -> None:
    """Evaluate every agent that finished, where it was trained and in the variants, and keep what it returns.

    What is kept already is not done again.
    """
    finished = {agent.agent for unit in run.units for agent in _finished(run, unit)}
    kept = {(row.agent, _key(row.variant)) for row in _rows(run) if len(row.returns) == episodes}
    for variant in ({}, *variants):
        missing = finished - {agent for agent, key in kept if key == _key(variant)}
        played = evaluate(run, varied(spec, variant), episodes, only=missing) if missing else ()
        for agent, returns in played:
            _append(run, {"agent": agent, "steps": run.steps, "changed": dict(variant), "returns": returns})


def _finished(run: Run, unit: int) -> list[AgentRecord]:
    if "finished" not in run.unit_events(unit):
        return []
    stopped = run.stopped(unit)
    return [agent for agent in run.members(unit) if agent.agent not in stopped]


def results(run: Run) -> list[Tested]:
    """What is kept of a run: for each variant, in the order in which they were tested, the agents in theirs."""
    of = {(row.agent, _key(row.variant)): row for row in _rows(run)}
    variants = {_key(row.variant): row.variant for row in of.values() if row.variant}
    found = []
    for key, variant in variants.items():
        for agent in run.agents:
            home, away = of.get((agent.agent, _key({}))), of.get((agent.agent, key))
            if home is not None and away is not None:
                found.append(Tested(agent, variant, home.mean, away.mean, len(away.returns)))
    return found


@dataclass(frozen=True)
class _Row:
    agent: int
    variant: Variant
    returns: list[float]

    @property
    def mean(self) -> float:
        return sum(self.returns) / len(self.returns)


def _rows(run: Run) -> list[_Row]:
    """What is kept of agents as they are now: a run that was made longer is tested anew."""
    path = run.path / FILE
    rows = []
    for row in read_lines(path):
        try:
            found = _Row(int(row["agent"]), dict(row["changed"]), [number(x) for x in row["returns"]])
            if not found.returns:
                raise ValueError("no returns")
            if row["steps"] == run.steps:
                rows.append(found)
        except (KeyError, TypeError, ValueError) as error:
            raise RelookError(
                f"expected an agent's returns in each line of {path}; found {error!r}; remove the file, and the grid's "
                f"command makes it again"
            ) from error
    return rows


def _append(run: Run, row: Mapping[str, Any]) -> None:
    path = no_link(run.path / FILE)
    _cut(path)
    file = LineWriter(path)
    file.write([row])
    file.sync()
    file.close()


def _cut(path: Path) -> None:
    """Drop a last line that was torn."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _key(variant: Variant) -> str:
    return json.dumps(dict(variant), sort_keys=True)
