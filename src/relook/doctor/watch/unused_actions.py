"""Is every action used?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

STEPS, OF_EACH = 500, 40
"""Actions at least, all together and for each that there is: a random policy leaves one out once in e⁴⁰ times."""

EPISODES = 80
"""Training episodes of the beginning that are looked at."""

SIGMAS = 6.0
"""Standard deviations below the share that ε guarantees: a chance of one in a thousand million."""

RANDOM, EXPLORING = 0.8, 0.5
"""Of the highest entropy, and ε: a policy above one of them tries everything now and then."""

CHECK = Check(
    name="unused-actions",
    component="exploration",
    asks="At the beginning, while the policy is still nearly random, every action is used.",
    causes=(
        "actions that are clipped, shifted by one, or taken modulo something, on their way to the environment",
        "the best action is taken where one should be drawn",
        "ε is inverted, or random actions are drawn from a part of them only",
        "a mask of allowed actions that never opens",
    ),
    remedy="Count the actions of the first thousand steps before and after they are handed to the environment.",
    lesson="An action that is never tried is never learned about, and the agent's curve is that of a smaller task. "
    "With ε-greedy exploration each of n actions is taken in at least ε / n of the steps, whatever Q says; a random "
    "policy uses all alike. What agents did is recorded, so that it can be counted. Later on, a good policy may drop "
    "an action for good reasons: only the beginning is judged.",
)


def look(watched: Watched) -> Iterator[Finding]:
    actions = watched.known_actions()
    if not actions.sizes:
        raise Missing("a discrete action space")
    if len(actions.sizes) > 1:
        raise Missing("one choice of an action")
    until = _random_until(watched)
    early = [e for e in watched.played(training=True) if e.steps <= until][:EPISODES]
    lengths = np.cumsum([e.length for e in early])
    early = early[: int(np.searchsorted(lengths, 2 * max(STEPS, OF_EACH * actions.sizes[0]))) + 1]
    [count], used = actions.sizes, np.concatenate([watched.actions(e).ravel() for e in early] or [np.zeros(0, int)])
    if len(used) < max(STEPS, OF_EACH * count):
        raise Missing(f"{max(STEPS, OF_EACH * count)} steps of whole episodes at the beginning")
    shares = np.unique(used, return_counts=True)[1] / len(used)
    if len(shares) < count:
        yield _finding(
            watched,
            f"expected all {count} actions in the first {len(used):,} steps of whole episodes, in which the policy was "
            f"nearly random; found {len(shares)} of them",
            float(count - len(shares)),
            shares,
        )
        return
    if "epsilon" in watched.columns:
        epsilon = watched.columns["epsilon"]
        rows = np.searchsorted(watched.steps, [e.steps for e in early])
        during = (np.append(1.0, epsilon[:-1]) + epsilon) / 2  # it falls, and episodes end later than they are played
        floor = float(np.average(during[rows], weights=[e.length for e in early])) / count
        slack = SIGMAS * np.sqrt(floor / len(used))
        if shares.min() < floor - slack:
            yield _finding(
                watched,
                f"expected each of {count} actions in at least {floor:.1%} of the first {len(used):,} steps, as ε "
                f"says; found one in {shares.min():.1%}",
                floor / max(float(shares.min()), 1e-6),
                shares,
            )


def _random_until(watched: Watched) -> int:
    """Steps up to which the policy is nearly random. Raises `Missing` if nothing says so."""
    if "epsilon" in watched.columns:
        random = watched.metric("epsilon") > EXPLORING
    else:
        random = watched.metric("entropy") > RANDOM * watched.known_actions().most_entropy()
    ends = np.flatnonzero(~random)
    rows = int(ends[0]) if len(ends) else len(random)
    if not rows:
        raise Missing("a policy that is nearly random at the beginning")
    return int(watched.steps[rows - 1])


def _finding(
    watched: Watched, evidence: str, excess: float, shares: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Finding:
    figures = {"excess": excess, "shares": [round(float(share), 4) for share in shares]}
    return Finding(CHECK, "error", evidence, f"{watched.file('episodes')}, `actions`", figures)
