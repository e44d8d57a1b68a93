"""Adam for a population: learning rate, gradient clipping, step count and mask are each agent's own."""

from collections import defaultdict
from collections.abc import Mapping
from math import hypot, isfinite

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.population.parameters import Parameters
from relook.population.state import restore


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1) over the groups of a population's parameters.

    An agent that is not active in a group keeps its parameters, its moments and its step count in that group, bit for
    bit. So does an agent whose gradient is not finite.
    """

    def __init__(
        self, parameters: Parameters, *, epsilon: float = 1e-8, beta1: float = 0.9, beta2: float = 0.999
    ) -> None:
        self.parameters = parameters
        self.epsilon, self.beta1, self.beta2 = epsilon, beta1, beta2
        self.first_moment: Float[Tensor, "A G P"] = torch.zeros_like(parameters.theta)
        self.second_moment: Float[Tensor, "A G P"] = torch.zeros_like(parameters.theta)
        self.steps: Float[Tensor, "A G"] = torch.zeros(parameters.theta.shape[:2])
        self._blocks = (parameters.theta, parameters.gradient, self.first_moment, self.second_moment)
        # The same memory in rows, one for each agent and group: a row that shall not move is left out of a step.
        self._rows = [list(block.flatten(0, 1).unbind(0)) for block in self._blocks]
        self._row_steps = self.steps.numpy().reshape(-1)

    def state(self) -> dict[str, Tensor]:
        """Moments [A, G, P] and step counts [A, G]."""
        return {"first_moment": self.first_moment, "second_moment": self.second_moment, "steps": self.steps}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        restore(self.state(), state)

    @torch.no_grad()
    def step(
        self,
        learning_rate: Mapping[str, Float[Tensor, " A"]],
        *,
        active: Mapping[str, Bool[Tensor, " A"]],
        max_norm: Float[Tensor, " A"],
        clip_together: bool = False,
    ) -> list[float]:
        """Clip each agent's gradient to the norm `max_norm` (inf: never), then make one step.

        `learning_rate` and `active` are given for each group by its name. Each group is clipped by itself, or all
        groups together as one vector. Returns the Euclidean norm over all groups before clipping.
        """
        gradient, groups = self.parameters.gradient, self.parameters.groups
        # A handful of numbers for each agent: plain Python is quicker with them than a tensor operation for each step.
        norms_of_groups = torch.linalg.vector_norm(gradient, dim=2).tolist()
        norms = [hypot(*of_groups) for of_groups in norms_of_groups]
        highest, steps = max_norm.tolist(), self._row_steps.tolist()
        scales = [1.0] * len(steps)
        together: dict[tuple[float, float], list[int]] = defaultdict(list)
        for g, group in enumerate(groups):
            for a, (moves, rate) in enumerate(zip(active[group].tolist(), learning_rate[group].tolist(), strict=True)):
                row = a * len(groups) + g
                norm = norms[a] if clip_together else norms_of_groups[a][g]
                if norm > highest[a]:
                    scales[row] = highest[a] / norm
                if moves and isfinite(norms[a]):
                    together[rate, steps[row]].append(row)
        if min(scales) < 1.0:
            gradient.mul_(torch.tensor(scales).view(-1, len(groups), 1))
        for (rate, before), rows in together.items():
            self._fused(rows, rate, before + 1)
        return norms

    def _fused(self, rows: list[int], rate: float, step: float) -> None:
        """Torch's own Adam, which goes through memory once, on rows that share the learning rate and the step count."""
        self._row_steps[rows] = step
        if len(rows) == len(self._row_steps):
            theta, gradient, first, second = ([block] for block in self._blocks)
        else:
            theta, gradient, first, second = ([block[row] for row in rows] for block in self._rows)
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
