"""Does the value function tell observations apart?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, worth
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-values",
    component="value loss",
    asks="One step whose reward is the observation, 1 or -1: V tells them apart.",
    causes=(
        "a (B, 1) met a (B) in the value loss, and every value became the mean of all",
        "the value function does not see the observation, or sees another one",
        "observations are aliased, or shuffled apart from their targets",
    ),
    remedy="Print the shapes of values and targets: both must be (B,).",
    lesson="Where broadcasting makes a B × B table of errors, all values become one, and the loss still falls. "
    f"Spinning Up's exercise 2.2 plants this fault in DDPG. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from worth(trained, {(1.0,): 1.0, (-1.0,): -1.0}, 0.5)


PROBE = Probe(CHECK, "RewardByObservation", _judge, needs_values=True)
