"""Players of one game: what each thinks of every move, wherever it is asked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relook.errors import WrongRequest
from relook.games.alphazero import SIMULATIONS, AlphaZero
from relook.games.game import Array, Game, connect_four, tic_tac_toe
from relook.games.learning import Table, minimax_q, q_learning
from relook.games.search import Bonus, Evaluator, Positions, RandomGames, puct, search, ucb1
from relook.games.solving import (
    WIN_ONLY,
    among_best,
    attacker,
    best_response,
    minimax,
    mixed,
    safe_moves,
    uniform,
)
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
PUNISHED = 0.6
"""In what share of its moves an opponent attacks whose best response is safe in tic-tac-toe."""
DISCOUNT = 0.99
"""What players in the terminal discount by: a win now is better than the same win later."""


class Thoughts(NamedTuple):
    """What a player thinks in n positions."""

    policy: Array
    """How likely it makes each move [n, A]."""
    value: Array
    """What it expects of each move, from -1 for a loss to 1 for a win [n, A]; not a number where it has no idea."""


Player = Callable[[Positions], Thoughts]


def exact(game: Game, seat: int, discount: float = 1.0) -> dict[str, Array]:
    """Q(s, a) of exact players in one seat [S, A]: what is not a number they do not consider."""
    random = uniform(game)
    punishing = mixed(random, attacker(game, 1 - seat), PUNISHED)
    return {
        "win-only": best_response(game, seat, random, WIN_ONLY, discount)[1],
        "best-response": best_response(game, seat, random, discount=discount)[1],
        "punished": best_response(game, seat, punishing, discount=discount)[1],
        "safe": best_response(game, seat, random, discount=discount, moves=safe_moves(game, seat))[1],
        "minimax": minimax(game, seat, discount=discount)[1],
    }


def by_values(game: Game, q: Array, shown: Array | None = None) -> Player:
    """One of the best moves by a table of values [S, A]; `shown` is what is told of them, if it is something else."""
    policy, value = among_best(game, q), np.where(game.legal, q if shown is None else shown, np.nan)
    return lambda positions: Thoughts(policy[positions], value[positions])


def by_table(game: Game, table: Table) -> Player:
    """One of the best moves by what was learned; where nothing was, the table has 0."""
    return by_values(game, table.q, np.where(table.tried, table.q, np.nan))


def by_search(game: Game, evaluate: Evaluator, simulations: int, bonus: Bonus = puct) -> Player:
    """The moves that a search tries most often."""

    def think(positions: Positions) -> Thoughts:
        found = search(game, positions, evaluate, simulations, bonus)
        most = found.visits == found.visits.max(1, keepdims=True)
        return Thoughts(most / most.sum(1, keepdims=True), np.where(found.visits > 0, found.q, np.nan))

    return think


def by_network(game: Game, evaluate: Evaluator) -> Player:
    """The move that a network holds for the most likely one; its value is that of the next position."""

    def think(positions: Positions) -> Thoughts:
        prior = evaluate(positions).prior
        best = game.legal[positions] & (prior >= prior.max(1, keepdims=True))
        value = np.full(prior.shape, np.nan)
        for move in range(prior.shape[1]):
            there = game.legal[positions, move]
            to = game.after[positions[there], move]
            sign = 1 - 2 * game.seat[positions[there]]
            value[there, move] = np.where(game.over[to], game.outcome[to] * sign, -evaluate(to).value)
        return Thoughts(best / best.sum(1, keepdims=True), value)

    return think


def table(game: Game, player: Player) -> Array:
    """The policy [S, A] of a player, asked once wherever the game is not over."""
    policy = np.zeros(game.after.shape)
    on = np.flatnonzero(~game.over)
    policy[on] = player(on).policy
    return policy


def trained(game: Game, agents: Agents, games: int = SEARCHED) -> AlphaZero:
    """AlphaZero-lite after so many games of each agent."""
    learner = AlphaZero(agents, game)
    while learner.games < games:
        learner.play_and_learn()
    return learner


class Known(NamedTuple):
    """A player that has a name."""

    what: str
    make: Callable[[Game, int, int], Player]
    """From the game, the seat and a seed."""
    learns: str = ""
    """How long it learns before it can play, if it does."""

    @property
    def games(self) -> tuple[str, ...]:
        """The games that it plays: who has to learn has learned tic-tac-toe."""
        return ("tic-tac-toe",) if self.learns else tuple(GAMES)


def _random(game: Game, seat: int, seed: int) -> Player:
    policy = uniform(game)
    return lambda positions: Thoughts(policy[positions], np.full((len(positions), policy.shape[1]), np.nan))


def _exact(name: str) -> Callable[[Game, int, int], Player]:
    return lambda game, seat, seed: by_values(game, exact(game, seat, DISCOUNT)[name])


def _q_learning(told: bool) -> Callable[[Game, int, int], Player]:
    return lambda game, seat, seed: by_table(game, q_learning(game, seat, seed, LEARNED, loss_is_learned=told))


def _self_play(sign: float) -> Callable[[Game, int, int], Player]:
    def make(game: Game, seat: int, seed: int) -> Player:
        [learned] = minimax_q(game, seed, (LEARNED,), sign=sign)
        return by_table(game, learned)

    return make


def _uct(game: Game, seat: int, seed: int) -> Player:
    return by_search(game, RandomGames(game, stream(seed, "uct")), 1_000, bonus=ucb1)


def _alphazero(hyperparameters: dict[str, float], *, searching: bool) -> Callable[[Game, int, int], Player]:
    def make(game: Game, seat: int, seed: int) -> Player:
        evaluate = trained(game, Agents([Agent(0, seed, hyperparameters)])).evaluate
        return by_search(game, evaluate, SIMULATIONS) if searching else by_network(game, evaluate)

    return make


_SECONDS, _LONGER = "a few seconds", "about half a minute"

PLAYERS = {
    "random": Known("any move, all alike", _random),
    "win-only": Known("the best response to random moves, if only a win counts", _exact("win-only")),
    "best-response": Known("the best response to random moves, if a loss is -1", _exact("best-response")),
    "punished": Known(f"the best response to who attacks in {PUNISHED:.0%} of its moves", _exact("punished")),
    "safe": Known("the best response to random moves among the moves that nobody can punish", _exact("safe")),
    "minimax": Known("what is best against the best", _exact("minimax")),
    "q-learning": Known("Q-learning, 60,000 games against random moves", _q_learning(told=True), _SECONDS),
    "untold": Known("Q-learning that is never told of a loss: a common bug", _q_learning(told=False), _SECONDS),
    "minimax-q": Known("minimax-Q, 60,000 games against itself", _self_play(-1.0), _SECONDS),
    "sign-bug": Known("minimax-Q without its minus sign: a common bug", _self_play(1.0), _SECONDS),
    "uct": Known("UCT: 1,000 simulations a move, nothing learned", _uct),
    "network": Known("AlphaZero-lite without its search", _alphazero(EXPERT, searching=False), _LONGER),
    "search": Known("AlphaZero-lite", _alphazero(EXPERT, searching=True), _LONGER),
    "narrow-network": Known(
        "the network after games without random moves or turned boards", _alphazero(NARROW, searching=False), _LONGER
    ),
    "narrow-search": Known(
        "AlphaZero-lite after games without random moves or turned boards",
        _alphazero(NARROW, searching=True),
        _LONGER,
    ),
}


def known(name: str, game: str) -> Known:
    """Look a player up. Raises `WrongRequest` for unknown names, and for games that it does not play."""
    there = [other for other, one in PLAYERS.items() if game in one.games]
    if name not in there:
        raise WrongRequest(f"expected a player of {game}: {', '.join(there)}; found {name!r}")
    return PLAYERS[name]
