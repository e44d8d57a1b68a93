"""How a policy attacks and defends, from one seat."""

from typing import NamedTuple

import numpy as np

from relook.games.game import Array, Booleans, Game
from relook.games.solving import among_best, best_response, minimax, mixed, outcomes, reached, uniform

PATH = 0.5
"""On a policy's own path the other player makes a random move half the time, and else plays its best response: so the
path holds what meets it, in weak and in strong company."""


class Report(NamedTuple):
    """What a policy does. Rates are over positions, each counted once, unless it says otherwise."""

    win: float
    """How often it wins against random moves, exactly."""
    loss: float
    """How often it loses against random moves, exactly."""
    attack: float
    """Where it can win at once: how often it does."""
    block: float
    """Where it must block: how often it does."""
    block_on_path: float
    """The same, where each position counts as often as its own games come through it; 1 where none does."""
    worst: float
    """What it gets against the best response to it, 1 for a win and -1 for a loss, exactly: 0 or more is safe here."""
    loses: float
    """How often it loses against that reply, exactly."""


class Situations:
    """Where a player can win at once, and where it must block."""

    def __init__(self, game: Game, seat: int) -> None:
        self.game, self.seat = game, seat
        own = (game.seat == seat) & ~game.over
        self.wins: Booleans = game.wins(seat) & own[:, None]
        """Moves that win [S, A]."""
        threats = game.wins(1 - seat) & own[:, None]
        held = minimax(game, seat)[1] >= 0
        forced = own & ~self.wins.any(1) & (threats.sum(1) == 1)
        self.blocks: Booleans = threats & held & forced[:, None]
        """The move that blocks [S, A], where no move wins, exactly one loses at once if the other player makes it, and
        the game is not lost anyway."""

    def report(self, policy: Array) -> Report:
        """Everything about a policy."""
        game, seat = self.game, self.seat
        theirs, q = best_response(game, 1 - seat, policy)
        random, best = uniform(game), among_best(game, q)
        won, _, lost = outcomes(game, *seated(seat, policy, random))[0][:: 1 - 2 * seat]
        path = reached(game, *seated(seat, policy, mixed(best, random, PATH)))
        return Report(
            float(won),
            float(lost),
            _rate(policy, self.wins, np.ones(len(policy))),
            _rate(policy, self.blocks, np.ones(len(policy))),
            _rate(policy, self.blocks, path),
            0.0 - float(theirs[0]),
            float(outcomes(game, *seated(seat, policy, best))[0][2 - 2 * seat]),
        )


def seated(seat: int, own: Array, other: Array) -> tuple[Array, Array]:
    """The policies of the first and the second player, if one's own sits there."""
    return (own, other) if seat == 0 else (other, own)


def _rate(policy: Array, moves: Booleans, weight: Array) -> float:
    """How often a policy makes one of some moves, where there are such."""
    where = moves.any(1)
    if not weight[where].any():
        return 1.0
    return float(np.average((policy * moves)[where].sum(1), weights=weight[where]))
