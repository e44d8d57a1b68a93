"""Littman's soccer: its rules, and that what is called safe is."""

import numpy as np
import pytest
from scipy.optimize import linprog

from relook.games.soccer import DISCOUNT, STEPS, best_response, deterministic, minimax, safest, score, soccer

GAME = soccer()
NORTH, SOUTH, WEST, EAST, STAND = range(len(STEPS))
NUMBER = {state: i for i, state in enumerate(GAME.states)}


def test_there_are_760_states_and_all_chances_add_up() -> None:
    assert len(GAME.states) == 760
    np.testing.assert_allclose(GAME.transition.sum(3) + GAME.goal.sum(3), 1)


def test_who_runs_into_the_other_loses_the_ball() -> None:
    apart = ((1, 2), (1, 1), 0)
    held = ((1, 2), (1, 1), 1)
    assert GAME.transition[NUMBER[apart], WEST, STAND, NUMBER[held]] == 1
    assert GAME.transition[NUMBER[held], WEST, STAND, NUMBER[held]] == 1, "who stands keeps it"
    chances = GAME.transition[NUMBER[apart], WEST, WEST]
    assert chances[NUMBER[held[0], (1, 0), 1]] == 0.5, "first runs into the other, who takes the ball away"
    assert chances[NUMBER[(1, 1), (1, 0), 0]] == 0.5, "the other steps aside first"


def test_goals_are_in_the_middle_of_the_sides_and_need_the_ball() -> None:
    for row in range(4):
        with_ball, without = NUMBER[(row, 0), (0, 3), 0], NUMBER[(row, 0), (0, 3), 1]
        assert GAME.goal[with_ball, WEST, STAND].tolist() == [float(row in (1, 2)), 0]
        assert GAME.goal[without, WEST, STAND].sum() == 0
    assert GAME.goal[NUMBER[(0, 3), (2, 4), 1], STAND, EAST].tolist() == [0, 1]
    assert GAME.goal[NUMBER[(2, 4), (0, 3), 0], EAST, STAND].sum() == 0, "not through the own goal"


def test_the_game_is_the_same_from_the_other_seat() -> None:
    turned = GAME.turned()

    def across(field: tuple[int, int]) -> tuple[int, int]:
        return 3 - field[0], 4 - field[1]

    mirrored = [NUMBER[across(q), across(p), 1 - ball] for p, q, ball in GAME.states]
    other_way = [SOUTH, NORTH, EAST, WEST, STAND]
    there = np.ix_(mirrored, other_way, other_way)
    np.testing.assert_allclose(turned.goal[there], GAME.goal)
    np.testing.assert_allclose(turned.transition[there][..., mirrored], GAME.transition)


def test_one_programme_solves_all_matrix_games() -> None:
    payoff = np.random.default_rng(0).normal(size=(20, 5, 5))
    policy, value = safest(payoff)
    for matrix, mix, promised in zip(payoff, policy, value, strict=True):
        assert (mix @ matrix).min() == pytest.approx(promised, abs=1e-9)
        theirs = linprog(  # the other player's programme: both have the same value (von Neumann)
            [0] * 5 + [1],
            A_ub=np.hstack([matrix, -np.ones((5, 1))]),
            b_ub=np.zeros(5),
            A_eq=[[1] * 5 + [0]],
            b_eq=[1],
            bounds=[(0, None)] * 5 + [(None, None)],
        )
        assert theirs.fun == pytest.approx(promised, abs=1e-9)
    rock = np.array([[[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]])
    np.testing.assert_allclose(safest(rock)[0], [[1 / 3] * 3], atol=1e-9)


def test_minimax_is_safe_and_no_policy_that_can_be_predicted_is() -> None:
    policy, value = minimax(GAME)
    assert GAME.start @ value == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(value, -best_response(GAME.turned(), policy)[1], atol=1e-9)
    np.testing.assert_allclose(safest(GAME.payoff(value))[1], value, atol=1e-6, err_msg="Shapley's equation")
    fixed, worst = deterministic(GAME)
    np.testing.assert_allclose(worst, -best_response(GAME.turned(), fixed)[1], atol=1e-6)
    assert GAME.start @ worst == pytest.approx(-0.1476, abs=1e-4)


def test_a_score_is_the_value_of_a_pair_of_policies() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.dirichlet(np.ones(5), size=760) for _ in range(2))
    scored, conceded = score(GAME, first, second)
    assert 0 < scored < 1
    assert 0 < conceded < 1
    both = np.einsum("sa,sb->sab", first, second)
    reward = (both * GAME.payoff(np.zeros(760))).sum((1, 2))
    chain = np.einsum("sab,sabt->st", both, GAME.transition)
    value = np.zeros(760)
    for _ in range(400):
        value = reward + DISCOUNT * chain @ value
    assert scored - conceded == pytest.approx(float(GAME.start @ value), abs=1e-9)
    assert DISCOUNT**400 < 1e-9
    assert -GAME.start @ best_response(GAME.turned(), first)[1] <= scored - conceded
