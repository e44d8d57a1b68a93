"""Is every figure that is logged what its definition gives?"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Rollout, estimates
from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import epsilon_of, q_of, range_of, theta_of
from relook.doctor.findings import Check
from relook.envs import Environments, Transition
from relook.runs.unit import Unit

CHECK = Check(
    name="figures",
    component="record",
    asks="Learning rates, ε, saturation, entropies, the length of a step, numbers of updates and samples, and the "
    "values that are recorded step by step are what a second computation gives.",
    causes=(
        "a figure of something else of the same shape is logged",
        "memory that has changed since is read",
        "a mean is over other samples, or over all but the last",
    ),
    remedy="Compute the figure once more, from what it is about, after a single iteration.",
    lesson="A wrong figure does no harm to training, and all the more to who reads it: a learning rate that seems not "
    "to fall, or a saturation of which half is missing, sends people looking in the wrong place.",
)
WHERE = "metrics.jsonl and recorded values"


def attach(patient: Patient) -> None:
    values: list[Tensor] = []
    judged: list[Tensor] = []

    def saturation(call: Callable[..., Tensor], action: Tensor, spaces: Any) -> Tensor:
        found = call(action, spaces)
        if patient.continuous:
            middle, half = range_of(patient)
            all_over = (middle + half * torch.linspace(-1.1, 1, 40).unsqueeze(1)).expand(len(action), 40, len(half))
            for x, y in ((action, found), (all_over, call(all_over, spaces))):
                expected = (((x.double() - middle) / half).abs() >= 0.99).double().flatten(1).mean(1)
                patient.compare(CHECK, "saturation", y, expected, WHERE, 1e-3, 0.1)
        return found

    def record(
        call: Callable[..., Any],
        unit: Any,
        diagnostics: Mapping[str, Tensor],
        episodes: Any,
        value: Tensor | None = None,
        value_scale: Tensor | None = None,
    ) -> Any:
        for a in range(len(patient.agents)):
            _of_agent(patient, a, diagnostics)
        if judged and "value" in diagnostics:
            mean = torch.cat(judged, 1).double().flatten(1).mean(1) * diagnostics["reward_scale"].double()
            if patient.name != "a2c":  # each of whose rollouts has a scale of its own
                patient.compare(CHECK, "mean V(s)", diagnostics["value"], mean, WHERE, 1e-3, 1e-3)
        if value is not None:
            _values(patient, value, values, judged)
        for kept in (values, judged):
            kept.clear()
        return call(unit, diagnostics, episodes, value, value_scale)

    def of_episodes(call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Rollout, *rest: Any) -> Any:
        learned, expected = rollout.ended().flatten(1), []
        for a in range(len(patient.agents)):
            theta, seen = plain.leaves(ac.state(), a), patient.seen(a, rollout.observation[a].flatten(0, 1)[learned[a]])
            with torch.inference_mode(False), torch.no_grad():
                output = plain.network(theta, "policy", seen.clone(), patient.config.activation)
                expected.append((plain.entropy(theta, output).mean(), len(seen)))
        found = call(ac, optimiser, rollout, *rest)
        scaled.append(found["value"].clone())
        for a, (entropy, samples) in enumerate(expected):
            patient.compare(CHECK, "samples", found["samples"][a], samples, WHERE)
            if samples:
                patient.compare(CHECK, "entropy", found["entropy"][a], entropy, WHERE, 1e-5, 1e-2)
        return found

    entropies: list[Tensor] = []

    def evaluate(call: Callable[..., Any], *args: Any) -> Any:
        now = call(*args)
        entropies.append(now.entropy.double().mean(1))
        return now

    def rollout_update(call: Callable[..., Any], *args: Any) -> Any:
        estimates_of, found = call(*args)
        error = (estimates_of.target - estimates_of.value).double().flatten(1).square().mean(1)
        patient.compare(CHECK, "value_loss", found["value_loss"], error, WHERE, 1e-3, 1e-4)
        return estimates_of, found

    def record_of_rollouts(
        call: Callable[..., Any], unit: Any, diagnostics: Mapping[str, Tensor], *rest: Any, **named: Any
    ) -> Any:
        if entropies and not stops and patient.name != "reinforce":
            first = patient.name in ("vpg", "trpo")  # whose entropy is that of the policy before its step
            expected = entropies[0] if first else torch.stack(entropies[-len(patient.moves) :]).mean(0)
            patient.compare(CHECK, "entropy", diagnostics["entropy"], expected, WHERE, 1e-4, 1e-2)
        entropies.clear()
        if patient.name == "a2c":
            updates = [float(patient.config.rollouts)] * len(patient.agents)
            patient.compare(CHECK, "updates", diagnostics.get("updates", torch.ones(len(updates))), updates, WHERE)
        if patient.name == "reinforce":
            samples = [_ended(patient, a) for a in range(len(patient.agents))]
            patient.compare(
                CHECK, "steps of episodes that ended", diagnostics["samples"], samples, WHERE, part="buffer"
            )
        if scaled:
            expected = scaled[-1] * patient.reward_scale
            patient.compare(CHECK, "mean V(s)", diagnostics["value"], expected, WHERE, 1e-4, 1e-3)
        return call(unit, diagnostics, *rest, **named)

    def step(call: Callable[..., Transition], envs: Any, action: Tensor) -> Transition:
        if envs is patient.envs and patient.name == "dqn":
            with torch.inference_mode(False), torch.no_grad():
                seen = enumerate(envs.observation)
                values.append(torch.stack([q_of(patient, theta_of(patient, a), x).amax(1) for a, x in seen]))
        return call(envs, action)

    stops = patient.name == "ppo" and patient.hyperparameter(0, "target_kl") < float("inf")
    scaled: list[Tensor] = []
    if patient.has("Rollout"):
        for name in ("evaluate", "evaluate_policy"):
            patient.around(patient.known.networks, name, evaluate)
        patient.around(Unit, "record", record_of_rollouts)
    if patient.name == "a2c":
        patient.around(patient.module, "update", rollout_update)
    if patient.name == "reinforce":
        patient.around(patient.module, "update", of_episodes)
    if patient.has("saturation"):
        patient.around(patient.module, "saturation", saturation)
    if patient.has("estimate"):
        patient.when_judged(lambda estimates_of: judged.append(estimates_of.value.clone()))
    patient.around(estimates, "saturation", saturation)
    patient.around(Environments, "step", step)
    patient.around(Unit, "record", record)


def _of_agent(patient: Patient, a: int, diagnostics: Mapping[str, Tensor]) -> None:
    def ask(name: str, expected: Any, tolerance: float = 1e-3, floor: float = 1e-6) -> None:
        if name in diagnostics:
            patient.compare(CHECK, name, diagnostics[name][a], expected, WHERE, tolerance, floor)

    if "learning_rate" in diagnostics:
        ask("learning_rate", patient.hyperparameter(a, "learning_rate"), 1e-5)
    own = [move for move in patient.moves if {"policy", "q"} & set(move.rates)]
    stops = patient.name == "ppo" and patient.hyperparameter(a, "target_kl") < float("inf")
    if own and patient.name != "trpo" and not stops:  # TRPO's policy moves without an optimiser
        ask("gradient_norm", torch.stack([_norm(move, a) for move in own]).mean())
    if patient.name == "vpg" and getattr(patient.ac, "normaliser", None) is None:
        ask("kl", _moved(patient, a), 1e-2, 1e-5)
    if "step_size" in diagnostics:
        before, after = patient.theta[a].double(), patient.ac.parameters.theta[a].double()
        ask("step_size", (after - before).norm() / before.norm())
    if "epsilon" in diagnostics:
        done = (patient.iteration + 1) * patient.config.iteration - patient.config.envs
        ask("epsilon", epsilon_of(patient, a, torch.tensor(done)), 1e-4)
    if patient.continuous and patient.has("Rollout"):
        middle, half = range_of(patient)
        actions = torch.stack([m.action[a] for m in patient.history if m.iteration == patient.iteration]).double()
        ask("saturation", (((actions - middle) / half).abs() >= 0.99).double().mean(), 1e-3, 0.1)


def _ended(patient: Patient, a: int) -> int:
    """Steps of an agent's episodes that ended in this iteration."""
    count = 0
    for n in range(patient.config.envs):
        length = 0
        for moment in patient.history:
            length += 1
            if moment.told.terminated[a, n] or moment.told.truncated[a, n]:
                count += length if moment.iteration == patient.iteration else 0
                length = 0
    return count


