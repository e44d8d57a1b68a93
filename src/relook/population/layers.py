"""Stacked layers, and the shapes under which an agent's numbers do not depend on who else is in the batch.

The shape rule: the batch rows of every matrix product are a multiple of 4, hidden widths are a multiple of 8, and a
layer with one input or one output is a product and a sum instead of a matrix product, its gradient too. Under it a
matrix library takes the same path for one agent as for many; without it agents that train together differ in the last
bit from agents alone.

Products that are made for one agent after another, as numpy's are, need no rule.

M counts networks: an agent may have several. `slope` is ∂L/∂(X W + b), of a loss L by what a layer gave.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

ROWS, WIDTH = 4, 8

NARROW = 16
"""Matrix libraries are slow with results of fewer columns than this, and quick when they are computed turned around:
for 64 units and 2 outputs six times."""

IN_PLACE = 2**14
"""From so many weights on it is quicker to write a product into the gradient matrix by matrix than to copy it there."""

LARGE = 2**22
"""Multiplications from which on a product is worth a second thread."""
_threads = [1]


def use_threads(number: int) -> None:
    """Let large matrix products of this process use so many threads, and everything else one.

    A product is cut into parts that are computed as they are on one thread, so that its bits stay the same.
    """
    _threads[0] = number


def _product(multiply: Callable[..., Tensor], *factors: Tensor) -> Tensor:
    """The product of the last two factors, M matrices each."""
    left, right = factors[-2:]
    if _threads[0] == 1 or left.numel() * right.shape[2] < LARGE:
        return multiply(*factors)
    torch.set_num_threads(_threads[0])
    try:
        return multiply(*factors)
    finally:
        torch.set_num_threads(1)


def padded_width(width: int) -> int:
    """The next multiple of 8. The extra units have zero weights, and as tanh(0) = relu(0) = 0 they stay at zero."""
    return -(-width // WIDTH) * WIDTH


def pad_rows(x: Float[Tensor, "A B D"]) -> Float[Tensor, "A B4 D"]:
    """Append rows of zeros until their number is a multiple of 4; the caller drops the rows that come out of them."""
    missing = -x.shape[1] % ROWS
    return pad(x, (0, 0, 0, missing)) if missing else x


def linear(
    x: Float[Tensor, "M B I"], weight: Float[Tensor, "M I O"], bias: Float[Tensor, "M _ O"]
) -> Float[Tensor, "M B O"]:
    """X W + b, for each network its own W and b; b may also be another for every row."""
    if weight.shape[1] == 1:
        return x * weight + bias
    if weight.shape[2] == 1:
        return (x * weight.transpose(1, 2)).sum(-1, keepdim=True) + bias
    if weight.shape[2] < NARROW:
        across = weight.transpose(1, 2).contiguous()
        return _product(torch.baddbmm, bias.transpose(1, 2), across, x.transpose(1, 2)).transpose(1, 2)
    return _product(torch.baddbmm, bias, x, weight)


def linear_slopes(
    x: Float[Tensor, "M B I"],
    slope: Float[Tensor, "M B O"],
    by_weight: Float[Tensor, "M I O"],
    by_bias: Float[Tensor, "M 1 O"],
) -> None:
    """Write ∂L/∂W and ∂L/∂b into memory that is there."""
    torch.sum(slope, 1, keepdim=True, out=by_bias)
    if 1 in by_weight.shape[1:]:
        torch.sum(x * slope, 1, out=by_weight.view(len(by_weight), -1))
    elif slope.shape[2] < NARROW:
        by_weight.copy_(_product(torch.bmm, slope.transpose(1, 2), x).transpose(1, 2))
    elif by_weight[0].numel() < IN_PLACE:
        by_weight.copy_(_product(torch.bmm, x.transpose(1, 2), slope))
    else:
        _product(partial(torch.bmm, out=by_weight), x.transpose(1, 2), slope)


def linear_slope_by_input(weight: Float[Tensor, "M I O"], slope: Float[Tensor, "M B O"]) -> Float[Tensor, "M B I"]:
    """∂L/∂X."""
    if weight.shape[2] == 1:
        return slope * weight.transpose(1, 2)
    if weight.shape[1] == 1:
        return (slope * weight).sum(-1, keepdim=True)
    if weight.shape[1] < NARROW:
        return _product(torch.bmm, weight, slope.transpose(1, 2)).transpose(1, 2)
    return _product(torch.bmm, slope, weight.transpose(1, 2))
