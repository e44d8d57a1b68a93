"""Does a time limit leave the value of what would have come?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, vector
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-time-limit",
    component="estimates",
    asks="Reward 1 for ever, cut every ten steps by a limit that is not seen: V is near 1 / (1 - γ), and not what ten "
    "steps give.",
    causes=("a truncation is treated as a termination: `done = terminated or truncated`",),
    remedy="Bootstrap from the last observation where the episode was truncated; only `terminated` removes the "
    "bootstrap.",
    lesson="A limit that is not in the observation is no part of the task (Pardo et al. 2018, arXiv:1712.00378). "
    "Taken for an end it makes values depend on a clock that nobody sees: they are too low, and wrong by chance. The "
    "return on CartPole hardly tells: 488 instead of 500.",
)
TEN_STEPS = 13.0
"""Ten rewards of 1, and what learning may leave."""


def _judge(trained: Trained) -> Iterator[str]:
    found = trained.value(vector(1.0))
    if found < TEN_STEPS:
        yield f"expected V far above {TEN_STEPS:g}, what ten steps give; found {found:.3g}"


PROBE = Probe(CHECK, "ConstantReward", _judge, {"shown": 1.0}, needs_values=True)
