"""Everything that the lab says with a number: three acts, exact, learned and searched."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from relook.games import learning, soccer
from relook.games.alphazero import SIMULATIONS
from relook.games.game import FIRST, SECOND, Array, Game, connect_four, tic_tac_toe
from relook.games.measures import Report, Situations
from relook.games.players import (
    DISCOUNT,
    EXPERT,
    LEARNED,
    NARROW,
    SEARCHED,
    by_network,
    by_search,
    exact,
    table,
    trained,
)
from relook.games.search import RandomGames, ucb1
from relook.games.solving import among_best, attacker, best_response, exploitability, minimax, mixed, uniform
from relook.population import Agent, Agents, stream

SEEDS = 5
SHARES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""In what share of its moves the opponent punishes."""
BUDGETS = (10, 30, 100)
"""Simulations of UCT in each move."""
SEATS = (FIRST, SECOND)

Both = tuple[Report, Report]
"""A player in the first seat and in the second."""


class SoccerReport(NamedTuple):
    """A policy of soccer, in the first seat."""

    against_random: float
    """Its share of the games that end with a goal."""
    against_best_response: float
    worst: float
    """What it gets against its best response, 1 for a goal and -1 for one of the other, 0 for none."""


class Found(NamedTuple):
    positions: dict[str, int]
    """How many each game has."""
    moves: dict[str, int]
    """How many moves there are in all of them together: what dynamic programming asks of the game."""
    blocks: dict[str, tuple[int, int]]
    """In how many positions each player must block."""
    exact: dict[str, dict[str, Both]]
    """By game and player, with nothing discounted and ties broken evenly."""
    hurried: dict[str, Both]
    """The same players of tic-tac-toe if a win now is better than a win later."""
    uniform_exploitability: float
    """Of random moves in tic-tac-toe."""
    taught: dict[str, list[Report]]
    """The second player's best response to one that punishes in SHARES of its moves: by who that is."""
    safe_from: dict[str, float]
    """From which share on that is safe, to one in a thousand."""
    soccer: dict[str, SoccerReport]
    uct: dict[int, list[Both]]
    """By simulations in each move, for each seed: the best response knows how its random games come out."""
    uct_calls: dict[int, float]
    """How often it asks the game what a move leads to, for each move that it makes."""
    learned: dict[str, list[Both]]
    """By player, for each seed."""
    alphazero: dict[str, list[Both]]
    """By what it is, for each seed."""
    games: int
    """That each AlphaZero-lite has played."""
    calls: float
    """How often one that explores has asked the game what a move leads to, on average."""


def compute(seeds: int = SEEDS, games: int = SEARCHED, *, sign: float = -1.0) -> Found:
    """With `sign` 1, minimax-Q takes what is good for the other player for good."""
    game = tic_tac_toe()
    both = [Situations(game, seat) for seat in SEATS]
    uct = {budget: [_uct(game, both, budget, seed) for seed in range(seeds)] for budget in BUDGETS}
    alphazero, calls = _alphazero(game, both, seeds, games)
    return _without_seeds()._replace(
        uct={budget: [reports for reports, _ in of_seeds] for budget, of_seeds in uct.items()},
        uct_calls={budget: float(np.mean([asked for _, asked in of_seeds])) for budget, of_seeds in uct.items()},
        learned=_learned(game, both, seeds, sign),
        alphazero=alphazero,
        games=games,
        calls=calls,
    )


@cache
def _without_seeds() -> Found:
    """What no learning changes."""
    games = [tic_tac_toe(), connect_four()]
    situations = {game.name: [Situations(game, seat) for seat in SEATS] for game in games}
    small = games[0]
    ours = situations[small.name]
    taught, safe_from = _taught(small, ours[SECOND])
    return Found(
        positions={game.name: len(game.board) for game in games},
        moves={game.name: int(game.legal.sum()) for game in games},
        blocks={name: _pair(int(of.blocks.any(1).sum()) for of in both) for name, both in situations.items()},
        exact={game.name: _exact(game, situations[game.name]) for game in games},
        hurried=_exact(small, ours, DISCOUNT),
        uniform_exploitability=exploitability(small, uniform(small), uniform(small)),
        taught=taught,
        safe_from=safe_from,
        soccer=_soccer(),
        uct={},
        uct_calls={},
        learned={},
        alphazero={},
        games=0,
        calls=0.0,
    )


def _pair(both: Any) -> tuple[Any, Any]:
    first, second = both
    return first, second


