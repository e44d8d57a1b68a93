"""Is each reward that of its own action, in longer episodes too?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-contexts",
    component="buffer",
    asks="Ten steps with a new sign each, reward 1 if the action says it: it does.",
    causes=(
        "rewards are stored one step early or late",
        "an observation is the one before, or the one after",
        "n-step or λ-returns leave out the first reward",
    ),
    remedy="Store what was seen before the step, the action, and what the step gave, in one row.",
    lesson="In episodes of one step a reward that lies a step off lies in another episode, or nowhere; in longer ones "
    "it is given to a neighbour. Algorithms that sum rewards over an episode forgive a reward that comes late: see "
    "probe-past-reward.",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(1.0,): 1, (-1.0,): 0})


PROBE = Probe(CHECK, "Contexts", _judge)
