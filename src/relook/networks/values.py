"""Regression of the value function, for algorithms whose policy moves by itself."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.networks.actor_critic import ActorCritic
from relook.population import Optimiser


def fit_value(
    ac: ActorCritic,
    optimiser: Optimiser,
    samples: Iterable[tuple[Float[Tensor, "A B D"], Float[Tensor, "A B"], Float[Tensor, "A B"] | float]],
    learning_rate: Float[Tensor, " A"],
    alive: Bool[Tensor, " A"],
) -> Float[Tensor, " A"]:
    """Make a step on Σ share (V(s) - target)² for each batch of observations, targets and shares, for agents `alive`.

    The shares of an agent's samples add up to 1: 1 / B each for the mean. Returns the mean loss over the
    batches, before each step.
    """
    losses = []
    for observation, target, share in samples:
        now = ac.evaluate_value(observation)
        error = now.value - target
        now.backward(2 * share * error)
        optimiser.step({"value": learning_rate}, active={"value": alive})
        losses.append((share * error.square()).sum(1))
    return torch.stack(losses).mean(0)