def _exact(game: Game, both: list[Situations], discount: float = 1.0) -> dict[str, Both]:
    of_seats = [exact(game, seat, discount) for seat in SEATS]
    random = {"random": _pair(of.report(uniform(game)) for of in both)}
    return random | {
        name: _pair(of.report(among_best(game, q[name])) for of, q in zip(both, of_seats, strict=True))
        for name in of_seats[0]
    }


def _taught(game: Game, of: Situations) -> tuple[dict[str, list[Report]], dict[str, float]]:
    """The first player punishes in a share of its moves, and makes any move otherwise."""

    def pupil(punishing: Array, share: float) -> Report:
        teacher = mixed(uniform(game), punishing, share)
        return of.report(among_best(game, best_response(game, SECOND, teacher)[1]))

    def safe_from(punishing: Array) -> float:
        low, high = 0.0, 1.0
        while high - low > 1e-3:
            share = (low + high) / 2
            low, high = (low, share) if pupil(punishing, share).worst >= 0 else (share, high)
        return high

    teachers = {"attacker": attacker(game, FIRST), "minimax": among_best(game, minimax(game, FIRST)[1])}
    return (
        {name: [pupil(punishing, share) for share in SHARES] for name, punishing in teachers.items()},
        {name: safe_from(punishing) for name, punishing in teachers.items()},
    )


def _soccer() -> dict[str, SoccerReport]:
    game = soccer.soccer()
    random = np.full(game.goal.shape[:2], 1 / len(soccer.STEPS))
    policies = {
        "best-response": soccer.best_response(game, random)[0],
        "deterministic": soccer.deterministic(game)[0],
        "minimax": soccer.minimax(game)[0],
    }

    def told(policy: np.ndarray) -> SoccerReport:
        shares = []
        for other in (random, soccer.best_response(game.turned(), policy)[0]):
            scored, conceded = soccer.score(game, policy, other)
            shares.append(scored / (scored + conceded))
        return SoccerReport(shares[0], shares[1], scored - conceded)

    return {name: told(policy) for name, policy in policies.items()}


def _uct(game: Game, both: list[Situations], simulations: int, seed: int) -> tuple[Both, float]:
    """Search alone, which has learned nothing."""
    evaluate = RandomGames(game, stream(seed, f"uct/{simulations}"))
    policy = table(game, by_search(game, evaluate, simulations, bonus=ucb1))
    calls = evaluate.calls / (~game.over).sum() + simulations
    return _pair(of.report(policy) for of in both), float(calls)


def _learned(game: Game, both: list[Situations], seeds: int, sign: float) -> dict[str, list[Both]]:
    looks = (LEARNED // 3, 2 * LEARNED // 3, LEARNED)
    found: dict[str, list[Both]] = {}

    def add(name: str, first: learning.Table, second: learning.Table) -> None:
        tables = zip(both, (first, second), strict=True)
        found.setdefault(name, []).append(_pair(of.report(among_best(game, own.q)) for of, own in tables))

    def against_random(told: bool) -> Callable[[int], learning.Table]:
        return lambda seat: learning.q_learning(game, seat, seed, LEARNED, loss_is_learned=told)

    for seed in range(seeds):
        add("q-learning", *map(against_random(told=True), SEATS))
        add("untold", *map(against_random(told=False), SEATS))
        for look, own in zip(looks, learning.minimax_q(game, seed, looks, sign=sign), strict=True):
            add("minimax-q" if look == LEARNED else f"minimax-q {look:,}", own, own)
        [own] = learning.minimax_q(game, seed, looks[-1:], sign=1.0)
        add("sign-bug", own, own)
    return found


@torch.no_grad()
def _alphazero(game: Game, both: list[Situations], seeds: int, games: int) -> tuple[dict[str, list[Both]], float]:
    """With and without a search, and with and without random moves and turned boards: one population."""
    arms = [(name, arm, seed) for name, arm in (("", EXPERT), ("narrow-", NARROW)) for seed in range(seeds)]
    learner = trained(game, Agents([Agent(i, seed, arm) for i, (_, arm, seed) in enumerate(arms)]), games)
    found: dict[str, list[Both]] = {}
    for i, (name, _, _) in enumerate(arms):
        alone = learner.one(i)
        players = {"network": by_network(game, alone), "search": by_search(game, alone, SIMULATIONS)}
        for kind, player in players.items():
            policy = table(game, player)
            found.setdefault(name + kind, []).append(_pair(of.report(policy) for of in both))
    return found, float(learner.calls[:seeds].mean())


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
