"""Are probabilities that add up to 1, and is the entropy that of them?"""

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="densities",
    component="networks",
    asks="exp(log π(a|s)) adds up to 1 over all actions, and -∫ π log π is the entropy that is used; KL is 0 between "
    "equals and never negative.",
    causes=(
        "the correction for tanh or for the width of the bounds is missing",
        "log π is not summed over components",
        "softmax came twice, or not at all",
    ),
    remedy="Add exp(log π) up over a fine grid of actions.",
    lesson="A density that adds up to something else makes every entropy, every ratio and SAC's temperature wrong by a "
    "factor that changes with the state. The integral needs no reference to compare with: 1 is 1.",
)
WHERE = "relook/formulas/distributions.py"
POINTS = 161
REACH = 7.0
"""Standard deviations to each side that the grid covers."""


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    if patient.ac is None or not patient.history:
        return
    seen = patient.history[-1].told.observation[:, :1]
    if patient.name == "sac":
        _squashed(patient, seen)
    elif patient.has("Rollout"):
        _policy(patient, seen)


def _policy(patient: Patient, seen: Tensor) -> None:
    """A policy as it is, and one that differs: each by itself, and the divergence of the first from the second."""
    theta = patient.ac.parameters.theta
    trained = theta.clone()
    rng = np.random.default_rng(0)
    theta += 0.3 * torch.from_numpy(rng.standard_normal(theta.shape, dtype=np.float32)) * (theta != 0)
    try:
        actions, cell = _every_action(patient, seen)
        around = seen.expand(-1, actions.shape[1], -1)
        first, told = patient.ac.evaluate(around, actions), patient.ac.evaluate_policy(around, actions).distribution
        theta.mul_(0.7)
        second = patient.ac.evaluate(around, actions)
        found = patient.ac.kl(told, patient.ac.evaluate_policy(around, actions).distribution)
    finally:
        theta.copy_(trained)
    log_p, log_q = first.log_prob.double(), second.log_prob.double()
    p = log_p.exp() * cell
    for a in range(len(p)):
        for what, value, expected in (
            ("sum of π over all actions", p[a].sum(), 1.0),
            ("entropy", first.entropy[a, 0], -(p[a] * log_p[a]).sum()),
            ("KL(π ‖ π')", found[a, 0], (p[a] * (log_p[a] - log_q[a])).sum()),
        ):
            patient.compare(CHECK, what, value, expected, WHERE, 5e-3)


def _every_action(patient: Patient, seen: Tensor) -> tuple[Tensor, Tensor]:
    """All choices, or a grid of actions around the middle [A, B, K], and the size of the grid's cells [A, 1]."""
    if not patient.continuous:
        return torch.arange(3).view(1, 3, 1).expand(len(seen), 3, 1), torch.ones(len(seen), 1)
    width = REACH * patient.ac.state()["policy/log_std"].exp()
    grid = torch.linspace(-1, 1, POINTS)
    actions = patient.ac.act_deterministically(seen) + width.unsqueeze(1) * torch.cartesian_prod(grid, grid)
    return actions, (2 * width.double() / (POINTS - 1)).prod(1, keepdim=True)


def _squashed(patient: Patient, seen: Tensor) -> None:
    """The noise spans a grid; what it becomes has cells of another size."""
    grid = torch.linspace(-REACH, REACH, POINTS)
    noise = torch.cartesian_prod(grid, grid).unsqueeze(0).expand(len(seen), -1, -1)
    drawn = patient.ac.draw(seen.expand(-1, noise.shape[1], -1), noise)
    for a in range(len(seen)):
        table = drawn.action[a].double().view(POINTS, POINTS, 2)
        sides = torch.gradient(table[:, 0, 0])[0], torch.gradient(table[0, :, 1])[0]
        cells = sides[0].unsqueeze(1) * sides[1].unsqueeze(0)
        p = drawn.log_prob[a].double().view(POINTS, POINTS).exp()
        patient.compare(CHECK, "sum of π over all actions", (p * cells).sum(), 1.0, WHERE, 2e-2)
