"""Made-up experience, for the start-up self-check: real actions, random everything else."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from relook.buffers.replay import Batch
from relook.buffers.rollout import Rollout
from relook.envs import Choices, Spaces, Transition
from relook.formulas.shapes import expand
from relook.population import Agents, RewardScaler
from relook.population.hyperparameters import Hyperparameters


@runtime_checkable
class Actor(Protocol):
    """What is needed of an actor-critic."""

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Tensor: ...
    def act(self, observation: Float[Tensor, "A N D"], noise: Tensor) -> Tensor: ...
    def observe(self, observation: Float[Tensor, "A B D"]) -> None: ...


@runtime_checkable
class RolloutConfig(Protocol):
    """What an algorithm's `Config` says of its experience."""

    @property
    def horizon(self) -> int: ...
    @property
    def envs(self) -> int: ...
    @property
    def scale_rewards(self) -> bool: ...


def made_up(
    ac: Actor, agents: Agents, spaces: Spaces, config: RolloutConfig, h: Hyperparameters, *, past: int = 0
) -> tuple[Rollout, Float[Tensor, "A T N"]]:
    """A rollout of random numbers, which the normaliser has seen, and its rewards on the scale to be learned.

    The networks choose the actions of the first steps; the last of these is repeated from there on.
    """
    rollout = Rollout(len(agents), config.horizon, config.envs, spaces, past=past)
    shape = (config.horizon, config.envs)
    observation = agents.normal("rehearse", 0, (2, *shape, spaces.observation.size))
    reward = agents.normal("rehearse", 1, shape)
    ends = agents.uniform("rehearse", 2, (2, *shape)) < 0.1
    noise = ac.noise(agents, "rehearse", 3, shape)
    for t in range(config.horizon):
        if t < 4:
            action = ac.act(observation[:, 0, t], noise[:, t])
        seen, led_to = observation[:, 0, t], observation[:, 1, t]
        rollout.store(t, action, Transition(seen, led_to, reward[:, t], ends[:, 0, t], ends[:, 1, t]))
    scaler = RewardScaler(len(agents), config.envs, enabled=config.scale_rewards)
    scaler.update(rollout.reward, rollout.terminated | rollout.truncated, h.discount)
    ac.observe(rollout.observation.flatten(1, 2))
    return rollout, scaler(rollout.reward)


def made_up_batch(agents: Agents, spaces: Spaces, size: int, h: Hyperparameters) -> Batch:
    """A batch of random numbers, as if it came from a replay."""
    seen = agents.normal("rehearse", 0, (2, size, spaces.observation.size))
    drawn = agents.uniform("rehearse", 1, (size, spaces.action.width))
    if isinstance(spaces.action.kind, Choices):
        action = (drawn * torch.tensor(spaces.action.kind.sizes)).long()
    else:
        middle, half = (torch.from_numpy(x.astype("float32")) for x in (spaces.action.middle, spaces.action.half))
        action = middle + half * (2 * drawn - 1)
    reward = agents.normal("rehearse", 2, (size,))
    terminated = agents.uniform("rehearse", 3, (size,)) < 0.1
    return Batch(seen[:, 0], action, reward, seen[:, 1], terminated, expand(h.discount, 2).expand(-1, size))
