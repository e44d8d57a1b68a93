"""From Gymnasium's spaces to vectors and back."""

from dataclasses import dataclass
from math import prod
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from relook.errors import WrongRequest


class ObservationSpace:
    """Turns any flattenable observation into a float32 vector of D numbers.

    Integers of a `Discrete` space become one-hot vectors; `one_hot` [D] marks such components, wherever they stand
    inside a `Dict` or `Tuple`.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        if not space.is_np_flattenable:
            raise WrongRequest(
                f"expected an observation space that can be flattened to a vector (Box, Discrete, MultiDiscrete, "
                f"MultiBinary, or a Dict or Tuple of them); found {space}; wrap the environment"
            )
        self.space = space
        self.size = spaces.flatdim(space)
        self.one_hot: NDArray[np.bool_] = _one_hot(space)
        self.stored = _stored(space)
        """The smallest type that holds its numbers, for who keeps many of them: float32 or less."""
        self._kind, self._start, self._shape = "other", 0, space.shape
        if isinstance(space, spaces.Discrete):
            self._kind, self._start = "discrete", int(space.start)
        elif isinstance(space, spaces.Box):
            self._kind = "box"

    def write(self, observation: Any, row: NDArray[np.float32]) -> None:
        """Copy an observation into `row` [D]: a copy, because environments may reuse their arrays.

        Raises `ValueError` for another shape than the space's, even if numpy could make it fit.
        """
        if self._kind == "box":
            array = np.asarray(observation)
            if array.shape != self._shape:
                raise ValueError(f"expected an observation of shape {self._shape}; found {array.shape}")
            row[:] = array if array.ndim == 1 else array.ravel()
        elif self._kind == "discrete":
            row[:] = 0.0
            row[int(observation) - self._start] = 1.0
        else:
            row[:] = np.asarray(spaces.flatten(self.space, observation))


def _stored(space: gym.Space[Any]) -> np.dtype[Any]:
    match space:
        case spaces.Dict():
            parts = [_stored(part) for part in space.spaces.values()]
        case spaces.Tuple():
            parts = [_stored(part) for part in space.spaces]
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            parts = [np.dtype(np.uint8)]  # zeros and ones
        case spaces.Box() if space.dtype in (np.uint8, np.int8, np.int16, np.float16):
            parts = [np.dtype(space.dtype)]
        case _:
            parts = [np.dtype(np.float32)]
    together = np.result_type(*parts)
    return together if together.itemsize < 4 else np.dtype(np.float32)


def _one_hot(space: gym.Space[Any]) -> NDArray[np.bool_]:
    match space:
        case spaces.Dict():
            return np.concatenate([_one_hot(part) for part in space.spaces.values()])
        case spaces.Tuple():
            return np.concatenate([_one_hot(part) for part in space.spaces])
        case spaces.Discrete() | spaces.MultiDiscrete():
            return np.ones(spaces.flatdim(space), dtype=np.bool_)
        case _:
            return np.zeros(spaces.flatdim(space), dtype=np.bool_)


@dataclass(frozen=True)
class Choices:
    """A discrete action: K choices, the i-th among `sizes[i]` options. `Discrete` has one, `MultiBinary` K of two."""

    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Continuous:
    """A continuous action: `size` numbers, in which -1 and 1 stand for the bounds where a component has bounds."""

    size: int


class ActionSpace:
    """Turns what a policy chooses into what an environment wants.

    Policies act with integers from 0 (`Choices`) or with numbers of which [-1, 1] is rescaled to the bounds
    (`Continuous`); numbers beyond are cut to the bound here and nowhere else, so that a stored action keeps the
    log-probability it was drawn with. A component with an infinite bound is passed on as it is. Without `rescale`, 1
    stands for 1, as if the bounds were -1 and 1, and numbers are cut to the real bounds.
    """

    def __init__(self, space: gym.Space[Any], *, rescale: bool = True) -> None:
        self.space = space
        self.kind: Choices | Continuous
        self.dtype: np.dtype[Any] = np.dtype(np.int64)
        match space:
            case spaces.Discrete():
                self.kind = Choices((int(space.n),))
                self._start: Any = int(space.start)
                self.dtype = np.dtype(space.dtype)
            case spaces.MultiDiscrete():
                self.kind = Choices(tuple(int(n) for n in space.nvec.ravel()))
                self._start = space.start
                self.dtype = np.dtype(space.dtype)
            case spaces.MultiBinary():
                self.kind = Choices((2,) * prod(space.shape))
                self._start = 0
                self.dtype = np.dtype(space.dtype)
            case spaces.Box() if np.issubdtype(space.dtype, np.floating):
                self.kind = Continuous(prod(space.shape))
                self.dtype = np.dtype(space.dtype)
                low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
                self.bounded: NDArray[np.bool_] = np.isfinite(low) & np.isfinite(high)
                self._low, self._high, self._rescale = low, high, rescale
                middle: NDArray[np.float64] = np.where(self.bounded, (np.where(self.bounded, low, 0) + high) / 2, 0.0)
                half: NDArray[np.float64] = np.where(self.bounded, (high - np.where(self.bounded, low, 0)) / 2, 1.0)
                self._middle, self._half = middle, half
                # Where the bounds lie for a policy: middle and half the width between them.
                self.middle, self.half = (np.zeros_like(low), np.ones_like(low)) if rescale else (middle, half)
            case _:
                raise WrongRequest(
                    f"expected actions of kind Discrete, Box (of floats), MultiDiscrete or MultiBinary; found {space}; "
                    f"wrap the environment"
                )
        self.shape = space.shape or ()

    @property
    def width(self) -> int:
        """Numbers in one action as a policy chooses it."""
        return len(self.kind.sizes) if isinstance(self.kind, Choices) else self.kind.size

    def to_environment(self, action: NDArray[Any]) -> NDArray[Any]:
        """Actions [..., width] as chosen by a policy → actions [..., *shape] for the environment, in its dtype."""
        if isinstance(self.kind, Continuous):
            if self._rescale:
                action = self._middle + self._half * np.where(self.bounded, np.clip(action, -1.0, 1.0), action)
            out = np.clip(action, self._low, self._high)
        else:
            out = action + np.ravel(self._start)
        shaped: NDArray[Any] = out.astype(self.dtype).reshape(*action.shape[:-1], *self.shape)
        return shaped


def check_bounded(algorithm: str, actions: ActionSpace) -> None:
    """Raise `WrongRequest` for actions other than continuous ones with finite bounds."""
    if isinstance(actions.kind, Choices):
        other = "dqn or ppo" if len(actions.kind.sizes) == 1 else "ppo"
        raise WrongRequest(f"{algorithm} needs continuous actions, Box; found {actions.space}; use {other}")
    if not actions.bounded.all():
        raise WrongRequest(
            f"{algorithm} needs actions with finite bounds, which its policy stays in; found {actions.space}; use ppo, "
            f"or give the environment bounds"
        )
