"""Adam for a population: learning rate, gradient clipping, step count and mask are each agent's own."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.population.parameters import Parameters


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1) over named groups of parameters.

    An agent that is not active in a group keeps its parameters, its moments and its step count in that group, bit for
    bit and whatever its gradient holds, NaN included.
    """

    def __init__(
        self,
        groups: Mapping[str, Parameters],
        *,
        epsilon: float = 1e-8,
        beta1: float = 0.9,
        beta2: float = 0.999,
    ) -> None:
        self.groups = dict(groups)
        self.epsilon, self.beta1, self.beta2 = epsilon, beta1, beta2
        self.first_moment = {name: torch.zeros_like(group.theta) for name, group in groups.items()}
        self.second_moment = {name: torch.zeros_like(group.theta) for name, group in groups.items()}
        self.steps = {name: [0] * len(group.theta) for name, group in groups.items()}

    def zero_gradient(self) -> None:
        for group in self.groups.values():
            group.zero_gradient()

    @torch.no_grad()
    def step(
        self,
        learning_rate: Float[Tensor, " A"],
        *,
        active: Mapping[str, Bool[Tensor, " A"]],
        max_norm: Float[Tensor, " A"],
        clip_together: bool = False,
    ) -> Float[Tensor, " A"]:
        """Clip each agent's gradient to the norm `max_norm` (inf: never), then make one step.

        Each group is clipped by itself, or all groups together as one vector. Returns the Euclidean norm over all
        groups before clipping.
        """
        squares = {name: group.gradient.square().sum(1) for name, group in self.groups.items()}
        norm = torch.stack(list(squares.values())).sum(0).sqrt()
        for name, group in self.groups.items():
            clipped = norm if clip_together else squares[name].sqrt()
            scale = (max_norm / (clipped + 1e-6)).clamp(max=1.0)
            self._step(name, group, learning_rate, scale, active[name])
        return norm

    def _step(self, name: str, group: Parameters, learning_rate: Tensor, scale: Tensor, active: Tensor) -> None:
        m, v, theta = self.first_moment[name], self.second_moment[name], group.theta
        resting = (~active).nonzero().squeeze(1)
        kept = [x[resting] for x in (m, v, theta)] if len(resting) else []

        self.steps[name] = [n + a for n, a in zip(self.steps[name], active.tolist(), strict=True)]
        # Python's powers, not torch's: those of a vector may differ in the last bit with the vector's length.
        steps = [max(n, 1) for n in self.steps[name]]
        correction1 = torch.tensor([1 - self.beta1**n for n in steps], dtype=torch.float64)
        correction2 = torch.tensor([(1 - self.beta2**n) ** 0.5 for n in steps], dtype=torch.float64)

        gradient = group.gradient * scale.unsqueeze(1)
        m.lerp_(gradient, 1 - self.beta1)
        v.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        denominator = v.sqrt().div_(correction2.float().unsqueeze(1)).add_(self.epsilon)
        theta.sub_((learning_rate / correction1).float().unsqueeze(1) * m / denominator)

        for x, old in zip((m, v, theta), kept, strict=False):
            x[resting] = old
