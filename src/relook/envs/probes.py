"""Small environments with known answers: what an algorithm must get right before it is tried on anything else.

Each isolates one ability, so that a failure names its cause; the first five follow Andy Jones's "Debugging RL,
Without the Agonizing Pain" (2021). All are registered in Gymnasium as `relook/Name-v0`.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Step = tuple[Vector, float, bool, bool, dict[str, Any]]
Reset = tuple[Vector, dict[str, Any]]


def _vector(*numbers: float) -> Vector:
    return np.array(numbers, dtype=np.float32)


def _box(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


class _Probe(gym.Env[Vector, Any]):
    """An observation of one number and two actions, unless a probe says otherwise.

    With `continuous` the action is one number of [-1, 1]: above 0 it means action 1, otherwise action 0. `shown` is the
    observation where it says nothing: at 0 a network without a bias, or with ReLUs, learns slowly.
    """

    observation_space: gym.Space[Any] = _box(1)
    action_space: gym.Space[Any] = spaces.Discrete(2)

    def __init__(self, *, continuous: bool = False, shown: float = 0.0) -> None:
        self.continuous, self.shown = continuous, shown
        if continuous:
            self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def chosen(self, action: Any) -> int:
        """Action 0 or 1."""
        return int(action[0] > 0) if self.continuous else int(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        super().reset(seed=seed, options=options)
        self.t = 0
        return self.begin(), {}

    def begin(self) -> Vector:
        """The first observation."""
        return _vector(self.shown)


class ValueOnly(_Probe):
    """One step, observation 0, reward 1. V = 1. Fails if the value loss or the optimiser is broken."""

    def step(self, action: Any) -> Step:
        return _vector(0), 1.0, True, False, {}


class RewardByObservation(_Probe):
    """One step; the observation is +1 or -1 and is the reward. V(o) = o. Fails if values do not see observations."""

    def begin(self) -> Vector:
        self.sign = float(self.np_random.choice((-1.0, 1.0)))
        return _vector(self.sign)

    def step(self, action: Any) -> Step:
        return _vector(self.sign), self.sign, True, False, {}


class Discount(_Probe):
    """Two steps, observations 0 and 1, rewards 0 and 1. V(0) = γ, V(1) = 1. Fails if discounting is broken."""

    def step(self, action: Any) -> Step:
        self.t += 1
        return _vector(1), float(self.t == 2), self.t == 2, False, {}


class RewardByAction(_Probe):
    """One step, reward +1 for action 1 and -1 for action 0. Fails if the policy loss is broken."""

    def step(self, action: Any) -> Step:
        return _vector(0), 1.0 if self.chosen(action) == 1 else -1.0, True, False, {}


class Coupling(RewardByObservation):
    """One step, reward +1 if the action says the observation's sign, else -1. Fails if pairs are torn apart."""

    def step(self, action: Any) -> Step:
        right = (self.chosen(action) == 1) == (self.sign > 0)
        return _vector(self.sign), 1.0 if right else -1.0, True, False, {}


class ConstantReward(_Probe):
    """Reward 1 at every step, cut by a time limit of 10 steps that the observation does not show.

    Nothing ever terminates, so V = 1 / (1 - γ). An algorithm that treats the limit as a termination finds less.
    """

    def step(self, action: Any) -> Step:
        self.t += 1
        return _vector(self.shown), 1.0, False, self.t == 10, {}


class NegativeRewards(_Probe):
    """Five steps, reward -1 for action 1 and -2 for action 0. Best return -5. Fails if values cannot be negative."""

    observation_space = _box(5)

    def begin(self) -> Vector:
        return self._place()

    def _place(self) -> Vector:
        place = np.zeros(5, dtype=np.float32)
        place[self.t % 5] = 1
        return place

    def step(self, action: Any) -> Step:
        self.t += 1
        done = self.t == 5
        return self._place(), -1.0 if self.chosen(action) == 1 else -2.0, done, False, {}


class SurviveOrQuit(_Probe):
    """Action 0 earns 1 and goes on, up to a limit of 20 steps; action 1 earns 1.5 and ends the episode.

    The best policy survives, with return 20. A trainer that subtracts a mean from rewards learns to quit.
    """

    def step(self, action: Any) -> Step:
        self.t += 1
        quits = self.chosen(action) == 1
        return _vector(self.shown), 1.5 if quits else 1.0, bool(quits), self.t == 20 and not quits, {}


class InsideBounds(_Probe):
    """One step, two continuous actions with bounds [-1, 3] and [-5, 0.5], reward -|action - (2.7, -4)|².

    The optimum lies nine tenths of the way to one bound. Fails if actions are rescaled as though bounds were
    symmetric, equal for all components, or ±1.
    """

    action_space = spaces.Box(_vector(-1, -5), _vector(3, 0.5))
    OPTIMUM: ClassVar[tuple[float, float]] = (2.7, -4.0)

    def step(self, action: Any) -> Step:
        return _vector(self.shown), -float(np.square(action - np.array(self.OPTIMUM)).sum()), True, False, {}


