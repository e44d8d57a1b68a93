"""Are actions stuck at their bounds?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Watched, median_of

WINDOW = 0.3
"""Share of the training, at its end so far."""

STUCK = 0.9
"""Share of action components at a bound (no threshold was found in the literature)."""

CHECK = Check(
    name="saturation",
    component="networks",
    asks="Actions use their range, or returns say that the bounds are the right place.",
    causes=(
        "a policy whose outputs before the squashing have grown large, so that no gradient comes back",
        "actions that are scaled twice, or not scaled to the bounds",
        "a critic that promises more and more beyond what was tried, as after many updates on few random actions",
        "a mean beyond the bounds of a Gaussian policy, where cut actions say nothing of it",
    ),
    remedy="Lower the policy's learning rate, normalise observations, or begin to learn later; see whether the best "
    "action lies inside.",
    lesson="At a bound, tanh has no slope and a cut action no information: what got there by accident stays there. One "
    "seed of ten of A2C on Pendulum spins for ever this way, and one of five of TD3 did nothing but fall over in "
    "Walker2d while updates began long before random actions ended. Bang-bang control is optimal in many "
    "tasks, though, so that a saturated policy counts only while its returns have not risen.",
)


def look(watched: Watched) -> Iterator[Finding]:
    column, window = watched.metric("saturation"), watched.last(WINDOW)
    now, returns = median_of(column[window]), returns_of(watched)
    if now > STUCK and not returns.gained:
        yield Finding(
            CHECK,
            "warning",
            f"expected actions inside of their range, or better returns; found {now:.0%} of them at a bound in the "
            f"last {len(column[window])} iterations, and returns of {returns.late:.4g} after {returns.early:.4g}",
            watched.see("saturation", "episode_return"),
            {"excess": now / STUCK, "saturation": now},
        )
