"""Do target networks follow as they are told to, and stand still otherwise?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.population import Target

CHECK = Check(
    name="target-network",
    component="target network",
    asks="A target network starts as a copy in memory of its own, goes the share τ of the way when it is told to, at "
    "the configured times, and stands still in between.",
    causes=(
        "it is the same memory as the network that it follows",
        "it never follows, or at every update",
        "τ and 1 - τ are exchanged",
        "the network follows its target",
    ),
    remedy="Compare θ' with (1 - τ) θ' + τ θ after one call, and count the calls.",
    lesson="A target network that is an alias has a lag of exactly 0, one that is forgotten a lag that only grows; "
    "both learn something on easy tasks. Lillicrap et al. 2016, Algorithm 1; Mnih et al. 2015.",
)
WHERE = "relook/population/target.py"


def attach(patient: Patient) -> None:
    known: dict[int, tuple[Target, Tensor]] = {}
    calls: list[int] = []
    updates: list[int] = []
    followed: list[tuple[Target, Tensor]] = []

    def follow(call: Callable[..., None], target: Any, rate: Tensor, active: Tensor) -> None:
        source, before = target.source.theta.clone(), target.parameters.theta.clone()
        _still(patient, known, target)
        apart = target.source.theta.data_ptr() != target.parameters.theta.data_ptr()
        patient.ask(CHECK, apart, "expected memory of its own; found that of the network it follows", WHERE)
        call(target, rate, active)
        calls.append(len(updates))
        for a in range(len(before)):
            tau = patient.hyperparameter(a, "target_rate") if active[a] else 0.0
            expected = (1 - tau) * before[a].double() + tau * source[a].double()
            patient.compare(CHECK, "θ' after it has followed", target.parameters.theta[a], expected, WHERE)
        patient.ask(
            CHECK, torch.equal(source, target.source.theta), "expected θ to stay as it is; found it moved", WHERE
        )
        known[id(target)] = target, target.parameters.theta.clone()
        followed.append((target, source))

    def update(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for target in _targets(args):
            if id(target) not in known:
                known[id(target)] = target, target.parameters.theta.clone()
                copied = updates or torch.equal(target.source.theta, target.parameters.theta)
                patient.ask(CHECK, copied, "expected θ' to start as a copy of θ; found other numbers", WHERE)
            _still(patient, known, target)
        updates.append(1)
        followed.clear()
        found = call(*args, **kwargs)
        for target, source in followed:
            last = torch.equal(source, target.source.theta)
            patient.ask(CHECK, last, "expected targets to follow what an update ends with; found an earlier θ", WHERE)
        return found

    def end() -> None:
        for target, _ in list(known.values())[:2]:
            before = target.parameters.theta.clone()
            target.follow(torch.full((len(before),), 0.5), torch.arange(len(before)) == 0)
            still = torch.equal(before[1:], target.parameters.theta[1:])
            patient.ask(
                CHECK, still, "expected the target of an agent that rests to stand still; found it moved", WHERE
            )
        if not updates:
            return
        due = _updates_before(patient) if patient.name == "dqn" else calls
        said = f"expected copies after {due[:6]} updates …; found them after {calls[:6]} …"
        patient.ask(CHECK, calls == due or len(calls) != len(due), said, f"relook/algorithms/{patient.name}.py")
        expected = _expected(patient, len(updates))
        patient.ask(
            CHECK,
            len(calls) == expected,
            f"expected target networks to follow {expected} times in {len(updates)} updates; found {len(calls)}",
            f"relook/algorithms/{patient.name}.py",
            expected=expected,
            found=len(calls),
        )

    if patient.has("target"):
        patient.around(Target, "follow", follow)
        patient.around(patient.module, "update", update)
        patient.afterwards(end)


def _targets(args: Any) -> list[Target]:
    own = [x for x in args if isinstance(x, Target)]
    return own + [x for learner in args if isinstance(learner, tuple) for x in learner if isinstance(x, Target)]


def _still(patient: Patient, known: dict[int, tuple[Target, Tensor]], target: Target) -> None:
    if id(target) in known:
        same = torch.equal(known[id(target)][1], target.parameters.theta)
        patient.ask(CHECK, same, "expected θ' to stand still until it is told to follow; found it moved", WHERE)


def _updates_before(patient: Patient) -> list[int]:
    """How many updates there have been when DQN's target is to follow, each time: those of its interval count."""
    config, made, found = patient.config, 0, []
    each = round(config.update_to_data * config.update_interval)
    for step in range(config.update_interval, patient.iterations * config.steps_each + 1, config.update_interval):
        made += each if step >= config.learning_starts else 0
        if step % config.target_interval == 0:
            found.append(made)
    return found


def _expected(patient: Patient, updates: int) -> int:
    """How often all target networks together should have followed."""
    if patient.name == "dqn":
        steps = patient.iterations * patient.config.steps_each
        return int(steps // patient.config.target_interval)
    delay = getattr(patient.config, "policy_delay", 1)
    networks = 1 if patient.name == "sac" else 2
    return int(updates // delay) * networks
