"""Multi-layer perceptrons, one or several for each agent, computed together."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

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
from relook.population.layers import ROWS

FEW = 64
"""Up to so many rows for each agent numpy is quicker than torch, because its calls cost less. Their results differ in
the last bits; which of the two it is follows from the rows alone, so that an agent gets the same in any company."""


class Activation(NamedTuple):
    """y = f(x), in place: for tensors and for arrays; and a loss's slope by x in place of its slope by y, from y."""

    tensors: Callable[[Tensor], Tensor]
    arrays: Callable[[NDArray[np.float32]], object]
    slope: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "tanh": Activation(
        torch.tanh_,
        lambda x: np.tanh(x, out=x),
        lambda slope, y: torch.ops.aten.tanh_backward.grad_input(slope, y, grad_input=slope),
    ),
    "relu": Activation(
        torch.relu_,
        lambda x: np.maximum(x, 0, out=x),
        lambda slope, y: torch.ops.aten.threshold_backward.grad_input(slope, y, 0.0, grad_input=slope),
    ),
}
"""Both map 0 to 0, which keeps the units that pad a width silent; and both are bit-exact at every length."""


INITIALISATIONS = ("orthogonal", "uniform")

Backward = Callable[[Sequence[Tensor]], None]
"""Takes the slopes [A, B, O] of a loss by the outputs of some networks, and writes its slope by θ into ∂θ."""


