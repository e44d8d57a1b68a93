"""A fault in one agent's environment stops this agent, says where, and changes nothing for any other agent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from relook.envs import Choices, Environments, EnvironmentSpec, Episode
from relook.envs.make import bare
from relook.population import Agent, Agents, Stop, reset_seed
from relook.runs import evaluation
from relook.runs.evaluation import Evaluation

SEEDS = (11, 12, 13)
A, N, T = len(SEEDS), 2, 40
BAD, BAD_ENVIRONMENT, BAD_EPISODE, BAD_STEP = 1, 1, 2, 3
BAD_SEED = reset_seed(SEEDS[BAD], "train", BAD_ENVIRONMENT, BAD_EPISODE)
PLACE = {"during": "train", "environment": BAD_ENVIRONMENT, "episode": BAD_EPISODE, "reset_seed": BAD_SEED}

ODD: dict[str, Any] = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "huge": 1e30, "beyond": 1e39}


class Broken(RuntimeError):
    """What these environments raise."""


class Drifting(gym.Env[Any, Any]):
    """A noisy walk of four to eight steps; goes wrong in episodes with certain reset seeds, in the way of `kind`."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(
        self,
        kind: str = "none",
        seeds: Sequence[int] = (BAD_SEED,),
        made: "list[Drifting] | None" = None,
        step: int = BAD_STEP,
        visit: int = 1,
    ) -> None:
        """`visit`: how often such a seed must have come before it happens."""
        self.kind, self.bad_seeds, self.bad_step, self.visit = kind, seeds, step, visit
        self.visits = self.steps = 0
        if made is not None:
            made.append(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.t, self.length = 0, int(self.np_random.integers(4, 9))
        self.x = self.np_random.normal(size=2)
        self.visits += seed in self.bad_seeds
        self.bad = seed in self.bad_seeds and self.visits == self.visit
        if self.bad:
            match self.kind.split():
                case ["reset", "raises"]:
                    raise Broken("no way to begin")
                case ["reset", "shape"]:
                    return np.zeros(1, dtype=np.float32), {}
                case ["reset", odd]:
                    return np.array([0, ODD[odd]], dtype=np.float32), {}
        return self.x.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t += 1
        self.steps += 1
        self.x = 0.9 * self.x + float(action[0]) + 0.1 * self.np_random.normal(size=2)
        observation: Any = self.x.astype(np.float32)
        reward: Any = self.x.sum()
        terminated: Any = self.t == self.length
        if self.bad and self.t == self.bad_step:
            match self.kind.split():
                case ["raises"]:
                    raise Broken("it fell apart")
                case ["reward", "none"]:
                    reward = None
                case ["reward", odd]:
                    reward = ODD[odd]
                case ["terminated", "array"]:
                    terminated = np.array([True, False])
                case ["observation", "scalar"]:
                    observation = np.float32(1)
                case ["observation", "shape"]:
                    observation = np.zeros(3, dtype=np.float32)
                case ["observation", odd]:
                    observation = np.array([ODD[odd], 0], dtype=np.float32)
        return observation, reward, terminated, False, {}


def spec(kind: str = "none", **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec("drifting", {"kind": kind, **more}, function=Drifting)


def population() -> Agents:
    return Agents([Agent(index, seed) for index, seed in enumerate(SEEDS)])


@dataclass
class Played:
    """What `T` steps gave: transitions [T, A, N, …], what was seen after each step, episodes, and who stopped."""

    agents: Agents
    envs: Environments
    transitions: dict[str, NDArray[Any]]
    seen: NDArray[np.float32]
    episodes: list[Episode]
    made: list[Drifting] = field(default_factory=list)
    stepped: list[list[int]] = field(default_factory=list)
    """After each step: how often each environment has been stepped."""

    def faulty(self) -> Episode:
        """The one episode that a fault ended."""
        [episode] = [e for e in self.episodes if e.ending in ("crashed", "diverged")]
        return episode

    def t_of_fault(self) -> int:
        """The index of the step in which the bad episode stopped, from the lengths of those before it."""
        own = [e.length for e in self.episodes if (e.agent, e.environment) == (BAD, BAD_ENVIRONMENT)]
        return sum(own) - (self.faulty().ending != "crashed" or self.agents.stopped[BAD].where["step"] == 0)


def play(kind: str = "none", actions: NDArray[np.float32] | None = None, **more: Any) -> Played:
    """Random actions, some beyond the bounds, or these [T, A, N, 1]."""
    if actions is None:
        actions = np.random.default_rng(5).normal(0, 1, (T, A, N, 1)).astype(np.float32)
    agents, made, stepped = population(), list[Drifting](), []
    envs = Environments(spec(kind, made=made, **more), agents, N)
    parts: dict[str, list[NDArray[Any]]] = {}
    seen = []
    for action in actions:
        transition = envs.step(torch.from_numpy(action))
        for name, part in transition._asdict().items():
            parts.setdefault(name, []).append(part.numpy().copy())
        seen.append(envs.observation.numpy().copy())
        stepped.append([env.steps for env in made])
    transitions = {name: np.stack(part) for name, part in parts.items()}
    return Played(agents, envs, transitions, np.stack(seen), envs.finished_episodes(), made, stepped)


@pytest.fixture(scope="module")
def healthy() -> Played:
    return play()


def record(episode: Episode) -> tuple[Any, ...]:
    return (
        *(episode.agent, episode.environment, episode.episode, episode.reset_seed, episode.length),
        *(episode.ret.hex(), episode.ending, episode.digest, episode.actions.tobytes()),
    )


def assert_others_are_untouched(played: Played, healthy: Played) -> None:
    """All agents but the bad one, bit for bit."""
    others = [a for a in range(A) if a != BAD]
    for name, part in played.transitions.items():
        assert part[:, others].tobytes() == healthy.transitions[name][:, others].tobytes(), name
    assert played.seen[:, others].tobytes() == healthy.seen[:, others].tobytes()
    own, expected = ([record(e) for e in p.episodes if e.agent != BAD] for p in (played, healthy))
    assert own == expected
    assert len(own) > 10


def assert_bad_agent_rests(played: Played, t: int) -> None:
    """From step `t` on, in which it stopped, its rows are zero, and its environments are left alone."""
    assert not played.seen[t:, BAD].any()
    assert not played.transitions["next_observation"][t:, BAD].any()
    assert not played.transitions["observation"][t + 1 :, BAD].any()
    assert not played.transitions["reward"][t + 1 :, BAD].any()
    assert not played.transitions["reward"][t, BAD, BAD_ENVIRONMENT]
    for flag in ("terminated", "truncated"):
        assert not played.transitions[flag][t + 1 :, BAD].any()
    assert t + 1 < T
    assert played.envs.resting.tolist() == [[a == BAD] * N for a in range(A)]
    own = slice(BAD * N, (BAD + 1) * N)
    assert played.stepped[t][own] == played.stepped[-1][own]
    assert all(last > then for last, then in zip(played.stepped[-1][:N], played.stepped[t][:N], strict=True))


def test_without_a_fault_nobody_stops(healthy: Played) -> None:
    assert healthy.agents.stopped == {}
    assert not healthy.envs.resting.any()
    assert {e.ending for e in healthy.episodes} == {"terminated"}


IN_STEP = [
    ("raises", "crashed", "its environment raised Broken: it fell apart"),
    ("reward none", "crashed", "its environment raised TypeError: "),
    ("observation shape", "crashed", "its environment raised ValueError: expected an observation of shape (2,)"),
    ("observation scalar", "crashed", "its environment raised ValueError: expected an observation of shape (2,)"),
    ("terminated array", "crashed", "its environment raised ValueError: "),
    ("reward nan", "diverged", "its environment's reward is NaN"),
    ("reward inf", "diverged", "its environment's reward is an infinity"),
    ("reward beyond", "diverged", "its environment's reward is an infinity"),
    ("reward -inf", "diverged", "its environment's reward is an infinity"),
    ("observation nan", "diverged", "its environment's observation holds NaN"),
    ("observation inf", "diverged", "its environment's observation holds an infinity"),
    ("observation -inf", "diverged", "its environment's observation holds an infinity"),
]
IN_RESET = [
    ("reset raises", "crashed", "its environment's reset raised Broken: no way to begin"),
    ("reset shape", "crashed", "its environment's reset raised ValueError: expected an observation of shape (2,)"),
    ("reset nan", "diverged", "its environment was reset to an observation that holds NaN"),
    ("reset inf", "diverged", "its environment was reset to an observation that holds an infinity"),
]


@pytest.mark.parametrize(("kind", "status", "reason"), IN_STEP)
def test_a_fault_in_a_step_stops_its_agent_and_no_other(healthy: Played, kind: str, status: str, reason: str) -> None:
    played = play(kind)
    assert list(played.agents.stopped) == [BAD]
    stop = played.agents.stopped[BAD]
    assert (stop.status, stop.where) == (status, {**PLACE, "step": BAD_STEP})
    assert stop.reason.startswith(reason)
    assert_others_are_untouched(played, healthy)
    assert_bad_agent_rests(played, played.t_of_fault())

    episode = played.faulty()
    assert (episode.agent, episode.environment, episode.episode) == (BAD, BAD_ENVIRONMENT, BAD_EPISODE)
    assert (episode.reset_seed, episode.ending) == (BAD_SEED, status)
    assert episode.length == (BAD_STEP - 1 if status == "crashed" else BAD_STEP)
    assert len(episode.actions) == BAD_STEP


@pytest.mark.parametrize(("kind", "status", "reason"), IN_RESET)
def test_a_fault_in_a_reset_stops_its_agent_and_no_other(healthy: Played, kind: str, status: str, reason: str) -> None:
    played = play(kind)
    assert list(played.agents.stopped) == [BAD]
    stop = played.agents.stopped[BAD]
    assert (stop.status, stop.where) == (status, {**PLACE, "step": 0})
    assert stop.reason.startswith(reason)
    assert_others_are_untouched(played, healthy)
    assert_bad_agent_rests(played, played.t_of_fault())

    episode = played.faulty()
    assert (episode.reset_seed, episode.ending, episode.length, episode.ret) == (BAD_SEED, status, 0, 0.0)
    before = [e.episode for e in played.episodes if (e.agent, e.environment) == (BAD, BAD_ENVIRONMENT)]
    assert before == [0, 1, 2], "the episodes that ended before count"


@pytest.mark.parametrize("kind", ["reset raises", "reset nan"])
def test_an_episode_that_could_not_begin_has_no_actions(kind: str) -> None:
    assert play(kind).faulty().actions.shape == (0, 1)


@pytest.mark.parametrize(("kind", "status", "reason"), IN_RESET)
def test_a_fault_in_the_very_first_reset_stops_the_agent_too(kind: str, status: str, reason: str) -> None:
    seed = reset_seed(SEEDS[BAD], "train", 0, 0)
    played = play(kind, seeds=(seed,))
    assert played.agents.stopped[BAD].where == {**PLACE, "environment": 0, "episode": 0, "reset_seed": seed, "step": 0}
    assert played.agents.stopped[BAD].status == status
    assert played.stepped[-1][BAD * N : (BAD + 1) * N] == [0, 0]
    assert not played.seen[:, BAD].any()


def replay(episode: Episode, kind: str) -> None:
    """Play an episode again, in an environment that has seen nothing yet."""
    env = Drifting(kind)
    env.reset(seed=episode.reset_seed)
    for action in episode.actions:
        env.step(action)


def test_the_recorded_actions_reach_the_same_exception() -> None:
    episode = play("raises").faulty()
    with pytest.raises(Broken, match="it fell apart"):
        replay(episode, "raises")
    episode.actions.resize((BAD_STEP - 1, 1))
    replay(episode, "raises")


@pytest.mark.parametrize("kind", ["reward nan", "observation inf"])
def test_the_recorded_actions_reach_the_same_odd_number(kind: str) -> None:
    episode, env = play(kind).faulty(), Drifting(kind)
    env.reset(seed=episode.reset_seed)
    steps = [env.step(action) for action in episode.actions]
    finite = [np.isfinite(reward) and np.isfinite(observation).all() for observation, reward, *_ in steps]
    assert finite == [True] * (BAD_STEP - 1) + [False]


class Long(Drifting):
    """Does not end before its fault."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(seed=seed, options=options)
        self.length = 10**9
        return observation, info


@pytest.mark.parametrize("step", [63, 64, 65, 128, 150])
def test_all_actions_of_a_long_episode_are_there(step: int) -> None:
    """Around the number of steps that is kept for all environments at a time."""
    actions = np.random.default_rng(step).normal(0, 1, (160, 1, 1, 1)).astype(np.float32)
    agents, seed = Agents([Agent(0, 11)]), reset_seed(11, "train", 0, 0)
    arguments = {"kind": "raises", "seeds": (seed,), "step": step}
    envs = Environments(EnvironmentSpec("long", arguments, function=Long), agents, 1)
    for action in actions:
        envs.step(torch.from_numpy(action))
    [episode] = envs.finished_episodes()
    assert (episode.ending, episode.length, agents.stopped[0].where["step"]) == ("crashed", step - 1, step)
    assert episode.actions.tobytes() == np.clip(actions[:step, 0, 0], -1, 1).tobytes()


def with_odd_action(t: int, odd: float) -> NDArray[np.float32]:
    actions = np.random.default_rng(5).normal(0, 1, (T, A, N, 1)).astype(np.float32)
    actions[t, BAD, BAD_ENVIRONMENT] = odd
    return actions


@pytest.mark.parametrize("t", [0, 2, 17])
def test_an_action_that_is_nan_stops_its_agent_and_no_other(healthy: Played, t: int) -> None:
    played = play(actions=with_odd_action(t, np.nan))
    own = [e for e in healthy.episodes if (e.agent, e.environment) == (BAD, BAD_ENVIRONMENT)]
    began = [0, *np.cumsum([e.length for e in own])]
    number = max(i for i, start in enumerate(began) if start <= t)
    stop, seed = played.agents.stopped[BAD], reset_seed(SEEDS[BAD], "train", BAD_ENVIRONMENT, number)
    assert (stop.status, stop.reason) == ("diverged", "its policy's action holds NaN")
    assert {**stop.where, "step": None} == {**PLACE, "episode": number, "reset_seed": seed, "step": None}
    assert_others_are_untouched(played, healthy)
    assert_bad_agent_rests(played, t)
    assert played.stepped[t][BAD * N : (BAD + 1) * N] == [t, t], "none of its environments is stepped with it"
    episode, length = played.faulty(), t - began[number]
    assert (episode.ending, episode.length, len(episode.actions)) == ("diverged", length, length)


@pytest.mark.parametrize(("t", "step"), [(0, 1), (2, 3)])
def test_the_step_that_an_action_did_not_allow_counts_from_1(t: int, step: int) -> None:
    """0 would say that it happened at the reset."""
    assert play(actions=with_odd_action(t, np.nan)).agents.stopped[BAD].where["step"] == step


def test_an_infinite_action_is_cut_to_the_bound_and_is_no_fault() -> None:
    odd, bound = play(actions=with_odd_action(7, np.inf)), play(actions=with_odd_action(7, 1.0))
    assert odd.agents.stopped == {}
    assert [record(e) for e in odd.episodes] == [record(e) for e in bound.episodes]


@pytest.mark.parametrize("kind", ["observation huge", "reset huge", "reward huge"])
def test_huge_numbers_are_no_fault(healthy: Played, kind: str) -> None:
    """Though the square of 1e30 is infinite in single precision."""
    played = play(kind)
    assert played.agents.stopped == {}
    assert_others_are_untouched(played, healthy)
    whole = [(e.agent, e.environment, e.episode, e.length, e.ending) for e in played.episodes]
    assert whole == [(e.agent, e.environment, e.episode, e.length, e.ending) for e in healthy.episodes]
    numbers = (played.transitions["next_observation"], played.transitions["reward"], played.seen)
    assert any((part == np.float32(1e30)).any() for part in numbers), "it must have happened"


def test_two_faults_of_an_agent_in_one_step_are_told_once(healthy: Played) -> None:
    seeds = [reset_seed(SEEDS[BAD], "train", n, 0) for n in range(N)]
    played = play("raises", seeds=seeds)
    assert played.agents.stopped[BAD].where == {
        **PLACE,
        "environment": 0,
        "episode": 0,
        "reset_seed": seeds[0],
        "step": BAD_STEP,
    }
    assert [(e.environment, e.ending) for e in played.episodes if e.agent == BAD] == [(0, "crashed")]
    assert_others_are_untouched(played, healthy)


class EndsAndFalls(gym.Env[Any, Any]):
    """Of an agent's two environments one ends at step 3, and the other raises then; closing them raises too."""

    observation_space, action_space = Drifting.observation_space, Drifting.action_space

    def __init__(self, ends: int, made: "list[EndsAndFalls]") -> None:
        self.ends, self.number = len(made) % N == ends, len(made)
        made.append(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.t = 0
        return np.ones(2, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t += 1
        if self.number < N and self.t == BAD_STEP and not self.ends:
            raise Broken("it fell apart")
        return np.full(2, self.t, dtype=np.float32), 1.0, self.ends and self.t == BAD_STEP, False, {}

    def close(self) -> None:
        if self.number < N:
            raise Broken("not even this")
        self.closed = True


@pytest.mark.parametrize("ends", range(N))
def test_an_episode_that_ends_in_the_step_in_which_its_agent_stops_counts_as_it_was(ends: int) -> None:
    agents, made = population(), list[EndsAndFalls]()
    envs = Environments(EnvironmentSpec("ends", {"made": made, "ends": ends}, function=EndsAndFalls), agents, N)
    for _ in range(BAD_STEP):
        envs.step(torch.zeros(A, N, 1))
    assert list(agents.stopped) == [0]
    episodes = {(e.agent, e.environment): e for e in envs.finished_episodes()}
    assert sorted(episodes) == sorted([(0, 0), (0, 1), (1, ends), (2, ends)])
    assert episodes[0, 1 - ends].ending == "crashed"
    own, other = episodes[0, ends], episodes[1, ends]
    assert (own.ending, own.length, own.ret, own.digest) == ("terminated", BAD_STEP, BAD_STEP, other.digest)


def test_what_an_environment_raises_when_it_is_closed_leaves_no_other_open() -> None:
    made: list[EndsAndFalls] = []
    envs = Environments(EnvironmentSpec("ends", {"made": made, "ends": 0}, function=EndsAndFalls), population(), N)
    envs.close()
    assert all(env.closed for env in made[N:])


class OddThenRaises(gym.Env[Any, Any]):
    """At step 3 an environment gives an odd reward, and the one that was made after it raises."""

    observation_space, action_space = Drifting.observation_space, Drifting.action_space

    def __init__(self, made: "list[OddThenRaises]") -> None:
        self.number = len(made)
        made.append(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.t = 0
        return np.ones(2, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t += 1
        if self.number == 1 and self.t == BAD_STEP:
            raise Broken("it fell apart")
        odd = self.number == 0 and self.t == BAD_STEP
        return np.ones(2, dtype=np.float32), float("nan") if odd else 1.0, False, False, {}


def test_in_the_step_of_a_fault_all_rows_of_the_agent_are_zero() -> None:
    """What its other environments gave in this step belongs to nobody, and might be odd too."""
    agents = population()
    envs = Environments(EnvironmentSpec("odd", {"made": []}, function=OddThenRaises), agents, N)
    for _ in range(BAD_STEP):
        transition = envs.step(torch.zeros(A, N, 1))
    assert agents.stopped[0].where["step"] == BAD_STEP
    assert transition.reward.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert not transition.next_observation[0].any()
    assert not envs.observation[0].any()


def test_all_agents_may_stop_in_one_step() -> None:
    seeds = [reset_seed(seed, "train", 1, 0) for seed in SEEDS]
    played = play("reward nan", seeds=seeds)
    assert sorted(played.agents.stopped) == [0, 1, 2]
    assert played.envs.resting.all()
    assert not played.seen[BAD_STEP:].any()
    assert [(e.agent, e.environment, e.ending) for e in played.episodes] == [(a, 1, "diverged") for a in range(A)]


def test_an_agent_that_stopped_stays_stopped_after_a_reset_of_all() -> None:
    played = play("raises")
    steps = played.stepped[-1]
    played.envs.reset()
    played.envs.step(torch.zeros(A, N, 1))
    assert played.envs.resting.tolist() == [[a == BAD] * N for a in range(A)]
    expected = [count + (i // N != BAD) for i, count in enumerate(steps)]
    assert [env.steps for env in played.made] == expected
    assert not played.envs.observation[BAD].any()
    assert played.envs.observation[0].any()


def test_environments_of_an_agent_that_something_else_stopped_rest_too(healthy: Played) -> None:
    """A fault in an evaluation, or a loss that is not finite."""
    agents, made = population(), list[Drifting]()
    envs = Environments(spec(made=made), agents, N)
    actions = np.random.default_rng(5).normal(0, 1, (T, A, N, 1)).astype(np.float32)
    for t, action in enumerate(actions):
        if t == 9:
            agents.stop(BAD, Stop("diverged", "for another reason"))
        transition = envs.step(torch.from_numpy(action))
        for a in (0, 2):
            assert transition.reward[a].numpy().tobytes() == healthy.transitions["reward"][t, a].tobytes()
    assert [env.steps for env in made] == [9 if a == BAD else T for a, _ in product(range(A), range(N))]
    assert not envs.observation[BAD].any()


class Constant:
    """A policy that always does the same, drawn or not."""

    def noise(self, agents: Agents, purpose: str, block: int, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(len(agents), *shape, 1)

    def act(self, observation: Tensor, noise: Tensor) -> Tensor:
        return torch.full((*observation.shape[:2], 1), 0.3)

    def act_deterministically(self, observation: Tensor) -> Tensor:
        return torch.full((*observation.shape[:2], 1), -0.3)


@pytest.mark.parametrize(
    ("kind", "status", "step"), [("raises", "crashed", BAD_STEP), ("reward nan", "diverged", BAD_STEP)]
)
def test_a_fault_in_an_evaluation_stops_the_agent_and_no_other(kind: str, status: str, step: int) -> None:
    """Each evaluation starts from the same seeds, which come first when the environments are made: the fault waits for
    the second evaluation, and happens in both modes at once."""
    seed = reset_seed(SEEDS[BAD], "evaluate", 1, 0)
    agents, well = population(), population()
    evaluate, healthy = (
        Evaluation(spec(what, seeds=(seed,), visit=3), whose, 2) for what, whose in ((kind, agents), ("none", well))
    )

    def records(played: list[tuple[bool, list[Episode]]], of: list[int]) -> list[list[tuple[Any, ...]]]:
        return [[record(e) for e in episodes if e.agent in of] for _, episodes in played]

    everyone, others = [0, 1, 2], [0, 2]
    assert records(evaluate(Constant()), everyone) == records(healthy(Constant()), everyone)
    assert agents.stopped == {}
    faulty, sane = evaluate(Constant(), 1), healthy(Constant(), 1)
    assert records(faulty, others) == records(sane, others)
    stop = agents.stopped[BAD]
    place = {"during": "evaluate", "environment": 1, "episode": 0, "reset_seed": seed, "step": step}
    assert (stop.status, stop.where) == (status, place)
    [told] = [e for _, episodes in faulty for e in episodes if e.ending == status]
    assert (told.agent, told.environment, told.reset_seed) == (BAD, 1, seed)
    third = evaluate(Constant(), 2)
    assert records(third, [BAD]) == [[], []], "who has stopped is not evaluated"
    assert records(third, others) == records(healthy(Constant(), 2), others)


def test_evaluation_ends_when_every_agent_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "LONGEST", 50)
    seeds = [reset_seed(seed, "evaluate", n, 0) for seed in SEEDS for n in range(2)]
    agents, made = population(), list[Drifting]()
    evaluate = Evaluation(spec("raises", seeds=seeds, made=made, visit=2), agents, 2)
    evaluate(Constant())
    assert sorted(agents.stopped) == [0, 1, 2]
    assert [env.steps for env in made] == [BAD_STEP] * (A * 4)


def types(env: gym.Env[Any, Any]) -> list[type[Any]]:
    """The wrappers from the outside in, and what they wrap."""
    found: list[type[Any]] = [type(env)]
    while isinstance(env, gym.Wrapper):
        env = env.env
        found.append(type(env))
    return found


def test_bare_takes_off_what_gymnasium_puts_on() -> None:
    wrapped = gym.make("CartPole-v1")
    inner = wrapped.unwrapped
    assert len(types(wrapped)) == 4, "a time limit and two checks"
    env, limit = bare(wrapped)
    assert env is inner
    assert limit == 500


def test_bare_leaves_an_environment_without_wrappers_and_has_no_limit_for_it() -> None:
    inner = Drifting()
    assert bare(inner) == (inner, np.inf)


class Reversed(gym.ObservationWrapper[Any, Any, Any]):
    """A wrapper that does something."""

    def observation(self, observation: Any) -> Any:
        return observation[::-1]


class StricterLimit(gym.wrappers.TimeLimit[Any, Any]):
    """A kind of time limit: what it does beyond is not known here."""


def test_bare_stops_at_any_other_wrapper_and_keeps_all_inside_of_it() -> None:
    checks, limit = gym.wrappers.OrderEnforcing, gym.wrappers.TimeLimit
    env, found = bare(limit(checks(Reversed(checks(limit(Drifting(), 30)))), 20))
    assert types(env) == [Reversed, checks, limit, Drifting]
    assert found == 20
    env, found = bare(Reversed(limit(Drifting(), 30)))
    assert types(env) == [Reversed, limit, Drifting]
    assert found == np.inf
    env, found = bare(StricterLimit(Drifting(), 30))
    assert types(env) == [StricterLimit, Drifting]
    assert found == np.inf


def test_bare_counts_the_outermost_limit_and_leaves_a_second_one_to_itself() -> None:
    env, limit = bare(gym.wrappers.TimeLimit(gym.wrappers.TimeLimit(Drifting(), 3), 5))
    assert types(env) == [gym.wrappers.TimeLimit, Drifting]
    assert limit == 5


class Exactly(gym.Env[Any, Any]):
    """Terminates at its fifth, sixth, seventh, fifth, … step."""

    observation_space = spaces.Box(0, 99, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.number = -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.number += 1
        self.t = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.full(1, self.t, dtype=np.float32), 1.0, self.t == 5 + self.number % 3, False, {}


def limited_to_six() -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(Exactly(), 6)


def two_limits() -> gym.Env[Any, Any]:
    """The inner limit is the shorter one, and counts."""
    return gym.wrappers.TimeLimit(gym.wrappers.TimeLimit(Exactly(), 4), 6)


@pytest.mark.parametrize(
    ("own", "steps"),
    [
        (EnvironmentSpec("exactly", function=limited_to_six), 60),
        (EnvironmentSpec("exactly", max_episode_steps=1, function=Exactly), 10),
        (EnvironmentSpec("exactly", max_episode_steps=5, function=Exactly), 40),
        (EnvironmentSpec("exactly", max_episode_steps=7, function=Exactly), 60),
        (EnvironmentSpec("exactly", function=two_limits), 40),
        (EnvironmentSpec("CartPole-v1", max_episode_steps=17), 200),
        (EnvironmentSpec("Pendulum-v1"), 450),
        (EnvironmentSpec("FrozenLake-v1", {"is_slippery": False}, max_episode_steps=9), 100),
    ],
    ids=lambda value: f"{value.name}-{value.max_episode_steps}" if isinstance(value, EnvironmentSpec) else "",
)
def test_our_count_of_steps_truncates_where_the_wrapper_does(own: EnvironmentSpec, steps: int) -> None:
    """Full episodes, stepped by us without the wrapper and by hand with it; both ends may fall on one step."""
    envs, env = Environments(own, Agents([Agent(0, 4)]), 1), own.make()
    kind = envs.spaces.action.kind
    rng = np.random.default_rng(2)
    episode = 0
    observation, _ = env.reset(seed=reset_seed(4, "train", 0, 0))
    ends = []
    for _ in range(steps):
        chosen = rng.integers(kind.sizes, size=(1, 1, 1)) if isinstance(kind, Choices) else rng.normal(size=(1, 1, 1))
        transition = envs.step(torch.from_numpy(chosen))
        action = envs.spaces.action.to_environment(chosen)[0, 0]
        observation, reward, terminated, truncated, _ = env.step(action)
        assert (bool(transition.terminated), bool(transition.truncated)) == (terminated, truncated)
        assert float(transition.reward) == np.float32(reward)
        row = np.zeros(envs.spaces.observation.size, dtype=np.float32)
        envs.spaces.observation.write(observation, row)
        assert transition.next_observation.numpy().tobytes() == row.tobytes()
        if terminated or truncated:
            ends.append((terminated, truncated))
            episode += 1
            env.reset(seed=reset_seed(4, "train", 0, episode))
    assert len(ends) >= 2
    told = ["terminated" if terminated else "truncated" for terminated, _ in ends]
    assert [e.ending for e in envs.finished_episodes()] == told
    if own.function is limited_to_six:
        assert ends[:3] == [(True, False), (True, True), (False, True)], "before, at, and beyond the limit"
