"""Tables, searches and networks of games: what they compute, and that a known mistake shows."""

import numpy as np
import pytest
import torch

from relook.errors import WrongRequest
from relook.games import solving
from relook.games.alphazero import BATCH, TOGETHER, AlphaZero, symmetries
from relook.games.game import FIRST, SECOND, Array, connect_four, tic_tac_toe
from relook.games.learning import minimax_q, q_learning
from relook.games.measures import Situations
from relook.games.players import EXPERT, NARROW, PLAYERS, by_network, by_search, by_values, known, table
from relook.games.search import Bonus, Evaluation, Positions, RandomGames, puct, search, ucb1
from relook.population import Agent, Agents

GAME = tic_tac_toe()
LIVE = np.flatnonzero(~GAME.over)


def exactly(positions: Positions) -> Evaluation:
    """A evaluate that knows the value of every position, and no good move."""
    value = solving.minimax(GAME, FIRST)[0]
    return Evaluation(solving.uniform(GAME)[positions], value[positions] * (1.0 - 2 * GAME.seat[positions]))


def nothing(positions: Positions) -> Evaluation:
    return Evaluation(solving.uniform(GAME)[positions], np.zeros(len(positions)))


# Tables


def test_q_learning_finds_the_best_response_to_random_moves() -> None:
    q, tried = q_learning(GAME, SECOND, 0, 20_000)
    assert not tried[GAME.seat == FIRST].any()
    assert not q[~tried].any()
    begun = GAME.after[0]
    best = solving.best_response(GAME, SECOND, solving.uniform(GAME))[0]
    assert np.abs(q[begun].max(1) - best[begun]).max() < 0.35
    report = Situations(GAME, SECOND).report(solving.among_best(GAME, q))
    assert report.win > 0.85
    assert report.block > 0.7
    assert report.worst == -1, "and is beaten by who knows it"
    np.testing.assert_array_equal(q, q_learning(GAME, SECOND, 0, 20_000).q, "from the same seed the same")


def test_who_is_not_told_of_a_loss_never_expects_one() -> None:
    untold = q_learning(GAME, SECOND, 0, 5_000, loss_is_learned=False)
    assert untold.q.min() >= 0
    assert q_learning(GAME, SECOND, 0, 5_000).q.min() < -0.5
    report = Situations(GAME, SECOND).report(solving.among_best(GAME, untold.q))
    assert report.block < 0.5


def test_minimax_q_finds_minimax_where_it_has_been() -> None:
    early, late = minimax_q(GAME, 0, (5_000, 30_000))
    situations = Situations(GAME, SECOND)
    reports = [situations.report(solving.among_best(GAME, own.q)) for own in (early, late)]
    assert reports[0].block < reports[1].block
    assert reports[1].block > 0.95
    exact = solving.minimax(GAME, FIRST)[1]
    before = GAME.layers[7]  # two moves before the end: what is learned there is turned around once
    settled = late.tried[before] & (np.abs(late.q[before]) > 0.5)
    assert settled.sum() > 100
    assert (np.sign(late.q[before][settled]) == exact[before][settled]).all()
    [wrong] = minimax_q(GAME, 0, (30_000,), sign=1.0)
    assert situations.report(solving.among_best(GAME, wrong.q)).block < 0.4
    settled = wrong.tried[before] & (np.abs(wrong.q[before]) > 0.5)
    assert not (np.sign(wrong.q[before][settled]) == exact[before][settled]).all()


# Search


@pytest.mark.parametrize("bonus", [puct, ucb1])
def test_every_simulation_is_counted_once_and_only_legal_moves_are_tried(bonus: Bonus) -> None:
    found = search(GAME, LIVE[:50], nothing, 40, bonus)
    assert (found.visits.sum(1) == 40).all()
    assert not found.visits[~GAME.legal[LIVE[:50]]].any()
    assert (np.abs(found.q) <= 1).all()
    np.testing.assert_allclose(found.policy.sum(1), 1)


def test_a_tree_is_the_same_in_any_company() -> None:
    alone = search(GAME, LIVE[7:8], exactly, 30)
    among = search(GAME, LIVE[:20], exactly, 30)
    np.testing.assert_array_equal(alone.visits[0], among.visits[7])
    np.testing.assert_array_equal(alone.q[0], among.q[7])


