"""The bug zoo: mistakes that people make, as small patches of our own source, to measure who notices them."""

from relook.doctor.zoo import (
    off_policy,
    off_policy_2,
    on_policy,
    on_policy_2,
    unseen_off_policy,
    unseen_on_policy,
    world,
)
from relook.doctor.zoo.bug import SOURCE, Bug

UNSEEN: tuple[Bug, ...] = (*unseen_on_policy.BUGS, *unseen_off_policy.BUGS)
"""Written after the checks of `relook.doctor.examine` were frozen, by authors who had not seen them. What the checks
say of these is what they may say of bugs to come; of the others it is what they were made to say.
"""

BUGS: tuple[Bug, ...] = (
    *on_policy.BUGS,
    *off_policy.BUGS,
    *world.BUGS,
    *on_policy_2.BUGS,
    *off_policy_2.BUGS,
    *UNSEEN,
)

__all__ = ["BUGS", "SOURCE", "UNSEEN", "Bug"]
