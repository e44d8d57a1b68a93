r"""Log-probabilities, entropies and samples of the distributions that policies use.

Samples are functions of noise that is handed in, so that they can be drawn again. The last axis is the action's:
log-probabilities of its components are summed over it.
"""

from math import log, pi

import torch
from jaxtyping import Float, Int
from torch import Tensor


def log_softmax(logits: Float[Tensor, "... n"]) -> Float[Tensor, "... n"]:
    """Log p of a categorical distribution from its unnormalised logits."""
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def categorical_sample(log_p: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """The category in which a uniform number of [0, 1) falls: inversion of the distribution function."""
    cumulative = log_p.exp().cumsum(-1)
    # Rounding can leave the sum of the probabilities below a uniform number that is almost 1, and the last categories
    # may be impossible: on the scale of that sum the number stays below it.
    return (uniform.unsqueeze(-1) * cumulative[..., -1:] >= cumulative).sum(-1)


def categorical_log_prob(log_p: Float[Tensor, "*batch n"], category: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Log p(category)."""
    return log_p.gather(-1, category.unsqueeze(-1)).squeeze(-1)


def categorical_entropy(log_p: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """-Σ p log p, in nats."""
    return -(log_p.exp() * log_p).sum(-1)


def gaussian_log_prob(
    x: Float[Tensor, "*batch d"], mean: Float[Tensor, "*batch d"], log_std: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*batch"]:
    """Log density of a diagonal Gaussian, summed over its d components."""
    z = (x - mean) * (-log_std).exp()
    return -(0.5 * z.square() + log_std).sum(-1) - 0.5 * log(2 * pi) * x.shape[-1]


def gaussian_entropy(log_std: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Differential entropy of a diagonal Gaussian, in nats: ½ log(2πe σ²), summed over its d components."""
    return (log_std + 0.5 * log(2 * pi * torch.e)).sum(-1)
