"""Does SAC's temperature go where the entropy is missing?"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="temperature",
    component="temperature",
    asks="The slope of log α is the entropy of the policy minus its target, for each agent its own: α rises where the "
    "entropy is too low and falls where it is too high; a fixed α stays.",
    causes=("a wrong sign", "the target is not counted per component of the action", "agents share a temperature"),
    remedy="Set the entropy far above its target by hand: α must fall in one step.",
    lesson="With the wrong sign α runs away to 0 or to infinity within a few thousand steps, while Q still looks "
    "reasonable. Haarnoja et al. 2018, Eq. 18; the loss is linear in log α here, as in the authors' code.",
)
WHERE = "relook/algorithms/sac.py, temperature_step"


def attach(patient: Patient) -> None:
    if patient.name != "sac":
        return
    entropies: list[Tensor] = []

    def target(call: Callable[..., Any], learner: Any, *rest: Any) -> Any:
        for a in range(len(patient.agents)):
            if not entropies:
                asked = patient.hyperparameter(a, "temperature")
                patient.compare(CHECK, "the first α", learner.alpha[a], [asked], WHERE)
            own = learner.temperature["log"][a].detach().exp()
            patient.compare(CHECK, "α of an agent", learner.alpha[a], own, WHERE)
        return call(learner, *rest)

    def policy_step(call: Callable[..., Any], *args: Any) -> Any:
        told = call(*args)
        entropies.append(told["entropy"].clone())
        return told

    def temperature_step(call: Callable[..., Any], learner: Any, *rest: Any) -> None:
        number = len(patient.moves)
        call(learner, *rest)
        move = patient.moves[number] if len(patient.moves) > number else None
        patient.ask(CHECK, move is not None, "expected a step of the temperature; found none", WHERE)
        if move is None:
            return
        size = len(patient.ac.half)
        for a in range(len(patient.agents)):
            slope = float(entropies[-1][a].double().mean()) - patient.hyperparameter(a, "target_entropy") * size
            found = float(move.gradient[a].flatten()[0])
            patient.compare(CHECK, "slope of log α", found, slope, WHERE, 1e-3)

    def update(call: Callable[..., Any], learner: Any, *rest: Any) -> Any:
        before = learner.temperature.theta.clone()
        told = call(learner, *rest)
        moved = bool((learner.temperature.theta != before).any())
        learns = patient.config.learn_temperature
        patient.ask(CHECK, moved == learns, f"expected α to {'move' if learns else 'stay'}; found otherwise", WHERE)
        return told

    patient.around(patient.module, "target", target)
    patient.around(patient.module, "policy_step", policy_step)
    patient.around(patient.module, "temperature_step", temperature_step)
    patient.around(patient.module, "update", update)
