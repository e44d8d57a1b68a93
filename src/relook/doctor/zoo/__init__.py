"""The bug zoo: mistakes that people make, as small patches of our own source, to measure who notices them."""

from relook.doctor.zoo import later_off_policy, later_on_policy, off_policy, on_policy, world
from relook.doctor.zoo.bug import SOURCE, Bug

LATER: tuple[Bug, ...] = (*later_on_policy.BUGS, *later_off_policy.BUGS)
"""Written after the checks of `relook.doctor.examine` were frozen, by authors who had not seen them."""

BUGS: tuple[Bug, ...] = (*on_policy.BUGS, *off_policy.BUGS, *world.BUGS, *LATER)

__all__ = ["BUGS", "LATER", "SOURCE", "Bug"]
