"""Where does a cut episode go on: at its own last observation, or at the next one's first?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, vector
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-last-observation",
    component="environment",
    asks="Cut at a place worth 10, V of the place before is γ 10: not 0, and not what the next episode's start is "
    "worth.",
    causes=(
        "an automatic reset puts the next episode's first observation in place of the last one",
        "the last observation is in `info`, and nobody looks there",
        "a truncation is treated as a termination",
    ),
    remedy="Take `final_observation` where it is given, or step environments that do not reset themselves.",
    lesson="Vector environments reset themselves, and each library hides the last observation at another place. "
    "Whoever bootstraps from the observation that came back, learns that to be cut is worth as much as to begin anew.",
)


def _judge(trained: Trained) -> Iterator[str]:
    found = trained.value(vector(1.0, 0.0, 0.0))
    if found < 6.0:
        meant = "of an end" if found > -4.0 else "of the next episode's start"
        yield f"expected V = 10 γ before the cut; found {found:.3g}, which is the value {meant}"
    elif not found < 14.0:
        yield f"expected V = 10 γ before the cut; found {found:.3g}"


PROBE = Probe(CHECK, "Ends", _judge, needs_values=True)
