"""Do observation, action and reward belong together?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, chooses
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-coupling",
    component="sampling",
    asks="One step, reward 1 if the action says the sign of the observation: it does, for both.",
    causes=(
        "observations, actions and advantages are torn apart",
        "the critic's values are the mean of all, so that the policy has nothing to climb",
    ),
    remedy="Index observations, actions and advantages with one permutation.",
    lesson=f"Observation, action and reward must belong together for the first time on this rung. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from chooses(trained, {(1.0,): 1, (-1.0,): 0})


PROBE = Probe(CHECK, "Coupling", _judge)
