r"""Log-probabilities, entropies, their slopes, and samples of the distributions that policies use.

Samples are functions of noise that is handed in, so that they can be drawn again. Log-probabilities and entropies of an
action's components, the last axis of an action, are summed: the components are independent.

A slope is a derivative of a number that depends on them, a loss: `by_log_prob` is ∂L/∂log p, one for each sample, and
the functions called slopes go on from there by the chain rule.
"""

from math import e, log, pi

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def categorical_sample(logits: Float[Tensor, "*batch n"], uniform: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
    """The category in which a uniform number of [0, 1) falls: inversion of the distribution function.

    The last categories may be impossible (probability 0): on the scale of the sum of all, which need not be 1, the
    number stays below them. Logits that are NaN or infinite give category 0: the losses tell of them. In numpy, whose
    calls cost less than torch's for the few numbers of one step.
    """
    x = logits.numpy()
    cumulative = np.exp(x - x.max(-1, keepdims=True)).cumsum(-1)
    return torch.from_numpy((uniform.numpy()[..., None] * cumulative[..., -1:] >= cumulative).sum(-1))


def categorical_log_prob(
    log_p: Float[Tensor, "*batch K n"], category: Int[Tensor, "*batch K"]
) -> Float[Tensor, "*batch"]:
    """Σ_k log p_k(category_k) of K independent choices; `log_p` is log softmax of their logits."""
    return log_p.gather(-1, category.unsqueeze(-1)).sum((-2, -1))


def categorical_entropy(log_p: Float[Tensor, "*batch K n"]) -> Float[Tensor, "*batch"]:
    """Σ_k H_k of K independent choices, with H = -Σ p log p in nats."""
    return -(log_p.exp() * log_p).sum((-2, -1))


def categorical_slope(
    log_p: Float[Tensor, "*batch K n"],
    category: Int[Tensor, "*batch K"],
    by_log_prob: Float[Tensor, "*batch"],
    by_entropy: Float[Tensor, "*batch"] | None = None,
) -> Float[Tensor, "*batch K n"]:
    """∂L/∂logits from ∂L/∂log p(category) and ∂L/∂H.

    ∂ log p_c / ∂ logit_i = 1[i = c] - p_i, and ∂H / ∂ logit_i = -p_i (log p_i + H).
    """
    p, weight = log_p.exp(), by_log_prob[..., None, None]
    slope = (p * -weight).scatter_add_(-1, category.unsqueeze(-1), weight.expand(*category.shape, 1))
    if by_entropy is not None:
        entropy = -(p * log_p).sum(-1, keepdim=True)
        slope -= p * (log_p + entropy) * by_entropy[..., None, None]
    return slope


def categorical_kl(old: Float[Tensor, "*batch K n"], new: Float[Tensor, "*batch K n"]) -> Float[Tensor, "*batch"]:
    """KL(old ‖ new) = Σ p_old (log p_old - log p_new) of K independent choices, given log p of both."""
    return (old.exp() * (old - new)).sum((-2, -1))


def categorical_fisher(
    log_p: Float[Tensor, "*batch K n"], direction: Float[Tensor, "*batch K n"]
) -> Float[Tensor, "*batch K n"]:
    """F v of the logits, with the Fisher information F = diag(p) - p pᵀ of each choice."""
    p = log_p.exp()
    return p * (direction - (p * direction).sum(-1, keepdim=True))


def gaussian_log_prob(
    x: Float[Tensor, "*batch d"], mean: Float[Tensor, "*batch d"], log_std: Float[Tensor, "*#batch d"]
) -> Float[Tensor, "*batch"]:
    """Log density of a diagonal Gaussian: Σ -½ z² - log σ - ½ log 2π over its d components, with z = (x - mean) / σ."""
    z = (x - mean) * (-log_std).exp()
    return -(0.5 * z.square() + log_std).sum(-1) - 0.5 * log(2 * pi) * x.shape[-1]


def gaussian_slopes(
    x: Float[Tensor, "*batch d"],
    mean: Float[Tensor, "*batch d"],
    log_std: Float[Tensor, "*#batch d"],
    by_log_prob: Float[Tensor, "*batch"],
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d"]]:
    """∂L/∂mean and, for each sample, ∂L/∂log σ, from ∂L/∂log p(x).

    ∂ log p / ∂ mean = z / σ, and ∂ log p / ∂ log σ = z² - 1.
    """
    weight, precision = by_log_prob.unsqueeze(-1), (-log_std).exp()
    z = (x - mean) * precision
    return z * precision * weight, (z.square() - 1) * weight


def gaussian_entropy(log_std: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Differential entropy of a diagonal Gaussian, in nats: ½ log(2πe σ²), summed over its d components."""
    return (log_std + 0.5 * log(2 * pi * e)).sum(-1)


def gaussian_kl(
    old_mean: Float[Tensor, "*batch d"],
    old_log_std: Float[Tensor, "*#batch d"],
    mean: Float[Tensor, "*batch d"],
    log_std: Float[Tensor, "*#batch d"],
) -> Float[Tensor, "*batch"]:
    """KL(old ‖ new) of diagonal Gaussians: Σ log(σ/σ_old) + (σ_old² + (μ_old - μ)²) / 2σ² - ½."""
    ratio = 2 * (old_log_std - log_std)
    moved = (old_mean - mean) * (-log_std).exp()
    # expm1 keeps the difference of nearly equal σ, of which the terms are nearly ½ each.
    return 0.5 * (torch.expm1(ratio) - ratio + moved.square()).sum(-1)


# A squashed Gaussian: u = mean + σ ε with standard normal ε, and the action a = middle + half tanh(u), which stays
# inside its bounds. Its density follows from the change of variables, da/du = half (1 - tanh² u) (Haarnoja et al. 2018,
# arXiv:1812.05905, Appendix C).


def squashed_log_prob(
    u: Float[Tensor, "*batch d"],
    noise: Float[Tensor, "*batch d"],
    log_std: Float[Tensor, "*batch d"],
    half: Float[Tensor, " d"],
) -> Float[Tensor, "*batch"]:
    """Log density of the action middle + half tanh(u), where u = mean + σ `noise`, in units of the action.

    log(1 - tanh² u) is written as 2 (log 2 - |u| - log(1 + e^(-2|u|))), which keeps its digits where tanh is nearly ±1.
    """
    reach = u.abs()
    steepness = reach + torch.log1p(torch.exp(-2 * reach))  # log 2 - ½ log(1 - tanh² u)
    constant = half.log().sum() + (0.5 * log(2 * pi) + 2 * log(2)) * u.shape[-1]
    return (2 * steepness - log_std - 0.5 * noise.square()).sum(-1) - constant


def squashed_slopes(
    squashed: Float[Tensor, "*batch d"],
    noise: Float[Tensor, "*batch d"],
    std: Float[Tensor, "*batch d"],
    half: Float[Tensor, " d"],
    by_action: Float[Tensor, "*batch d"],
    by_log_prob: Float[Tensor, "*batch"],
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d"]]:
    """∂L/∂mean and ∂L/∂log σ of an action that was drawn with this noise, from ∂L/∂a and ∂L/∂log p(a).

    `squashed` is tanh(u). The noise stands still (the reparametrisation trick): ∂a/∂u = half (1 - tanh² u),
    ∂ log p/∂u = 2 tanh(u); ∂u/∂mean = 1, ∂u/∂log σ = σ ε; and log p holds -log σ itself.
    """
    weight = by_log_prob.unsqueeze(-1)
    by_u = by_action * half * (1 - squashed.square()) + 2 * squashed * weight
    return by_u, by_u * std * noise - weight
