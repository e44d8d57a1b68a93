"""Observations become vectors as Gymnasium flattens them; actions always lie in their space."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from relook.envs import ActionSpace, Choices, Continuous, ObservationSpace
from relook.errors import WrongRequest

NESTED = spaces.Dict(
    {
        "place": spaces.Discrete(3, start=-1),
        "body": spaces.Tuple((spaces.Box(-2, 2, (2, 2), np.float32), spaces.MultiDiscrete([2, 3]))),
        "flags": spaces.MultiBinary(2),
        "inner": spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Box(0, 1, (1,), np.float64)}),
    }
)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(-1, 1, (2, 3), np.float64),
        spaces.Box(0, 255, (2, 2, 3), np.uint8),
        spaces.Box(0, 1, (), np.float32),
        spaces.Discrete(5),
        spaces.Discrete(5, start=-7),
        spaces.MultiDiscrete([2, 3, 4]),
        spaces.MultiDiscrete(np.array([[2, 3], [4, 5]]), start=np.array([[1, 0], [-2, 3]])),
        spaces.MultiBinary(4),
        spaces.MultiBinary((2, 3)),
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
        NESTED,
    ],
    ids=str,
)
def test_an_observation_is_written_as_gymnasium_flattens_it(space: gym.Space[Any]) -> None:
    observations = ObservationSpace(space)
    space.seed(3)
    for _ in range(20):
        sample, row = space.sample(), np.full(observations.size, np.nan, dtype=np.float32)
        observations.write(sample, row)
        np.testing.assert_array_equal(row, np.asarray(spaces.flatten(space, sample), dtype=np.float32))


def test_writing_copies() -> None:
    observation, row = np.ones(2, dtype=np.float32), np.zeros(2, dtype=np.float32)
    ObservationSpace(spaces.Box(0, 9, (2,))).write(observation, row)
    observation[:] = 5
    assert row.tolist() == [1, 1]


def test_one_hot_marks_what_discrete_parts_became() -> None:
    # In a Dict's order of keys: body (a box of 4, then 2 + 3), flags, inner (a, z), place.
    expected = [0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    space = spaces.Dict(dict(sorted(NESTED.spaces.items())))
    assert ObservationSpace(space).one_hot.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Box(0, 1, (2, 2)), [False] * 4),
        (spaces.Discrete(3), [True] * 3),
        (spaces.MultiDiscrete([2, 2]), [True] * 4),
        (spaces.MultiBinary(2), [False] * 2),
    ],
    ids=str,
)
def test_one_hot_of_a_simple_space(space: gym.Space[Any], expected: list[bool]) -> None:
    assert ObservationSpace(space).one_hot.tolist() == expected


@pytest.mark.parametrize(
    "space",
    [
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Box(0, 1, (2,)), None),
        spaces.Dict({"fine": spaces.Discrete(2), "not": spaces.Sequence(spaces.Discrete(2))}),
    ],
    ids=str,
)
def test_a_space_that_is_no_vector_is_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(WrongRequest, match="observation space that can be flattened"):
        ObservationSpace(space)


def box(low: Any, high: Any, dtype: Any = np.float32) -> spaces.Box:
    return spaces.Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype)


BOXES = [
    box([-1, -5, 0], [3, 0.5, 1000]),
    box([-0.1, 0.3, 1e-3], [0.2, 0.7, 1e3]),
    box([[-1, -2, -3], [0, 1, 2]], [[0.1, 0.2, 0.3], [7, 8, 9]], np.float64),
    box([-0.7, 100.1], [0.3, 100.3], np.float16),
]


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_box_actions_are_rescaled_to_each_components_bounds(space: spaces.Box) -> None:
    actions = ActionSpace(space)
    assert actions.kind == Continuous(space.low.size)
    middle = (space.low.astype(np.float64) + space.high) / 2
    largest = np.maximum(np.abs(space.low), np.abs(space.high)).astype(np.float64)

    def assert_close(chosen: float, expected: Any) -> None:
        off = np.abs(actions.to_environment(np.full(actions.width, chosen)).astype(np.float64) - expected)
        assert (off <= 2 * np.finfo(actions.dtype).eps * largest).all()

    for chosen, expected in [(-1.0, space.low), (1.0, space.high), (0.0, middle)]:
        assert_close(chosen, expected)
    assert_close(-0.5, (middle + space.low) / 2)
    for beyond, bound in [(-1.5, space.low), (-1e9, space.low), (1.0001, space.high), (np.inf, space.high)]:
        assert_close(beyond, bound)


@pytest.mark.parametrize("space", BOXES, ids=str)
def test_every_box_action_lies_in_its_space(space: spaces.Box) -> None:
    actions, rng = ActionSpace(space), np.random.default_rng(1)
    chosen = rng.normal(0, 1.5, (500, actions.width)).astype(np.float32)
    chosen[:50] = rng.choice([-1.0, 1.0], (50, actions.width))
    assert_all_contained(space, actions.to_environment(chosen))


def test_float32_bounds_are_met_exactly_and_never_passed() -> None:
    rng = np.random.default_rng(2)
    low = rng.normal(0, 10, 200).astype(np.float32)
    space = box(low, low + rng.random(200).astype(np.float32) + np.float32(1e-3))
    lowest, low_side, high_side, highest = (
        ActionSpace(space).to_environment(np.full(200, chosen, dtype=np.float32))
        for chosen in (-1.0, -0.9999999, 0.9999999, 1.0)
    )
    np.testing.assert_array_equal(lowest, space.low)
    np.testing.assert_array_equal(highest, space.high)
    assert space.contains(low_side)
    assert space.contains(high_side)


def test_components_without_both_bounds_pass_as_they_are() -> None:
    space = box([0, -np.inf, -np.inf, -2], [np.inf, np.inf, 1, 4])
    actions = ActionSpace(space)
    assert actions.bounded.tolist() == [False, False, False, True]
    np.testing.assert_array_equal(actions.to_environment(np.array([2.5, -70.0, -3.0, 0.0])), [2.5, -70, -3, 1])
    cut = actions.to_environment(np.array([-1.0, 70.0, 2.0, 9.0]))
    np.testing.assert_array_equal(cut, [0, 70, 1, 4])
    assert_all_contained(space, cut[np.newaxis])


@pytest.mark.parametrize(
    ("space", "sizes"),
    [
        (spaces.Discrete(3), (3,)),
        (spaces.Discrete(3, start=-2), (3,)),
        (spaces.Discrete(3, dtype=np.int32), (3,)),
        (spaces.MultiDiscrete([2, 3]), (2, 3)),
        (spaces.MultiDiscrete([2, 3], dtype=np.int32, start=[5, -1]), (2, 3)),
        (spaces.MultiDiscrete(np.array([[2, 3], [4, 1]]), start=np.array([[1, 0], [-2, 3]])), (2, 3, 4, 1)),
        (spaces.MultiBinary(3), (2, 2, 2)),
        (spaces.MultiBinary((2, 3)), (2,) * 6),
    ],
    ids=str,
)
def test_choices_reach_every_action_and_no_other(space: gym.Space[Any], sizes: tuple[int, ...]) -> None:
    actions = ActionSpace(space)
    assert actions.kind == Choices(sizes)
    assert actions.width == len(sizes)
    chosen = np.random.default_rng(4).integers(sizes, size=(300, len(sizes)))
    mapped = actions.to_environment(chosen)
    assert_all_contained(space, mapped)
    flat = mapped.reshape(300, -1)
    for component, size in enumerate(sizes):
        assert len(np.unique(flat[:, component])) == size


def test_a_discrete_start_is_added_to_the_choice() -> None:
    assert ActionSpace(spaces.Discrete(3, start=-2)).to_environment(np.array([[0], [2]])).tolist() == [-2, 0]
    shifted = spaces.MultiDiscrete(np.array([[2, 3], [4, 2]]), start=np.array([[1, 0], [-2, 3]]))
    assert ActionSpace(shifted).to_environment(np.array([1, 2, 3, 0])).tolist() == [[2, 2], [1, 3]]


def test_leading_axes_stay() -> None:
    space = spaces.MultiBinary((2, 3))
    assert ActionSpace(space).to_environment(np.zeros((4, 5, 6), dtype=np.int64)).shape == (4, 5, 2, 3)


@pytest.mark.parametrize(
    "space",
    [box([0, 0], [5, 5], np.int32), spaces.Text(3), spaces.Tuple((spaces.Discrete(2),)), spaces.Dict()],
    ids=str,
)
def test_other_action_spaces_are_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(WrongRequest, match=r"Discrete, Box \(of floats\), MultiDiscrete or MultiBinary"):
        ActionSpace(space)


def assert_all_contained(space: gym.Space[Any], actions: NDArray[Any]) -> None:
    assert actions.dtype == space.dtype
    assert all(space.contains(action) for action in actions)
