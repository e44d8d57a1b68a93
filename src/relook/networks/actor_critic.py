"""A policy and a value function, for all agents of a population."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from relook.envs.vector import Spaces
from relook.errors import RelookError
from relook.networks.mlp import MLP
from relook.networks.policies import policy_for
from relook.population import Agents, ObservationNormaliser, Parameters


class ActorCritic:
    """Policy π(a|s) and value V(s) as two separate multi-layer perceptrons, each an optimiser group of its own.

    Observations come in raw; with `normalise` they pass through a running normaliser that moves only when
    `observe` is called.
    """

    def __init__(
        self,
        spaces: Spaces,
        agents: Agents,
        *,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "tanh",
        initial_log_std: float = 0.0,
        normalise: bool = False,
    ) -> None:
        inputs = spaces.observation.size
        self.settings: dict[str, Any] = {
            "hidden": hidden,
            "activation": activation,
            "initial_log_std": initial_log_std,
            "normalise": normalise,
        }
        self.policy = policy_for(spaces.action.kind, initial_log_std)
        # A small gain makes the first policy nearly uniform, whatever it sees (Andrychowicz et al. 2021, §3.2).
        self._actor = MLP("policy", inputs, hidden, self.policy.outputs, activation=activation, output_gain=0.01)
        self._critic = MLP("value", inputs, hidden, 1, activation=activation)
        self.parameters = {
            "policy": Parameters(len(agents), {**self._actor.shapes, **self.policy.shapes}),
            "value": Parameters(len(agents), self._critic.shapes),
        }
        self._actor.initialise(self.parameters["policy"], agents)
        self.policy.initialise(self.parameters["policy"])
        self._critic.initialise(self.parameters["value"], agents)
        one_hot = torch.from_numpy(spaces.observation.one_hot)
        self.normaliser = ObservationNormaliser(len(agents), one_hot) if normalise else None

    @classmethod
    def from_settings(cls, spaces: Spaces, agents: Agents, settings: Mapping[str, Any]) -> "ActorCritic":
        """Build what a run's record describes. Raises `RelookError` if it describes nothing that can be built."""
        try:
            return cls(
                spaces,
                agents,
                hidden=tuple(int(width) for width in settings["hidden"]),
                activation=str(settings["activation"]),
                initial_log_std=float(settings["initial_log_std"]),
                normalise=bool(settings["normalise"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RelookError(f"expected the settings of an actor-critic; found {settings!r} ({error!r})") from error

    def observe(self, observation: Float[Tensor, "A B D"]) -> None:
        """Let the normaliser see a batch of raw observations."""
        if self.normaliser is not None:
            self.normaliser.update(observation)

    def _output(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B O"]:
        return self._actor(self.parameters["policy"], self._normalised(observation))

    def _normalised(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B D"]:
        return observation if self.normaliser is None else self.normaliser(observation)

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        """The noise that `act` turns into randomly drawn actions: a keyed block of `shape` for each agent."""
        return self.policy.noise(agents, purpose, block, shape)

    @torch.no_grad()
    def act(
        self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N K"]
    ) -> tuple[Tensor, Float[Tensor, "A N"]]:
        """Draw actions [A, N, width] from π, and their log-probabilities."""
        return self.policy.sample(self.parameters["policy"], self._output(observation), noise)

    @torch.no_grad()
    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Tensor:
        """The most probable actions [A, N, width]."""
        return self.policy.mode(self._output(observation))

    def log_prob_and_entropy(
        self, observation: Float[Tensor, "A B D"], action: Tensor
    ) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
        """Log π(a|s) of given actions, and the entropy of π(·|s)."""
        return self.policy.log_prob_and_entropy(self.parameters["policy"], self._output(observation), action)

    def value(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B"]:
        """V(s)."""
        return self._critic(self.parameters["value"], self._normalised(observation)).squeeze(-1)

    def relative_distance(self, before: list[Tensor]) -> Float[Tensor, " A"]:
        """‖θ - θ_before‖ / ‖θ_before‖, of all groups together; `before` holds their θ [A, P] in order."""
        groups = [(group.theta, old) for group, old in zip(self.parameters.values(), before, strict=True)]
        moved = torch.stack([(theta - old).square().sum(1) for theta, old in groups]).sum(0)
        length = torch.stack([old.square().sum(1) for _, old in groups]).sum(0)
        return (moved / length).sqrt()

    def _learned(self) -> dict[str, Tensor]:
        """Views of all learned tensors [A, …], without padding."""
        learned = {}
        for network in (self._actor, self._critic):
            group = self.parameters[network.name]
            for name in network.shapes:
                learned[name] = network.without_padding(name, group[name].detach())
        for name in self.policy.shapes:
            learned[name] = self.parameters["policy"][name].detach()
        return learned

    def state(self) -> dict[str, Tensor]:
        """Everything that acting and valuing need: learned tensors [A, …] and the normaliser's statistics."""
        state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self._learned().items()}
        if self.normaliser is not None:
            state |= {f"normaliser/{name}": tensor for name, tensor in self.normaliser.state().items()}
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        own = self.state()
        for name, tensor in own.items():
            if name not in state or state[name].shape != tensor.shape:
                found = list(state[name].shape) if name in state else "nothing"
                raise RelookError(f"expected parameters {name!r} of shape {list(tensor.shape)}; found {found}")
        with torch.no_grad():
            for name, tensor in self._learned().items():
                tensor.copy_(state[name])
        if self.normaliser is not None:
            self.normaliser.load({name: state[f"normaliser/{name}"] for name in self.normaliser.state()})
