"""Tree search: many trees at once, each grown by one position in every simulation.

A simulation goes down a tree by the moves that look best, adds the position that it comes to, asks what that is worth,
and tells all moves on its way. T trees grow side by side as arrays, with N = 1 + simulations places for positions each.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relook.games.game import Array, Game

Positions = NDArray[np.int64]


class Evaluation(NamedTuple):
    """What is thought of positions before they are searched: P and V of AlphaZero."""

    prior: Array
    """How likely each move is to be good [T, A]."""
    value: Array
    """What the position is worth to whoever moves, -1 to 1 [T]."""


class Searched(NamedTuple):
    """What a search found about its roots."""

    visits: NDArray[np.int64]
    """How often each move was tried [T, A]."""
    q: Array
    """What it was worth on average to whoever moves, 0 if it was not tried [T, A]."""
    calls: NDArray[np.int64]
    """How often the game was asked what a move leads to [T]."""

    @property
    def policy(self) -> Array:
        """The share of each move [T, A]."""
        policy: Array = self.visits / self.visits.sum(1, keepdims=True)
        return policy


Evaluator = Callable[[Positions], Evaluation]
Bonus = Callable[[Array, Array], Array]
"""From the prior [T, A] and the visits [T, A] of moves: by how much each is to be preferred for being little known."""


def puct(prior: Array, visits: Array, weight: float = 1.5) -> Array:
    """C P(a) √N / (1 + n(a)) (Silver et al. 2017, AlphaGo Zero, Methods, "Select")."""
    total = visits.sum(1, keepdims=True)
    bonus: Array = weight * prior * np.sqrt(np.maximum(total, 1)) / (1 + visits)
    return bonus


def ucb1(prior: Array, visits: Array, weight: float = 2**0.5) -> Array:
    """C √(ln N / n(a)), and infinitely much for a move that was not tried (Kocsis & Szepesvári 2006, UCT).

    Among moves that were not tried, the prior's small noise chooses.
    """
    total = np.maximum(visits.sum(1, keepdims=True), 1)
    known = weight * np.sqrt(np.log(total) / np.maximum(visits, 1))
    return np.where(visits == 0, 1e6 + prior, known)


def search(game: Game, roots: Positions, evaluate: Evaluator, simulations: int, bonus: Bonus = puct) -> Searched:
    """Grow a tree from each root [T], none of them an end.

    `evaluate` is asked about T positions at a time, one of each tree; its answer is not used where a simulation ends
    the game.
    """
    trees, moves = len(roots), game.after.shape[1]
    every = np.arange(trees)
    position = np.zeros((trees, simulations + 1), dtype=np.int64)
    child = np.full((trees, simulations + 1, moves), -1)
    prior, visits, total = (np.zeros((trees, simulations + 1, moves)) for _ in range(3))
    position[:, 0] = roots
    prior[:, 0] = evaluate(roots).prior
    calls = np.zeros(trees, dtype=np.int64)
    for added in range(1, simulations + 1):
        node, way = np.zeros(trees, dtype=np.int64), list[tuple[NDArray[np.int64], Positions, Positions]]()
        down = every
        while len(down):
            at = node[down]
            n = visits[down, at]
            mean = total[down, at] / np.maximum(n, 1)
            best = mean + bonus(prior[down, at], n)
            move = np.where(game.legal[position[down, at]], best, -np.inf).argmax(1)
            way.append((down, at, move))
            to = child[down, at, move]
            new = to < 0
            fresh = down[new]
            calls[fresh] += 1
            position[fresh, added] = game.after[position[fresh, at[new]], move[new]]
            child[fresh, at[new], move[new]] = node[fresh] = added
            node[down[~new]] = to[~new]
            down = down[~new][~game.over[position[down[~new], to[~new]]]]
        leaf = position[every, node]
        evaluated = evaluate(leaf)
        prior[every, node] = evaluated.prior
        # to whoever moves at the leaf; at an end, to whoever would
        value = np.where(game.over[leaf], game.outcome[leaf] * (1 - 2 * game.seat[leaf]), evaluated.value)
        signs = np.ones(trees)
        for trees_on, at, move in reversed(way):
            signs[trees_on] *= -1
            visits[trees_on, at, move] += 1
            total[trees_on, at, move] += signs[trees_on] * value[trees_on]
    tried = visits[:, 0]
    return Searched(tried.astype(np.int64), total[:, 0] / np.maximum(tried, 1), calls)


class RandomGames:
    """Evaluates positions by one game of random moves from each."""

    def __init__(self, game: Game, rng: np.random.Generator) -> None:
        self._game, self._rng = game, rng
        self.calls = 0
        """How often the game was asked what a move leads to."""

    def __call__(self, positions: Positions) -> Evaluation:
        game, now = self._game, positions.copy()
        while (on := ~game.over[now]).any():
            drawn = np.where(game.legal[now[on]], self._rng.random((on.sum(), game.after.shape[1])), -1)
            now[on] = game.after[now[on], drawn.argmax(1)]
            self.calls += int(on.sum())
        noise = 1e-3 * self._rng.random((len(positions), game.after.shape[1]))
        return Evaluation(noise, game.outcome[now] * (1.0 - 2 * game.seat[positions]))
