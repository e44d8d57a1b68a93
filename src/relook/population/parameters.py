"""The parameters of one optimiser group, for all agents."""

import warnings
from collections.abc import Iterator, Mapping
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

ALIGNMENT = 16
"""Tensors start at multiples of 16 floats (64 bytes), so that every agent's weights are aligned in memory like those
of an agent alone: matrix libraries may choose another path for another alignment."""

# Columns of a matrix are not one dense block of memory, and torch says once that this may be slow for gradients. It is
# what lets an optimiser treat all tensors as one matrix, which saves far more.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


class Parameters:
    """θ [A, P]: one row per agent, with named tensors [A, …] as views of it, and ∂θ [A, P] with their gradients.

    `self["name"]` is a leaf that requires a gradient. `backward()` adds into `gradient` through those leaves, and an
    optimiser works on `theta` and `gradient` as two matrices.
    """

    def __init__(self, agents: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        columns = {name: -(-prod(shape) // ALIGNMENT) * ALIGNMENT for name, shape in shapes.items()}
        self.theta: Float[Tensor, "A P"] = torch.zeros(agents, sum(columns.values()))
        self.gradient: Float[Tensor, "A P"] = torch.zeros_like(self.theta)
        self._tensors: dict[str, Tensor] = {}
        start = 0
        for name, shape in shapes.items():
            view, gradient = (
                matrix[:, start : start + prod(shape)].view(agents, *shape) for matrix in (self.theta, self.gradient)
            )
            self._tensors[name] = view.requires_grad_()
            self._tensors[name].grad = gradient
            start += columns[name]

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    @torch.no_grad()
    def set(self, name: str, value: Tensor) -> None:
        """Overwrite one tensor [A, …]."""
        self._tensors[name].copy_(value)

    def zero_gradient(self) -> None:
        """Forget the gradients; they are views of one matrix, so that they must be cleared in place."""
        self.gradient.zero_()
