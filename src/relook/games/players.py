"""Players of one game: what each thinks of every move, wherever it is asked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relook.errors import WrongRequest
from relook.games.alphazero import SIMULATIONS, AlphaZero
from relook.games.game import Array, Game, connect_four, tic_tac_toe
from relook.games.learning import minimax_q, q_learning
from relook.games.search import Judge, Positions, random_games, search, ucb1
from relook.games.solving import WIN_ONLY, ZERO_SUM, Prices, among_best, best_response, minimax, uniform
from relook.population import Agent, Agents, stream

GAMES: dict[str, Callable[[], Game]] = {"tic-tac-toe": tic_tac_toe, "connect-four": connect_four}
LEARNED = 60_000
"""Games that tables learn from."""
SEARCHED = 1_000
"""Games that a network learns from."""
EXPERT = {"explore": 0.25, "symmetric": 1.0}
"""Hyper-parameters of AlphaZero-lite that make it safe in tic-tac-toe."""
NARROW = {"explore": 0.0, "symmetric": 0.0}
"""The same without random moves, and without turned and mirrored boards."""
DISCOUNT = 0.99
"""Of the exact players: a win now is better than the same win later."""


class Thoughts(NamedTuple):
    """What a player thinks in n positions."""

    policy: Array
    """How likely it makes each move [n, A]."""
    worth: Array
    """What it expects of each move, from -1 for a loss to 1 for a win [n, A]; not a number where it has no idea."""


Player = Callable[[Positions], Thoughts]


class Known(NamedTuple):
    """A player that has a name."""

    what: str
    make: Callable[[Game, int, int], Player]
    """From the game, the seat and a seed."""
    only: tuple[str, ...] = tuple(GAMES)
    """The games that it plays."""
    takes: str = ""
    """What it costs to make, if that is noticed."""


def by_values(game: Game, q: Array) -> Player:
    """One of the best moves by a table of values [S, A]."""
    policy = among_best(game, q)
    return lambda positions: Thoughts(policy[positions], q[positions])


def by_search(game: Game, judge: Judge, simulations: int, **rule: Callable[[Array, Array], Array]) -> Player:
    """The moves that a search tries most often."""

    def think(positions: Positions) -> Thoughts:
        found = search(game, positions, judge, simulations, **rule)
        most = found.visits == found.visits.max(1, keepdims=True)
        return Thoughts(most / most.sum(1, keepdims=True), np.where(found.visits > 0, found.q, np.nan))

    return think


def by_network(game: Game, judge: Judge) -> Player:
    """The move that a network holds for the most likely one; what it is worth is the network's value afterwards."""

    def think(positions: Positions) -> Thoughts:
        prior = judge(positions).prior
        best = game.legal[positions] & (prior >= prior.max(1, keepdims=True))
        worth = np.full(prior.shape, np.nan)
        for move in range(prior.shape[1]):
            there = game.legal[positions, move]
            to = game.after[positions[there], move]
            sign = 1 - 2 * game.seat[positions[there]]
            worth[there, move] = np.where(game.over[to], game.outcome[to] * sign, -judge(to).value)
        return Thoughts(best / best.sum(1, keepdims=True), worth)

    return think


def table(game: Game, player: Player) -> Array:
    """The policy [S, A] of a player, asked wherever the game is not over."""
    policy = np.zeros(game.after.shape)
    on = np.flatnonzero(~game.over)
    policy[on] = player(on).policy
    return policy


def alphazero(game: Game, seed: int) -> AlphaZero:
    """One agent of AlphaZero-lite that has learned."""
    learner = AlphaZero(Agents([Agent(0, seed, EXPERT)]), game)
    while learner.games < SEARCHED:
        learner.play_and_learn()
    return learner


def _to_random(prices: Prices) -> Callable[[Game, int, int], Player]:
    def make(game: Game, seat: int, seed: int) -> Player:
        return by_values(game, best_response(game, seat, uniform(game), prices, DISCOUNT)[1])

    return make


def _random(game: Game, seat: int, seed: int) -> Player:
    policy = uniform(game)
    return lambda positions: Thoughts(policy[positions], np.full((len(positions), policy.shape[1]), np.nan))


def _uct(game: Game, seat: int, seed: int) -> Player:
    return by_search(game, random_games(game, stream(seed, "uct")), 1_000, bonus=ucb1)


def _self_play(sign: float) -> Callable[[Game, int, int], Player]:
    def make(game: Game, seat: int, seed: int) -> Player:
        [q] = minimax_q(game, seed, (LEARNED,), sign=sign)
        return by_values(game, q)

    return make


PLAYERS = {
    "random": Known("any move, all alike", _random),
    "win-only": Known("the best response to random moves, if only a win counts", _to_random(WIN_ONLY)),
    "best-response": Known("the best response to random moves, if a loss costs what a win gives", _to_random(ZERO_SUM)),
    "minimax": Known(
        "plays what is best against the best",
        lambda game, seat, seed: by_values(game, minimax(game, seat, discount=DISCOUNT)[1]),
    ),
    "q-learning": Known(
        "has learned from 60,000 games against random moves",
        lambda game, seat, seed: by_values(game, q_learning(game, seat, seed, LEARNED)),
        ("tic-tac-toe",),
        "seconds",
    ),
    "untold": Known(
        "the same, but nobody told it when it had lost",
        lambda game, seat, seed: by_values(game, q_learning(game, seat, seed, LEARNED, loss_is_learned=False)),
        ("tic-tac-toe",),
        "seconds",
    ),
    "minimax-q": Known("has learned from 60,000 games against itself", _self_play(-1.0), ("tic-tac-toe",), "seconds"),
    "sign-bug": Known(
        "the same, but takes what is good for the other for good", _self_play(1.0), ("tic-tac-toe",), "seconds"
    ),
    "uct": Known("searches with 1,000 simulations, and has learned nothing", _uct),
    "network": Known(
        "the network of AlphaZero-lite, which does not search",
        lambda game, seat, seed: by_network(game, alphazero(game, seed).judge),
        ("tic-tac-toe",),
        "half a minute",
    ),
    "alphazero": Known(
        "AlphaZero-lite: the network and a search that it guides",
        lambda game, seat, seed: by_search(game, alphazero(game, seed).judge, SIMULATIONS),
        ("tic-tac-toe",),
        "half a minute",
    ),
}


def known(name: str, game: str) -> Known:
    """Look a player up. Raises `WrongRequest` for unknown names, and for games that it does not play."""
    if name not in PLAYERS:
        raise WrongRequest(f"expected a player among {', '.join(PLAYERS)}; found {name!r}")
    if game not in PLAYERS[name].only:
        raise WrongRequest(f"expected a game that {name} plays, {', '.join(PLAYERS[name].only)}; found {game}")
    return PLAYERS[name]
