"""What a check from outside asks: train in a small environment, and look at what came of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import relook.envs  # noqa: F401  # registers the probes
from relook.doctor.examine.outside.trainer import Train, Trained, trained
from relook.doctor.findings import Check, Finding

Judge = Callable[[Trained], Iterator[str]]

LONGER = 3
"""How many times the steps a second chance has."""


@dataclass(frozen=True)
class Probe:
    """An environment with a known answer, and what is wrong if a training does not find it."""

    check: Check
    environment: str
    """The probe's name, without `relook/` and version."""
    judge: Judge
    """Says what was expected and what was found, for each thing that is wrong."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs_values: bool = False
    """Whether it asks what observations are worth."""
    kinds: tuple[str, ...] = ("discrete", "continuous")
    """Kinds of actions that it has."""
    without_values: bool = False
    """Whether it asks of the policy what another probe asks of values, and is only needed where there are none."""
    after: str = ""
    """The check that must have found nothing, for this one to mean anything."""

    def make(self, kind: str) -> gym.Env[Any, Any]:
        """A fresh instance."""
        both = len(self.kinds) > 1
        more = {"continuous": True} if kind == "continuous" and both else {}
        return gym.make(f"relook/{self.environment}-v0", disable_env_checker=True, **self.arguments, **more)

    def run(self, train: Train, kind: str, steps: int, seed: int, command: str) -> Iterator[Finding]:
        """Train, and look.

        What is not as it should be gets a second chance, since some learn slowly and chance is part of all of it: only
        what is wrong again, with another seed and `LONGER` times the steps, is a finding.
        """
        for own_seed, own_steps in ((seed, steps), (seed + 1, LONGER * steps)):
            found = trained(train, partial(self.make, kind), own_steps, own_seed)
            if (self.needs_values and not found.values) or (self.without_values and found.values):
                return
            wrong = list(self.judge(found))
            if not wrong:
                return
        for evidence in wrong:
            where = f"{self.environment}, seed {own_seed}, {own_steps:,} steps"
            yield Finding(self.check, "error", evidence, command, {}, where)


JONES = (
    "The ladder of probes follows Andy Jones, 'Debugging RL, Without the Agonizing Pain' (2021): each rung adds one "
    "thing, so that the first one that fails names what is broken."
)


def vector(*numbers: float) -> NDArray[np.float32]:
    """An observation."""
    return np.array(numbers, dtype=np.float32)


def worth(trained: Trained, expected: Mapping[tuple[float, ...], float], tolerance: float) -> Iterator[str]:
    """Values of observations that are further from what they should be than learning leaves them."""
    found = {observation: trained.value(vector(*observation)) for observation in expected}
    wrong = [
        f"V{observation} = {value:.3g}, found {found[observation]:.3g}"
        for observation, value in expected.items()
        if not abs(found[observation] - value) <= tolerance
    ]
    if wrong:
        yield f"expected {'; '.join(wrong)}"


def chosen(trained: Trained, *observation: float) -> int:
    """The action at an observation as 0 or 1; a number means 1 if it is above 0."""
    action = trained.act(vector(*observation)).reshape(-1)[0]
    return int(action > 0) if np.issubdtype(action.dtype, np.floating) else int(action)


def chooses(trained: Trained, expected: Mapping[tuple[float, ...], int]) -> Iterator[str]:
    """Observations at which another action is chosen than the best one."""
    found = {observation: chosen(trained, *observation) for observation in expected}
    wrong = [
        f"action {action} at {observation}, found {found[observation]}"
        for observation, action in expected.items()
        if found[observation] != action
    ]
    if wrong:
        yield f"expected {'; '.join(wrong)}"
