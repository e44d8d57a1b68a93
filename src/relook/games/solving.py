"""Exact answers about a game: outcomes, best responses, safe play. All are one pass from the end to the start.

A policy is an array of probabilities [S, A]; where the other player moves, and where the game is over, its rows mean
nothing. Ties are broken evenly.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relook.games.game import FIRST, SECOND, Array, Booleans, Game

NEAR = 1e-9
"""Moves whose values differ by less are equally good."""


class Rewards(NamedTuple):
    """What the end of a game is worth to the player who is trained."""

    win: float = 1.0
    draw: float = 0.0
    loss: float = -1.0


ZERO_SUM = Rewards()
WIN_ONLY = Rewards(loss=0.0)


def uniform(game: Game) -> Array:
    """Any move, all alike."""
    return _shares(game.legal)


def among_best(game: Game, q: Array) -> Array:
    """The policy that takes one of the best moves by q [S, A], for whoever's move it is."""
    best = np.where(game.legal & ~np.isnan(q), q, -np.inf)
    return _shares(game.legal & (best >= best.max(1, keepdims=True) - NEAR))


def mixed(one: Array, other: Array, share: float) -> Array:
    """With probability `share` a move of the other policy, else of the one."""
    return (1 - share) * one + share * other


def attacker(game: Game, seat: int) -> Array:
    """Wins at once where that is possible, and moves at random elsewhere."""
    wins = game.wins(seat)
    return np.where(wins.any(1, keepdims=True), _shares(wins), uniform(game))


def outcomes(game: Game, first: Array, second: Array) -> Array:
    """The probabilities that the first player wins, of a draw, and that the second wins, from each position [S, 3]."""
    end = np.stack([game.outcome == result for result in (1, 0, -1)], 1).astype(float)
    return _carried_back(game, end, lambda layer, ahead: _mean(game, (first, second), layer, ahead))


def best_response(
    game: Game,
    seat: int,
    other: Array,
    rewards: Rewards = ZERO_SUM,
    discount: float = 1.0,
    moves: Booleans | None = None,
) -> tuple[Array, Array]:
    """The best that a player can do against a policy that it knows: the values V* [S] and Q* [S, A] of its seat.

    The other player is a part of the world here, so that this is value iteration for a Markov decision process.
    `moves` [S, A] are those that the player may make, all that are legal if it is None; of others Q* is not a number.
    """
    own = game.legal if moves is None else game.legal & moves
    return _valued(game, seat, rewards, discount, own, lambda layer, q: (other[layer] * q).sum(1))


def safe_moves(game: Game, seat: int) -> Booleans:
    """The moves of a player that keep what minimax is sure of [S, A]."""
    value, q = minimax(game, seat)
    return game.legal & (q >= value[:, None] - NEAR)


def minimax(game: Game, seat: int, rewards: Rewards = ZERO_SUM, discount: float = 1.0) -> tuple[Array, Array]:
    """The most that a player can make sure of against anybody: V [S] and Q [S, A] of its seat, on all positions.

    On the other's move Q is the value of the other one.
    """
    value, q = _valued(
        game, seat, rewards, discount, game.legal, lambda layer, q: q.min(1, where=game.legal[layer], initial=np.inf)
    )
    theirs = game.seat != seat
    q[theirs] = -q[theirs]
    return value, q


def worst_case(game: Game, seat: int, policy: Array) -> float:
    """What a player's policy still gets, 1 for a win and -1 for a loss, against the best response to it."""
    return 0.0 - float(best_response(game, 1 - seat, policy)[0][0])


def exploitability(game: Game, first: Array, second: Array) -> float:
    """What best responses to both policies get, on average over the seats: 0 for a pair that is safe from both."""
    return (0.0 - worst_case(game, FIRST, first) - worst_case(game, SECOND, second)) / 2


def reached(game: Game, first: Array, second: Array) -> Array:
    """The probability that a game comes through each position [S]."""
    found = np.zeros(len(game.board))
    found[0] = 1.0
    for stones, layer in enumerate(game.layers):
        policy = (first, second)[stones % 2][layer]
        legal = game.legal[layer]
        np.add.at(found, game.after[layer][legal], (found[layer, None] * policy)[legal])
    return found


def _shares(chosen: Booleans) -> Array:
    shares: Array = chosen / np.maximum(chosen.sum(1, keepdims=True), 1)
    return shares


def _mean(game: Game, policies: tuple[Array, Array], layer: int, ahead: Array) -> Array:
    """What follows on average: `ahead` [n, A, …] weighted by the policy of whoever moves."""
    weight = np.where(game.legal[game.layers[layer]], policies[layer % 2][game.layers[layer]], 0.0)
    mean: Array = np.einsum("na,na...->n...", weight, ahead)
    return mean


def _carried_back(game: Game, end: Array, step: Callable[[int, Array], Array]) -> Array:
    """Replace what is known of ends [S, …] by what follows for each position, from the last layer to the first."""
    value = end.copy()
    for stones in reversed(range(len(game.layers))):
        layer = game.layers[stones]
        found = step(stones, value[game.after[layer]])
        on = ~game.over[layer]
        value[layer][on] = found[on]
    return value


def _valued(
    game: Game, seat: int, rewards: Rewards, discount: float, own: Booleans, theirs: Callable[[slice, Array], Array]
) -> tuple[Array, Array]:
    """V and Q where `seat` takes the best of its `own` moves and `theirs` says what comes of the other's."""
    sign = 1 - 2 * seat
    end = np.select([game.outcome == sign, game.outcome == -sign], [rewards.win, rewards.loss], rewards.draw)
    q = np.full(game.after.shape, np.nan)

    def step(stones: int, ahead: Array) -> Array:
        layer = game.layers[stones]
        q[layer] = discount * ahead
        return q[layer].max(1, where=own[layer], initial=-np.inf) if stones % 2 == seat else theirs(layer, q[layer])

    value = _carried_back(game, end, step)
    q[~np.where((game.seat == seat)[:, None], own, game.legal)] = np.nan
    return value, q
