"""Games as arrays, and exact answers about them, against naive code that walks the tree."""

from functools import cache

import numpy as np
import pytest

from relook.games import measures, solving
from relook.games.game import FIRST, SECOND, Array, Game, connect_four, in_a_row, tic_tac_toe
from relook.games.measures import Situations, seated

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
GAME = tic_tac_toe()
SMALL = in_a_row("three columns", (3, 3), 3, drops=True)


def drawn_policy(game: Game, seed: int) -> Array:
    """Any policy."""
    share = np.where(game.legal, np.random.default_rng(seed).exponential(size=game.after.shape), 0)
    policy: Array = share / np.maximum(share.sum(1, keepdims=True), 1e-300)
    return policy


def winner(board: str) -> str:
    """Of a board such as `X.O...XOX`, by the rules as people know them; "" if there is none."""
    return next((board[a] for a, b, c in LINES if board[a] == board[b] == board[c] != "."), "")


def written(game: Game, position: int) -> str:
    return "".join(".XO"[stone] for stone in game.board[position])


@cache
def naive_minimax(board: str) -> int:
    """For X."""
    if won := winner(board):
        return 1 if won == "X" else -1
    free = [i for i, mark in enumerate(board) if mark == "."]
    if not free:
        return 0
    mark = "XO"[board.count("X") > board.count("O")]
    values = [naive_minimax(board[:i] + mark + board[i + 1 :]) for i in free]
    return max(values) if mark == "X" else min(values)


def test_tic_tac_toe_is_the_game_that_people_play() -> None:
    assert len(GAME.board) == 5_478
    value = solving.minimax(GAME, FIRST)[0]
    for position in range(len(GAME.board)):
        board = written(GAME, position)
        assert {"X": 1, "O": -1, "": 0}[winner(board)] == GAME.outcome[position]
        assert value[position] == naive_minimax(board)
        for move, to in enumerate(GAME.after[position]):
            if to >= 0:
                assert written(GAME, to) == board[:move] + "XO"[GAME.seat[position]] + board[move + 1 :]
            else:
                assert board[move] != "." or winner(board)


def test_stones_fall_and_positions_are_counted_once() -> None:
    game = connect_four()
    assert len(game.board) == 161_029
    assert len(np.unique(game.board, axis=0)) == len(game.board)
    grid = game.board.reshape(-1, 4, 4)
    assert not ((grid[:, :-1] > 0) & (grid[:, 1:] == 0)).any(), "no stone hangs in the air"
    assert solving.minimax(game, FIRST)[0][0] == 0
    at, move = np.nonzero(game.legal)
    assert (np.abs(game.board[game.after[at, move]].astype(int) - game.board[at]).sum(1) == game.seat[at] + 1).all()


@pytest.mark.parametrize("game", [GAME, SMALL], ids=lambda game: game.name)
def test_outcomes_are_those_of_games_that_are_played(game: Game) -> None:
    first, second = drawn_policy(game, 1), drawn_policy(game, 2)
    exact = solving.outcomes(game, first, second)[0]
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    assert solving.reached(game, first, second)[game.over].sum() == pytest.approx(1, abs=1e-12)
    rng, played = np.random.default_rng(3), 20_000
    state = np.zeros(played, dtype=int)
    while (on := ~game.over[state]).any():
        policy = np.where(game.seat[state[on], None] == FIRST, first[state[on]], second[state[on]])
        state[on] = game.after[state[on], (policy.cumsum(1) > rng.random((on.sum(), 1))).argmax(1)]
    share = np.array([(game.outcome[state] == result).mean() for result in (1, 0, -1)])
    assert (np.abs(share - exact) <= 4 * np.sqrt(exact * (1 - exact) / played)).all()


