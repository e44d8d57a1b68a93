"""The examination of a training function of anybody's."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Literal

from relook.doctor.examine.outside import (
    aliasing,
    contexts,
    coupling,
    discounting,
    honesty,
    last_observations,
    many_values,
    negative_values,
    one_action,
    one_value,
    past_reward,
    reaching_bounds,
    repeating,
    staying,
    surviving,
    time_limits,
    treatment,
)
from relook.doctor.examine.outside.probing import Probe
from relook.doctor.examine.outside.trainer import Train, trained
from relook.doctor.findings import Check, Finding

Kind = Literal["discrete", "continuous"]

PROBES: tuple[Probe, ...] = (
    one_value.PROBE,
    many_values.PROBE,
    one_action.PROBE,
    coupling.PROBE,
    discounting.PROBE,
    past_reward.PROBE,
    contexts.PROBE,
    aliasing.PROBE,
    negative_values.PROBE,
    time_limits.PROBE,
    last_observations.PROBE,
    staying.PROBE,
    surviving.PROBE,
    reaching_bounds.PROBE,
)
"""From the lowest rung to the highest."""

ORDER: tuple[Check, ...] = (treatment.CHECK, repeating.CHECK, *(probe.check for probe in PROBES), honesty.CHECK)


def examine(
    train: Train,
    kind: Kind,
    *,
    steps: int,
    seed: int,
    command: str,
    until_found: bool = False,
    told: Callable[[str, float, list[Finding]], None] = lambda *_: None,
) -> list[Finding]:
    """Train in every probe that has actions of this kind, and look at what came of it.

    `steps` for each probe; `command` is how to see a finding again; `until_found`: no further probe once something is
    found. `told(check, seconds, findings)` is called as each check is done.
    """
    found: list[Finding] = []

    def done(name: str, began: float, new: list[Finding]) -> None:
        found.extend(new)
        told(name, monotonic() - began, new)

    began = monotonic()
    first = trained(train, partial(contexts.PROBE.make, kind), min(steps, 2000), seed)
    done(treatment.CHECK.name, began, list(treatment.look(first, min(steps, 2000), command)))
    began = monotonic()
    done(repeating.CHECK.name, began, list(repeating.look(train, kind, seed, command)))
    for probe in PROBES:
        if until_found and found:
            return found
        if kind in probe.kinds and probe.after not in {finding.check.name for finding in found}:
            began = monotonic()
            done(probe.check.name, began, list(probe.run(train, kind, steps, seed, command)))
    began = monotonic()
    done(honesty.CHECK.name, began, list(honesty.look(first, partial(contexts.PROBE.make, kind), command)))
    return found
