"""Does the value function go down its squared error, and that alone?"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.policy_gradients import gradient_of, judge, where
from relook.doctor.findings import Check

CHECK = Check(
    name="value-gradient",
    component="value loss",
    asks="What the optimiser gets for the value function is the gradient of the mean squared error against targets "
    "that stand still, with its weight.",
    causes=(
        "a (B, 1) met a (B): every value is pulled to the mean of all targets",
        "the target's own slope is in it",
        "a sum where a mean is meant, or a factor that was lost",
        "the policy's loss reaches the value function",
    ),
    remedy="Look at the shape of the loss for each sample: it must be that of the batch.",
    lesson="With B values against B targets in another shape torch makes a B × B table and warns, or does not. The "
    "loss falls, the values become their mean, and explained variance stays near 0 (Spinning Up's exercise 2.2; RLinf "
    "1568).",
)


def attach(patient: Patient) -> None:
    if patient.name == "ppo":
        patient.around(patient.module, "gradient_step", lambda call, *args: _ppo(patient, call, *args))
    elif patient.name == "a2c":
        patient.around(patient.module, "update", lambda call, *args: _a2c(patient, call, *args))
    elif patient.has("fit_value"):
        patient.around(patient.module, "fit_value", lambda call, *args: _fit(patient, call, *args))


def _value(patient: Patient, a: int, observation: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    theta = plain.leaves(patient.ac.state(), a)
    return theta, plain.network(theta, "value", patient.seen(a, observation[a]), patient.config.activation)[:, 0]


def _ppo(patient: Patient, call: Callable[..., Any], ac: Any, optimiser: Any, batch: Any, *rest: Any) -> Any:
    expected, losses = [], []
    with plain.differentiable():
        for a in range(len(patient.agents)):
            theta, value = _value(patient, a, batch.observation)
            target, old = batch.target[a].double(), batch.value[a].double()
            reach = patient.hyperparameter(a, "value_clip")
            near = old + (value - old).clamp(-reach, reach)
            errors = torch.maximum((value - target).square(), (near - target).square())
            loss = patient.hyperparameter(a, "value_coefficient") * errors.mean()
            expected.append(gradient_of(loss, theta, "value"))
            losses.append(float(errors.detach().mean()))
    patient.losses["value_loss"].append(losses)
    number = len(patient.moves)
    told = call(ac, optimiser, batch, *rest)
    judge(patient, CHECK, number, expected, where(patient))
    return told


def _a2c(patient: Patient, call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Any, *rest: Any) -> Any:
    with plain.differentiable():
        own = [_value(patient, a, rollout.observation.flatten(1, 2)) for a in range(len(patient.agents))]
    number = len(patient.moves)
    told = call(ac, optimiser, rollout, *rest)
    expected, losses = [], list[float]()
    with plain.differentiable():
        for a, (theta, value) in enumerate(own):
            error = value - told[0].target[a].flatten().double()
            losses.append(float(error.detach().square().mean()))
            loss = patient.hyperparameter(a, "value_coefficient") * error.square().mean()
            expected.append(gradient_of(loss, theta, "value"))
    patient.losses["value_loss"].append(losses)
    judge(patient, CHECK, number, expected, where(patient))
    return told


def _fit(patient: Patient, call: Callable[..., Any], ac: Any, optimiser: Any, samples: Any, *rest: Any) -> Any:
    """The steps of a value function that is fitted by itself: each batch is looked at before its step."""
    waiting: list[tuple[int, list[dict[str, Tensor]]]] = []

    def looked_at() -> Iterator[Any]:
        for observation, target, share in samples:
            expected, losses = [], []
            _targets(patient, observation, target)
            with plain.differentiable():
                for a in range(len(patient.agents)):
                    theta, value = _value(patient, a, observation)
                    errors = (value - target[a].double()).square()
                    own = share[a].double() if isinstance(share, Tensor) else torch.full_like(errors, share)
                    patient.compare(
                        CHECK, "sum of the samples' weights", own.sum(), float(bool(own.any())), where(patient)
                    )
                    expected.append(gradient_of((own * errors).sum(), theta, "value"))
                    losses.append(float((own * errors).detach().sum()))
            patient.losses["value_loss"].append(losses)
            waiting.append((len(patient.moves), expected))
            yield observation, target, share

    told = call(ac, optimiser, looked_at(), *rest)
    for number, expected in waiting[:4]:
        judge(patient, CHECK, number, expected, where(patient))
    return told


def _targets(patient: Patient, observation: Tensor, target: Tensor) -> None:
    """What V is fitted to is the value target of that observation, and nothing else."""
    for a in range(len(patient.agents)):
        meant = [patient.value_targets[a].get(row.numpy().tobytes(), torch.nan) for row in observation[a]]
        known = ~torch.tensor(meant).isnan()
        patient.compare(CHECK, "what V is fitted to", target[a][known], torch.tensor(meant)[known], where(patient))
