"""Everything that the lab says with a number: three acts, exact, learned and searched."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from relook.games import learning, soccer
from relook.games.alphazero import SIMULATIONS, AlphaZero
from relook.games.game import FIRST, SECOND, Array, Game, connect_four, tic_tac_toe
from relook.games.measures import Report, Situations
from relook.games.players import EXPERT, LEARNED, NARROW, SEARCHED, by_network, by_search, table
from relook.games.search import random_games, ucb1
from relook.games.solving import (
    WIN_ONLY,
    ZERO_SUM,
    among_best,
    attacker,
    best_response,
    exploitability,
    minimax,
    mixed,
    uniform,
)
from relook.population import Agent, Agents, stream

SEEDS = 5
SHARES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""How often the other player is one that punishes, and not a random one."""
BUDGETS = (10, 30, 100)
"""Simulations of UCT."""
SEATS = (FIRST, SECOND)

Both = tuple[Report, Report]
"""A player in the first seat and in the second."""


class Soccer(NamedTuple):
    """A policy of soccer, in the first seat."""

    against_random: float
    """Its share of the games that end with a goal."""
    against_best_response: float
    worst: float
    """What it gets against its best response, 1 for a goal and -1 for one of the other, the draws 0."""


class Found(NamedTuple):
    positions: dict[str, int]
    """How many each game has."""
    moves: dict[str, int]
    """How many moves there are in all of them together: what dynamic programming asks of the game."""
    blocks: dict[str, tuple[int, int]]
    """In how many positions each player must block."""
    exact: dict[str, dict[str, Both]]
    """By game and player."""
    uniform_exploitability: float
    """Of random moves in tic-tac-toe."""
    taught: dict[str, list[Report]]
    """The second player's best response to one that punishes in SHARES of its moves: by who that is."""
    soccer: dict[str, Soccer]
    uct: dict[int, Both]
    """By simulations in each move."""
    learned: dict[str, list[Both]]
    """By player, for each seed."""
    alphazero: dict[str, list[Both]]
    """By what it is, for each seed."""
    games: int
    """That each AlphaZero-lite has played."""
    calls: float
    """How often its searches have asked the game what a move leads to, on average."""


def compute(seeds: int = SEEDS, games: int = SEARCHED, *, sign: float = -1.0) -> Found:
    """With `sign` 1, minimax-Q takes what is good for the other player for good."""
    game = tic_tac_toe()
    both = [Situations(game, seat) for seat in SEATS]
    alphazero, learner = _alphazero(game, both, seeds, games)
    return _without_seeds()._replace(
        learned=_learned(game, both, seeds, sign),
        alphazero=alphazero,
        games=learner.games,
        calls=float(learner.calls.mean()),
    )


@cache
def _without_seeds() -> Found:
    """What no learning changes."""
    games = [tic_tac_toe(), connect_four()]
    situations = {game.name: [Situations(game, seat) for seat in SEATS] for game in games}
    small = games[0]
    ours = situations[small.name]
    return Found(
        positions={game.name: len(game.board) for game in games},
        moves={game.name: int(game.legal.sum()) for game in games},
        blocks={name: _pair(int(of.blocks.any(1).sum()) for of in both) for name, both in situations.items()},
        exact={game.name: _exact(game, situations[game.name]) for game in games},
        uniform_exploitability=exploitability(small, uniform(small), uniform(small)),
        taught=_taught(small, ours[SECOND]),
        soccer=_soccer(),
        uct={budget: _uct(small, ours, budget) for budget in BUDGETS},
        learned={},
        alphazero={},
        games=0,
        calls=0.0,
    )


def _pair(both: Any) -> tuple[Any, Any]:
    first, second = both
    return first, second


def _exact(game: Game, both: list[Situations]) -> dict[str, Both]:
    def tables(seat: int) -> dict[str, Array]:
        random = uniform(game)
        return {
            "random": random,
            "win-only": among_best(game, best_response(game, seat, random, WIN_ONLY)[1]),
            "best-response": among_best(game, best_response(game, seat, random, ZERO_SUM)[1]),
            "minimax": among_best(game, minimax(game, seat)[1]),
        }

    of_seats = [tables(seat) for seat in SEATS]
    return {
        name: _pair(of.report(policies[name]) for of, policies in zip(both, of_seats, strict=True))
        for name in of_seats[0]
    }


