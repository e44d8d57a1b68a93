"""PPO: its losses and its update against formulas and a plain float64 version, its loop against what happened."""

import itertools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from relook.algorithms import ppo as ppo_module
from relook.algorithms.ppo import (
    Config,
    Estimates,
    build,
    clip_loss,
    estimate,
    gradient_step,
    normalised,
    ppo,
    update,
    value_loss,
)
from relook.buffers import Rollout
from relook.buffers.rollout import Minibatch
from relook.envs import Environments, EnvironmentSpec
from relook.envs.probes import Tagging
from relook.networks import ActorCritic
from relook.population import Adam, Agents
from relook.population.hyperparameters import Hyperparameters
from relook.runs.files import read_lines
from support import equal_bits, population, train, work

INF = float("inf")


def filled_rollout(
    name: str, config: Config, agents: Agents, steps: int = 1
) -> tuple[Rollout, ActorCritic, Adam, Hyperparameters]:
    """A rollout that really happened, with the networks that collected it."""
    envs = Environments(EnvironmentSpec(name), agents, config.envs)
    ac, optimiser = build(envs.spaces, agents, config, ActorCritic)
    rollout = Rollout(len(agents), config.horizon, config.envs, envs.spaces)
    for iteration in range(steps):
        noise = ac.noise(agents, "explore", iteration, (config.horizon, config.envs))
        for t in range(config.horizon):
            action, log_prob = ac.act(envs.observation, noise[:, t])
            rollout.store(t, action, log_prob, envs.step(action))
    return rollout, ac, optimiser, Hyperparameters(agents)


# ---------------------------------------------------------------------------------------------------------- losses


def test_clip_loss_is_equation_7_on_numbers_worked_out_by_hand() -> None:
    ratio = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]])
    advantage = torch.tensor([[2.0, -2.0, 2.0, -2.0, 3.0]])
    # min(r Â, clip(r, 0.8, 1.2) Â): 1.2·2, 1.5·-2, 0.5·2, 0.8·-2, 1.1·3
    expected = -torch.tensor([2.4 - 3.0 + 1.0 - 1.6 + 3.3]) / 5
    loss = clip_loss(ratio.log(), torch.zeros(1, 5), advantage, torch.tensor([0.2]))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"), [(1.0, 1.0, -1), (1.0, -1.0, 1), (1.3, 1.0, 0), (0.7, -1.0, 0), (1.3, -1.0, 1)]
)
def test_the_surrogate_raises_good_actions_and_stops_outside_the_clip(
    ratio: float, advantage: float, moves: int
) -> None:
    """The sign of d loss / d log π: negative raises the action's probability."""
    log_prob = torch.tensor([[ratio]]).log().requires_grad_()
    loss = clip_loss(log_prob, torch.zeros(1, 1), torch.tensor([[advantage]]), torch.tensor([0.2]))
    loss.sum().backward()
    assert log_prob.grad is not None
    assert np.sign(log_prob.grad.item()) == moves


def test_each_agent_has_its_own_clip_range() -> None:
    log_ratio = torch.full((2, 1), 1.5).log()
    loss = clip_loss(log_ratio, torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(loss, torch.tensor([-1.2, -1.4]))


def test_value_loss_is_the_mean_square_and_its_clipped_kind_is_never_smaller() -> None:
    value, old, target = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 0.0]])
    torch.testing.assert_close(value_loss(value, old, target, torch.tensor([INF])), torch.tensor([0.5]))
    # V = 3 may only reach 1.5: its clipped error is 1.5² = 2.25, which is worse than 0.
    torch.testing.assert_close(value_loss(value, old, target, torch.tensor([0.5])), torch.tensor([(2.25 + 1) / 2]))


def test_a_neighbour_that_clips_values_does_not_change_an_agent_that_does_not() -> None:
    rng = torch.Generator().manual_seed(0)
    value, old, target = torch.randn(3, 2, 7, generator=rng)
    alone = value_loss(value[:1], old[:1], target[:1], torch.tensor([INF]))
    beside = value_loss(value, old, target, torch.tensor([INF, 0.1]))
    assert equal_bits(alone[0], beside[0])


