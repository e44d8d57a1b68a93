"""The experience of an off-policy algorithm: the last transitions of every agent, and when they are learned from."""

from collections.abc import Iterator, Mapping
from math import prod
from mmap import mmap
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relook.envs import Choices, Spaces, Transition
from relook.errors import RelookError, WrongRequest
from relook.formulas.shapes import expand


class Batch(NamedTuple):
    """B transitions of each agent, of m ≤ n steps: fewer where an episode ended."""

    observation: Float[Tensor, "A B D"]
    action: Tensor
    """[A, B, width]"""
    reward: Float[Tensor, "A B"]
    """r₀ + γ r₁ + … + γᵐ⁻¹ rₘ₋₁"""
    next_observation: Float[Tensor, "A B D"]
    """Where the last of the m steps led: at an end the final observation."""
    terminated: Bool[Tensor, "A B"]
    """Whether the last step terminated. A truncation alone leaves it False: the value of what was reached counts."""
    discount: Float[Tensor, "A B"]
    """γᵐ"""


def _ring(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros in memory of their own: outside the heap, whose free pieces the updates use again and again."""
    return torch.frombuffer(mmap(-1, prod(shape) * dtype.itemsize), dtype=dtype).view(shape)


def transition_bytes(spaces: Spaces) -> int:
    """The memory of one transition."""
    stored = spaces.observation.stored.itemsize * spaces.observation.size
    action = spaces.action.width * (8 if isinstance(spaces.action.kind, Choices) else 4)
    return 2 * stored + action + 4 + 2  # both observations, action, reward, two flags


class Replay:
    """The last `capacity` transitions of each agent: preallocated rings [A, T, N, …] of the steps of N environments.

    Observations are kept in their own type where that is smaller than float32. Every agent's samples come from its own
    transitions and its own stream of random numbers.
    """

    def __init__(self, agents: int, capacity: int, environments: int, spaces: Spaces, *, n_step: int = 1) -> None:
        self.length, self.n_step, self.environments = capacity // environments, n_step, environments
        if self.length < n_step:
            raise ValueError(f"expected room for {n_step} steps of {environments} environments; found {capacity}")
        shape = (agents, self.length, environments)
        seen = torch.from_numpy(spaces.observation.stored.type(0).reshape(1)).dtype
        discrete = isinstance(spaces.action.kind, Choices)
        self.observation = _ring(*shape, spaces.observation.size, dtype=seen)
        self.next_observation = _ring(*shape, spaces.observation.size, dtype=seen)
        self.action = _ring(*shape, spaces.action.width, dtype=torch.int64 if discrete else torch.float32)
        self.reward: Float[Tensor, "A T N"] = _ring(*shape)
        self.terminated: Bool[Tensor, "A T N"] = _ring(*shape, dtype=torch.bool)
        self.truncated: Bool[Tensor, "A T N"] = _ring(*shape, dtype=torch.bool)
        self.steps = 0
        """How many steps of all environments have been stored since the beginning."""
        self._fields = {
            name: getattr(self, name)
            for name in ("action", "observation", "next_observation", "reward", "terminated", "truncated")
        }
        # The same memory for numpy, which copies a few numbers in a fifth of torch's time, and with a row for each
        # transition of any agent: one index into rows gathers faster than several.
        self._arrays = [field.numpy() for field in self._fields.values()]
        self._rows = {name: field.flatten(0, 2) for name, field in self._fields.items()}
        self._first_row = torch.arange(agents).unsqueeze(1) * (self.length * environments)

    def store(self, action: Tensor, step: Transition) -> None:
        """Copy a step of all environments over the oldest: what was seen, done and got, and where it led."""
        t = self.steps % self.length
        for stored, new in zip(self._arrays, (action, *step), strict=True):
            stored[:, t] = new.numpy()
        self.steps += 1

    @property
    def oldest(self) -> int:
        """The number of the oldest step that is still there."""
        return max(0, self.steps - self.length)

    @property
    def step_bytes(self) -> int:
        """The memory of one step of all environments of all agents."""
        return sum(int(field.nbytes) for field in self._fields.values()) // self.length

    def places(self, chance: Float[Tensor, "A ..."]) -> Int[Tensor, "A ..."]:
        """The transitions that uniform numbers of [0, 1) choose, all alike: step × N + environment of each.

        The newest n - 1 steps wait: what follows them is not there yet.
        """
        usable = self.steps - self.oldest - (self.n_step - 1)
        if usable < 1:
            raise ValueError(f"expected at least {self.n_step} steps before the first sample; found {self.steps}")
        return (chance * (usable * self.environments)).long() + self.oldest * self.environments

    def age(self, places: Int[Tensor, "A ..."]) -> Float[Tensor, "A ..."]:
        """How many environment steps of its agent ago each transition was made."""
        return (self.environments * self.steps - places).float()

    def sample(self, places: Int[Tensor, "A B"], discount: Float[Tensor, " A"]) -> Batch:
        """The transitions at these places."""

        def rows(place: Tensor) -> Tensor:
            return (place % (self.length * self.environments) + self._first_row).flatten()

        def at(name: str, index: Tensor) -> Tensor:
            found: Tensor = self._rows[name].index_select(0, index).unflatten(0, places.shape)
            return found

        first, gamma = rows(places), expand(discount, 2)
        reward, total_discount = at("reward", first), gamma.expand(places.shape)
        last, place, going_on = first, places, torch.ones_like(places, dtype=torch.bool)
        for _ in range(self.n_step - 1):
            going_on = going_on & ~(at("terminated", last) | at("truncated", last))
            place = place + going_on * self.environments
            last = rows(place)
            reward = reward + torch.where(going_on, total_discount * at("reward", last), 0.0)
            total_discount = torch.where(going_on, total_discount * gamma, total_discount)
        return Batch(
            at("observation", first).float(),
            at("action", first),
            reward,
            at("next_observation", last).float(),
            at("terminated", last),
            total_discount,
        )

    def written_between(self, first: int, last: int) -> dict[str, Tensor]:
        """Copies [A, last - first, N, …] of the steps `first` … `last` - 1, which must still be there."""
        index = torch.arange(first, last) % self.length
        return {name: field[:, index] for name, field in self._fields.items()}

    def put_back(self, first: int, stored: Mapping[str, Tensor]) -> None:
        """Take over what `written_between` gave, in order. Raises `RelookError` for tensors of another kind."""
        for name, field in self._fields.items():
            found = stored.get(name)
            shape = (len(field), -1 if found is None else found.shape[1], *field.shape[2:])
            if found is None or found.shape != shape or found.dtype != field.dtype:
                raise RelookError(
                    f"expected stored {name}s of type {field.dtype} and shape {list(shape)}; found "
                    f"{'nothing' if found is None else f'{found.dtype} {list(found.shape)}'}"
                )
        count = stored["reward"].shape[1]
        index = torch.arange(first, first + count)[-self.length :]
        for name, field in self._fields.items():
            field[:, index % self.length] = stored[name][:, index - first]
        self.steps = first + count


@runtime_checkable
class ReplayConfig(Protocol):
    """What an algorithm's `Config` says of its experience, and of when it learns from it."""

    @property
    def envs(self) -> int: ...
    @property
    def iteration(self) -> int: ...
    @property
    def update_interval(self) -> int: ...
    @property
    def update_to_data(self) -> float: ...
    @property
    def learning_starts(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def n_step(self) -> int: ...


def replay_bytes(agents: int, steps: int, config: ReplayConfig, spaces: Spaces) -> int:
    """The memory that the replay of so many agents takes when it is full, or when each has made `steps` steps."""
    return agents * min(config.capacity, steps) * transition_bytes(spaces)


def check_schedule(config: ReplayConfig) -> None:
    """Raise `WrongRequest` for an experience that does not fit together."""
    if config.update_interval % config.envs:
        raise WrongRequest(
            f"expected update_interval to be a multiple of envs, {config.envs}; found {config.update_interval}"
        )
    if config.iteration % config.update_interval:
        raise WrongRequest(
            f"expected iteration to be a multiple of update_interval, {config.update_interval}; found "
            f"{config.iteration}"
        )
    updates = config.update_to_data * config.update_interval
    if updates < 1 or updates != round(updates):
        raise WrongRequest(
            f"expected update_to_data × update_interval, the updates after each interval, to be a whole number; found "
            f"{config.update_to_data:g} × {config.update_interval} = {updates:g}; change one of them"
        )
    if config.learning_starts < config.n_step * config.envs:
        raise WrongRequest(
            f"expected learning_starts of at least n_step × envs, {config.n_step * config.envs}; found "
            f"{config.learning_starts}"
        )
    if config.capacity < config.n_step * config.envs:
        raise WrongRequest(
            f"expected a capacity of at least n_step × envs, {config.n_step * config.envs}; found {config.capacity}"
        )


class Interval(NamedTuple):
    """What happens between two looks at the replay: some steps, then some updates."""

    steps: range
    """The steps of all environments, counted from the beginning of the iteration."""
    done: int
    """Environment steps of each agent before it."""
    ends: int
    """And after it."""
    updates: range
    """The updates after the steps, counted from the beginning of training; none before learning starts."""


def intervals(iteration: int, config: ReplayConfig) -> Iterator[Interval]:
    """The intervals of one iteration, which follow from its number and the hyper-parameters alone."""
    each, steps = config.iteration // config.update_interval, config.update_interval // config.envs
    updates = round(config.update_to_data * config.update_interval)
    # The first interval at whose end `learning_starts` steps have been made.
    first = -(-config.learning_starts // config.update_interval) - 1
    for i in range(each):
        number = iteration * each + i
        begin = max(0, number - max(first, 0)) * updates
        learns = number >= first
        yield Interval(
            range(i * steps, (i + 1) * steps),
            number * config.update_interval,
            (number + 1) * config.update_interval,
            range(begin, begin + updates) if learns else range(0),
        )


class Averages:
    """Means over an iteration's updates of numbers [A, …], of each agent's samples too."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, **measured: Tensor) -> None:
        """Of one update."""
        for name, x in measured.items():
            waiting = self._waiting.setdefault(name, [])
            waiting.append(x)
            if len(waiting) == 32:  # one sum of many costs less than many, and of too many memory
                self._take(name)

    def _take(self, name: str) -> None:
        waiting = self._waiting.pop(name, [])
        if waiting:
            means = torch.stack(waiting, 1).flatten(2).mean(2) if waiting[0].ndim > 1 else torch.stack(waiting, 1)
            self._sums[name] = self._sums.get(name, 0) + means.sum(1)
            self._counts[name] = self._counts.get(name, 0) + len(waiting)

    def means(self) -> dict[str, Float[Tensor, " A"]]:
        """Of everything since the last call; nothing if there was nothing."""
        for name in list(self._waiting):
            self._take(name)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


def replay_for(config: ReplayConfig, agents: int, steps: int, spaces: Spaces) -> Replay:
    """The replay of agents that make `steps` steps each: no larger than what these can fill."""
    most = -(-steps // config.envs) * config.envs
    room = max(min(config.capacity, most), config.n_step * config.envs)
    return Replay(agents, room, config.envs, spaces, n_step=config.n_step)
