"""Do agents that rest, or whose gradient is not finite, stay as they are, and the others go on?"""

import torch

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.runs.files import read_lines

CHECK = Check(
    name="faults",
    component="optimiser",
    asks="An agent whose environment raises an exception or returns NaN stops, is written down, and changes nobody "
    "else; one whose gradient is not finite, or who is not active, does not move.",
    causes=(
        "a mask that multiplies, through which NaN passes",
        "one exception ends the training of all",
        "a number that is not finite goes unnoticed",
    ),
    remedy="Mask with `where` and not with a product, and look for numbers that are not finite where they come in.",
    lesson="0 × NaN is NaN: an agent that was masked by a product is lost with the one that diverged. And a NaN that "
    "nobody notices is a run that reports its last good evaluation as if it went on.",
)
WHERE = "relook/population/optimiser.py"


def attach(patient: Patient) -> None:
    patient.afterwards(lambda: _optimiser(patient))
    if patient.asked.fault:
        patient.afterwards(lambda: _agents(patient))


def _optimiser(patient: Patient) -> None:
    """One more step, of one agent alone, with gradients of which some are not finite."""
    for move in {id(move.optimiser): move for move in patient.moves}.values():
        optimiser, parameters = move.optimiser, move.optimiser.parameters
        if len(patient.agents) < 2 or patient.asked.fault:
            return
        for what, gradient, active in (
            ("an agent whose gradient is not finite", torch.nan, [True, True]),
            ("an agent that rests", 1.0, [True, False]),
        ):
            before = parameters.theta.clone()
            parameters.gradient.fill_(1.0)
            parameters.gradient[1].fill_(gradient)
            on = {group: torch.tensor(active) for group in move.rates}
            rates = {group: torch.full((2,), 1e-3) for group in move.rates}
            optimiser.step(rates, active=on)
            still, moved = torch.equal(before[1], parameters.theta[1]), not torch.equal(before[0], parameters.theta[0])
            patient.ask(CHECK, still, f"expected {what} to stay as it is; found it moved", WHERE)
            patient.ask(CHECK, moved, f"expected the others to move beside {what}; found that they stay", WHERE)
            parameters.theta.copy_(before)


def _agents(patient: Patient) -> None:
    """The second agent's environment has a fault: the first one trains to the end."""
    where = "relook/envs/vector.py"
    rows, events = (read_lines(patient.directory / f"{name}.jsonl") for name in ("metrics", "events"))
    made = {a: max((row["steps"] for row in rows if row["agent"] == a), default=0) for a in (0, 1)}
    whole = patient.iterations * patient.config.steps_each
    patient.ask(
        CHECK,
        made[0] == whole,
        f"expected the healthy agent to make {whole} steps; found {made[0]}",
        where,
        part="environment",
    )
    own = patient.ledger.episodes[: patient.config.envs]
    played = sum(len(episode.actions) for episodes in own for episode in episodes)
    patient.ask(
        CHECK,
        played >= whole,
        f"expected the healthy agent's environments to be stepped {whole} times; found {played}",
        where,
        part="environment",
    )
    stops = {
        row["agent"]: (row["status"], row.get("reset_seed") is not None) for row in events if row["event"] == "stopped"
    }
    status = "crashed" if patient.asked.fault == "raises" else "diverged"
    patient.ask(
        CHECK,
        stops == {1: (status, True)},
        f"expected agent 1 to stop as {status}, with the seed of its episode; found {stops}",
        where,
        part="environment",
    )
