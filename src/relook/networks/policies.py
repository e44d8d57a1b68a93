"""Stochastic policies: what the numbers that come out of a network mean as a distribution over actions.

A policy is a head: it says how many outputs it needs and what else it learns, turns outputs into actions,
log-probabilities and entropies, and slopes by these into slopes by the outputs. Actions are those of
`relook.envs.ActionSpace`: integers from 0, or numbers of which [-1, 1] stands for the bounds.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from relook.envs.spaces import Choices, Continuous
from relook.formulas.distributions import (
    categorical_entropy,
    categorical_fisher,
    categorical_kl,
    categorical_log_prob,
    categorical_sample,
    categorical_slope,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
    gaussian_slopes,
)
from relook.population import Agents, Parameters

IMPOSSIBLE = -1e30
"""Logit of an option that does not exist: its probability is exactly 0, and 0 times it is 0, not NaN."""


class Judgement(NamedTuple):
    """What a policy says of given actions."""

    log_prob: Float[Tensor, "A B"]
    entropy: Float[Tensor, "A B"]
    backward: Callable[[Tensor, Tensor | None], Tensor]
    """From the slopes [A, B] of a loss by log-probability and entropy (None for 0) to its slope [A, B, O] by the
    output. Writes into ∂θ what belongs to what the policy learns beside its network."""
    distribution: tuple[Tensor, ...]
    """What `kl` compares: all that the distributions [A, B, …] follow from."""


@runtime_checkable  # so that the tests can check types at every call
class Policy(Protocol):
    """What an actor-critic needs of a policy head."""

    outputs: int
    shapes: dict[str, tuple[int, ...]]

    def initialise(self, parameters: Parameters) -> None: ...
    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]: ...
    def sample(self, parameters: Parameters, output: Tensor, noise: Tensor) -> Tensor: ...
    def mode(self, output: Tensor) -> Tensor: ...
    def evaluate(self, parameters: Parameters, output: Tensor, action: Tensor) -> Judgement: ...
    def kl(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Float[Tensor, "A B"]: ...
    def fisher(
        self, parameters: Parameters, judged: Judgement, moved: Tensor, direction: Mapping[str, Tensor]
    ) -> Tensor:
        """F v, averaged over B samples, of a policy whose output moves by `moved` [A, B, O], and what it learns beside
        its network by `direction`: the share of the output [A, B, O]. Writes the other share into ∂θ.
        """
        ...


class CategoricalPolicy:
    r"""π(a|s) = Π_i softmax(logits_i(s))[a_i] over K independent choices with n_i options each.

    K = 1 for `Discrete`; `MultiBinary` is K choices between two.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.outputs = sum(sizes)
        self.shapes: dict[str, tuple[int, ...]] = {}
        most = max(sizes)
        index, start = [], 0
        for n in sizes:
            index += [start + i if i < n else self.outputs for i in range(most)]
            start += n
        self._ragged = len(set(sizes)) > 1
        self._index = torch.tensor(index)
        self._options = torch.tensor([i for i, output in enumerate(index) if output < self.outputs])

    def initialise(self, parameters: Parameters) -> None:
        """A categorical policy learns nothing beside its network."""

    def logits(self, output: Float[Tensor, "A B O"]) -> Float[Tensor, "A B K n"]:
        """Logits of all options of all choices; choices with fewer options are filled up with log 0."""
        if self._ragged:
            missing = torch.full_like(output[..., :1], IMPOSSIBLE)
            output = torch.cat([output, missing], -1)[..., self._index]
        return output.reshape(*output.shape[:-1], len(self.sizes), -1)

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        return agents.uniform(purpose, block, (*shape, len(self.sizes)))

    def sample(
        self, parameters: Parameters, output: Float[Tensor, "A B O"], noise: Float[Tensor, "A B K"]
    ) -> Int[Tensor, "A B K"]:
        return categorical_sample(self.logits(output), noise)

    def mode(self, output: Float[Tensor, "A B O"]) -> Int[Tensor, "A B K"]:
        return self.logits(output).argmax(-1)

    def evaluate(
        self, parameters: Parameters, output: Float[Tensor, "A B O"], action: Int[Tensor, "A B K"]
    ) -> Judgement:
        log_p = self.logits(output).log_softmax(-1)

        def backward(by_log_prob: Tensor, by_entropy: Tensor | None = None) -> Tensor:
            slope = categorical_slope(log_p, action, by_log_prob, by_entropy).flatten(-2)
            return slope[..., self._options] if self._ragged else slope

        return Judgement(categorical_log_prob(log_p, action), categorical_entropy(log_p), backward, (log_p,))

    def kl(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Float[Tensor, "A B"]:
        return categorical_kl(*old, *new)

    def fisher(
        self, parameters: Parameters, judged: Judgement, moved: Tensor, direction: Mapping[str, Tensor]
    ) -> Tensor:
        (log_p,) = judged.distribution
        product = categorical_fisher(log_p, self.logits(moved)).flatten(-2) / moved.shape[1]
        return product[..., self._options] if self._ragged else product


class GaussianPolicy:
    r"""π(a|s) = N(μ(s), diag(σ²)), with a learned log σ that does not depend on the state."""

    LOG_STD = "policy/log_std"

    def __init__(self, size: int, initial_log_std: float) -> None:
        self.outputs = size
        self.shapes: dict[str, tuple[int, ...]] = {self.LOG_STD: (size,)}
        self._initial_log_std = initial_log_std

    def initialise(self, parameters: Parameters) -> None:
        parameters.set(self.LOG_STD, torch.full_like(parameters[self.LOG_STD], self._initial_log_std))

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Float[Tensor, "A ... K"]:
        return agents.normal(purpose, block, (*shape, self.outputs))

    def sample(
        self, parameters: Parameters, output: Float[Tensor, "A B K"], noise: Float[Tensor, "A B K"]
    ) -> Float[Tensor, "A B K"]:
        std = np.exp(parameters[self.LOG_STD].detach().numpy())[:, None]
        return torch.from_numpy(output.numpy() + std * noise.numpy())

    def mode(self, output: Float[Tensor, "A B K"]) -> Float[Tensor, "A B K"]:
        return output

    def evaluate(
        self, parameters: Parameters, output: Float[Tensor, "A B K"], action: Float[Tensor, "A B K"]
    ) -> Judgement:
        log_std = parameters[self.LOG_STD].detach().unsqueeze(1)

        def backward(by_log_prob: Tensor, by_entropy: Tensor | None = None) -> Tensor:
            by_mean, by_log_std = gaussian_slopes(action, output, log_std, by_log_prob)
            if by_entropy is not None:  # it grows with log σ, one by one
                by_log_std += by_entropy.unsqueeze(-1)
            parameters.gradient_of(self.LOG_STD).copy_(by_log_std.sum(1))
            return by_mean

        entropy = gaussian_entropy(log_std).expand(output.shape[:-1])
        return Judgement(gaussian_log_prob(action, output, log_std), entropy, backward, (output, log_std.clone()))

    def kl(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Float[Tensor, "A B"]:
        return gaussian_kl(*old, *new)

    def fisher(
        self, parameters: Parameters, judged: Judgement, moved: Tensor, direction: Mapping[str, Tensor]
    ) -> Tensor:
        """The Fisher information is 1/σ² of each mean, and 2 of each log σ."""
        _, log_std = judged.distribution
        parameters.gradient_of(self.LOG_STD).copy_(2 * direction[self.LOG_STD])
        return moved * (-2 * log_std).exp() / moved.shape[1]


def policy_for(kind: Choices | Continuous, initial_log_std: float) -> Policy:
    """The policy head for an action space."""
    if isinstance(kind, Choices):
        return CategoricalPolicy(kind.sizes)
    return GaussianPolicy(kind.size, initial_log_std)
