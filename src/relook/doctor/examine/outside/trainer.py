"""What is examined from outside: a function that trains, and what it returns.

    def train(env: gymnasium.Env, steps: int, seed: int): ...

It may also ask for a vector environment, by calling its first parameter `envs`, or for a function that makes
environments, by calling it `env_fn`. What it returns acts: it has a method
`act(observation)` or is itself a function of an observation, without noise. If it has `value(observation)`, more can be
asked of it: V(s), or the value that its critic gives to its own action.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from relook.doctor.examine.outside.watchful import Log, Watchful
from relook.errors import WrongRequest

Train = Callable[..., Any]
ENVIRONMENTS = 4
"""Environments of a vector environment."""


@dataclass(frozen=True)
class Trained:
    """What a training function returned, and what it did with its environments."""

    agent: Any
    log: Log

    def act(self, observation: Any) -> Any:
        """What it does, without noise."""
        act = getattr(self.agent, "act", self.agent)
        with torch.no_grad():
            return np.asarray(act(observation))

    @property
    def values(self) -> bool:
        """Whether it says what observations are worth."""
        return callable(getattr(self.agent, "value", None))

    def value(self, observation: Any) -> float:
        """What it says that an observation is worth."""
        with torch.no_grad():
            return float(np.asarray(self.agent.value(observation)).reshape(-1)[0])


def trained(train: Train, make: Callable[[], gym.Env[Any, Any]], steps: int, seed: int) -> Trained:
    """Train for `steps` steps in environments that keep a log.

    Raises `WrongRequest` for a function that cannot be called so, or returns nothing that acts.
    """
    log = Log()
    parameters = list(inspect.signature(train).parameters)
    if len(parameters) < 3:
        raise WrongRequest(
            f"expected a function train(env, steps, seed), or of envs or env_fn in place of env; found one of "
            f"({', '.join(parameters)})"
        )
    env: Any
    if parameters[0] == "env_fn":
        env = partial(_watched, make, log)
    elif parameters[0] == "envs":
        env = gym.vector.SyncVectorEnv([partial(_watched, make, log)] * ENVIRONMENTS)
    else:
        env = _watched(make, log)
    agent = train(env, steps, seed)
    log.closed = True
    if not callable(agent) and not callable(getattr(agent, "act", None)):
        raise WrongRequest(
            f"expected something with a method act(observation), or a function of an observation; found "
            f"{type(agent).__name__}"
        )
    return Trained(agent, log)


def _watched(make: Callable[[], gym.Env[Any, Any]], log: Log) -> Watchful:
    return Watchful(make(), log)
