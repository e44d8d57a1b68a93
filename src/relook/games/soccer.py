"""Littman's soccer: both move at once, so that a safe player must be hard to predict (Littman 1994, section 5).

Two players on a field of 4 × 5; one has the ball. Both choose to step or to stand, and the choices are carried out
one after the other, either being first with probability ½. Who would step onto the other stays, and if he has the ball
he loses it to the other. Who carries the ball out through the middle of the other's side scores.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import bsr_array, csr_array, eye_array, hstack, kron

from relook.tabular import MDP, Array, policy_iteration, under

HEIGHT, WIDTH = 4, 5
STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
"""North, south, west, east, stand: (rows, columns)."""
GOAL_ROWS = (1, 2)
START = ((2, 3), (1, 1))
"""Where the first player and the second begin; the first scores in the west, the second in the east."""
DISCOUNT = 0.9
"""Each step is the last with probability 0.1, and the game is drawn then."""
NEAR = 1e-7
"""How exactly a linear programme is solved."""

State = tuple[tuple[int, int], tuple[int, int], int]
"""The fields of both players, and who has the ball."""


class Soccer(NamedTuple):
    """The game as arrays over its S = 760 states and A = 5 actions of each player, from the first player's seat."""

    states: tuple[State, ...]
    goal: Array
    """The chance that the player of the first action scores in this step, and that the other does [S, A, A, 2]."""
    transition: Array
    """The chance of each next state, if nobody scores [S, A, A, S]."""
    start: Array
    """Either player has the ball with probability ½ [S]."""

    def turned(self) -> "Soccer":
        """The same game with the second player's actions and goals first."""
        return self._replace(goal=self.goal.transpose(0, 2, 1, 3)[..., ::-1], transition=self.transition.swapaxes(1, 2))

    def payoff(self, value: Array) -> Array:
        """What both actions are worth to the first player, if V [S] is what comes afterwards [S, A, A]."""
        ahead: Array = self.goal[..., 0] - self.goal[..., 1] + DISCOUNT * self.transition @ value
        return ahead

    def against(self, other: Array) -> MDP:
        """The world of the first player, if the second one's policy [S, A] is known. A goal ends it; V(end) = 0."""
        size, actions = self.goal.shape[:2]
        goal = np.einsum("sabg,sb->sag", self.goal, other)
        transition = np.zeros((size + 1, actions, size + 1))
        transition[:size, :, :size] = np.einsum("sabt,sb->sat", self.transition, other)
        transition[:size, :, size] = goal.sum(2)
        reward = np.zeros_like(transition)
        ends = goal.sum(2) > 0
        reward[:size, :, size][ends] = (goal[..., 0] - goal[..., 1])[ends] / goal.sum(2)[ends]
        return MDP(transition, reward, np.append(self.start, 0.0), np.arange(size + 1) == size)


def soccer() -> Soccer:
    """All states and what happens in them."""
    fields = list(product(range(HEIGHT), range(WIDTH)))
    states: tuple[State, ...] = tuple((p, q, ball) for p in fields for q in fields if p != q for ball in (0, 1))
    number = {state: i for i, state in enumerate(states)}
    size, actions = len(states), len(STEPS)
    goal, transition = np.zeros((size, actions, actions, 2)), np.zeros((size, actions, actions, size))
    for (s, state), a, b, before in product(enumerate(states), range(actions), range(actions), (0, 1)):
        after: State | int = state
        for player in (before, 1 - before):
            if not isinstance(after, int):
                after = _carried_out(after, player, STEPS[(a, b)[player]])
        if isinstance(after, int):
            goal[s, a, b, after] += 0.5
        else:
            transition[s, a, b, number[after]] += 0.5
    start = np.zeros(size)
    start[[number[(*START, ball)] for ball in (0, 1)]] = 0.5
    return Soccer(states, goal, transition, start)


def _carried_out(state: State, player: int, step: tuple[int, int]) -> State | int:
    """The state after one player's step, or who scores by it."""
    places, ball = list(state[:2]), state[2]
    row, column = places[player][0] + step[0], places[player][1] + step[1]
    if ball == player and row in GOAL_ROWS and column == (-1, WIDTH)[player]:
        return player
    if (row, column) == places[1 - player]:
        ball = 1 - player if ball == player else ball
    elif 0 <= row < HEIGHT and 0 <= column < WIDTH:
        places[player] = (row, column)
    return places[0], places[1], ball


def best_response(game: Soccer, other: Array, first: Array | None = None) -> tuple[Array, Array]:
    """The first player's best policy [S, A] against a policy of the second, and its values [S]: policy iteration.

    `first` is a policy to begin with, if a good one is known.
    """
    begins = None if first is None else np.vstack([first, first[:1]])
    policy, value, _ = policy_iteration(game.against(other), DISCOUNT, begins)
    return policy[:-1], value[:-1]


def score(game: Soccer, first: Array, second: Array) -> tuple[float, float]:
    """The chances that the first player scores before the game is drawn, and that the second does."""
    p, _ = under(game.against(second), np.vstack([first, first[:1]]))
    goal = np.einsum("sabg,sa,sb->sg", game.goal, first, second)
    chances = np.linalg.solve(np.eye(len(first)) - DISCOUNT * p[:-1, :-1], goal)
    scored, conceded = game.start @ chances
    return float(scored), float(conceded)


def safest(payoff: Array) -> tuple[Array, Array]:
    """Matrix games [S, A, A]: the policies of the row player that make sure of the most [S, A], and how much [S].

    max v with Σ_a x(a) M(a, b) ≥ v for every b (von Neumann): one linear programme for all games at once.
    """
    size, rows, columns = payoff.shape
    blocks = np.arange(size + 1)
    mixes = bsr_array((-payoff.swapaxes(1, 2), blocks[:-1], blocks))
    programme = linprog(
        np.concatenate([np.zeros(size * rows), -np.ones(size)]),
        A_ub=hstack([mixes, kron(eye_array(size), np.ones((columns, 1)))]),
        b_ub=np.zeros(size * columns),
        A_eq=hstack([kron(eye_array(size), np.ones((1, rows))), csr_array((size, size))]),
        b_eq=np.ones(size),
        bounds=[(0, None)] * (size * rows) + [(None, None)] * size,
    )
    policy = np.maximum(programme.x[: size * rows].reshape(size, rows), 0)
    return policy / policy.sum(1, keepdims=True), programme.x[size * rows :]


def minimax(game: Soccer) -> tuple[Array, Array]:
    """The first player's policy [S, A] that makes sure of the most against anybody, and how much [S].

    From a policy's worst case V, the safest policy in the matrix games that V makes, until that is no safer (Hoffman &
    Karp 1966, for a game that ends with probability 0.1 in each step).
    """
    turned, reply = game.turned(), None
    policy = np.full(game.goal.shape[:2], 1 / len(STEPS))
    while True:
        reply, worth = best_response(turned, policy, reply)
        better, promised = safest(game.payoff(-worth))
        if (promised + worth).max() < NEAR:
            return policy, -worth
        policy = better


def deterministic(game: Soccer) -> tuple[Array, Array]:
    """The same among policies that take one action in each state: the other player may know which."""
    value = np.zeros(len(game.states))
    while True:
        worst = game.payoff(value).min(2)
        if np.abs(worst.max(1) - value).max() < NEAR:
            return np.eye(len(STEPS))[worst.argmax(1)], worst.max(1)
        value = worst.max(1)