class Tagging(_Probe):
    """Writes (environment, episode, step, last action) into its observation, and the first three into its reward.

    So every stored transition can be checked. Environments are numbered in the order in which they are made, after
    `Tagging.numbers = itertools.count()`. Episodes end in turn by termination after 3 steps, by truncation after 4,
    and by both at once after 5.
    """

    observation_space = _box(4)
    numbers: ClassVar[Iterator[int]] = count()
    LENGTHS: ClassVar[tuple[int, int, int]] = (3, 4, 5)

    def __init__(self) -> None:
        super().__init__()
        self.number = next(Tagging.numbers)
        self.episode = -1

    def begin(self) -> Vector:
        self.episode += 1
        return _vector(self.number, self.episode, 0, -1)

    @staticmethod
    def reward(number: float, episode: float, step: float) -> float:
        """The reward of the step that led to `step`."""
        return number * 10_000 + episode * 10 + step

    def step(self, action: Any) -> Step:
        self.t += 1
        ending = self.episode % 3
        done = self.t == self.LENGTHS[ending]
        observation = _vector(self.number, self.episode, self.t, float(action))
        reward = self.reward(self.number, self.episode, self.t)
        return observation, reward, done and ending != 1, done and ending != 0, {}


class Mutating(_Probe):
    """Counts its steps in one array that it returns every time. Fails if a buffer keeps the array and not a copy."""

    def begin(self) -> Vector:
        self.array: Vector = _vector(0)
        return self.array

    def step(self, action: Any) -> Step:
        self.array += 1
        return self.array, 0.0, bool(self.array[0] == 6), False, {}


class Contexts(RewardByObservation):
    """Ten steps with a new sign each; reward +1 if the action says the sign that was seen, else -1.

    Nothing that is done matters later. Fails if a reward belongs to another step's action. With `in_place` all
    observations are one array, changed at each step: fails if a buffer keeps it, and not a copy.
    """

    def __init__(self, *, continuous: bool = False, in_place: bool = False) -> None:
        super().__init__(continuous=continuous)
        self._array: Vector | None = _vector(0) if in_place else None

    def _seen(self) -> Vector:
        if self._array is None:
            return _vector(self.sign)
        self._array[0] = self.sign
        return self._array

    def begin(self) -> Vector:
        super().begin()
        return self._seen()

    def step(self, action: Any) -> Step:
        self.t += 1
        right = (self.chosen(action) == 1) == (self.sign > 0)
        self.sign = float(self.np_random.choice((-1.0, 1.0)))
        return self._seen(), 1.0 if right else -1.0, self.t == 10, False, {}


class PastReward(_Probe):
    """Two steps, observations (1, 0) and (0, 1), rewards 10 and 0. V of the second is 0, whatever came before it.

    Fails if rewards are stored one step late.
    """

    observation_space = _box(2)

    def begin(self) -> Vector:
        return _vector(1, 0)

    def step(self, action: Any) -> Step:
        self.t += 1
        return _vector(0, 1), 10.0 if self.t == 1 else 0.0, self.t == 2, False, {}


class Ends(_Probe):
    """One step from one of three places, each a unit vector, all equally likely.

    From place 0 the step leads to place 1 without reward, and the time limit cuts the episode there; from place 1 it
    ends with 10, from place 2 with -30. V = (10 γ, 10, -30). Whoever takes the cut for an end finds 0 at place 0;
    whoever goes on there with the value of the next episode's first observation finds about -10.
    """

    observation_space = _box(3)

    def _at(self, place: int) -> Vector:
        observation = np.zeros(3, dtype=np.float32)
        observation[place] = 1
        return observation

    def begin(self) -> Vector:
        self.place = int(self.np_random.integers(3))
        return self._at(self.place)

    def step(self, action: Any) -> Step:
        if self.place == 0:
            return self._at(1), 0.0, False, True, {}
        return self._at(self.place), 10.0 if self.place == 1 else -30.0, True, False, {}


class StayOrQuit(_Probe):
    """The first action leads to place 1 or to place 2, each a unit vector, and is the only one that matters.

    Place 1 earns 1 at each step for ever, and a time limit that is not seen cuts after four steps there; place 2 earns
    1 at each of four steps, and once more 1 with the last, which terminates. Action 0, to place 1, is worth more for
    any γ above 0.8; whoever takes the limit for an end finds place 2 better.
    """

    observation_space = _box(3)

    def _at(self, place: int) -> Vector:
        observation = np.zeros(3, dtype=np.float32)
        observation[place] = 1
        return observation

    def begin(self) -> Vector:
        self.place = 0
        return self._at(0)

    def step(self, action: Any) -> Step:
        if self.place == 0:
            self.place = 1 + self.chosen(action)
            return self._at(self.place), 0.0, False, False, {}
        self.t += 1
        stays = self.place == 1
        last = self.t == 4
        return self._at(self.place), 1.0 if stays or not last else 2.0, last and not stays, last and stays, {}


PROBES: tuple[type[_Probe], ...] = (
    ValueOnly,
    RewardByObservation,
    Discount,
    RewardByAction,
    Coupling,
    ConstantReward,
    NegativeRewards,
    SurviveOrQuit,
    InsideBounds,
    Tagging,
    Mutating,
    Contexts,
    PastReward,
    Ends,
    StayOrQuit,
)


def register_probes() -> None:
    """Make the probes known to `gymnasium.make`, once."""
    for probe in PROBES:
        name = f"relook/{probe.__name__}-v0"
        if name not in gym.registry:
            gym.register(id=name, entry_point=f"{__name__}:{probe.__name__}")
