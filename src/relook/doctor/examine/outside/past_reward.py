"""Is a value of what is to come, and not of what has been?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import Probe, worth
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-past-reward",
    component="buffer",
    asks="Rewards 10 and 0: V of the second observation is 0, whatever came before it.",
    causes=("a reward is stored one step late: what is stored with a step is the reward of the one before",),
    remedy="Store the reward that the step returns, and not the one that was there before it.",
    lesson="This is Spinning Up's issue 50. Sums of rewards over an episode hardly change, so that the policy learns; "
    "the values hold what is already over, and where rewards come once, at the end, it is lost.",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from worth(trained, {(0.0, 1.0): 0.0}, 4.0)


PROBE = Probe(CHECK, "PastReward", _judge, needs_values=True)
