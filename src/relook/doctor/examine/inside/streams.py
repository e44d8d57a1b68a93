"""Does everything follow from the seed, and from nothing else?"""

import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside.initialisation import alike
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.population import Agent, Agents, agents_are_independent
from relook.population.agents import Ahead
from relook.runs.unit import Unit

CHECK = Check(
    name="random-streams",
    component="randomness",
    asks="One seed gives one result, whatever else drew random numbers and whoever trains beside it; another seed "
    "gives another; no numbers are drawn twice.",
    causes=(
        "global generators are used",
        "agents of a population share numbers, statistics or gradients",
        "an iteration draws the numbers of the one before",
    ),
    remedy="Key every stream by seed, purpose and iteration.",
    lesson="A result that depends on what else drew numbers cannot be looked at again: a metric that is computed, or a "
    "plot that is drawn, makes another training of it. And noise that comes twice is exploration that was not made.",
)


def attach(patient: Patient) -> None:
    drawn: set[bytes] = set()

    def noisy(owner: Any, name: str) -> None:
        signature = inspect.signature(getattr(owner, name))

        def hook(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            given = signature.bind(*args, **kwargs).arguments
            noise = given["noise"]
            metric = given["observation"].shape[1] != patient.config.envs if name == "act" else False
            if metric and not patient.evaluates:
                return call(*args, **kwargs)
            rows = [own.contiguous().numpy().tobytes() for own in noise]
            if name == "act":
                each = [own.contiguous().numpy().tobytes() for of_agent in noise for own in of_agent]
                said = "expected noise of its own for each environment that acts; found some alike"
                part = "evaluation" if metric else "exploration"
                alike = len(set(each)) < len(each)
                patient.ask(CHECK, not alike, said, f"relook/algorithms/{patient.name}.py", part)
            if noise.is_floating_point() and patient.continuous:
                apart = noise.shape[-1] > 1 and bool((noise[..., 1:] != noise[..., :1]).all())
                said = f"expected noise of its own for each component of an action in {name}; found some alike"
                patient.ask(CHECK, apart, said, f"relook/algorithms/{patient.name}.py", part="exploration")
            fresh = len(set(rows)) == len(rows) and not drawn.intersection(rows)
            patient.ask(
                CHECK,
                fresh,
                f"expected noise of its own for each agent and each call of {name}; found some a second time",
                f"relook/algorithms/{patient.name}.py",
                part="evaluation" if metric else "",
            )
            drawn.update(rows)
            return call(*args, **kwargs)

        if "noise" in signature.parameters:
            patient.around(owner, name, hook)

    def anything(call: Callable[..., Any], ac: Any, uniform: Tensor) -> Any:
        rows = [own.contiguous().numpy().tobytes() for own in uniform]
        if patient.continuous:
            apart = uniform.shape[-1] > 1 and bool((uniform[..., 1:] != uniform[..., :1]).all())
            said = "expected random numbers of their own for each component of a random action; found some alike"
            patient.ask(CHECK, apart, said, f"relook/algorithms/{patient.name}.py", part="exploration")
        fresh = len(set(rows)) == len(rows) and not drawn.intersection(rows)
        said = "expected random actions of their own for each agent and step; found some a second time"
        patient.ask(CHECK, fresh, said, f"relook/algorithms/{patient.name}.py")
        drawn.update(rows)
        return call(ac, uniform)

    if hasattr(patient.config, "random_steps"):
        patient.around(patient.known.networks, "anything", anything)
    for name in ("exploration", "explore", "target", "policy_step"):
        if patient.has(name):
            noisy(patient.module, name)

    def once() -> None:
        again = {key for key, count in Counter(patient.drawn).items() if count > 1}
        said = f"expected each block of random numbers to be drawn once; found a second time: {sorted(again)[:3]}"
        evaluated = all("evaluate" in purpose for purpose, _ in again)
        part = "evaluation" if again and evaluated else ""
        patient.ask(CHECK, not again, said, f"relook/algorithms/{patient.name}.py", part)

    def check(call: Callable[..., None], unit: Any, rehearse: Callable[[Agents], Tensor]) -> None:
        one, other = rehearse(patient.agents), rehearse(patient.agents)
        said = "expected the start-up check to compute the same twice; found other numbers"
        patient.ask(CHECK, torch.equal(one, other), said, "relook/buffers/rehearsal.py")
        call(unit, rehearse)

    patient.around(Unit, "check", check, always=True)
    patient.afterwards(once)
    patient.afterwards(lambda: _independence(patient))
    patient.afterwards(lambda: _ahead(patient))
    if patient.known.networks.stochastic:
        noisy(patient.known.networks, "act")


def compare(make: Callable[[Sequence[int]], Patient], report: Patient) -> None:
    """Train twice with the same seeds: one result; two seeds: two results."""
    where = f"relook/algorithms/{report.name}.py"
    first, again = _end(make((11, 12))), _end(make((11, 12)))
    if not first or not again:
        return
    report.ask(CHECK, _equal(first, 0, again, 0), "expected one seed to give one result; found two", where)
    report.ask(CHECK, not _equal(first, 0, first, 1), "expected two seeds to give two results; found one", where)


def alone(make: Callable[..., Patient], report: Patient, *, part: str = "") -> None:
    """Train two agents together, and each by itself: nothing of an agent depends on its neighbours.

    `make(seeds, position)` is a patient with these seeds, the first of which is at a position among all.
    """
    where = f"relook/algorithms/{report.name}.py"
    together = make((11, 12), 0)
    both = _end(together)
    if not both:
        return
    twice = alike(together.first)
    said = f"expected networks and agents that start differently; found some of shape {', '.join(twice)} alike"
    report.ask(CHECK, not twice, said, "relook/networks")
    for a, seed in enumerate((11, 12)):
        single = _end(make((seed,), a))
        if single:
            said = f"expected agent {a} alone to become what it becomes among others"
            report.ask(CHECK, _equal(both, a, single, 0), said, where, part)


def _end(patient: Patient) -> dict[str, Tensor]:
    """What a training ends with; nothing, if it failed."""
    torch.rand(7)  # global numbers that nothing should notice
    np.random.default_rng().random()
    patient.train()
    return dict(patient.ac.state()) if patient.ac is not None and not patient.findings else {}


def _equal(x: dict[str, Tensor], a: int, y: dict[str, Tensor], b: int) -> bool:
    return all(torch.equal(x[name][a], y[name][b]) for name in x if not name.startswith("normaliser/count"))


def _independence(patient: Patient) -> None:
    """The start-up check knows agents that are independent from such that are not."""
    strangers = Agents([Agent(a, 5 + a, {}) for a in range(3)])

    def alone(agents: Agents) -> Tensor:
        return torch.tensor([[float(agent.seed)] for agent in agents])

    def together(agents: Agents) -> Tensor:
        return alone(agents) + alone(agents).mean()

    found = agents_are_independent(strangers, alone), agents_are_independent(strangers, together)
    said = f"expected the start-up check to tell independent agents from others; found {found}"
    patient.ask(CHECK, found == (True, False), said, "relook/population/selfcheck.py", part="record")


def _ahead(patient: Patient) -> None:
    """Numbers for more updates than an examination makes: each are those of a block of their own."""
    drawn = Ahead(patient.agents.normal, "examine", (3,))
    rows = [drawn[i][a].numpy().tobytes() for i in range(3 * Ahead.LENGTH) for a in range(len(patient.agents))]
    said = "expected numbers of their own for each agent and update; found some a second time"
    patient.ask(CHECK, len(set(rows)) == len(rows), said, "relook/population/agents.py, Ahead")
