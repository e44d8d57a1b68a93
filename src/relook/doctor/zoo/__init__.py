"""The bug zoo: mistakes that people make, as small patches of our own source, to measure who notices them."""

from relook.doctor.zoo import off_policy, off_policy_2, on_policy, on_policy_2, world
from relook.doctor.zoo.bug import SOURCE, Bug

BUGS: tuple[Bug, ...] = (*on_policy.BUGS, *off_policy.BUGS, *world.BUGS, *on_policy_2.BUGS, *off_policy_2.BUGS)

__all__ = ["BUGS", "SOURCE", "Bug"]