def test_a_search_with_a_judge_that_knows_plays_minimax() -> None:
    exact = solving.minimax(GAME, FIRST)[1]
    policy = table(GAME, by_search(GAME, exactly, 60))
    value = (np.where(GAME.legal, exact, 0) * policy).sum(1)[LIVE]
    best = np.nanmax(exact[LIVE], 1)
    assert (value == best).mean() > 0.99

    def turned(positions: Positions) -> Evaluation:
        return exactly(positions)._replace(value=-exactly(positions).value)

    wrong = table(GAME, by_search(GAME, turned, 60))
    assert ((np.where(GAME.legal, exact, 0) * wrong).sum(1)[LIVE] == best).mean() < 0.9, "a sign error shows"


def test_a_search_without_knowledge_finds_wins_and_blocks_of_one_move() -> None:
    for seat in (FIRST, SECOND):
        situations = Situations(GAME, seat)
        report = situations.report(table(GAME, by_search(GAME, nothing, 100)))
        assert report.attack > 0.9
        assert report.block > 0.99


def test_uct_blocks_more_the_more_it_simulates() -> None:
    rates = []
    for budget in (10, 100):
        where = np.flatnonzero(Situations(GAME, SECOND).blocks.any(1))
        visits = search(GAME, where, RandomGames(GAME, np.random.default_rng(0)), budget, ucb1).visits
        rates.append((visits.argmax(1) == Situations(GAME, SECOND).blocks[where].argmax(1)).mean())
    assert rates[0] < 0.85
    assert rates[1] > 0.97


def test_random_games_are_judged_from_the_view_of_whoever_moves() -> None:
    positions = np.repeat(LIVE[::400], 4_000)
    value = RandomGames(GAME, np.random.default_rng(0))(positions).value.reshape(-1, 4_000)
    chances = solving.outcomes(GAME, solving.uniform(GAME), solving.uniform(GAME))[LIVE[::400]]
    exact = (chances[:, 0] - chances[:, 2]) * (1 - 2 * GAME.seat[LIVE[::400]])
    assert (np.abs(value.mean(1) - exact) <= 4.5 * value.std(1) / 4_000**0.5 + 1e-12).all()


# AlphaZero-lite


def agents(*seeds: int) -> Agents:
    return Agents([Agent(i, seed, EXPERT if seed % 2 else NARROW) for i, seed in enumerate(seeds)])


def test_an_agent_of_alphazero_is_the_same_alone_bit_for_bit() -> None:
    among, alone = AlphaZero(agents(4, 3, 6), GAME), AlphaZero(agents(3), GAME)
    for learner in (among, alone):
        learner.play_and_learn()
        learner.play_and_learn()
    assert torch.equal(among.parameters.theta[1], alone.parameters.theta[0])
    assert not torch.equal(among.parameters.theta[0], among.parameters.theta[2])
    assert among.calls[1] == alone.calls[0]
    assert 2 * TOGETHER * 5 * 20 < alone.calls[0] < 2 * TOGETHER * 9 * 50, "at most once in each simulation"
    assert among.games == 2 * TOGETHER
    with torch.no_grad():
        np.testing.assert_array_equal(among.one(1)(LIVE[:9]).prior, alone.evaluate(LIVE[:9]).prior)