def test_normalised_advantages_have_mean_0_and_sd_1_for_each_agent() -> None:
    advantage = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * torch.tensor([[1.0], [50.0], [0.01]])
    out = normalised(advantage + 5)
    torch.testing.assert_close(out.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert normalised(torch.ones(1, 1)).item() == 0.0


# ------------------------------------------------------------------------------------- one agent, plainly, in float64


def plain_update(
    state: dict[str, Tensor], batches: list[Minibatch], config: Config, settings: dict[str, float], stop: float = INF
) -> dict[str, Tensor]:
    """PPO's update for the single agent of `batches`, as a textbook would write it."""
    theta = {name: tensor[0].double().clone().requires_grad_() for name, tensor in state.items()}
    policy = [tensor for name, tensor in theta.items() if name.startswith("policy")]
    value = [tensor for name, tensor in theta.items() if name.startswith("value")]
    adam = torch.optim.Adam(theta.values(), lr=settings["learning_rate"], eps=config.adam_epsilon)

    def network(name: str, x: Tensor) -> Tensor:
        for i in range(len(config.hidden)):
            x = torch.tanh(linear(x, theta[f"{name}/{i}/weight"].T, theta[f"{name}/{i}/bias"]))
        last = len(config.hidden)
        return linear(x, theta[f"{name}/{last}/weight"].T, theta[f"{name}/{last}/bias"])

    for batch in batches:
        observation, log_prob_old, advantage, target, value_old = (
            x[0].double() for x in (batch.observation, batch.log_prob, batch.advantage, batch.target, batch.value)
        )
        if config.normalise_advantages:
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        distribution: torch.distributions.Distribution
        if "policy/log_std" in theta:
            normal = torch.distributions.Normal(network("policy", observation), theta["policy/log_std"].exp())
            distribution = torch.distributions.Independent(normal, 1)
            log_prob = distribution.log_prob(batch.action[0].double())
        else:
            distribution = torch.distributions.Categorical(logits=network("policy", observation))
            log_prob = distribution.log_prob(batch.action[0, :, 0])
        ratio = (log_prob - log_prob_old).exp()
        if ((ratio - 1) - (log_prob - log_prob_old)).mean().item() > 1.5 * stop:
            break
        surrogate = torch.min(
            ratio * advantage, ratio.clamp(1 - settings["clip"], 1 + settings["clip"]) * advantage
        ).mean()
        v = network("value", observation).squeeze(-1)
        errors = (v - target) ** 2
        if settings["value_clip"] < INF:
            near = value_old + (v - value_old).clamp(-settings["value_clip"], settings["value_clip"])
            errors = torch.max(errors, (near - target) ** 2)
        entropy = distribution.entropy().mean()  # type: ignore[no-untyped-call]  # torch gives it no types
        loss = -surrogate + settings["value_coefficient"] * errors.mean() - settings["entropy_coefficient"] * entropy
        adam.zero_grad()
        loss.backward()
        for group in [[*policy, *value]] if config.clip_together else [policy, value]:
            torch.nn.utils.clip_grad_norm_(group, settings["max_gradient_norm"])
        adam.step()
    return theta


CASES = {
    "defaults": {},
    "clipped together": {"clip_together": True, "max_gradient_norm": 0.3},
    "value clip": {"value_clip": 0.05},
    "entropy": {"entropy_coefficient": 0.1, "value_coefficient": 0.25},
    "raw advantages": {"normalise_advantages": False, "max_gradient_norm": INF},
    "kl stop": {"target_kl": 1.5e-5},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["CartPole-v1", "HalfCheetah-v5"])
def test_an_update_equals_the_plain_float64_version(name: str, case: str) -> None:
    overrides: dict[str, Any] = CASES[case]
    config = replace(
        Config(envs=2, horizon=16, minibatch=10, epochs=3, hidden=(16, 8), learning_rate=3e-3), **overrides
    )
    agents = population(config, [5, 6])
    rollout, ac, optimiser, h = filled_rollout(name, config, agents)
    # Rewards are random: the value and policy targets then matter everywhere.
    rollout.reward = torch.randn(rollout.reward.shape, generator=torch.Generator().manual_seed(2))
    estimates = estimate(ac, rollout, rollout.reward, h)
    batches = list(rollout.minibatches(agents, 0, config.epochs, config.minibatch, *estimates))
    before = {k: v.clone() for k, v in ac.state().items()}
    diagnostics = update(ac, optimiser, batches, config, h)
    after = ac.state()
    for a in range(2):
        own = [Minibatch(*(x[a : a + 1] for x in batch)) for batch in batches]
        mine = {k: v[a : a + 1] for k, v in before.items()}
        expected = plain_update(mine, own, config, asdict(config), config.target_kl)
        for key, tensor in expected.items():
            torch.testing.assert_close(after[key][a].double(), tensor.detach(), atol=2e-5, rtol=2e-3)
            assert not torch.equal(after[key][a], before[key][a]), f"{key} did not move"
    if case == "kl stop":
        assert (diagnostics["updates"] < len(batches)).all()
    else:
        assert diagnostics["updates"].tolist() == [len(batches)] * 2


# -------------------------------------------------------------------------------------------------- single properties


def test_estimates_value_where_each_step_led_and_nothing_else() -> None:
    """Against a loop in float64, on a rollout in which next observations have nothing to do with observations."""
    config = Config(envs=3, horizon=9, minibatch=27, discount=0.9, gae_lambda=0.7)
    rollout, ac, _, h = filled_rollout("CartPole-v1", config, population(config, [0, 1]))
    rng = torch.Generator().manual_seed(3)
    rollout.next_observation = torch.randn(rollout.observation.shape, generator=rng)
    rollout.terminated, rollout.truncated = torch.rand(2, 2, 9, 3, generator=rng) < 0.2
    reward = torch.randn(2, 9, 3, generator=rng)
    got = estimate(ac, rollout, reward, h)
    with torch.no_grad():
        now, then = (ac.value(x.flatten(1, 2)).view(2, 9, 3) for x in (rollout.observation, rollout.next_observation))
    torch.testing.assert_close(got.value, now)
    for a, n in itertools.product(range(2), range(3)):
        advantage = 0.0
        for t in reversed(range(9)):
            terminated, truncated = bool(rollout.terminated[a, t, n]), bool(rollout.truncated[a, t, n])
            delta = float(reward[a, t, n]) + 0.9 * (0.0 if terminated else float(then[a, t, n])) - float(now[a, t, n])
            advantage = delta + (0.0 if terminated or truncated else 0.9 * 0.7 * advantage)
            assert float(got.advantage[a, t, n]) == pytest.approx(advantage, abs=1e-5)
            assert float(got.target[a, t, n]) == pytest.approx(advantage + float(now[a, t, n]), abs=1e-5)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_ratio_is_1_on_the_first_minibatch_of_every_iteration(
    tmp_path: Path, name: str, normalise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored at collection is what the update recomputes, also when a normaliser has moved in between."""
    seen: list[tuple[Tensor, Tensor]] = []
    original = ppo_module.gradient_step

    def spy(ac: ActorCritic, optimiser: Adam, batch: Minibatch, *rest: Any) -> Any:
        active, diagnostics = original(ac, optimiser, batch, *rest)
        seen.append((diagnostics["kl"], diagnostics["clip_fraction"]))
        return active, diagnostics

    monkeypatch.setattr(ppo_module, "gradient_step", spy)
    config = Config(envs=2, horizon=32, minibatch=32, epochs=2, normalise_observations=normalise, scale_rewards=True)
    asked = work(tmp_path, name, population(config, [0, 1]), config, iterations=3)
    spied_rehearsals = 2 * 3  # the self-check rehearses three populations, an epoch of two minibatches each
    train(asked)
    training = seen[spied_rehearsals:]
    assert len(training) == 3 * 4
    for first in training[::4]:
        assert first[0].abs().max() < 1e-8
        assert first[1].max() == 0
    assert max(kl.max().item() for kl, _ in training) > 1e-6


def test_the_entropy_bonus_raises_entropy() -> None:
    config = Config(envs=4, horizon=8, minibatch=32, entropy_coefficient=10.0)
    agents = population(config, [0])
    rollout, ac, optimiser, h = filled_rollout("CartPole-v1", config, agents)
    ac.parameters["policy"].set("policy/2/bias", torch.tensor([[1.0, -1.0]]))
    zeros = torch.zeros_like(rollout.reward)
    batches = list(rollout.minibatches(agents, 0, 20, 32, zeros, zeros, zeros))
    active = torch.ones(1, dtype=torch.bool)
    entropies = [gradient_step(ac, optimiser, batch, active, config, h)[1]["entropy"].item() for batch in batches]
    assert entropies[-1] > entropies[0] + 0.01


def test_scaling_rewards_scales_nothing_in_the_policy_when_advantages_are_normalised() -> None:
    """A metamorphic relation: with V = 0, rewards × 100 give the same normalised advantages and the same policy."""
    config = Config(envs=4, horizon=16, minibatch=64, epochs=4)
    agents = population(config, [0])
    states = []
    for factor in (1.0, 100.0):
        rollout, ac, optimiser, h = filled_rollout("Pendulum-v1", config, agents)
        for name in ac.parameters["value"]:
            ac.parameters["value"].set(name, torch.zeros_like(ac.parameters["value"][name]))
        estimates = estimate(ac, rollout, rollout.reward * factor, h)
        update(ac, optimiser, rollout.minibatches(agents, 0, 4, 64, *estimates), config, h)
        states.append(ac.state())
    for name, tensor in states[0].items():
        if name.startswith("policy"):
            torch.testing.assert_close(tensor, states[1][name], atol=1e-5, rtol=1e-3)


def test_the_kl_stop_can_end_the_policy_alone() -> None:
    config = Config(envs=4, horizon=16, minibatch=16, epochs=5, learning_rate=1e-2, target_kl=1e-5)
    agents = population(config, [0])
    moved = {}
    for stops in ("both", "policy"):
        own = replace(config, kl_stops=stops)
        rollout, ac, optimiser, h = filled_rollout("CartPole-v1", own, agents)
        estimates = estimate(ac, rollout, rollout.reward, h)
        diagnostics = update(ac, optimiser, rollout.minibatches(agents, 0, 5, 16, *estimates), own, h)
        moved[stops] = (optimiser.steps["policy"][0], optimiser.steps["value"][0], diagnostics["updates"].item())
    assert moved["both"][0] == moved["both"][1] == moved["both"][2] < 20
    assert moved["policy"][0] == moved["both"][0]
    assert moved["policy"][1] == 20


def test_one_agents_nan_does_not_reach_its_neighbours() -> None:
    config = Config(envs=2, horizon=16, minibatch=16, epochs=2)
    agents = population(config, [0, 1])
    states = []
    for poison in (False, True):
        rollout, ac, optimiser, h = filled_rollout("CartPole-v1", config, agents)
        if poison:
            rollout.reward[1, 3, 0] = torch.nan
        estimates = estimate(ac, rollout, rollout.reward, h)
        update(ac, optimiser, rollout.minibatches(agents, 0, 2, 16, *estimates), config, h)
        states.append(ac.state())
    assert all(equal_bits(tensor[0], states[1][name][0]) for name, tensor in states[0].items())
    assert any(tensor[1].isnan().any() for tensor in states[1].values())


# ------------------------------------------------------------------------------------------------------- the main loop


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Copies of what every iteration of a training hands from its estimate stage to its update stage."""
    seen: list[dict[str, Tensor]] = []
    original = ppo_module.estimate
    fields = ("observation", "next_observation", "action", "log_prob", "reward", "terminated", "truncated")

    def spy(ac: ActorCritic, rollout: Rollout, reward: Tensor, h: Hyperparameters) -> Estimates:
        estimates = original(ac, rollout, reward, h)
        copies = {name: getattr(rollout, name).clone() for name in fields}
        seen.append(copies | {"learned_reward": reward.clone(), "target": estimates.target.clone()})
        return estimates

    monkeypatch.setattr(ppo_module, "estimate", spy)
    return seen


def of_training(rollouts: list[dict[str, Tensor]], iterations: int) -> list[dict[str, Tensor]]:
    """Without the rehearsals of the start-up self-check, which come first."""
    return rollouts[-iterations:]


def test_every_stored_transition_is_the_one_that_happened(tmp_path: Path, rollouts: list[dict[str, Tensor]]) -> None:
    Tagging.numbers = itertools.count()
    config = Config(envs=3, horizon=7, minibatch=21, epochs=1)
    train(work(tmp_path, "relook/Tagging-v0", population(config, [0, 1, 2]), config, iterations=4))
    stored = of_training(rollouts, 4)
    assert len(stored) == 4
    whole = {name: torch.cat([rollout[name] for rollout in stored], 1) for name in stored[0]}
    observation, following, action = whole["observation"], whole["next_observation"], whole["action"]
    # Environments are numbered as they are made, agent by agent, before those of the replay check.
    assert torch.unique(observation[..., 0]).tolist() == list(range(9))
    for a, n in itertools.product(range(3), range(3)):
        number, episode, step = a * 3 + n, 0, 0
        for t in range(28):
            now, then = observation[a, t, n].tolist(), following[a, t, n].tolist()
            assert now[:3] == [number, episode, step]
            step += 1
            assert then == [number, episode, step, action[a, t, n, 0].item()]
            assert whole["reward"][a, t, n].item() == Tagging.reward(number, episode, step)
            ends = step == Tagging.LENGTHS[episode % 3]
            assert whole["terminated"][a, t, n].item() == (ends and episode % 3 != 1)
            assert whole["truncated"][a, t, n].item() == (ends and episode % 3 != 0)
            if ends:
                episode, step = episode + 1, 0


def test_actions_are_drawn_from_the_policy_and_not_its_best(tmp_path: Path, rollouts: list[dict[str, Tensor]]) -> None:
    config = Config(envs=16, horizon=64, minibatch=1024, epochs=1)
    train(work(tmp_path, "relook/ValueOnly-v0", population(config, [0]), config, iterations=2))
    first = of_training(rollouts, 2)[0]
    chosen, p = first["action"].float().mean().item(), first["log_prob"].exp().mean().item()
    assert abs(chosen - 0.5) < 4 * 0.5 / 32
    assert abs(p - 0.5) < 0.02


def test_only_rewards_that_are_learned_from_are_scaled(tmp_path: Path, rollouts: list[dict[str, Tensor]]) -> None:
    config = Config(envs=4, horizon=32, minibatch=64, epochs=1, scale_rewards=True)
    asked = work(tmp_path, "Pendulum-v1", population(config, [0]), config, iterations=8)
    train(asked)
    last = of_training(rollouts, 8)[-1]
    scale = read_lines(tmp_path / "metrics.jsonl")[-1]["reward_scale"]
    assert scale > 5
    torch.testing.assert_close(last["learned_reward"], last["reward"] / scale)
    for row in read_lines(tmp_path / "episodes.jsonl"):
        assert row["return"] < -10  # raw: a Pendulum episode of random play costs hundreds


def test_the_learning_rate_falls_linearly_and_is_not_0_in_the_last_iteration(tmp_path: Path) -> None:
    config = Config(envs=2, horizon=8, minibatch=16, epochs=1)
    train(work(tmp_path, "CartPole-v1", population(config, [0]), config, iterations=4))
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])
    assert all(row["step_size"] > 0 for row in rows)


