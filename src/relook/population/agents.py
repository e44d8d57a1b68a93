"""An agent is a seed with its hyper-parameters; a population is a row of agents that trains as one computation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relook.population.randomness import stream


@dataclass(frozen=True)
class Agent:
    """One learner: its number in the run, its seed, and the hyper-parameters that may differ inside a population."""

    index: int
    seed: int
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Why an agent learns no longer, while the others go on."""

    status: Literal["crashed", "diverged"]
    """`crashed`: its environment raised an exception; `diverged`: a number that must be finite was not."""
    reason: str
    where: Mapping[str, Any] = field(default_factory=dict)
    """The episode in which it happened: `during` (train or evaluate), environment, episode, reset_seed, step."""


class Agents(Sequence[Agent]):
    """The agents of one population, in order. Their number is A.

    Random blocks are drawn one agent at a time from streams keyed by the agent's own seed, so two agents that differ
    in a hyper-parameter only see the same random numbers, and no agent's numbers depend on its neighbours.
    """

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = tuple(agents)
        self.stopped: dict[int, Stop] = {}
        """The agents that learn no longer, by position."""

    def stop(self, position: int, why: Stop) -> None:
        """Let one agent rest for the remainder of training: it keeps what it has learned so far."""
        self.stopped.setdefault(position, why)

    @property
    def alive(self) -> Bool[Tensor, " A"]:
        """The agents that still learn."""
        return torch.tensor([position not in self.stopped for position in range(len(self))])

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents)

    def __getitem__(self, position: int) -> Agent:  # type: ignore[override]  # a population is never sliced
        return self._agents[position]

    def hyperparameter(self, name: str) -> Float[Tensor, " A"]:
        """One value for each agent."""
        return torch.tensor([agent.hyperparameters[name] for agent in self._agents], dtype=torch.float32)

    def normal(self, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ..."]:
        """Standard normal noise."""
        return self._draw(purpose, block, lambda rng: rng.standard_normal(shape, dtype=np.float32))

    def uniform(self, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ..."]:
        """Uniform noise in [0, 1)."""
        return self._draw(purpose, block, lambda rng: rng.random(shape, dtype=np.float32))

    def permutation(self, purpose: str, block: int, n: int) -> Int[Tensor, "A n"]:
        """The numbers 0 … n-1 in random order."""
        return self._draw(purpose, block, lambda rng: rng.permutation(n))

    def chance(self, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ..."]:
        """Uniform numbers in [0, 1) of type float64, fine enough to choose one among millions."""
        return self._draw(purpose, block, lambda rng: rng.random(shape))

    def _draw(self, purpose: str, block: int, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack([draw(stream(agent.seed, purpose, block)) for agent in self._agents]))


class Ahead:
    """Random numbers [A, …] for one update after another: `ahead[i]` are those of update i.

    They are drawn for many updates at once, because to open a stream takes longer than to draw a batch from it.
    """

    LENGTH = 64

    def __init__(self, draw: Callable[[str, int, tuple[int, ...]], Tensor], purpose: str, shape: tuple[int, ...]):
        """`draw(purpose, block, shape)` draws numbers [A, *shape], as the methods of `Agents` do."""
        self._draw, self._purpose, self._shape = draw, purpose, (self.LENGTH, *shape)
        self._block = -1
        self._drawn = torch.zeros(0)

    def __getitem__(self, number: int) -> Tensor:
        block, at = divmod(number, self.LENGTH)
        if block != self._block:
            self._block, self._drawn = block, self._draw(self._purpose, block, self._shape)
        return self._drawn[:, at]
