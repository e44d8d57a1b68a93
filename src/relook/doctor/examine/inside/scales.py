"""Are rewards and observations put on a scale, and on that alone?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Rollout
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.runs.unit import Unit

CHECK = Check(
    name="scales",
    component="normalisation",
    asks="Rewards are divided by the standard deviation of all discounted returns so far and never shifted; the "
    "normaliser knows the mean and spread of what was seen, moves between iterations only, and each agent has its own.",
    causes=(
        "a mean is subtracted from rewards",
        "the running return is not reset at ends, or is another agent's",
        "statistics move while they are used, or not at all",
        "rewards that are logged are the scaled ones",
    ),
    remedy="Divide rewards, do not shift them; freeze statistics while collecting and updating.",
    lesson="Subtracting a mean from rewards changes which policy is best as soon as episodes can end: to quit may then "
    "pay (Schulman, Nuts and Bolts: rescale, but do not shift). The scale is Engstrom et al. 2020, §3.",
)
WHERE = "relook/population/normalisers.py"


def attach(patient: Patient) -> None:
    if not patient.has("Rollout"):
        return
    seen: list[Tensor] = []
    means: list[Tensor] = []

    def use(call: Callable[..., Any], *args: Any) -> Any:
        rollout = next(x for x in args if isinstance(x, Rollout))
        reward = next(x for x in args if isinstance(x, Tensor) and x.shape == rollout.reward.shape)
        _rewards(patient, rollout, reward)
        _observations(patient, seen)
        if getattr(patient.ac, "normaliser", None) is not None:
            means.append(patient.ac.normaliser.mean.clone())
        return call(*args)

    def record(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        seen.clear()
        seen.extend(m.told.observation for m in patient.history)
        _observations(patient, seen)
        return call(*args, **kwargs)

    patient.around(patient.module, "estimate" if patient.has("estimate") else "update", use)

    def whole(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        normaliser: Any = getattr(patient.ac, "normaliser", None)
        for a in range(len(patient.agents)) if normaliser is not None else ():
            all_of_it = torch.stack([moment.told.observation[a] for moment in patient.history]).flatten(0, 1).double()
            patient.compare(CHECK, "mean of all observations", normaliser.mean[a], all_of_it.mean(0), WHERE, 1e-3)
            variance = all_of_it.var(0, correction=0)
            patient.compare(CHECK, "variance of all observations", normaliser.variance[a], variance, WHERE, 1e-3)
        return call(*args, **kwargs)

    def gradient_step(call: Callable[..., Any], *args: Any) -> Any:
        normaliser = getattr(patient.ac, "normaliser", None)
        if normaliser is not None and means:
            still = torch.equal(normaliser.mean, means[-1])
            said = "expected statistics that stand still until an update is made; found them moved before it"
            patient.ask(CHECK, still, said, f"relook/algorithms/{patient.name}.py")
        return call(*args)

    if patient.has("gradient_step"):
        patient.around(patient.module, "gradient_step", gradient_step)
    if patient.name == "a2c" and not patient.asked.mixed:
        patient.around(Unit, "record", whole)
    if patient.name != "a2c":  # whose normaliser moves after each of an iteration's rollouts
        patient.around(Unit, "record", record)


def _rewards(patient: Patient, rollout: Rollout, reward: Tensor) -> None:
    for a in range(len(patient.agents)):
        gamma, spread = patient.hyperparameter(a, "discount"), 1.0
        if patient.config.scale_rewards:
            total, returns = torch.zeros(patient.config.envs, dtype=torch.float64), []
            for moment in patient.history:
                total = gamma * total + moment.told.reward[a].double()
                returns.append(total)
                total = torch.where(moment.told.terminated[a] | moment.told.truncated[a], 0.0, total)
            spread = float(torch.stack(returns).std(correction=0))
        expected = rollout.reward[a].double() / spread
        patient.compare(CHECK, "reward that is learned from", reward[a], expected, WHERE)


def _observations(patient: Patient, seen: list[Tensor]) -> None:
    normaliser = getattr(patient.ac, "normaliser", None)
    if normaliser is None or patient.name == "a2c":
        return
    for a in range(len(patient.agents)):
        if not seen:
            mean, variance = torch.zeros_like(normaliser.mean[a]), torch.ones_like(normaliser.variance[a])
        else:
            all_of_it = torch.stack(seen)[:, a].flatten(0, 1).double()
            mean, variance = all_of_it.mean(0), all_of_it.var(0, correction=0)
        patient.compare(CHECK, "mean of observations", normaliser.mean[a], mean, WHERE, 1e-3)
        patient.compare(CHECK, "variance of observations", normaliser.variance[a], variance, WHERE, 1e-3)
        if seen:
            some = seen[-1][a]
            expected = ((some.double() - mean) / (variance + 1e-8).sqrt()).clamp(-10, 10)
            if patient.asked.mixed:  # the kind, which comes first, is left alone
                expected[:, :3] = some[:, :3].double()
            found = normaliser(torch.stack([some] * len(patient.agents)))[a]
            patient.compare(CHECK, "observation as networks see it", found, expected, WHERE, 1e-3)
