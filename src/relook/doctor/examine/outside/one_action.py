"""Is the better of two actions chosen?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-action",
    component="policy loss",
    asks="One step, reward 1 for one action and -1 for the other: the first is chosen.",
    causes=("the sign of the policy's loss", "a gradient that does not reach the policy", "no exploration"),
    remedy="Mend this rung before any other of the policy.",
    lesson=f"The lowest rung of the policy: one action is better, always. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(0.0,): 1})


PROBE = Probe(CHECK, "RewardByAction", _judge)
