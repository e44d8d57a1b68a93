"""The bug zoo: mistakes that people make, as small patches of our own source, to measure who notices them."""

import tomllib
from dataclasses import replace

from relook.doctor.zoo import (
    algorithms_5,
    off_policy,
    off_policy_2,
    off_policy_3,
    off_policy_4,
    on_policy,
    on_policy_2,
    on_policy_3,
    on_policy_4,
    parts,
    rest_5,
    runs,
    world,
    world_3,
)
from relook.doctor.zoo.bug import SOURCE, Bug

_KNOWN = tomllib.loads((SOURCE / "doctor" / "zoo" / "known.toml").read_text(encoding="utf-8"))
"""Where each bug bears load, whether it shows, and which check names it, as `benchmarks/zoo.py` measured it."""

UNSEEN: tuple[Bug, ...] = ()
"""Written after the checks of `relook.doctor.examine` were frozen, by authors who had not seen them: what the checks
say of these is what they may say of bugs to come. A lot counts as unseen until a check learns from it; LOG.md has what
each lot showed first.
"""

_WRITTEN: tuple[Bug, ...] = (
    *on_policy.BUGS,
    *off_policy.BUGS,
    *world.BUGS,
    *on_policy_2.BUGS,
    *off_policy_2.BUGS,
    *on_policy_3.BUGS,
    *off_policy_3.BUGS,
    *world_3.BUGS,
    *on_policy_4.BUGS,
    *off_policy_4.BUGS,
    *parts.BUGS,
    *runs.BUGS,
    *algorithms_5.BUGS,
    *rest_5.BUGS,
    *UNSEEN,
)

BUGS = tuple(replace(bug, **_KNOWN.get(bug.name, {})) for bug in _WRITTEN)
"""All of them."""

__all__ = ["BUGS", "SOURCE", "UNSEEN", "Bug"]