@pytest.mark.parametrize("seat", [FIRST, SECOND])
@pytest.mark.parametrize("game", [GAME, SMALL], ids=lambda game: game.name)
def test_nothing_beats_a_best_response(game: Game, seat: int) -> None:
    other = drawn_policy(game, 4)
    value, q = solving.best_response(game, seat, other)
    sign = 1 - 2 * seat

    def gets(policy: Array) -> Array:
        chances = solving.outcomes(game, *seated(seat, policy, other))
        return sign * (chances[:, 0] - chances[:, 2])

    np.testing.assert_allclose(gets(solving.among_best(game, q)), value, atol=1e-12)
    for seed in range(20):
        assert (gets(drawn_policy(game, seed)) <= value + 1e-12).all()
    np.testing.assert_allclose(
        np.nanmax(q[(game.seat == seat) & ~game.over], 1), value[(game.seat == seat) & ~game.over]
    )
    later = solving.best_response(game, seat, other, discount=0.9)[0]
    assert np.abs(later[0]) < np.abs(value[0]), "what comes later counts less"


@pytest.mark.parametrize("game", [GAME, SMALL], ids=lambda game: game.name)
def test_minimax_is_the_least_that_a_best_response_leaves(game: Game) -> None:
    both = [solving.minimax(game, seat) for seat in (FIRST, SECOND)]
    np.testing.assert_array_equal(both[0][0], -both[1][0])
    np.testing.assert_array_equal(both[0][1], both[1][1], "Q is that of whoever moves")
    first, second = (solving.among_best(game, q) for _, q in both)
    assert solving.worst_case(game, FIRST, first) == both[0][0][0]
    assert solving.worst_case(game, SECOND, second) == both[1][0][0]
    assert solving.exploitability(game, first, second) == 0
    for seed in range(5):
        assert solving.worst_case(game, SECOND, drawn_policy(game, seed)) <= both[1][0][0] + 1e-12


def test_prices_change_what_is_best() -> None:
    random = solving.uniform(GAME)
    cheap = solving.best_response(GAME, SECOND, random, solving.WIN_ONLY)[0][0]
    assert cheap == pytest.approx(0.93862, abs=1e-5), "the chance to win"
    dear = solving.Rewards(win=0.0, draw=0.0, loss=-1.0)
    policy = solving.among_best(GAME, solving.best_response(GAME, SECOND, random, dear)[1])
    assert solving.outcomes(GAME, random, policy)[0][0] < 0.01, "who only fears a loss hardly loses"


@pytest.mark.parametrize("seat", [FIRST, SECOND])
@pytest.mark.parametrize("game", [GAME, SMALL], ids=lambda game: game.name)
def test_the_best_of_the_safe_moves_is_safe_and_loses_little(game: Game, seat: int) -> None:
    other = drawn_policy(game, 5)
    safe = solving.safe_moves(game, seat)
    value, q = solving.best_response(game, seat, other, moves=safe)
    policy = solving.among_best(game, q)
    own = (game.seat == seat) & ~game.over
    assert not policy[own][~safe[own]].any()
    assert solving.worst_case(game, seat, policy) == solving.minimax(game, seat)[0][0]
    cautious = solving.outcomes(game, *seated(seat, solving.among_best(game, solving.minimax(game, seat)[1]), other))[0]
    sign = 1 - 2 * seat
    assert (
        sign * (cautious[0] - cautious[2]) <= value[0] + 1e-12 <= solving.best_response(game, seat, other)[0][0] + 2e-12
    )


def test_exploitability_of_random_moves_is_known() -> None:
    random = solving.uniform(GAME)
    assert solving.exploitability(GAME, random, random) == pytest.approx(0.9598, abs=5e-5)


def test_who_attacks_takes_a_win_and_nothing_else_on_purpose() -> None:
    policy, wins = solving.attacker(GAME, FIRST), GAME.wins(FIRST)
    can = wins.any(1)
    np.testing.assert_allclose((policy * wins)[can].sum(1), 1)
    np.testing.assert_array_equal(policy[~can], solving.uniform(GAME)[~can])
    np.testing.assert_allclose(solving.mixed(policy, np.zeros_like(policy), 0.25), 0.75 * policy)


