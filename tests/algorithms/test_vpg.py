"""VPG: an update against a plain float64 version."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from relook.algorithms.vpg import Config, policy_loss, update
from relook.buffers import Minibatch, estimate
from support import plain, plain_log_prob, plain_network, plain_policy, played, population

SMALL = Config(
    envs=2, horizon=16, minibatch=10, value_epochs=3, hidden=(16, 8), learning_rate=3e-3, value_learning_rate=2e-3
)
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "raw advantages": {"normalise_advantages": False},
    "clipped": {"max_gradient_norm": 0.05, "adam_epsilon": 0.01},
    "entropy": {"entropy_coefficient": 0.3},
}


def plain_update(
    theta: dict[str, Tensor],
    samples: tuple[Tensor, Tensor, Tensor],
    batches: list[Minibatch],
    config: Config,
) -> dict[str, float]:
    """VPG's update of a single agent, as a textbook would write it; moves `theta`."""
    observation, action, advantage = samples
    policy = [tensor for name, tensor in theta.items() if name.startswith("policy")]
    value = [tensor for name, tensor in theta.items() if name.startswith("value")]
    optimiser = torch.optim.Adam(policy, lr=config.learning_rate, eps=config.adam_epsilon)
    if config.normalise_advantages:
        advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    before = plain_policy({name: x.detach().clone() for name, x in theta.items()}, observation)
    now = plain_policy(theta, observation)
    loss = -(plain_log_prob(now, action) * advantage).mean()
    (loss - config.entropy_coefficient * now.entropy().mean()).backward()
    norm = torch.nn.utils.clip_grad_norm_(policy, config.max_gradient_norm)
    optimiser.step()
    distance = kl_divergence(before, plain_policy(theta, observation)).mean()
    optimiser = torch.optim.Adam(value, lr=config.value_learning_rate, eps=config.adam_epsilon)
    losses = []
    for batch in batches:
        error = plain_network(theta, "value", batch.observation[0].double())[:, 0] - batch.target[0].double()
        optimiser.zero_grad()
        error.square().mean().backward()
        optimiser.step()
        losses.append(error.square().mean().item())
    return {
        "policy_loss": loss.item(),
        "entropy": before.entropy().mean().item(),
        "kl": distance.item(),
        "gradient_norm": norm.item(),
        "value_loss": sum(losses) / len(losses),
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("environment", ["CartPole-v1", "HalfCheetah-v5"])
def test_an_update_equals_the_plain_float64_version(environment: str, case: str) -> None:
    config = replace(SMALL, **CASES[case])
    agents = population(config, [5, 6])
    rollout, ac, optimiser, h = played(environment, config, agents)
    rollout.reward = torch.randn(rollout.reward.shape, generator=torch.Generator().manual_seed(2))
    estimates = estimate(ac, rollout, rollout.reward, h)
    before = {name: tensor.clone() for name, tensor in ac.state().items()}
    batches = list(rollout.minibatches(agents, 7, config.value_epochs, config.minibatch, *estimates))
    told = update(ac, optimiser, rollout, estimates, agents, 7, config, h)
    after = ac.state()
    for a in range(2):
        theta = plain(before, a)
        own = [Minibatch(*(x[a : a + 1] for x in batch)) for batch in batches]
        samples = (
            rollout.observation[a].flatten(0, 1).double(),
            rollout.action[a].flatten(0, 1),
            estimates.advantage[a].flatten().double(),
        )
        means = plain_update(theta, samples, own, config)
        for name, tensor in theta.items():
            torch.testing.assert_close(after[name][a].double(), tensor.detach(), atol=2e-5, rtol=2e-3)
            assert not torch.equal(after[name][a], before[name][a]), f"{name} did not move"
        assert {name: told[name][a].item() for name in means} == pytest.approx(means, rel=5e-3, abs=2e-6)


def test_the_loss_raises_what_was_better_than_expected() -> None:
    log_prob, advantage = torch.tensor([[-1.0, -2.0]]), torch.tensor([[3.0, -1.0]])
    loss, slope = policy_loss(log_prob, advantage)
    torch.testing.assert_close(loss, torch.tensor([0.5]))  # -(-3 + 2) / 2
    torch.testing.assert_close(slope, torch.tensor([[-1.5, 0.5]]))