def test_a_step_of_alphazero_goes_down_its_loss() -> None:
    learner = AlphaZero(agents(1), GAME)
    position = LIVE[np.arange(BATCH) * 7]
    planes, legal = torch.from_numpy(learner.planes[position])[None], torch.from_numpy(GAME.legal[position])[None]
    policy = torch.from_numpy(solving.among_best(GAME, solving.minimax(GAME, FIRST)[1])[position])[None].float()
    result = torch.from_numpy(solving.minimax(GAME, FIRST)[0][position])[None].float()
    network, parameters = learner.network, learner.parameters

    def loss() -> torch.Tensor:
        """By autograd, from the definition."""
        x = planes[0]
        outputs = []
        for group in ("policy", "value"):
            y = x
            for layer in range(3):
                y = y @ tensors[f"{group}/{layer}/weight"] + tensors[f"{group}/{layer}/bias"]
                y = torch.relu(y) if layer < 2 else y
            outputs.append(y)
        log_p = torch.log_softmax(outputs[0].masked_fill(~legal[0], -torch.inf), -1).masked_fill(~legal[0], 0)
        error = (torch.tanh(outputs[1][:, 0]) - result[0]).square()
        return (error - (policy[0] * log_p).sum(-1)).mean()

    tensors = {name: x[0].detach().clone().requires_grad_() for name, x in network.learned(parameters).items()}
    before = loss()
    before.backward()
    with torch.no_grad():
        learner._update(planes, legal, policy, result)
    for group, index in (("policy", 0), ("value", 1)):
        for name in network.shapes:
            ours = parameters.gradient_of_group(name, index)[0]
            theirs = tensors[f"{group}/{name}"].grad
            assert theirs is not None
            held = ours[: theirs.shape[0], : theirs.shape[1]] if theirs.ndim == 2 else ours[0, : theirs.shape[0]]
            torch.testing.assert_close(held, theirs, atol=1e-6, rtol=1e-4)
    tensors = {name: x[0].detach() for name, x in network.learned(parameters).items()}
    assert loss() < before


@pytest.mark.parametrize("game", [GAME, connect_four()], ids=lambda game: game.name)
def test_turned_and_mirrored_boards_are_the_same_game(game: object) -> None:
    assert isinstance(game, type(GAME))
    fields, moves = symmetries(game)
    assert len(fields) == (2 if game.drops else 8)
    assert (fields[0] == np.arange(fields.shape[1])).all()
    number = {board.tobytes(): i for i, board in enumerate(game.board)}
    for position in range(0, len(game.board), len(game.board) // 200):
        for of_fields, of_moves in zip(fields, moves, strict=True):
            image = number[game.board[position][of_fields].tobytes()]
            assert game.outcome[image] == game.outcome[position]
            for move, source in enumerate(of_moves):
                to = game.after[position, source]
                there = game.after[image, move]
                assert (there < 0) == (to < 0)
                if to >= 0:
                    assert there == number[game.board[to][of_fields].tobytes()]


def test_alphazero_learns_to_win_and_to_block() -> None:
    learner = AlphaZero(agents(1), GAME)
    situations = Situations(GAME, SECOND)
    with torch.no_grad():
        before = situations.report(table(GAME, by_network(GAME, learner.evaluate)))
        for _ in range(6):
            learner.play_and_learn()
        after = situations.report(table(GAME, by_network(GAME, learner.evaluate)))
        searching = situations.report(table(GAME, by_search(GAME, learner.evaluate, 50)))
    assert before.block < 0.6
    assert after.block > 0.85
    assert after.win > 0.75
    assert searching.block > 0.98


# Players by name


def test_every_player_says_what_it_thinks_of_legal_moves_alone() -> None:
    quick = [name for name, one in PLAYERS.items() if not one.learns]
    assert {"random", "win-only", "best-response", "punished", "safe", "minimax", "uct"} == set(quick)
    for name in quick:
        policy, value = known(name, GAME.name).make(GAME, SECOND, 0)(GAME.after[0, :3])
        assert policy.shape == value.shape == (3, 9)
        np.testing.assert_allclose(policy.sum(1), 1)
        legal = GAME.legal[GAME.after[0, :3]]
        assert not policy[~legal].any()
        assert np.isnan(value[~legal]).all()


def test_players_of_tables_and_networks_agree_with_what_they_are_made_of() -> None:
    q = solving.minimax(GAME, FIRST)[1]
    np.testing.assert_array_equal(table(GAME, by_values(GAME, q)), solving.among_best(GAME, q) * ~GAME.over[:, None])

    def worth_of(positions: Positions) -> Array:
        return by_network(GAME, exactly)(positions).value

    np.testing.assert_array_equal(worth_of(LIVE)[GAME.legal[LIVE]], q[LIVE][GAME.legal[LIVE]])


def test_unknown_players_and_games_are_refused() -> None:
    with pytest.raises(WrongRequest, match=r"expected a player of tic-tac-toe: random, .*; found 'nobody'"):
        known("nobody", GAME.name)
    with pytest.raises(
        WrongRequest, match=r"expected a player of connect-four: random, .*minimax, uct; found 'network'"
    ):
        known("network", "connect-four")
