"""Is the return that is reported one that the environment gives?"""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check, Finding

CHECK = Check(
    name="honest-evaluation",
    component="evaluation",
    asks="What is returned acts the same way twice, and a `mean_return` that it reports is what fresh episodes give.",
    causes=(
        "rewards are reported that were scaled, clipped or shifted",
        "exploration is left on, or a network is left in training mode",
        "statistics of a normaliser move while it acts",
    ),
    remedy="Evaluate in an environment of its own, without wrappers that change rewards, and without noise.",
    lesson="Returns of training episodes carry exploration, and often the scale that rewards were learned with. Fresh "
    "episodes in the environment as it is cost little, and are what others will compare with.",
)
EPISODES = 20


def look(trained: Trained, make: Callable[[], gym.Env[Any, Any]], command: str) -> Iterator[Finding]:
    env = make()
    observation, _ = env.reset(seed=0)
    first, second = trained.act(observation), trained.act(observation)
    if not np.array_equal(first, second):
        yield Finding(
            CHECK, "error", f"expected one observation to give one action; found {first} and {second}", command
        )
    reported = getattr(trained.agent, "mean_return", None)
    if reported is None:
        return
    returns = []
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=10_000 + episode)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(_for(env, trained.act(observation)))
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    mean, spread = float(np.mean(returns)), float(np.std(returns)) / EPISODES**0.5
    if abs(float(reported) - mean) > 5 * spread + 0.1 * abs(mean) + 1e-6:
        yield Finding(
            CHECK,
            "error",
            f"expected the reported return, {float(reported):.4g}, to be that of fresh episodes; found {mean:.4g}",
            command,
        )


def _for(env: gym.Env[Any, Any], action: Any) -> Any:
    """An action as the environment takes it."""
    return int(action.reshape(-1)[0]) if isinstance(env.action_space, gym.spaces.Discrete) else action
