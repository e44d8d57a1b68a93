"""The lowest rung: is a number learned?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, worth
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-value",
    component="value loss",
    asks="One step, one observation, reward 1: V = 1.",
    causes=("the value loss, its gradient or its optimiser", "a target of another reward"),
    remedy="Mend this rung before any other.",
    lesson=f"Nothing but a number to be learned. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from worth(trained, {(0.0,): 1.0}, 0.3)


PROBE = Probe(CHECK, "ValueOnly", _judge, needs_values=True)
