"""How good are the agents now? Episodes of their own, in the environment as it is."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from relook.envs import Environments, EnvironmentSpec, Episode
from relook.formulas.diagnostics import monte_carlo_bias
from relook.population import Agents

NOISE_BLOCK = 64
"""Steps of noise drawn at a time for stochastic episodes."""

LONGEST = 10_000
"""Evaluation episodes are cut here: an environment without a time limit may hold a bad policy for ever."""


class Acts(Protocol):
    """What an evaluation needs of an actor-critic."""

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Tensor: ...
    def act(self, observation: Tensor, noise: Tensor) -> Tensor: ...
    def act_deterministically(self, observation: Tensor) -> Tensor: ...


class Evaluation:
    """Plays `episodes` episodes for every agent in each mode: deterministic (True) and stochastic (False).

    All modes start from the same reset seeds, derived from the agent's seed and `purpose` alone: so evaluations at
    different times, and of different settings of a seed, differ by the policy and nothing else.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        agents: Agents,
        episodes: int,
        *,
        modes: tuple[bool, ...] = (True, False),
        purpose: str = "evaluate",
    ) -> None:
        self._agents, self._episodes, self._modes, self._purpose = agents, episodes, modes, purpose
        count = episodes * len(modes)
        self.values: NDArray[np.float32] = np.zeros((0, len(agents), count), dtype=np.float32)
        """Of the last evaluation: V(s) [step, A, environment] of what was acted on."""
        self._rewards: NDArray[np.float32] = self.values
        self._played: list[Episode] = []
        self.envs = Environments(spec, agents, count, purpose=purpose, autoreset=False, slot=lambda n: n % episodes)

    def __call__(
        self, policy: Acts, index: int = 0, value: Callable[[Tensor], Tensor] | None = None
    ) -> list[tuple[bool, list[Episode]]]:
        """Each mode with its episodes, by agent and environment; `index` counts evaluations and keys the noise.

        `value` [A, N, D] → [A, N] estimates V(s) of what is acted on; what it says is kept in `values`.
        """
        envs, values, rewards = self.envs, [], []
        envs.reset()
        noise = torch.empty(0)
        for t in range(LONGEST):
            if t % NOISE_BLOCK == 0:
                block = (index << 32) + t // NOISE_BLOCK
                noise = policy.noise(self._agents, self._purpose, block, (NOISE_BLOCK, self._episodes))
            actions = [
                policy.act_deterministically(observation)
                if deterministic
                else policy.act(observation, noise[:, t % NOISE_BLOCK])
                for deterministic, observation in zip(
                    self._modes, torch.split(envs.observation, self._episodes, dim=1), strict=True
                )
            ]
            if value is not None:
                values.append(value(envs.observation).numpy())
            rewards.append(envs.step(torch.cat(actions, 1)).reward.numpy().copy())
            if envs.resting.all():
                break
        self.values = np.stack(values) if values else self.values[:0]
        self._rewards = np.stack(rewards)
        envs.cut()
        played = sorted(envs.finished_episodes(), key=lambda episode: (episode.agent, episode.environment))
        self._played = played
        return [
            (deterministic, [episode for episode in played if episode.environment // self._episodes == m])
            for m, deterministic in enumerate(self._modes)
        ]

    def bias(self, discount: Float[Tensor, " A"]) -> Float[Tensor, " A"]:
        """How much the values of the last evaluation's first mode lay above the discounted returns that came."""
        own = slice(self._episodes)
        length = torch.zeros(len(self._agents), self._episodes, dtype=torch.int64)
        terminated = torch.zeros(len(self._agents), self._episodes, dtype=torch.bool)
        for episode in self._played:
            if episode.environment < self._episodes:
                length[episode.agent, episode.environment] = episode.length
                terminated[episode.agent, episode.environment] = episode.ending == "terminated"
        value, reward = (torch.from_numpy(x[:, :, own]) for x in (self.values, self._rewards))
        return monte_carlo_bias(value, reward, length, terminated, discount)
