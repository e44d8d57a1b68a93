"""Actors and critics of continuous actions: a deterministic policy, or a Gaussian one squashed into its bounds.

Actions are those of `relook.envs.ActionSpace`, inside bounds that lie at middle ± half.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relook.envs import Continuous, Spaces
from relook.errors import WrongRequest
from relook.formulas.distributions import squashed_log_prob, squashed_slopes
from relook.networks.mlp import MLP
from relook.networks.q_functions import QFunctions
from relook.population import Agents, Parameters, restore

LOG_STD_LOW, LOG_STD_HIGH = -20.0, 2.0
"""Bounds of log σ, as in the authors' own implementation of SAC."""


class _ActorCritic(ABC):
    """What both kinds share: a policy network with `outputs` numbers for each component of an action, and critics."""

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        outputs: int,
        critics: int,
        hidden: tuple[int, ...],
        activation: str,
        initialisation: str,
    ) -> None:
        kind = spaces.action.kind
        if not isinstance(kind, Continuous) or not spaces.action.bounded.all():
            raise WrongRequest(f"expected continuous actions with finite bounds, Box; found {spaces.action.space}")
        self.settings: dict[str, Any] = {
            "critics": critics,
            "hidden": hidden,
            "activation": activation,
            "initialisation": initialisation,
        }
        self.middle, self.half = (
            torch.from_numpy(x.astype(np.float32)) for x in (spaces.action.middle, spaces.action.half)
        )
        size, numbers = kind.size, outputs * kind.size
        self.network = MLP(
            ("policy",),
            spaces.observation.size,
            hidden,
            (numbers,),
            activation=activation,
            output_gains=(0.01,),  # the first policy is nearly the same whatever it sees, as in `ActorCritic`
            initialisation=initialisation,
        )
        self.parameters = Parameters(len(agents), ("policy",), self.network.shapes)
        self.network.initialise(self.parameters, agents)
        self.critics = QFunctions(
            spaces.observation.size,
            size,
            agents,
            count=critics,
            hidden=hidden,
            activation=activation,
            initialisation=initialisation,
        )

    @np.errstate(all="ignore")  # a network that has diverged is told by its losses
    def _output(self, observation: Tensor, parameters: Parameters | None = None) -> Tensor:
        return self.network.one(parameters or self.parameters, "policy", observation)

    def bounded(self, action: Float[Tensor, "A B K"]) -> Float[Tensor, "A B K"]:
        """Actions cut to their bounds."""
        return torch.maximum(torch.minimum(action, self.middle + self.half), self.middle - self.half)

    def anything(self, uniform: Float[Tensor, "A N K"]) -> Float[Tensor, "A N K"]:
        """Actions from all over their range, from uniform numbers of [0, 1)."""
        return self.middle + self.half * (2 * uniform - 1)

    @abstractmethod
    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Float[Tensor, "A N K"]:
        """The policy's middle action."""

    def value(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B"]:
        """Q(s, a) of the policy's middle action, by the lower of the critics."""
        return self.critics.of_few(observation, self.act_deterministically(observation))

    def learned(self) -> dict[str, Tensor]:
        """Views [A, …] of all learned tensors, by name."""
        return {**self.network.learned(self.parameters), **self.critics.learned()}

    def state(self) -> dict[str, Tensor]:
        """The learned tensors [A, …]."""
        return {name: x.clone(memory_format=torch.contiguous_format) for name, x in self.learned().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self.learned(), state)


class ActionEvaluation(NamedTuple):
    """What a deterministic policy does."""

    action: Float[Tensor, "A B K"]
    """μ(s)"""
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by the policy's θ into ∂θ, from its slope [A, B, K] by the action."""


class DeterministicActorCritic(_ActorCritic):
    """μ(s) = middle + half tanh(network(s)), and one critic or two."""

    stochastic = False
    """Noise belongs to exploration, and not to the policy."""

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        critics: int = 1,
        hidden: tuple[int, ...] = (256, 256),
        activation: str = "relu",
        initialisation: str = "orthogonal",
    ) -> None:
        super().__init__(
            spaces,
            agents,
            outputs=1,
            critics=critics,
            hidden=hidden,
            activation=activation,
            initialisation=initialisation,
        )

    def action(
        self, observation: Float[Tensor, "A B D"], parameters: Parameters | None = None
    ) -> Float[Tensor, "A B K"]:
        """μ(s) without gradients, with these parameters or its own."""
        return self.middle + self.half * self._output(observation, parameters).tanh()

    def evaluate_action(self, observation: Float[Tensor, "A B D"]) -> ActionEvaluation:
        """μ(s) with its slope."""
        net = self.network.linearised(self.parameters, "policy", observation)
        squashed = net.output.tanh()
        return ActionEvaluation(
            self.middle + self.half * squashed,
            lambda by_action: net.backward(by_action * self.half * (1 - squashed.square())),
        )

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        """Standard normal numbers, to explore with."""
        return agents.normal(purpose, block, (*shape, len(self.half)))

    def act(self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N K"]) -> Float[Tensor, "A N K"]:
        """μ(s): the policy that was learned explores no longer."""
        return self.action(observation)

    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Float[Tensor, "A N K"]:
        """μ(s)."""
        return self.action(observation)


class Draw(NamedTuple):
    """Actions drawn from a squashed Gaussian."""

    action: Float[Tensor, "A B K"]
    log_prob: Float[Tensor, "A B"]
    """log π(a|s), in units of the actions."""


class DrawEvaluation(NamedTuple):
    """Actions drawn from a squashed Gaussian, with their slopes."""

    action: Float[Tensor, "A B K"]
    log_prob: Float[Tensor, "A B"]
    backward: Callable[[Tensor, Tensor], None]
    """`backward(by_action, by_log_prob)` takes a loss's slopes [A, B, K] and [A, B], and writes its slope by the
    policy's θ into ∂θ. The noise stands still: the reparametrisation trick."""


class SquashedActorCritic(_ActorCritic):
    """π(·|s): middle + half tanh(u) with u ~ N(mean(s), σ(s)²), and two critics."""

    stochastic = True

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        critics: int = 2,
        hidden: tuple[int, ...] = (256, 256),
        activation: str = "relu",
        initialisation: str = "orthogonal",
    ) -> None:
        super().__init__(
            spaces,
            agents,
            outputs=2,
            critics=critics,
            hidden=hidden,
            activation=activation,
            initialisation=initialisation,
        )

    @staticmethod
    def _gaussian(output: Float[Tensor, "A B O"]) -> tuple[Tensor, Tensor]:
        """Mean and log σ [A, B, K], as the network gives them."""
        size = output.shape[-1] // 2
        return output[..., :size], output[..., size:]

    def draw(self, observation: Float[Tensor, "A B D"], noise: Float[Tensor, "A B K"]) -> Draw:
        """Actions and their log-probabilities from standard normal noise, without gradients."""
        mean, log_std = self._gaussian(self._output(observation))
        log_std = log_std.clamp(LOG_STD_LOW, LOG_STD_HIGH)
        u = mean + log_std.exp() * noise
        return Draw(self.middle + self.half * u.tanh(), squashed_log_prob(u, noise, log_std, self.half))

    def evaluate_draw(self, observation: Float[Tensor, "A B D"], noise: Float[Tensor, "A B K"]) -> DrawEvaluation:
        """The same with slopes."""
        net = self.network.linearised(self.parameters, "policy", observation)
        mean, unbounded = self._gaussian(net.output)
        log_std = unbounded.clamp(LOG_STD_LOW, LOG_STD_HIGH)
        std = log_std.exp()
        u = mean + std * noise
        squashed = u.tanh()

        def backward(by_action: Tensor, by_log_prob: Tensor) -> None:
            by_mean, by_log_std = squashed_slopes(squashed, noise, std, self.half, by_action, by_log_prob)
            by_log_std = torch.where(log_std == unbounded, by_log_std, 0.0)
            net.backward(torch.cat([by_mean, by_log_std], -1))

        log_prob = squashed_log_prob(u, noise, log_std, self.half)
        return DrawEvaluation(self.middle + self.half * squashed, log_prob, backward)

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        """Standard normal numbers, which draw actions."""
        return agents.normal(purpose, block, (*shape, len(self.half)))

    def act(self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N K"]) -> Float[Tensor, "A N K"]:
        """Draw actions from π."""
        mean, log_std = self._gaussian(self._output(observation))
        u = mean + log_std.clamp(LOG_STD_LOW, LOG_STD_HIGH).exp() * noise
        return self.middle + self.half * u.tanh()

    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Float[Tensor, "A N K"]:
        """The squashed mean."""
        return self.middle + self.half * self._gaussian(self._output(observation))[0].tanh()
