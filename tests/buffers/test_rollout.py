"""Every sample of every agent once in each epoch, whole, in the agent's own order."""

import gymnasium as gym
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from relook.buffers import Rollout
from relook.buffers.rollout import Minibatch
from relook.envs import ActionSpace, ObservationSpace, Spaces, Transition
from relook.errors import RelookError
from relook.population import Agent, Agents

STEPS, ENVIRONMENTS = 5, 3
SAMPLES = STEPS * ENVIRONMENTS


def population(*seeds: int) -> Agents:
    return Agents([Agent(index, seed) for index, seed in enumerate(seeds)])


def spaces_of(action: gym.Space[object]) -> Spaces:
    return Spaces(ObservationSpace(spaces.Box(-1, 1, (2,))), ActionSpace(action))


CHOICES = spaces_of(spaces.MultiDiscrete([1000, 1000, 1000]))


def tags(agents: int) -> Tensor:
    """[A, T, N]: a number for every sample, 100 a + 10 t + n."""
    a, t, n = (torch.arange(k) for k in (agents, STEPS, ENVIRONMENTS))
    return 100 * a[:, None, None] + 10 * t[:, None] + n


def filled(agents: int, both: Spaces = CHOICES) -> Rollout:
    rollout = Rollout(agents, STEPS, ENVIRONMENTS, both)
    for t in range(STEPS):
        tag = tags(agents)[:, t]
        x = tag.float()
        width = both.action.width
        transition = Transition(
            torch.stack([x, x + 0.25], -1), torch.stack([x + 0.5, x + 0.75], -1), 2 * x, tag % 2 == 0, tag % 3 == 0
        )
        rollout.store(t, tag[..., None] + torch.arange(width), transition)
    return rollout


def batches(agents: Agents, size: int, iteration: int = 0, epochs: int = 1) -> list[Minibatch]:
    x = tags(len(agents)).float()
    return list(filled(len(agents)).minibatches(agents, iteration, epochs, size, 3 * x, 4 * x, 5 * x, 6 * x))


def order(agents: Agents, iteration: int = 0, epochs: int = 1, size: int = 4) -> Tensor:
    """[A, epochs, T N]: the tags in the order in which they come, without the agent's hundreds."""
    seen = torch.cat([batch.observation[..., 0] for batch in batches(agents, size, iteration, epochs)], 1)
    return seen.reshape(len(agents), epochs, SAMPLES) % 100


def test_store_puts_every_field_at_its_step() -> None:
    rollout, x = filled(4), tags(4).float()
    assert torch.equal(rollout.observation, torch.stack([x, x + 0.25], -1))
    assert torch.equal(rollout.next_observation, torch.stack([x + 0.5, x + 0.75], -1))
    assert torch.equal(rollout.action, tags(4)[..., None] + torch.arange(3))
    assert torch.equal(rollout.reward, 2 * x)
    assert torch.equal(rollout.terminated, tags(4) % 2 == 0)
    assert torch.equal(rollout.truncated, tags(4) % 3 == 0)


def test_store_copies() -> None:
    """Environments overwrite what they return."""
    rollout = Rollout(2, STEPS, ENVIRONMENTS, CHOICES)
    given = torch.ones(2, ENVIRONMENTS, 2), torch.ones(2, ENVIRONMENTS, 2), torch.ones(2, ENVIRONMENTS)
    flags = [torch.ones(2, ENVIRONMENTS, dtype=torch.bool) for _ in range(2)]
    action = torch.ones(2, ENVIRONMENTS, 3, dtype=torch.int64)
    rollout.store(1, action, Transition(*given, *flags))
    for tensor in (*given, *flags, action):
        tensor.zero_()
    fields = (rollout.observation, rollout.next_observation, rollout.reward, rollout.action)
    for field in (*fields, rollout.terminated, rollout.truncated):
        assert (field[:, 1] == 1).all()
        assert (field[:, [0, 2, 3, 4]] == 0).all()


