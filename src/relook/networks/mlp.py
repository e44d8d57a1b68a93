"""Multi-layer perceptrons, one for each agent, computed together."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relook.errors import WrongRequest
from relook.population import Agents, Parameters, linear, pad_rows, padded_width, stream

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}
"""Both map 0 to 0, which keeps the units that pad a width silent; and both are bit-exact at every length."""


class MLP:
    """input → hidden layers with an activation → linear output.

    The network does not own its parameters: it says which tensors it needs (`shapes`), and is called with the
    `Parameters` that hold them under these names, so that an optimiser group can hold several networks.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        activation: str = "tanh",
        output_gain: float = 1.0,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise WrongRequest(f"expected an activation among {', '.join(ACTIVATIONS)}; found {activation!r}")
        if any(width < 1 for width in hidden):
            raise WrongRequest(f"expected hidden layers of at least one unit; found {list(hidden)}")
        self.name = name
        self.activation = ACTIVATIONS[activation]
        self.output_gain = output_gain
        self.widths = (inputs, *hidden, outputs)
        stored = (inputs, *(padded_width(width) for width in hidden), outputs)
        self.layers = [f"{name}/{i}" for i in range(len(stored) - 1)]
        self.shapes: dict[str, tuple[int, ...]] = {}
        for layer, (rows, columns) in zip(self.layers, pairwise(stored), strict=True):
            self.shapes[f"{layer}/weight"] = (rows, columns)
            self.shapes[f"{layer}/bias"] = (columns,)

    def initialise(self, parameters: Parameters, agents: Agents) -> None:
        """Orthogonal weights with gain √2 in hidden layers and `output_gain` at the output; zero biases.

        The orthogonal matrices of Saxe et al. 2014 (arXiv:1312.6120); the gains that PPO implementations share
        (Huang et al. 2022, "The 37 Implementation Details of PPO", detail 2).
        """
        for i, (layer, (rows, columns)) in enumerate(zip(self.layers, pairwise(self.widths), strict=True)):
            gain = self.output_gain if i == len(self.layers) - 1 else 2**0.5
            weight = torch.zeros(len(agents), *self.shapes[f"{layer}/weight"])
            for a, agent in enumerate(agents):
                rng = stream(agent.seed, f"initialise/{layer}")
                weight[a, :rows, :columns] = torch.from_numpy(gain * _orthogonal(rng, rows, columns))
            parameters.set(f"{layer}/weight", weight)

    def without_padding(self, name: str, tensor: Tensor) -> Tensor:
        """The part of one stored tensor [A, …] that the network uses."""
        layer, part = name.rsplit("/", 1)
        rows, columns = self.widths[(i := self.layers.index(layer)) : i + 2]
        return tensor[:, :rows, :columns] if part == "weight" else tensor[:, :columns]

    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A B O"]:
        rows = x.shape[1]
        x = pad_rows(x)
        for layer in self.layers[:-1]:
            x = self.activation(linear(x, parameters[f"{layer}/weight"], parameters[f"{layer}/bias"]))
        last = self.layers[-1]
        return linear(x, parameters[f"{last}/weight"], parameters[f"{last}/bias"])[:, :rows]


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A matrix whose shorter side's vectors are orthonormal, uniformly distributed (QR with the signs of R fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).astype(np.float32)
