"""Do value estimates tell states apart?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Missing, Watched

WINDOW = 0.3
"""Share of the training, at its end so far."""

NOTHING = 0.02
"""An explained variance below this is none."""

SUSTAINED = 0.9
"""Share of the window."""

CHECK = Check(
    name="explained-variance",
    component="value loss",
    asks="In time values explain some of how targets differ, or returns rise all the same.",
    causes=(
        "observations and targets that belong to different samples",
        "a value loss over the wrong shape, (B) against (B, 1), which teaches the mean of the batch",
        "a value function that learns too slowly, or whose units are saturated",
        "targets that observations cannot explain: a time limit that is not observed, chance",
    ),
    remedy="Fit the values to one batch for a thousand steps: if they still explain nothing, data or loss are wrong.",
    lesson="1 - Var[R - V] / Var[R]: 1 is perfect, 0 no better than a constant, below 0 worse (Schulman, Nuts and "
    "Bolts). It is blind to a constant error, which value-bias sees. Negative values are healthy early, and late where "
    "a task is solved: there targets differ by rounding, and nothing is left to explain. So it is told only where "
    "returns have not risen.",
)


def look(watched: Watched) -> Iterator[Finding]:
    column, window = watched.metric("explained_variance"), watched.last(WINDOW)
    seen = column[window][np.isfinite(column[window])]
    if len(seen) < 0.5 * len(column[window]):
        raise Missing("targets that differ")
    share, median = float((seen < NOTHING).mean()), float(np.median(seen))
    returns = returns_of(watched)
    if share > SUSTAINED and not returns.gained and returns.differ:
        yield Finding(
            CHECK,
            "warning",
            f"expected values to explain something, or returns to rise; found an explained variance below {NOTHING:g} "
            f"in {share:.0%} of the last {len(seen)} iterations, median {median:.3g}, and returns of "
            f"{returns.late:.4g} after {returns.early:.4g}",
            watched.see("explained_variance"),
            {"excess": share / SUSTAINED, "median": median},
        )
