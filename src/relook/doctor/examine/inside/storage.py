"""Is what a buffer holds what happened?"""

from collections.abc import Callable
from typing import Any

import torch

from relook.buffers import Replay, Rollout
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="storage",
    component="buffer",
    asks="Each row of the buffer is one step as it was taken and told, in its own place, when it is learned from.",
    causes=(
        "an array that is overwritten later is stored, and not a copy of it",
        "one field is stored a step too early or too late",
        "old rows are not overwritten",
        "the action that is stored is not the one whose probability is computed",
    ),
    remedy="Copy on storing, all fields of a step at one place, and compare a stored row with the step in a test.",
    lesson="A reward that is stored one step late is Spinning Up's issue 50: where rewards are dense, training goes on "
    "nearly as before. A buffer is a simple thing, so it is compared with what went in, number by number.",
)


def attach(patient: Patient) -> None:
    if patient.has("Rollout"):
        used = "estimate" if patient.has("estimate") else "update"

        def use(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            _rollout(patient, next(x for x in args if isinstance(x, Rollout)))
            return call(*args, **kwargs)

        patient.around(patient.module, used, use)
        return

    replays: list[Replay] = []

    def sample(call: Callable[..., Any], replay: Replay, *args: Any, **kwargs: Any) -> Any:
        if not replays:
            replays.append(replay)
            _replay(patient, replay)
        return call(replay, *args, **kwargs)

    def end() -> None:
        for replay in replays:
            _replay(patient, replay)

    patient.around(Replay, "sample", sample)
    patient.afterwards(end)


FIELDS = ("observation", "next_observation", "reward", "terminated", "truncated")


def _rollout(patient: Patient, rollout: Rollout) -> None:
    length = rollout.reward.shape[1]
    moments = patient.history[-length:]
    missing = length - len(moments)  # a past that has not been yet
    ended = rollout.terminated[:, :missing].all()
    patient.ask(CHECK, ended, "expected a past that was never played to have ended; found it go on", "relook/buffers")
    for name in ("action", *FIELDS):
        happened = [m.action if name == "action" else getattr(m.told, name) for m in moments]
        found = getattr(rollout, name)[:, missing:]
        patient.compare(
            CHECK, f"stored {name}", found, torch.stack(happened, 1).to(found.dtype), "relook/buffers/rollout.py", 0
        )


def _replay(patient: Patient, replay: Replay) -> None:
    kept = patient.config.capacity // patient.config.envs
    patient.compare(
        CHECK, "steps of each environment that are kept", replay.length, kept, "relook/buffers/replay.py", 0
    )
    patient.compare(CHECK, "steps stored", replay.steps, len(patient.history), "relook/buffers/replay.py", 0)
    for number in range(max(0, len(patient.history) - replay.length), len(patient.history)):
        moment, at = patient.history[number], number % replay.length
        for name in ("action", *FIELDS):
            happened = moment.action if name == "action" else getattr(moment.told, name)
            patient.compare(
                CHECK, f"stored {name}", getattr(replay, name)[:, at], happened, "relook/buffers/replay.py", 0
            )
