"""Do Q functions go down their squared error, towards targets that stand still?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.policy_gradients import Gradient, gradient_of, judge, where
from relook.doctor.examine.inside.textbook import critics_of, q_of, theta_of
from relook.doctor.findings import Check

CHECK = Check(
    name="critic-gradient",
    component="value loss",
    asks="What the optimiser gets for each Q function is the gradient of its mean error at the actions that were "
    "taken, against targets that stand still; every critic learns.",
    causes=(
        "a (B, 1) met a (B) in the error: every Q is pulled to the mean of all targets",
        "the gradient flows into the target",
        "another action's value is gathered",
        "one critic of two does not learn, or a sum stands for a mean",
    ),
    remedy="Look at the shapes of Q(s, a) and of y; compare the gradient with that of one sample after the other.",
    lesson="Spinning Up's exercise 2.2 is this fault: Q of shape (B, 1) minus targets of shape (B). DDPG then learns "
    "the mean of all values, its loss falls, and its policy has nothing to climb.",
)


def attach(patient: Patient) -> None:
    targets: list[Tensor] = []

    def target(call: Callable[..., Tensor], *args: Any) -> Tensor:
        targets.append(call(*args))
        return targets[-1]

    def update(call: Callable[..., Any], *args: Any) -> Any:
        batch = next(x for x in args if hasattr(x, "next_observation"))
        with plain.differentiable():
            thetas = [theta_of(patient, a) for a in range(len(patient.agents))]
        number = len(patient.moves)
        told = call(*args)
        expected = []
        with plain.differentiable():
            for a, theta in enumerate(thetas):
                observation, action, y = (x[a].clone() for x in (batch.observation, batch.action, targets[-1]))
                expected.append(_expected(patient, theta, observation, action, y.double()))
        judge(patient, CHECK, number, expected, where(patient))
        return told

    if patient.has("target"):
        patient.around(patient.module, "target", target)
        patient.around(patient.module, "critic_step" if patient.has("critic_step") else "update", update)


def _expected(patient: Patient, theta: Gradient, observation: Tensor, action: Tensor, y: Tensor) -> Gradient:
    if patient.name == "dqn":
        error = q_of(patient, theta, observation)[torch.arange(len(y)), action[:, 0]] - y
        squared = patient.config.loss == "squared"
        loss = error.square().mean() if squared else smooth_l1_loss(error, torch.zeros_like(error))
        return gradient_of(loss, theta, "q")
    critics = critics_of(patient, theta, observation, action)
    loss = (critics - y).square().mean(1).sum()
    found: Gradient = {}
    for i in range(len(critics)):
        found |= gradient_of(loss, theta, f"q{i + 1}")
    return found
