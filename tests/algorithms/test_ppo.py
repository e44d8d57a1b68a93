"""PPO: its losses and its update against formulas and a plain float64 version, its loop against what happened."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.algorithms import ppo as ppo_module
from relook.algorithms.ppo import (
    Config,
    Step,
    build,
    clip_loss,
    gradient_step,
    kl,
    minibatch_diagnostics,
    ppo,
    rehearse,
    update,
    update_diagnostics,
    value_loss,
)
from relook.buffers import Estimates, Rollout, estimate
from relook.buffers.rollout import Minibatch
from relook.envs import Environments, EnvironmentSpec
from relook.envs.probes import Tagging
from relook.networks import ActorCritic
from relook.population import Adam, Agent, Agents, agents_are_independent
from relook.population.hyperparameters import Hyperparameters
from relook.runs.files import read_lines
from support import (
    equal_bits,
    numeric,
    plain,
    plain_log_prob,
    plain_network,
    plain_policy,
    played,
    population,
    train,
    work,
)

INF = float("inf")


# ---------------------------------------------------------------------------------------------------------- losses


def test_clip_loss_is_equation_7_on_numbers_worked_out_by_hand() -> None:
    ratio = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]])
    advantage = torch.tensor([[2.0, -2.0, 2.0, -2.0, 3.0]])
    # min(r Â, clip(r, 0.8, 1.2) Â): 1.2·2, 1.5·-2, 0.5·2, 0.8·-2, 1.1·3
    expected = -torch.tensor([2.4 - 3.0 + 1.0 - 1.6 + 3.3]) / 5
    loss, _ = clip_loss(ratio.log(), advantage, torch.tensor([0.2]))
    torch.testing.assert_close(loss.mean(1), expected)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"), [(1.0, 1.0, -1), (1.0, -1.0, 1), (1.3, 1.0, 0), (0.7, -1.0, 0), (1.3, -1.0, 1)]
)
def test_the_surrogate_raises_good_actions_and_stops_outside_the_clip(
    ratio: float, advantage: float, moves: int
) -> None:
    """The sign of the slope by log π: negative raises the action's probability."""
    _, slope = clip_loss(torch.tensor([[ratio]]).log(), torch.tensor([[advantage]]), torch.tensor([0.2]))
    assert np.sign(slope.item()) == moves


def test_slopes_are_those_that_autograd_finds_for_the_mean_loss() -> None:
    """Against the formulas of the papers, in float64, on both sides of every bound."""
    rng = torch.Generator().manual_seed(0)
    log_ratio, advantage, value, old, target = torch.randn(5, 3, 200, generator=rng, dtype=torch.float64)
    clip, value_clip = torch.tensor([0.1, 0.2, 0.5]), torch.tensor([0.3, INF, 0.8])
    log_ratio, value = log_ratio.requires_grad_(), value.requires_grad_()
    low, high = 1 - clip.unsqueeze(1), 1 + clip.unsqueeze(1)
    ratio = log_ratio.exp()
    surrogate = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
    reach = value_clip.unsqueeze(1)
    near = old + torch.where(reach.isinf(), value - old, (value - old).clamp(-reach, reach))
    squares = torch.maximum((value - target).square(), (near - target).square())
    torch.autograd.backward([surrogate.mean(1).sum() + squares.mean(1).sum()])
    for given, loss, leaf in (
        (clip_loss(log_ratio.detach(), advantage, clip), surrogate, log_ratio),
        (value_loss(value.detach(), old, target, value_clip), squares, value),
    ):
        torch.testing.assert_close(given[0], loss.detach(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(given[1], leaf.grad, rtol=1e-6, atol=1e-6)
        assert 0 < (given[1] == 0).sum() < given[1].numel()


def test_each_agent_has_its_own_clip_range() -> None:
    log_ratio = torch.full((2, 1), 1.5).log()
    loss, _ = clip_loss(log_ratio, torch.ones(2, 1), torch.tensor([0.2, 0.4]))
    torch.testing.assert_close(loss, torch.tensor([[-1.2], [-1.4]]))


def test_value_loss_is_the_mean_square_and_its_clipped_kind_is_never_smaller() -> None:
    value, old, target = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 0.0]])
    torch.testing.assert_close(value_loss(value, old, target, torch.tensor([INF]))[0], torch.tensor([[0.0, 1.0]]))
    # V = 3 may only reach 1.5: its clipped error is 1.5² = 2.25, which is worse than 0.
    torch.testing.assert_close(value_loss(value, old, target, torch.tensor([0.5]))[0], torch.tensor([[2.25, 1.0]]))


