"""Is what Q is learned towards what its paper says?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import critics_of, drawn_of, mu_of, q_of, target_theta, theta_of
from relook.doctor.findings import Check

CHECK = Check(
    name="td-targets",
    component="estimates",
    asks="y = r + γ times the target network's value of what was reached, and r alone after a termination; with the "
    "paper's choice of action, the lower of two critics, and α log π taken off where entropy counts.",
    causes=(
        "the mask of terminations is missing, inverted, or takes time limits for ends",
        "the online network values itself, or the target network chooses where it should only judge",
        "the higher critic is believed, or the entropy is missing",
        "smoothing noise is not cut, or is the same for all",
    ),
    remedy="Change the target network alone: y must change; set terminated for one row: its y must be r.",
    lesson="Without the mask Q creeps to r / (1 - γ) everywhere, which is inside every bound that one would check; "
    "with a target network that is not used, nothing looks odd at all. Sources: Mnih et al. 2015; van Hasselt et al. "
    "2016; Lillicrap et al. 2016; Fujimoto et al. 2018, Eqs. 10 and 14; Haarnoja et al. 2018, Eqs. 3 and 5.",
)


def attach(patient: Patient) -> None:
    if patient.has("target"):
        patient.around(patient.module, "target", lambda call, *args: _look(patient, call, *args))


def _look(patient: Patient, call: Callable[..., Tensor], *args: Any) -> Tensor:
    with plain.differentiable(), torch.no_grad():
        values = [VALUES[patient.name](patient, a, *args) for a in range(len(patient.agents))]
    y = call(*args)
    batch = next(x for x in args if hasattr(x, "next_observation"))
    for a, value in enumerate(values):
        expected = batch.reward[a].double() + batch.discount[a].double() * torch.where(batch.terminated[a], 0.0, value)
        patient.compare(CHECK, "target y", y[a], expected, f"relook/algorithms/{patient.name}.py, target")
    return y


def _dqn(patient: Patient, a: int, net: Any, follower: Any, batch: Any, config: Any) -> Tensor:
    slow = target_theta(patient, follower, a)
    next_q = q_of(patient, slow, batch.next_observation[a])
    best = (q_of(patient, theta_of(patient, a), batch.next_observation[a]) if config.double else next_q).argmax(1)
    return next_q[torch.arange(len(best)), best]


def _deterministic(patient: Patient, a: int, learner: Any, batch: Any, *rest: Any) -> Tensor:
    policy, q = (target_theta(patient, target, a) for target in (learner.policy_target, learner.q_target))
    action, half, middle = mu_of(patient, policy, batch.next_observation[a]), patient.ac.half, patient.ac.middle
    if patient.name == "td3":
        reach = patient.hyperparameter(a, "noise_clip")
        smoothing = (patient.hyperparameter(a, "target_noise") * rest[0][a].double()).clamp(-reach, reach) * half
        action = torch.maximum(torch.minimum(action + smoothing, (middle + half).double()), (middle - half).double())
    return critics_of(patient, q, batch.next_observation[a], action).amin(0)


def _squashed(patient: Patient, a: int, learner: Any, batch: Any, noise: Tensor) -> Tensor:
    action, log_prob = drawn_of(patient, theta_of(patient, a), batch.next_observation[a], noise[a])
    lowest = critics_of(patient, target_theta(patient, learner.q_target, a), batch.next_observation[a], action).amin(0)
    return lowest - float(learner.temperature["log"][a].detach().exp()) * log_prob


VALUES: dict[str, Callable[..., Tensor]] = {
    "dqn": _dqn,
    "ddpg": _deterministic,
    "td3": _deterministic,
    "sac": _squashed,
}
"""What follows a step, [B], by each algorithm's paper."""
