"""Are value estimates too high or too low, all of them?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched, median_of

WINDOW = 0.3
"""Share of the training, at its end so far."""

FAR = 5.0
"""Standard deviations of the targets."""

MATTERS = 0.2
"""Share of the values' own size that the error must be, root mean square: at a solved task targets hardly differ, and a
bias of many of their standard deviations is nothing."""

CHECK = Check(
    name="value-bias",
    component="estimates",
    asks="Values are neither too high nor too low on the whole, compared with their targets.",
    causes=(
        "a value function that learns too slowly for targets that keep moving",
        "values and targets on different scales: rewards scaled in one and not in the other",
        "values clipped so tightly that they cannot follow",
        "a learning rate or loss of the value function that is wrong",
    ),
    remedy="Raise the value function's learning rate or coefficient; compare V and its target for one batch by eye.",
    lesson="Explained variance does not change if a constant is added to V, but a wrong constant makes every advantage "
    "wrong by the same amount, and with γ or at the ends of episodes not even by the same. mean(V - target) / "
    "sd(target) sees it. Its denominator shrinks where a task is solved, so that the error has to matter against the "
    "values too.",
)


def look(watched: Watched) -> Iterator[Finding]:
    bias, window = watched.metric("value_bias"), watched.last(WINDOW)
    loss, value = watched.metric("value_loss")[window], watched.metric("value")[window]
    seen = bias[window][np.isfinite(bias[window])]
    if len(seen) < 0.5 * len(bias[window]):
        raise Missing("targets that differ")
    median = float(np.median(seen))
    error = median_of(np.sqrt(np.maximum(loss, 0)))
    size = median_of(np.abs(value))
    if abs(median) > FAR and error > MATTERS * size:
        yield Finding(
            CHECK,
            "warning",
            f"expected values around their targets; found them {abs(median):.1f} standard deviations of the targets "
            f"too {'high' if median > 0 else 'low'} in the last {len(seen)} iterations (root mean square error "
            f"{error:.3g}, mean value {size:.3g})",
            watched.see("value_bias"),
            {"excess": abs(median) / FAR, "bias": median},
        )
