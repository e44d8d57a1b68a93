"""Does an episode follow from its reset seed and its actions alone? Asked once, before training."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from relook.envs.make import EnvironmentSpec
from relook.envs.spaces import ActionSpace, Choices, ObservationSpace
from relook.population import reset_seed, stream

STEPS = 200


def replays_exactly(spec: EnvironmentSpec, seed: int) -> bool:
    """True if a *second* episode, played again in a fresh instance, gives the same observations, rewards and ends.

    The second, because state that survives a reset (a running normalisation, a lingering random generator) is still
    empty in the first and would go unnoticed. Episodes are cut after 200 steps.
    """
    if spec.reset_seed == "once":
        return False
    first, second = (reset_seed(seed, "replay-check", 0, episode) for episode in range(2))
    env, fresh = spec.make(), spec.make()
    try:
        action_space = ActionSpace(env.action_space)
        actions = action_space.to_environment(_random_actions(action_space, seed))
        _play(env, first, actions)
        return _play(env, second, actions) == _play(fresh, second, actions)
    finally:
        env.close()
        fresh.close()


def _random_actions(space: ActionSpace, seed: int) -> NDArray[Any]:
    rng = stream(seed, "replay-check")
    if isinstance(space.kind, Choices):
        return rng.integers(space.kind.sizes, size=(STEPS, space.width))
    return rng.uniform(-1, 1, (STEPS, space.width))


def _play(env: gym.Env[Any, Any], seed: int, actions: NDArray[Any]) -> list[tuple[bytes, str, bool, bool]]:
    """What happened at each step. That the environment fails may well repeat; training will say more of it."""
    played = []
    try:
        for moment in play_again(env, ObservationSpace(env.observation_space), seed, actions):
            ends = moment.terminated, moment.truncated
            played.append((moment.observation.tobytes(), moment.reward.hex(), *ends))
    except Exception as error:
        played.append((b"", repr(error), False, False))
    return played


class Moment(NamedTuple):
    """Where a reset or a step led."""

    observation: NDArray[np.float32]
    """[D]"""
    reward: float
    terminated: bool
    truncated: bool


def play_again(
    env: gym.Env[Any, Any], space: ObservationSpace, seed: int | None, actions: NDArray[Any]
) -> Iterator[Moment]:
    """The moments of an episode, from its reset on, until the actions end or the environment does."""

    def seen(observation: Any) -> NDArray[np.float32]:
        row = np.zeros(space.size, dtype=np.float32)
        space.write(observation, row)
        return row

    observation, _ = env.reset(seed=seed)
    yield Moment(seen(observation), 0.0, False, False)
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action.copy())
        yield Moment(seen(observation), float(reward), bool(terminated), bool(truncated))
        if terminated or truncated:
            return


class EpisodeDigest:
    """Hash of an episode: its observations as float32 vectors, its rewards as float64, and how it ended."""

    BYTES = 16

    def __init__(self, observation: NDArray[np.float32]) -> None:
        """`observation` [D] is that of the reset."""
        self._hash = blake2b(observation.tobytes(), digest_size=self.BYTES)
        self.rewards: list[float] = []

    def take(self, observations: NDArray[np.float32], rewards: list[float]) -> None:
        """Steps: where they led [L, D], and L rewards."""
        self._hash.update(observations.tobytes())
        self.rewards += rewards

    def so_far(self, ending: str = "") -> bytes:
        whole = self._hash.copy()
        whole.update(np.array(self.rewards, dtype="<f8").tobytes() + ending.encode())
        return whole.digest()
