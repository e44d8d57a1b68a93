"""Are values larger than any return can be?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import attainable
from relook.doctor.watch.watched import Missing, Watched, finite

WINDOW = 0.1
"""Share of the training, at its end so far."""

ABOVE, FAR_ABOVE = 3.0, 10.0
"""Times the bound. It is computed from returns, since single rewards are not recorded, so that a warning begins well
above it."""

GROWN = 10.0
"""Times what values were at the start, so that a network that began too large for tiny rewards is not called divergent.
"""

CHECK = Check(
    name="value-bound",
    component="estimates",
    asks="No value is larger than the highest return that rewards allow, r_max / (1 - γ).",
    causes=(
        "targets that bootstrap beyond the end of an episode, or with the wrong discount",
        "the target network is the network itself, or gradients flow into the target",
        "overestimation: the maximum over noisy estimates, or the higher of twin critics",
        "a value loss whose gradient has the wrong sign, or a learning rate that is too large",
    ),
    remedy="Compute one target by hand from its reward, its end and γ; then see whether it stays put while Q moves.",
    lesson="If |r| ≤ r_max, no policy earns more than r_max / (1 - γ) discounted: a value beyond is certainly wrong, "
    "whatever the return curve does. Q-learning with function approximation often overshoots the bound for a while and "
    "comes back (soft divergence: van Hasselt et al. 2018, arXiv:1812.02648); staying far above is the deadly triad at "
    "work. A missing end of episodes drives values up to just below the bound, and is not seen here: q-bias sees that. "
    "SAC's values count entropy, which is added to the bound.",
)


def look(watched: Watched) -> Iterator[Finding]:
    name = "q" if "q" in watched.columns else "value"
    size, discount = np.abs(watched.metric(name)), watched.setting("discount")
    bound = attainable(watched, discount)
    if "temperature" in watched.columns:
        soft = finite(np.abs(watched.columns["temperature"] * watched.columns["entropy"]))
        bound += float(soft.max(initial=0)) / (1 - discount)
    now = finite(size[watched.last(WINDOW)])
    if not len(now):
        raise Missing(f"a value of {name}")
    median, first = float(np.median(now)), float(np.median(finite(size)[:3]))
    if median > ABOVE * bound and median > GROWN * first:
        far = median > FAR_ABOVE * bound
        yield Finding(
            CHECK,
            "error" if far else "warning",
            f"expected values of at most {bound:.4g}, the most that the returns so far allow at γ = {discount:g}; "
            f"found a median size of {median:.4g} in the last {len(now)} iterations, {median / bound:.1f} times as "
            "much",
            watched.see(name),
            {"excess": median / bound / ABOVE, "value": median, "bound": bound},
        )
