"""PPO on problems with known answers; where a wrong variant is known, it is shown to fail."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.algorithms import ppo as ppo_module
from relook.algorithms.ppo import Config
from relook.envs import Environments, EnvironmentSpec
from relook.envs.probes import InsideBounds
from relook.formulas.returns import gae
from relook.networks import ActorCritic
from relook.population import RewardScaler
from relook.runs.evaluation import Evaluation
from support import population, train, work

QUICK = Config(envs=8, horizon=16, minibatch=64, epochs=6, hidden=(16,), learning_rate=5e-3, scale_rewards=False)
SEEDS = [0, 1]


def trained(directory: Path, probe: str, iterations: int = 30, config: Config = QUICK) -> ActorCritic:
    agents = population(config, SEEDS)
    return train(work(directory, f"relook/{probe}-v0", agents, config, iterations=iterations))


def values(ac: ActorCritic, *observations: list[float]) -> Tensor:
    """V [A, observations]."""
    x = torch.tensor(observations).expand(len(SEEDS), -1, -1)
    with torch.no_grad():
        return ac.value(x)


def returns(ac: ActorCritic, probe: str, config: Config = QUICK) -> list[float]:
    """Returns of deterministic episodes of all agents."""
    spec = EnvironmentSpec(f"relook/{probe}-v0")
    [(_, episodes)] = Evaluation(spec, population(config, SEEDS), 8, modes=(True,))(ac)
    return [episode.ret for episode in episodes]


def test_values_are_learned(tmp_path: Path) -> None:
    ac = trained(tmp_path, "ValueOnly")
    torch.testing.assert_close(values(ac, [0.0]), torch.ones(2, 1), atol=0.01, rtol=0)


def test_values_depend_on_observations(tmp_path: Path) -> None:
    ac = trained(tmp_path, "RewardByObservation")
    expected = torch.tensor([1.0, -1.0]).expand(2, 2)
    torch.testing.assert_close(values(ac, [1.0], [-1.0]), expected, atol=0.03, rtol=0)


def test_values_are_discounted(tmp_path: Path) -> None:
    config = Config(**{**vars(QUICK), "discount": 0.5})
    ac = trained(tmp_path, "Discount", config=config)
    expected = torch.tensor([0.5, 1.0]).expand(2, 2)
    torch.testing.assert_close(values(ac, [0.0], [1.0]), expected, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("probe", "best"), [("RewardByAction", 1), ("Coupling", 1), ("NegativeRewards", -5), ("SurviveOrQuit", 20)]
)
def test_the_best_policy_is_found(tmp_path: Path, probe: str, best: float) -> None:
    assert set(returns(trained(tmp_path, probe), probe)) == {best}


def test_negative_values_are_learned(tmp_path: Path) -> None:
    first = [1.0, 0.0, 0.0, 0.0, 0.0]
    config = Config(**{**vars(QUICK), "discount": 1.0})
    ac = trained(tmp_path, "NegativeRewards", iterations=40, config=config)
    torch.testing.assert_close(values(ac, first), torch.full((2, 1), -5.0), atol=0.15, rtol=0)


def test_an_optimum_near_asymmetric_bounds_is_found(tmp_path: Path) -> None:
    config = Config(**{**vars(QUICK), "horizon": 32, "initial_log_std": -0.5})
    ac = trained(tmp_path, "InsideBounds", iterations=40, config=config)
    assert min(returns(ac, "InsideBounds")) > -0.01
    action = ac.act_deterministically(torch.zeros(2, 1, 1))
    envs = Environments(EnvironmentSpec("relook/InsideBounds-v0"), population(config, [0]), 1)
    chosen = envs.spaces.action.to_environment(action.numpy())
    np.testing.assert_allclose(chosen[:, 0], np.tile(InsideBounds.OPTIMUM, (2, 1)), atol=0.12)


CONSTANT = Config(
    envs=2,
    horizon=40,
    minibatch=40,
    epochs=10,
    hidden=(16,),
    learning_rate=2e-2,
    discount=0.9,
    scale_rewards=False,
)


def test_a_constant_reward_is_worth_1_over_1_minus_gamma_whatever_the_time_limit(tmp_path: Path) -> None:
    ac = trained(tmp_path, "ConstantReward", iterations=30, config=CONSTANT)
    torch.testing.assert_close(values(ac, [0.0]), torch.full((2, 1), 10.0), atol=0.1, rtol=0)


def test_treating_truncation_as_termination_misses_that_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def merged(
        reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, *rest: Any
    ) -> Tensor:
        return gae(reward, value, next_value, terminated | truncated, truncated, *rest)

    monkeypatch.setattr(ppo_module, "gae", merged)
    ac = trained(tmp_path, "ConstantReward", iterations=30, config=CONSTANT)
    assert values(ac, [0.0]).max() < 7.0


def test_scaled_rewards_do_not_teach_an_agent_to_quit(tmp_path: Path) -> None:
    config = Config(**{**vars(QUICK), "scale_rewards": True})
    assert set(returns(trained(tmp_path, "SurviveOrQuit", config=config), "SurviveOrQuit")) == {20}


def test_subtracting_the_mean_reward_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(self: RewardScaler, reward: Tensor) -> Tensor:
        return reward - reward.mean()

    monkeypatch.setattr(RewardScaler, "__call__", shifted)
    config = Config(**{**vars(QUICK), "scale_rewards": True})
    assert min(returns(trained(tmp_path, "SurviveOrQuit", config=config), "SurviveOrQuit")) < 20
