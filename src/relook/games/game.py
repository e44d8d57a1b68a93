"""A game of two who take turns, as arrays over all its positions."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Booleans = NDArray[np.bool_]

FIRST, SECOND = 0, 1
"""The seats: the first player is X on a board, the second is O."""


@dataclass(frozen=True)
class Game:
    """k in a row on a board of w × h fields: every position that play can reach, S of them, with up to A moves each.

    Positions are sorted by the stones on the board, so that all moves lead to later ones: what holds of the end is
    carried back to the start in one pass (`relook.games.solving`).
    """

    name: str
    size: tuple[int, int]
    """Columns and rows."""
    drops: bool
    """A move is a column, and a stone falls to the lowest empty field of it; else a move is a field."""
    lines: NDArray[np.int64]
    """The fields of each winning line [L, k]."""
    board: NDArray[np.int8]
    """0 for an empty field, 1 for a stone of the first player, 2 for one of the second [S, w·h], row by row."""
    after: NDArray[np.int64]
    """The position that each move leads to, -1 where there is no such move [S, A]."""
    outcome: NDArray[np.int8]
    """1 where the first player has won, -1 where the second has, 0 otherwise [S]."""
    layers: tuple[slice, ...]
    """The positions with 0, 1, … stones."""

    @cached_property
    def legal(self) -> Booleans:
        """Which moves there are [S, A]: none where the game is over."""
        return self.after >= 0

    @cached_property
    def over(self) -> Booleans:
        """[S]"""
        return np.asarray(~self.legal.any(1))

    @cached_property
    def seat(self) -> NDArray[np.int64]:
        """Whose move it is [S]."""
        seat: NDArray[np.int64] = (self.board > 0).sum(1) % 2
        return seat

    def wins(self, seat: int) -> Booleans:
        """Which moves would win at once if it were this player's move [S, A]: on the other's move, they threaten."""
        found = np.zeros(self.after.shape, dtype=bool)
        for move in range(self.after.shape[1]):
            field, free = _field(self.board, self.size, self.drops, move)
            free &= ~self.over
            following = self.board[free]
            following[np.arange(len(following)), field[free]] = seat + 1
            found[free, move] = _complete(following, self.lines, seat)
        return found


def tic_tac_toe() -> Game:
    """Three in a row on 3 × 3 fields: 5,478 positions."""
    return in_a_row("tic-tac-toe", (3, 3), 3, drops=False)


def connect_four() -> Game:
    """Four in a row on 4 × 4 fields, where stones fall: 161,029 positions."""
    return in_a_row("connect-four", (4, 4), 4, drops=True)


def in_a_row(name: str, size: tuple[int, int], k: int, *, drops: bool) -> Game:
    """Every position that play can reach, one layer of stones after another."""
    width, height = size
    fields, moves = width * height, width if drops else width * height
    lines, powers = _lines(width, height, k), 3 ** np.arange(fields)
    boards, afters, outcomes, layers = list[NDArray[np.int8]](), list[NDArray[np.int64]](), [], list[slice]()
    board, outcome, begins = np.zeros((1, fields), dtype=np.int8), np.zeros(1, dtype=np.int8), 0
    for stones in range(fields + 1):
        seat, ends = stones % 2, begins + len(board)
        after = np.full((len(board), moves), -1)
        targets = [_field(board, size, drops, move) for move in range(moves)]
        field, free = (np.stack(part, 1) for part in zip(*targets, strict=True))
        at, move = np.nonzero(free & (outcome == 0)[:, None])
        following = board[at]
        following[np.arange(len(at)), field[at, move]] = seat + 1
        _, once, which = np.unique(following @ powers, return_index=True, return_inverse=True)
        after[at, move] = ends + which
        boards.append(board)
        afters.append(after)
        outcomes.append(outcome)
        layers.append(slice(begins, ends))
        board, begins = following[once], ends
        outcome = np.where(_complete(board, lines, seat), 1 - 2 * seat, 0).astype(np.int8)
    return Game(
        name,
        size,
        drops,
        lines,
        np.concatenate(boards),
        np.concatenate(afters),
        np.concatenate(outcomes),
        tuple(layers),
    )


def _lines(width: int, height: int, k: int) -> NDArray[np.int64]:
    found = []
    for y, x, (down, right) in product(range(height), range(width), ((0, 1), (1, 0), (1, 1), (1, -1))):
        line = [(y + i * down, x + i * right) for i in range(k)]
        if all(0 <= row < height and 0 <= column < width for row, column in line):
            found.append([row * width + column for row, column in line])
    return np.array(found)


def _field(
    board: NDArray[np.int8], size: tuple[int, int], drops: bool, move: int
) -> tuple[NDArray[np.int64], Booleans]:
    """Where a stone comes to lie [S], and whether there is room for it [S]."""
    if not drops:
        return np.full(len(board), move), board[:, move] == 0
    width, height = size
    filled = (board[:, move::width] > 0).sum(1)
    return (height - 1 - filled) * width + move, filled < height


def _complete(board: NDArray[np.int8], lines: NDArray[np.int64], seat: int) -> Booleans:
    """Whether a player has a line [S]."""
    complete: Booleans = (board == seat + 1)[:, lines].all(2).any(1)
    return complete