def _taught(game: Game, of: Situations) -> dict[str, list[Report]]:
    """The first player punishes in a share of its moves, and makes any move otherwise."""
    punishing = {"attacker": attacker(game, FIRST), "minimax": among_best(game, minimax(game, FIRST)[1])}
    return {
        name: [
            of.report(among_best(game, best_response(game, SECOND, mixed(uniform(game), policy, share))[1]))
            for share in SHARES
        ]
        for name, policy in punishing.items()
    }


def _soccer() -> dict[str, Soccer]:
    game = soccer.soccer()
    random = np.full(game.goal.shape[:2], 1 / len(soccer.STEPS))
    policies = {
        "best-response": soccer.best_response(game, random)[0],
        "minimax": soccer.minimax(game)[0],
        "deterministic": soccer.deterministic(game)[0],
    }

    def told(policy: np.ndarray) -> Soccer:
        shares = []
        for other in (random, soccer.best_response(game.turned(), policy)[0]):
            scored, conceded = soccer.score(game, policy, other)
            shares.append(scored / (scored + conceded))
        return Soccer(shares[0], shares[1], scored - conceded)

    return {name: told(policy) for name, policy in policies.items()}


def _learned(game: Game, both: list[Situations], seeds: int, sign: float) -> dict[str, list[Both]]:
    looks = (LEARNED // 3, 2 * LEARNED // 3, LEARNED)
    found: dict[str, list[Both]] = {}

    def add(name: str, *q: Array) -> None:
        reports = (of.report(among_best(game, own)) for of, own in zip(both, q, strict=True))
        found.setdefault(name, []).append(_pair(reports))

    for seed in range(seeds):
        for name, told in (("q-learning", True), ("untold", False)):
            first, second = (learning.q_learning(game, seat, seed, LEARNED, loss_is_learned=told) for seat in SEATS)
            add(name, first, second)
        for look, q in zip(looks, learning.minimax_q(game, seed, looks, sign=sign), strict=True):
            add(f"minimax-q {look:,}", q, q)
        [q] = learning.minimax_q(game, seed, looks[-1:], sign=1.0)
        add("sign-bug", q, q)
    return found


def _uct(game: Game, both: list[Situations], simulations: int) -> Both:
    """Search alone, which has learned nothing."""
    judge = random_games(game, stream(0, f"uct/{simulations}"))
    policy = table(game, by_search(game, judge, simulations, bonus=ucb1))
    return _pair(of.report(policy) for of in both)


@torch.no_grad()
def _alphazero(game: Game, both: list[Situations], seeds: int, games: int) -> tuple[dict[str, list[Both]], AlphaZero]:
    """With and without a search, and with and without random moves and turned boards: one population."""
    arms = [(arm, seed) for arm in (EXPERT, NARROW) for seed in range(seeds)]
    agents = Agents([Agent(i, seed, arm) for i, (arm, seed) in enumerate(arms)])
    learner = AlphaZero(agents, game)
    while learner.games < games:
        learner.play_and_learn()
    found: dict[str, list[Both]] = {}
    for i, (arm, _) in enumerate(arms):
        alone = learner.one(i)
        players = {"network": by_network(game, alone), "search": by_search(game, alone, SIMULATIONS)}
        for name, player in players.items():
            policy = table(game, player)
            label = name if arm is EXPERT else f"narrow {name}"
            found.setdefault(label, []).append(_pair(of.report(policy) for of in both))
    return found, learner


def plain(value: Any) -> Any:
    """Results as JSON has them: what is by seat as X and O, numbers to six digits."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, tuple):
        return {mark: plain(part) for mark, part in zip("XO", value, strict=True)}
    return round(value, 6) if isinstance(value, float) else value
