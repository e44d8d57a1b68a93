"""Tabular learners: each against what its formula says, and against exact values."""

from collections.abc import Callable
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from relook.algorithms import TABULAR
from relook.tabular import MDP, Array, evaluate, optimal
from relook.tabular.double_q_learning import DoubleQLearning
from relook.tabular.dyna_q import DynaQ
from relook.tabular.expected_sarsa import ExpectedSarsa
from relook.tabular.learner import ActionValues, Step, epsilon_greedy, practise
from relook.tabular.monte_carlo import MonteCarlo
from relook.tabular.n_step_sarsa import NStepSarsa
from relook.tabular.prediction import Episode, lambda_return, monte_carlo, n_step_td, td, td_lambda
from relook.tabular.prioritised_sweeping import PrioritisedSweeping
from relook.tabular.q_learning import QLearning
from relook.tabular.sarsa import Sarsa
from relook.tabular.sarsa_lambda import SarsaLambda
from relook.tabular.tabular_reinforce import TabularReinforce

LEARNERS: tuple[Callable[..., ActionValues], ...] = (
    MonteCarlo,
    Sarsa,
    ExpectedSarsa,
    NStepSarsa,
    SarsaLambda,
    QLearning,
    DoubleQLearning,
    DynaQ,
    PrioritisedSweeping,
    TabularReinforce,
)
RNG = np.random.default_rng


def settings(**changed: float) -> SimpleNamespace:
    defaults = {
        "learning_rate": 0.5,
        "discount": 0.9,
        "epsilon": 0.2,
        "n_step": 3,
        "trace_decay": 0.7,
        "planning_steps": 4,
        "bonus": 0.0,
        "threshold": 1e-4,
        "value_learning_rate": 0.2,
    }
    return SimpleNamespace(**defaults | changed)


def corridor(length: int = 5) -> MDP:
    """Left or right from the first of `length` cells; beyond the last is the end, and each step costs 1."""
    transition, reward = np.zeros((length + 1, 2, length + 1)), np.full((length + 1, 2, length + 1), -1.0)
    for s in range(length):
        transition[s, 0, max(s - 1, 0)] = transition[s, 1, s + 1] = 1
    start = np.eye(length + 1)[0]
    return MDP(transition, reward, start, np.arange(length + 1) == length)


def step(state: int = 0, action: int = 1, reward: float = 2.0, next_state: int = 1, **changed: Any) -> Step:
    return Step(
        state, action, reward, next_state, **{"next_action": 0, "terminated": False, "truncated": False} | changed
    )


def table() -> Array:
    return np.array([[1.0, 3.0], [2.0, 5.0], [0.0, -1.0]])


@pytest.mark.parametrize(
    ("learner", "value"),
    [(QLearning, 5.0), (Sarsa, 2.0), (ExpectedSarsa, 0.9 * 5.0 + 0.1 * 2.0), (DynaQ, 5.0), (PrioritisedSweeping, 5.0)],
)
def test_a_step_moves_a_value_to_its_target(learner: Callable[..., ActionValues], value: float) -> None:
    h = settings(planning_steps=0 if learner is DynaQ else 1)
    for changed, ahead in (({}, value), ({"truncated": True}, value), ({"terminated": True}, 0.0)):
        own = learner(table(), h)
        error = own.learn(step(**changed), RNG(0))
        assert error == pytest.approx(2.0 + 0.9 * ahead - 3.0)
        expected = table()
        expected[0, 1] += 0.5 * (2.0 + 0.9 * ahead - 3.0)
        np.testing.assert_allclose(own.q, expected)


def test_double_q_learning_judges_one_tables_choice_by_the_other() -> None:
    for seed in range(4):
        own = DoubleQLearning(table(), settings())
        own.both[1] = [[0.0, 0.0], [7.0, 4.0], [0.0, 0.0]]
        first = RNG(seed).random() < 0.5
        error = own.learn(step(), RNG(seed))
        # Q₁ would take action 1, worth 4 to Q₂; Q₂ would take action 0, worth 2 to Q₁.
        assert error == pytest.approx(2.0 + 0.9 * (4.0 if first else 2.0) - (3.0 if first else 0.0))
        assert own.q[0, 1] == pytest.approx(own.both[:, 0, 1].mean())


