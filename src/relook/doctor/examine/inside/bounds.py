"""Does an environment get the action that was chosen, and can its bounds be reached?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import range_of
from relook.doctor.examine.inside.ward import HIGH, LOW
from relook.doctor.findings import Check
from relook.envs import Environments, Transition

CHECK = Check(
    name="action-bounds",
    component="environment",
    asks="What a policy chooses reaches the environment on its own scale: -1 and 1 are its bounds, each component its "
    "own, and what lies beyond is cut to them; a choice is handed on as it is.",
    causes=("actions are not rescaled to the bounds", "bounds are taken to be symmetric, or alike for all components"),
    remedy="Map [-1, 1] to [low, high] for each component, and cut what lies beyond.",
    lesson="An actor whose actions never reach a bound cannot do what the task needs, and trains on without complaint. "
    "Pendulum's torque of ±2 under a policy of ±1 is the classic case; bounds that are not symmetric are another.",
)
WHERE = "relook/envs/spaces.py, ActionSpace.to_environment"


def attach(patient: Patient) -> None:
    def step(call: Callable[..., Transition], envs: Any, action: Tensor) -> Transition:
        if envs is not patient.envs:
            return call(envs, action)
        chosen, before = action.clone(), envs.observation.clone()
        told = call(envs, action)
        for a, n in np.ndindex(*before.shape[:2]):
            place = patient.ledger.place(before[a, n].numpy())
            if place is not None and place[2] < len((played := patient.ledger.episodes[place[0]][place[1]]).actions):
                expected = meant(patient, chosen[a, n])
                patient.compare(CHECK, "action", played.actions[place[2]].reshape(-1), expected, WHERE, 1e-6)
        return told

    def start() -> None:
        if patient.continuous and patient.envs is not None:
            space = patient.envs.spaces.action
            for what, found, own in zip(("middle", "half"), (space.middle, space.half), range_of(patient), strict=True):
                patient.compare(CHECK, f"{what} of the policy's range", found, own, WHERE, 1e-6)
            for ends in (torch.full((1, 2), -1.0), torch.full((1, 2), 1.0), torch.full((1, 2), 7.0)):
                found = patient.envs.spaces.action.to_environment(ends.numpy())
                patient.compare(CHECK, "action at a bound", found[0], meant(patient, ends[0]), WHERE, 1e-6)

    patient.around(Environments, "step", step)
    patient.afterwards(start)


def meant(patient: Patient, chosen: Tensor) -> Tensor:
    """What the environment should get."""
    if not patient.continuous:
        return chosen.double()
    low, high = torch.from_numpy(LOW).double(), torch.from_numpy(HIGH).double()
    if not patient.asked.rescale:
        return torch.maximum(torch.minimum(chosen.double(), high), low)
    return low + (chosen.double().clamp(-1, 1) + 1) / 2 * (high - low)
