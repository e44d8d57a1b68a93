"""The check whether episodes follow from their seed and actions alone."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import NormalizeObservation

from relook.envs import EnvironmentSpec, replays_exactly

SHARED_NOISE = np.random.default_rng(7)


def normalising() -> gym.Env[Any, Any]:
    return NormalizeObservation(gym.make("CartPole-v1"))


class Noisy(gym.ObservationWrapper[Any, Any, Any]):
    """Adds noise that no reset seed reaches."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))

    def observation(self, observation: Any) -> Any:
        return observation + SHARED_NOISE.normal(0, 0.01, 4).astype(np.float32)


class NoisyReward(gym.RewardWrapper[Any, Any]):
    """Draws from a generator that only the first reset seeds."""

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))
        self.rng: np.random.Generator | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if self.rng is None:
            self.rng = np.random.default_rng(seed)
        return super().reset(seed=seed, options=options)

    def reward(self, reward: Any) -> float:
        assert self.rng is not None
        return float(reward) + float(self.rng.normal())


def play(env: gym.Env[Any, Any], seed: int) -> list[Any]:
    """Observations and rewards of 10 steps."""
    played = [env.reset(seed=seed)[0].tolist()]
    for t in range(10):
        observation, reward, *_ = env.step(t % 2)
        played += [observation.tolist(), float(reward)]
    return played


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "HalfCheetah-v5"])
def test_gymnasiums_environments_replay(name: str) -> None:
    assert replays_exactly(EnvironmentSpec(name), seed=0)


@pytest.mark.parametrize("make", [normalising, Noisy, NoisyReward])
def test_an_environment_with_state_of_its_own_does_not_replay(make: Any) -> None:
    assert not replays_exactly(EnvironmentSpec("made", function=make), seed=0)


def test_resets_that_are_not_seeded_cannot_be_replayed() -> None:
    assert not replays_exactly(EnvironmentSpec("CartPole-v1", reset_seed="once"), seed=0)


@pytest.mark.parametrize("make", [normalising, NoisyReward])
def test_only_the_second_episode_shows_what_survives_a_reset(make: Any) -> None:
    env, fresh = make(), make()
    assert play(env, seed=1) == play(fresh, seed=1)
    assert play(env, seed=2) != play(make(), seed=2)
