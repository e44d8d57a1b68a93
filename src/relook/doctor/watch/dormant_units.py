"""Is the network alive?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched, median_of

WINDOW = 0.2
"""Share of the training, at its end so far."""

MANY, ALL = 0.75, 0.98
"""Share of hidden units (Sokar et al. 2023 follow DQN on Atari)."""

CHECK = Check(
    name="dormant-units",
    component="networks",
    asks="Most hidden units answer to something.",
    causes=(
        "a learning rate that is too large: one step pushes ReLU units below 0 for all inputs",
        "many updates for each step, on a replay that hardly changes",
        "targets or inputs of a huge scale",
    ),
    remedy="Lower the critics' learning rate or the ratio of updates to steps; reset dormant units (ReDo).",
    lesson="A unit is dormant if its mean size is at most 2.5 % of its layer's mean (Sokar et al. 2023, "
    "arXiv:2302.12902, Definition 3.1). The share grows as a network is trained on moving targets, and with it goes "
    "the ability to fit new ones. It is made for ReLU; a trend tells more than a figure, and agents do well with a "
    "third of their units asleep. An observation that is 0 throughout wakes no unit, and single numbers are passed "
    "over.",
)


def look(watched: Watched) -> Iterator[Finding]:
    column = watched.metric("dormant")
    if watched.run.observation_size < 2:  # which may be 0 always, and then says nothing to any unit
        raise Missing("observations of more than one number")
    now = median_of(column[watched.last(WINDOW)])
    if now > MANY:
        yield Finding(
            CHECK,
            "error" if now > ALL else "warning",
            f"expected most hidden units to answer to something; found {now:.0%} of them dormant in the end",
            watched.see("dormant"),
            {"excess": now / MANY, "dormant": now},
        )
