"""Do observations of every kind become the right vectors, and choices the right actions?"""

import itertools
from typing import Any

import numpy as np
from gymnasium import spaces

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.envs import EnvironmentSpec
from relook.envs.make import time_limit
from relook.envs.spaces import ActionSpace, Choices, ObservationSpace

CHECK = Check(
    name="conversions",
    component="environment",
    asks="An observation of any space becomes the vector that Gymnasium makes of it, with its one-hot parts marked; "
    "choices become actions of the space, all of them, each another one; and what has no bounds is passed on.",
    causes=(
        "numbers that do not start at 0 are not shifted",
        "a part of a Dict lies where another one is expected",
        "bounds of one component are used for all",
    ),
    remedy="Write a sample of the space, and compare with gymnasium.spaces.flatten.",
    lesson="An agent learns from whatever vector it gets: a part that is missing or shifted makes the task harder, and "
    "nothing says so.",
)
WHERE = "relook/envs/spaces.py"

OBSERVED: tuple[spaces.Space[Any], ...] = (
    spaces.Discrete(4, start=2),
    spaces.Box(-2, 3, (2, 3), np.float32),
    spaces.Box(0, 255, (3, 2), np.uint8),
    spaces.MultiDiscrete([3, 2]),
    spaces.MultiBinary(3),
    spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3), "c": spaces.MultiBinary(2)}),
    spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (1,), np.float32))),
)
CHOSEN: tuple[spaces.Space[Any], ...] = (
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([3, 2], start=[1, -2]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
)
UNBOUNDED = spaces.Box(np.array([-2, 0, -np.inf], np.float32), np.array([4, np.inf, np.inf], np.float32))


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    for space in OBSERVED:
        ours, row = ObservationSpace(space), np.zeros(spaces.flatdim(space), dtype=np.float32)
        marked = _one_hot(space)
        patient.compare(CHECK, f"one-hot parts of {space}", ours.one_hot.astype(float), marked, WHERE, 0)
        for seed in range(8):
            space.seed(seed)
            sample = space.sample()
            ours.write(sample, row)
            expected = np.asarray(spaces.flatten(space, sample)).astype(float)
            patient.compare(CHECK, f"vector of {space}", row.astype(float), expected, WHERE, 1e-6)
            kept = row.astype(ours.stored).astype(float)
            patient.compare(CHECK, f"vector of {space} as it is stored", kept, expected, WHERE, 1e-6)
    for space in CHOSEN:
        _choices(patient, space)
    _numbers(patient)
    _made(patient)


def _made(patient: Patient) -> None:
    """What is asked of a registered environment reaches it."""
    made: Any = EnvironmentSpec("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}, max_episode_steps=7).make()
    where = "relook/envs/make.py"
    patient.compare(CHECK, "time limit that was asked for", time_limit(made), 7, where, 0)
    patient.compare(CHECK, "states of the map that was asked for", made.observation_space.n, 64, where, 0)
    ways = {len(rows) for rows in made.unwrapped.P[0].values()}
    patient.ask(CHECK, ways == {1}, "expected ice that is not slippery, as asked for; found it slippery", where)
    usual = time_limit(EnvironmentSpec("FrozenLake-v1").make())
    patient.compare(CHECK, "usual time limit", usual, 100, where, 0)


def _one_hot(space: spaces.Space[Any]) -> list[float]:
    """1 for each number that says which of several values something has."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return [x for part in parts for x in _one_hot(part)]
    return [float(isinstance(space, spaces.Discrete | spaces.MultiDiscrete))] * spaces.flatdim(space)


def _choices(patient: Patient, space: spaces.Space[Any]) -> None:
    """All that can be chosen is an action of the space, and no two are one."""
    ours = ActionSpace(space)
    assert isinstance(ours.kind, Choices), "none of them is continuous"
    every = np.array(list(itertools.product(*map(range, ours.kind.sizes))))
    found = ours.to_environment(every)
    inside = all(space.contains(action if space.shape else action[()]) for action in found)
    patient.ask(CHECK, inside, f"expected actions of {space}; found some outside", WHERE)
    count = len({action.tobytes() for action in found})
    options = int(np.prod(spaces.flatdim(space) if isinstance(space, spaces.Discrete) else _options(space)))
    patient.ask(CHECK, count == options, f"expected {options} actions of {space}; found {count}", WHERE)


def _options(space: Any) -> Any:
    return space.nvec if isinstance(space, spaces.MultiDiscrete) else [2] * int(np.prod(space.shape))


def _numbers(patient: Patient) -> None:
    """A component with two bounds is rescaled to them; one without is passed on, and cut at a bound that it has."""
    chosen = np.array([[-1.0, -0.5, -7.0], [0.5, 3.0, 7.0], [2.0, 0.5, 0.0]])
    for rescale, expected in (
        (True, [[-2.0, 0.0, -7.0], [2.5, 3.0, 7.0], [4.0, 0.5, 0.0]]),
        (False, [[-1.0, 0.0, -7.0], [0.5, 3.0, 7.0], [2.0, 0.5, 0.0]]),
    ):
        found = ActionSpace(UNBOUNDED, rescale=rescale).to_environment(chosen).astype(float)
        patient.compare(CHECK, "action of a space with infinite bounds", found, expected, WHERE, 1e-6)
