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
    "gives another; environments and episodes start from seeds of their own.",
    causes=(
        "parallel environments share a seed, or every episode starts from one",
        "global generators are used",
        "agents of a population share numbers, statistics or gradients",
        "an iteration draws the numbers of the one before",
    ),
    remedy="Key every stream by seed, purpose and iteration, and hand explicit seeds to every reset.",
    lesson="Environments that share a seed play the same episode N times: the batch is N times smaller than it says "
    "(Ray 46986, TorchRL 4208). A result that depends on what else drew numbers cannot be looked at again.",
)


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _seeds(patient))
    patient.afterwards(lambda: _starts(patient))
    drawn: set[bytes] = set()

    def noisy(owner: Any, name: str) -> None:
        signature = inspect.signature(getattr(owner, name))

        def hook(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            noise = given["noise"]
            if name == "act" and given["observation"].shape[1] != patient.config.envs:  # for a metric, and not to act
                return call(*args, **kwargs)
            rows = [own.contiguous().numpy().tobytes() for own in noise]
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

    for name in ("exploration", "explore", "target", "policy_step"):
        if patient.has(name):
            noisy(patient.module, name)
    if patient.known.networks.stochastic:
        noisy(patient.known.networks, "act")


def _seeds(patient: Patient) -> None:
    """Every episode of training has a seed of its own."""
    where = "relook/envs/vector.py, Environments._reset"
    firsts = [played for played in patient.ledger if played.actions]
    seeds = [played.seed for played in firsts]
    patient.ask(CHECK, None not in seeds, "expected an explicit seed for every reset; found resets without", where)
    # What is played again (evaluations, and the start-up check) repeats seeds on purpose: it is left out by instance.
    by_instance = [{p.seed for p in own if p.actions} for own in patient.ledger.episodes]
    learned = _training_instances(patient)
    all_of_it = [seed for i in learned for seed in by_instance[i]]
    count = sum(sum(bool(p.actions) for p in patient.ledger.episodes[i]) for i in learned)
    patient.ask(
        CHECK,
        len(set(all_of_it)) == count,
        f"expected {count} training episodes with seeds of their own; found {len(set(all_of_it))} different ones",
        where,
    )
    starts = [m.told.observation for m in patient.history[:1]]
    if starts:
        rows = starts[0].flatten(0, 1)
        different = len(rows.unique(dim=0)) == len(rows)
        patient.ask(CHECK, different, "expected environments that start differently; found some alike", where)


def _starts(patient: Patient) -> None:
    """Networks of an agent, and agents, start differently: no two have a layer in common."""
    groups: dict[tuple[str, tuple[int, ...]], list[bytes]] = {}
    for name, x in patient.first.items():
        if name.endswith("/weight"):
            for own in x:
                key = name.partition("/")[2], tuple(own.shape)
                groups.setdefault(key, []).append(own.contiguous().numpy().tobytes())
    alike = [key[0] for key, rows in groups.items() if len(set(rows)) < len(rows)]
    patient.ask(
        CHECK,
        not alike,
        f"expected networks that start differently; found some alike in {', '.join(alike)}",
        "relook/networks/mlp.py, MLP.initialise",
    )


def _training_instances(patient: Patient) -> list[int]:
    """The wards that the algorithm learned in."""
    found = set()
    for moment in patient.history:
        for row in moment.told.observation.flatten(0, 1):
            place = patient.ledger.place(row.numpy())
            if place is not None:
                found.add(place[0])
    return sorted(found)


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
