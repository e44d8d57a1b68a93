"""The probes keep what their descriptions promise."""

from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from relook.envs.probes import PROBES, InsideBounds, Tagging

NAMES = [probe.__name__ for probe in PROBES]


def make(name: str) -> gym.Env[Any, Any]:
    return gym.make(f"relook/{name}-v0", disable_env_checker=True)


def rewards(name: str, actions: list[Any], seed: int = 0) -> list[float]:
    """The rewards of one episode, which must end with the last action and not before."""
    env = make(name)
    env.reset(seed=seed)
    steps = [env.step(action) for action in actions]
    assert [terminated or truncated for _, _, terminated, truncated, _ in steps] == [False] * (len(steps) - 1) + [True]
    return [float(reward) for _, reward, *_ in steps]


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_follows_gymnasiums_interface(name: str) -> None:
    env = make(name)
    env.action_space.seed(5)
    observation, info = env.reset(seed=1)
    for _ in range(30):
        assert env.observation_space.contains(observation)
        assert info == {}
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert isinstance(reward, float | int)
        assert (type(terminated), type(truncated)) == (bool, bool)
        if terminated or truncated:
            observation, info = env.reset()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Tagging"])
def test_a_probe_repeats_an_episode_from_its_seed(name: str) -> None:
    first, second = make(name), make(name)
    action = first.action_space.sample()
    for seed in range(5):
        assert first.reset(seed=seed)[0].tolist() == second.reset(seed=seed)[0].tolist()
        assert first.step(action)[1:] == second.step(action)[1:]


@pytest.mark.parametrize(
    "name", ["RewardByAction", "Coupling", "NegativeRewards", "SurviveOrQuit", "Contexts", "StayOrQuit"]
)
def test_a_continuous_probe_takes_the_sign_of_its_action(name: str) -> None:
    plain, signed = make(name), gym.make(f"relook/{name}-v0", disable_env_checker=True, continuous=True)
    assert signed.action_space == gym.spaces.Box(-1, 1, (1,), np.float32)
    for number, action in ((0.001, 1), (1.0, 1), (-0.5, 0), (0.0, 0)):
        for seed in range(3):
            assert plain.reset(seed=seed)[0].tolist() == signed.reset(seed=seed)[0].tolist()
            assert plain.step(action)[1:] == signed.step(np.array([number], dtype=np.float32))[1:]


def test_value_only_pays_one() -> None:
    assert rewards("ValueOnly", [0]) == rewards("ValueOnly", [1]) == [1]


def test_reward_by_observation_pays_what_is_seen() -> None:
    env, seen = make("RewardByObservation"), set()
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        seen.add(float(observation[0]))
        assert env.step(0)[1] == observation[0]
    assert seen == {-1.0, 1.0}


def test_discount_pays_at_the_second_step() -> None:
    env = make("Discount")
    assert env.reset()[0].tolist() == [0]
    assert env.step(0)[0].tolist() == [1]
    assert rewards("Discount", [0, 1]) == [0, 1]


def test_reward_by_action_pays_action_one() -> None:
    assert (rewards("RewardByAction", [0]), rewards("RewardByAction", [1])) == ([-1], [1])


def test_coupling_pays_the_action_that_says_the_sign() -> None:
    env = make("Coupling")
    for seed in range(20):
        sign = env.reset(seed=seed)[0][0]
        assert env.step(1)[1] == sign
        env.reset(seed=seed)
        assert env.step(0)[1] == -sign


def test_constant_reward_is_cut_and_never_terminates() -> None:
    assert rewards("ConstantReward", [0] * 10) == [1] * 10
    env = make("ConstantReward")
    env.reset()
    assert [env.step(0)[2:4] for _ in range(10)] == [(False, False)] * 9 + [(False, True)]


def test_negative_rewards_cost_less_for_action_one() -> None:
    assert rewards("NegativeRewards", [1] * 5) == [-1] * 5
    assert rewards("NegativeRewards", [0, 1, 0, 1, 0]) == [-2, -1, -2, -1, -2]
    env = make("NegativeRewards")
    places = [env.reset()[0], *(env.step(0)[0] for _ in range(4))]
    np.testing.assert_array_equal(places, np.eye(5))


