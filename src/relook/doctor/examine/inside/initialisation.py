"""Do networks start as they should?"""

from collections.abc import Mapping

import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="initialisation",
    component="networks",
    asks="Layers start orthogonal and without a bias, or, where that is asked for, uniform between ±1/√inputs; a fresh "
    "policy is nearly indifferent, and the outputs of values are not; no two networks start alike.",
    causes=(
        "gains are exchanged, or the last layer has that of the others",
        "a layer is left as the library makes it",
        "networks or agents are made from one seed",
    ),
    remedy="Look at W Wᵀ of each layer: it is g² times the identity.",
    lesson="A last layer of the policy that is a hundred times smaller is among what matters most for on-policy "
    "algorithms (Andrychowicz et al. 2021, arXiv:2006.05990): a policy that begins with an opinion explores less.",
)
WHERE = "relook/networks/mlp.py, MLP.initialise"
INDIFFERENT = 0.1
"""The most that the last layer of a fresh policy may have as its gain; 0.01 is usual."""


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    uniform = getattr(patient.config, "initialisation", "") == "uniform"
    critics = {name.partition("/")[0] for name in patient.first if name.startswith("q")}
    expected = {"dqn": 1, "ddpg": 1, "td3": 2, "sac": 2}.get(patient.name, 0)
    said = f"expected {expected} networks of Q; found {len(critics)}"
    patient.ask(CHECK, len(critics) == expected, said, f"relook/algorithms/{patient.name}.py")
    for name, x in patient.first.items():
        if name.endswith(("/weight", "/bias")) and uniform:
            _uniform(patient, name, x)
        elif name.endswith("/bias"):
            patient.ask(CHECK, not x.any(), f"expected {name} to start at 0; found up to {x.abs().max():.3g}", WHERE)
        if name.endswith("/log_std"):
            asked = torch.full_like(x, patient.config.initial_log_std)
            patient.compare(CHECK, "the first log σ", x, asked, "relook/networks/policies.py", part="exploration")
        if not name.endswith("/weight"):
            continue
        for own in x.double():
            if uniform:
                break
            rows = own @ own.T if own.shape[0] <= own.shape[1] else own.T @ own
            square = float(rows.diagonal().mean())
            patient.compare(CHECK, f"W Wᵀ of {name}", rows, square * torch.eye(len(rows)), WHERE, 1e-3)
            last = _last(patient, name.partition("/")[0]) == name
            if last and patient.has("Rollout"):
                indifferent = square**0.5 <= INDIFFERENT
                policy = name.startswith("policy")
                patient.ask(
                    CHECK,
                    indifferent == policy,
                    f"expected {name} with a gain {'below' if policy else 'above'} {INDIFFERENT}; found "
                    f"{square**0.5:.3g}",
                    WHERE,
                )
    twice = alike(patient.first)
    said = f"expected layers and networks that start differently; found some of shape {', '.join(twice)} alike"
    patient.ask(CHECK, not twice, said, WHERE, part="randomness")


def alike(first: Mapping[str, Tensor]) -> list[str]:
    """Shapes of which two tensors, of any networks, layers and agents, start with the same drawn numbers."""
    drawn: dict[tuple[int, ...], list[bytes]] = {}
    for x in first.values():
        for own in x:
            if own.numel() > 1 and float(own.var()) > 0:
                drawn.setdefault(tuple(own.shape), []).append(own.contiguous().numpy().tobytes())
    return [str(list(shape)) for shape, rows in drawn.items() if len(set(rows)) < len(rows)]


def _uniform(patient: Patient, name: str, x: Tensor) -> None:
    """Of n numbers between ±r the largest is above r · 2^(-20/n) but for one time in a million."""
    inputs = patient.first[name.rpartition("/")[0] + "/weight"].shape[1]
    for own in x:
        reach, found = inputs**-0.5, float(own.abs().max())
        patient.ask(
            CHECK,
            reach * 2 ** (-20 / own.numel()) <= found <= reach * (1 + 1e-6),
            f"expected {name} to start between ±{reach:.3g}; found up to {found:.3g}",
            WHERE,
        )


def _last(patient: Patient, group: str) -> str:
    """The name of a network's last weight."""
    own = [name for name in patient.first if name.startswith(f"{group}/") and name.endswith("/weight")]
    return max(own, key=lambda name: int(name.split("/")[1]))
