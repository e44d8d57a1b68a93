"""Multi-layer perceptrons, one or several for each agent, computed together."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from relook.errors import WrongRequest
from relook.population import Agents, Parameters, linear, pad_rows, padded_width, stream
from relook.population.layers import add_linear_gradient, linear_input_gradient
from relook.population.parameters import Shapes


class Activation(NamedTuple):
    """A function that is applied in place, and its derivative: (gradient of the output, output) → of the input."""

    apply: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]


ACTIVATIONS = {
    "tanh": Activation(torch.tanh_, torch.ops.aten.tanh_backward),
    "relu": Activation(torch.relu_, lambda gradient, y: torch.ops.aten.threshold_backward(gradient, y, 0)),
}
"""Both map 0 to 0, which keeps the units that pad a width silent; and both are bit-exact at every length."""


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
        self.activation, self._output_gains = ACTIVATIONS[activation], tuple(output_gains)
        self._widths = [(inputs, *hidden, width) for width in outputs]
        stored = (inputs, *(padded_width(width) for width in hidden), max(outputs))
        self.layers = range(len(stored) - 1)
        self.own: dict[str, Shapes] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for i, (rows, columns) in enumerate(pairwise(stored)):
            self.shapes[f"{i}/weight"] = (rows, columns)
            self.shapes[f"{i}/bias"] = (columns,)

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
        views = {}
        for g, (group, widths) in enumerate(zip(self.groups, self._widths, strict=True)):
            for i, (rows, columns) in enumerate(pairwise(widths)):
                views[f"{group}/{i}/weight"] = parameters[f"{i}/weight"].detach()[:, g, :rows, :columns]
                views[f"{group}/{i}/bias"] = parameters[f"{i}/bias"].detach()[:, g, :columns]
        return views

    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> tuple[Float[Tensor, "A B _"], ...]:
        """The output [A, B, O] of each group, O being that group's."""
        return _Forward.apply(self, parameters, parameters["0/bias"], x)  # type: ignore[no-untyped-call,no-any-return]  # torch has no types

    @torch.no_grad()
    def one(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A B O"]:
        """The output of one group's networks alone, without gradients; O is that group's."""
        g = self.groups.index(group)
        weights, biases = (
            [layer[g :: len(self.groups)] for layer in part] for part in self._layers(parameters.theta_of)
        )
        output, _ = self.forward(pad_rows(x), weights, biases)
        return output[:, : x.shape[1], : self.outputs[g]]

    def _layers(self, rows: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Weights [A·G, I, O] and biases [A·G, 1, O] of all layers."""
        return [rows[f"{i}/weight"] for i in self.layers], [rows[f"{i}/bias"] for i in self.layers]

    def forward(self, x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The output [M, B, O] of M networks for x [M, B, I], and the input of every layer."""
        inputs = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(self.activation.apply(linear(inputs[-1], weight, bias)))
        return linear(inputs[-1], weights[-1], biases[-1]), inputs


class _Forward(torch.autograd.Function):
    """The forward pass and its gradient, written out: half the time of recording and replaying each operation.

    `backward` adds the gradients of the parameters to `parameters.gradient` itself.
    """

    @staticmethod
    def forward(ctx: Any, mlp: MLP, parameters: Parameters, leaf: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """`leaf` stands for all parameters: it makes torch ask for the gradient."""
        (agents, rows, _), groups = x.shape, len(mlp.groups)
        weights, biases = mlp._layers(parameters.theta_of)
        repeated = torch.stack([pad_rows(x)] * groups, 1).flatten(0, 1)
        output, inputs = mlp.forward(repeated, weights, biases)
        ctx.mlp, ctx.parameters, ctx.rows, ctx.shape = mlp, parameters, rows, (agents, groups, *output.shape[1:])
        ctx.save_for_backward(*inputs, *weights)
        parts = zip(output.view(ctx.shape).unbind(1), mlp.outputs, strict=True)
        return tuple(part if part.shape[1:] == (rows, width) else part[:, :rows, :width] for part, width in parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mlp, saved, rows = ctx.mlp, ctx.saved_tensors, ctx.rows
        inputs, weights = saved[: len(mlp.layers)], saved[len(mlp.layers) :]
        of_weights, of_biases = mlp._layers(ctx.parameters.gradient_of)
        height, width = ctx.shape[2:]
        whole = [part if part.shape[2] == width else pad(part, (0, width - part.shape[2])) for part in gradients]
        gradient = torch.stack(whole, 1).flatten(0, 1)
        if rows < height:
            gradient = pad(gradient, (0, 0, 0, height - rows))
        for i in reversed(mlp.layers):
            add_linear_gradient(inputs[i], gradient, of_weights[i], of_biases[i])
            if i > 0:
                gradient = mlp.activation.backward(linear_input_gradient(gradient, weights[i]), inputs[i])
        if not ctx.needs_input_grad[3]:
            return None, None, None, None
        of_input = linear_input_gradient(gradient, weights[0]).view(*ctx.shape[:3], -1)
        return None, None, None, of_input[:, :, :rows].sum(1)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix whose shorter side's vectors are orthonormal, uniformly distributed (QR with the signs of R fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)
