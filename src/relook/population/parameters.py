"""The parameters of all agents as one block of memory."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from relook.population.state import restore

Shapes = Mapping[str, tuple[int, ...]]

ALIGNMENT = 16
"""Tensors start at multiples of 16 floats (64 bytes), so that every agent's weights are aligned in memory like those
of an agent alone: matrix libraries may choose another path for another alignment."""


class Parameters:
    """θ [A, G, P]: for each agent G groups of P numbers, with named tensors as views, and ∂θ [A, G, P] likewise.

    A group is what an optimiser clips, masks and steps as one: the policy, the value function. Tensors that every group
    has are stacked, [A·G, …] with an agent's groups side by side, so that what they compute is one computation; tensors
    of one group only are [A, …].

    Whoever computes a loss's slope by θ overwrites all that a group has in `gradient` (`gradient_of`), and an optimiser
    works on the rows of `theta` and `gradient`. `self["name"]` is a leaf that requires a gradient, for autograd, which
    adds into `gradient`.
    """

    def __init__(
        self,
        agents: int,
        groups: Sequence[str],
        shapes: Shapes,
        own: Mapping[str, Shapes] | None = None,
    ) -> None:
        """`shapes`: what every group has; `own`: what one group has beside it, by the group's name."""
        self.groups = tuple(groups)
        own = own or {}
        self._shapes, self._own = shapes, own
        common = sum(map(_stored, shapes.values()))
        width = common + max(sum(map(_stored, own.get(group, {}).values())) for group in self.groups)
        self.theta: Float[Tensor, "A G P"] = torch.zeros(agents, len(self.groups), width)
        self.gradient: Float[Tensor, "A G P"] = torch.zeros_like(self.theta)
        self._tensors: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._of_all: dict[str, Tensor] = {}
        self._of_group: dict[str, list[Tensor]] = {}
        self._gradient_of_group: dict[str, list[Tensor]] = {}
        self._columns: dict[str, dict[str, tuple[slice, tuple[int, ...]]]] = {group: {} for group in self.groups}
        self._arrays: dict[str, list[NDArray[np.float32]]] = {}
        everywhere: int | slice = slice(None)
        self._add(shapes, everywhere, 0)
        for name in shapes:
            self._of_all[name] = self._tensors[name].detach()
            self._of_group[name] = [self._of_all[name][g :: len(self.groups)] for g in range(len(groups))]
            self._gradient_of_group[name] = [self._gradients[name][g :: len(self.groups)] for g in range(len(groups))]
            self._arrays[name] = [part.numpy() for part in self._of_group[name]]
        for group, more in own.items():
            self._add(more, self.groups.index(group), common)

    def _add(self, shapes: Shapes, group: int | slice, start: int) -> None:
        for name, shape in shapes.items():
            columns = slice(start, start + prod(shape))
            theta, gradient = (block[:, group, columns] for block in (self.theta, self.gradient))
            self._tensors[name] = theta.view(-1, *shape).requires_grad_()
            self._tensors[name].grad = self._gradients[name] = gradient.view(-1, *shape)
            for owner in self.groups if isinstance(group, slice) else [self.groups[group]]:
                self._columns[owner][name] = columns, tuple(shape)
            start += _stored(shape)

    def copy(self) -> "Parameters":
        """The same numbers in memory of their own."""
        other = Parameters(len(self.theta), self.groups, self._shapes, self._own)
        other.theta.copy_(self.theta)
        return other

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def gradient_of(self, name: str) -> Tensor:
        """The gradient of one tensor: a view of `gradient`."""
        return self._gradients[name]

    def gradient_of_group(self, name: str, group: int) -> Tensor:
        """A view [A, …] of one group's share of the gradient of a tensor that every group has."""
        return self._gradient_of_group[name][group]

    def tensors_of(self, row: Float[Tensor, "A P"], group: str) -> dict[str, Tensor]:
        """Views [A, …] by name of rows that lie as a group's row of θ does: a direction in which it may move."""
        return {name: row[:, columns].view(-1, *shape) for name, (columns, shape) in self._columns[group].items()}

    def of_all(self, name: str) -> Tensor:
        """A tensor of all groups [A·G, …], without gradients."""
        return self._of_all[name]

    def of_group(self, name: str, group: int) -> Tensor:
        """A view [A, …] of one group's share of a tensor that every group has, without gradients."""
        return self._of_group[name][group]

    def array(self, name: str, group: int) -> NDArray[np.float32]:
        """`of_group` as an array: the same memory."""
        return self._arrays[name][group]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def state(self) -> dict[str, Tensor]:
        """θ [A, G, P]."""
        return {"theta": self.theta}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self.state(), state)

    @torch.no_grad()
    def set(self, name: str, value: Tensor) -> None:
        """Overwrite one tensor."""
        self._tensors[name].copy_(value)


def _stored(shape: tuple[int, ...]) -> int:
    return -(-prod(shape) // ALIGNMENT) * ALIGNMENT
