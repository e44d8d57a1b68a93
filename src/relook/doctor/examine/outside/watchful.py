"""A wrapper that writes down how an environment is treated."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass
class Log:
    """How the environments of one training were treated."""

    played: list[int] = field(default_factory=list)
    """Steps of each instance."""
    seeds: list[tuple[int, int | None]] = field(default_factory=list)
    """Instance and seed of each reset."""
    starts: list[tuple[int, bytes]] = field(default_factory=list)
    """Instance and first observation of each episode."""
    odd_actions: int = 0
    """Actions that are not in the action space."""
    after_end: int = 0
    """Steps taken after an episode's end, without a reset."""
    least: NDArray[np.float64] = field(default_factory=lambda: np.array(np.inf))
    most: NDArray[np.float64] = field(default_factory=lambda: np.array(-np.inf))
    """Of each component of the continuous actions [K]."""
    closed: bool = False
    """Whether training is over: what is played afterwards is not written down."""

    @property
    def steps(self) -> int:
        """Of all instances."""
        return sum(self.played)

    @property
    def busy(self) -> list[int]:
        """The instances that training went on in: others were made to look at something, or to rehearse."""
        most = max(self.played, default=0)
        return [number for number, steps in enumerate(self.played) if 2 * steps >= most]


class Watchful(gym.Wrapper[Any, Any, Any, Any]):
    """Writes down resets, steps and actions, and changes nothing."""

    def __init__(self, env: gym.Env[Any, Any], log: Log) -> None:
        super().__init__(env)
        self._log, self._number, self._over = log, len(log.played), True
        log.played.append(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._over = False
        if not self._log.closed:
            self._log.seeds.append((self._number, seed))
            self._log.starts.append((self._number, np.asarray(observation).tobytes()))
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        log, space = self._log, self.action_space
        log.played[self._number] += 1
        log.after_end += self._over
        if isinstance(space, gym.spaces.Box):
            x = np.asarray(action, dtype=np.float64)
            middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
            fits = x.shape == space.shape
            log.odd_actions += not fits or np.abs((x - middle) / half).max() > 1 + 1e-4
            if fits:
                log.least, log.most = np.minimum(log.least, x), np.maximum(log.most, x)
        else:
            log.odd_actions += not space.contains(np.asarray(action).astype(np.int64)[()])
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._over = bool(terminated or truncated)
        return observation, reward, terminated, truncated, info
