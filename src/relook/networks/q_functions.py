"""Critics: Q(s, a) of continuous actions, one function for each agent or several, as one computation."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relook.networks.mlp import MLP
from relook.population import Agents, Parameters


class QFunctionEvaluation(NamedTuple):
    """What the critics say of given observations and actions."""

    value: Float[Tensor, "A G B"]
    """Q(s, a) of each critic."""
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by the critics' θ into ∂θ, from its slope [A, G, B] by their values."""


class FrozenEvaluation(NamedTuple):
    """What the critics say of given observations and actions, for a loss that does not teach them."""

    value: Float[Tensor, "A G B"]
    """Q(s, a) of each critic."""
    by_action: Callable[[Tensor], Tensor]
    """A loss's slope [A, B, K] by the action, from its slope [A, G, B] by the values."""


class QFunctions:
    """G critics for each agent, groups `q1` … of θ [A, G, P]: perceptrons that see an observation and an action."""

    def __init__(
        self,
        observed: int,
        actions: int,
        agents: Agents,
        *,
        count: int,
        hidden: tuple[int, ...],
        activation: str,
        initialisation: str,
    ) -> None:
        """`observed` and `actions` are the numbers of an observation and of an action."""
        self.groups = tuple(f"q{i + 1}" for i in range(count))
        self._observed = observed
        self.network = MLP(
            self.groups,
            observed + actions,
            hidden,
            (1,) * count,
            activation=activation,
            output_gains=(1.0,) * count,
            initialisation=initialisation,
        )
        self.parameters = Parameters(len(agents), self.groups, self.network.shapes)
        self.network.initialise(self.parameters, agents)

    def values(
        self,
        observation: Float[Tensor, "A B D"],
        action: Float[Tensor, "A B K"],
        parameters: Parameters | None = None,
    ) -> Float[Tensor, "A G B"]:
        """Q(s, a) without gradients, with these parameters or their own."""
        inputs = torch.cat([observation, action], -1)
        return self.network.values(parameters or self.parameters, inputs).squeeze(-1)

    def evaluate(self, observation: Float[Tensor, "A B D"], action: Float[Tensor, "A B K"]) -> QFunctionEvaluation:
        """Q(s, a) with its slope by θ."""
        net = self.network.together(self.parameters, torch.cat([observation, action], -1))
        return QFunctionEvaluation(net.output.squeeze(-1), lambda by_value: net.backward(by_value.unsqueeze(-1)))

    def frozen(
        self, observation: Float[Tensor, "A B D"], action: Float[Tensor, "A B K"], group: str | None = None
    ) -> FrozenEvaluation:
        """Q(s, a) with its slope by a, of all critics or of one. Nothing is computed for θ."""
        inputs, parameters = torch.cat([observation, action], -1), self.parameters
        if group is None:
            net = self.network.together(parameters, inputs)
            value, by_input = net.output, net.by_input
        else:
            one = self.network.linearised(parameters, group, inputs)
            value, by_input = one.output.unsqueeze(1), lambda slope, first: one.by_input(slope.squeeze(1), first)
        return FrozenEvaluation(value.squeeze(-1), lambda by_value: by_input(by_value.unsqueeze(-1), self._observed))

    @np.errstate(all="ignore")  # a critic that has diverged is told by its losses
    def of_few(self, observation: Float[Tensor, "A N D"], action: Float[Tensor, "A N K"]) -> Float[Tensor, "A N"]:
        """The smallest Q(s, a) of the critics for any number of rows: quick for the few of one step."""
        inputs = torch.cat([observation, action], -1)
        each = [self.network.one(self.parameters, group, inputs) for group in self.groups]
        return torch.stack(each).amin(0).squeeze(-1)

    def hidden(self, observation: Float[Tensor, "A B D"], action: Float[Tensor, "A B K"]) -> list[Tensor]:
        """What the critics' hidden units answer, layer by layer."""
        return self.network.hidden(self.parameters, torch.cat([observation, action], -1))

    def learned(self) -> Mapping[str, Tensor]:
        """Views [A, …] of all learned tensors, by name."""
        return self.network.learned(self.parameters)
