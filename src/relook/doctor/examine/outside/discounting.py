"""Is a reward worth less, and not nothing, a step before?"""

from collections.abc import Iterator

from relook.doctor.examine.outside.probing import JONES, Probe, worth
from relook.doctor.examine.outside.trainer import Trained
from relook.doctor.findings import Check

CHECK = Check(
    name="probe-discount",
    component="estimates",
    asks="Two steps, rewards 0 and 1: V is 1 at the second and γ at the first.",
    causes=(
        "the value of the next observation is not bootstrapped",
        "an end one step too early",
        "γ is 0, or another number",
    ),
    remedy="Compute one target by hand: r + γ V(s').",
    lesson=f"The first rung on which a value rests on another one. {JONES}",
)


def _judge(trained: Trained) -> Iterator[str]:
    yield from worth(trained, {(1.0,): 1.0, (0.0,): 0.9}, 0.3)


PROBE = Probe(CHECK, "Discount", _judge, needs_values=True)
