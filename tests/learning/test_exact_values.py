"""What deep and tabular algorithms learn of a small MDP, against its exact values."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import polars as pl
import pytest

import relook
from relook.envs import EnvironmentSpec
from relook.runs.acting import TrainedAgent
from relook.runs.reading import Run
from relook.tabular import from_environment
from relook.tabular.oracle import Beside, beside, every_state

LAKE = EnvironmentSpec("FrozenLake-v1", {"is_slippery": False})
GAMMA = 0.9
PATH = [0, 4, 8, 9, 13, 14]
"""States of one of the shortest ways to the goal, which is at 15."""


def learned(run: Run, agent: int) -> Beside:
    env = gym.make("FrozenLake-v1", is_slippery=False)
    metrics = run.metrics.filter(pl.col("agent") == agent)
    scale = float(metrics["reward_scale"][-1]) if "reward_scale" in metrics.columns else 1.0
    networks = TrainedAgent(run, agent, LAKE).networks
    return beside(networks, from_environment(env), env.observation_space, GAMMA, scale)


def train(out: Path, name: str, steps: int, **hyperparameters: Any) -> Run:
    run: Run = relook.train(
        name,
        "FrozenLake-v1",
        env_args={"is_slippery": False},
        seeds=2,
        steps=steps,
        evaluate_episodes=1,
        workers=1,
        out=out,
        **hyperparameters,
    )
    return run


def test_every_state_is_shown_once() -> None:
    rows = every_state(gym.make("Blackjack-v1").observation_space)[0].numpy()
    assert rows.shape == (32 * 11 * 2, 32 + 11 + 2)
    assert (rows.sum(1) == 3).all()
    assert len({row.tobytes() for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["q_learning", "dyna_q"])
def test_tables_learn_the_optimal_values(name: str, tmp_path: Path) -> None:
    run = train(tmp_path / "run", name, 6_000, discount=GAMMA, epsilon=0.3)
    for agent in range(2):
        found = learned(run, agent)
        assert found.optimal[PATH] == pytest.approx([GAMMA**k for k in (5, 4, 3, 2, 1, 0)])
        assert found.action_value is not None
        best = found.action_value.max(1)
        assert best[PATH[-3:]] == pytest.approx(found.optimal[PATH[-3:]], abs=0.05)


def test_a_deep_network_of_q_learns_the_optimal_values(tmp_path: Path) -> None:
    run = train(
        tmp_path / "run", "dqn", 8_000, discount=GAMMA, hidden=(32,), batch=32, learning_starts=500, exploration=0.5
    )
    for agent in range(2):
        found = learned(run, agent)
        assert found.action_value is not None
        assert np.abs(found.action_value.max(1) - found.optimal)[PATH].max() < 0.15
        assert found.of_policy[0] == pytest.approx(found.optimal[0]), "its greedy policy takes the shortest way"


def test_a_value_function_learns_the_values_of_its_policy(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "ppo", 20_480, discount=GAMMA, hidden=(32,))
    for agent in range(2):
        found = learned(run, agent)
        assert found.policy.sum(1) == pytest.approx(1.0)
        assert found.of_policy[0] > 0.5 * found.optimal[0]
        assert np.abs(found.value - found.of_policy)[PATH].max() < 0.15
