"""Are observations copied?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-in-place",
    component="buffer",
    asks="An environment that changes one array in place is learned as well as one that returns new ones.",
    causes=("the buffer keeps the array that the environment returned, and not a copy",),
    remedy="Copy observations when they are stored.",
    lesson="Gymnasium does not forbid an environment to return the same array again, and some do (dm_control 34, "
    "SuperSuit 116). A buffer of references then holds one observation many times over: s = s'.",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(1.0,): 1, (-1.0,): 0})


PROBE = Probe(CHECK, "Contexts", _judge, arguments={"in_place": True}, after="probe-contexts")
