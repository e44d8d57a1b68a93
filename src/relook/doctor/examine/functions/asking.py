"""What a check of a function asks, and how: it is called with made-up tensors, and what comes is compared."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from relook.doctor.findings import Check

Function = Callable[..., Tensor]
B = 24
"""Samples of a made-up batch."""
CLOSE = 1e-4


class Hazard(str):
    """What is not wrong yet: a warning."""


class Asking(Protocol):
    """A file of this room: the name of the functions that it asks, what they are handed, and what is wrong."""

    CHECK: Check
    NAME: str
    SIGNATURE: str

    def look(self, function: Function) -> Iterator[str]:
        """What was expected and what was found, for each thing that is wrong."""
        ...


def numbers(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def flags(seed: int, *shape: int, share: float = 0.3) -> Tensor:
    """True now and then."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def differs(what: str, found: Tensor, expected: Tensor, tolerance: float = CLOSE) -> Iterator[str]:
    """Say so if numbers are not as expected, or not of that shape."""
    x, y = found.detach().double(), expected.detach().double()
    if x.shape != y.shape:
        yield f"{what}: expected shape {list(y.shape)}; found {list(x.shape)}"
        return
    error = (x - y).abs().nan_to_num(torch.inf)
    if len(y.shape) == 0:
        if float(error) > tolerance * max(1.0, float(y.abs())):
            yield f"{what}: expected {float(y):.5g}; found {float(x):.5g}"
    elif float(error.max()) > tolerance * max(1.0, float(y.abs().max())):
        at = int(error.flatten().argmax())
        yield f"{what}: expected {float(y.flatten()[at]):.5g} at {at}; found {float(x.flatten()[at]):.5g}"


def of_a_loss(loss: Callable[..., Any], *columns: Tensor) -> Iterator[str]:
    """What every loss of a batch is: one number, the same in any order, and the same if each sample comes twice.

    Columns of which one has a dimension too many are refused, or warned of, or make no difference: else it is a hazard.
    """
    whole = loss(*columns)
    if whole.ndim:
        yield f"expected one number; found shape {list(whole.shape)}"
        return
    order = torch.arange(B - 1, -1, -1)
    yield from differs("with the samples in another order", loss(*(x[order] for x in columns)), whole)
    yield from differs("with every sample twice", loss(*(torch.cat([x, x]) for x in columns)), whole)
    for i in range(len(columns)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                odd = loss(*(x.unsqueeze(1) if i == j else x for j, x in enumerate(columns)))
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError, UserWarning):
            continue
        what = f"argument {i + 1} with shape ({B}, 1) among others with ({B}) to be refused, or to make no difference"
        yield from map(Hazard, differs(what, odd.mean(), whole))


def slopes(loss: Callable[..., Tensor], *columns: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A loss, and its slope by each column; zeros where there is none."""
    leaves = [x.clone().requires_grad_() for x in columns]
    value = loss(*leaves)
    if not value.requires_grad:
        return value, [torch.zeros_like(x) for x in leaves]
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    return value, [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]
