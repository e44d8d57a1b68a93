"""Does a policy stay where a time limit alone cuts it off?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-stay",
    component="estimates",
    asks="One way earns 1 for ever, cut every four steps by a limit that is not seen; the other earns 5 in four steps "
    "and ends: the first is chosen.",
    causes=("a truncation is treated as a termination",),
    remedy="Bootstrap from the last observation where the episode was truncated; only `terminated` removes the "
    "bootstrap.",
    lesson="What probe-time-limit asks of values, asked of the policy alone, for γ of 0.9 or more. Whoever learns "
    "from sums of rewards without values cannot bootstrap, and is right to quit: the task with its limit is another "
    "one then.",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(1.0, 0.0, 0.0): 0})


PROBE = Probe(CHECK, "StayOrQuit", _judge, without_values=True)
