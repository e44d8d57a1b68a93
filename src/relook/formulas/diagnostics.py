"""How good value estimates are, and how much of a network is alive."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relook.formulas.normalisation import beyond_rounding, moments


def explained_variance(value: Float[Tensor, "A B"], target: Float[Tensor, "A B"]) -> Float[Tensor, " A"]:
    """1 - Var[target - value] / Var[target]: 1 is perfect, 0 is no better than a constant, NaN if targets are equal.

    It is blind to a constant error: `value_bias` sees that one.
    """
    mean, variance = moments(target)
    _, unexplained = moments(target - value)
    return torch.where(beyond_rounding(mean, variance), 1 - unexplained / variance, torch.nan)


def value_bias(value: Float[Tensor, "A B"], target: Float[Tensor, "A B"]) -> Float[Tensor, " A"]:
    """mean(value - target) / sd(target): positive if values are too high. NaN if targets are equal."""
    mean, variance = moments(target)
    return torch.where(beyond_rounding(mean, variance), (value - target).mean(1) / variance.sqrt(), torch.nan)


def monte_carlo_bias(
    value: Float[Tensor, "T A N"],
    reward: Float[Tensor, "T A N"],
    length: Int[Tensor, "A N"],
    terminated: Bool[Tensor, "A N"],
    discount: Float[Tensor, " A"],
) -> Float[Tensor, " A"]:
    """mean(V(s) - G) over all steps of N episodes, where G is the discounted return that came (Fujimoto et al. 2018,
    arXiv:1802.09477, Fig. 1): positive if values are too high.

    Episode n has the first `length` of the T steps. One that did not terminate goes on beyond its last step with that
    step's own estimate, whose bias thereby is not seen: the last step of it does not count.
    """
    within = torch.arange(len(value)).view(-1, 1, 1) < length
    last = torch.arange(len(value)).view(-1, 1, 1) == length - 1
    following, total = torch.zeros_like(value[0]), torch.zeros_like(value[0])
    for t in reversed(range(len(value))):
        come = reward[t] + discount.unsqueeze(1) * following
        following = torch.where(within[t], torch.where(last[t] & ~terminated, value[t], come), 0.0)
        total += torch.where(within[t], value[t] - following, 0.0)
    counted = (length - (~terminated).to(length.dtype)).clamp(min=0)
    return total.sum(1) / counted.sum(1)


def dormant(activations: Sequence[Float[Tensor, "A B _"]], threshold: float = 0.025) -> Float[Tensor, " A"]:
    """The share of hidden units that hardly ever answer: those with E|h| ≤ threshold × the mean E|h| of their layer.

    Sokar et al. 2023, arXiv:2302.12902, Definition 3.1. `activations` has the units' outputs for each hidden layer.
    """
    asleep = []
    for layer in activations:
        strength = layer.abs().mean(1)
        asleep.append(strength <= threshold * strength.mean(1, keepdim=True))
    return torch.cat(asleep, 1).float().mean(1)
