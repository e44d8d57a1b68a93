"""Does an episode follow from its reset seed and its actions alone? Asked once, before training."""

from typing import Any

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
    space = ObservationSpace(env.observation_space)
    row = np.zeros(space.size, dtype=np.float32)
    played = []
    try:
        observation, _ = env.reset(seed=seed)
        space.write(observation, row)
        played.append((row.tobytes(), "", False, False))
        for action in actions:
            observation, reward, terminated, truncated, _ = env.step(action)
            space.write(observation, row)
            played.append((row.tobytes(), float(reward).hex(), bool(terminated), bool(truncated)))
            if terminated or truncated:
                break
    except Exception as error:
        played.append((b"", repr(error), False, False))
    return played
