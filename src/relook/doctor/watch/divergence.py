"""Did an agent diverge?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Watched

CHECK = Check(
    name="divergence",
    component="optimiser",
    asks="All numbers that an agent learns with stay finite.",
    causes=(
        "a learning rate that is too large",
        "rewards or observations of a size that networks are not made for",
        "a loss whose gradient has the wrong sign, or a target that gradients flow into",
        "targets that bootstrap beyond the end of an episode",
    ),
    remedy="Divide the learning rate by ten; if that does not help, look at value-bound and gradient-norm of the rows "
    "before, and let `relook doctor algorithm` check the code.",
    lesson="A NaN is the last thing that happens and never the first: values or gradients have grown for many updates "
    "before. An agent that diverged keeps its last finite parameters and its last evaluation, which may look fine; its "
    "curve simply ends. Off-policy learning with function approximation and bootstrapping may diverge with every part "
    "correct (the deadly triad: Sutton and Barto 2018, §11.3; van Hasselt et al. 2018, arXiv:1812.02648).",
)


def look(watched: Watched) -> Iterator[Finding]:
    stop = watched.stop
    if stop is not None and stop["status"] == "diverged" and "during" not in stop:
        yield Finding(
            CHECK,
            "error",
            f"expected finite numbers; {stop['reason']}, after {int(stop['steps']):,} steps",
            f"{watched.file('events')}, the event `stopped`",
            {"excess": 1.0, "steps": int(stop["steps"]), "reason": stop["reason"]},
        )
