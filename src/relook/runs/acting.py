"""Agents of a finished run: to act with, and to evaluate again."""

from collections.abc import Callable, Container, Iterator
from typing import Any, Protocol

import numpy as np
import torch

from relook.envs import ActionSpace, EnvironmentSpec, ObservationSpace, Spaces
from relook.errors import RelookError, WrongRequest
from relook.networks import from_settings
from relook.population import Agent, Agents, single_threaded
from relook.runs.evaluation import Acts, Evaluation
from relook.runs.reading import Run

AT_ONCE = 20
"""Fresh episodes of one agent that are played side by side, each in an environment of its own."""


class ActsAndLoads(Acts, Protocol):
    """What is needed of a run's networks."""

    def value(self, observation: torch.Tensor) -> torch.Tensor: ...
    def load(self, state: dict[str, torch.Tensor]) -> None: ...


def _load(run: Run, unit: int, spaces: Spaces, positions: list[int], make: Callable[..., Any] | None) -> ActsAndLoads:
    """The networks of some agents of a unit, by their positions in it."""
    networks = run.unit_events(unit).get("networks", {})
    settings = networks.get("settings")
    if not isinstance(settings, dict):
        raise RelookError(f"expected the settings of networks in the events of unit {unit} of {run.path}; found none")
    stored = run.parameters(unit)
    agents = Agents([Agent(position, 0) for position in positions])
    actor_critic: ActsAndLoads = from_settings(networks.get("kind"), spaces, agents, settings, make)
    actor_critic.load({name: torch.from_numpy(tensor[positions]) for name, tensor in stored.items()})
    return actor_critic


def _check_spaces(run: Run, spec: EnvironmentSpec, found: Spaces) -> None:
    """Raise `WrongRequest` if the run's agents cannot live in an environment with these spaces."""
    trained_in = run.record["environment"]
    sizes = {"observation": trained_in.get("observation_size"), "action": trained_in.get("action_kind")}
    if sizes != {"observation": found.observation.size, "action": str(found.action.kind)}:
        raise WrongRequest(
            f"expected an environment with the run's spaces, {trained_in.get('observation_space')} and "
            f"{trained_in.get('action_space')}; {spec.name} has {found.observation.space} and {found.action.space}"
        )


class TrainedAgent:
    """One agent of a run. `act` takes an observation as the environment gives it and returns an action for it."""

    def __init__(self, run: Run, index: int, spec: EnvironmentSpec, make: Callable[..., Any] | None = None) -> None:
        """`make` is the `actor_critic` function that the run was trained with, unless that was ours."""
        found = [agent for agent in run.agents if agent.agent == index]
        if not found:
            raise WrongRequest(f"expected an agent from 0 to {len(run.agents) - 1}; found {index}")
        self.record = found[0]
        if self.record.pruned is not None:
            raise WrongRequest(
                f"expected an agent that trained to the end; agent {index} of {run.path} was pruned after "
                f"{self.record.pruned:,} steps, and its parameters were not kept"
            )
        self.spec = spec
        env = spec.make()
        self._spaces = Spaces(
            ObservationSpace(env.observation_space), ActionSpace(env.action_space, rescale=spec.rescale_actions)
        )
        env.close()
        unit = self.record.unit
        position = [agent.agent for agent in run.members(unit)].index(index)
        self.networks = _load(run, unit, self._spaces, [position], make)
        """What it acts with, to be asked for more: values, or probabilities."""
        self._agents = Agents([Agent(index, self.record.seed)])
        self._acts = 0

    def act(self, observation: Any, *, deterministic: bool = True) -> Any:
        """The most probable action, or one drawn from the policy with the agent's own stream of noise."""
        row = np.zeros((1, 1, self._spaces.observation.size), dtype=np.float32)
        self._spaces.observation.write(observation, row[0, 0])
        seen = torch.from_numpy(row)
        if deterministic:
            action = self.networks.act_deterministically(seen)
        else:
            noise = self.networks.noise(self._agents, "act", self._acts, (1,))
            action = self.networks.act(seen, noise)
            self._acts += 1
        return self._spaces.action.to_environment(action.numpy())[0, 0]


def evaluate(
    run: Run,
    spec: EnvironmentSpec,
    episodes: int,
    *,
    deterministic: bool = True,
    make: Callable[..., Any] | None = None,
    only: Container[int] | None = None,
) -> Iterator[tuple[int, list[float]]]:
    """Play fresh episodes with every agent of a run but those that were pruned; yield its number with their returns.

    Or with those of a few numbers `only`.

    Fresh: the reset seeds are not those of the run's own evaluations. `spec` may be another environment than the
    run's, as long as its spaces are the same. `make` is the `actor_critic` function that the run was trained with,
    unless that was ours.
    """
    single_threaded()
    for unit in run.units:
        members = list(enumerate(run.members(unit)))
        chosen = [(place, record) for place, record in members if only is None or record.agent in only]
        if not chosen:
            continue
        places, records = zip(*chosen, strict=True)
        agents = Agents([Agent(record.agent, record.seed) for record in records])
        returns: dict[int, list[float]] = {record.agent: [] for record in records}
        for first in range(0, episodes, AT_ONCE):
            count = min(AT_ONCE, episodes - first)
            purpose = f"evaluate-afresh-from-{first}"
            evaluation = Evaluation(spec, agents, count, modes=(deterministic,), purpose=purpose)
            _check_spaces(run, spec, evaluation.envs.spaces)
            [(_, played)] = evaluation(_load(run, unit, evaluation.envs.spaces, list(places), make))
            evaluation.envs.close()
            for position, stop in agents.stopped.items():
                raise RelookError(f"agent {agents[position].index} cannot be evaluated in {spec.name}: {stop.reason}")
            for episode in played:
                returns[records[episode.agent].agent].append(episode.ret)
        yield from returns.items()
