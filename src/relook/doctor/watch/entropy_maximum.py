"""Does the policy stay random?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import returns_of
from relook.doctor.watch.watched import Watched, median_of

WINDOW = 0.4
"""Share of the training, at its end so far."""

PINNED = 0.995
"""Of log n."""

STRONG = 0.1
"""An entropy coefficient that outweighs advantages of size 1 (usual: 0 to .02)."""

STRONGLY = 0.98
"""Of log n, with a strong entropy bonus: then a small gain does not speak against it."""

SHRINKING = 0.5
"""Continuous: nats for each component above what the policy began with."""

CHECK = Check(
    name="entropy-maximum",
    component="exploration",
    asks="In time a policy prefers some actions: its entropy falls below that of a random one.",
    causes=(
        "an entropy coefficient that outweighs the returns",
        "no gradient reaches the policy, or a far too small one",
        "the task gives no reward that tells actions apart",
        "probabilities that are taken for logits, which keeps them close together",
    ),
    remedy="Set the entropy coefficient to 0 and see whether the entropy falls; if not, look at the policy's gradient.",
    lesson="Relative entropy H / log|A| starts near 1, falls, and flattens (Jones 2021). If it never falls, the agent "
    "is still the random one, whatever the loss says. A task with sparse rewards that nobody has found yet looks the "
    "same from here, so that it is an error only with an entropy bonus strong enough to explain it.",
)


def look(watched: Watched) -> Iterator[Finding]:
    entropy, actions = watched.metric("entropy"), watched.known_actions()
    coefficient = watched.agent.hyperparameters.get("entropy_coefficient", 0.0)
    strong = isinstance(coefficient, int | float) and coefficient > STRONG
    window = watched.last(WINDOW)
    now = median_of(entropy[window])
    returns = returns_of(watched)
    if not returns.spread or ((returns.gained or not returns.differ) and not strong):
        return
    if actions.sizes:
        share = now / actions.most_entropy()
        if share > (STRONGLY if strong else PINNED):
            yield Finding(
                CHECK,
                "error" if strong else "warning",
                f"expected the policy to prefer some actions by now; found {share:.1%} of the entropy of a random one "
                f"in the last {len(entropy[window])} iterations, and returns of {returns.late:.4g} after "
                f"{returns.early:.4g}",
                watched.see("entropy", "episode_return"),
                {"excess": share / PINNED, "share": share},
            )
        return
    if "temperature" in watched.columns:
        return
    grown = (now - median_of(entropy[:3])) / actions.width
    if grown > SHRINKING:
        yield Finding(
            CHECK,
            "error" if strong else "warning",
            f"expected the policy to narrow; found {grown:.2f} nats more for each component of an action than at the "
            f"start, and returns of {returns.late:.4g} after {returns.early:.4g}",
            watched.see("entropy", "episode_return"),
            {"excess": grown / SHRINKING, "grown": grown},
        )
