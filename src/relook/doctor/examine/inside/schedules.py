"""Does each thing happen as often, and with the rate, that the hyper-parameters say?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Replay
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import epsilon_of
from relook.doctor.findings import Check
from relook.runs.unit import Unit

CHECK = Check(
    name="schedules",
    component="schedule",
    asks="Learning rates are those that were asked for and fall to 0 at the end of training and not before; updates "
    "come as often as was asked for, after as many steps, and each part takes its turn.",
    causes=(
        "the learning rate falls too early, or another rate is used",
        "epochs, minibatches or updates are left out or come twice",
        "learning starts at another step",
        "a delayed policy moves at every update, or never",
    ),
    remedy="Count steps and updates over a few iterations, and compare with what the hyper-parameters say.",
    lesson="A rate that reaches 0 at half of training, or one update where ten were meant, looks like a hard task. The "
    "number of updates per step is also what comparisons of sample efficiency rest on.",
)

RATES = {
    "policy": ("learning_rate",),
    "value": ("value_learning_rate", "learning_rate"),
    "q": ("learning_rate",),
    "q1": ("q_learning_rate",),
    "q2": ("q_learning_rate",),
    "temperature": ("temperature_learning_rate",),
}
"""The hyper-parameter of each group's learning rate: the first that the algorithm has."""


