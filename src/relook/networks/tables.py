"""Tables in place of networks: a value for each action in each of finitely many states."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from relook.envs import Choices, Spaces
from relook.errors import WrongRequest
from relook.population import Agents, restore


def sizes(space: spaces.Space[Any]) -> tuple[int, ...]:
    """How many values each part of a state has. Raises `WrongRequest` for a space of infinitely many states."""
    match space:
        case spaces.Discrete():
            return (int(space.n),)
        case spaces.MultiDiscrete():
            return tuple(int(n) for n in space.nvec.ravel())
        case spaces.Tuple():
            return tuple(n for part in space.spaces for n in sizes(part))
        case spaces.Dict():
            return tuple(n for part in space.spaces.values() for n in sizes(part))
        case _:
            raise WrongRequest(
                f"expected finitely many states, Discrete or several of them; found {space}; use dqn or ppo"
            )


class Tables:
    """What tabular algorithms learn for each agent: a policy, and values of actions and states, all float64.

    A state is the number of an observation, row by row where it has several parts.
    """

    stochastic = True
    """The policy that was learned with; the deterministic one takes its most probable action."""

    def __init__(self, spaces: Spaces, agents: Agents) -> None:
        kind = spaces.action.kind
        if not isinstance(kind, Choices) or len(kind.sizes) != 1:
            raise WrongRequest(f"expected one choice among actions, Discrete; found {spaces.action.space}; use ppo")
        self.settings: dict[str, Any] = {}
        self._sizes = sizes(spaces.observation.space)
        self.states, self.actions = prod(self._sizes), kind.sizes[0]
        shape = len(agents), self.states, self.actions
        self.policy: NDArray[np.float64] = np.full(shape, 1 / self.actions)
        """π(a|s) [A, S, n]"""
        self.action_value: NDArray[np.float64] = np.zeros(shape)
        """Q(s, a) [A, S, n]"""
        self.state_value: NDArray[np.float64] = np.zeros(shape[:2])
        """V(s) [A, S]"""
        self._ends = np.cumsum(self._sizes)[:-1]

    def state_of(self, observation: Float[Tensor, "A N D"]) -> Int[NDArray[np.int64], "A N"]:
        """The numbers of states, from one-hot vectors."""
        parts = np.split(observation.numpy(), self._ends, axis=-1) if len(self._sizes) > 1 else [observation.numpy()]
        numbers: NDArray[np.int64] = np.ravel_multi_index(tuple(part.argmax(-1) for part in parts), self._sizes)
        return numbers

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ..."]:
        """A uniform number of [0, 1) for each action."""
        return agents.uniform(purpose, block, shape)

    def act(self, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N"]) -> Int[Tensor, "A N 1"]:
        """Actions drawn from π."""
        below = self._at(self.policy, observation).cumsum(-1)[..., :-1] <= noise.double().numpy()[..., None]
        return torch.from_numpy(below.sum(-1, keepdims=True))

    def act_deterministically(self, observation: Float[Tensor, "A N D"]) -> Int[Tensor, "A N 1"]:
        """The most probable actions, the first of those that are alike."""
        return torch.from_numpy(self._at(self.policy, observation).argmax(-1, keepdims=True))

    def value(self, observation: Float[Tensor, "A N D"]) -> Float[Tensor, "A N"]:
        """V(s)."""
        return torch.from_numpy(self._at(self.state_value, observation)).float()

    def q(self, observation: Float[Tensor, "A N D"]) -> Float[Tensor, "A N n"]:
        """Q(s, ·)."""
        return torch.from_numpy(self._at(self.action_value, observation)).float()

    def _at(self, table: NDArray[np.float64], observation: Tensor) -> NDArray[np.float64]:
        """The rows of a table [A, S, …] for observations."""
        found: NDArray[np.float64] = table[np.arange(len(table))[:, None], self.state_of(observation)]
        return found

    def _own(self) -> dict[str, Tensor]:
        tables = {"policy": self.policy, "action_value": self.action_value, "state_value": self.state_value}
        return {name: torch.from_numpy(table) for name, table in tables.items()}

    def state(self) -> dict[str, Tensor]:
        """The tables."""
        return {name: tensor.clone() for name, tensor in self._own().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self._own(), state)