def test_without_a_value_clip_the_value_loss_is_that_of_an_infinite_one() -> None:
    value, old, target = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(0))
    plain, infinite = value_loss(value, old, target), value_loss(value, old, target, torch.tensor([INF, INF]))
    torch.testing.assert_close(plain, ((value - target).square(), 2 * (value - target) / 7))
    assert all(equal_bits(x, y) for x, y in zip(plain, infinite, strict=True))


def test_a_neighbour_that_clips_values_does_not_change_an_agent_that_does_not() -> None:
    """Neither its loss nor its gradient, even where V_old is so large that V_old + (V - V_old) is not V."""
    rng = torch.Generator().manual_seed(0)
    value, old, target = torch.randn(3, 2, 7, generator=rng)
    old[0, 0] = 1e30
    results: list[tuple[Tensor, Tensor]] = []
    for agents, clip in ((1, None), (1, [INF]), (2, [INF, 0.1])):
        bound = None if clip is None else torch.tensor(clip)
        loss, slope = value_loss(value[:agents], old[:agents], target[:agents], bound)
        results.append((loss[0], slope[0]))
    assert results[0][0].isfinite().all()
    for loss, slope in results[1:]:
        assert equal_bits(loss, results[0][0])
        assert equal_bits(slope, results[0][1])


def test_kl_is_that_of_the_two_distributions() -> None:
    """Samples come as often as π_old says: halves and quarters of four."""
    old, new = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.25, 0.5])
    samples = torch.tensor([0, 0, 1, 2])
    log_ratio = (new / old).log()[samples]
    expected = (old * (old / new).log()).sum()
    torch.testing.assert_close(kl(torch.stack([log_ratio, torch.zeros(4)])), torch.stack([expected, torch.zeros(())]))


def test_kl_cannot_be_negative_and_is_taken_over_the_last_axis() -> None:
    log_ratio = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0))
    divergence = kl(log_ratio)
    assert divergence.shape == (5, 3)
    assert (divergence > 0).all()
    assert (log_ratio.mean(-1) > 0).any(), "-E[log r] would have been negative"
    torch.testing.assert_close(divergence[2], kl(log_ratio[2]))


# ------------------------------------------------------------------------------------- one agent, plainly, in float64


