"""How many samples does the clip cut off, and does that fit the size of the steps?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Array, Watched, median_of

WINDOW = 0.2
"""Share of the training, at its end so far."""

LARGE = 0.5
"""Share of samples (rl-doctor: .1 informs, .2 warns, .4 alarms; Stable-Baselines3's example has .243 at an explained
variance of .999)."""

SLACK, LEAST_KL = 0.9, 1e-6
"""The bound is exact; this is for float32, and tiny KLs are rounding."""

CHECK = Check(
    name="clip-fraction",
    component="policy loss",
    asks="Most samples stay inside of the clip range, and a clipped share of f goes with a KL of at least "
    "f (ε - log(1 + ε)), which is a matter of arithmetic.",
    causes=(
        "a learning rate or a number of epochs that is too large",
        "log-probabilities of collection and update that differ before anything was learned",
        "a ratio that is computed from something else than log-probabilities, such as a missing exponential",
    ),
    remedy="See whether the first minibatch has ratio 1 for all samples; if so, lower the learning rate or the epochs.",
    lesson="Clipping removes the gradient of a sample; if half of all samples are cut off, an update is made by the "
    "other half, and by noise. It is no alarm by itself: agents that learn well reach .3. Since (r - 1) - log r grows "
    "with the distance of r from 1, a share f beyond ε forces the mean KL up (37 implementation details of PPO lists "
    "both as what to look at); if it is not, one of the two is computed from another ratio than the other.",
)


def look(watched: Watched) -> Iterator[Finding]:
    fraction, kl = watched.metric("clip_fraction"), watched.metric("kl")
    bound = fraction * _least_kl(watched)
    broken = (kl < SLACK * bound) & (bound > LEAST_KL)
    if broken.sum() > max(2, 0.05 * len(kl)):
        worst = int(np.nanargmax(np.where(broken, bound - kl, -np.inf)))
        yield Finding(
            CHECK,
            "error",
            f"expected a KL of at least {bound[worst]:.3g} where {fraction[worst]:.0%} of samples are clipped; found "
            f"{kl[worst]:.3g} at step {watched.steps[worst]:,}, and too little in {int(broken.sum())} of {len(kl)} "
            f"iterations",
            watched.see("clip_fraction", "kl"),
            {"excess": float(bound[worst] / max(kl[worst], 1e-12)), "kl": float(kl[worst])},
        )
        return
    window = watched.last(WINDOW)
    median = median_of(fraction[window])
    if math.isfinite(median) and median > LARGE and not returns_of(watched).gained:
        yield Finding(
            CHECK,
            "warning",
            f"expected fewer than half of the samples to be clipped while nothing is gained; found a median of "
            f"{median:.0%} in the last {len(fraction[window])} iterations",
            watched.see("clip_fraction"),
            {"excess": median / LARGE, "clip_fraction": median},
        )


def _least_kl(watched: Watched) -> Array:
    """The least (r - 1) - log r of a sample with |r - 1| > ε, by iteration: on the side of r = 1 + ε."""
    clip = watched.setting("clip") * np.ones(len(watched.steps))
    if watched.switch("anneal_clip"):
        clip = clip * (1 - watched.iteration / watched.planned)
    return np.asarray(clip - np.log1p(clip), dtype=np.float64)
