"""Does the policy stop exploring before it has learned?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Missing, Watched, finite, median_of

WINDOW = 0.2
"""Share of the training, at its end so far."""

LOW = 0.05
"""Of the entropy at the start, for choices (rl-doctor: .1 of the initial one and a flat reward; rlprobe: below .25 nats
from above 1)."""

NARROW = 3.0
"""nats for each component of a continuous action: a spread of a twentieth."""

FLOOR = 1e-3
"""Of the highest entropy there is: below, the policy draws another action once in thousands of steps."""

AT_ONCE, LASTS = 0.25, 0.3
"""Shares of the training: gone before the first, and for as long as the second, it is an error."""

CHECK = Check(
    name="entropy-collapse",
    component="exploration",
    asks="A policy that has hardly any entropy left has learned something: its returns have risen.",
    causes=(
        "the entropy bonus has the wrong sign",
        "a learning rate that is too large, or too many epochs, in the first updates",
        "advantages of a huge scale, or of the wrong sign",
        "logits or a log σ that are scaled twice",
    ),
    remedy="Lower the learning rate, or raise the entropy coefficient; if that makes it worse, look at the sign.",
    lesson="Low entropy is healthy where the return is high or rising: a good policy is nearly certain. It is a fault "
    "where nothing was learned, because what is not tried is not learned, and a later update "
    "seldom brings it back. An early "
    "drop means that there will be no learning (Schulman, Nuts and Bolts); Rahtz found entropy more sensitive than "
    "reward. So it counts only with returns that are no better than at the start.",
)


def look(watched: Watched) -> Iterator[Finding]:
    if "temperature" in watched.columns:
        raise Missing("an entropy that no temperature steers")
    entropy, actions = watched.metric("entropy"), watched.known_actions()
    window = watched.last(WINDOW)
    first, now = median_of(entropy[:3]), median_of(entropy[window])
    returns = returns_of(watched)
    if returns.gained or not returns.spread:
        return
    if actions.sizes:
        collapsed, excess = now < LOW * first, LOW * first / max(now, 1e-9)
        beyond = finite(entropy[watched.iteration >= AT_ONCE * watched.planned])
        lasts = len(beyond) >= LASTS * watched.planned
        wholly = lasts and bool((beyond < FLOOR * actions.most_entropy()).all())
    else:
        dropped = (first - now) / actions.width
        collapsed, excess, wholly = dropped > NARROW, dropped / NARROW, False
    if collapsed:
        yield Finding(
            CHECK,
            "error" if wholly and returns.lost else "warning",
            f"expected returns to rise before entropy is gone; found an entropy of {now:.3g} nats, {first:.3g} at the "
            f"start, and returns of {returns.late:.4g} after {returns.early:.4g}",
            watched.see("entropy", "episode_return"),
            {"excess": excess, "entropy": now, "at_start": first},
        )
