"""A user's own losses and updates, to be examined: relook doctor functions losses"""

import torch
from torch import Tensor
from torch.distributions import Normal


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    return Normal(mean, log_std.exp()).log_prob(action).sum(-1)


def advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    delta = reward + discount * ~terminated * next_value - value
    found, following = torch.zeros_like(delta), torch.zeros(())
    for t in reversed(range(len(delta))):
        following = delta[t] + discount * gae_lambda * ~(terminated[t] | truncated[t]) * following
        found[t] = following
    return found


def policy_loss(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float = 0.2) -> Tensor:
    assert log_prob.shape == old_log_prob.shape == advantage.shape
    ratio, advantage = (log_prob - old_log_prob.detach()).exp(), advantage.detach()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def value_loss(value: Tensor, target: Tensor) -> Tensor:
    assert value.shape == target.shape
    return (value - target.detach()).square().mean()
