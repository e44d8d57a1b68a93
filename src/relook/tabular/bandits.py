"""Bandits: one state, K arms, and what exploring costs (Sutton & Barto 2018, chapter 2; Auer et al. 2002).

Each plays T steps on many bandits at once: `draw(rng, arm)` [B] gives rewards of arms [B]. All return the arms [T, B]
that were pulled and the rewards [T, B] that came.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from relook.tabular.mdp import Array

Draw = Callable[[np.random.Generator, NDArray[np.int64]], Array]
Played = tuple[NDArray[np.int64], Array]


def _play(
    choose: Callable[[int], NDArray[np.int64]],
    learn: Callable[[NDArray[np.int64], Array], None],
    draw: Draw,
    steps: int,
    rng: np.random.Generator,
) -> Played:
    arms, rewards = [], []
    for t in range(steps):
        arm = choose(t)
        reward = draw(rng, arm)
        learn(arm, reward)
        arms.append(arm)
        rewards.append(reward)
    return np.stack(arms), np.stack(rewards)


def best(value: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """The best arms [B] by value [B, K], one of those that are alike by chance."""
    ties: NDArray[np.int64] = np.where(value == value.max(1, keepdims=True), rng.random(value.shape), -1).argmax(1)
    return ties


def epsilon_greedy(
    draw: Draw,
    shape: tuple[int, int],
    steps: int,
    rng: np.random.Generator,
    *,
    epsilon: float,
    alpha: float | None = None,
    initial: float = 0.0,
) -> Played:
    """With probability ε any arm, else the best by its mean, or by Q ← Q + α (r - Q) where α is given (Eq. 2.5)."""
    value, count, rows = np.full(shape, initial), np.zeros(shape), np.arange(shape[0])

    def choose(t: int) -> NDArray[np.int64]:
        any_arm = rng.integers(shape[1], size=shape[0])
        return np.where(rng.random(shape[0]) < epsilon, any_arm, best(value, rng))

    def learn(arm: NDArray[np.int64], reward: Array) -> None:
        count[rows, arm] += 1
        share = 1 / count[rows, arm] if alpha is None else alpha
        value[rows, arm] += share * (reward - value[rows, arm])

    return _play(choose, learn, draw, steps, rng)


def ucb(draw: Draw, shape: tuple[int, int], steps: int, rng: np.random.Generator, *, c: float = 2**0.5) -> Played:
    """Each arm once, then the one with the largest mean + c √(ln t / n) (Eq. 2.10); c = √2 is UCB1."""
    total, count, rows = np.zeros(shape), np.zeros(shape), np.arange(shape[0])

    def choose(t: int) -> NDArray[np.int64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = total / count + c * np.sqrt(np.log(t + 1) / count)
        return best(np.where(count == 0, np.inf, bound), rng)

    def learn(arm: NDArray[np.int64], reward: Array) -> None:
        count[rows, arm] += 1
        total[rows, arm] += reward

    return _play(choose, learn, draw, steps, rng)


def thompson(draw: Draw, shape: tuple[int, int], steps: int, rng: np.random.Generator) -> Played:
    """The best of means drawn from Beta(1 + successes, 1 + failures), for rewards of 0 and 1 (Thompson 1933)."""
    won, lost, rows = np.ones(shape), np.ones(shape), np.arange(shape[0])

    def choose(t: int) -> NDArray[np.int64]:
        largest: NDArray[np.int64] = rng.beta(won, lost).argmax(1)
        return largest

    def learn(arm: NDArray[np.int64], reward: Array) -> None:
        won[rows, arm] += reward
        lost[rows, arm] += 1 - reward

    return _play(choose, learn, draw, steps, rng)


def gradient(
    draw: Draw, shape: tuple[int, int], steps: int, rng: np.random.Generator, *, alpha: float, baseline: bool = True
) -> Played:
    """A softmax of preferences, H ← H + α (r - r̄) (1_a - π), r̄ the mean reward so far, or 0 (Eq. 2.12)."""
    preference, mean, rows = np.zeros(shape), np.zeros(shape[0]), np.arange(shape[0])
    seen = 0

    def policy() -> Array:
        exp = np.exp(preference - preference.max(1, keepdims=True))
        chances: Array = exp / exp.sum(1, keepdims=True)
        return chances

    def choose(t: int) -> NDArray[np.int64]:
        below: NDArray[np.int64] = (policy().cumsum(1)[:, :-1] <= rng.random((shape[0], 1))).sum(1)
        return below

    def learn(arm: NDArray[np.int64], reward: Array) -> None:
        nonlocal seen
        seen += 1
        mean[:] += (reward - mean) / seen if baseline else 0
        one = np.zeros(shape)
        one[rows, arm] = 1
        preference[:] += alpha * (reward - mean)[:, None] * (one - policy())

    return _play(choose, learn, draw, steps, rng)
