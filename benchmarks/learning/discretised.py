"""Continuous tasks for an algorithm that chooses: each component of an action is at one end, in the middle or at the
other end of its range. `Ends/Hopper-v5` has 3³ choices, `Ends/HalfCheetah-v5` 3⁶; observations, rewards and ends of
episodes are those of the task.
"""

from itertools import product
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from benchmarks.learning.rows import NINE


class Ends(gymnasium.ActionWrapper[Any, Any, Any]):
    """A choice among all combinations of lowest, middle and highest."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.action_space
        assert isinstance(space, Box)
        middle = (space.low + space.high) / 2
        ends = zip(space.low, middle, space.high, strict=True)
        self.choices = np.array(list(product(*ends)), dtype=space.dtype)
        self.action_space = Discrete(len(self.choices))

    def action(self, action: Any) -> Any:
        return self.choices[action]


def make(task: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    return Ends(gymnasium.make(task, **arguments).unwrapped)


for task in NINE:
    gymnasium.register(
        f"Ends/{task}",
        entry_point=f"{__name__}:make",
        kwargs={"task": task},
        max_episode_steps=gymnasium.spec(task).max_episode_steps,
    )
