r"""Log-probabilities, entropies and samples of the distributions that policies use.

Samples are functions of noise that is handed in, so that they can be drawn again. Log-probabilities and entropies of an
action's components, the last axis of an action, are summed: the components are independent.

Two of the functions carry their own gradient. It is a line of algebra, and recording a dozen small operations to replay
them backwards would take most of the time of a gradient step with small networks.
"""

from math import e, log, pi
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def categorical_sample(logits: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """The category in which a uniform number of [0, 1) falls: inversion of the distribution function.

    The last categories may be impossible (probability 0): on the scale of the sum of all, which need not be 1, the
    number stays below them.
    """
    cumulative = (logits - logits.amax(-1, keepdim=True)).exp().cumsum(-1)
    return (uniform.unsqueeze(-1) * cumulative[..., -1:] >= cumulative).sum(-1)


def categorical_log_prob_and_entropy(
    logits: Float[Tensor, "*batch K n"], category: Int[Tensor, "*batch K"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Σ_k log p_k(category_k), and the entropy Σ_k H_k with H = -Σ p log p in nats, of K independent choices."""
    return _Categorical.apply(logits, category)  # type: ignore[no-untyped-call,no-any-return]  # torch has no types


class _Categorical(torch.autograd.Function):
    """∂ log p(i) / ∂ logits = [i = j] - p_j and ∂ H / ∂ logits = -p_j (log p_j + H)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, category: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        log_p = torch.log_softmax(logits, -1)
        p = log_p.exp()
        entropies = -(p * log_p).sum(-1)
        index = category.unsqueeze(-1)
        ctx.save_for_backward(log_p, p, entropies, index)
        return log_p.gather(-1, index).squeeze(-1).sum(-1), entropies.sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor | None, of_entropy: Tensor | None) -> tuple[Tensor, None]:
        log_p, p, entropies, index = ctx.saved_tensors
        gradient = torch.zeros_like(p)
        if of_log_prob is not None:
            of_log_prob = of_log_prob[..., None, None]
            gradient = (p * -of_log_prob).scatter_add_(-1, index, of_log_prob.expand(index.shape))
        if of_entropy is not None:
            gradient -= of_entropy[..., None, None] * p * (log_p + entropies.unsqueeze(-1))
        return gradient, None


def gaussian_log_prob(
    x: Float[Tensor, "*batch d"], mean: Float[Tensor, "*batch d"], log_std: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*batch"]:
    """Log density of a diagonal Gaussian: Σ -½ z² - log σ - ½ log 2π over its d components, with z = (x - mean) / σ."""
    return _Gaussian.apply(x, mean, log_std)  # type: ignore[no-untyped-call,no-any-return]  # torch has no types


class _Gaussian(torch.autograd.Function):
    """∂ log p / ∂ mean = z / σ = -∂ log p / ∂ x and ∂ log p / ∂ log σ = z² - 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        inverse = (-log_std).exp()
        z = (x - mean) * inverse
        ctx.save_for_backward(z, inverse)
        return -(0.5 * z.square() + log_std).sum(-1) - 0.5 * log(2 * pi) * x.shape[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, inverse = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        of_mean = gradient * z * inverse
        of_log_std = gradient * (z.square() - 1)
        return -of_mean, of_mean, of_log_std.sum_to_size(inverse.shape)


def gaussian_entropy(log_std: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Differential entropy of a diagonal Gaussian, in nats: ½ log(2πe σ²), summed over its d components."""
    return (log_std + 0.5 * log(2 * pi * e)).sum(-1)
