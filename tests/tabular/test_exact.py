"""Finite MDPs and exact values, against values that are known otherwise."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.special import softmax

from relook.errors import WrongRequest
from relook.tabular import (
    MDP,
    Array,
    backup,
    evaluate,
    from_environment,
    greedy,
    optimal,
    policy_iteration,
    sweeps,
    value_iteration,
    visits,
)
from relook.tabular.policy_gradient import ascend, gradient, performance
from relook.tabular.prediction import play
from relook.tabular.three_states import GAMMA, student, undecided


def random_mdp(seed: int, states: int = 6, actions: int = 3) -> MDP:
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(states), (states, actions))
    terminal = np.arange(states) == states - 1
    transition[terminal] = 0
    start = np.where(terminal, 0, 1) / (states - 1)
    return MDP(transition, rng.standard_normal(transition.shape), start, terminal)


def uniform(mdp: MDP) -> Array:
    return np.full((mdp.size, mdp.choices), 1 / mdp.choices)


@pytest.mark.parametrize(
    ("name", "arguments", "gamma", "expected"),
    [
        ("FrozenLake-v1", {"is_slippery": False}, 0.99, 0.99**5),  # six steps, the last of them pays
        ("FrozenLake-v1", {"is_slippery": True}, 1.0, 14 / 17),  # solved as a system of linear equations
        ("CliffWalking-v1", {}, 1.0, -13.0),
        ("CliffWalking-v1", {}, 0.9, -(1 - 0.9**13) / 0.1),
    ],
)
def test_optimal_values_of_toy_text_are_the_known_ones(
    name: str, arguments: dict[str, Any], gamma: float, expected: float
) -> None:
    mdp = from_environment(gym.make(name, **arguments))
    value, q = optimal(mdp, gamma)
    assert mdp.start @ value == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(q.max(1), value, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "arguments", "episodes"),
    [
        ("FrozenLake-v1", {}, 2_000),
        ("CliffWalking-v1", {}, 200),
        ("Taxi-v4", {}, 200),
        ("Blackjack-v1", {}, 3_000),
        ("Blackjack-v1", {"sab": False}, 3_000),
        ("Blackjack-v1", {"sab": False, "natural": True}, 3_000),
    ],
)
def test_an_environment_and_its_mdp_give_the_same_returns(name: str, arguments: dict[str, Any], episodes: int) -> None:
    """The mean return of a random policy, within four standard errors of the exact one."""
    env = gym.make(name, **arguments).unwrapped
    mdp, gamma = from_environment(env), 0.8
    exact = float(mdp.start @ evaluate(mdp, uniform(mdp), gamma))
    rng, returns = np.random.default_rng(0), []
    env.reset(seed=0)
    for _ in range(episodes):
        env.reset()
        ret, discount = 0.0, 1.0
        for _ in range(80):  # 0.8 ** 80 of what comes later is nothing
            _, reward, terminated, _, _ = env.step(int(rng.integers(mdp.choices)))
            ret, discount = ret + discount * float(reward), discount * gamma
            if terminated:
                break
        returns.append(ret)
    assert abs(np.mean(returns) - exact) <= 4 * np.std(returns) / len(returns) ** 0.5


def test_other_environments_have_no_table() -> None:
    with pytest.raises(WrongRequest, match="with a table P"):
        from_environment(gym.make("CartPole-v1"))


@pytest.mark.parametrize("seed", range(5))
def test_policy_iteration_and_value_iteration_agree(seed: int) -> None:
    mdp = random_mdp(seed)
    policy, value, count = policy_iteration(mdp, 0.95)
    by_sweeps, _ = value_iteration(mdp, 0.95, 1e-12)
    np.testing.assert_allclose(value, by_sweeps, atol=1e-10)
    np.testing.assert_allclose(evaluate(mdp, policy, 0.95), value, atol=1e-10)
    assert count < 10
    for other in range(20):  # no policy is better anywhere
        some = softmax(3 * np.random.default_rng(other).standard_normal(policy.shape), axis=1)
        assert (evaluate(mdp, some, 0.95) <= value + 1e-10).all()


def test_sweeps_go_to_the_solved_value_and_visits_give_the_return() -> None:
    mdp, policy = student(), undecided()
    value = evaluate(mdp, policy, GAMMA)
    every = sweeps(mdp, policy, GAMMA)
    last = [next(every) for _ in range(400)][-1]
    np.testing.assert_allclose(last, value, atol=1e-12)
    d = visits(mdp, policy, GAMMA)
    assert d.sum() == pytest.approx(1 / (1 - GAMMA))
    assert (d[:, None] * policy * mdp.mean_reward).sum() == pytest.approx(float(mdp.start @ value))
    np.testing.assert_allclose((policy * backup(mdp, value, GAMMA)).sum(1), value, atol=1e-12)
    np.testing.assert_array_equal(greedy(np.array([[1.0, 2.0], [3.0, 3.0]])), [[0, 1], [1, 0]])


def test_the_policy_gradient_is_that_of_the_return() -> None:
    mdp = random_mdp(7)
    preference = np.random.default_rng(1).standard_normal((mdp.size, mdp.choices))
    found, h = gradient(mdp, preference, 0.9), 1e-5
    for s, a in np.ndindex(*preference.shape):
        step = np.zeros_like(preference)
        step[s, a] = h
        slope = (performance(mdp, preference + step, 0.9) - performance(mdp, preference - step, 0.9)) / (2 * h)
        assert found[s, a] == pytest.approx(slope, abs=1e-8)
    _, course = ascend(mdp, 0.9, 1.0, 3_000)
    assert (np.diff(course) > -1e-12).all()
    assert course[-1] == pytest.approx(float(mdp.start @ optimal(mdp, 0.9)[0]), abs=1e-2)


def test_played_episodes_have_the_mdps_return() -> None:
    mdp, rng = random_mdp(3), np.random.default_rng(0)
    exact = float(mdp.start @ evaluate(mdp, uniform(mdp), 1.0))
    returns = [sum(play(mdp, uniform(mdp), rng).rewards) for _ in range(2_000)]
    assert abs(np.mean(returns) - exact) <= 4 * np.std(returns) / len(returns) ** 0.5


def test_what_is_no_mdp_is_refused() -> None:
    right = student()
    with pytest.raises(ValueError, match="add up to 1"):
        MDP(right.transition * 0.9, right.reward, right.start, right.terminal)
    with pytest.raises(ValueError, match="shapes"):
        MDP(right.transition, right.reward[0], right.start, right.terminal)
    with pytest.raises(ValueError, match=r"p\(s₀\)"):
        MDP(right.transition, right.reward, right.start * 2, right.terminal)
