"""Are rewards scaled as they should be?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import attainable
from relook.doctor.watch.watched import Missing, Watched, finite

WINDOW = 0.2
"""Share of the training, at its end so far."""

ABOVE = 1.5
"""Times the largest discounted return: no standard deviation is above it, nor above half of it with rewards of one sign
(Popoviciu 1935). The rest is for returns that are larger than those seen so far."""

JUMPED = 1000.0
"""From the first tenth of the training to its end: later rewards then weigh a thousandth."""

CHECK = Check(
    name="reward-scale",
    component="normalisation",
    asks="Rewards are divided by the standard deviation of discounted returns, which is no larger than the largest of "
    "them and does not run away; or by 1 where scaling is off.",
    causes=(
        "the running return is not reset where episodes end, or is not discounted",
        "statistics that are updated with rewards that are scaled already",
        "scaling that is on where it was asked to be off",
    ),
    remedy="Feed the scaler a constant reward: the scale must settle, and be what the returns of whole episodes give.",
    lesson="Dividing rewards by the running standard deviation of the discounted return makes one learning rate serve "
    "many tasks (Engstrom et al. 2020, arXiv:2005.12729, §3, item 2). A sum that never ends grows without limit, "
    "rewards shrink towards 0, and learning fades as if annealed. Shifting rewards besides changes which policy is "
    "best; it is not done here.",
)


def look(watched: Watched) -> Iterator[Finding]:
    scale = watched.metric("reward_scale")
    if watched.agent.hyperparameters.get("scale_rewards") is False:
        off = np.abs(scale - 1)
        if off.max() > 1e-6:
            yield _finding(
                watched,
                "error",
                f"expected rewards as they are; found them divided by {scale[int(np.nanargmax(off))]:.4g}",
                float(np.nanmax(off)),
            )
        return
    now = float(np.median(finite(scale)[-5:]))
    window = watched.last(WINDOW)
    bound = attainable(watched, watched.setting("discount"))
    if now > ABOVE * bound:
        yield _finding(
            watched,
            "error",
            f"expected the standard deviation of discounted returns to be below their largest size, about {bound:.4g}; "
            f"found {now:.4g}",
            now / bound / ABOVE,
        )
        return
    early = finite(scale[: max(3, len(scale) // 10)])
    if window.start < len(early) or not len(early):
        raise Missing("a beginning and an end")
    ratio = now / max(float(np.median(early)), 1e-12)
    if ratio > JUMPED:
        yield _finding(
            watched,
            "warning",
            f"expected a scale that settles; found it {ratio:,.0f} times as large as in the first tenth of the "
            "training",
            ratio / JUMPED,
        )


def _finding(watched: Watched, severity: str, evidence: str, excess: float) -> Finding:
    return Finding(
        CHECK,
        "error" if severity == "error" else "warning",
        evidence,
        watched.see("reward_scale"),
        {"excess": excess, "scale": float(watched.columns["reward_scale"][-1])},
    )