def _norm(move: Any, a: int) -> Tensor:
    """The norm of an agent's gradient, of all groups that the step moved."""
    groups = [move.optimiser.parameters.groups.index(group) for group in move.rates]
    norm: Tensor = move.gradient[a, groups].double().norm()
    return norm


def _moved(patient: Patient, a: int) -> Tensor:
    """KL of the policy that collected this iteration and of what it has become, over what was seen."""
    seen = torch.cat([m.told.observation[a] for m in patient.history if m.iteration == patient.iteration])
    before = plain.leaves(patient.state_of(patient.ac.parameters, patient.theta), a)
    now = plain.leaves(patient.ac.state(), a)
    with torch.no_grad():
        one, other = (plain.network(t, "policy", seen.double(), patient.config.activation) for t in (before, now))
        return plain.kl(before, one, now, other).mean()


def _values(patient: Patient, found: Tensor, values: list[Tensor], judged: list[Tensor]) -> None:
    """The values V(s) of what was acted on, step by step [A, T, N]."""
    moments = [m for m in patient.history if m.iteration == patient.iteration]
    if patient.name == "dqn":
        expected = torch.stack(values, 1)
    elif patient.has("replay_for"):
        seen = torch.stack([m.told.observation for m in moments], 1)
        expected = patient.ac.value(seen.flatten(1, 2)).view(seen.shape[:3])
    elif judged:
        expected = torch.cat(judged, 1)
    else:
        return
    patient.compare(CHECK, "recorded V(s)", found, expected, WHERE, 1e-3, 1e-3)