def test_a_step_that_is_stored_again_is_overwritten_and_the_others_stay() -> None:
    """Every iteration writes over the one before."""
    rollout, before = filled(2), filled(2)
    tag = 1000 + tags(2)[:, 3]
    x = tag.float()
    given = torch.stack([x, x + 0.25], -1), torch.stack([x + 0.5, x + 0.75], -1), 2 * x
    flags = ~before.terminated[:, 3], ~before.truncated[:, 3]
    rollout.store(3, tag[..., None] + torch.arange(3), Transition(*given, *flags))
    names = ("observation", "next_observation", "reward", "terminated", "truncated")
    for name, new in zip(names, (*given, *flags), strict=True):
        assert torch.equal(getattr(rollout, name)[:, 3], new)
    assert torch.equal(rollout.action[:, 3, :, 1], tag + 1)
    for name in (*names, "action"):
        others = [0, 1, 2, 4]
        assert torch.equal(getattr(rollout, name)[:, others], getattr(before, name)[:, others])


@pytest.mark.parametrize(
    ("action", "width", "dtype"),
    [
        (spaces.Discrete(3), 1, torch.int64),
        (spaces.MultiBinary(4), 4, torch.int64),
        (spaces.Box(-1, 1, (2,)), 2, torch.float32),
    ],
)
def test_actions_are_stored_as_policies_choose_them(action: gym.Space[object], width: int, dtype: torch.dtype) -> None:
    rollout = filled(2, spaces_of(action))
    assert rollout.action.shape == (2, STEPS, ENVIRONMENTS, width)
    assert rollout.action.dtype == dtype
    assert torch.equal(rollout.action[..., 0], tags(2).to(dtype))


