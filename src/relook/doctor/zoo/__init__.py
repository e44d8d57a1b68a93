"""The bug zoo: mistakes that people make, as small patches of our own source, to measure who notices them."""

from relook.doctor.zoo import off_policy, on_policy, world
from relook.doctor.zoo.bug import SOURCE, Bug

BUGS: tuple[Bug, ...] = (*on_policy.BUGS, *off_policy.BUGS, *world.BUGS)

__all__ = ["BUGS", "SOURCE", "Bug"]
