"""What a rollout is judged by: log-probabilities, values, advantages and value targets, and how good they are."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from relook.buffers.rollout import Rollout
from relook.envs import Continuous, Spaces
from relook.formulas.diagnostics import explained_variance, value_bias
from relook.formulas.returns import gae
from relook.population.hyperparameters import Hyperparameters


@runtime_checkable
class Judge(Protocol):
    """What is needed of an actor-critic."""

    def evaluate(self, observation: Float[Tensor, "A B D"], action: Tensor) -> Any: ...
    def value(self, observation: Float[Tensor, "A B D"]) -> Float[Tensor, "A B"]: ...


class Estimates(NamedTuple):
    """What a rollout is judged by."""

    log_prob: Float[Tensor, "A T N"]
    """log π_old(a|s)"""
    value: Float[Tensor, "A T N"]
    advantage: Float[Tensor, "A T N"]
    target: Float[Tensor, "A T N"]


def estimate(ac: Judge, rollout: Rollout, reward: Float[Tensor, "A T N"], h: Hyperparameters) -> Estimates:
    """What π_old and V say of a rollout, before they are changed; `reward` is on the scale that is to be learned."""
    fields, parts = (rollout.observation, rollout.action, rollout.next_observation), []
    with torch.no_grad():
        # A few hundred samples at a time: their activations fit into the processor's cache.
        for observation, action, led_to in zip(*(x.flatten(1, 2).split(512, 1) for x in fields), strict=True):
            now = ac.evaluate(observation, action)
            parts.append((now.log_prob, now.value, ac.value(led_to)))
    log_prob, value, next_value = (torch.cat(x, 1).view_as(reward) for x in zip(*parts, strict=True))
    advantage = gae(reward, value, next_value, rollout.terminated, rollout.truncated, h.discount, h.gae_lambda)
    return Estimates(log_prob, value, advantage, target=advantage + value)


def rollout_diagnostics(
    estimates: Estimates, action: Tensor, spaces: Spaces, scale: Float[Tensor, " A"]
) -> dict[str, Float[Tensor, " A"]]:
    """Diagnostics of a rollout's actions [A, T, N, width] and of what it was judged by; `scale` turns values into units
    of raw reward.
    """
    value, target = estimates.value.flatten(1), estimates.target.flatten(1)
    return {
        "explained_variance": explained_variance(value, target),
        "value_bias": value_bias(value, target),
        "value": value.mean(1) * scale,
        "saturation": saturation(action, spaces),
        "reward_scale": scale,
    }


def saturation(action: Tensor, spaces: Spaces) -> Float[Tensor, " A"]:
    """The share of the bounded components of actions [A, …, width] that are at or beyond 99 % of the way to a bound.

    NaN if no component has bounds.
    """
    if not isinstance(spaces.action.kind, Continuous) or not spaces.action.bounded.any():
        return torch.full((len(action),), torch.nan)
    middle, half, bounded = map(torch.from_numpy, (spaces.action.middle, spaces.action.half, spaces.action.bounded))
    reach = ((action - middle) / half)[..., bounded].abs()
    return (reach >= 0.99).float().flatten(1).mean(1)
