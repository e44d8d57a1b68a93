"""Every algorithm on problems with known answers; where a wrong variant is known, it is shown to fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.algorithms import a2c, ddpg, reinforce, sac, td3
from relook.buffers import Batch, Replay, estimates
from relook.envs import Environments, EnvironmentSpec
from relook.envs.probes import InsideBounds
from relook.formulas.returns import gae, reward_to_go
from relook.population import RewardScaler
from relook.runs.evaluation import Evaluation
from support import population, tiny, train, work

STEPS = 20 * 128
"""Environment steps that are enough for a probe, if nothing else is said; three quarters of them are, too."""
LONGER = 30 * 128
"""For a probe that wants more, several times over."""
QUICK: dict[str, Any] = {
    "reinforce": tiny("reinforce", envs=8, learning_rate=2e-2, value_learning_rate=2e-2, value_epochs=20),
    "vpg": tiny("vpg", envs=8, learning_rate=2e-2, value_learning_rate=2e-2, value_epochs=6),
    "a2c": tiny("a2c", envs=8, learning_rate=1e-2),
    "trpo": tiny("trpo", envs=8, target_kl=0.03, value_learning_rate=2e-2, value_epochs=6),
    "ppo": tiny("ppo", envs=8, minibatch=64, epochs=6, learning_rate=5e-3),
}
QUICK = {name: replace(config, hidden=(16,), scale_rewards=False) for name, config in QUICK.items()}
REPLAYING: dict[str, Any] = {
    "envs": 8,
    "iteration": 128,
    "update_interval": 8,
    "update_to_data": 0.125,
    "learning_starts": 128,
    "capacity": 4000,
    "batch": 32,
    "hidden": (32,),
}
ACTING: dict[str, Any] = REPLAYING | {
    "random_steps": 256,
    "learning_rate": 3e-3,
    "q_learning_rate": 1e-2,
    "target_rate": 0.05,
}
OFF_POLICY = {
    "dqn": tiny("dqn", **REPLAYING, target_interval=64, n_step=1, learning_rate=2e-2),
    "ddpg": tiny("ddpg", **ACTING, exploration_noise=0.3),
    "td3": tiny("td3", **ACTING, exploration_noise=0.3),
    "sac": tiny("sac", **ACTING, temperature=0.02, learn_temperature=False),
}
SEEDS = [0, 1]

on_policy = pytest.mark.parametrize("config", QUICK.values(), ids=QUICK)
every_algorithm = pytest.mark.parametrize("config", [*QUICK.values(), *OFF_POLICY.values()], ids=[*QUICK, *OFF_POLICY])


def spec_of(probe: str, config: Any) -> EnvironmentSpec:
    """The probe with actions of a kind that the algorithm can choose."""
    signed = isinstance(config, ddpg.Config | td3.Config | sac.Config) and probe != "InsideBounds"
    return EnvironmentSpec(f"relook/{probe}-v0", {"continuous": True} if signed else {})


def trained(directory: Path, probe: str, config: Any, steps: int = STEPS) -> Any:
    agents = population(config, SEEDS)
    return train(work(directory, spec_of(probe, config), agents, config, iterations=steps // config.steps_each))


def values(ac: Any, *observations: list[float]) -> Tensor:
    """V [A, observations]."""
    x = torch.tensor(observations).expand(len(SEEDS), -1, -1)
    with torch.no_grad():
        found: Tensor = ac.value(x)
    return found


def returns(ac: Any, probe: str, config: Any) -> list[float]:
    """Returns of deterministic episodes of all agents."""
    spec = spec_of(probe, config)
    [(_, episodes)] = Evaluation(spec, population(config, SEEDS), 8, modes=(True,))(ac)
    return [episode.ret for episode in episodes]


@every_algorithm
def test_values_are_learned(tmp_path: Path, config: Any) -> None:
    ac = trained(tmp_path, "ValueOnly", config)
    torch.testing.assert_close(values(ac, [0.0]), torch.ones(2, 1), atol=0.01, rtol=0)


@every_algorithm
def test_values_depend_on_observations(tmp_path: Path, config: Any) -> None:
    ac = trained(tmp_path, "RewardByObservation", config)
    expected = torch.tensor([1.0, -1.0]).expand(2, 2)
    torch.testing.assert_close(values(ac, [1.0], [-1.0]), expected, atol=0.03, rtol=0)


@every_algorithm
def test_values_are_discounted(tmp_path: Path, config: Any) -> None:
    ac = trained(tmp_path, "Discount", replace(config, discount=0.5))
    expected = torch.tensor([0.5, 1.0]).expand(2, 2)
    torch.testing.assert_close(values(ac, [0.0], [1.0]), expected, atol=0.03, rtol=0)


@every_algorithm
@pytest.mark.parametrize(
    ("probe", "best"), [("RewardByAction", 1), ("Coupling", 1), ("NegativeRewards", -5), ("SurviveOrQuit", 20)]
)
def test_the_best_policy_is_found(tmp_path: Path, probe: str, best: float, config: Any) -> None:
    assert set(returns(trained(tmp_path, probe, config), probe, config)) == {best}


@every_algorithm
def test_negative_values_are_learned(tmp_path: Path, config: Any) -> None:
    ac = trained(tmp_path, "NegativeRewards", replace(config, discount=1.0), steps=2 * STEPS)
    first = [1.0, 0.0, 0.0, 0.0, 0.0]
    torch.testing.assert_close(values(ac, first), torch.full((2, 1), -5.0), atol=0.2, rtol=0)


NARROW: dict[str, dict[str, Any]] = {
    name: {"initial_log_std": -0.5 if name in ("ppo", "trpo") else -1.5} for name in QUICK
}
"""The reward says nothing of actions far beyond a bound, where one long step of a wide policy may end."""
NARROW["a2c"] |= {"learning_rate": 3e-3}
NARROW |= {name: {"activation": "tanh", "hidden": (32, 32), "update_to_data": 0.25} for name in ("ddpg", "td3", "sac")}


@pytest.mark.parametrize("name", NARROW)
def test_an_optimum_near_asymmetric_bounds_is_found(tmp_path: Path, name: str) -> None:
    config = replace((QUICK | OFF_POLICY)[name], **NARROW[name])
    ac = trained(tmp_path, "InsideBounds", config, steps={"a2c": 6, "trpo": 2}.get(name, 4) * LONGER)
    assert min(returns(ac, "InsideBounds", config)) > -0.01
    action = ac.act_deterministically(torch.zeros(2, 1, 1))
    envs = Environments(EnvironmentSpec("relook/InsideBounds-v0"), population(config, [0]), 1)
    chosen = envs.spaces.action.to_environment(action.numpy())
    np.testing.assert_allclose(chosen[:, 0], np.tile(InsideBounds.OPTIMUM, (2, 1)), atol=0.12)


CONSTANT = {name: replace(config, discount=0.9) for name, config in (QUICK | OFF_POLICY).items()}
CONSTANT["a2c"] = replace(CONSTANT["a2c"], learning_rate=3e-3)  # its V follows the time to the limit otherwise
CONSTANT["dqn"] = replace(CONSTANT["dqn"], target_interval=16, learning_rate=5e-2)
for name in ("ddpg", "td3", "sac"):
    CONSTANT[name] = replace(CONSTANT[name], target_rate=0.2)
CONSTANT["sac"] = replace(CONSTANT["sac"], temperature=0.002)  # entropy is worth something too


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_reward_is_worth_1_over_1_minus_gamma_whatever_the_time_limit(tmp_path: Path, name: str) -> None:
    ac = trained(tmp_path, "ConstantReward", CONSTANT[name], steps=(2 if name in OFF_POLICY else 3) * LONGER)
    torch.testing.assert_close(values(ac, [0.0]), torch.full((2, 1), 10.0), atol=0.1, rtol=0)


@pytest.mark.parametrize("name", CONSTANT)
def test_treating_truncation_as_termination_misses_that_value(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def merged(
        reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, *rest: Any
    ) -> Tensor:
        return gae(reward, value, next_value, terminated | truncated, truncated, *rest)

    def stopped(reward: Tensor, end: Tensor, beyond: Tensor, discount: Tensor) -> Tensor:
        return reward_to_go(reward, end, 0 * beyond, discount)

    def ended(self: Replay, places: Tensor, discount: Tensor) -> Batch:
        self.terminated |= self.truncated
        return sample(self, places, discount)

    sample = Replay.sample
    for module in (estimates, a2c):
        monkeypatch.setattr(module, "gae", merged)
    monkeypatch.setattr(reinforce, "reward_to_go", stopped)
    monkeypatch.setattr(Replay, "sample", ended)
    ac = trained(tmp_path, "ConstantReward", CONSTANT[name], steps=(2 if name in OFF_POLICY else 3) * LONGER)
    assert values(ac, [0.0]).max() < 7.0


@on_policy
def test_scaled_rewards_do_not_teach_an_agent_to_quit(tmp_path: Path, config: Any) -> None:
    config = replace(config, scale_rewards=True)
    assert set(returns(trained(tmp_path, "SurviveOrQuit", config), "SurviveOrQuit", config)) == {20}


@pytest.mark.parametrize("name", ["a2c", "ppo"])
def test_subtracting_the_mean_reward_does(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(self: RewardScaler, reward: Tensor) -> Tensor:
        return reward - reward.mean()

    monkeypatch.setattr(RewardScaler, "__call__", shifted)
    config = replace(QUICK[name], scale_rewards=True)
    assert min(returns(trained(tmp_path, "SurviveOrQuit", config), "SurviveOrQuit", config)) < 20
