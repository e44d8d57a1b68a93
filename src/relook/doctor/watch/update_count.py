"""Are there as many updates as were asked for?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Array, Missing, Watched

OFF = 0.05
"""Share by which the number of updates may differ."""

SUSTAINED = 0.2
"""Share of the iterations in which it must differ."""

CHECK = Check(
    name="update-count",
    component="schedule",
    asks="Each iteration makes the updates that were asked for: epochs × minibatches, or the ratio of updates to "
    "steps.",
    causes=(
        "only the first minibatch, or the first epoch, is learned from",
        "the counter that says when to update counts something else",
        "more updates than asked: a loop inside of a loop",
    ),
    remedy="Count the gradient steps of one iteration by hand, and compare with `updates`.",
    lesson="Data that is collected and never learned from costs nothing that one sees: returns rise a little more "
    "slowly. The number of gradient steps for each step of the environment (the replay ratio) decides about stability "
    "off-policy (Fedus et al. 2020, arXiv:2007.06700), so that measured and asked-for have to agree before anything is "
    "compared. PPO makes fewer where its KL stop ends an update, and is then passed over.",
)


def look(watched: Watched) -> Iterator[Finding]:
    if "update_to_data" in watched.columns:
        wanted, column, name = _of_replay(watched), watched.metric("update_to_data"), "update_to_data"
    elif watched.run.algorithm == "ppo":
        if math.isfinite(watched.setting("target_kl")):
            raise Missing("updates that a KL stop cannot end")
        minibatches = math.ceil(watched.steps_each / watched.setting("minibatch"))
        column, name = watched.metric("updates"), "updates"
        wanted = np.full(len(column), watched.setting("epochs") * minibatches)
    else:
        raise Missing("a number of updates that was asked for")
    off = np.abs(column - wanted) / wanted
    wrong = off > OFF
    if wrong.sum() > max(1, SUSTAINED * len(column)):
        worst = int(np.nanargmax(off))
        yield Finding(
            CHECK,
            "error",
            f"expected {name} {wanted[worst]:.4g} in an iteration; found {column[worst]:.4g} at step "
            f"{watched.steps[worst]:,}, and another number than asked for in {int(wrong.sum())} of {len(column)} "
            "iterations",
            watched.see(name),
            {"excess": float(off[worst] / OFF), "expected": float(wanted[worst]), "value": float(column[worst])},
        )


def _of_replay(watched: Watched) -> Array:
    """Updates for each step [I]; not a number before learning has begun and in the iteration in which it does."""
    interval = watched.setting("update_interval")
    updates = round(watched.setting("update_to_data") * interval)
    if updates < 1 or watched.steps_each % interval:
        raise Missing("an update in every interval")
    learns = watched.steps - watched.steps_each >= watched.setting("learning_starts")
    return np.where(learns, updates / interval, np.nan)
