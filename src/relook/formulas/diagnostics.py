"""How good value estimates are, from a rollout."""

import torch
from jaxtyping import Float
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