class Linearised(NamedTuple):
    """A network at one input, with its derivatives until θ moves: as often as wanted."""

    output: Float[Tensor, "A B O"]
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by θ into ∂θ, from its slope [A, B, O] by the output."""
    forward: Callable[[Mapping[str, Tensor]], Tensor]
    """J v: how the output [A, B, O] moves when θ moves along a direction, given as its tensors [A, …] by name."""
    by_input: Callable[[Tensor, int], Tensor]
    """`by_input(slope, i)`: a loss's slope [A, B, I - i] by the inputs from number i on, from its slope [A, B, O] by
    the output; ∂θ stays as it is."""


class Together(NamedTuple):
    """The networks of all groups at one input, with their derivatives until θ moves."""

    output: Float[Tensor, "A G B O"]
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by θ into ∂θ, from its slope [A, G, B, O] by the outputs."""
    by_input: Callable[[Tensor, int], Tensor]
    """As in `Linearised`, from a loss's slope [A, G, B, O] by the outputs."""


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
        initialisation: str = "orthogonal",
    ) -> None:
        """`outputs` and `output_gains` hold a value for each group."""
        if activation not in ACTIVATIONS:
            raise WrongRequest(f"expected an activation among {', '.join(ACTIVATIONS)}; found {activation!r}")
        if initialisation not in INITIALISATIONS:
            raise WrongRequest(
                f"expected an initialisation among {', '.join(INITIALISATIONS)}; found {initialisation!r}"
            )
        if any(width < 1 for width in hidden):
            raise WrongRequest(f"expected hidden layers of at least one unit; found {list(hidden)}")
        self.groups, self.outputs = tuple(groups), tuple(outputs)
        self._activation = ACTIVATIONS[activation]
        self._output_gains = tuple(output_gains)
        self._initialisation = initialisation
        self._widths = [(inputs, *hidden, width) for width in outputs]
        stored = (inputs, *(padded_width(width) for width in hidden), max(outputs))
        self.layers = range(len(stored) - 1)
        self.own: dict[str, Shapes] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for i, (rows, columns) in enumerate(pairwise(stored)):
            self.shapes[f"{i}/weight"] = (rows, columns)
            self.shapes[f"{i}/bias"] = (1, columns)

    def initialise(self, parameters: Parameters, agents: Agents) -> None:
        """`orthogonal`: such weights, with gain √2 in hidden layers and the group's gain at the output; zero biases.

        The orthogonal matrices of Saxe et al. 2014 (arXiv:1312.6120); the gains that PPO implementations share
        (Huang et al. 2022, "The 37 Implementation Details of PPO", detail 2).

        `uniform`: weights and biases between ±1/√inputs, which is how torch's own linear layers start.
        """
        for name, part in self.learned(parameters).items():
            group, layer, kind = name.split("/")
            if kind == "bias" and self._initialisation == "orthogonal":
                continue
            last = int(layer) == self.layers[-1]
            gain = self._output_gains[self.groups.index(group)] if last else 2**0.5
            for a, agent in enumerate(agents):
                if self._initialisation == "orthogonal":
                    rng = stream(agent.seed, f"initialise/{group}/{layer}")
                    drawn = gain * _orthogonal(rng, *part.shape[1:])
                else:
                    rng = stream(agent.seed, f"initialise/{name}")
                    reach = self._widths[0][int(layer)] ** -0.5
                    drawn = rng.uniform(-reach, reach, part.shape[1:]).astype(np.float32)
                part[a] = torch.from_numpy(drawn)

    def learned(self, parameters: Parameters) -> dict[str, Tensor]:
        """Views [A, …] of the tensors of each group, `group/layer/weight` and `group/layer/bias`, without padding."""
        views: dict[str, Tensor] = {}
        for g, (group, widths) in enumerate(zip(self.groups, self._widths, strict=True)):
            for i, (rows, columns) in enumerate(pairwise(widths)):
                weight, bias = (parameters.of_group(f"{i}/{part}", g) for part in ("weight", "bias"))
                views |= {f"{group}/{i}/weight": weight[:, :rows, :columns], f"{group}/{i}/bias": bias[:, 0, :columns]}
        return views

    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> tuple[tuple[Tensor, ...], Backward]:
        """The output [A, B, O] of each group, O being that group's, and the way back."""
        rows, together = x.shape[1], self._together(parameters, x)

        def backward(slopes: Sequence[Tensor]) -> None:
            slope = torch.zeros_like(together.output)
            for g, (of_group, width) in enumerate(zip(slopes, self.outputs, strict=True)):
                slope[:, g, :rows, :width] = of_group
            together.backward(slope)

        parts = together.output.unbind(1)
        return tuple(part[:, :rows, :width] for part, width in zip(parts, self.outputs, strict=True)), backward

    def together(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> Together:
        """The outputs of all groups, which are of equal width here, as one tensor."""
        rows, padded = x.shape[1], self._together(parameters, x)
        if rows % ROWS == 0:
            return padded
        missing = padded.output.shape[2] - rows

        def fill(slope: Tensor) -> Tensor:
            return pad(slope, (0, 0, 0, missing))

        return Together(
            padded.output[:, :, :rows],
            lambda slope: padded.backward(fill(slope)),
            lambda slope, first: padded.by_input(fill(slope), first)[:, :rows],
        )

    def _together(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> Together:
        agents, groups = len(x), len(self.groups)
        passed = _Pass(
            self._activation,
            torch.stack([pad_rows(x)] * groups, 1).flatten(0, 1),
            [parameters.of_all(name) for name in self.shapes],
            [parameters.gradient_of(name) for name in self.shapes],
        )

        def by_input(slope: Tensor, first: int) -> Tensor:
            by_group: Tensor = passed.by_input(slope.flatten(0, 1), first).unflatten(0, (agents, groups))
            return by_group.sum(1)

        output = passed.output.unflatten(0, (agents, groups))
        return Together(output, lambda slope: passed.by_theta(slope.flatten(0, 1)), by_input)

    def linearised(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Linearised:
        """One group's network alone, with its derivative by θ."""
        g, rows, width = self.groups.index(group), x.shape[1], self.outputs[self.groups.index(group)]
        tensors = [parameters.of_group(name, g) for name in self.shapes]
        gradients = [parameters.gradient_of_group(name, g) for name in self.shapes]
        passed = _Pass(self._activation, pad_rows(x), tensors, gradients)

        def stored(of_output: Tensor) -> Tensor:
            slope = torch.zeros_like(passed.output)
            slope[:, :rows, :width] = of_output
            return slope

        def forward(direction: Mapping[str, Tensor]) -> Tensor:
            return passed.forward([direction[name] for name in self.shapes])[:, :rows, :width]

        return Linearised(
            passed.output[:, :rows, :width],
            lambda slope: passed.by_theta(stored(slope)),
            forward,
            lambda slope, first: passed.by_input(stored(slope), first)[:, :rows],
        )

    def values(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A G B O"]:
        """The outputs of all groups, of equal width, without gradients."""
        return self.together(parameters, x).output

    def hidden(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> list[Float[Tensor, "A B _"]]:
        """What the hidden units of all groups answer, layer by layer, without padding."""
        agents, groups, rows = len(x), len(self.groups), x.shape[1]
        passed = _Pass(
            self._activation,
            torch.stack([pad_rows(x)] * groups, 1).flatten(0, 1),
            [parameters.of_all(name) for name in self.shapes],
            [],
        )
        return [
            layer.unflatten(0, (agents, groups))[:, :, :rows, :width].transpose(1, 2).flatten(2)
            for layer, width in zip(passed.inputs[1:], self._widths[0][1:-1], strict=True)
        ]

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
        tensors = [parameters.of_group(name, g) for name in self.shapes]
        output = _Pass(self._activation, pad_rows(x), tensors, []).output
        return output[:, : x.shape[1], : self.outputs[g]]


class _Pass:
    """One pass through M networks, whose weights [M, I, O] and biases [M, 1, O] alternate, and its derivatives.

    They are written out: where networks are small, autograd's book-keeping takes longer than their matrices. To be
    used without gradients.
    """

    def __init__(
        self, activation: Activation, x: Float[Tensor, "M B I"], tensors: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> None:
        """`gradients` are where the slopes by `tensors` go."""
        self._slope, self._tensors, self._gradients = activation.slope, tensors, gradients
        self.inputs = [x]
        """What each layer was given [M, B, I]."""
        for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            self.inputs.append(activation.tensors(linear(self.inputs[-1], weight, bias)))
        self.output: Float[Tensor, "M B O"] = linear(self.inputs[-1], tensors[-2], tensors[-1])

    def by_theta(self, slope: Float[Tensor, "M B O"]) -> None:
        """Write a loss's slope by the tensors into the gradients, from its slope by the output."""
        for i in reversed(range(len(self.inputs))):
            linear_slopes(self.inputs[i], slope, *self._gradients[2 * i : 2 * i + 2])
            if i:
                slope = self._slope(linear_slope_by_input(self._tensors[2 * i], slope), self.inputs[i])

    def by_input(self, slope: Float[Tensor, "M B O"], first: int = 0) -> Float[Tensor, "M B _"]:
        """A loss's slope by the inputs from the number `first` on, from its slope by the output."""
        for i in reversed(range(1, len(self.inputs))):
            slope = self._slope(linear_slope_by_input(self._tensors[2 * i], slope), self.inputs[i])
        return linear_slope_by_input(self._tensors[0][:, first:], slope)

    def forward(self, direction: Sequence[Tensor]) -> Float[Tensor, "M B O"]:
        """How the output moves when the tensors move along a direction."""
        moved = linear(self.inputs[0], direction[0], direction[1])
        for i in range(1, len(self.inputs)):
            moved = self._slope(moved, self.inputs[i])  # by what goes into layer i
            by_theta = linear(self.inputs[i], direction[2 * i], direction[2 * i + 1])
            moved = linear(moved, self._tensors[2 * i], by_theta)
        return moved


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix whose shorter side's vectors are orthonormal, uniformly distributed (QR with the signs of R fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)