def test_survive_or_quit_pays_survival_up_to_the_limit() -> None:
    assert rewards("SurviveOrQuit", [0] * 20) == [1] * 20
    assert rewards("SurviveOrQuit", [0, 0, 1]) == [1, 1, 1.5]
    env = make("SurviveOrQuit")
    env.reset()
    assert [env.step(0)[2:4] for _ in range(20)][-1] == (False, True)
    env.reset()
    assert env.step(1)[2:4] == (True, False)


def test_inside_bounds_is_best_at_the_documented_optimum() -> None:
    optimum = np.array(InsideBounds.OPTIMUM, dtype=np.float32)
    low, high = np.array([-1, -5]), np.array([3, 0.5])
    assert InsideBounds.action_space.contains(optimum)
    assert rewards("InsideBounds", [optimum]) == pytest.approx([0], abs=1e-10)
    assert rewards("InsideBounds", [optimum + np.array([0, 2], dtype=np.float32)]) == pytest.approx([-4])
    centred = (optimum - (low + high) / 2) / ((high - low) / 2)
    assert np.abs(centred).min() > 0.6
    np.testing.assert_array_equal(InsideBounds.action_space.low, low)
    np.testing.assert_array_equal(InsideBounds.action_space.high, high)


def test_tagging_writes_who_when_and_what_was_done() -> None:
    Tagging.numbers = count(7)
    env = make("Tagging")
    for episode, (length, flags) in enumerate([(3, (True, False)), (4, (False, True)), (5, (True, True))] * 2):
        assert env.reset()[0].tolist() == [7, episode, 0, -1]
        for step in range(1, length + 1):
            observation, reward, terminated, truncated, _ = env.step(step % 2)
            assert observation.tolist() == [7, episode, step, step % 2]
            assert reward == 70_000 + episode * 10 + step
            assert (terminated, truncated) == (flags if step == length else (False, False))


def test_mutating_hands_out_one_array() -> None:
    env = make("Mutating")
    first, _ = env.reset()
    assert env.step(0)[0] is first
    assert first.tolist() == [1]
    assert rewards("Mutating", [0] * 6) == [0] * 6


def test_contexts_pay_each_action_for_the_sign_that_it_saw() -> None:
    env = make("Contexts")
    for name, keeps in (("Contexts", False), ("in place", True)):
        env = gym.make("relook/Contexts-v0", disable_env_checker=True, in_place=keeps)
        observation, _ = env.reset(seed=3)
        given = {id(observation)}
        for step in range(10):
            sign = float(observation[0])
            observation, reward, terminated, truncated, _ = env.step(1)
            given.add(id(observation))
            assert (reward, terminated, truncated) == (sign, step == 9, False), name
        assert (len(given) == 1) == keeps


def test_past_reward_pays_before_the_second_observation() -> None:
    assert rewards("PastReward", [0, 1]) == [10, 0]


def test_ends_lead_where_they_say() -> None:
    env, seen = make("Ends"), {}
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        led_to, reward, terminated, truncated, _ = env.step(0)
        seen[int(observation.argmax())] = (int(led_to.argmax()), reward, terminated, truncated)
    assert seen == {0: (1, 0, False, True), 1: (1, 10, True, False), 2: (2, -30, True, False)}


def test_stay_or_quit_is_cut_at_one_place_and_ends_at_the_other() -> None:
    assert rewards("StayOrQuit", [0, 1, 1, 1, 1]) == [0, 1, 1, 1, 1]
    assert rewards("StayOrQuit", [1, 0, 0, 0, 0]) == [0, 1, 1, 1, 2]
    env = make("StayOrQuit")
    for actions, ends, place in (([0, 0, 0, 0, 0], (False, True), 1), ([1, 1, 1, 1, 1], (True, False), 2)):
        assert env.reset()[0].tolist() == [1, 0, 0]
        steps = [env.step(action) for action in actions]
        assert steps[-1][2:4] == ends
        assert [int(step[0].argmax()) for step in steps] == [place] * len(actions)
