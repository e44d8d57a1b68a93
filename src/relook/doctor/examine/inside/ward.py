"""An environment that keeps a ledger: what truly happened, to compare with what an algorithm says of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from relook.envs import EnvironmentSpec

Vector = NDArray[np.float32]

Fault = Literal["", "raises", "nan"]
"""What a ward does at a certain step: nothing odd, raise an exception, or return a reward that is no number."""
FAULTY_STEP = 5

OBSERVED = 4
"""Numbers of an observation."""
LONGEST, LONG = 9, 90
"""Steps after which the longest episode would end by itself, as a rule and if `still`; the limit is a step earlier."""
LOW, HIGH = np.array([-1.0, -5.0], dtype=np.float32), np.array([3.0, 0.5], dtype=np.float32)
"""Bounds of continuous actions: neither symmetric nor alike, so that a wrong scale is seen."""


@dataclass
class Played:
    """One episode as it happened."""

    instance: int
    episode: int
    seed: int | None
    limit: int
    """Steps that the time limit leaves it."""
    observations: list[Vector] = field(default_factory=list)
    """One more than there are actions."""
    actions: list[Any] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    terminated: bool = False
    truncated: bool = False

    def end(self, step: int) -> tuple[bool, bool]:
        """Whether a step terminated, and whether it was truncated: by the ward, or by the time limit around it."""
        last = step == len(self.actions) - 1
        return last and self.terminated, (last and self.truncated) or step == self.limit - 1


class Ledger:
    """All that has happened in the wards that share it."""

    def __init__(self) -> None:
        self.episodes: list[list[Played]] = []
        """Of each instance, in the order in which they were made."""
        self._places: dict[bytes, tuple[int, int, int]] = {}

    def begin(self, instance: int, seed: int | None, limit: int, observation: Vector) -> Played:
        own = self.episodes[instance]
        own.append(Played(instance, len(own), seed, limit))
        self.note(own[-1], observation)
        return own[-1]

    def note(self, played: Played, observation: Vector) -> None:
        """An observation that was given away."""
        self._places[observation.tobytes()] = (played.instance, played.episode, len(played.observations))
        played.observations.append(observation.copy())

    def place(self, observation: NDArray[Any]) -> tuple[int, int, int] | None:
        """Instance, episode and step of an observation; None if it was never given. No two are alike."""
        return self._places.get(np.asarray(observation, dtype=np.float32).tobytes())

    def __iter__(self) -> Iterator[Played]:
        return (played for own in self.episodes for played in own)


class Ward(gym.Env[Any, Any]):
    """Random observations, each unlike any other, and random rewards of mean 1 that depend on the action a little.

    Episodes of 3 to 9 steps, ten times as many if it is `still`, end by termination, by truncation or by both at
    once, or at the time limit. All arrays that it returns are one and the same, changed in place. With `still` all
    observations look alike but for a trace, so that all actions are drawn from one distribution; `mixed` ones have a
    part that is one of three kinds.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        continuous: bool,
        still: bool = False,
        mixed: bool = False,
        fault: Fault = "",
    ) -> None:
        box = spaces.Box(-np.inf, np.inf, (OBSERVED,), np.float32)
        self.observation_space = spaces.Dict({"kind": spaces.Discrete(3), "numbers": box}) if mixed else box
        self.action_space = spaces.Box(LOW, HIGH) if continuous else spaces.Discrete(3)
        self._ledger, self.instance, self._still, self._mixed = ledger, len(ledger.episodes), still, mixed
        self._fault, self._steps = fault, 0
        self._longest = LONG if still else LONGEST
        self._array: Vector = np.zeros(OBSERVED, dtype=np.float32)
        ledger.episodes.append([])

    def _look(self) -> tuple[Any, Vector]:
        """An observation as it is given away, and as a vector."""
        self._array[:] = 3 + 2 * self.np_random.standard_normal(OBSERVED)
        if self._still:
            self._array[:] = 0.5, -0.5, 1.0, self._array[3] * 1e-5
        if not self._mixed:
            return self._array, self._array
        kind = int(self.np_random.integers(3))
        one_hot = np.eye(3, dtype=np.float32)[kind]
        return {"kind": kind, "numbers": self._array}, np.concatenate([one_hot, self._array])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        given, vector = self._look()
        self._played = self._ledger.begin(self.instance, seed, self._longest - 1, vector)
        self._length = int(self.np_random.integers(self._longest // 3, self._longest + 1))
        self._ending = int(self.np_random.integers(3))
        return given, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        played = self._played
        self._steps += 1
        if self._fault and self._steps == FAULTY_STEP:
            if self._fault == "raises":
                raise RuntimeError("a fault that the ward was asked for")
            return self._array, float("nan"), False, False, {}
        played.actions.append(np.array(action).copy())
        played.rewards.append(float(1 + self.np_random.standard_normal() + 0.1 * float(np.mean(action))))
        given, vector = self._look()
        self._ledger.note(played, vector)
        if len(played.actions) == self._length:
            played.terminated, played.truncated = self._ending != 1, self._ending != 0
        return given, played.rewards[-1], played.terminated, played.truncated, {}


def ward(
    ledger: Ledger,
    *,
    continuous: bool,
    still: bool = False,
    mixed: bool = False,
    faulty: Callable[[], Fault] = lambda: "",
) -> EnvironmentSpec:
    """The spec of wards that share a ledger, with a time limit that cuts some of their episodes."""

    def make() -> Ward:
        return Ward(ledger, continuous=continuous, still=still, mixed=mixed, fault=faulty())

    return EnvironmentSpec("ward", max_episode_steps=(LONG if still else LONGEST) - 1, function=make)
