"""What several test modules share: small units of work, and a look into a training from outside."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relook.algorithms.ppo import Config, ppo
from relook.envs import EnvironmentSpec
from relook.networks import ActorCritic
from relook.population import Agent, Agents
from relook.population.hyperparameters import names
from relook.runs.work import Work

SMALL: dict[str, list[Any]] = {"envs": [2], "horizon": [16], "minibatch": [16], "epochs": [2], "hidden": [(8,)]}
"""Hyper-parameters of a training that takes a second, in iterations of 32 steps."""


def spec_of(environment: str) -> EnvironmentSpec:
    """An environment with short episodes."""
    return EnvironmentSpec(environment, max_episode_steps=30)


def numeric(config: Config, **changed: float) -> dict[str, float]:
    """The numeric hyper-parameters of a configuration."""
    values = asdict(config)
    return {name: values[name] for name in names(Config, "numeric")} | changed


def population(config: Config, seeds: Sequence[int]) -> Agents:
    return Agents([Agent(index, seed, numeric(config)) for index, seed in enumerate(seeds)])


def work(
    directory: Path,
    environment: str | EnvironmentSpec,
    agents: Agents,
    config: Config,
    *,
    iterations: int,
    evaluate_episodes: int = 0,
) -> Work:
    spec = EnvironmentSpec(environment) if isinstance(environment, str) else environment
    return Work(directory, spec, agents, config, iterations * config.steps_each, evaluate_episodes)


def train(asked: Work) -> ActorCritic:
    """Train with PPO and return the networks it ended with."""
    built: list[ActorCritic] = []

    def catch(*args: Any, **kwargs: Any) -> ActorCritic:
        built.append(ActorCritic(*args, **kwargs))
        return built[-1]

    ppo(asked, catch)
    return built[0]


def state_of(actor_critic: ActorCritic, position: int) -> dict[str, bytes]:
    """One agent's tensors, as bytes: equal only if equal bit for bit."""
    return {name: tensor[position].numpy().tobytes() for name, tensor in actor_critic.state().items()}


class Still:
    """An actor-critic that always does 0, and has learned `nothing`."""

    def __init__(self, nothing: Tensor) -> None:
        self.settings: dict[str, Any] = {}
        self._nothing = nothing

    def state(self) -> dict[str, Tensor]:
        return {"nothing": self._nothing}

    def load(self, state: dict[str, Tensor]) -> None:
        self._nothing = state["nothing"]

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(len(agents), *shape, 1)

    def act(self, observation: Tensor, noise: Tensor) -> Tensor:
        return self.act_deterministically(observation)

    def value(self, observation: Tensor) -> Tensor:
        return torch.zeros(observation.shape[:2])

    def act_deterministically(self, observation: Tensor) -> Tensor:
        return torch.zeros(*observation.shape[:2], 1, dtype=torch.int64)


def equal_bits(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and x.contiguous().numpy().tobytes() == y.contiguous().numpy().tobytes()
