"""Does an update make better what it is meant to?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched, finite

WORSE = 0.8
"""Share of what the objective changed by, all together, that it became worse."""

SUSTAINED = 5
"""Iterations at least."""

MOVED = 1e-5
"""nats: a KL from which on the policy has moved; below, the change of the objective is rounding."""

CHECK = Check(
    name="surrogate",
    component="policy loss",
    asks="An update improves the objective that it follows: PPO's loss falls below the 0 where it begins, and a step "
    "that TRPO takes improves L.",
    causes=(
        "the sign of the policy's loss, or of its gradient",
        "a learning rate that is far too large, so that steps leap over what they aim at",
        "the loss that is logged is not the one that is followed",
    ),
    remedy="Take one small step on one minibatch and compute the loss before and after: it must fall.",
    lesson="With advantages of mean 0 the surrogate is 0 at the old policy (PPO, Eq. 7, at r = 1), and each step of an "
    "epoch makes it better on the data that it sees. A mean loss above 0 over most iterations says that steps go "
    "uphill, or too far. Returns need not show it soon: a task in which anything works is solved anyway. Without "
    "normalised advantages the loss begins elsewhere, and the check says nothing.",
)


def look(watched: Watched) -> Iterator[Finding]:
    if watched.run.algorithm == "trpo":
        change, name = watched.metric("improvement"), "improvement"
    elif watched.run.algorithm == "ppo":
        if not watched.switch("normalise_advantages"):
            raise Missing("advantages of mean 0")
        if watched.setting("epochs") < 2:
            raise Missing("a second epoch")
        change, name = -watched.metric("policy_loss"), "policy_loss"
    else:
        raise Missing("an objective that is 0 where an update begins")
    change = finite(change[watched.metric("kl") > MOVED])
    if len(change) < SUSTAINED or not change.any():
        raise Missing(f"{SUSTAINED} iterations in which the policy moved")
    share = float(-change[change < 0].sum() / np.abs(change).sum())
    if share > WORSE:
        yield Finding(
            CHECK,
            "error",
            f"expected updates to improve their own objective; found that {share:.0%} of all that it changed by in "
            f"{len(change)} iterations was for the worse",
            watched.see(name),
            {"excess": share / WORSE, "share": share},
        )
