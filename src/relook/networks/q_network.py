"""One value for each of an agent's actions: the network of DQN."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from relook.envs import Choices, Spaces
from relook.errors import WrongRequest
from relook.networks.mlp import MLP
from relook.population import Agents, Parameters, restore


class QEvaluation(NamedTuple):
    """What a network says of given observations."""

    value: Float[Tensor, "A B n"]
    """Q(s, ·)"""
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by θ into ∂θ, from its slope [A, B, n] by Q(s, ·)."""


class QNetwork:
    """Q(s, a) of every action a, as a multi-layer perceptron with an output for each.

    With `dueling` the last layer has V(s) as one more output, and Q = V + A - mean A over the actions (Wang et al.
    2016, arXiv:1511.06581, Eq. 9). There the two streams part before the last hidden layer, here after it.
    """

    stochastic = False
    """Its policy is the best action: there is no other way to act with it."""

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "relu",
        dueling: bool = False,
        initialisation: str = "orthogonal",
    ) -> None:
        kind = spaces.action.kind
        if not isinstance(kind, Choices) or len(kind.sizes) != 1:
            raise WrongRequest(f"expected one choice among actions, Discrete; found {spaces.action.space}")
        self.settings: dict[str, Any] = {
            "hidden": hidden,
            "activation": activation,
            "dueling": dueling,
            "initialisation": initialisation,
        }
        self.actions, self.dueling = kind.sizes[0], dueling
        self.network = MLP(
            ("q",),
            spaces.observation.size,
            hidden,
            (self.actions + dueling,),
            activation=activation,
            output_gains=(1.0,),
            initialisation=initialisation,
        )
        self.parameters = Parameters(len(agents), ("q",), self.network.shapes)
        self.network.initialise(self.parameters, agents)

    @np.errstate(all="ignore")  # a network that has diverged is told by its losses
    def q(self, observation: Float[Tensor, "A B D"], parameters: Parameters | None = None) -> Float[Tensor, "A B n"]:
        """Q(s, ·) without gradients, with these parameters or its own."""
        return self._combined(self.network.one(parameters or self.parameters, "q", observation))

    def _combined(self, output: Float[Tensor, "A B O"]) -> Float[Tensor, "A B n"]:
        if not self.dueling:
            return output
        advantage = output[..., 1:]
        return output[..., :1] + advantage - advantage.mean(-1, keepdim=True)

    def evaluate(self, observation: Float[Tensor, "A B D"]) -> QEvaluation:
        """Q(s, ·) with its slope."""
        net = self.network.linearised(self.parameters, "q", observation)

        def backward(by_value: Tensor) -> None:
            if self.dueling:
                by_v = by_value.sum(-1, keepdim=True)
                by_value = torch.cat([by_v, by_value - by_v / self.actions], -1)
            net.backward(by_value)

        return QEvaluation(self._combined(net.output), backward)

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... 2"]:
        """Uniform numbers of [0, 1): one to decide whether to explore, one for `anything`."""
        return agents.uniform(purpose, block, (*shape, 2))

    def anything(self, uniform: Float[Tensor, "A ..."]) -> Int[Tensor, "A ..."]:
        """Any action, all alike, from uniform numbers of [0, 1)."""
        return (uniform * self.actions).long()

    def act(self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N 2"]) -> Int[Tensor, "A N 1"]:
        """The best actions: the policy that was learned explores no longer."""
        return self.act_deterministically(observation)

    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Int[Tensor, "A N 1"]:
        """The best actions."""
        return self.q(observation).argmax(-1, keepdim=True)

    def value(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B"]:
        """V(s) = max Q(s, ·)."""
        return self.q(observation).amax(-1)

    def hidden(self, observation: Float[Tensor, "A B D"]) -> list[Float[Tensor, "A B _"]]:
        """What the hidden units answer, layer by layer."""
        return self.network.hidden(self.parameters, observation)

    def state(self) -> dict[str, Tensor]:
        """The learned tensors [A, …]."""
        learned = self.network.learned(self.parameters)
        return {name: x.clone(memory_format=torch.contiguous_format) for name, x in learned.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self.network.learned(self.parameters), state)
