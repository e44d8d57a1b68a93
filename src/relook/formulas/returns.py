r"""Advantages and value targets from rewards and value estimates.

`terminated` and `truncated` are two different things and stay two arguments. At a termination nothing follows: the
value of the next state is 0. At a truncation (a time limit) the episode would have gone on: the next state keeps its
value, but what the buffer holds next belongs to another episode. Ends of either kind stop the recursion.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.formulas.shapes import expand


def gae(
    reward: Float[Tensor, "A T N"],
    value: Float[Tensor, "A T N"],
    next_value: Float[Tensor, "A T N"],
    terminated: Bool[Tensor, "A T N"],
    truncated: Bool[Tensor, "A T N"],
    discount: Float[Tensor, " A"],
    lam: Float[Tensor, " A"],
) -> Float[Tensor, "A T N"]:
    r"""Generalised advantage estimates (Schulman et al. 2016, arXiv:1506.02438, Eq. 16).

    δ_t = r_t + γ V(s_{t+1}) - V(s_t), with V(s_{t+1}) = 0 after a termination,
    Â_t = δ_t + γλ Â_{t+1}, with Â_{t+1} = 0 after a termination or a truncation.

    `next_value[:, t]` is the value of the state that step t led to: at an end the final state, never the state after
    the reset. λ = 0 gives the one-step TD error, λ = 1 the discounted return minus the value. Â + V is the
    λ-return, the usual value target.
    """
    gamma = expand(discount, 3)
    delta = reward + gamma * torch.where(terminated, 0.0, next_value) - value
    decay = torch.where(terminated | truncated, 0.0, gamma * expand(lam, 3))
    advantage = torch.empty_like(delta)
    following = torch.zeros_like(delta[:, 0])
    for t in reversed(range(delta.shape[1])):
        following = delta[:, t] + decay[:, t] * following
        advantage[:, t] = following
    return advantage


def reward_to_go(
    reward: Float[Tensor, "A T N"],
    end: Bool[Tensor, "A T N"],
    beyond: Float[Tensor, "A T N"],
    discount: Float[Tensor, " A"],
) -> Float[Tensor, "A T N"]:
    r"""The discounted return from each step to the end of its episode (Sutton & Barto 2018, Eq. 3.8).

    G_t = r_t + γ G_{t+1}, and at an end G_t = r_t + γ times what lies `beyond` it: 0 after a termination, and after
    a truncation V of the state that it led to, if there is a V. Without an end, G_t is what was got so far.
    """
    gamma = expand(discount, 3)
    total = torch.empty_like(reward)
    following = torch.zeros_like(reward[:, 0])
    for t in reversed(range(reward.shape[1])):
        following = reward[:, t] + gamma[:, 0] * torch.where(end[:, t], beyond[:, t], following)
        total[:, t] = following
    return total


def td_target(
    reward: Float[Tensor, "A B"],
    next_value: Float[Tensor, "A B"],
    terminated: Bool[Tensor, "A B"],
    discount: Float[Tensor, "A B"],
) -> Float[Tensor, "A B"]:
    """R + γ V(s'), with V(s') = 0 after a termination (Watkins & Dayan 1992; Sutton & Barto 2018, Eq. 6.8).

    `next_value` is the value of the state that was reached: at an end the final state, so that a truncation keeps its
    bootstrap. Over m steps, `reward` is r₀ + γ r₁ + … + γᵐ⁻¹ rₘ₋₁, and `discount` γᵐ (Eq. 7.1).
    """
    return reward + discount * torch.where(terminated, 0.0, next_value)


def squared_error(
    q: Float[Tensor, "A G B"], target: Float[Tensor, "A B"]
) -> tuple[Float[Tensor, "A G B"], Float[Tensor, "A G B"]]:
    """(Q - y)² of G critics with one target, and the slope by Q of its mean over samples, summed over the critics."""
    error = q - target.unsqueeze(1)
    return error.square(), error * (2 / error.shape[2])