def test_where_one_must_block_is_what_the_board_says() -> None:
    for seat, count in ((FIRST, 360), (SECOND, 500)):
        blocks = Situations(GAME, seat).blocks
        assert blocks.any(1).sum() == count
        assert (blocks.sum(1) <= 1).all()
        mine, theirs = "XO"[seat], "XO"[1 - seat]
        for position in range(len(GAME.board)):
            board = written(GAME, position)
            due = "XO"[board.count("X") > board.count("O")] == mine and not winner(board) and "." in board
            free = [i for i, mark in enumerate(board) if mark == "."]
            after = {i: board[:i] + mine + board[i + 1 :] for i in free}
            threats = [i for i in free if winner(board[:i] + theirs + board[i + 1 :])]
            must = due and not any(map(winner, after.values())) and len(threats) == 1
            must = must and naive_minimax(after[threats[0]]) * (1 if mine == "X" else -1) >= 0
            assert np.flatnonzero(blocks[position]).tolist() == (threats if must else [])


def test_a_report_counts_what_it_says() -> None:
    situations = Situations(GAME, SECOND)
    safe = situations.report(solving.among_best(GAME, solving.minimax(GAME, SECOND)[1]))
    assert (safe.block, safe.block_on_path, safe.worst, safe.loses, safe.loss) == (1, 1, 0, 0, 0)
    blind = solving.uniform(GAME) * ~situations.blocks
    blind /= np.maximum(blind.sum(1, keepdims=True), 1e-300)
    never = situations.report(blind)
    assert never.block == never.block_on_path == 0
    assert never.loses > 0.99
    assert 0 < never.attack < 1
    assert never.win + never.loss < 1
    assert measures._rate(blind, situations.wins & False, np.ones(len(blind))) == 1


@pytest.mark.parametrize("seat", [FIRST, SECOND])
def test_a_report_agrees_with_games_that_are_played(seat: int) -> None:
    situations, policy, random = Situations(GAME, seat), drawn_policy(GAME, 6), solving.uniform(GAME)
    report = situations.report(policy)
    response = solving.among_best(GAME, solving.best_response(GAME, 1 - seat, policy)[1])
    rng, played = np.random.default_rng(7), 20_000

    def play(other: Array) -> tuple[float, float, float]:
        """How often it wins, how often it loses, and how often it blocks where it must on the way."""
        state, due, made = np.zeros(played, dtype=int), 0, 0
        while (on := np.flatnonzero(~GAME.over[state])).size:
            mine = GAME.seat[state[on]] == seat
            share = np.where(mine[:, None], policy[state[on]], other[state[on]])
            move = (share.cumsum(1) > rng.random((on.size, 1))).argmax(1)
            blocks = situations.blocks[state[on]]
            due, made = due + int(blocks.any(1).sum()), made + int(blocks[np.arange(on.size), move].sum())
            state[on] = GAME.after[state[on], move]
        result = GAME.outcome[state] * (1 - 2 * seat)
        return float((result == 1).mean()), float((result == -1).mean()), made / due

    error = 4 * 0.5 / played**0.5
    win, loss, _ = play(random)
    assert (report.win, report.loss) == pytest.approx((win, loss), abs=error)
    win, loss, _ = play(response)
    assert report.loses == pytest.approx(loss, abs=error)
    assert report.worst == pytest.approx(win - loss, abs=2 * error)
    assert report.block_on_path == pytest.approx(play(solving.mixed(response, random, 0.5))[2], abs=4 * error)


def test_openspiel_says_the_same_of_the_same_policies() -> None:
    pytest.importorskip("pyspiel", reason="pip install '.[games]'")
    import pyspiel
    from open_spiel.python import policy as spiel
    from open_spiel.python.algorithms.exploitability import nash_conv

    policies = drawn_policy(GAME, 7), drawn_policy(GAME, 8)
    number = {written(GAME, position): position for position in range(len(GAME.board))}

    class Ours(spiel.Policy):  # type: ignore[misc]  # OpenSpiel has no types
        def action_probabilities(self, state, player_id=None):  # type: ignore[no-untyped-def]  # as above
            board = str(state).replace("\n", "").replace("x", "X").replace("o", "O")
            row = policies[state.current_player()][number[board]]
            return {move: row[move] for move in state.legal_actions()}

    theirs = nash_conv(pyspiel.load_game("tic_tac_toe"), Ours(pyspiel.load_game("tic_tac_toe"), [0, 1])) / 2
    assert solving.exploitability(GAME, *policies) == pytest.approx(theirs, abs=1e-9)
