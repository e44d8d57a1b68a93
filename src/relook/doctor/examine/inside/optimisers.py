"""Does a step of the optimiser move what it should, as far as it should, and nothing else?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Move, Patient
from relook.doctor.findings import Check
from relook.population import Optimiser

CHECK = Check(
    name="optimiser-step",
    component="optimiser",
    asks="A step clips the gradient to its norm and moves each parameter by the optimiser's formula, with its learning "
    "rate, the moments of all steps so far and its own count; whoever rests does not move.",
    causes=(
        "the learning rate is another, or falls to 0 at another time",
        "moments or step counts are lost, shared or not kept apart",
        "clipping is missing, comes twice or is over another vector",
        "parameters are not handed to the optimiser, or the wrong ones are",
    ),
    remedy="Print how far each group of parameters moves in one update, and what the rate should be.",
    lesson="A learning rate that reaches 0 at half of training, or a step that never comes, looks like an algorithm "
    "that has converged. Adam: Kingma & Ba 2015, Algorithm 1.",
)
WHERE = "relook/population/optimiser.py"
CLIPPED = {"vpg": ("policy",)}
"""The groups whose gradient an algorithm clips, if not all."""


def attach(patient: Patient) -> None:
    memory: dict[int, dict[str, Tensor]] = {}

    def step(call: Callable[..., Any], optimiser: Any, rates: Any, **asked: Any) -> Any:
        told = call(optimiser, rates, **asked)
        _judge(patient, memory, patient.moves[-1])
        return told

    for kind in (Optimiser, *Optimiser.__subclasses__()):
        if "step" in vars(kind):
            patient.around(kind, "step", step)


def _judge(patient: Patient, memory: dict[int, dict[str, Tensor]], move: Move) -> None:
    optimiser, parameters = move.optimiser, move.optimiser.parameters
    theta, gradient = move.before.double(), move.gradient.double().clone()
    own = memory.setdefault(
        id(optimiser),
        {"first": torch.zeros_like(theta), "second": torch.zeros_like(theta), "count": torch.zeros(theta.shape[:2])},
    )
    expected = theta.clone()
    groups = list(parameters.groups)
    named = [g for g, group in enumerate(groups) if group in move.rates]
    for a in range(len(theta)):
        limit = patient.hyperparameter(a, "max_gradient_norm") if _clips(patient) else float("inf")
        together = float(gradient[a, named].norm())
        for g in named:
            if not move.asked["active"][groups[g]][a]:
                continue
            bound = limit if groups[g] in CLIPPED.get(patient.name, groups) else float("inf")
            norm = together if move.asked.get("clip_together") else float(gradient[a, g].norm())
            slope = gradient[a, g] * min(1.0, bound / max(norm, 1e-30))
            rate = float(move.rates[groups[g]][a])
            own["count"][a, g] += 1
            expected[a, g] = theta[a, g] - rate * _direction(patient, own, a, g, slope)
    moved, meant = move.after.double() - theta, expected - theta
    scale = float(meant.abs().max())
    error = float((moved - meant).abs().nan_to_num(nan=torch.inf).max())
    patient.ask(
        CHECK,
        error <= 2e-3 * scale + 1e-7,
        f"expected a step of at most {scale:.3g}; found one that is {error:.3g} off, at most "
        f"{float(moved.abs().max()):.3g}",
        WHERE,
        expected=scale,
        found=float(moved.abs().max()),
    )


def _clips(patient: Patient) -> bool:
    return "max_gradient_norm" in patient.agents[0].hyperparameters


def _direction(patient: Patient, own: dict[str, Tensor], a: int, g: int, slope: Tensor) -> Tensor:
    """What a step goes along, by the formula of its optimiser: Adam's, or RMSprop's where that was asked for."""
    second, epsilon = own["second"], getattr(patient.config, "adam_epsilon", getattr(patient.config, "epsilon", 1e-8))
    if getattr(patient.config, "optimiser", "adam") == "rmsprop":
        second[a, g] = 0.99 * second[a, g] + 0.01 * slope.square()
        return slope / (second[a, g].sqrt() + epsilon)
    first, count = own["first"], float(own["count"][a, g])
    first[a, g] = 0.9 * first[a, g] + 0.1 * slope
    second[a, g] = 0.999 * second[a, g] + 0.001 * slope.square()
    found: Tensor = (first[a, g] / (1 - 0.9**count)) / ((second[a, g] / (1 - 0.999**count)).sqrt() + epsilon)
    return found
