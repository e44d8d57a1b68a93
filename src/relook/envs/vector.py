"""A × N environments, stepped and reset by us."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from relook.envs.make import EnvironmentSpec
from relook.envs.spaces import ActionSpace, ObservationSpace
from relook.population import Agents, reset_seed


@dataclass(frozen=True)
class Spaces:
    """What an agent sees and does."""

    observation: ObservationSpace
    action: ActionSpace


class Transition(NamedTuple):
    """What one step of all environments did. `next_observation` is where the step led, at an end the final state."""

    observation: Float[Tensor, "A N D"]
    next_observation: Float[Tensor, "A N D"]
    reward: Float[Tensor, "A N"]
    terminated: Bool[Tensor, "A N"]
    truncated: Bool[Tensor, "A N"]


@dataclass(frozen=True)
class Episode:
    """One finished episode: with the environment's spec, `reset_seed` and `actions` are enough to play it again."""

    agent: int
    """Position of the agent in its population."""
    environment: int
    episode: int
    reset_seed: int | None
    length: int
    ret: float
    """Undiscounted sum of raw rewards."""
    ending: str
    """`terminated`; `truncated` if the time limit alone ended it; `cut` if an evaluation would not wait longer."""
    digest: str
    """Hash of all observations (as float32 vectors), rewards and the ending."""
    actions: NDArray[Any]
    """[length, …] as the environment received them."""


class _Recording:
    """What is remembered of an episode while it runs."""

    def __init__(self, seed: int | None, observation: NDArray[np.float32]) -> None:
        self.seed = seed
        self.actions: list[Any] = []
        self.rewards: list[float] = []
        self.hash = blake2b(observation.data, digest_size=16)

    def add(self, action: Any, reward: float, observation: NDArray[np.float32]) -> None:
        self.actions.append(action)
        self.rewards.append(reward)
        self.hash.update(observation.data)

    def finish(self, ending: str) -> str:
        self.hash.update(np.array(self.rewards, dtype="<f8").tobytes())
        self.hash.update(ending.encode())
        return self.hash.hexdigest()


class Environments:
    """N environments for each of A agents.

    Every episode starts with an explicit reset seed derived from (agent seed, purpose, environment, episode). An
    environment whose episode has ended is reset within the same step: `step` returns the final observation as
    `next_observation`, and `observation` is then the first one of the next episode. With `autoreset=False` a finished
    environment rests instead, and is not stepped, until `reset`.

    Tensors returned by `step` and `observation` are views of memory that the next step overwrites.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        agents: Agents,
        count: int,
        *,
        purpose: str = "train",
        autoreset: bool = True,
        slot: Callable[[int], int] = lambda n: n,
    ) -> None:
        """`slot` maps the number of an environment to the number that its reset seeds are derived from."""
        self.spec, self.agents, self.count = spec, agents, count
        self._purpose, self._autoreset, self._slot = purpose, autoreset, slot
        self._envs = [[spec.make() for _ in range(count)] for _ in agents]
        self.spaces = Spaces(
            ObservationSpace(self._envs[0][0].observation_space), ActionSpace(self._envs[0][0].action_space)
        )
        shape = (len(agents), count)
        self._observation = np.zeros((*shape, self.spaces.observation.size), dtype=np.float32)
        self._before = np.zeros_like(self._observation)
        self._after = np.zeros_like(self._observation)
        self._reward = np.zeros(shape, dtype=np.float32)
        self._terminated = np.zeros(shape, dtype=np.bool_)
        self._truncated = np.zeros(shape, dtype=np.bool_)
        self._episode = np.zeros(shape, dtype=np.int64)
        self.resting = np.zeros(shape, dtype=np.bool_)
        self._recordings: list[list[_Recording]] = [[] for _ in agents]
        self._finished: list[Episode] = []
        self.reset()

    @property
    def observation(self) -> Float[Tensor, "A N D"]:
        """What the agents see now."""
        return torch.from_numpy(self._observation)

    def reset(self) -> None:
        """Start episode 0 in every environment."""
        self._episode[:] = 0
        self.resting[:] = False
        for a in range(len(self.agents)):
            self._recordings[a] = [self._reset(a, n) for n in range(self.count)]

    def _reset(self, a: int, n: int) -> _Recording:
        episode = int(self._episode[a, n])
        seed = reset_seed(self.agents[a].seed, self._purpose, self._slot(n), episode)
        if self.spec.reset_seed == "once" and episode > 0:
            observation, _ = self._envs[a][n].reset()
            seed_used = None
        else:
            observation, _ = self._envs[a][n].reset(seed=seed)
            seed_used = seed
        row = self._observation[a, n]
        self.spaces.observation.write(observation, row)
        return _Recording(seed_used, row)

    def step(self, action: Tensor) -> Transition:
        """Act in every environment: `action` [A, N, width] as a policy chooses it."""
        actions = self.spaces.action.to_environment(action.numpy())
        sent = actions.copy()  # what is recorded, even if an environment changes its action in place
        self._before[:] = self._observation
        for a, (envs, recordings) in enumerate(zip(self._envs, self._recordings, strict=True)):
            for n, env in enumerate(envs):
                if not self.resting[a, n]:
                    self._step(a, n, env, recordings[n], sent[a, n], actions[a, n])
        return Transition(
            *map(torch.from_numpy, (self._before, self._after, self._reward, self._terminated, self._truncated))
        )

    def _step(self, a: int, n: int, env: gym.Env[Any, Any], recording: _Recording, sent: Any, action: Any) -> None:
        observation, reward, terminated, truncated, _ = env.step(action)
        row = self._after[a, n]
        self.spaces.observation.write(observation, row)
        reward = float(reward)
        recording.add(sent, reward, row)
        self._reward[a, n] = reward
        self._terminated[a, n] = terminated
        self._truncated[a, n] = truncated
        if terminated or truncated:
            self._end(a, n, recording, "terminated" if terminated else "truncated")
            self._episode[a, n] += 1
            if self._autoreset:
                self._recordings[a][n] = self._reset(a, n)
                return
            self.resting[a, n] = True
        self._observation[a, n] = row

    def _end(self, a: int, n: int, recording: _Recording, ending: str) -> None:
        self._finished.append(
            Episode(
                agent=int(a),
                environment=int(n),
                episode=int(self._episode[a, n]),
                reset_seed=recording.seed,
                length=len(recording.rewards),
                ret=sum(recording.rewards),
                ending=ending,
                digest=recording.finish(ending),
                actions=np.asarray(recording.actions),
            )
        )

    def cut(self) -> None:
        """End the episodes that still run; their environments rest until `reset`."""
        for a, n in np.argwhere(~self.resting):
            self._end(a, n, self._recordings[a][n], "cut")
        self.resting[:] = True

    def finished_episodes(self) -> list[Episode]:
        """The episodes that ended since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        for envs in self._envs:
            for env in envs:
                env.close()
