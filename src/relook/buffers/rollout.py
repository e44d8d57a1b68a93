"""The experience of one iteration of an on-policy algorithm."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.envs import Choices, Spaces, Transition
from relook.population import Agents, restore


class Minibatch(NamedTuple):
    """B samples of each agent."""

    observation: Float[Tensor, "A B D"]
    action: Tensor
    """[A, B, width]"""
    log_prob: Float[Tensor, "A B"]
    """log π_old(a|s)"""
    value: Float[Tensor, "A B"]
    """V_old(s)."""
    advantage: Float[Tensor, "A B"]
    target: Float[Tensor, "A B"]
    """What V(s) shall become."""


class Rollout:
    """T steps in N environments of A agents: preallocated tensors [A, T, N, …], overwritten by every iteration.

    With a `past` the last so many steps of earlier iterations lie before those of this one: [A, past + T, N, …].
    """

    def __init__(self, agents: int, horizon: int, environments: int, spaces: Spaces, *, past: int = 0) -> None:
        self.past = past
        horizon += past
        shape = (agents, horizon, environments)
        discrete = isinstance(spaces.action.kind, Choices)
        self.observation: Float[Tensor, "A T N D"] = torch.zeros(*shape, spaces.observation.size)
        self.next_observation: Float[Tensor, "A T N D"] = torch.zeros_like(self.observation)
        self.action = torch.zeros(*shape, spaces.action.width, dtype=torch.int64 if discrete else torch.float32)
        self.reward: Float[Tensor, "A T N"] = torch.zeros(shape)
        self.terminated: Bool[Tensor, "A T N"] = torch.zeros(shape, dtype=torch.bool)
        self.truncated: Bool[Tensor, "A T N"] = torch.zeros(shape, dtype=torch.bool)
        # The same memory for numpy, which copies a few numbers in a fifth of torch's time.
        fields = (self.action, self.observation, self.next_observation, self.reward, self.terminated, self.truncated)
        self._arrays = [field.numpy() for field in fields]
        self.terminated[:] = past > 0  # of what shall become the past, nothing waits for its end yet

    def store(self, t: int, action: Tensor, step: Transition) -> None:
        """Copy step t of this iteration: what was seen, done and got, and where it led."""
        for stored, new in zip(self._arrays, (action, *step), strict=True):
            stored[:, self.past + t] = new.numpy()

    def remember(self) -> None:
        """Let the last steps become the past: an iteration begins."""
        for stored in self._arrays:
            stored[:, : self.past] = stored[:, stored.shape[1] - self.past :].copy()

    def ended(self) -> Bool[Tensor, "A _ N"]:
        """The steps, past ones too, whose episode ended in this iteration."""
        end, ended = self.terminated | self.truncated, torch.empty_like(self.terminated)
        following = torch.zeros_like(end[:, 0])
        for t in reversed(range(end.shape[1])):
            following = torch.where(end[:, t], torch.tensor(t >= self.past), following)
            ended[:, t] = following
        return ended

    def state(self) -> dict[str, Tensor]:
        """The steps that the next iteration will call its past."""
        names = ("action", "observation", "next_observation", "reward", "terminated", "truncated")
        return {name: getattr(self, name)[:, self.reward.shape[1] - self.past :].clone() for name in names}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises `RelookError` for missing tensors and wrong shapes."""
        own = self.state()
        restore(own, state)
        for name, tensor in own.items():
            getattr(self, name)[:, self.reward.shape[1] - self.past :] = tensor

    def minibatches(
        self,
        agents: Agents,
        iteration: int,
        epochs: int,
        size: int,
        log_prob: Float[Tensor, "A T N"],
        value: Float[Tensor, "A T N"],
        advantage: Float[Tensor, "A T N"],
        target: Float[Tensor, "A T N"],
        *,
        renew: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Iterator[Minibatch]:
        """Every sample of every agent once in each epoch, in each agent's own random order, `size` at a time.

        The last minibatch of an epoch holds what is left and may be smaller. Before each epoch but the first `renew`
        is asked for other advantages and targets.
        """
        fields = (self.observation, self.action, log_prob, value, advantage, target)
        samples = self.reward[0].numel()
        flat = [field.reshape(len(agents) * samples, *field.shape[3:]) for field in fields]
        # One row per sample of any agent: one index into rows gathers faster than a pair of indices.
        first_row = torch.arange(len(agents)).unsqueeze(1) * samples
        for epoch in range(epochs):
            if epoch and renew:
                flat[-2:] = (x.reshape(len(agents) * samples) for x in renew())
            order = first_row + agents.permutation("minibatch", iteration * epochs + epoch, samples)
            whole = samples - samples % size
            # All of an epoch's minibatches at once, one behind the other, because each call costs more than the copy.
            for rows in order[:, :whole].unflatten(1, (-1, size)).transpose(0, 1), order[:, whole:].unsqueeze(0):
                if rows.numel():
                    parts = (x.index_select(0, rows.flatten()).unflatten(0, rows.shape) for x in flat)
                    yield from map(Minibatch, *(x.unbind(0) for x in parts))
