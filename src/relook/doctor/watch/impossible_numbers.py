"""Are metrics what their definitions allow?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

ROUNDING = 1e-4
"""What float32 sums may be off by, relative to 1 or to the limit."""

INFINITE = math.inf
RANGES = {
    "kl": (0.0, INFINITE),
    "clip_fraction": (0.0, 1.0),
    "explained_variance": (-INFINITE, 1.0),
    "value_loss": (0.0, INFINITE),
    "q_loss": (0.0, INFINITE),
    "loss": (0.0, INFINITE),
    "td_error": (0.0, INFINITE),
    "gradient_norm": (0.0, INFINITE),
    "policy_gradient_norm": (0.0, INFINITE),
    "q_gradient_norm": (0.0, INFINITE),
    "step_size": (0.0, INFINITE),
    "target_lag": (0.0, INFINITE),
    "temperature": (0.0, INFINITE),
    "saturation": (0.0, 1.0),
    "dormant": (0.0, 1.0),
    "epsilon": (0.0, 1.0),
    "learning_rate": (0.0, INFINITE),
    "reward_scale": (0.0, INFINITE),
    "replay_age": (0.0, INFINITE),
    "cg_residual": (0.0, INFINITE),
    "episodes": (0.0, INFINITE),
    "updates": (0.0, INFINITE),
}
"""Where a metric must lie by its definition."""

CHECK = Check(
    name="impossible-numbers",
    component="record",
    asks="Every metric lies where its definition says that it must: a share in [0, 1], a norm at least 0, the entropy "
    "of n choices at most log n.",
    causes=(
        "a metric that is computed from the wrong quantity, or has the wrong sign",
        "probabilities that do not add up to one, or a log-probability of the wrong shape",
        "a mean over the wrong axis, or over samples that did not take part",
    ),
    remedy="Look at where the metric is computed: an impossible number says that it is not what its name says, and "
    "what it is computed from may be wrong as well.",
    lesson="The cheapest test that there is: a share of 1.3 needs no statistics. E[(r-1) - log r] is chosen as the "
    "estimate of the KL because it cannot be negative (Schulman 2020, joschu.net/blog/kl-approx.html); explained "
    "variance has no lower limit, so that a very negative one is possible and merely bad.",
)


def look(watched: Watched) -> Iterator[Finding]:
    ranges = dict(RANGES)
    if watched.run.actions is not None and watched.run.actions.sizes:
        ranges["entropy"] = (0.0, watched.run.actions.most_entropy())
    there = [name for name in ranges if name in watched.columns]
    if not there or not len(watched.steps):
        raise Missing("metrics with limits")
    for name in there:
        column, (low, high) = watched.columns[name], ranges[name]
        beyond = np.fmax(low - column, column - high)
        slack = ROUNDING * max(1.0, high if math.isfinite(high) else 1.0)
        if (wrong := beyond > slack).any():
            worst = int(np.nanargmax(beyond))
            limits = f"at least {low:g}" if high == INFINITE else f"at most {high:.4g}"
            limits = f"from {low:g} to {high:.4g}" if math.isfinite(low) and math.isfinite(high) else limits
            yield Finding(
                CHECK,
                "error",
                f"expected {name} {limits}; found {column[worst]:.4g} at step {watched.steps[worst]:,}, and beyond the "
                f"limits in {int(wrong.sum())} of {len(column)} iterations",
                watched.see(name),
                {"excess": float(beyond[worst]), "metric": name, "value": float(column[worst])},
            )
            return
