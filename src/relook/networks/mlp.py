"""Multi-layer perceptrons, one or several for each agent, computed together."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from relook.errors import WrongRequest
from relook.population import (
    Agents,
    Parameters,
    Shapes,
    linear,
    linear_slope_by_input,
    linear_slopes,
    pad_rows,
    padded_width,
    stream,
)

FEW = 64
"""Up to so many rows for each agent numpy is quicker than torch, because its calls cost less. Their results differ in
the last bits; which of the two it is follows from the rows alone, so that an agent gets the same in any company."""


class Activation(NamedTuple):
    """y = f(x), in place: for tensors and for arrays; and a loss's slope by x from its slope by y, and y itself."""

    tensors: Callable[[Tensor], Tensor]
    arrays: Callable[[NDArray[np.float32]], object]
    slope: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "tanh": Activation(torch.tanh_, lambda x: np.tanh(x, out=x), torch.ops.aten.tanh_backward),
    "relu": Activation(
        torch.relu_,
        lambda x: np.maximum(x, 0, out=x),
        lambda slope, y: torch.ops.aten.threshold_backward(slope, y, 0.0),
    ),
}
"""Both map 0 to 0, which keeps the units that pad a width silent; and both are bit-exact at every length."""


Backward = Callable[[Sequence[Tensor]], None]
"""Takes the slopes [A, B, O] of a loss by the outputs of some networks, and writes its slope by θ into ∂θ."""


class Linearised(NamedTuple):
    """The output of one network, and its derivative by θ in both directions."""

    output: Float[Tensor, "A B O"]
    backward: Callable[[Tensor], None]
    """vᵀJ: from a loss's slope [A, B, O] by the output to its slope by the group's θ, written into ∂θ."""
    forward: Callable[[Mapping[str, Tensor]], Tensor]
    """J v: how the output [A, B, O] moves when θ moves along a direction, given as its tensors [A, …] by name."""


