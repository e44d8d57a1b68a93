"""The examination of one of our algorithms: every check looks on while it trains for a moment, in each setting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from types import ModuleType

from torch import nn

from relook.algorithms import algorithm
from relook.doctor.examine.inside import (
    actor_gradients,
    advantages,
    backwards,
    bounds,
    conversions,
    critic_gradients,
    densities,
    drawn_actions,
    evaluations,
    faults,
    figures,
    figures_of_updates,
    hyper_parameters,
    initialisation,
    judgements,
    minibatches,
    optimisers,
    policy_gradients,
    recordings,
    records,
    replay_samples,
    reset_seeds,
    resumption,
    scales,
    schedules,
    several_choices,
    storage,
    streams,
    target_networks,
    td_targets,
    temperatures,
    transitions,
    trust_regions,
    value_gradients,
)
from relook.doctor.examine.inside.patient import RUNS, Patient
from relook.doctor.examine.inside.settings import SETTINGS, Setting
from relook.doctor.findings import Check, Finding
from relook.networks import ActorCritic, module_actor_critic

CHECKS: tuple[ModuleType, ...] = (
    hyper_parameters,
    reset_seeds,
    transitions,
    conversions,
    bounds,
    storage,
    minibatches,
    replay_samples,
    schedules,
    initialisation,
    scales,
    densities,
    judgements,
    advantages,
    temperatures,
    td_targets,
    backwards,
    policy_gradients,
    trust_regions,
    value_gradients,
    critic_gradients,
    actor_gradients,
    optimisers,
    target_networks,
    drawn_actions,
    several_choices,
    faults,
    evaluations,
    figures,
    figures_of_updates,
    records,
    recordings,
    streams,
)
"""In the order of cause: what comes later may be broken by what comes before."""

ORDER: tuple[Check, ...] = (RUNS, *(module.CHECK for module in CHECKS), resumption.CHECK)


@dataclass
class Examined:
    """What an examination found."""

    algorithm: str
    findings: list[Finding] = field(default_factory=list)
    """In the order of cause."""
    looks: dict[str, int] = field(default_factory=dict)
    """How many comparisons each check made."""
    seconds: float = 0.0


def examine(name: str, *, until_found: bool = False) -> Examined:
    """Examine one of our algorithms. `until_found`: no further setting once something is found."""
    found, began = Examined(name), monotonic()
    for patient in _patients(name):
        for check, count in patient.looks.items():
            found.looks[check] = found.looks.get(check, 0) + count
        known = {finding.check.name for finding in found.findings}
        found.findings += [finding for finding in patient.findings if finding.check.name not in known]
        if until_found and found.findings:
            break
    names = [check.name for check in ORDER]
    found.findings.sort(key=lambda finding: names.index(finding.check.name))
    found.seconds = monotonic() - began
    return found


def located(findings: Sequence[Finding]) -> str:
    """The component that is most likely broken: that of the first finding in the order of cause.

    A loss of the policy and one of the values that are both off, where all else is right, have one cause, and it is
    not in either.
    """
    found = {finding.check.name for finding in findings}
    if not findings:
        return ""
    policy, value = {"policy-gradient", "actor-gradient"} & found, {"value-gradient", "critic-gradient"} & found
    both = policy and value and found == policy | value
    return "gradient" if both else findings[0].component


def _patients(name: str) -> Iterator[Patient]:
    for setting in SETTINGS[name]:
        patient = Patient(name, setting)
        for check in [faults] if setting.fault else CHECKS:
            check.attach(patient)
        patient.train()
        yield patient
    first = SETTINGS[name][0]
    again = Patient(name, first)
    streams.compare(partial(Patient, name, first), again)
    yield again
    for setting in SETTINGS[name]:
        if not (setting.still or setting.fault or setting.once or setting.more_steps):
            again = Patient(name, setting)
            resumption.compare(partial(Patient, name, setting), again, damage=setting is first)
            yield again
    for setting in _with_neighbours(name):
        again = Patient(name, setting)
        streams.alone(partial(Patient, name, setting), again, part="networks" if setting.networks else "")
        yield again


def _with_neighbours(name: str) -> Iterator[Setting]:
    """The settings in which an agent is compared with what it becomes alone: all long ones, and with own modules."""
    for setting in SETTINGS[name]:
        if not (setting.still or setting.fault or setting.more_steps):
            yield replace(setting, evaluate_episodes=0)
    if algorithm(name).networks is ActorCritic:
        first = SETTINGS[name][0]
        values = {key: value for key, value in first.values.items() if key not in ("hidden", "activation")}
        yield replace(
            first, values=values, iterations=2, evaluate_episodes=0, networks=module_actor_critic(_body, _body)
        )


def _body(inputs: int, outputs: int) -> nn.Module:
    """A network of a user's own."""
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))
