"""Networks and what is done with them, as a textbook writes it: what several checks compute once more."""

from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.ward import HIGH, LOW

Theta = dict[str, Tensor]


def target_theta(patient: Patient, target: Any, a: int) -> Theta:
    """The tensors of one agent in a target network."""
    return plain.leaves(patient.state_of(target.source, target.parameters.theta), a)


def q_of(patient: Patient, theta: Theta, observation: Tensor) -> Tensor:
    """Q(s, ·) [B, n] of a DQN."""
    output = plain.network(theta, "q", observation.double(), patient.config.activation)
    if not patient.config.dueling:
        return output
    return output[:, :1] + output[:, 1:] - output[:, 1:].mean(1, keepdim=True)


def critics_of(patient: Patient, theta: Theta, observation: Tensor, action: Tensor) -> Tensor:
    """Q(s, a) [G, B] of each critic."""
    inputs = torch.cat([observation.double(), action.double()], 1)
    names = sorted({name.split("/")[0] for name in theta if name.startswith("q")})
    return torch.stack([plain.network(theta, name, inputs, patient.config.activation)[:, 0] for name in names])


def mu_of(patient: Patient, theta: Theta, observation: Tensor) -> Tensor:
    """μ(s) [B, K]."""
    middle, half = range_of(patient)
    return middle + half * plain.network(theta, "policy", observation.double(), patient.config.activation).tanh()


def drawn_of(patient: Patient, theta: Theta, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B, K] of a squashed Gaussian and log π(a|s) [B]."""
    output = plain.network(theta, "policy", observation.double(), patient.config.activation)
    return plain.squashed(output, noise.double(), *range_of(patient))


def epsilon_of(patient: Patient, a: int, done: Tensor) -> Tensor:
    """ε after so many steps: from 1 linearly to its final value, in the share of training for exploration."""
    share = (done.double() / (patient.hyperparameter(a, "exploration") * patient.steps)).clamp(max=1)
    epsilon: Tensor = 1 + (patient.hyperparameter(a, "final_epsilon") - 1) * share
    return epsilon


def range_of(patient: Patient) -> tuple[Tensor, Tensor]:
    """The middle of each component of an action in the policy's units, and half of its range [K]."""
    low, high = torch.from_numpy(LOW).double(), torch.from_numpy(HIGH).double()
    middle, half = (high + low) / 2, (high - low) / 2
    return (torch.zeros_like(middle), torch.ones_like(half)) if patient.asked.rescale else (middle, half)


def theta_of(patient: Patient, a: int) -> Theta:
    """The tensors of one agent's networks as they are now."""
    return plain.leaves(patient.ac.state(), a)


def best_of(patient: Patient, a: int, seen: torch.Tensor) -> torch.Tensor:
    """The best actions [B, width] of an agent, as its networks are now."""
    theta = theta_of(patient, a)
    if patient.name == "dqn":
        return q_of(patient, theta, seen).argmax(1, keepdim=True)
    if patient.name in ("ddpg", "td3"):
        return mu_of(patient, theta, seen)
    if patient.name == "sac":
        return drawn_of(patient, theta, seen, torch.zeros(len(seen), len(patient.ac.half)))[0]
    output = plain.network(theta, "policy", patient.seen(a, seen), patient.config.activation)
    return output if patient.continuous else output.argmax(1, keepdim=True)