def plain_update(
    state: dict[str, Tensor], batches: list[Minibatch], config: Config
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """PPO's update for the single agent of `batches`, as a textbook would write it. Returns parameters and means."""
    theta = plain(state, 0)
    policy = [tensor for name, tensor in theta.items() if name.startswith("policy")]
    value = [tensor for name, tensor in theta.items() if name.startswith("value")]
    rates = config.learning_rate, config.learning_rate * config.value_learning_rate_factor
    adam = torch.optim.Adam(
        [{"params": group, "lr": rate} for group, rate in zip((policy, value), rates, strict=True)],
        eps=config.adam_epsilon,
    )

    measured: list[dict[str, float]] = []
    updates, stopped = 0, False
    for batch in batches:
        observation, log_prob_old, advantage, target, value_old = (
            x[0].double() for x in (batch.observation, batch.log_prob, batch.advantage, batch.target, batch.value)
        )
        if config.normalise_advantages:
            advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        distribution = plain_policy(theta, observation)
        log_prob = plain_log_prob(distribution, batch.action[0])
        ratio = (log_prob - log_prob_old).exp()
        surrogate = torch.min(ratio * advantage, ratio.clamp(1 - config.clip, 1 + config.clip) * advantage).mean()
        v = plain_network(theta, "value", observation).squeeze(-1)
        errors = (v - target) ** 2
        if config.value_clip < INF:
            near = value_old + (v - value_old).clamp(-config.value_clip, config.value_clip)
            errors = torch.max(errors, (near - target) ** 2)
        entropy = distribution.entropy().mean()
        loss = -surrogate + config.value_coefficient * errors.mean() - config.entropy_coefficient * entropy
        adam.zero_grad()
        loss.backward()
        divergence = ((ratio - 1) - (log_prob - log_prob_old)).mean().item()
        if not stopped:
            gradient = torch.cat([x.grad.flatten() for x in theta.values() if x.grad is not None])
            measured.append(
                {
                    "policy_loss": -surrogate.item(),
                    "value_loss": errors.mean().item(),
                    "entropy": entropy.item(),
                    "kl": divergence,
                    "clip_fraction": ((ratio - 1).abs() > config.clip).double().mean().item(),
                    "gradient_norm": gradient.norm().item(),
                }
            )
        stopped = stopped or divergence > 1.5 * config.target_kl
        if stopped and config.kl_stops == "both":
            break
        if stopped:
            for tensor in policy:
                tensor.grad = None
        for group in [[*policy, *value]] if config.clip_together else [policy, value]:
            torch.nn.utils.clip_grad_norm_(group, config.max_gradient_norm)
        adam.step()
        updates += not stopped
    means = {name: float(np.mean([row[name] for row in measured])) for name in measured[0]}
    before, after = (
        torch.cat([x.detach().double().flatten() for x in tensors])
        for tensors in ([x[0] for x in state.values()], theta.values())
    )
    return theta, means | {"updates": updates, "step_size": ((after - before).norm() / before.norm()).item()}


CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "clipped together": {"clip_together": True, "max_gradient_norm": 0.3},
    "value clip": {"value_clip": 0.05},
    "entropy": {"entropy_coefficient": 0.1, "value_coefficient": 0.25},
    "raw advantages": {"normalise_advantages": False, "max_gradient_norm": INF},
    "value learning rate": {"value_learning_rate_factor": 3.0, "adam_epsilon": 1e-3},
    "narrow clip": {"clip": 0.01},
    "kl stop": {"target_kl": 1.5e-5},
    "kl stop of the policy": {"target_kl": 1.5e-5, "kl_stops": "policy"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["CartPole-v1", "HalfCheetah-v5"])
def test_an_update_equals_the_plain_float64_version(name: str, case: str) -> None:
    config = replace(
        Config(envs=2, horizon=16, minibatch=10, epochs=3, hidden=(16, 8), learning_rate=3e-3), **CASES[case]
    )
    agents = population(config, [5, 6])
    rollout, ac, optimiser, h = played(name, config, agents)
    # Rewards are random: the value and policy targets then matter everywhere.
    rollout.reward = torch.randn(rollout.reward.shape, generator=torch.Generator().manual_seed(2))
    estimates = estimate(ac, rollout, rollout.reward, h)
    batches = list(rollout.minibatches(agents, 0, config.epochs, config.minibatch, *estimates))
    before = {k: v.clone() for k, v in ac.state().items()}
    diagnostics = update(ac, optimiser, batches, agents.alive, config, h)
    after = ac.state()
    for a in range(2):
        own = [Minibatch(*(x[a : a + 1] for x in batch)) for batch in batches]
        expected, means = plain_update({k: v[a : a + 1] for k, v in before.items()}, own, config)
        for key, tensor in expected.items():
            torch.testing.assert_close(after[key][a].double(), tensor.detach(), atol=2e-5, rtol=2e-3)
            assert not torch.equal(after[key][a], before[key][a]), f"{key} did not move"
        assert {key: x[a].item() for key, x in diagnostics.items()} == pytest.approx(means, rel=2e-3, abs=2e-6)
    if "kl stop" in case:
        assert (diagnostics["updates"] < len(batches)).all()
    else:
        assert diagnostics["updates"].tolist() == [len(batches)] * 2


def test_advantages_that_are_recomputed_follow_v_through_the_epochs_of_an_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch has the advantages and targets of V by then; old log-probabilities and values stay."""
    seen: list[tuple[Minibatch, dict[str, Tensor]]] = []
    original = ppo_module.gradient_step

    def spy(ac: Any, optimiser: Any, batch: Minibatch, *rest: Any) -> Step:
        seen.append((batch, {k: v.clone() for k, v in ac.state().items()}))
        return original(ac, optimiser, batch, *rest)

    monkeypatch.setattr(ppo_module, "gradient_step", spy)
    told = {}
    for recompute in (False, True):
        seen.clear()
        config = Config(envs=2, horizon=32, minibatch=64, epochs=3, recompute_advantages=recompute, scale_rewards=False)
        train(work(tmp_path / str(recompute), "Pendulum-v1", population(config, [0, 1]), config, iterations=1))
        told[recompute] = seen[-3:]
    once, anew = told[False], told[True]
    for (batch, _), (first, _) in zip(anew, once, strict=True):
        order = [x.sum(-1)[0].argsort() for x in (batch.observation, first.observation)]
        for name in ("log_prob", "value"):
            assert torch.equal(getattr(batch, name)[0][order[0]], getattr(first, name)[0][order[1]])
    assert torch.equal(anew[0][0].advantage, once[0][0].advantage), "before the first epoch nothing has moved"
    for epoch in (1, 2):
        batch, state = anew[epoch]
        v = torch.stack(
            [plain_network(plain(state, a), "value", batch.observation[a].double()).squeeze(-1) for a in range(2)]
        )
        torch.testing.assert_close((batch.target - batch.advantage).double(), v, atol=1e-5, rtol=1e-4)
        kept = once[epoch][0]
        torch.testing.assert_close(kept.target - kept.advantage, kept.value, atol=1e-5, rtol=1e-4)
        assert (v - batch.value).abs().max() > 1e-3, "V has moved since"


# -------------------------------------------------------------------------------------------------- single properties


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_ratio_is_1_on_the_first_minibatch_of_every_iteration(
    tmp_path: Path, name: str, normalise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was estimated before the update is what it recomputes, also when a normaliser has moved in between."""
    seen: list[Step] = []
    original = ppo_module.gradient_step

    def spy(*args: Any) -> Step:
        seen.append(original(*args))
        return seen[-1]

    monkeypatch.setattr(ppo_module, "gradient_step", spy)
    config = Config(envs=2, horizon=32, minibatch=32, epochs=2, normalise_observations=normalise, scale_rewards=True)
    train(work(tmp_path, name, population(config, [0, 1]), config, iterations=3))
    assert len(seen) > 3 * 4
    training = seen[-3 * 4 :]  # the self-check rehearses before
    for step in training[::4]:
        assert (step.log_ratio.exp() - 1).abs().max() < 1e-4
        assert kl(step.log_ratio).abs().max() < 1e-8
    for before, after in itertools.pairwise(training):
        assert not torch.equal(before.log_ratio, after.log_ratio)
    assert max(kl(step.log_ratio).max().item() for step in training) > 1e-6


def test_the_entropy_bonus_raises_entropy() -> None:
    config = Config(envs=4, horizon=8, minibatch=32, entropy_coefficient=10.0)
    agents = population(config, [0])
    rollout, ac, optimiser, h = played("CartPole-v1", config, agents)
    ac.networks.learned(ac.parameters)["policy/2/bias"].copy_(torch.tensor([[1.0, -1.0]]))
    zeros = torch.zeros_like(rollout.reward)
    batches = list(rollout.minibatches(agents, 0, 20, 32, zeros, zeros, zeros, zeros))
    steps = [gradient_step(ac, optimiser, batch, agents.alive, agents.alive, config, h) for batch in batches]
    entropies = [step.entropy.mean().item() for step in steps]
    assert entropies[-1] > entropies[0] + 0.01


def test_scaling_rewards_scales_nothing_in_the_policy_when_advantages_are_normalised() -> None:
    """A metamorphic relation: with V = 0, rewards × 100 give the same normalised advantages and the same policy."""
    config = Config(envs=4, horizon=16, minibatch=64, epochs=4)
    agents = population(config, [0])
    states = []
    for factor in (1.0, 100.0):
        rollout, ac, optimiser, h = played("Pendulum-v1", config, agents)
        for name, view in ac.networks.learned(ac.parameters).items():
            if name.startswith("value"):
                view.zero_()
        estimates = estimate(ac, rollout, rollout.reward * factor, h)
        assert (estimates.value == 0).all()
        update(ac, optimiser, rollout.minibatches(agents, 0, 4, 64, *estimates), agents.alive, config, h)
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
        rollout, ac, optimiser, h = played("CartPole-v1", own, agents)
        estimates = estimate(ac, rollout, rollout.reward, h)
        batches = rollout.minibatches(agents, 0, 5, 16, *estimates)
        diagnostics = update(ac, optimiser, batches, agents.alive, own, h)
        moved[stops] = (*optimiser.steps[0].tolist(), diagnostics["updates"].item())
    assert moved["both"][0] == moved["both"][1] == moved["both"][2] < 20
    assert moved["policy"][0] == moved["policy"][2] == moved["both"][0]
    assert moved["policy"][1] == 20


@pytest.mark.parametrize("stops", ["both", "policy"])
def test_an_agent_whose_kl_has_passed_rests_for_the_rest_of_the_update_and_its_neighbour_does_not(
    stops: Literal["both", "policy"],
) -> None:
    """Also when later minibatches have a small KL again, and also in the minibatch in which it passed."""
    config = replace(Config(envs=2, horizon=8, minibatch=4, target_kl=0.01), kl_stops=stops)
    agents = population(config, [0, 1])
    rollout, ac, optimiser, h = played("CartPole-v1", config, agents)
    estimates = estimate(ac, rollout, rollout.reward, h)
    batches = list(rollout.minibatches(agents, 0, 1, 4, *estimates))
    shift = torch.tensor([[1.0], [0.0]])  # of π_old of agent 0 in the second minibatch: KL = e - 2
    batches[1] = batches[1]._replace(log_prob=batches[1].log_prob - shift)
    diagnostics = update(ac, optimiser, batches, agents.alive, config, h)
    assert diagnostics["updates"].tolist() == [1, 4]
    assert optimiser.steps.tolist() == [[1, 1 if stops == "both" else 4], [4, 4]]
    assert diagnostics["kl"][0].item() == pytest.approx((np.e - 2) / 2, rel=0.05)  # of the two that it took part in
    assert diagnostics["kl"][1] < 0.01


@pytest.mark.parametrize("stops", ["both", "policy"])
@pytest.mark.parametrize("target_kl", [INF, 1e-6])
def test_an_agent_that_has_stopped_keeps_everything_and_its_neighbour_does_not_notice(
    stops: Literal["both", "policy"], target_kl: float
) -> None:
    config = replace(Config(envs=2, horizon=16, minibatch=16, epochs=2, target_kl=target_kl), kl_stops=stops)
    agents = population(config, [0, 1])
    ends = []
    for alive in (torch.tensor([True, True]), torch.tensor([False, True])):
        rollout, ac, optimiser, h = played("CartPole-v1", config, agents)
        before = ac.parameters.theta.clone()
        batches = rollout.minibatches(agents, 0, 2, 16, *estimate(ac, rollout, rollout.reward, h))
        diagnostics = update(ac, optimiser, batches, alive, config, h)
        ends.append(
            (
                ac.parameters.theta,
                optimiser.moments["first_moment"],
                optimiser.moments["second_moment"],
                optimiser.steps,
            )
        )
        assert equal_bits(ac.parameters.theta[0], before[0]) == (not alive[0])
    assert all(equal_bits(one[1], other[1]) for one, other in zip(*ends, strict=True))
    assert all((stored[0] == 0).all() for stored in ends[1][1:])
    assert diagnostics["updates"][0] == 0
    assert diagnostics["step_size"][0] == 0
    assert diagnostics["updates"][1] > 0


def test_one_agents_nan_does_not_reach_its_neighbours_and_is_told() -> None:
    config = Config(envs=2, horizon=16, minibatch=16, epochs=2)
    agents = population(config, [0, 1])
    states, told = [], []
    for poison in (False, True):
        rollout, ac, optimiser, h = played("CartPole-v1", config, agents)
        if poison:
            rollout.reward[1, 3, 0] = torch.nan
        batches = rollout.minibatches(agents, 0, 2, 16, *estimate(ac, rollout, rollout.reward, h))
        told.append(update(ac, optimiser, batches, agents.alive, config, h))
        states.append(ac.state())
    assert all(equal_bits(tensor[0], states[1][name][0]) for name, tensor in states[0].items())
    assert all(equal_bits(value[0], told[1][name][0]) for name, value in told[0].items())
    assert all(tensor.isfinite().all() for tensor in states[1].values()), "a step that is not finite is not made"
    assert all(value.isfinite().all() for value in told[0].values())
    assert told[1]["policy_loss"][1].isnan()
    assert told[1]["gradient_norm"][1].isnan()


def test_an_odd_ratio_or_advantage_is_told_by_the_slope_too() -> None:
    """A slope of 0 would be a step of nothing in particular."""
    log_ratio = torch.tensor([[0.0, torch.nan], [0.0, 0.0]])
    advantage = torch.tensor([[1.0, 1.0], [torch.nan, 1.0]])
    _, slope = clip_loss(log_ratio, advantage, torch.tensor([0.2, 0.2]))
    assert slope.isnan().tolist() == [[False, True], [True, False]]


def test_an_agent_whose_kl_is_nan_goes_on_to_be_told_whoever_else_has_a_limit() -> None:
    """Its own limit is infinite: that another agent has one must not change what becomes of it."""
    config = Config(envs=2, horizon=16, minibatch=16, epochs=1)
    told = []
    for limits in ({}, {"target_kl": 0.5}):
        agents = Agents([Agent(0, 0, numeric(config)), Agent(1, 1, numeric(config, **limits))])
        rollout, ac, optimiser, h = played("CartPole-v1", config, agents)
        estimates = estimate(ac, rollout, rollout.reward, h)
        estimates.log_prob[0, 0, 0] = torch.nan
        batches = rollout.minibatches(agents, 0, 1, 16, *estimates)
        told.append(update(ac, optimiser, batches, agents.alive, config, h))
    assert told[0]["kl"][0].isnan()
    assert told[0]["updates"].tolist() == told[1]["updates"].tolist() == [2, 2]


def test_update_diagnostics_are_means_over_the_minibatches_in_which_an_agent_took_part() -> None:
    """Against a loop; the last minibatch of each of two epochs is smaller, and the third agent took part in none."""
    config = replace(Config(), clip=0.3)
    agents = population(config, [0, 1, 2])
    rng = torch.Generator().manual_seed(0)
    steps = []
    for i, size in enumerate([10, 10, 4, 10, 10, 4]):
        took_part = torch.tensor([True, i < 4, False])
        moved = torch.tensor([True, i < 3, False])
        norms, samples = torch.rand(3, generator=rng).tolist(), torch.randn(4, 3, size, generator=rng)
        steps.append(Step(took_part, moved, norms, *samples))
    h = Hyperparameters(agents)
    given = update_diagnostics([minibatch_diagnostics(some, h) for some in (steps[:2], steps[2:5], steps[5:])])
    assert given.keys() == {
        "policy_loss", "value_loss", "gradient_norm", "entropy", "kl", "clip_fraction", "updates"
    }  # fmt: skip
    assert given["updates"].tolist() == [6, 3, 0]
    for a, parts in ((0, steps), (1, steps[:4])):
        rows = [
            {
                "gradient_norm": step.gradient_norm[a],
                "policy_loss": step.policy_loss[a].mean().item(),
                "value_loss": step.value_loss[a].mean().item(),
                "entropy": step.entropy[a].mean().item(),
                "kl": float(np.mean([np.exp(x) - 1 - x for x in step.log_ratio[a].tolist()])),
                "clip_fraction": float(np.mean([abs(np.exp(x) - 1) > 0.3 for x in step.log_ratio[a].tolist()])),
            }
            for step in parts
        ]
        for name in rows[0]:
            assert given[name][a].item() == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-5, abs=1e-6)


