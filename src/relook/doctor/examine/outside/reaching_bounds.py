"""Can actions reach where they are best?"""

from collections.abc import Iterator

import numpy as np

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


BEST, MIDDLE, NEAR = np.array([2.7, -4.0]), np.array([1.0, -2.25]), 0.8


def _judge(trained: Trained) -> Iterator[str]:
    action, log = trained.act(vector(1.0)).reshape(-1), trained.log
    if np.abs(action - BEST).max() <= NEAR:
        return
    tried = np.all((log.least <= BEST + NEAR) & (log.most >= BEST - NEAR))
    nearer = np.all(np.abs(action - BEST) < np.abs(MIDDLE - BEST))
    if not (tried and nearer):  # else it learns slowly, and is on its way
        (x, y), (a, b), (c, d) = action, log.least, log.most
        yield (
            f"expected an action of about (2.7, -4); found ({x:.3g}, {y:.3g}), after actions from ({a:.3g}, {b:.3g}) "
            f"to ({c:.3g}, {d:.3g})"
        )


PROBE = Probe(CHECK, "InsideBounds", _judge, {"shown": 1.0}, kinds=("continuous",))
