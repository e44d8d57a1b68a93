"""Are advantages and value targets those that their definition gives?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Estimates, Rollout
from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="advantages",
    component="estimates",
    asks="Advantages are the discounted sums of TD errors that define them: no value follows a termination, the value "
    "of the last observation follows a truncation, and no sum goes on beyond either; the target is advantage plus "
    "value.",
    causes=(
        "a time limit is treated as a termination, or a termination as a time limit",
        "flags are off by one step, or the sum runs on into the next episode",
        "the value of the next episode's first observation is bootstrapped",
        "γ or λ is missing, squared or exchanged with the other",
        "rewards are shifted against values",
    ),
    remedy="Compute next values from the next observations themselves, mask by `terminated`, cut by either flag.",
    lesson="Of all parts this one is broken most often and most quietly (Pardo et al. 2018, arXiv:1712.00378, on time "
    "limits). A PPO that takes a time limit for an end scores 488 instead of 500 on CartPole. So advantages are "
    "computed once more from Eq. 16 of Schulman et al. 2016 (arXiv:1506.02438), as a sum and not as a recursion, in "
    "float64.",
)
WHERE = "relook/formulas/returns.py and relook/buffers/estimates.py"


def attach(patient: Patient) -> None:
    def estimate(call: Callable[..., Estimates], ac: Any, rollout: Rollout, reward: Tensor, h: Any) -> Estimates:
        next_values = _next_values(patient, rollout)
        found = call(ac, rollout, reward, h)
        _compare(patient, found, rollout, reward, next_values)
        return found

    def update(call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Rollout, reward: Tensor, *rest: Any) -> Any:
        next_values = _next_values(patient, rollout)
        found = call(ac, optimiser, rollout, reward, *rest)
        _compare(patient, found[0], rollout, reward, next_values)
        return found

    if patient.has("estimate"):
        patient.around(patient.module, "estimate", estimate)
    elif patient.has("gae"):
        patient.around(patient.module, "update", update)
    elif patient.has("reward_to_go"):
        patient.around(patient.module, "update", lambda call, *args: _look_beyond(patient, call, *args))
        patient.around(patient.module, "reward_to_go", lambda call, *args: _returns(patient, call, *args))


def _look_beyond(
    patient: Patient, call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Rollout, *rest: Any
) -> Any:
    """What lies beyond the end of an episode: nothing after a termination, V of the last observation otherwise."""
    values = _next_values(patient, rollout) if patient.config.baseline == "value" else None
    patient.beyond = [
        torch.zeros_like(rollout.reward[a], dtype=torch.float64)
        if values is None
        else torch.where(rollout.terminated[a], 0.0, values[a])
        for a in range(len(patient.agents))
    ]
    patient.rollout_seen = rollout.observation.flatten(1, 2)
    return call(ac, optimiser, rollout, *rest)


def _next_values(patient: Patient, rollout: Rollout) -> list[Tensor]:
    """V [T, N] of what each step led to, for each agent, with the networks as they are now."""
    found = []
    for a in range(len(patient.agents)):
        theta, led_to = plain.leaves(patient.ac.state(), a), patient.seen(a, rollout.next_observation[a].flatten(0, 1))
        with torch.no_grad():
            found.append(plain.network(theta, "value", led_to, patient.config.activation).view(rollout.reward[a].shape))
    return found


def _compare(patient: Patient, found: Estimates, rollout: Rollout, reward: Tensor, next_values: list[Tensor]) -> None:
    for a, next_value in enumerate(next_values):
        value = found.value[a].double()
        advantage = plain.gae(
            reward[a].double(),
            value,
            next_value,
            rollout.terminated[a],
            rollout.truncated[a],
            patient.hyperparameter(a, "discount"),
            patient.hyperparameter(a, "gae_lambda"),
        )
        patient.compare(CHECK, "advantage", found.advantage[a], advantage, WHERE)
        _remember(patient, a, rollout.observation[a].flatten(0, 1), found.target[a].flatten())
        patient.compare(CHECK, "value target", found.target[a], found.advantage[a].double() + value, WHERE)


def _remember(patient: Patient, a: int, observation: Tensor, target: Tensor) -> None:
    rows = zip(observation, target.tolist(), strict=True)
    patient.value_targets[a] = {row.numpy().tobytes(): own for row, own in rows}


def _returns(
    patient: Patient, call: Callable[..., Tensor], reward: Tensor, end: Tensor, beyond: Tensor, discount: Tensor
) -> Tensor:
    """The discounted return to the end of the episode, as the sum that it is."""
    found = call(reward, end, beyond, discount)
    steps = reward.shape[1]
    for a in range(len(reward)):
        at_ends = end[a]
        patient.compare(CHECK, "value beyond an end", beyond[a][at_ends], patient.beyond[a][at_ends], WHERE)
        gamma, expected = patient.hyperparameter(a, "discount"), torch.zeros_like(reward[a], dtype=torch.float64)
        rewards, values, over = reward[a].tolist(), beyond[a].tolist(), end[a].tolist()
        for t in range(steps):
            for n in range(reward.shape[2]):
                total = 0.0
                for ahead in range(t, steps):
                    total += gamma ** (ahead - t) * rewards[ahead][n]
                    if over[ahead][n]:
                        total += gamma ** (ahead - t + 1) * values[ahead][n]
                        break
                expected[t, n] = total
        patient.compare(CHECK, "return to the end of the episode", found[a], expected, WHERE)
        _remember(patient, a, patient.rollout_seen[a], found[a].flatten())
    return found
