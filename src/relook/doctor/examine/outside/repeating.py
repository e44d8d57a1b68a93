"""Does one seed give one result, and another seed another, whatever else draws random numbers?"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from relook.doctor.examine.outside.contexts import PROBE
from relook.doctor.examine.outside.probing import vector
from relook.doctor.examine.outside.trainer import Train, Trained, trained
from relook.doctor.findings import Check, Finding

CHECK = Check(
    name="repeating",
    component="randomness",
    asks="Two trainings with one seed see the same episodes and end with the same numbers; with another seed they do "
    "not.",
    causes=(
        "environments are reset without a seed",
        "a global generator is used that the seed does not reach",
        "the seed is not used at all",
    ),
    remedy="Seed environments, networks and sampling from the one seed, through generators of their own.",
    lesson="A result that cannot be had twice cannot be looked at again: no fault in it can be found by changing one "
    "thing. Two seeds that give one result are one seed.",
)
STEPS = 600
"""Enough to have updated."""


def look(train: Train, kind: str, seed: int, command: str) -> Iterator[Finding]:
    def once(seed: int) -> Trained:
        torch.rand(3)  # global numbers that nothing should notice
        np.random.rand(3)  # noqa: NPY002  # the legacy generator is what must not matter
        return trained(train, partial(PROBE.make, kind), STEPS, seed)

    first, again, other = once(seed), once(seed), once(seed + 1)

    def said(found: Trained) -> list[float]:
        places = [vector(x) for x in (1.0, -1.0, 0.3)]
        values = [found.value(place) for place in places] if found.values else []
        return [*(float(x) for place in places for x in found.act(place).reshape(-1)), *values]

    if first.log.starts != again.log.starts:
        yield Finding(CHECK, "error", "expected one seed to give one row of episodes; found two", command)
    elif said(first) != said(again):
        yield Finding(
            CHECK, "error", f"expected one seed to give one result; found {said(first)} and {said(again)}", command
        )
    if first.log.starts == other.log.starts and len(first.log.starts) > 20:
        yield Finding(CHECK, "error", "expected two seeds to give two rows of episodes; found one", command)
