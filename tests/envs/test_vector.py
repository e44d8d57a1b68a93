"""Every transition, episode and reset of the environments, checked against what each must have been."""

from collections import defaultdict
from hashlib import blake2b
from itertools import combinations, count, product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from relook.buffers import Rollout
from relook.envs import Environments, EnvironmentSpec, Episode
from relook.envs.probes import Tagging
from relook.population import Agent, Agents, reset_seed

A, N, T = 2, 3, 20
AGENTS = Agents([Agent(0, 11), Agent(1, 12)])
ENDINGS = {0: (True, False), 1: (False, True), 2: (True, True)}


class Counting(gym.Env[Any, Any]):
    """Ends after as many steps as it was told; remembers the seeds and the steps that it got."""

    observation_space = spaces.Box(0, 99, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, lengths: list[int], made: list["Counting"]) -> None:
        self.length = lengths[len(made) % len(lengths)]
        self.seeds: list[int | None] = []
        self.steps = 0
        made.append(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.seeds.append(seed)
        self.t = 0
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.steps += 1
        action *= 0  # environments may work in the array that they are given
        return np.full(1, self.t, dtype=np.float32), 2.0, self.t == self.length, False, {}


def counting(lengths: list[int], made: list[Counting], **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec("counting", {"lengths": lengths, "made": made}, function=Counting, **more)


def fill(envs: Environments, steps: int, seed: int = 0) -> tuple[Rollout, np.ndarray[Any, Any]]:
    """A rollout of random discrete actions, and the actions [steps, A, N]."""
    options = envs.spaces.action.kind.sizes[0]  # type: ignore[union-attr]  # this test's actions are discrete
    actions = np.random.default_rng(seed).integers(options, size=(steps, len(envs.agents), envs.count))
    rollout = Rollout(len(envs.agents), steps, envs.count, envs.spaces)
    for t in range(steps):
        action = torch.from_numpy(actions[t]).unsqueeze(-1)
        rollout.store(t, action, envs.step(action))
    return rollout, actions


@pytest.fixture(scope="module")
def tagged() -> tuple[Rollout, np.ndarray[Any, Any]]:
    Tagging.numbers = count()
    return fill(Environments(EnvironmentSpec("relook/Tagging-v0"), AGENTS, N), T)


def test_every_stored_transition_carries_its_tags(tagged: tuple[Rollout, np.ndarray[Any, Any]]) -> None:
    rollout, actions = tagged
    for a, n in product(range(A), range(N)):
        number, episode, step, last = a * N + n, 0, 0, -1
        for t in range(T):
            action = int(actions[t, a, n])
            done = step + 1 == Tagging.LENGTHS[episode % 3]
            assert rollout.observation[a, t, n].tolist() == [number, episode, step, last]
            assert rollout.action[a, t, n].tolist() == [action]
            assert rollout.next_observation[a, t, n].tolist() == [number, episode, step + 1, action]
            assert rollout.reward[a, t, n] == number * 10_000 + episode * 10 + step + 1
            flags = bool(rollout.terminated[a, t, n]), bool(rollout.truncated[a, t, n])
            assert flags == (ENDINGS[episode % 3] if done else (False, False))
            episode, step, last = (episode + 1, 0, -1) if done else (episode, step + 1, action)
        assert episode >= 4, "each kind of ending must have been met"


def test_at_an_end_the_step_leads_to_the_final_observation(tagged: tuple[Rollout, np.ndarray[Any, Any]]) -> None:
    rollout, _ = tagged
    ended = rollout.terminated | rollout.truncated
    episodes, steps = rollout.observation[..., 1][ended], rollout.next_observation[..., 2][ended]
    assert steps.tolist() == [Tagging.LENGTHS[int(episode) % 3] for episode in episodes]
    assert rollout.next_observation[..., 1][ended].tolist() == episodes.tolist()


def test_after_an_end_the_next_step_starts_at_the_reset_observation(
    tagged: tuple[Rollout, np.ndarray[Any, Any]],
) -> None:
    rollout, _ = tagged
    ended = (rollout.terminated | rollout.truncated)[:, :-1]
    after = rollout.observation[:, 1:][ended]
    assert after[:, 1].tolist() == (rollout.observation[:, :-1][ended][:, 1] + 1).tolist()
    assert set(after[:, 2].tolist()) == {0.0}
    assert set(after[:, 3].tolist()) == {-1.0}


def test_an_array_that_the_environment_reuses_is_copied() -> None:
    rollout, _ = fill(Environments(EnvironmentSpec("relook/Mutating-v0"), AGENTS, N), 14)
    expected = torch.arange(14) % 6
    assert (rollout.observation[..., 0] == expected.view(1, 14, 1)).all()
    assert (rollout.next_observation[..., 0] == expected.view(1, 14, 1) + 1).all()


def first_observations(spec: EnvironmentSpec, steps: int) -> dict[tuple[int, int, int], list[float]]:
    """What each agent saw first in each environment and episode."""
    envs = Environments(spec, AGENTS, N)
    episode: dict[tuple[int, int], int] = defaultdict(int)
    firsts = {(a, n, 0): envs.observation[a, n].tolist() for a, n in product(range(A), range(N))}
    for _ in range(steps):
        transition = envs.step(torch.ones(A, N, 1, dtype=torch.int64))
        for a, n in (transition.terminated | transition.truncated).nonzero().tolist():
            episode[a, n] += 1
            firsts[a, n, episode[a, n]] = envs.observation[a, n].tolist()
    envs.close()
    return firsts


def test_every_episode_starts_from_its_own_explicit_seed() -> None:
    firsts = first_observations(EnvironmentSpec("CartPole-v1"), steps=60)
    assert len(firsts) > 4 * A * N
    assert all(one != other for one, other in combinations(firsts.values(), 2))
    env = gym.make("CartPole-v1")
    for (a, n, episode), seen in firsts.items():
        seed = reset_seed(AGENTS[a].seed, "train", n, episode)
        assert env.reset(seed=seed)[0].tolist() == seen


def test_purpose_and_slot_choose_the_reset_seeds() -> None:
    spec = EnvironmentSpec("CartPole-v1")
    envs = Environments(spec, AGENTS, 4, purpose="other", slot=lambda n: n % 2)
    seen = envs.observation
    assert torch.equal(seen[:, :2], seen[:, 2:])
    assert not torch.equal(seen[:, 0], seen[:, 1])
    expected = gym.make("CartPole-v1").reset(seed=reset_seed(12, "other", 1, 0))[0]
    assert seen[1, 3].tolist() == expected.tolist()


def digest_of(space: gym.Space[Any], observations: list[Any], rewards: list[float], ending: str) -> str:
    vectors = [np.asarray(spaces.flatten(space, o), dtype=np.float32).tobytes() for o in observations]
    rest = [np.array(rewards, dtype="<f8").tobytes(), ending.encode()]
    return blake2b(b"".join(vectors + rest), digest_size=16).hexdigest()


def recorded_episodes(spec: EnvironmentSpec) -> list[Episode]:
    """Episodes of a hundred steps of random actions, some of them beyond the bounds."""
    envs, rng = Environments(spec, AGENTS, N), np.random.default_rng(6)
    kind = envs.spaces.action.kind
    for _ in range(100):
        shape = (A, N, envs.spaces.action.width)
        chosen = rng.integers(kind.sizes, size=shape) if hasattr(kind, "sizes") else rng.normal(0, 1.5, shape)
        envs.step(torch.from_numpy(chosen))
    return envs.finished_episodes()


@pytest.mark.parametrize(("name", "limit"), [("CartPole-v1", None), ("Pendulum-v1", 30), ("FrozenLake-v1", 9)])
def test_an_episodes_record_is_enough_to_play_it_again(name: str, limit: int | None) -> None:
    spec = EnvironmentSpec(name, max_episode_steps=limit)
    episodes = recorded_episodes(spec)
    assert len(episodes) >= 3 * A * N
    env = gym.make(name, max_episode_steps=limit)
    for episode in reversed(episodes):  # out of order: nothing may hang on the episode before
        assert episode.reset_seed == reset_seed(
            AGENTS[episode.agent].seed, "train", episode.environment, episode.episode
        )
        observations, rewards = [env.reset(seed=episode.reset_seed)[0]], []
        terminated = truncated = False
        for action in episode.actions:
            assert not terminated
            assert not truncated
            observation, reward, terminated, truncated, _ = env.step(action)
            observations.append(observation)
            rewards.append(float(reward))
        assert episode.ending == ("terminated" if terminated else "truncated" if truncated else "")
        assert (len(rewards), sum(rewards)) == (episode.length, episode.ret)
        assert digest_of(env.observation_space, observations, rewards, episode.ending) == episode.digest


def test_finished_episodes_are_handed_out_once_and_in_order() -> None:
    envs = Environments(EnvironmentSpec("relook/Tagging-v0"), AGENTS, N)
    fill(envs, T)
    episodes = envs.finished_episodes()
    assert envs.finished_episodes() == []
    for a, n in product(range(A), range(N)):
        own = [e for e in episodes if (e.agent, e.environment) == (a, n)]
        assert [e.episode for e in own] == [0, 1, 2, 3, 4]
        assert [e.length for e in own] == [3, 4, 5, 3, 4]
        assert [e.ending for e in own] == ["terminated", "truncated", "terminated", "terminated", "truncated"]


def test_the_action_is_recorded_as_the_environment_received_it() -> None:
    envs = Environments(counting([3], []), Agents([Agent(0, 0)]), 1)
    for value in (0.25, -3.0, 0.5):
        envs.step(torch.full((1, 1, 2), value))
    assert envs.finished_episodes()[0].actions.tolist() == [[0.25, 0.25], [-1, -1], [0.5, 0.5]]


def test_without_autoreset_a_finished_environment_rests() -> None:
    made: list[Counting] = []
    envs = Environments(counting([2, 4, 3], made), AGENTS, N, autoreset=False)
    for t in range(1, 7):
        envs.step(torch.zeros(A, N, 2))
        assert envs.resting.tolist() == [[t >= 2, t >= 4, t >= 3]] * A
    assert [env.steps for env in made] == [2, 4, 3] * A
    assert envs.observation.flatten().tolist() == [2, 4, 3] * A
    assert sorted(episode.length for episode in envs.finished_episodes()) == [2, 2, 3, 3, 4, 4]
    assert [len(env.seeds) for env in made] == [1] * (A * N)


def test_a_reset_wakes_all_environments_for_the_same_first_episode() -> None:
    made: list[Counting] = []
    envs = Environments(counting([2, 4, 3], made), AGENTS, N, autoreset=False)
    for _ in range(3):
        envs.step(torch.zeros(A, N, 2))
    envs.reset()
    assert not envs.resting.any()
    assert envs.observation.flatten().tolist() == [0] * (A * N)
    assert all(first == second for first, second in (env.seeds for env in made))
    for _ in range(2):
        envs.step(torch.zeros(A, N, 2))
    assert {episode.episode for episode in envs.finished_episodes()} == {0}


def test_cut_ends_what_still_runs_and_nothing_else() -> None:
    made: list[Counting] = []
    envs = Environments(counting([2, 9, 9], made), AGENTS, N, autoreset=False)
    for _ in range(3):
        envs.step(torch.zeros(A, N, 2))
    envs.cut()
    episodes = envs.finished_episodes()
    assert sorted((e.agent, e.environment, e.ending, e.length, e.ret) for e in episodes) == [
        (a, n, *(("terminated", 2, 4.0) if n == 0 else ("cut", 3, 6.0))) for a, n in product(range(A), range(N))
    ]
    observations = [np.full(1, t, dtype=np.float32) for t in range(4)]
    assert episodes[-1].digest == digest_of(Counting.observation_space, observations, [2.0] * 3, "cut")
    envs.step(torch.zeros(A, N, 2))
    assert envs.resting.all()
    assert [env.steps for env in made] == [2, 3, 3] * A


def test_reset_seed_once_seeds_the_first_reset_alone() -> None:
    made: list[Counting] = []
    envs = Environments(counting([2], made, reset_seed="once"), AGENTS, N)
    for _ in range(4):
        envs.step(torch.zeros(A, N, 2))
    assert [env.seeds for env in made] == [
        [reset_seed(agent.seed, "train", n, 0), None, None] for agent in AGENTS for n in range(N)
    ]
    assert [e.reset_seed is None for e in envs.finished_episodes()] == [False] * (A * N) + [True] * (A * N)
