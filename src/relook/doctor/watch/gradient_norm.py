"""Do gradients explode?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import attainable, trend
from relook.doctor.watch.watched import Missing, Watched, finite, median_of

WINDOW = 0.2
"""Share of the training, at its end so far."""

GROWN, HUGE = 100.0, 1e4
"""Times the median of the first iterations of learning (rlprobe: 10 × the median, three times; rl-doctor: 8 robust σ
and 3 × the median, which alarms on single spikes)."""

NAMES = ("gradient_norm", "policy_gradient_norm", "q_gradient_norm")

CHECK = Check(
    name="gradient-norm",
    component="gradient",
    asks="Gradients stay within a few orders of magnitude of what they were when learning began.",
    causes=(
        "values or targets that diverge",
        "gradients that are added up over updates because nobody sets them to zero",
        "rewards on a large scale without scaling, with clipping off",
        "a learning rate that is too large",
    ),
    remedy="Look at the values first: if they are as large as returns can be, scale rewards or clip; otherwise look at "
    "targets and at what is added up.",
    lesson="A single spike is normal wherever an episode ends in an unexpected way; it is growth that tells. Norms "
    "grow with the scale of values, by right, since an untrained critic has small ones: a hundredfold is therefore "
    "only told if it lasts, rises, and is more than the values explain.",
)


def look(watched: Watched) -> Iterator[Finding]:
    names = [name for name in NAMES if name in watched.columns]
    if not names:
        raise Missing("the norm of a gradient")
    window = watched.last(WINDOW)
    for name in names:
        column = watched.columns[name]
        known = finite(column)
        if len(known) < 2 * len(column[window]):
            continue
        first, now = float(np.median(known[:5])), median_of(column[window])
        if first > 0 and now > GROWN * first * _scale(watched) and trend(known).rises:
            yield Finding(
                CHECK,
                "error" if now > HUGE * first * _scale(watched) else "warning",
                f"expected {name} to stay on its scale; found a median of {now:.3g} in the last {len(column[window])} "
                f"iterations, {now / first:,.0f} times that of the first ones, and rising",
                watched.see(name),
                {"excess": now / first / GROWN, "metric": name, "value": now},
            )
            return


def _scale(watched: Watched) -> float:
    """How much larger errors get by right: from an untrained critic's to the largest value, where rewards are raw."""
    if watched.switch("scale_rewards"):
        return 1.0
    try:
        return max(1.0, attainable(watched, watched.setting("discount")) / 10)
    except Missing:
        return 1.0