def attach(patient: Patient) -> None:
    place = f"relook/algorithms/{patient.name}.py"
    made: list[list[int]] = []
    fits: list[list[int]] = []

    stops = patient.hyperparameter(0, "target_kl") < float("inf") if patient.name == "ppo" else False
    stopped: set[int] = set()
    ended: list[set[int]] = []

    def record(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        _rates(patient, place)
        made.append(_policy_steps(patient))
        fits.append(_fits(patient))
        ended.append(set(stopped))
        stopped.clear()
        return call(*args, **kwargs)

    def sample(call: Callable[..., Any], *args: Any) -> Any:
        steps = len(patient.history) * patient.config.envs
        patient.ask(
            CHECK,
            steps >= patient.config.learning_starts,
            f"expected no update before {patient.config.learning_starts} steps; found one after {steps}",
            place,
        )
        return call(*args)

    def end() -> None:
        if not made:
            return
        count = len(made)
        said = f"expected {patient.iterations} iterations, as many as fit into {patient.steps} steps; found {count}"
        patient.ask(CHECK, count == patient.iterations, said, "relook/runs/unit.py, Unit.iterations")
        for i, found in enumerate(fits if hasattr(patient.config, "value_epochs") else []):
            each = _fits_due(patient)
            learns = [n > 0 for n in _ends(patient, i)] if patient.name == "reinforce" else [True] * len(found)
            due = [each * (some and getattr(patient.config, "baseline", "value") == "value") for some in learns]
            said = f"expected {due} steps of the value function alone in iteration {i}; found {found}"
            patient.ask(CHECK, found == due, said, place, part="value loss")
        for i, (found, expected) in enumerate(zip(made, _expected(patient), strict=False)):
            alike = set(found) == {expected}
            if patient.name == "reinforce":  # which has nothing to learn from where no episode ended
                alike = found == [int(n > 0) for n in _ends(patient, i)]
            if stops:  # who was not stopped went on to the end
                alike = all(n == expected or a in ended[i] for a, n in enumerate(found))
            patient.ask(
                CHECK,
                alike,
                f"expected {expected} steps of the policy or of Q in iteration {i} for each agent; found {found}",
                place,
                part="policy loss" if stops else "",
                expected=expected,
                found=found,
            )

    def gradient_step(call: Callable[..., Any], *args: Any) -> Any:
        step = call(*args)
        for a in range(len(patient.agents)):
            x = step.log_ratio[a].double()
            over = float((x.exp() - 1 - x).mean()) > 1.5 * patient.hyperparameter(a, "target_kl")
            expected = bool(step.took_part[a]) and not over and a not in stopped
            patient.ask(
                CHECK,
                bool(step.moved[a]) == expected,
                f"expected the update {'to go on' if expected else 'to stop, or to have stopped,'} at this KL; found "
                "otherwise",
                place,
                part="policy loss",
            )
            if over:
                stopped.add(a)
        for group, active in patient.moves[-1].asked["active"].items():
            whole = group == "value" and patient.config.kl_stops == "policy"
            right = torch.equal(active, patient.agents.alive if whole else step.moved)
            said = f"expected a step of {group} by those who go on; found {active.tolist()}"
            patient.ask(CHECK, right, said, place, part="value loss" if group == "value" else "policy loss")
        return step

    def exploration(call: Callable[..., Any], net: Any, noise: Tensor, epsilon: Tensor) -> Any:
        config = patient.config
        done = patient.iteration * config.iteration + torch.arange(0, config.iteration, config.envs)
        for a in range(len(patient.agents)):
            expected = epsilon_of(patient, a, done)
            patient.compare(CHECK, "ε", epsilon[a], expected, place, 1e-4, part="exploration")
        return call(net, noise, epsilon)

    def update(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before = len(patient.moves)
        found = call(*args, **kwargs)
        groups = [next(iter(move.rates)) for move in patient.moves[before:]]
        critics = sum(group.startswith("q") for group in groups)
        said = f"expected the critics to make one step in an update; found {critics}"
        patient.ask(CHECK, critics == 1, said, place)
        first = not groups or groups[0].startswith("q")
        patient.ask(CHECK, first, f"expected the critic to move first in an update; found the order {groups}", place)
        return found

    if patient.has("exploration"):
        patient.around(patient.module, "exploration", exploration)
    if patient.has("critic_step"):
        patient.around(patient.module, "update", update)
    patient.around(Unit, "record", record)
    if stops:
        patient.around(patient.module, "gradient_step", gradient_step)
    if patient.has("replay_for"):
        patient.around(Replay, "sample", sample)
        _random_steps(patient, place)
    patient.afterwards(end)


def _random_steps(patient: Patient, place: str) -> None:
    """The first actions come from all over their range, and none after them."""
    random: set[int] = set()

    def anything(call: Callable[..., Any], *args: Any) -> Any:
        random.add(len(patient.history))
        return call(*args)

    def end() -> None:
        expected = -(-patient.config.random_steps // patient.config.envs)
        patient.ask(
            CHECK,
            random == set(range(expected)),
            f"expected random actions in the first {expected} steps; found them in {len(random)}",
            place,
        )

    if hasattr(patient.config, "random_steps"):
        patient.around(patient.known.networks, "anything", anything)
        patient.afterwards(end)


def _rates(patient: Patient, place: str) -> None:
    for move in patient.moves:
        for group, rates in move.rates.items():
            name = next(name for name in RATES[group] if name in patient.agents[0].hyperparameters)
            for a in range(len(patient.agents)):
                factor = patient.hyperparameter(a, "value_learning_rate_factor") if _by_factor(patient, group) else 1.0
                expected = patient.hyperparameter(a, name) * factor
                # What is wrong from the beginning is another number; what becomes wrong does not fall as it should.
                part = "optimiser" if patient.iteration == 0 else ""
                patient.compare(CHECK, f"learning rate of {group}", float(rates[a]), expected, place, 1e-5, part=part)


def _by_factor(patient: Patient, group: str) -> bool:
    return group == "value" and "value_learning_rate_factor" in patient.agents[0].hyperparameters


def _policy_steps(patient: Patient) -> list[int]:
    """Steps that each agent made in this iteration with what acts: the policy, or Q."""
    acting = [
        active for move in patient.moves for group, active in move.asked["active"].items() if group in ("policy", "q")
    ]
    return [sum(bool(active[a]) for active in acting) for a in range(len(patient.agents))]


def _fits(patient: Patient) -> list[int]:
    """Steps that each agent made in this iteration with its value function alone."""
    alone = [move.asked["active"]["value"] for move in patient.moves if set(move.rates) == {"value"}]
    return [sum(bool(active[a]) for active in alone) for a in range(len(patient.agents))]


def _fits_due(patient: Patient) -> int:
    """How many there should be: one for each minibatch of each epoch, or for all whole episodes at once."""
    config = patient.config
    parts = 1 if patient.name == "reinforce" else -(-config.envs * config.horizon // config.minibatch)
    return int(config.value_epochs * parts)


def _ends(patient: Patient, iteration: int) -> list[int]:
    """Episodes of each agent that ended in an iteration."""
    moments = [m.told for m in patient.history if m.iteration == iteration]
    return [sum(int((m.terminated[a] | m.truncated[a]).sum()) for m in moments) for a in range(len(patient.agents))]


def _expected(patient: Patient) -> list[int]:
    """Steps of the policy, or of Q, in each iteration."""
    config, count = patient.config, patient.iterations
    if patient.has("replay_for"):
        found, number = [], 0
        for i in range(count):
            own = 0
            for step in range(0, config.iteration, config.update_interval):
                done = i * config.iteration + step + config.update_interval
                if done >= config.learning_starts:
                    for _ in range(round(config.update_to_data * config.update_interval)):
                        number += 1
                        own += number % getattr(config, "policy_delay", 1) == 0
            found.append(own)
        return found
    samples = config.envs * config.horizon
    each = 0 if patient.name == "trpo" else 1  # TRPO's policy moves without an optimiser
    if patient.name == "ppo":
        each = config.epochs * -(-samples // config.minibatch)
    if patient.name == "a2c":
        each = config.rollouts
    return [each] * count
