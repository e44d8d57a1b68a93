"""The replay keeps whole transitions, gives every one of them its chance, and looks n steps ahead but not further."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relook.buffers import Averages, Replay, check_schedule, intervals, replay_bytes, replay_for
from relook.buffers.replay import transition_bytes
from relook.envs import ActionSpace, Environments, EnvironmentSpec, ObservationSpace, Spaces, Transition
from relook.envs.probes import Tagging
from relook.errors import RelookError, WrongRequest
from relook.population import Agent, Agents
from support import equal_bits

TWO = Agents([Agent(0, 5), Agent(1, 6)])


@dataclass(frozen=True)
class Plan:
    """What a schedule is made of."""

    envs: int = 2
    iteration: int = 24
    update_interval: int = 4
    update_to_data: float = 0.5
    learning_starts: int = 10
    batch: int = 8
    capacity: int = 100
    n_step: int = 1


def spaces_of(observation: gym.Space[Any], action: gym.Space[Any]) -> Spaces:
    return Spaces(ObservationSpace(observation), ActionSpace(action))


def tagged(steps: int, capacity: int, environments: int = 3, n_step: int = 1) -> tuple[Replay, Environments]:
    """A replay of so many steps of the probe that writes into every transition where it belongs."""
    Tagging.numbers = count()
    envs = Environments(EnvironmentSpec("relook/Tagging-v0"), TWO, environments)
    replay = Replay(2, capacity, environments, envs.spaces, n_step=n_step)
    for t in range(steps):
        action = (torch.arange(2 * environments).view(2, environments, 1) + t) % 2
        replay.store(action, envs.step(action))
    return replay, envs


def discount(value: float = 1.0) -> Tensor:
    return torch.full((2,), value)


@pytest.mark.parametrize(("steps", "capacity"), [(3, 60), (20, 60), (21, 60), (47, 60), (200, 21), (50, 3)])
def test_every_transition_is_whole_and_the_newest_are_there(steps: int, capacity: int) -> None:
    """Also after the ring has been written over many times, and where it holds one step alone."""
    replay, envs = tagged(steps, capacity)
    kept = min(steps, capacity // 3)
    places = torch.arange(3 * (steps - kept), 3 * steps).expand(2, -1)
    batch = replay.sample(places, discount())
    number, episode, t, _ = batch.observation.unbind(-1)
    next_number, next_episode, next_t, acted = batch.next_observation.unbind(-1)
    expected = torch.tensor([[0.0, 1, 2], [3, 4, 5]]).repeat(1, kept)
    assert torch.equal(number, expected)
    assert torch.equal(next_number, number)
    assert torch.equal(next_episode, episode), "where a step led is not where the next episode begins"
    assert torch.equal(next_t, t + 1)
    assert torch.equal(acted, batch.action[..., 0].float())
    assert torch.equal(batch.reward, Tagging.reward(number, episode, next_t))  # type: ignore[arg-type]
    lengths = torch.tensor(Tagging.LENGTHS)[(episode % 3).long()]
    assert torch.equal(batch.terminated, (next_t == lengths) & (episode % 3 != 1))
    envs.close()


def test_store_copies() -> None:
    replay, envs = tagged(3, 30)
    before = replay.written_between(0, 3)
    envs.step(torch.zeros(2, 3, 1, dtype=torch.int64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in replay.written_between(0, 3).items())
    for array in replay.written_between(0, 3).values():
        assert not np.shares_memory(array.numpy(), replay.observation.numpy())


@pytest.mark.parametrize("n_step", [1, 2, 3, 5])
@pytest.mark.parametrize(("steps", "capacity"), [(40, 300), (40, 45)])
def test_n_steps_add_up_what_came_and_stop_at_an_end(n_step: int, steps: int, capacity: int) -> None:
    """Against a walk through the stored steps, one transition after the other."""
    replay, envs = tagged(steps, capacity, n_step=n_step)
    stored = replay.written_between(replay.oldest, steps)
    count_of = (steps - replay.oldest - n_step + 1) * 3
    places = (torch.arange(count_of) + 3 * replay.oldest).expand(2, -1)
    gamma = torch.tensor([0.9, 0.5])
    batch = replay.sample(places, gamma)
    shortened = 0
    for a in range(2):
        for b, place in enumerate(places[a].tolist()):
            t, n = place // 3 - replay.oldest, place % 3
            total, m = 0.0, 0
            for m in range(n_step):
                total += float(gamma[a]) ** m * float(stored["reward"][a, t + m, n])
                if stored["terminated"][a, t + m, n] or stored["truncated"][a, t + m, n]:
                    break
            shortened += m + 1 < n_step
            assert float(batch.reward[a, b]) == pytest.approx(total)
            assert float(batch.discount[a, b]) == pytest.approx(float(gamma[a]) ** (m + 1))
            assert torch.equal(batch.observation[a, b], stored["observation"][a, t, n])
            assert torch.equal(batch.next_observation[a, b], stored["next_observation"][a, t + m, n])
            assert batch.terminated[a, b] == stored["terminated"][a, t + m, n]
            assert not (batch.terminated[a, b] and not stored["terminated"][a, t : t + m + 1, n].any())
    assert (shortened > 0) == (n_step > 1)
    envs.close()


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(("steps", "capacity"), [(7, 300), (40, 45)])
def test_all_that_is_filled_is_sampled_equally_often_and_nothing_else(n_step: int, steps: int, capacity: int) -> None:
    """Rows that are not filled yet would pull values to 0; the newest n - 1 steps have no future yet."""
    replay, envs = tagged(steps, capacity, n_step=n_step)
    drawn = replay.places(TWO.chance("replay", 0, (4000, 8)))
    usable = 3 * (min(steps, capacity // 3) - n_step + 1)
    for own in drawn:
        times = Counter(own.flatten().tolist())
        assert sorted(times) == list(range(3 * replay.oldest, 3 * replay.oldest + usable))
        expected = 32_000 / usable
        chi_square = sum((n - expected) ** 2 / expected for n in times.values())
        assert chi_square < usable + 6 * (2 * usable) ** 0.5
    envs.close()


@pytest.mark.parametrize(("steps", "oldest"), [(7, 0), (40, 25)])
def test_the_ends_of_chance_are_the_oldest_and_the_newest_place(steps: int, oldest: int) -> None:
    replay, envs = tagged(steps, 45)
    places = replay.places(torch.tensor([[0.0, 1 - 2**-53]] * 2, dtype=torch.float64))
    assert places.tolist() == [[3 * oldest, 3 * steps - 1]] * 2
    envs.close()


def test_a_sample_before_there_is_one_is_an_error() -> None:
    replay, envs = tagged(2, 60, n_step=3)
    with pytest.raises(ValueError, match="expected at least 3 steps before the first sample; found 2"):
        replay.places(TWO.chance("replay", 0, (1, 4)))
    envs.close()


def test_the_age_of_a_sample_counts_its_agents_steps() -> None:
    replay, envs = tagged(30, 45)
    places = torch.tensor([[[89, 88, 87]], [[45, 46, 47]]])
    assert replay.age(places).tolist() == [[[1.0, 2.0, 3.0]], [[45.0, 44.0, 43.0]]]  # of 90 transitions
    envs.close()


@pytest.mark.parametrize(
    ("observation", "dtype", "size"),
    [
        (spaces.Box(0, 255, (4, 3), np.uint8), torch.uint8, 12),
        (spaces.Discrete(5), torch.uint8, 5),
        (spaces.MultiBinary(3), torch.uint8, 3),
        (spaces.Box(-1, 1, (2,), np.float16), torch.float16, 2),
        (spaces.Box(-1, 1, (2,), np.float64), torch.float32, 2),
        (spaces.Tuple((spaces.Discrete(2), spaces.Box(-9, 9, (1,), np.int16))), torch.int16, 3),
        (spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-9, 9, (1,))}), torch.float32, 3),
    ],
)
def test_observations_are_kept_in_the_smallest_type_that_holds_them(
    observation: gym.Space[Any], dtype: torch.dtype, size: int
) -> None:
    both = spaces_of(observation, spaces.Discrete(2))
    replay = Replay(1, 10, 1, both)
    assert (replay.observation.dtype, replay.next_observation.dtype) == (dtype, dtype)
    row = np.zeros(size, dtype=np.float32)
    observation.seed(3)
    both.observation.write(observation.sample(), row)
    flag, seen = torch.zeros(1, 1, dtype=torch.bool), torch.from_numpy(row).view(1, 1, -1)
    replay.store(torch.ones(1, 1, 1, dtype=torch.int64), Transition(seen, seen, torch.ones(1, 1), flag, flag))
    batch = replay.sample(torch.zeros(1, 4, dtype=torch.int64), torch.ones(1))
    assert batch.observation.dtype == torch.float32
    assert torch.equal(batch.observation[0, 0], seen[0, 0])
    fields = ("observation", "next_observation", "action", "reward", "terminated", "truncated")
    held = sum(getattr(replay, name).nbytes for name in fields)
    assert held == 10 * transition_bytes(both)


def test_its_memory_is_what_was_announced() -> None:
    both = spaces_of(spaces.Box(-1, 1, (17,)), spaces.Box(-1, 1, (6,)))
    plan = Plan(capacity=1000)
    replay = replay_for(plan, 3, 5000, both)
    fields = ("observation", "next_observation", "action", "reward", "terminated", "truncated")
    assert sum(getattr(replay, name).nbytes for name in fields) == replay_bytes(3, 5000, plan, both) == 3 * 1000 * 166
    assert replay_bytes(3, 100, plan, both) == 3 * 100 * 166, "no more than a training can fill"


@given(st.integers(1, 70), st.integers(1, 20))
def test_what_was_written_comes_back_in_segments_of_any_size(steps: int, each: int) -> None:
    replay, envs = tagged(steps, 45)
    again = Replay(2, 45, 3, envs.spaces)
    for first in range(replay.oldest, steps, each):
        again.put_back(first, replay.written_between(first, min(first + each, steps)))
    assert (again.steps, again.oldest) == (replay.steps, replay.oldest)
    for name in ("observation", "next_observation", "action", "reward", "terminated", "truncated"):
        assert equal_bits(getattr(again, name), getattr(replay, name)), name
    envs.close()


def test_a_segment_longer_than_the_ring_leaves_its_newest_steps() -> None:
    replay, envs = tagged(30, 300)
    small = Replay(2, 45, 3, envs.spaces)
    small.put_back(0, replay.written_between(0, 30))
    expected, _ = tagged(30, 45)
    assert equal_bits(small.observation, expected.observation)
    envs.close()


@pytest.mark.parametrize("name", ["observation", "action", "terminated"])
def test_segments_of_another_kind_are_refused(name: str) -> None:
    replay, envs = tagged(6, 45)
    good = replay.written_between(0, 6)
    for bad in (
        {key: x for key, x in good.items() if key != name},
        {**good, name: good[name][:, :, :2]},
        {**good, name: good[name].double()},
        {**good, name: good[name][:1]},
    ):
        with pytest.raises(RelookError, match=f"expected stored {name}s"):
            Replay(2, 45, 3, envs.spaces).put_back(0, bad)
    envs.close()


def test_intervals_mean_what_their_hyperparameters_say() -> None:
    plan = Plan()
    check_schedule(plan)
    seen = [interval for iteration in range(3) for interval in intervals(iteration, plan)]
    assert [(interval.done, interval.ends) for interval in seen] == [(4 * i, 4 * i + 4) for i in range(18)]
    assert [list(interval.steps) for interval in seen[5:7]] == [[10, 11], [0, 1]], "counted in each iteration"
    assert [len(interval.updates) for interval in seen[:4]] == [0, 0, 2, 2], "the first when 10 steps have been made"
    assert [u for interval in seen for u in interval.updates] == list(range(2 * 16))


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 60))
def test_the_ratio_of_updates_to_steps_is_the_one_asked_for(
    envs: int, interval: int, each: int, updates: int, starts: int
) -> None:
    plan = Plan(
        envs=envs,
        update_interval=envs * interval,
        iteration=envs * interval * each,
        update_to_data=updates / (envs * interval),
        learning_starts=max(starts, envs),
    )
    check_schedule(plan)
    made = steps = 0
    for iteration in range(10):
        for now in intervals(iteration, plan):
            steps += len(now.steps) * envs
            assert now.ends == steps
            assert bool(now.updates) == (steps >= plan.learning_starts)
            assert list(now.updates) == list(range(made, made + len(now.updates)))
            made += len(now.updates)
            assert len(now.updates) in (0, updates)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"update_interval": 5}, "update_interval to be a multiple of envs, 2; found 5"),
        ({"iteration": 26}, "iteration to be a multiple of update_interval, 4; found 26"),
        ({"update_to_data": 0.3}, "to be a whole number; found 0.3 × 4 = 1.2"),
        ({"update_to_data": 0.1}, "to be a whole number; found 0.1 × 4 = 0.4"),
        ({"learning_starts": 5, "n_step": 3}, "learning_starts of at least n_step × envs, 6; found 5"),
        ({"capacity": 5, "n_step": 3}, "capacity of at least n_step × envs, 6; found 5"),
    ],
)
def test_a_schedule_that_does_not_fit_together_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        check_schedule(Plan(**change))


def test_averages_are_over_updates_and_samples_and_start_again() -> None:
    averages = Averages()
    x = torch.arange(70.0 * 2 * 3).view(70, 2, 3)
    for i in range(70):
        averages.add(loss=x[i], norm=x[i, :, 0], twins=torch.stack([x[i], -x[i]], 1))
        if i % 2:
            averages.add(seldom=x[i])
    means = averages.means()
    torch.testing.assert_close(means["loss"], x.mean((0, 2)))
    torch.testing.assert_close(means["norm"], x[..., 0].mean(0))
    torch.testing.assert_close(means["seldom"], x[1::2].mean((0, 2)))
    torch.testing.assert_close(means["twins"], torch.zeros(2))
    assert averages.means() == {}
