"""Can actions reach where they are best?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, vector
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-bounds",
    component="environment",
    asks="The best action lies nine tenths of the way to bounds that are neither symmetric nor alike: it is reached.",
    causes=("actions are not rescaled to the bounds", "bounds are taken to be ±1 or symmetric"),
    remedy="Map the policy's range to [low, high], for each component by itself.",
    lesson="Most environments have bounds of ±1, and a wrong scale passes all of them; Pendulum's are ±2.",
)


def _judge(trained: Trained) -> Iterator[str]:
    x, y = (float(number) for number in trained.act(vector(0.0)).reshape(-1))
    if max(abs(x - 2.7), abs(y + 4.0)) > 0.8:
        yield f"expected an action of about (2.7, -4); found ({x:.3g}, {y:.3g})"


PROBE = Probe(CHECK, "InsideBounds", _judge, kinds=("continuous",))