def test_monte_carlo_learns_first_visits_at_the_end_and_goes_on_beyond_a_cut() -> None:
    for end, beyond in (({"terminated": True}, 0.0), ({"truncated": True}, 0.9 * 0.0 + 0.1 * -1.0)):
        own = MonteCarlo(table(), settings())
        assert own.learn(step(), RNG(0)) == 0
        assert own.learn(step(1, 0, 1.0, 0), RNG(0)) == 0
        own.learn(step(0, 1, 4.0, 2, **end), RNG(0))
        ret = 2 + 0.9 * (1 + 0.9 * (4 + 0.9 * beyond))
        assert own.q[0, 1] == pytest.approx(3.0 + 0.5 * (ret - 3.0)), "the first of two visits"
        assert own.q[1, 0] == pytest.approx(2.0 + 0.5 * (1 + 0.9 * (4 + 0.9 * beyond) - 2.0))
        assert not own.episode


def test_n_step_sarsa_with_one_step_is_sarsa_and_with_many_monte_carlo() -> None:
    course = [step(), step(1, 0, 1.0, 2, next_action=1), step(2, 1, 4.0, 0, terminated=True)]
    one, sarsa = NStepSarsa(table(), settings(n_step=1)), Sarsa(table(), settings())
    many, whole = NStepSarsa(table(), settings(n_step=50)), MonteCarlo(table(), settings())
    for each in course:
        for learner in (one, sarsa, many, whole):
            learner.learn(each, RNG(0))
    np.testing.assert_allclose(one.q, sarsa.q)
    np.testing.assert_allclose(many.q, whole.q)
    two = NStepSarsa(table(), settings(n_step=2))
    two.learn(course[0], RNG(0))
    two.learn(course[1], RNG(0))
    assert two.q[0, 1] == pytest.approx(3 + 0.5 * (2 + 0.9 * (1 + 0.9 * -1.0) - 3)), "r + γ r + γ² Q(s'', a'')"


def test_sarsa_lambda_sends_errors_back() -> None:
    own, sarsa = SarsaLambda(table(), settings(trace_decay=0.0)), Sarsa(table(), settings())
    back = SarsaLambda(table(), settings())
    for each in (step(), step(1, 0, 1.0, 2, next_action=1)):
        own.learn(each, RNG(0))
        sarsa.learn(each, RNG(0))
        back.learn(each, RNG(0))
    np.testing.assert_allclose(own.q, sarsa.q)
    first = 2 + 0.9 * 2.0 - 3.0
    second = 1 + 0.9 * -1.0 - 2.0
    assert back.q[0, 1] == pytest.approx(3 + 0.5 * first + 0.5 * 0.9 * 0.7 * second)
    back.learn(step(2, 1, 0.0, 0, terminated=True), RNG(0))
    assert not back.trace.any()


def test_dyna_q_learns_again_from_what_it_remembers() -> None:
    own = DynaQ(np.zeros((3, 2)), settings(planning_steps=200))
    own.learn(step(0, 1, 0.0, 1), RNG(0))
    own.learn(step(1, 1, 1.0, 2, terminated=True), RNG(0))
    np.testing.assert_allclose(own.q, np.array([[0, 0.9], [0, 1.0], [0, 0]]), atol=1e-8)
    more = DynaQ(np.zeros((3, 2)), settings(planning_steps=50, bonus=0.1))
    more.learn(step(0, 1, 0.0, 2, terminated=True), RNG(0))
    assert more.known == [(0, 0), (0, 1)], "what was never tried too"
    for _ in range(4):
        more.learn(step(1, 1, 0.0, 2, terminated=True), RNG(0))
    assert more.q[0, 1] == pytest.approx(0.1 * 2, abs=0.02), "κ √τ, four steps later"
    assert more.q[0, 0] > more.q[0, 1], "never tried, and back to where it is best to be"


def test_prioritised_sweeping_goes_back_from_what_changed() -> None:
    own = PrioritisedSweeping(np.zeros((3, 2)), settings(learning_rate=1.0, planning_steps=2))
    own.learn(step(0, 1, 0.0, 1), RNG(0))
    assert not own.q.any(), "nothing was worth a change"
    own.learn(step(1, 1, 1.0, 2, terminated=True), RNG(0))
    np.testing.assert_allclose(own.q, np.array([[0, 0.9], [0, 1.0], [0, 0]]))


def test_reinforce_moves_preferences_by_the_slope_of_log_pi() -> None:
    own = TabularReinforce(np.zeros((3, 2)), settings(epsilon=0.0))
    own.preference[:] = table()
    own.learn(step(), RNG(0))
    own.learn(step(1, 0, 4.0, 2, terminated=True), RNG(0))
    pi = softmax(table(), axis=1)
    expected, ret = table(), 2 + 0.9 * 4
    expected[1] += 0.5 * 0.9 * 4.0 * (np.array([1, 0]) - pi[1])
    expected[0] += 0.5 * ret * (np.array([0, 1]) - pi[0])
    np.testing.assert_allclose(own.preference, expected)
    np.testing.assert_allclose(own.value, [0.2 * ret, 0.2 * 4.0, 0])


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner_finds_the_shortest_way(learner: Callable[..., ActionValues]) -> None:
    mdp, rng = corridor(), RNG(1)
    reinforce = learner is TabularReinforce
    h = settings(learning_rate=0.2, epsilon=0.0 if reinforce else 0.1)
    own = learner(np.zeros((mdp.size, mdp.choices)), h)
    for _ in range(800):
        practise(own, mdp, rng, longest=200)
    policy, _ = own.tables()
    assert (policy[:5].argmax(1) == 1).all()
    _, q = optimal(mdp, 0.9)
    if learner in (QLearning, DynaQ, PrioritisedSweeping):
        np.testing.assert_allclose(own.q[:5, 1], q[:5, 1], atol=0.02)


