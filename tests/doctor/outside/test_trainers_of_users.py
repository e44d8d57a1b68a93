"""Training functions as users write them: the healthy ones pass, and each fault is named."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from doctor.outside.faulty_trainers import DDPG, ActorCritic, actor_critic, ddpg, with_fault
from relook.doctor.examine.outside import (
    aliasing,
    honesty,
    last_observations,
    many_values,
    one_value,
    past_reward,
    reaching_bounds,
    repeating,
    staying,
    surviving,
    time_limits,
    treatment,
)
from relook.doctor.examine.outside.examination import ORDER, PROBES, examine
from relook.doctor.examine.outside.probing import LONGER, Probe
from relook.doctor.examine.outside.trainer import Trained, trained
from relook.doctor.examine.outside.watchful import Log, Watchful
from relook.doctor.findings import COMPONENTS
from relook.errors import WrongRequest

STEPS = 3000


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def found(probe: Probe, train: Any, kind: str = "discrete", steps: int = STEPS) -> list[str]:
    """What a probe says of a training function."""
    return [finding.evidence for finding in probe.run(train, kind, steps, 0, "command")]


@pytest.mark.parametrize(
    ("fault", "probe", "says"),
    [
        ("reward shifted", past_reward.PROBE, "V(0.0, 1.0) = 0, found"),
        ("time limit", time_limits.PROBE, "expected V far above 13"),
        ("time limit", last_observations.PROBE, "the value of an end"),
        ("reset observation", last_observations.PROBE, "the value of the next episode's start"),
        ("mean subtracted", surviving.PROBE, "expected action 0 at (1.0,), found 1"),
    ],
)
def test_a_fault_of_an_actor_critic_is_named_and_the_healthy_one_passes(fault: str, probe: Probe, says: str) -> None:
    [evidence] = found(probe, with_fault(ActorCritic, fault))
    assert says in evidence
    assert not found(probe, actor_critic)


def test_spinning_ups_exercise_2_2_is_found_in_a_ddpg_and_not_in_a_healthy_one() -> None:
    [evidence] = found(many_values.PROBE, with_fault(DDPG, "broadcast"), "continuous", 2000)
    assert "V(1.0,) = 1, found" in evidence
    assert "(B, 1) met a (B)" in many_values.CHECK.causes[0]
    assert not found(many_values.PROBE, ddpg, "continuous", 2000)


def test_what_is_wrong_once_gets_a_second_chance_with_another_seed_and_more_steps() -> None:
    asked: list[tuple[int, int]] = []

    class Sometimes:
        def __init__(self, env: Any, steps: int, seed: int, good: int) -> None:
            asked.append((seed, steps))
            env.reset(seed=seed)
            self.v = 1.0 if seed >= good else 0.0

        def act(self, observation: Any) -> int:
            return 0

        def value(self, observation: Any) -> float:
            return self.v

    assert not found(one_value.PROBE, lambda env, steps, seed: Sometimes(env, steps, seed, 1), steps=50)
    assert asked == [(0, 50), (1, 50 * LONGER)]
    assert len(found(one_value.PROBE, lambda env, steps, seed: Sometimes(env, steps, seed, 2), steps=50)) == 1


@pytest.mark.parametrize(
    ("most", "learned", "wrong"),
    [
        ((3.0, 0.5), (2.6, -3.9), False),  # it has arrived
        ((3.0, 0.5), (1.7, -3.0), False),  # it is on its way
        ((1.0, 0.5), (1.0, -3.9), True),  # it cannot get there
        ((3.0, 0.5), (0.5, -3.9), True),  # it goes the other way
    ],
)
def test_slow_learners_are_told_from_those_who_cannot_reach_a_bound(most: Any, learned: Any, *, wrong: bool) -> None:
    def train(env: Any, steps: int, seed: int) -> Any:
        env.reset(seed=seed)
        for action in ((-1.0, -5.0), most, learned):
            env.step(np.array(action, dtype=np.float32))
            env.reset()
        return lambda observation: np.array(learned)

    assert bool(found(reaching_bounds.PROBE, train, "continuous", steps=10)) == wrong


def test_environments_that_only_rehearse_may_share_seeds() -> None:
    def train(env_fn: Any, steps: int, seed: int) -> Any:
        for count in (5, 5, steps):
            env = env_fn()
            env.reset(seed=seed)
            for _ in range(count):
                if any(env.step(0)[2:4]):
                    env.reset()
        return lambda observation: 0

    made = trained(train, contexts, 100, 5)
    assert made.log.played == [5, 5, 100]
    assert made.log.busy == [2]
    assert not list(treatment.look(made, 100, "x"))


def test_a_buffer_of_references_is_found() -> None:
    assert found(aliasing.PROBE, with_fault(ActorCritic, "aliased"))
    assert not found(aliasing.PROBE, actor_critic)


def test_a_policy_without_values_is_asked_whether_it_stays() -> None:
    class WithoutValues:
        def __init__(self, env: Any, steps: int, seed: int, fault: str = "") -> None:
            self.act = ActorCritic(env, steps, seed, fault).act

    assert found(staying.PROBE, with_fault(WithoutValues, "time limit"))
    assert not found(staying.PROBE, with_fault(WithoutValues, ""))
    assert not found(staying.PROBE, with_fault(ActorCritic, "time limit")), "values are asked instead"
    assert not found(time_limits.PROBE, with_fault(WithoutValues, "time limit")), "there are none to ask"


def test_the_whole_examination_finds_nothing_in_the_pages_own_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "docs")
    train = importlib.import_module("trainer").train
    told: list[str] = []
    findings = examine(
        train, "discrete", steps=4000, seed=0, command="x", told=lambda check, seconds, new: told.append(check)
    )
    assert not findings
    kinds = [probe.check.name for probe in PROBES if "discrete" in probe.kinds]
    assert told == [treatment.CHECK.name, repeating.CHECK.name, *kinds, honesty.CHECK.name]


# -- how environments are treated, and whether it can be had twice ----------------------------------------------------


class Nothing:
    """A training that does what it is told to with its environments, and learns nothing."""

    def __init__(self, env: Any, steps: int, seed: int, how: str) -> None:
        rng = np.random.default_rng(None if how == "unseeded" else seed)
        observation, _ = env.reset(seed=None if how == "unseeded" else 0 if how == "no seed" else seed)
        over = False
        for _ in range(steps):
            action = 7 if how == "odd" else int(rng.integers(2))
            if over and how != "beyond":
                observation, _ = env.reset(seed=seed if how == "again" else None)
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        self._last, self._how, self._calls = float(observation[0]), how, 0
        if how == "boasts":
            self.mean_return = 1000.0
        if how == "honest":
            self.mean_return = -10.0

    def act(self, observation: Any) -> int:
        self._calls += 1
        return self._calls % 2 if self._how == "noisy" else int(observation[0] < 0)

    def value(self, observation: Any) -> float:
        return self._last


def contexts() -> gym.Env[Any, Any]:
    return gym.make("relook/Contexts-v0", disable_env_checker=True)


def how(word: str) -> Any:
    return lambda env, steps, seed: Nothing(env, steps, seed, word)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("", ""),
        ("again", "expected episodes of their own; found 1 seeds that are used again"),
        ("beyond", "expected a reset after every end"),
        ("odd", "expected actions of the action space; found 200 that are not, of 200"),
    ],
)
def test_environments_are_treated_as_they_ask_to_be(word: str, says: str) -> None:
    made = trained(how(word), contexts, 200, 5)
    evidence = [finding.evidence for finding in treatment.look(made, 200, "x")]
    assert len(evidence) == bool(says)
    assert not says or says in evidence[0]


def test_steps_that_were_not_asked_for_are_seen() -> None:
    made = trained(lambda env, steps, seed: Nothing(env, steps + 5000, seed, ""), contexts, 200, 5)
    assert [f.evidence for f in treatment.look(made, 200, "x")] == ["expected 200 steps; found 5,200"]


def test_parallel_environments_need_seeds_of_their_own() -> None:
    def train(envs: Any, steps: int, seed: int, *, shared: bool) -> Any:
        envs.reset(seed=[seed] * envs.num_envs if shared else seed)
        return lambda observation: 0

    for shared in (True, False):
        made = trained(lambda envs, steps, seed, s=shared: train(envs, steps, seed, shared=s), contexts, 100, 5)
        evidence = [finding.evidence for finding in treatment.look(made, 100, "x")]
        assert evidence == ["expected seeds of its own for each of 4 environments; found 1 that are shared"] * shared


@pytest.mark.parametrize(
    ("word", "says"),
    [("", ""), ("unseeded", "one row of episodes; found two"), ("no seed", "two rows of episodes; found one")],
)
def test_one_seed_gives_one_result_and_another_seed_another(word: str, says: str) -> None:
    evidence = [finding.evidence for finding in repeating.look(how(word), "discrete", 5, "x")]
    assert len(evidence) == bool(says)
    assert not says or says in evidence[0]


def test_a_result_that_depends_on_global_numbers_is_seen() -> None:
    def train(env: Any, steps: int, seed: int) -> Any:
        env.reset(seed=seed)
        x = float(torch.rand(()))
        return lambda observation: x

    [finding] = repeating.look(train, "discrete", 5, "x")
    assert "expected one seed to give one result" in finding.evidence


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("", ""),
        ("honest", ""),
        ("boasts", "expected the reported return, 1000"),
        ("noisy", "to give one action; found"),
    ],
)
def test_what_is_reported_is_what_fresh_episodes_give(word: str, says: str) -> None:
    made = trained(how(word), contexts, 50, 5)
    evidence = [finding.evidence for finding in honesty.look(made, contexts, "x")]
    assert len(evidence) == bool(says)
    assert not says or says in evidence[0]


# -- what may be handed in --------------------------------------------------------------------------------------------


def test_a_function_may_ask_for_an_environment_several_or_a_function_that_makes_them() -> None:
    seen: list[Any] = []

    def one(env: Any, steps: int, seed: int) -> Any:
        seen.append(env)
        return lambda observation: 0

    def many(envs: Any, steps: int, seed: int) -> Any:
        return one(envs, steps, seed)

    def makes(env_fn: Any, steps: int, seed: int) -> Any:
        return one(env_fn(), steps, seed)

    made = [trained(train, contexts, 10, 0) for train in (one, many, makes)]
    assert isinstance(seen[0], Watchful)
    assert isinstance(seen[1], gym.vector.VectorEnv)
    assert isinstance(seen[2], Watchful)
    assert [len(one.log.played) for one in made] == [1, 4, 1]
    assert not any(one.values for one in made)


def test_what_cannot_be_examined_is_said_in_a_sentence() -> None:
    with pytest.raises(WrongRequest, match=r"expected a function train\(env, steps, seed\)"):
        trained(lambda env: None, contexts, 10, 0)
    with pytest.raises(WrongRequest, match="expected something with a method act"):
        trained(lambda env, steps, seed: 3, contexts, 10, 0)


def test_checks_from_outside_are_described() -> None:
    names = [check.name for check in ORDER]
    assert len(set(names)) == len(names)
    for check in ORDER:
        assert check.component in COMPONENTS
        assert check.asks.endswith(".")
        assert check.remedy.endswith(".")
        assert len(check.lesson) > 60


def test_values_are_read_in_any_shape() -> None:
    class Agent:
        def act(self, observation: Any) -> Any:
            return [0]

        def value(self, observation: Any) -> Any:
            return torch.tensor([[2.5]])

    made = Trained(Agent(), Log())
    assert made.values
    assert made.value(np.zeros(1)) == 2.5
    assert made.act(np.zeros(1)).tolist() == [0]
