"""Training functions made of our algorithms, and of Stable-Baselines3's."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from relook.algorithms import algorithm
from relook.doctor.examine.outside.trainer import Train
from relook.envs import EnvironmentSpec
from relook.errors import WrongRequest
from relook.population import Agent, Agents
from relook.population.hyperparameters import names
from relook.runs.work import Work

_OFF = {"learning_starts": 200, "batch": 64, "hidden": (32,), "capacity": 10_000}
_SMALL: dict[str, dict[str, Any]] = {
    "reinforce": {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "hidden": (16,), "horizon": 128},
    "vpg": {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "hidden": (16,), "horizon": 128},
    "a2c": {"learning_rate": 5e-3, "hidden": (16,)},
    "trpo": {"value_learning_rate": 1e-2, "hidden": (16,), "horizon": 128},
    "ppo": {"learning_rate": 5e-3, "hidden": (16,), "minibatch": 64},
    "dqn": {**_OFF, "update_to_data": 0.5, "target_interval": 100},
    "ddpg": {**_OFF, "random_steps": 500, "exploration_noise": 0.3, "target_rate": 0.02},
    "td3": {**_OFF, "random_steps": 500, "exploration_noise": 0.3, "target_rate": 0.02},
    "sac": {**_OFF, "random_steps": 500, "target_rate": 0.02},
}
"""Settings for problems of one number: small networks that learn quickly, and in which nothing else is changed."""


class Ours:
    """One agent of ours, acting and valuing for a single observation."""

    def __init__(self, ac: Any, spaces: Any) -> None:
        self._ac, self._spaces = ac, spaces

    def _batch(self, observation: Any) -> torch.Tensor:
        row = np.zeros(self._spaces.observation.size, dtype=np.float32)
        self._spaces.observation.write(observation, row)
        return torch.from_numpy(row).view(1, 1, -1)

    def act(self, observation: Any) -> Any:
        with torch.no_grad():
            action = self._ac.act_deterministically(self._batch(observation))
        return self._spaces.action.to_environment(action.numpy())[0, 0]

    def value(self, observation: Any) -> float:
        with torch.no_grad():
            return float(self._ac.value(self._batch(observation))[0, 0])


def ours(name: str) -> Train:
    """The training function of an algorithm of ours."""
    known = algorithm(name)

    def train(env_fn: Callable[[], gym.Env[Any, Any]], steps: int, seed: int) -> Ours:
        unscaled = {"scale_rewards": False} if "scale_rewards" in names(known.config, "structural") else {}
        config = known.config(**_SMALL[name], **unscaled)
        numeric = {key: getattr(config, key) for key in names(known.config, "numeric")}
        agents = Agents([Agent(0, seed, numeric)])
        built: list[tuple[Any, Any]] = []

        def networks(spaces: Any, *args: Any, **kwargs: Any) -> Any:
            built.append((known.networks(spaces, *args, **kwargs), spaces))
            return built[-1][0]

        with tempfile.TemporaryDirectory(prefix="relook-doctor-") as scratch:
            spec = EnvironmentSpec("probe", function=env_fn, max_episode_steps=20 if name == "reinforce" else None)
            whole = max(1, steps // config.steps_each) * config.steps_each
            known.train(Work(Path(scratch), spec, agents, config, whole, evaluate_episodes=0), networks)
        return Ours(*built[0])

    return train


def sb3(name: str) -> Train:
    """The training function of one of Stable-Baselines3's classes. Raises `WrongRequest` if it is not installed."""
    try:
        import stable_baselines3.common.noise
    except ImportError as error:
        raise WrongRequest(
            "expected Stable-Baselines3 to be installed; it is not: pip install stable-baselines3, in an environment "
            "of its own if you like"
        ) from error
    kind = getattr(stable_baselines3, name, None)
    if kind is None:
        raise WrongRequest(f"expected a class of Stable-Baselines3, such as PPO; found {name!r}")
    small: dict[str, Any] = {"learning_rate": 3e-3}
    if name == "PPO":
        small |= {"n_steps": 256}
    if name in ("DQN", "SAC", "TD3", "DDPG"):
        small |= {"learning_starts": 200, "buffer_size": 10_000}
    if name in ("TD3", "DDPG"):  # a tanh that larger steps have driven to its end does not come back
        small["learning_rate"] = 1e-3
    if name == "DQN":
        small |= {"train_freq": 2, "target_update_interval": 100, "exploration_fraction": 0.3}

    class Model:
        """What was trained."""

        def __init__(self, model: Any) -> None:
            self._model = model

        def act(self, observation: Any) -> Any:
            return self._model.predict(observation, deterministic=True)[0]

        def value(self, observation: Any) -> float:
            policy = self._model.policy
            seen, _ = policy.obs_to_tensor(np.asarray(observation))
            with torch.no_grad():
                if hasattr(policy, "predict_values"):
                    return float(policy.predict_values(seen))
                if hasattr(policy, "q_net"):
                    return float(policy.q_net(seen).max())
                action = policy._predict(seen, deterministic=True)
                return float(torch.cat(self._model.critic(seen, action), 1).min())

    def train(env: gym.Env[Any, Any], steps: int, seed: int) -> Model:
        own = dict(small)
        if name in ("TD3", "DDPG"):  # which have no noise unless they are given some
            size = int(np.prod(env.action_space.shape or ()))
            own["action_noise"] = stable_baselines3.common.noise.NormalActionNoise(np.zeros(size), np.full(size, 0.3))
        model = kind("MlpPolicy", env, seed=seed, verbose=0, device="cpu", **own)
        return Model(model.learn(steps))

    return train