@pytest.mark.parametrize("learner", [Sarsa, ExpectedSarsa, NStepSarsa, SarsaLambda])
def test_on_policy_values_are_those_of_the_policy_that_explores(learner: Callable[..., ActionValues]) -> None:
    mdp, rng = corridor(3), RNG(2)
    h = settings(epsilon=0.4, learning_rate=0.1)
    own = learner(np.zeros((mdp.size, mdp.choices)), h)
    for episode in range(3_000):
        h.learning_rate = 0.1 * (1 - episode / 3_000) + 0.001
        practise(own, mdp, rng)
    policy, value = own.tables()
    np.testing.assert_allclose(value[:3], evaluate(mdp, policy, 0.9)[:3], atol=0.12)


def test_epsilon_greedy_shares_among_the_best() -> None:
    np.testing.assert_allclose(
        epsilon_greedy(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]]), 0.3), [[0.45, 0.45, 0.1], [0.1, 0.8, 0.1]]
    )


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_a_learner_remembers_is_all_that_it_needs(learner: Callable[..., ActionValues]) -> None:
    mdp, h = corridor(), settings()
    one = learner(np.zeros((mdp.size, mdp.choices)), h)
    for t in range(7):
        one.learn(step(t % 5, t % 2, 1.0, (t + 1) % 5, next_action=1), RNG(t))
    other = learner(one.q.copy(), h)
    other.remember({name: x.copy() for name, x in one.memory().items()})
    for t in range(9):
        last = step(t % 5, 1, -1.0, (t + 2) % 5, next_action=0, terminated=t == 8)
        assert one.learn(last, RNG(t)) == other.learn(last, RNG(t))
    np.testing.assert_array_equal(one.q, other.q)
    np.testing.assert_array_equal(one.tables()[0], other.tables()[0])


def test_every_tabular_algorithm_is_known_with_its_hyper_parameters() -> None:
    assert len(TABULAR) == len(LEARNERS)
    for known in TABULAR.values():
        assert {f.name for f in fields(known.config)} <= {
            *vars(settings()),
            "iteration",
            "anneal_learning_rate",
            "anneal_epsilon",
        }
        assert known.metrics
        assert known.train.__doc__


def test_predictions_of_one_episode() -> None:
    episode, terminal = Episode([0, 1, 0, 2], [1.0, 2.0, 4.0]), np.array([False, False, True])

    def after(call: Callable[..., None], *rest: float) -> Array:
        value = np.array([0.5, -1.0, 9.0])
        call(value, episode, 0.5, 0.9, terminal, *rest)
        return value

    one = after(td)
    v = [0.5, -1.0]
    v[0] += 0.5 * (1 + 0.9 * v[1] - v[0])
    v[1] += 0.5 * (2 + 0.9 * v[0] - v[1])
    v[0] += 0.5 * (4 - v[0])
    np.testing.assert_allclose(one, [*v, 9.0])
    np.testing.assert_allclose(after(n_step_td, 1), one)
    np.testing.assert_allclose(after(td_lambda, 0.0), one)
    # Every visit's return, the last one first: what n steps give with n large, up to the order of the two visits of 0.
    returns = [1 + 0.9 * (2 + 0.9 * 4), 2 + 0.9 * 4, 4.0]
    last_first = 0.5 + 0.5 * (returns[2] - 0.5)
    np.testing.assert_allclose(after(monte_carlo)[0], last_first + 0.5 * (returns[0] - last_first))
    before = np.array([0.5, -1.0])
    g2 = 4.0
    g1 = 2 + 0.9 * (0.3 * before[0] + 0.7 * g2)
    g0 = 1 + 0.9 * (0.3 * before[1] + 0.7 * g1)
    found = after(lambda_return, 0.7)
    first = 0.5 + 0.5 * (g0 - 0.5)
    np.testing.assert_allclose(found[:2], [first + 0.5 * (g2 - first), -1 + 0.5 * (g1 + 1)])
