"""Can values be negative?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, chooses, vector
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-negative-values",
    component="networks",
    asks="Rewards are -1 or -2 at each of five steps: values are negative, and the dearer action is avoided.",
    causes=("an activation on the value's output", "values are cut at 0"),
    remedy="The last layer of a value function has no activation.",
    lesson=f"A ReLU on the output of Q is invisible where all rewards are positive. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    places = [tuple(float(i == at) for i in range(5)) for at in range(5)]
    yield from chooses(trained, dict.fromkeys(places, 1))
    if trained.values and (found := trained.value(vector(*places[0]))) > -2.0:
        yield f"expected a value of about -5 at the first step; found {found:.3g}"


PROBE = Probe(CHECK, "NegativeRewards", _judge)
