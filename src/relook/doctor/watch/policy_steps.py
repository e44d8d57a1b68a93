"""How far does one update move the policy?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Missing, Watched, median_of

WINDOW = 0.1
"""Share of the training, at its end so far."""

LARGE = 0.5
"""nats: usual is .02 (37 implementation details of PPO); RLDebugger alarms at .1 and zen-rl at 5."""

ENORMOUS = 2.0
"""nats: an action that had probability e⁻² of what it has now."""

BEYOND = 1.05
"""Of δ: TRPO takes no step whose KL is above it (Schulman et al. 2015, appendix C), and rounding is less than 5 %."""

CHECK = Check(
    name="policy-steps",
    component="hyper-parameters",
    asks="One update moves the policy a little: its KL is far below 1, and below δ where a trust region says so.",
    causes=(
        "a learning rate that is too large",
        "too many epochs or minibatches for one batch of data",
        "a ratio that is not clipped, or a trust region that is not kept to",
        "log-probabilities of another shape or of other actions than those of the batch",
    ),
    remedy="Lower the learning rate or the number of epochs, or set target_kl; in TRPO look at the line search.",
    lesson="A policy gradient is true at the policy that collected the data, and a guess elsewhere (Kakade and "
    "Langford 2002; TRPO's Theorem 1). A KL spike usually comes with a loss of performance (Schulman, Nuts and Bolts). "
    "But a fixed threshold of .02 alarms on good runs: Stable-Baselines3's own example has .038. So only steps that "
    "are enormous for a tenth of the training count, and they are an error only while returns fall.",
)


def look(watched: Watched) -> Iterator[Finding]:
    kl = watched.metric("kl")
    if watched.run.algorithm == "trpo":
        limit = watched.setting("target_kl") * BEYOND
        beyond = kl > limit
        if beyond.sum() > 1:
            worst = int(np.nanargmax(kl))
            yield _finding(
                watched,
                "error",
                f"expected a KL of at most δ = {watched.setting('target_kl'):g}, which the line search keeps to; found "
                f"{kl[worst]:.3g} at step {watched.steps[worst]:,}, and more than δ in {int(beyond.sum())} iterations",
                float(kl[worst] / limit),
                float(kl[worst]),
            )
        return
    window = watched.last(WINDOW)
    median = median_of(kl[window])
    if not math.isfinite(median) or median <= LARGE:
        return
    severity = "error" if median > ENORMOUS and _falls(watched) else "warning"
    yield _finding(
        watched,
        severity,
        f"expected a KL far below 1 in an update (usual: .02); found a median of {median:.3g} in the last "
        f"{len(kl[window])} iterations" + (", and returns that have fallen" if severity == "error" else ""),
        median / LARGE,
        median,
    )


def _falls(watched: Watched) -> bool:
    try:
        returns = returns_of(watched)
    except Missing:
        return False
    return returns.lost or returns.late < returns.best - 0.5 * returns.spread


def _finding(watched: Watched, severity: str, evidence: str, excess: float, kl: float) -> Finding:
    return Finding(
        CHECK,
        "error" if severity == "error" else "warning",
        evidence,
        watched.see("kl"),
        {"excess": excess, "kl": kl},
    )
