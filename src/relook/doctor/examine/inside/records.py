"""Are statistics that are logged what their definitions give?"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.buffers import Estimates, Replay
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.runs.evaluation import Evaluation
from relook.runs.unit import Unit

CHECK = Check(
    name="records",
    component="record",
    asks="KL, clip fraction, explained variance, losses, the bias of values and the age of samples are what their "
    "definitions give.",
    causes=("values in units of scaled rewards", "an estimator of KL that can be negative", "another set of samples"),
    remedy="Compute the figure once more from what it is about.",
    lesson="Every diagnosis from curves rests on the curves. E[-log r] is an unbiased estimator of KL that may be "
    "negative; E[(r - 1) - log r] cannot be (Schulman's note on approximating KL).",
)
WHERE = "metrics.jsonl"


def attach(patient: Patient) -> None:
    ratios: list[Tensor] = []
    shares: list[Tensor] = []
    clips: list[list[float]] = []
    estimates: list[Estimates] = []

    def gradient_step(call: Callable[..., Any], *args: Any) -> Any:
        step = call(*args)
        ratios.append(step.log_ratio.double().clone())
        shares.append(step.took_part.double().clone())
        clips.append([patient.hyperparameter(a, "clip") for a in range(len(patient.agents))])
        return step

    def judged(of_rollout: Estimates) -> None:
        scale = patient.reward_scale.view(-1, 1, 1)
        estimates.append(Estimates(*(x.clone() * scale for x in of_rollout)))

    def record(
        call: Callable[..., Any], unit: Any, diagnostics: Mapping[str, Tensor], *rest: Any, **kwargs: Any
    ) -> Any:
        if ratios:
            for a in range(len(patient.agents)):
                kl = [float((x[a].exp() - 1 - x[a]).mean()) for x in ratios]
                beyond = [
                    float(((x[a].exp() - 1).abs() > clip[a]).double().mean())
                    for x, clip in zip(ratios, clips, strict=True)
                ]
                took_part = [float(share[a]) for share in shares]
                for figure, each, tolerance, small in (("kl", kl, 1e-2, 1e-4), ("clip_fraction", beyond, 1e-3, 1e-3)):
                    mean = np.average(each, weights=took_part)
                    patient.compare(CHECK, figure, diagnostics[figure][a], mean, WHERE, tolerance, small)
        if estimates and "explained_variance" in diagnostics:
            for a in range(len(patient.agents)):
                value, target = (
                    torch.cat([getattr(one, name)[a].flatten() for one in estimates]).double()
                    for name in ("value", "target")
                )
                explained = 1 - (target - value).var(correction=0) / target.var(correction=0)
                bias = (value - target).mean() / target.std(correction=0)
                patient.compare(
                    CHECK, "explained variance", diagnostics["explained_variance"][a], explained, WHERE, 1e-3, 1.0
                )
                patient.compare(CHECK, "value bias", diagnostics["value_bias"][a], bias, WHERE, 1e-3, 1.0)
        for name, steps in patient.losses.items():
            if name == "value_loss" and patient.name == "a2c":  # each of whose rollouts has a scale of its own
                continue
            scale = (
                diagnostics["reward_scale"].double() ** 2 if name == "value_loss" else torch.ones(len(patient.agents))
            )
            stopped = "updates" in diagnostics and ratios and float(diagnostics["updates"].min()) < len(ratios)
            if not stopped:
                expected = torch.tensor(steps).double().mean(0) * scale
                patient.compare(CHECK, name, diagnostics[name], expected, WHERE, 1e-3, 1e-3)
        ratios.clear()
        shares.clear()
        clips.clear()
        estimates.clear()
        return call(unit, diagnostics, *rest, **kwargs)

    def age(call: Callable[..., Tensor], replay: Replay, places: Tensor) -> Tensor:
        found = call(replay, places)
        steps = len(patient.history) * patient.config.envs
        patient.compare(CHECK, "replay_age", found, steps - places.double(), WHERE, 1e-6)
        return found

    def bias(call: Callable[..., Tensor], evaluation: Any, discount: Tensor) -> Tensor:
        found = call(evaluation, discount)
        for a in range(len(patient.agents)):
            patient.compare(CHECK, "q_bias", found[a], _bias(patient, evaluation, a), WHERE, 1e-3, 1.0)
        return found

    if patient.has("replay_for"):
        patient.around(Replay, "age", age)
        patient.around(Evaluation, "bias", bias)
    if patient.has("gradient_step"):
        patient.around(patient.module, "gradient_step", gradient_step)

    patient.when_judged(judged)
    patient.around(Unit, "record", record)


def _bias(patient: Patient, evaluation: Any, a: int) -> float:
    """Mean of V - G over the steps of an agent's deterministic episodes, newest first in the ledger.

    An episode that did not terminate goes on with its last step's own estimate, which then does not count.
    """
    gamma, count, errors = patient.hyperparameter(a, "discount"), patient.evaluate_episodes, []
    own = evaluation.envs._envs[0].unwrapped.instance
    for n in range(count):
        played = [p for p in patient.ledger.episodes[own + a * evaluation.envs.count + n] if p.actions][-1]
        value = [float(evaluation.values[t, a, n]) for t in range(len(played.actions))]
        terminated, _ = played.end(len(played.actions) - 1)
        total = 0.0 if terminated else value[-1]
        for t in reversed(range(len(played.actions))):
            if terminated or t < len(played.actions) - 1:
                total = played.rewards[t] + gamma * total
                errors.append(value[t] - total)
    return float(np.mean(errors))
