"""Is the whole replay sampled, and evenly?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

OFF = 0.15
"""Share by which the mean age of what is sampled may differ from half of what is stored."""

SUSTAINED = 0.5
"""Share of the iterations in which it must differ."""

CHECK = Check(
    name="replay-age",
    component="sampling",
    asks="Transitions are sampled evenly from all that the replay holds, so that their mean age is half of what it "
    "holds.",
    causes=(
        "indices that are drawn from a part of the replay only",
        "a replay that is emptied, overwritten too early, or whose place to write does not move on",
        "rows that were never filled are sampled",
    ),
    remedy="Draw some thousand indices and look at their histogram: flat from the oldest to the newest transition.",
    lesson="Learning from the newest transitions only is on-policy learning without its corrections, and forgets; "
    "learning from the oldest only is learning from random actions. Neither fails on a small task. The age of sampled "
    "data changes what is learned at equal replay size (Fedus et al. 2020, arXiv:2007.06700, §3).",
)


def look(watched: Watched) -> Iterator[Finding]:
    age, each, capacity = watched.metric("replay_age"), watched.steps_each, watched.setting("capacity")
    if not watched.run.straight:
        raise Missing("a training that was not changed on its way")
    before = watched.steps - each
    learns = before >= watched.setting("learning_starts")
    stored = (np.minimum(before, capacity) + np.minimum(watched.steps, capacity)) / 2  # mean over the iteration
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.where(learns, np.abs(age / (stored / 2) - 1), np.nan)
    judged = np.isfinite(off)
    if judged.sum() < 2:
        raise Missing("two iterations of learning")
    wrong = off > OFF
    if wrong.sum() > SUSTAINED * judged.sum():
        worst = int(np.nanargmax(off))
        yield Finding(
            CHECK,
            "error",
            f"expected sampled transitions to be {stored[worst] / 2:,.0f} steps old on average at step "
            f"{watched.steps[worst]:,}, half of what is stored; found {age[worst]:,.0f}",
            watched.see("replay_age"),
            {"excess": float(off[worst] / OFF), "expected": float(stored[worst] / 2), "value": float(age[worst])},
        )
