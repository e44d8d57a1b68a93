"""PPO learns in every kind of action and observation space."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from relook.algorithms.ppo import Config
from relook.envs import EnvironmentSpec
from relook.runs.files import read_lines
from support import population, train, work

CONFIG = Config(envs=8, horizon=16, minibatch=64, epochs=6, hidden=(16,), learning_rate=1e-2)

ACTIONS: dict[str, gym.Space[Any]] = {
    "Discrete from -1": spaces.Discrete(3, start=-1),
    "MultiDiscrete": spaces.MultiDiscrete([2, 4, 3]),
    "MultiDiscrete 2-d": spaces.MultiDiscrete(np.array([[2, 3], [3, 2]])),
    "MultiBinary": spaces.MultiBinary(3),
    "Box 2-d": spaces.Box(np.array([[-1, 0]], np.float32), np.array([[4, 2]], np.float32)),
    "Box float64": spaces.Box(-1.0, 3.0, (1,), np.float64),
}
OBSERVATIONS: dict[str, gym.Space[Any]] = {
    "Dict": spaces.Dict(clock=spaces.Discrete(3), sensors=spaces.Box(-1, 1, (2, 2))),
    "Tuple": spaces.Tuple((spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3]))),
}


class Aim(gym.Env[Any, Any]):
    """One step; the reward is minus the distance to a fixed action."""

    def __init__(self, action: str, observation: str) -> None:
        self.action_space, self.observation_space = ACTIONS[action], OBSERVATIONS[observation]
        self.action_space.seed(3)
        self.target = np.asarray(spaces.flatten(self.action_space, self.action_space.sample()))
        self.observation_space.seed(0)
        self.seen = self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        distance = np.abs(np.asarray(spaces.flatten(self.action_space, action)) - self.target).sum()
        return self.seen, -float(distance), True, False, {}


@pytest.mark.parametrize(
    ("action", "observation"), [*((action, "Dict") for action in ACTIONS), ("MultiBinary", "Tuple")]
)
def test_every_kind_of_space_is_learned_in(tmp_path: Path, action: str, observation: str) -> None:
    """The mean distance to the right action falls to a fifth."""
    spec = EnvironmentSpec("Aim", {"action": action, "observation": observation}, function=Aim)
    train(work(tmp_path, spec, population(CONFIG, [0, 1]), CONFIG, iterations=25, evaluate_episodes=4))
    rows = read_lines(tmp_path / "episodes.jsonl")
    first = np.mean([row["return"] for row in rows if row["kind"] == "training"][:32])
    last = [row["return"] for row in rows if row["deterministic"]][-8:]
    assert first < -0.5
    assert min(last) > 0.2 * first
