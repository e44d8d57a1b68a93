"""Moments of data, and of a stream of data that comes batch by batch."""

from jaxtyping import Bool, Float
from torch import Tensor, layer_norm


def moments(x: Float[Tensor, "A B ..."]) -> tuple[Float[Tensor, "A ..."], Float[Tensor, "A ..."]]:
    """Mean and (population) variance over the second axis.

    Two passes with plain means, because torch's own `var` and `std` can differ in the last bit between an agent alone
    and the same agent among others.
    """
    mean = x.mean(1)
    return mean, (x - mean.unsqueeze(1)).square().mean(1)


def normalised(x: Float[Tensor, "A B"]) -> Float[Tensor, "A B"]:
    """Each agent's numbers, its advantages for example, with mean 0 and standard deviation 1."""
    return layer_norm(x, x.shape[1:], eps=1e-16)


def beyond_rounding(mean: Float[Tensor, "..."], variance: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
    """Whether numbers with these moments differ by more than their rounding in float32."""
    return variance > 1e-12 * mean.square()


def merge_moments(
    count: float,
    mean: Float[Tensor, "..."],
    variance: Float[Tensor, "..."],
    batch_count: float,
    batch_mean: Float[Tensor, "..."],
    batch_variance: Float[Tensor, "..."],
) -> tuple[float, Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Count, mean and (population) variance of two sets of data together (Chan, Golub & LeVeque 1983, Eq. 2.1)."""
    total = count + batch_count
    difference = batch_mean - mean
    merged_mean = mean + difference * (batch_count / total)
    squares = variance * count + batch_variance * batch_count + difference**2 * (count * batch_count / total)
    return total, merged_mean, squares / total
