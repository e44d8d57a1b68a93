"""What several test modules share: small units of work, and a look into a training from outside."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from relook.algorithms import ALGORITHMS, Algorithm, algorithm
from relook.buffers import Rollout
from relook.envs import Environments, EnvironmentSpec
from relook.networks import ActorCritic
from relook.population import Agent, Agents
from relook.population.hyperparameters import Hyperparameters, names
from relook.runs.work import Work

SMALL: dict[str, list[Any]] = {"envs": [2], "horizon": [16], "minibatch": [16], "epochs": [2], "hidden": [(8,)]}
"""Hyper-parameters of a training that takes a second, in iterations of 32 steps: PPO's."""

OFF_POLICY: dict[str, list[Any]] = {
    "envs": [2],
    "iteration": [32],
    "update_interval": [8],
    "update_to_data": [0.5],
    "learning_starts": [16],
    "capacity": [100],
    "batch": [8],
    "hidden": [(8,)],
}

TINY: dict[str, dict[str, list[Any]]] = {
    "reinforce": {"envs": [2], "horizon": [16], "value_epochs": [2], "hidden": [(8,)]},
    "vpg": {"envs": [2], "horizon": [16], "minibatch": [16], "value_epochs": [2], "hidden": [(8,)]},
    "a2c": {"envs": [2], "horizon": [4], "rollouts": [4], "hidden": [(8,)]},
    "trpo": {"envs": [2], "horizon": [16], "minibatch": [16], "value_epochs": [2], "hidden": [(8,)]},
    "ppo": SMALL,
    "dqn": OFF_POLICY | {"target_interval": [16]},
    "ddpg": OFF_POLICY | {"random_steps": [8]},
    "td3": OFF_POLICY | {"random_steps": [8]},
    "sac": OFF_POLICY | {"random_steps": [8]},
}
"""The same for every algorithm."""
assert set(TINY) == set(ALGORITHMS)


ON_POLICY = ("reinforce", "vpg", "a2c", "trpo", "ppo")
CONTINUOUS_ONLY = ("ddpg", "td3", "sac")
HOMES = {
    name: ("CartPole-v1",)
    if name == "dqn"
    else ("Pendulum-v1",)
    if name in CONTINUOUS_ONLY
    else ("CartPole-v1", "Pendulum-v1")
    for name in ALGORITHMS
}
"""Environments that an algorithm can learn in, of both kinds of actions if it can."""


def normalising(name: str) -> dict[str, list[Any]]:
    """Observations normalised, where an algorithm can do that."""
    return {"normalise_observations": [True]} if name in ON_POLICY else {}


def spec_of(environment: str) -> EnvironmentSpec:
    """An environment with short episodes."""
    return EnvironmentSpec(environment, max_episode_steps=30)


def tiny(name: str, **changed: Any) -> Any:
    """The `Config` of an algorithm with the values of `TINY`, and others."""
    return algorithm(name).config(**{key: value for key, [value] in TINY[name].items()} | changed)


def numeric(config: Any, **changed: float) -> dict[str, float]:
    """The numeric hyper-parameters of a configuration."""
    values = asdict(config)
    return {name: values[name] for name in names(type(config), "numeric")} | changed


def population(config: Any, seeds: Sequence[int]) -> Agents:
    return Agents([Agent(index, seed, numeric(config)) for index, seed in enumerate(seeds)])


def work(
    directory: Path,
    environment: str | EnvironmentSpec,
    agents: Agents,
    config: Any,
    *,
    iterations: int,
    evaluate_episodes: int = 0,
) -> Work:
    spec = EnvironmentSpec(environment) if isinstance(environment, str) else environment
    return Work(directory, spec, agents, config, iterations * config.steps_each, evaluate_episodes)


def train(asked: Work) -> Any:
    """Train with the algorithm whose `Config` it is, and return the networks it ended with."""
    built: list[Any] = []
    known = algorithm_of(asked.config)
    make = known.networks

    def catch(*args: Any, **kwargs: Any) -> Any:
        built.append(make(*args, **kwargs))
        return built[-1]

    known.train(asked, catch)
    return built[0]


def algorithm_of(config: Any) -> Algorithm:
    """The algorithm whose `Config` it is."""
    return algorithm(type(config).__module__.rpartition(".")[2])


def played(
    environment: str | EnvironmentSpec, config: Any, agents: Agents, iterations: int = 1, *, past: int = 0
) -> tuple[Rollout, ActorCritic, Any, Hyperparameters]:
    """A rollout that really happened, with the networks that collected it, their optimiser and hyper-parameters."""
    spec = EnvironmentSpec(environment) if isinstance(environment, str) else environment
    envs = Environments(spec, agents, config.envs)
    ac, optimiser = algorithm_of(config).build(envs.spaces, agents, config, ActorCritic)
    rollout = Rollout(len(agents), config.horizon, config.envs, envs.spaces, past=past)
    for iteration in range(iterations):
        rollout.remember()
        noise = ac.noise(agents, "explore", iteration, (config.horizon, config.envs))
        for t in range(config.horizon):
            action = ac.act(envs.observation, noise[:, t])
            rollout.store(t, action, envs.step(action))
    return rollout, ac, optimiser, Hyperparameters(agents)


def plain(state: dict[str, Tensor], agent: int) -> dict[str, Tensor]:
    """One agent's tensors in float64, as leaves of autograd."""
    return {name: tensor[agent].double().clone().requires_grad_() for name, tensor in state.items()}


def plain_network(
    theta: dict[str, Tensor], group: str, x: Tensor, activation: Callable[[Tensor], Tensor] = torch.tanh
) -> Tensor:
    """The output of a group's perceptron, as a textbook writes it."""
    layers = sum(name.startswith(f"{group}/") and name.endswith("/weight") for name in theta)
    for i in range(layers):
        x = linear(activation(x) if i else x, theta[f"{group}/{i}/weight"].T, theta[f"{group}/{i}/bias"])
    return x


def plain_policy(theta: dict[str, Tensor], observation: Tensor) -> torch.distributions.Distribution:
    """π(·|s): diagonal Gaussian if there is a log σ, one choice otherwise."""
    output = plain_network(theta, "policy", observation)
    if "policy/log_std" in theta:
        normal = torch.distributions.Normal(output, theta["policy/log_std"].exp())
        return torch.distributions.Independent(normal, 1)
    return torch.distributions.Categorical(logits=output)


def plain_log_prob(distribution: torch.distributions.Distribution, action: Tensor) -> Tensor:
    """Log π of actions [B, width] as buffers store them."""
    discrete = isinstance(distribution, torch.distributions.Categorical)
    return distribution.log_prob(action[:, 0] if discrete else action.double())


def state_of(actor_critic: Any, position: int) -> dict[str, bytes]:
    """One agent's tensors, as bytes: equal only if equal bit for bit."""
    return {name: tensor[position].numpy().tobytes() for name, tensor in actor_critic.state().items()}


class Still:
    """An actor-critic that always does 0, and has learned `nothing`."""

    stochastic = True

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
