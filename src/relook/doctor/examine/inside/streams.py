"""Does everything follow from the seed, and from nothing else?"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="random-streams",
    component="randomness",
    asks="One seed gives one result, whatever else drew random numbers and whoever trains beside it; another seed "
    "gives another; no numbers are drawn twice.",
    causes=(
        "global generators are used",
        "agents of a population share numbers, statistics or gradients",
        "an iteration draws the numbers of the one before",
    ),
    remedy="Key every stream by seed, purpose and iteration.",
    lesson="A result that depends on what else drew numbers cannot be looked at again: a metric that is computed, or a "
    "plot that is drawn, makes another training of it. And noise that comes twice is exploration that was not made.",
)


def attach(patient: Patient) -> None:
    drawn: set[bytes] = set()

    def noisy(owner: Any, name: str) -> None:
        signature = inspect.signature(getattr(owner, name))

        def hook(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            noise = given["noise"]
            if name == "act" and given["observation"].shape[1] != patient.config.envs:  # for a metric, and not to act
                return call(*args, **kwargs)
            rows = [own.contiguous().numpy().tobytes() for own in noise]
            if noise.is_floating_point() and noise.shape[-1] > 1:
                apart = bool((noise[..., 1:] != noise[..., :1]).all())
                said = f"expected noise of its own for each component of an action in {name}; found some alike"
                patient.ask(CHECK, apart, said, f"relook/algorithms/{patient.name}.py", part="exploration")
            fresh = len(set(rows)) == len(rows) and not drawn.intersection(rows)
            patient.ask(
                CHECK,
                fresh,
                f"expected noise of its own for each agent and each call of {name}; found some a second time",
                f"relook/algorithms/{patient.name}.py",
            )
            drawn.update(rows)
            return call(*args, **kwargs)

        if "noise" in signature.parameters:
            patient.around(owner, name, hook)

    def anything(call: Callable[..., Any], ac: Any, uniform: Tensor) -> Any:
        rows = [own.contiguous().numpy().tobytes() for own in uniform]
        fresh = len(set(rows)) == len(rows) and not drawn.intersection(rows)
        said = "expected random actions of their own for each agent and step; found some a second time"
        patient.ask(CHECK, fresh, said, f"relook/algorithms/{patient.name}.py")
        drawn.update(rows)
        return call(ac, uniform)

    if hasattr(patient.config, "random_steps"):
        patient.around(patient.known.networks, "anything", anything)
    for name in ("exploration", "explore", "target", "policy_step"):
        if patient.has(name):
            noisy(patient.module, name)
    if patient.known.networks.stochastic:
        noisy(patient.known.networks, "act")


def compare(make: Callable[[Sequence[int]], Patient], report: Patient) -> None:
    """Train again: with the same seeds, with others, and one agent alone."""
    where = f"relook/algorithms/{report.name}.py"

    def end(seeds: Sequence[int]) -> dict[str, Tensor]:
        patient = make(seeds)
        torch.rand(7)  # global numbers that nothing should notice
        np.random.default_rng().random()
        patient.train()
        return dict(patient.ac.state()) if patient.ac is not None and not patient.findings else {}

    first, again, alone = end((11, 12)), end((11, 12)), end((11,))
    if not first or not again or not alone:
        return

    def equal(x: dict[str, Tensor], a: int, y: dict[str, Tensor], b: int) -> bool:
        return all(torch.equal(x[name][a], y[name][b]) for name in x if not name.startswith("normaliser/count"))

    report.ask(CHECK, equal(first, 0, again, 0), "expected one seed to give one result; found two", where)
    report.ask(CHECK, not equal(first, 0, first, 1), "expected two seeds to give two results; found one", where)
    report.ask(
        CHECK, equal(first, 0, alone, 0), "expected an agent alone to become what it becomes among others", where
    )
