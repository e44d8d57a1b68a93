"""A policy and a value function, for all agents of a population."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from relook.envs import Spaces
from relook.errors import WrongRequest
from relook.networks.mlp import MLP, Backward, Linearised
from relook.networks.policies import policy_for
from relook.population import Agents, ObservationNormaliser, Parameters, Shapes, restore

GROUPS = ("policy", "value")


@runtime_checkable
class NetworkConfig(Protocol):
    """What an algorithm's `Config` says of its networks."""

    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def initial_log_std(self) -> float: ...
    @property
    def normalise_observations(self) -> bool: ...


def network_settings(config: NetworkConfig) -> dict[str, Any]:
    """What a function that makes actor-critics is told, beside spaces and agents."""
    return {
        "hidden": config.hidden,
        "activation": config.activation,
        "initial_log_std": config.initial_log_std,
        "normalise": config.normalise_observations,
    }


class Networks(Protocol):
    """What an actor-critic needs of its networks: two for each agent, of the groups `policy` and `value`.

    The parameters are handed in: tensors [2A, …] that both networks have (`shapes`) and tensors [A, …] of one network
    (`own`, by group).
    """

    @property
    def shapes(self) -> Shapes: ...
    @property
    def own(self) -> Mapping[str, Shapes]: ...
    def initialise(self, parameters: Parameters, agents: Agents) -> None: ...
    def learned(self, parameters: Parameters) -> dict[str, Tensor]:
        """Views [A, …] of everything that is learned, named `group/…`."""
        ...

    def __call__(self, parameters: Parameters, x: Float[Tensor, "A B I"]) -> tuple[tuple[Tensor, ...], Backward]:
        """The outputs [A, B, O] of both networks, and a function that takes a loss's slopes by them and writes
        its slope by θ into ∂θ, all of it but what the policy has beside its network. The outputs are detached.
        """
        ...

    def one(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Float[Tensor, "A B O"]:
        """The output of one network, without gradients."""
        ...

    def linearised(self, parameters: Parameters, group: str, x: Float[Tensor, "A B I"]) -> Linearised:
        """One network, with its derivative by θ, as often as it is wanted until θ moves."""
        ...


class Evaluation(NamedTuple):
    """What policy and value function say of given observations and actions."""

    log_prob: Float[Tensor, "A B"]
    """log π(a|s)"""
    entropy: Float[Tensor, "A B"]
    """Entropy of π(·|s)."""
    value: Float[Tensor, "A B"]
    """V(s)"""
    backward: Callable[..., None]
    """`backward(by_log_prob, by_value, by_entropy=None)` takes a loss's slopes [A, B] by these numbers, and writes
    its slope by θ into ∂θ: the chain rule from here on. To be called once at most, and before θ moves."""


class PolicyEvaluation(NamedTuple):
    """What the policy says of given observations and actions."""

    log_prob: Float[Tensor, "A B"]
    """log π(a|s)"""
    entropy: Float[Tensor, "A B"]
    """Entropy of π(·|s)."""
    distribution: tuple[Tensor, ...]
    """π(·|s), as `ActorCritic.kl` compares it."""
    backward: Callable[..., None]
    """`backward(by_log_prob, by_entropy=None)` writes a loss's slope by the policy's θ into ∂θ."""
    fisher: Callable[[Tensor], Tensor]
    """F v [A, P] of a direction v [A, P] of the policy's θ: F is the mean Fisher information of π(·|s), which is the
    curvature of KL(π ‖ π') at π' = π."""


class ValueEvaluation(NamedTuple):
    """What the value function says of given observations."""

    value: Float[Tensor, "A B"]
    """V(s)"""
    backward: Callable[[Tensor], None]
    """Writes a loss's slope by the value function's θ into ∂θ, from its slope by V(s)."""


class ActorCritic:
    """Policy π(a|s) and value V(s) as two separate networks, each an optimiser group of its own.

    They are multi-layer perceptrons unless `networks` says otherwise. Observations come in raw; with `normalise` they
    pass through a running normaliser that moves only when `observe` is called.
    """

    stochastic = True
    """Whether drawing an action is another way to act than taking the most probable one."""

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "tanh",
        initial_log_std: float = 0.0,
        normalise: bool = False,
        networks: Callable[[int, Sequence[int]], Networks] | None = None,
    ) -> None:
        """`networks(inputs, outputs)` makes the networks; `outputs` holds the policy's number and the value's, 1."""
        self.settings: dict[str, Any] = {
            "hidden": hidden,
            "activation": activation,
            "initial_log_std": initial_log_std,
            "normalise": normalise,
        }
        self.policy = policy_for(spaces.action.kind, initial_log_std)
        inputs, outputs = spaces.observation.size, (self.policy.outputs, 1)
        # A small gain makes the first policy nearly uniform, whatever it sees (Andrychowicz et al. 2021, §3.2).
        self.networks: Networks = (
            MLP(GROUPS, inputs, hidden, outputs, activation=activation, output_gains=(0.01, 1.0))
            if networks is None
            else networks(inputs, outputs)
        )
        own = {group: dict(self.networks.own.get(group, {})) for group in GROUPS}
        for name, shape in self.policy.shapes.items():
            if name in own["policy"]:
                raise WrongRequest(
                    f"expected a policy network without a parameter {name.split('/')[1]}, which the policy has beside "
                    f"it; found one; call it something else"
                )
            own["policy"][name] = shape
        self.parameters = Parameters(len(agents), GROUPS, self.networks.shapes, own)
        self.networks.initialise(self.parameters, agents)
        self.policy.initialise(self.parameters)
        one_hot = torch.from_numpy(spaces.observation.one_hot)
        self.normaliser = ObservationNormaliser(len(agents), one_hot) if normalise else None

    def observe(self, observation: Float[Tensor, "A B D"]) -> None:
        """Let the normaliser see a batch of raw observations."""
        if self.normaliser is not None:
            self.normaliser.update(observation)

    def _normalised(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B D"]:
        return observation if self.normaliser is None else self.normaliser(observation)

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        """The noise that `act` turns into randomly drawn actions: a keyed block of `shape` for each agent."""
        return self.policy.noise(agents, purpose, block, shape)

    # A network that has diverged is told by its losses; numpy need not warn of it in each step.
    @np.errstate(all="ignore")
    def act(self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N K"]) -> Tensor:
        """Draw actions [A, N, width] from π."""
        output = self.networks.one(self.parameters, "policy", self._normalised(observation))
        return self.policy.sample(self.parameters, output, noise)

    @np.errstate(all="ignore")
    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Tensor:
        """The most probable actions [A, N, width]."""
        return self.policy.mode(self.networks.one(self.parameters, "policy", self._normalised(observation)))

    @np.errstate(all="ignore")
    def value(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B"]:
        """V(s), without gradients."""
        return self.networks.one(self.parameters, "value", self._normalised(observation)).squeeze(-1)

    def evaluate(self, observation: Float[Tensor, "A B D"], action: Tensor) -> Evaluation:
        """Log π(a|s) of given actions, the entropy of π(·|s), and V(s), from one pass through both networks."""
        (output, value), networks_backward = self.networks(self.parameters, self._normalised(observation))
        judged = self.policy.evaluate(self.parameters, output, action)

        def backward(by_log_prob: Tensor, by_value: Tensor, by_entropy: Tensor | None = None) -> None:
            networks_backward([judged.backward(by_log_prob, by_entropy), by_value.unsqueeze(-1)])

        return Evaluation(judged.log_prob, judged.entropy, value.squeeze(-1), backward)

    def evaluate_policy(self, observation: Float[Tensor, "A B D"], action: Tensor) -> PolicyEvaluation:
        """The policy alone: log π(a|s) of given actions, entropy and Fisher information of π(·|s)."""
        net = self.networks.linearised(self.parameters, "policy", self._normalised(observation))
        judged = self.policy.evaluate(self.parameters, net.output, action)
        slope = self.parameters.gradient[:, GROUPS.index("policy")]

        def backward(by_log_prob: Tensor, by_entropy: Tensor | None = None) -> None:
            net.backward(judged.backward(by_log_prob, by_entropy))

        def fisher(direction: Tensor) -> Tensor:
            tensors = self.parameters.tensors_of(direction, "policy")
            net.backward(self.policy.fisher(self.parameters, judged, net.forward(tensors), tensors))
            return slope.clone()

        return PolicyEvaluation(judged.log_prob, judged.entropy, judged.distribution, backward, fisher)

    def kl(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Float[Tensor, "A B"]:
        """KL(π_old(·|s) ‖ π_new(·|s)) of the distributions that `evaluate_policy` gave."""
        return self.policy.kl(old, new)

    def evaluate_value(self, observation: Float[Tensor, "A B D"]) -> ValueEvaluation:
        """The value function alone, with its slope."""
        net = self.networks.linearised(self.parameters, "value", self._normalised(observation))
        return ValueEvaluation(net.output.squeeze(-1), lambda by_value: net.backward(by_value.unsqueeze(-1)))

    def relative_distance(self, before: Float[Tensor, "A G P"]) -> Float[Tensor, " A"]:
        """‖θ - θ_before‖ / ‖θ_before‖ of both groups together."""
        theta = self.parameters.theta
        moved, length = ((x.square().sum(2)).sum(1) for x in (theta - before, before))
        return (moved / length).sqrt()

    def _learned(self) -> dict[str, Tensor]:
        """Views of all learned tensors [A, …], without padding."""
        own = {name: self.parameters[name].detach() for name in self.policy.shapes}
        return self.networks.learned(self.parameters) | own

    def state(self) -> dict[str, Tensor]:
        """Everything that acting and valuing need: learned tensors [A, …] and the normaliser's statistics."""
        state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self._learned().items()}
        if self.normaliser is not None:
            state |= {f"normaliser/{name}": tensor for name, tensor in self.normaliser.state().items()}
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        statistics = (
            {} if self.normaliser is None else {f"normaliser/{k}": v for k, v in self.normaliser.state().items()}
        )
        own = {name: tensor.clone() for name, tensor in statistics.items()}
        restore(self._learned() | own, state)
        if self.normaliser is not None:
            self.normaliser.load({name.removeprefix("normaliser/"): tensor for name, tensor in own.items()})