class MLP:
    """input → hidden layers with an activation → linear output: for each agent one network for each group.

    The networks differ in the width of their output alone; they see the same input and are one computation. They do not
    own their parameters: they say which tensors they need (`shapes`), and are called with the `Parameters` that hold
    them under these names.
    """

    def __init__(
        self,
        groups: Sequence[str],
        inputs: int,
        hidden: tuple[int, ...],
        outputs: Sequence[int],
        *,
        activation: str = "tanh",
        output_gains: Sequence[float],
    ) -> None:
        """`outputs` and `output_gains` hold a value for each group."""
        if activation not in ACTIVATIONS:
            raise WrongRequest(f"expected an activation among {', '.join(ACTIVATIONS)}; found {activation!r}")
        if any(width < 1 for width in hidden):
            raise WrongRequest(f"expected hidden layers of at least one unit; found {list(hidden)}")
        self.groups, self.outputs = tuple(groups), tuple(outputs)
        self._activation = ACTIVATIONS[activation]
        self._output_gains = tuple(output_gains)
        self._widths = [(inputs, *hidden, width) for width in outputs]
        stored = (inputs, *(padded_width(width) for width in hidden), max(outputs))
        self.layers = range(len(stored) - 1)
        self.own: dict[str, Shapes] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for i, (rows, columns) in enumerate(pairwise(stored)):
            self.shapes[f"{i}/weight"] = (rows, columns)
            self.shapes[f"{i}/bias"] = (1, columns)

    def initialise(self, parameters: Parameters, agents: Agents) -> None:
        """Orthogonal weights with gain √2 in hidden layers and the group's `output_gain` at the output; zero biases.

        The orthogonal matrices of Saxe et al. 2014 (arXiv:1312.6120); the gains that PPO implementations share
        (Huang et al. 2022, "The 37 Implementation Details of PPO", detail 2).
        """
        for name, part in self.learned(parameters).items():
            if name.endswith("/bias"):
                continue
            group, layer, _ = name.split("/")
            last = int(layer) == self.layers[-1]
            gain = self._output_gains[self.groups.index(group)] if last else 2**0.5
            for a, agent in enumerate(agents):
                rng = stream(agent.seed, f"initialise/{group}/{layer}")
                part[a] = torch.from_numpy(gain * _orthogonal(rng, *part.shape[1:]))

    def learned(self, parameters: Parameters) -> dict[str, Tensor]:
        """Views [A, …] of the tensors of each group, `group/layer/weight` and `group/layer/bias`, without padding."""
        views: dict[str, Tensor] = {}
        for g, (group, widths) in enumerate(zip(self.groups, self._widths, strict=True)):
            for i, (rows, columns) in enumerate(pairwise(widths)):
                weight, bias = (parameters.of_group(f"{i}/{part}", g) for part in ("weight", "bias"))
                views |= {f"{group}/{i}/weight": weight[:, :rows, :columns], f"{group}/{i}/bias": bias[:, 0, :columns]}
        return views

    @torch.no_grad()
    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> tuple[tuple[Tensor, ...], Backward]:
        """The output [A, B, O] of each group, O being that group's, and the way back.

        The way back is written out: where networks are small, autograd's book-keeping takes longer than their matrices.
        """
        agents, rows, groups = len(x), x.shape[1], len(self.groups)
        inputs = [torch.stack([pad_rows(x)] * groups, 1).flatten(0, 1)]
        tensors = [parameters[name] for name in self.shapes]
        output = self._forward(inputs, tensors)

        @torch.no_grad()
        def backward(slopes: Sequence[Tensor]) -> None:
            slope = torch.zeros_like(output)
            by_group = slope.view(agents, groups, *slope.shape[1:])
            for g, (of_group, width) in enumerate(zip(slopes, self.outputs, strict=True)):
                by_group[:, g, :rows, :width] = of_group
            for i in reversed(self.layers):
                weight = tensors[2 * i]
                by_weight, by_bias = linear_slopes(inputs[i], weight, slope)
                parameters.gradient_of(f"{i}/weight").copy_(by_weight)
                parameters.gradient_of(f"{i}/bias").copy_(by_bias)
                if i:
                    slope = self._activation.slope(linear_slope_by_input(weight, slope), inputs[i])

        parts = output.view(agents, groups, *output.shape[1:]).unbind(1)
        return tuple(part[:, :rows, :width] for part, width in zip(parts, self.outputs, strict=True)), backward

    @torch.no_grad()
    def linearised(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Linearised:
        """One group's network alone, with its derivative by θ, as often as it is wanted until θ moves."""
        g, rows = self.groups.index(group), x.shape[1]
        width, inputs = self.outputs[g], [pad_rows(x)]
        tensors = [parameters.of_group(name, g) for name in self.shapes]
        output = self._forward(inputs, tensors)

        @torch.no_grad()
        def backward(of_output: Tensor) -> None:
            slope = torch.zeros_like(output)
            slope[:, :rows, :width] = of_output
            for i in reversed(self.layers):
                by_weight, by_bias = linear_slopes(inputs[i], tensors[2 * i], slope)
                parameters.gradient_of_group(f"{i}/weight", g).copy_(by_weight)
                parameters.gradient_of_group(f"{i}/bias", g).copy_(by_bias)
                if i:
                    slope = self._activation.slope(linear_slope_by_input(tensors[2 * i], slope), inputs[i])

        @torch.no_grad()
        def forward(direction: Mapping[str, Tensor]) -> Tensor:
            moved = linear(inputs[0], direction["0/weight"], direction["0/bias"])
            for i in self.layers[1:]:
                moved = self._activation.slope(moved, inputs[i])  # by what goes into layer i
                by_theta = linear(inputs[i], direction[f"{i}/weight"], direction[f"{i}/bias"])
                moved = linear(moved, tensors[2 * i], by_theta)
            return moved[:, :rows, :width]

        return Linearised(output[:, :rows, :width], backward, forward)

    def one(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A B O"]:
        """The output of one group's networks alone, without gradients; O is that group's."""
        g = self.groups.index(group)
        if x.shape[1] <= FEW:
            y = x.numpy()
            for i in self.layers:
                y = np.matmul(y, parameters.array(f"{i}/weight", g))  # agent by agent
                y += parameters.array(f"{i}/bias", g)
                if i < self.layers[-1]:
                    self._activation.arrays(y)
            return torch.from_numpy(y[..., : self.outputs[g]])
        with torch.no_grad():
            output = self._forward([pad_rows(x)], [parameters.of_group(name, g) for name in self.shapes])
        return output[:, : x.shape[1], : self.outputs[g]]

    def _forward(self, inputs: list[Tensor], tensors: Sequence[Tensor]) -> Float[Tensor, "M B O"]:
        """The output of M networks, whose weights [M, I, O] and biases [M, 1, O] alternate.

        `inputs` holds the first layer's input [M, B, I]; those of the others are appended to it.
        """
        for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            inputs.append(self._activation.tensors(linear(inputs[-1], weight, bias)))
        return linear(inputs[-1], tensors[-2], tensors[-1])


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix whose shorter side's vectors are orthonormal, uniformly distributed (QR with the signs of R fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)
