"""Target networks: slow copies of what is learned, which value targets are made with."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.population.parameters import Parameters


class Target:
    """A copy θ' of a population's parameters θ, which moves only when it is told to `follow` them."""

    def __init__(self, source: Parameters) -> None:
        self.source = source
        self.parameters = source.copy()
        self._rows = list(zip(self.parameters.theta.unbind(0), source.theta.unbind(0), strict=True))

    @torch.no_grad()
    def follow(self, rate: Float[Tensor, " A"], active: Bool[Tensor, " A"]) -> None:
        """θ' ← (1 - τ) θ' + τ θ, with each agent's own rate τ, for the agents that are active; τ = 1 copies.

        Lillicrap et al. 2016, arXiv:1509.02971, Algorithm 1. (Spinning Up's polyak is 1 - τ.)
        """
        for (target, source), tau, moves in zip(self._rows, rate.tolist(), active.tolist(), strict=True):
            if moves:
                target.lerp_(source, tau)

    def lag(self) -> Float[Tensor, " A"]:
        """‖θ - θ'‖ / ‖θ‖: 0 right after a copy, and growing for ever if the target never moves."""
        theta = self.source.theta
        apart, length = ((x.square().sum(2)).sum(1) for x in (theta - self.parameters.theta, theta))
        return (apart / length).sqrt()

    def state(self) -> dict[str, Tensor]:
        """θ' [A, G, P]."""
        return self.parameters.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        self.parameters.load(state)
