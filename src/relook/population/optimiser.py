"""Optimisers of a population: learning rate, gradient clipping, step count and mask are each agent's own."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import hypot, inf, isfinite

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.population.parameters import Parameters
from relook.population.state import restore


class Optimiser:
    """What the optimisers of a population share: an agent's rate, clipping, step count and mask are its own.

    An agent that is not active in a group keeps its parameters, its moments and its step count in that group, bit for
    bit. So does an agent whose gradient is not finite.
    """

    def __init__(self, parameters: Parameters, moments: Sequence[str]) -> None:
        self.parameters = parameters
        self.moments: dict[str, Float[Tensor, "A G P"]] = {name: torch.zeros_like(parameters.theta) for name in moments}
        self.steps: Float[Tensor, "A G"] = torch.zeros(parameters.theta.shape[:2])
        self._blocks = (parameters.theta, parameters.gradient, *self.moments.values())
        # The same memory in rows, one for each agent and group: a row that shall not move is left out of a step.
        self._rows = [list(block.flatten(0, 1).unbind(0)) for block in self._blocks]
        self._row_steps = self.steps.numpy().reshape(-1)

    def state(self) -> dict[str, Tensor]:
        """Moments [A, G, P] and step counts [A, G]."""
        return {**self.moments, "steps": self.steps}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self.state(), state)

    def step(
        self,
        learning_rate: Mapping[str, Float[Tensor, " A"]],
        *,
        active: Mapping[str, Bool[Tensor, " A"]],
        max_norm: Float[Tensor, " A"] | None = None,
        clip_together: bool = False,
    ) -> list[float]:
        """Clip each agent's gradient to the norm `max_norm` (infinite or None: never), then make one step.

        `learning_rate` and `active` are given for each group by its name; a group that they do not name stays where it
        is. Each group is clipped by itself, or all groups together as one vector. Returns the Euclidean norm over all
        groups that are named, before clipping.
        """
        gradient, groups = self.parameters.gradient, self.parameters.groups
        # A handful of numbers for each agent: plain Python is quicker with them than a tensor operation for each step.
        named = [g for g, group in enumerate(groups) if group in active]
        norms_of_groups = torch.linalg.vector_norm(gradient, dim=2).tolist()
        norms = [hypot(*(of_groups[g] for g in named)) for of_groups in norms_of_groups]
        highest = [inf] * len(norms) if max_norm is None else max_norm.tolist()
        steps = self._row_steps.tolist()
        scales = [1.0] * len(steps)
        together: dict[tuple[float, float], list[int]] = defaultdict(list)
        for g in named:
            moves, rates = active[groups[g]].tolist(), learning_rate[groups[g]].tolist()
            for a, (moving, rate) in enumerate(zip(moves, rates, strict=True)):
                row = a * len(groups) + g
                norm = norms[a] if clip_together else norms_of_groups[a][g]
                if norm > highest[a]:
                    scales[row] = highest[a] / norm
                if moving and isfinite(norms[a]):
                    together[rate, steps[row]].append(row)
        if min(scales) < 1.0:
            gradient.mul_(torch.tensor(scales).view(-1, len(groups), 1))
        torch.set_flush_denormal(True)  # resting units' moments fall below 1e-38, where arithmetic is many times slower
        try:
            for (rate, before), rows in together.items():
                self._row_steps[rows] = before + 1
                if len(rows) == len(self._row_steps):
                    self._move([[block] for block in self._blocks], rate, before + 1)
                else:
                    self._move([[block[row] for row in rows] for block in self._rows], rate, before + 1)
        finally:
            torch.set_flush_denormal(False)
        return norms

    def _move(self, blocks: list[list[Tensor]], rate: float, step: float) -> None:
        """One step of rows that share the learning rate and the step count: θ, gradient and moments of each."""
        raise NotImplementedError


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1) over the groups of a population's parameters."""

    def __init__(
        self, parameters: Parameters, *, epsilon: float = 1e-8, beta1: float = 0.9, beta2: float = 0.999
    ) -> None:
        super().__init__(parameters, ("first_moment", "second_moment"))
        self.epsilon, self.beta1, self.beta2 = epsilon, beta1, beta2

    def _move(self, blocks: list[list[Tensor]], rate: float, step: float) -> None:
        """Torch's own Adam, which goes through memory once."""
        theta, gradient, first, second = blocks
        torch._fused_adam_(
            theta,
            gradient,
            first,
            second,
            [],
            [torch.tensor(step)] * len(theta),
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=False,
        )


class RMSprop(Optimiser):
    """RMSprop (Tieleman & Hinton 2012, lecture 6e): θ ← θ - α g / (√s + ε), where s is the running mean of g²."""

    def __init__(self, parameters: Parameters, *, epsilon: float = 1e-5, decay: float = 0.99) -> None:
        super().__init__(parameters, ("square",))
        self.epsilon, self.decay = epsilon, decay

    def _move(self, blocks: list[list[Tensor]], rate: float, step: float) -> None:
        for theta, gradient, square in zip(*blocks, strict=True):
            square.mul_(self.decay).addcmul_(gradient, gradient, value=1 - self.decay)
            theta.addcdiv_(gradient, square.sqrt().add_(self.epsilon), value=-rate)
