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


Memory = dict[str, Tensor]
"""What an optimiser knows of the past: the moments [A, G, P] and the steps [A, G] so far."""


def _judge(patient: Patient, memory: dict[int, Memory], move: Move) -> None:
    theta = move.before.double()
    new = {"first": torch.zeros_like(theta), "second": torch.zeros_like(theta), "count": torch.zeros(theta.shape[:2])}
    before, moved = memory.get(id(move.optimiser.parameters), new), move.after.double() - theta
    meant, memory[id(move.optimiser.parameters)] = _meant(patient, before, move, _left_by_clipping(patient, move))
    scale = float(meant.abs().max())
    error = _apart(moved, meant)
    right = error <= 2e-3 * scale + 1e-7
    patient.ask(
        CHECK,
        right,
        f"expected a step of at most {scale:.3g}; found one that is {error:.3g} off, at most "
        f"{float(moved.abs().max()):.3g}",
        WHERE,
        part="gradient" if not right and _clipped_otherwise(patient, before, move, moved) else "",
        expected=scale,
        found=float(moved.abs().max()),
    )


def _apart(moved: Tensor, meant: Tensor) -> float:
    return float((moved - meant).abs().nan_to_num(nan=torch.inf).max())


def _left_by_clipping(patient: Patient, move: Move) -> Tensor:
    """The share [A, G] of the gradient that its clipping leaves."""
    groups = list(move.optimiser.parameters.groups)
    named = [g for g, group in enumerate(groups) if group in move.rates]
    left = torch.ones(len(move.before), len(groups), dtype=torch.float64)
    for a in range(len(left)):
        limit = patient.hyperparameter(a, "max_gradient_norm") if _clips(patient) else float("inf")
        together = float(move.gradient[a, named].double().norm())
        for g in named:
            if groups[g] in CLIPPED.get(patient.name, groups):
                own = float(move.gradient[a, g].double().norm())
                norm = together if getattr(patient.config, "clip_together", False) else own
                left[a, g] = min(1.0, limit / max(norm, 1e-30))
    return left


def _clipped_otherwise(patient: Patient, before: Memory, move: Move, moved: Tensor) -> bool:
    """Whether a step is right but for the norm to which its gradient was clipped."""
    right, norms = _left_by_clipping(patient, move), move.gradient.double().flatten(2).norm(dim=2)
    limits = [
        patient.hyperparameter(a, "max_gradient_norm") if _clips(patient) else torch.inf for a in range(len(right))
    ]
    limit = torch.tensor(limits, dtype=torch.float64).view(-1, 1)
    together = norms.square().sum(1, keepdim=True).sqrt()
    for norm in (
        norms,
        together.expand_as(norms),
        torch.zeros_like(norms),
        norms.sum(1, keepdim=True).expand_as(norms),
    ):
        left = (limit / norm.clamp(min=1e-30)).clamp(max=1.0)
        for other in (left, left.amin().expand_as(left), left.amin(0, keepdim=True).expand_as(left)):
            meant, _ = _meant(patient, before, move, other)
            if not torch.equal(other, right) and _apart(moved, meant) <= 2e-3 * float(meant.abs().max()) + 1e-7:
                return True
    return False


def _meant(patient: Patient, before: Memory, move: Move, left: Tensor) -> tuple[Tensor, Memory]:
    """How far a step should go [A, G, P], and what its optimiser then knows."""
    own, groups = {name: x.clone() for name, x in before.items()}, list(move.optimiser.parameters.groups)
    meant = torch.zeros_like(move.before, dtype=torch.float64)
    for a in range(len(meant)):
        for g, group in enumerate(groups):
            if group in move.rates and move.asked["active"][group][a]:
                own["count"][a, g] += 1
                direction = _direction(patient, own, a, g, move.gradient[a, g].double() * left[a, g])
                meant[a, g] = -float(move.rates[group][a]) * direction
    return meant, own


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
