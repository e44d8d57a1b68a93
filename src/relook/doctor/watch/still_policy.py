"""Does the policy move while its values do?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

STILL = 1e-12
"""A KL below this is none: rounding of r and log r alone makes 1e-9."""

CERTAIN = 0.01
"""nats, for choices: below, all probability is on one action, and hardly any gradient moves it."""

SUSTAINED = 0.6
"""Share of the iterations with something to learn."""

CHECK = Check(
    name="still-policy",
    component="policy loss",
    asks="Where advantages differ, an update changes the policy: the KL between before and after is not 0.",
    causes=(
        "the old log-probabilities are recomputed with the new policy, so that every ratio is 1 and has no gradient",
        "the policy's loss is detached, or not part of what is minimised",
        "advantages that are all alike",
        "the optimiser does not hold the policy's parameters",
    ),
    remedy="Take one minibatch twice: the ratio is 1 the first time, and must not be the second time.",
    lesson="KL 0, clip fraction 0 and a rising explained variance fit a policy that gets no gradient, because "
    "everything else goes on: values are learned, for the random policy. rl-debug-bench found that from such curves "
    "alone the right part is named two times in three at best; the size of the policy's own gradient would tell it "
    "apart from advantages that are all equal. Where all targets are equal there is nothing to learn, and the check "
    "says nothing.",
)


def look(watched: Watched) -> Iterator[Finding]:
    kl = watched.metric("kl")
    if watched.run.algorithm == "ppo" and _minibatches(watched) < 2:
        raise Missing("a second minibatch, before which the KL is always 0")
    judged = np.isfinite(kl) & np.isfinite(watched.columns.get("explained_variance", kl))
    for name in ("learning_rate", "updates"):
        if name in watched.columns:
            judged &= watched.columns[name] > 0
    if "backtracks" in watched.columns:
        judged &= watched.columns["backtracks"] == 0
    if watched.run.actions is not None and watched.run.actions.sizes:  # a policy that is certain has no gradient
        judged &= watched.metric("entropy") > CERTAIN
    if "learning_rate" in watched.columns:  # at the end of a schedule steps are too small to be seen in float32
        judged &= watched.columns["learning_rate"] > 0.1 * np.nanmax(watched.columns["learning_rate"], initial=0)
    if judged.sum() < 2 * 5:
        raise Missing("ten iterations with something to learn")
    still = judged & (np.abs(kl) < STILL)
    if still.sum() > SUSTAINED * judged.sum():
        yield Finding(
            CHECK,
            "error",
            f"expected the policy to change where advantages differ; found a KL of 0 in {int(still.sum())} of "
            f"{int(judged.sum())} iterations",
            watched.see("kl", "explained_variance"),
            {"excess": float(still.sum() / judged.sum() / SUSTAINED), "still": int(still.sum())},
        )


def _minibatches(watched: Watched) -> int:
    """Of one update."""
    return math.ceil(watched.steps_each / watched.setting("minibatch")) * int(watched.setting("epochs"))
