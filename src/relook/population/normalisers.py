"""Running normalisation of observations and rewards, for each agent its own.

The statistics stand still while an algorithm collects and updates, and move between; what a buffer stores stays raw.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.formulas.normalisation import beyond_rounding, merge_moments, moments
from relook.formulas.shapes import expand
from relook.population.state import restore

CLIP = 10.0
"""Normalised observations are cut at ±10, as Stable-Baselines3's VecNormalize and OpenAI Baselines do, so that one
outlier before the statistics have settled cannot wreck a network."""


class ObservationNormaliser:
    """(o - mean) / sd for each agent and component, with mean and sd of everything that `update` was given.

    Before the first `update`, mean is 0 and sd is 1. One-hot components, marked in `one_hot` [D], are left alone:
    dividing by the tiny sd of a rarely seen state would blow that state up.
    """

    def __init__(self, agents: int, one_hot: Bool[Tensor, " D"]) -> None:
        self.one_hot = one_hot
        self.count = 0.0
        self.mean = torch.zeros(agents, len(one_hot), dtype=torch.float64)
        self.variance = torch.ones(agents, len(one_hot), dtype=torch.float64)
        self._refresh()

    def _refresh(self) -> None:
        self._shift = torch.where(self.one_hot, 0.0, self.mean).float().unsqueeze(1)
        self._scale = torch.where(self.one_hot, 1.0, (self.variance + 1e-8).rsqrt()).float().unsqueeze(1)

    def __call__(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B D"]:
        return ((observation - self._shift) * self._scale).clamp(-CLIP, CLIP)

    def update(self, observation: Float[Tensor, "A B D"]) -> None:
        """Take a batch of raw observations into the statistics."""
        batch = observation.double()
        self.count, self.mean, self.variance = merge_moments(
            self.count, self.mean, self.variance, batch.shape[1], *moments(batch)
        )
        self._refresh()

    def state(self) -> dict[str, Tensor]:
        count = torch.full((len(self.mean),), self.count, dtype=torch.float64)
        return {"count": count, "mean": self.mean, "variance": self.variance}

    def load(self, state: dict[str, Tensor]) -> None:
        self.count, self.mean, self.variance = float(state["count"][0]), state["mean"], state["variance"]
        self._refresh()


class RewardScaler:
    """r / sd(G), where G is the running discounted return of each environment (Engstrom et al. 2020, §3, item 2).

    There is no shift: subtracting a mean from rewards changes which policy is best as soon as episodes can end.
    """

    def __init__(self, agents: int, environments: int, *, enabled: bool = True) -> None:
        """Without `enabled` the scale stays 1 and rewards pass through unchanged."""
        self.enabled = enabled
        self.count = 0.0
        self.mean = torch.zeros(agents, dtype=torch.float64)
        self.variance = torch.ones(agents, dtype=torch.float64)
        self.discounted_return = torch.zeros(agents, environments, dtype=torch.float64)

    @property
    def scale(self) -> Float[Tensor, " A"]:
        """What raw rewards are divided by: 1 as long as all returns were the same."""
        return torch.where(beyond_rounding(self.mean, self.variance), self.variance.sqrt(), 1.0).float()

    def __call__(self, reward: Float[Tensor, "A T N"]) -> Float[Tensor, "A T N"]:
        if not self.enabled:
            return reward
        return reward / expand(self.scale, 3)

    def state(self) -> dict[str, Tensor]:
        count = torch.tensor([self.count], dtype=torch.float64)
        moments = {"count": count, "mean": self.mean, "variance": self.variance}
        return moments | {"discounted_return": self.discounted_return}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        own = {name: tensor.clone() for name, tensor in self.state().items()}
        restore(own, state)
        self.count, self.mean, self.variance = own["count"].item(), own["mean"], own["variance"]
        self.discounted_return = own["discounted_return"]

    def update(
        self, reward: Float[Tensor, "A T N"], done: Bool[Tensor, "A T N"], discount: Float[Tensor, " A"]
    ) -> None:
        """Take the raw rewards of a rollout into the statistics; `done` marks the last step of an episode."""
        if not self.enabled:
            return
        returns = torch.empty_like(reward, dtype=torch.float64)
        for t in range(reward.shape[1]):
            self.discounted_return = self.discounted_return * expand(discount.double(), 2) + reward[:, t]
            returns[:, t] = self.discounted_return
            self.discounted_return = torch.where(done[:, t], 0.0, self.discounted_return)
        batch = returns.flatten(1)
        self.count, self.mean, self.variance = merge_moments(
            self.count, self.mean, self.variance, batch.shape[1], *moments(batch)
        )
