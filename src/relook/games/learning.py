"""Learning from games: Q-learning against random moves, minimax-Q against oneself; and a common mistake in each.

Tables are lists while they are learned: one number at a time, they are several times quicker than arrays.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from relook.games.game import Array, Booleans, Game
from relook.population import stream

EXPLORE = 0.3
"""How often a learner makes any move."""
BLOCK = 1_000
"""Games whose random numbers are drawn at once."""


class Table(NamedTuple):
    """What was learned."""

    q: Array
    """The value of each move to whoever makes it, 0 where nothing was learned [S, A]."""
    tried: Booleans
    """Where something was [S, A]."""


def q_learning(
    game: Game, seat: int, seed: int, games: int, *, rate: float = 0.2, loss_is_learned: bool = True
) -> Table:
    """Q(s, a) of a player who meets random moves: 1 for a win, -1 for a loss.

    Q(s, a) ← Q(s, a) + α (r + max Q(s', ·) - Q(s, a)) (Watkins 1989), where s' is what the other one's reply leads to.
    Without `loss_is_learned`, the game's last reply is forgotten: whoever loses has moved before it, and is not told.
    """
    after, outcome, moves = game.after.tolist(), (game.outcome * (1 - 2 * seat)).tolist(), _moves(game)
    q, tried = [[0.0] * len(row) for row in after], set[tuple[int, int]]()
    for chance in _chances(seed, "q_learning", games, len(game.layers)):
        state, turn = 0, 0
        if seat == 1:
            state, turn = after[state][_any(moves[state], chance[turn][1])], 1
        while moves[state]:
            move = _explored(q[state], moves[state], *chance[turn])
            to, turn = after[state][move], turn + 1
            if replied := bool(moves[to]):
                to, turn = after[to][_any(moves[to], chance[turn][1])], turn + 1
            if moves[to] or loss_is_learned or not replied:
                target = max(q[to][m] for m in moves[to]) if moves[to] else outcome[to]
                q[state][move] += rate * (target - q[state][move])
                tried.add((state, move))
            state = to
    return _table(q, tried)


def minimax_q(
    game: Game, seed: int, looks: tuple[int, ...], *, rate: float = 0.5, sign: float = -1.0
) -> Iterator[Table]:
    """Q(s, a) of whoever moves, from games against oneself, after so many games each.

    What is good for the next player is bad for this one: Q(s, a) ← Q(s, a) + α (r - max Q(s', ·) - Q(s, a)), which is
    Littman's minimax-Q (1994) where players take turns. With `sign` 1 the minus is missing.
    """
    after, over = game.after.tolist(), np.abs(game.outcome).tolist()
    moves, q, tried = _moves(game), [[0.0] * len(row) for row in after], set[tuple[int, int]]()
    for played, chance in enumerate(_chances(seed, "minimax_q", looks[-1], len(game.layers)), 1):
        state, turn = 0, 0
        while moves[state]:
            move = _explored(q[state], moves[state], *chance[turn])
            to = after[state][move]
            target = sign * max(q[to][m] for m in moves[to]) if moves[to] else over[to]
            q[state][move] += rate * (target - q[state][move])
            tried.add((state, move))
            state, turn = to, turn + 1
        if played in looks:
            yield _table(q, tried)


def _table(q: list[list[float]], tried: set[tuple[int, int]]) -> Table:
    table = Table(np.array(q), np.zeros((len(q), len(q[0])), dtype=bool))
    table.tried[tuple(zip(*tried, strict=True))] = True
    return table


def _explored(q: list[float], moves: list[int], explore: float, which: float) -> int:
    """One of the best moves, or any, from two numbers of [0, 1)."""
    if explore >= EXPLORE:
        best = max(q[move] for move in moves)
        moves = [move for move in moves if q[move] == best]
    return _any(moves, which)


def _any(moves: list[int], which: float) -> int:
    """One of some moves, by a number of [0, 1)."""
    return moves[int(which * len(moves))]


def _moves(game: Game) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in game.legal]


def _chances(seed: int, purpose: str, games: int, turns: int) -> Iterator[list[list[float]]]:
    """Two numbers of [0, 1) for each turn of each game."""
    for played in range(games):
        if played % BLOCK == 0:
            block = stream(seed, purpose, played // BLOCK).random((BLOCK, turns, 2)).tolist()
        yield block[played % BLOCK]
