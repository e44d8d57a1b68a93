"""Is what an algorithm is told of a step what truly happened?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.envs import Environments, ObservationSpace, Transition

CHECK = Check(
    name="transitions",
    component="environment",
    asks="Observation, next observation, reward, termination and truncation of each step are those of the environment; "
    "the next observation of an episode's last step is its own last one, and not the first of the next episode.",
    causes=(
        "an automatic reset puts the next episode's first observation in place of the last one",
        "an array that the environment changes later is kept, and not a copy of it",
        "termination and truncation are merged, exchanged or dropped",
        "the current observation is not brought up to date",
    ),
    remedy="Copy what the environment returns, keep both flags apart, and look the last observation up before the "
    "reset.",
    lesson="Whoever learns from wrong transitions learns another problem, and often nearly the right one: the return "
    "hardly tells. So each observation carries a number that no other has, and what is handed on is looked up by it in "
    "a ledger that the environment keeps. Gymnasium's reset modes are described in its documentation of vector "
    "environments; most implementations lose the last observation in one of them.",
)
WHERE = "relook/envs/vector.py, Environments.step"


def attach(patient: Patient) -> None:
    owners: dict[int, tuple[int, int]] = {}

    def step(call: Callable[..., Transition], envs: Any, action: Tensor) -> Transition:
        if envs is patient.envs:
            return _compared(patient, owners, call, envs, action)
        return call(envs, action)

    def act(call: Callable[..., Tensor], ac: Any, observation: Tensor, *noise: Any) -> Tensor:
        if not patient.evaluates and observation.shape[:2] == patient.envs.observation.shape[:2]:
            now = torch.equal(observation, patient.envs.observation)
            said = "expected to act on what the environments show now; found another observation"
            patient.ask(CHECK, now or observation.shape[1] != patient.config.envs, said, WHERE, part="exploration")
        return call(ac, observation, *noise)

    if patient.has("Rollout") or patient.name == "sac":
        patient.around(patient.known.networks, "act", act)
    patient.around(Environments, "step", step)
    patient.afterwards(lambda: _written(patient))


def _written(patient: Patient) -> None:
    """Observations of all kinds of spaces, one after the other in one row: nothing of the first remains."""
    small = spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.Box(-1.0, 1.0, (2, 2), np.float32)
    several = spaces.Dict({str(i): space for i, space in enumerate(small)})
    for space in (*small, several, spaces.Tuple(small)):
        known, row = ObservationSpace(space), np.zeros(spaces.flatdim(space), dtype=np.float32)
        space.seed(0)
        for _ in range(4):
            one = space.sample()
            known.write(one, row)
            what, expected = f"an observation of {type(space).__name__}", np.asarray(spaces.flatten(space, one))
            patient.compare(CHECK, what, row, expected, WHERE, 1e-6)


def _compared(
    patient: Patient, owners: dict[int, tuple[int, int]], call: Callable[..., Transition], envs: Any, action: Tensor
) -> Transition:
    before = envs.observation.clone()
    told = call(envs, action)
    patient.compare(CHECK, "observation that was acted on", told.observation, before, WHERE, 0)
    for a in range(len(patient.agents)):
        for n in range(envs.count):
            place = patient.ledger.place(before[a, n].numpy())
            if place is None:
                patient.report(CHECK, "expected an observation that the environment gave; found another", WHERE)
                continue
            instance, episode, t = place
            owner = owners.setdefault(instance, (a, n))
            patient.ask(
                CHECK, owner == (a, n), f"expected environment {owner} in its own row; found it in {(a, n)}", WHERE
            )
            happened = patient.ledger.episodes[instance][episode]
            if t >= len(happened.actions):
                patient.report(
                    CHECK, "expected the newest observation to be acted on; found an older or a later one", WHERE
                )
                continue
            terminated, truncated = happened.end(t)
            patient.compare(
                CHECK, "next observation", told.next_observation[a, n], happened.observations[t + 1], WHERE, 0
            )
            patient.compare(CHECK, "reward", told.reward[a, n], happened.rewards[t], WHERE, 1e-6)
            for what, found, expected in (
                ("terminated", bool(told.terminated[a, n]), terminated),
                ("truncated", bool(told.truncated[a, n]), truncated),
            ):
                patient.ask(
                    CHECK,
                    found == expected,
                    f"expected {what} to be {expected} where the environment says terminated {terminated} and "
                    f"truncated {truncated}; found {found}",
                    WHERE,
                )
            over = terminated or truncated
            following = (instance, episode + 1, 0) if over else (instance, episode, t + 1)
            found_next = patient.ledger.place(envs.observation[a, n].numpy())
            patient.ask(
                CHECK,
                found_next == following,
                f"expected to go on with instance, episode and step {following}; found {found_next}",
                WHERE,
            )
    return told