def test_the_normaliser_stands_still_while_evaluating_and_moves_with_training(tmp_path: Path) -> None:
    config = Config(envs=2, horizon=16, minibatch=32, epochs=1, normalise_observations=True)
    agents = population(config, [0])
    without = train(work(tmp_path / "a", "CartPole-v1", agents, config, iterations=3))
    evaluated = train(work(tmp_path / "b", "CartPole-v1", agents, config, iterations=3, evaluate_episodes=3))
    for name, tensor in without.state().items():
        assert equal_bits(tensor, evaluated.state()[name])
    assert evaluated.normaliser is not None
    assert evaluated.normaliser.count == 3 * 32


def test_saturation_counts_actions_at_the_bounds(tmp_path: Path) -> None:
    wide = Config(envs=2, horizon=64, minibatch=128, epochs=1, initial_log_std=3.0)
    narrow = replace(wide, initial_log_std=-3.0)
    shares = []
    for name, config in (("wide", wide), ("narrow", narrow)):
        train(work(tmp_path / name, "Pendulum-v1", population(config, [0]), config, iterations=1))
        shares.append(read_lines(tmp_path / name / "metrics.jsonl")[0]["saturation"])
    assert shares[0] > 0.9
    assert shares[1] == 0.0


def test_every_declared_metric_is_logged(tmp_path: Path) -> None:
    config = Config(envs=2, horizon=16, minibatch=32, epochs=1)
    ppo(work(tmp_path, "CartPole-v1", population(config, [0]), config, iterations=1))
    row = read_lines(tmp_path / "metrics.jsonl")[0]
    assert set(ppo_module.METRICS) <= set(row)
