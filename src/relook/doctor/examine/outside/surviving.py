"""Is survival worth more than a last reward?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-survival",
    component="normalisation",
    asks="To go on earns 1 for up to 20 steps, to quit 1.5 once: it goes on.",
    causes=("a mean is subtracted from rewards", "γ is far too small", "ends are not told from steps"),
    remedy="Divide rewards to scale them; never shift them.",
    lesson="A shift adds a constant to every step, and so rewards or punishes long episodes: which policy is best "
    "changes. Schulman, Nuts and Bolts: rescale, but do not shift the mean.",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(1.0,): 0})


PROBE = Probe(CHECK, "SurviveOrQuit", _judge, {"shown": 1.0})
