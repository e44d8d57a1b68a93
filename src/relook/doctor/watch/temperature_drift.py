"""Does SAC's temperature move the right way?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import attainable
from relook.doctor.watch.watched import Missing, Watched

WRONG = 0.8
"""Share of the moves that go the wrong way."""

GAP = 0.1
"""nats for each component: nearer to the target, the direction is noise."""

MOVES = 4
"""Iterations at least that tell a direction. Each is the mean of hundreds of updates."""

HUGE, ABSURD = 1.0, 100.0
"""Of the largest value that rewards allow: entropy of one nat then counts as much as all the return to come."""

CHECK = Check(
    name="temperature-drift",
    component="temperature",
    asks="The temperature falls while the entropy is above its target and rises while it is below; a fixed one stays.",
    causes=(
        "the sign of the temperature's loss",
        "an entropy that lacks the tanh correction, or counts another number of components than its target",
        "a target entropy that the policy cannot reach",
    ),
    remedy="Take one step of α by hand: with an entropy below the target it must grow.",
    lesson="α is the multiplier of a constraint: it rises where the policy is too certain and falls where it is too "
    "random (Haarnoja et al. 2018, arXiv:1812.05905, Eq. 18). With the sign turned round it runs to 0 or to infinity "
    "exponentially, since its logarithm is learned; with 0 SAC still learns many tasks, as DDPG with twin critics "
    "does. The direction is known for every iteration, so that no size has to be judged.",
)


def look(watched: Watched) -> Iterator[Finding]:
    alpha = watched.metric("temperature")
    learned = np.isfinite(alpha) & (watched.columns["update_to_data"] > 0)
    if watched.agent.hyperparameters.get("learn_temperature") is False:
        asked = watched.setting("temperature")
        off = np.abs(alpha[learned] / asked - 1)
        if len(off) and off.max() > 1e-3:
            yield _finding(
                watched,
                "error",
                f"expected a fixed temperature of {asked:g}; found {alpha[learned][int(off.argmax())]:.4g}",
                float(off.max() / 1e-3),
            )
        return
    entropy, width = watched.metric("entropy")[learned], watched.known_actions().width
    gap = entropy - watched.setting("target_entropy") * width
    with np.errstate(divide="ignore"):
        moved = np.diff(np.log(alpha[learned]))
    clear = (np.abs(gap[:-1]) > GAP * width) & (np.abs(gap[1:]) > GAP * width) & (gap[:-1] * gap[1:] > 0) & (moved != 0)
    wrong = clear & (np.sign(moved) == np.sign(gap[1:]))
    if clear.sum() >= MOVES and wrong.sum() > WRONG * clear.sum():
        high = np.median(gap[:-1][clear]) > 0
        yield _finding(
            watched,
            "error",
            f"expected the temperature to {'fall' if high else 'rise'} while the entropy is "
            f"{'above' if high else 'below'} its target; found it going the other way in {int(wrong.sum())} of "
            f"{int(clear.sum())} iterations, from {alpha[learned][0]:.3g} to {alpha[learned][-1]:.3g}",
            float(wrong.sum() / clear.sum() / WRONG),
        )
        return
    if len(gap) < MOVES:
        raise Missing(f"{MOVES} iterations of learning")
    scale = max(attainable(watched, watched.setting("discount")), watched.setting("temperature"))
    now = float(np.median(alpha[learned][-MOVES:]))
    if now > HUGE * scale:
        yield _finding(
            watched,
            "error" if now > ABSURD * scale else "warning",
            f"expected a temperature far below the values; found {now:.3g}, where no value can be above {scale:.3g}",
            now / scale / HUGE,
        )


def _finding(watched: Watched, severity: str, evidence: str, excess: float) -> Finding:
    return Finding(
        CHECK,
        "error" if severity == "error" else "warning",
        evidence,
        watched.see("temperature", "entropy"),
        {"excess": excess, "temperature": float(watched.columns["temperature"][-1])},
    )