@pytest.mark.parametrize(
    ("size", "sizes"), [(5, [5, 5, 5]), (4, [4, 4, 4, 3]), (1, [1] * SAMPLES), (SAMPLES, [SAMPLES]), (64, [SAMPLES])]
)
def test_every_sample_of_every_agent_comes_once_in_each_epoch(size: int, sizes: list[int]) -> None:
    agents, epochs = population(0, 1, 2, 3), 3
    given = batches(agents, size, epochs=epochs)
    assert [batch.log_prob.shape[1] for batch in given] == sizes * epochs
    for epoch in range(epochs):
        part = given[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        seen = torch.cat([batch.observation[..., 0] for batch in part], 1)
        assert torch.equal(seen.sort(1).values, tags(4).flatten(1).float())


@pytest.mark.parametrize("size", [4, 5, SAMPLES])
def test_the_fields_of_a_sample_stay_together(size: int) -> None:
    for batch in batches(population(0, 1, 2, 3), size, epochs=2):
        x = batch.observation[..., 0]
        assert torch.equal(batch.observation[..., 1], x + 0.25)
        assert torch.equal(batch.action, x[..., None].long() + torch.arange(3))
        assert torch.equal(batch.log_prob, 3 * x)
        assert torch.equal(batch.value, 4 * x)
        assert torch.equal(batch.advantage, 5 * x)
        assert torch.equal(batch.target, 6 * x)
        assert torch.equal(x.div(100, rounding_mode="floor"), torch.arange(4.0)[:, None].expand_as(x))


def test_minibatches_are_copies_that_later_steps_do_not_change() -> None:
    agents, x = population(0, 1), tags(2).float()
    rollout = filled(2)
    given = list(rollout.minibatches(agents, 0, 1, SAMPLES, x, x, x, x))
    before = [field.clone() for field in given[0]]
    rollout.observation.zero_()
    rollout.action.zero_()
    x.zero_()
    assert all(torch.equal(field, old) for field, old in zip(given[0], before, strict=True))
    assert given[0].observation.any()


def test_minibatches_take_what_lies_in_the_fields_when_they_are_asked_for() -> None:
    """Also what was put there as a whole instead of step by step."""
    agents, x = population(0, 1), tags(2).float()
    rollout = filled(2)
    rollout.observation += 0.125
    for batch in rollout.minibatches(agents, 0, 1, 4, x, x, x, x):
        assert torch.equal(batch.observation[..., 0], batch.log_prob + 0.125)


def test_the_order_is_the_agents_own_and_does_not_depend_on_its_neighbours() -> None:
    alone = order(population(7), iteration=2, epochs=2)[0]
    assert torch.equal(order(population(0, 7, 3), iteration=2, epochs=2)[1], alone)
    together = order(population(0, 1, 2), epochs=1)[:, 0]
    assert len({tuple(row.tolist()) for row in together}) == 3


def test_agents_of_one_seed_get_the_same_order() -> None:
    same = order(population(7, 7))
    assert torch.equal(same[0], same[1])


def test_the_order_does_not_depend_on_the_size_of_minibatches() -> None:
    assert torch.equal(order(population(0, 1), size=4), order(population(0, 1), size=5))


def test_every_epoch_of_every_iteration_has_an_order_of_its_own() -> None:
    orders = [row for iteration in range(4) for row in order(population(0), iteration, epochs=3)[0]]
    in_time = tags(1).flatten().float()
    assert len({tuple(row.tolist()) for row in [*orders, in_time]}) == 4 * 3 + 1


def test_a_place_in_the_order_is_taken_by_every_sample_equally_often() -> None:
    first = torch.cat([order(population(0), iteration, epochs=10)[0, :, 0] for iteration in range(30)])
    counts = torch.stack([(first == tag).sum() for tag in tags(1).flatten()])
    assert counts.sum() == 300
    assert ((counts - 300 / SAMPLES) ** 2 / (300 / SAMPLES)).sum() < 36.1  # χ² of 14 degrees of freedom at 0.999


# ------------------------------------------------------------------------------------------------------------ the past

PAST = 8


def played(iterations: int, ends: set[int]) -> Rollout:
    """Two agents; a step's number, of all iterations, is its reward; environment 0 of agent 0 ends at `ends`."""
    rollout = Rollout(2, STEPS, ENVIRONMENTS, CHOICES, past=PAST)
    nothing = torch.zeros(2, ENVIRONMENTS, 2)
    for iteration in range(iterations):
        rollout.remember()
        for t in range(STEPS):
            number = iteration * STEPS + t
            over = torch.zeros(2, ENVIRONMENTS, dtype=torch.bool)
            over[0, 0] = number in ends
            reward = torch.full((2, ENVIRONMENTS), float(number))
            action = torch.zeros(2, ENVIRONMENTS, 3, dtype=torch.int64)
            rollout.store(t, action, Transition(nothing, nothing, reward, over & (number % 2 == 0), over))
    return rollout


def test_the_past_holds_the_last_steps_of_the_iterations_before() -> None:
    rollout = played(4, set())
    assert rollout.reward[0, :, 0].tolist() == list(range(3 * STEPS - PAST, 4 * STEPS))


@pytest.mark.parametrize(
    ("ends", "learned"),
    [
        (set(), set()),
        ({16}, set(range(7, 17))),
        ({9, 16}, set(range(10, 17))),
        ({9, 16, 18}, set(range(10, 19))),
        ({14}, set()),
        ({14, 19}, set(range(15, 20))),
    ],
)
def test_steps_have_ended_if_their_episode_did_in_this_iteration(ends: set[int], learned: set[int]) -> None:
    """The fourth iteration has the steps 15 … 19; those from 7 on are kept."""
    rollout = played(4, ends)
    ended = rollout.ended()
    assert set(rollout.reward[0, ended[0, :, 0], 0].int().tolist()) == learned
    assert not ended[1].any()
    assert not ended[0, :, 1:].any()


def test_nothing_that_was_never_played_has_ended() -> None:
    """Before enough iterations there is no whole past."""
    rollout = played(1, {3})
    assert rollout.ended()[0, :, 0].int().tolist() == [0] * PAST + [1, 1, 1, 1, 0]


def test_a_rollout_goes_on_from_what_was_saved() -> None:
    rollout, other = played(3, {12}), Rollout(2, STEPS, ENVIRONMENTS, CHOICES, past=PAST)
    other.load(rollout.state())
    for one in (rollout, other):
        one.remember()
    assert torch.equal(rollout.reward[:, :PAST], other.reward[:, :PAST])
    assert torch.equal(rollout.terminated[:, :PAST], other.terminated[:, :PAST])
    with pytest.raises(RelookError):
        Rollout(3, STEPS, ENVIRONMENTS, CHOICES, past=PAST).load(rollout.state())
