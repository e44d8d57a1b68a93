"""Does a training that was interrupted become what it would have been?"""

from collections.abc import Callable

import torch

from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="resumption",
    component="record",
    asks="A training that pauses and goes on from its checkpoint ends with the same parameters, bit for bit, as one "
    "that was never interrupted.",
    causes=(
        "moments, step counts, statistics or experience are not in the checkpoint",
        "running episodes are not where they were",
        "a target network or a temperature is forgotten",
    ),
    remedy="Whatever the next update depends on belongs to `run.start(…)`, which keeps it.",
    lesson="Optimiser moments that begin anew, or an empty replay, show as a dent in the curve at best. Hardly any "
    "library resumes exactly, so hardly any notices.",
)


def compare(make: Callable[[], Patient], report: Patient) -> None:
    """Train with a pause and without."""
    whole, paused = make(), make()
    whole.train()
    paused.train(pause=True)
    if whole.ac is None or paused.ac is None or whole.findings or paused.findings:
        return
    one, other = whole.ac.state(), paused.ac.state()
    different = [name for name, x in one.items() if not torch.equal(x, other[name])]
    report.ask(
        CHECK,
        not different,
        f"expected the same parameters after a pause; found other ones: {', '.join(different)}",
        f"relook/algorithms/{report.name}.py, run.start",
    )