def test_what_an_agent_did_not_take_part_in_does_not_reach_its_diagnostics() -> None:
    """Not even if it was NaN."""
    agents = population(Config(), [0, 1])
    everyone, nobody_else = torch.tensor([True, True]), torch.tensor([True, False])
    ones, odd = torch.ones(2, 4), torch.tensor([1.0, torch.nan]).expand(4, 2).T
    first = Step(everyone, everyone, [1.0, 1.0], ones, ones, ones, 0 * ones)
    broken = Step(nobody_else, nobody_else, [1.0, torch.nan], odd, odd, odd, odd - 1)
    given = update_diagnostics([minibatch_diagnostics([first, broken], Hyperparameters(agents))])
    for name in ("policy_loss", "value_loss", "gradient_norm", "entropy"):
        assert given[name].tolist() == [1, 1]
    for name in ("kl", "clip_fraction"):
        assert given[name].tolist() == [0, 0]
    assert given["updates"].tolist() == [2, 1]


# -------------------------------------------------------------------------------------------------- the dress rehearsal

REHEARSED = replace(Config(envs=3, horizon=70, minibatch=20, hidden=(13, 20)), entropy_coefficient=0.1)
"""A rollout of 210 samples: ten minibatches of 20, and one of 10."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_a_rehearsal_is_the_agents_own_and_everything_moves(name: str) -> None:
    agents = population(REHEARSED, [0, 1, 2])
    spaces = Environments(EnvironmentSpec(name), agents, 1).spaces
    theta = rehearse(spaces, agents, REHEARSED, ActorCritic)
    start, _ = build(spaces, agents, REHEARSED, ActorCritic)
    assert theta.shape == start.parameters.theta.shape
    assert (theta != start.parameters.theta).any(2).all()
    for a in range(3):
        assert equal_bits(rehearse(spaces, population(REHEARSED, [a]), REHEARSED, ActorCritic)[0], theta[a])


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (REHEARSED, [20, 20, 20, 20, 10]),
        (replace(REHEARSED, minibatch=70), [70, 70, 70]),
        (replace(REHEARSED, minibatch=200), [200, 10]),
        (replace(REHEARSED, minibatch=210), [210]),
    ],
    ids=["many", "all alike", "two", "whole"],
)
def test_a_rehearsal_is_short_but_has_all_sizes_of_minibatches(
    config: Config, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = ppo_module.gradient_step

    def spy(ac: ActorCritic, optimiser: Adam, batch: Minibatch, *rest: Any) -> Step:
        seen.append(batch.log_prob.shape[1])
        return original(ac, optimiser, batch, *rest)

    monkeypatch.setattr(ppo_module, "gradient_step", spy)
    agents = population(config, [0])
    rehearse(Environments(EnvironmentSpec("CartPole-v1"), agents, 1).spaces, agents, config, ActorCritic)
    assert seen == sizes


CROSSINGS: dict[str, Any] = {
    "normalised": lambda advantage: advantage - advantage.mean(),
    "value_loss": lambda value, old, target, clip=None: ((value - target).square(), value - target.mean(0)),
    "estimate": lambda ac, rollout, reward, h: estimate(ac, rollout, reward + reward.mean(0), h),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("broken", [None, *CROSSINGS])
def test_a_rehearsal_shows_what_crosses_the_agent_axis(broken: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken is not None:
        monkeypatch.setattr(ppo_module, broken, CROSSINGS[broken])
    agents = population(REHEARSED, [0, 1])
    spaces = Environments(EnvironmentSpec("CartPole-v1"), agents, 1).spaces
    independent = agents_are_independent(agents, lambda some: rehearse(spaces, some, REHEARSED, ActorCritic))
    assert independent == (broken is None)


# ------------------------------------------------------------------------------------------------------- the main loop


@pytest.fixture
def rollouts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Copies of what every iteration of a training hands from its estimate stage to its update stage."""
    seen: list[dict[str, Tensor]] = []
    original = estimate
    fields = ("observation", "next_observation", "action", "reward", "terminated", "truncated")

    def spy(ac: ActorCritic, rollout: Rollout, reward: Tensor, h: Hyperparameters) -> Estimates:
        estimates = original(ac, rollout, reward, h)
        copies = {name: getattr(rollout, name).clone() for name in fields}
        seen.append(copies | {"learned_reward": reward.clone(), "log_prob": estimates.log_prob.clone()})
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


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_old_policy_is_the_one_that_drew_the_actions(
    tmp_path: Path, name: str, normalise: bool, monkeypatch: pytest.MonkeyPatch, rollouts: list[dict[str, Tensor]]
) -> None:
    """Log π_old is estimated after a rollout: nothing may have moved since its first action was drawn."""
    drawn: list[Tensor] = []
    original = ActorCritic.act

    def spy(self: ActorCritic, observation: Tensor, noise: Tensor) -> Tensor:
        action = original(self, observation, noise)
        with torch.no_grad():
            drawn.append(self.evaluate(observation, action)[0])
        return action

    monkeypatch.setattr(ActorCritic, "act", spy)
    config = Config(envs=2, horizon=16, minibatch=16, epochs=2, normalise_observations=normalise)
    train(work(tmp_path, name, population(config, [0, 1]), config, iterations=3))
    for i, rollout in enumerate(of_training(rollouts, 3)):
        steps = drawn[(i - 3) * 16 :][:16]
        torch.testing.assert_close(rollout["log_prob"], torch.stack(steps, 1), rtol=1e-4, atol=1e-4)


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
