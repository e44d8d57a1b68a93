"""Are evaluations of the agents as they are, in the environment as it is, and without a trace in training?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from relook.doctor.examine.inside.bounds import meant
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import best_of
from relook.doctor.examine.inside.ward import Played
from relook.doctor.findings import Check
from relook.runs.evaluation import Evaluation
from relook.runs.files import read_lines

CHECK = Check(
    name="evaluations",
    component="evaluation",
    asks="Returns that are reported are sums of the environment's own rewards; deterministic evaluations of one agent "
    "are alike, in episodes that no training saw and that every evaluation plays again; nothing of the agent moves "
    "meanwhile.",
    causes=(
        "rewards that are scaled, clipped or shifted are reported",
        "exploration or noise is left on, or off where it belongs",
        "the normaliser's statistics move while evaluating",
        "episodes are cut, counted twice or share their seeds with training",
    ),
    remedy="Evaluate one agent twice, and add the rewards up in an environment of your own.",
    lesson="What is reported is all that others see. Statistics that move at evaluation, or are lost on loading, have "
    "been found in several libraries (CleanRL 556, IsaacLab 2635).",
)
WHERE = "relook/runs/evaluation.py"


def attach(patient: Patient) -> None:
    """On a patient that is evaluated."""

    def evaluation(call: Callable[..., Any], self: Any, policy: Any, *args: Any, **kwargs: Any) -> Any:
        before = {name: x.clone() for name, x in policy.state().items()}
        starts = [len(own) for own in patient.ledger.episodes]
        moments = len(patient.history)
        found = call(self, policy, *args, **kwargs)
        after = policy.state()
        same = all(torch.equal(x, after[name]) for name, x in before.items()) and moments == len(patient.history)
        patient.ask(CHECK, same, "expected an evaluation to leave the agent as it is; found it changed", WHERE)
        own = [
            played
            for episodes, start in zip(patient.ledger.episodes, starts, strict=True)
            for played in episodes[start:]
        ]
        _played(patient, found, own)
        _deterministic(patient, own)
        return found

    if patient.evaluate_episodes:
        patient.around(Evaluation, "__call__", evaluation)
        patient.afterwards(lambda: _recorded(patient))


def _played(patient: Patient, found: Any, own: list[Played]) -> None:
    """What an evaluation says of its episodes, against what happened in them."""
    sums = sorted(float(np.sum(played.rewards)) for played in own if played.rewards)
    told = sorted(float(episode.ret) for _, episodes in found for episode in episodes)
    patient.compare(CHECK, "returns", told, sums, WHERE, 1e-5)
    lengths = sorted(len(played.actions) for played in own if played.rewards)
    patient.compare(CHECK, "lengths", sorted(e.length for _, es in found for e in es), lengths, WHERE, 0)


def _deterministic(patient: Patient, own: list[Played]) -> None:
    """The first mode's actions are the best ones, without noise."""
    if not own:
        return
    episodes, base = patient.evaluate_episodes, min(played.instance for played in own)
    each = episodes * (2 if patient.ac.stochastic else 1)
    for played in own:
        a, n = divmod(played.instance - base, each)
        if n < episodes and played.actions and a < len(patient.agents):
            seen = torch.from_numpy(np.stack(played.observations[: len(played.actions)]))
            with torch.inference_mode(False), torch.no_grad():
                best = meant(patient, best_of(patient, a, seen))
            found = np.stack([np.ravel(action) for action in played.actions])
            patient.compare(CHECK, "actions of a deterministic evaluation", found, best, WHERE)


def _recorded(patient: Patient) -> None:
    rows = read_lines(patient.directory / "evaluations.jsonl")
    episodes = read_lines(patient.directory / "episodes.jsonl")
    training = {row["reset_seed"] for row in episodes if row["kind"] == "training"}
    own = [row for row in episodes if row["kind"] == "evaluation"]
    patient.ask(CHECK, bool(rows), "expected evaluations; found none", WHERE)
    shared = training & {row["reset_seed"] for row in own}
    patient.ask(CHECK, not shared, f"expected seeds of its own; found {len(shared)} that training had too", WHERE)
    for a in range(len(patient.agents)):
        mine = [row for row in rows if row["agent"] == a]
        steps = sorted({row["steps"] for row in mine})
        due = patient.evaluated_at
        said = f"expected evaluations at the start and at each tenth of training, {due}; found them at {steps}"
        patient.ask(CHECK, steps == due, said, "relook/runs/unit.py, Unit.record")
        kinds = {row["deterministic"] for row in mine}
        expected = {True} if patient.name in ("dqn", "ddpg", "td3") else {True, False}
        patient.ask(CHECK, kinds == expected, f"expected the modes {expected}; found {kinds}", WHERE)
        for row in mine:
            enough = len(row["returns"]) == patient.evaluate_episodes
            patient.ask(
                CHECK, enough, f"expected {patient.evaluate_episodes} episodes; found {len(row['returns'])}", WHERE
            )
        for mode in sorted(kinds):
            played = [row for row in own if row["agent"] == a and row["deterministic"] == mode]
            first = [row["reset_seed"] for row in played if row["evaluation"] == 0]
            said = f"expected {patient.evaluate_episodes} different episodes in each mode; found {len(set(first))}"
            patient.ask(CHECK, len(set(first)) == len(first) == patient.evaluate_episodes, said, WHERE)
        seeds: dict[int, set[int]] = {}
        for row in own:
            if row["agent"] == a:
                seeds.setdefault(row["environment"], set()).add(row["reset_seed"])
        patient.ask(
            CHECK,
            all(len(one) == 1 for one in seeds.values()),
            "expected every evaluation to play the same episodes again; found other seeds",
            WHERE,
        )
        different = {seed for one in seeds.values() for seed in one}
        patient.ask(
            CHECK,
            len(different) == patient.evaluate_episodes,
            f"expected {patient.evaluate_episodes} different episodes; found {len(different)}",
            WHERE,
        )
