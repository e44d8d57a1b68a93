"""Do episodes end where the environment says, and is a time limit told apart from a real end?"""

from collections.abc import Iterator

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Played, Watched

EPISODES = 20
"""Of each kind, before their endings are compared."""

MOST, LEAST = 0.9, 0.1
"""Shares of episodes that are truncated before the limit, in one of training and evaluation and in the other."""

CHECK = Check(
    name="endings",
    component="environment",
    asks="No episode is longer than the time limit; the limit truncates and does not terminate; training and "
    "evaluation end episodes for the same reasons.",
    causes=(
        "`terminated` and `truncated` are swapped, or merged into one flag",
        "the time limit is counted by somebody who does not reset the count",
        "training and evaluation have different limits or wrappers",
    ),
    remedy="Step the environment by hand to its limit, and print both flags.",
    lesson="A real end has no future, a cut one has: targets bootstrap after the second and not after the first (Pardo "
    "et al. 2018, arXiv:1712.00378). Swapped flags give values too high where the agent fails and too low where it "
    "does well, and returns that are often none the worse. An environment may itself truncate before the limit, and "
    "may really end with its last step, which is why some of this is a warning.",
)


def look(watched: Watched) -> Iterator[Finding]:
    limit = watched.run.time_limit
    if limit is None:
        raise Missing("a time limit")
    training, evaluation = watched.played(training=True), [e for e in watched.episodes if not e.training]
    longest = max(watched.episodes, key=lambda e: e.length)
    if longest.length > limit:
        yield _finding(watched, "error", f"expected at most {limit} steps; found an episode of {longest.length}", 1.0)
        return
    ends = [e for e in training if e.ending in ("terminated", "truncated")]
    at_limit = [e for e in ends if e.length == limit]
    if len(at_limit) >= EPISODES and all(e.ending == "terminated" for e in at_limit):
        others = any(e.ending == "truncated" for e in evaluation if e.length == limit)
        yield _finding(
            watched,
            "error" if others else "warning",
            f"expected the time limit of {limit} steps to truncate; found all {len(at_limit)} training episodes of "
            "this "
            "length terminated" + (", and truncated in evaluation" if others else ""),
            1.0,
        )
        return
    early, there = ([e for e in own if e.length < limit] for own in (ends, evaluation))
    if len(early) < EPISODES or len(there) < EPISODES:
        return
    shares = _truncated(early), _truncated(there)
    if max(shares) > MOST and min(shares) < LEAST:
        yield _finding(
            watched,
            "error",
            "expected training and evaluation to end episodes before the limit for the same reasons; found "
            f"{shares[0]:.0%} of {len(early)} truncated in training, and {shares[1]:.0%} of {len(there)} in evaluation",
            max(shares) - min(shares),
        )
    elif len(at_limit) >= EPISODES and shares[0] > MOST:
        yield _finding(
            watched,
            "warning",
            f"expected episodes that end before the limit of {limit} steps to terminate; found {shares[0]:.0%} of "
            f"{len(early)} truncated",
            shares[0],
        )


def _truncated(episodes: list[Played]) -> float:
    return sum(e.ending == "truncated" for e in episodes) / len(episodes)


def _finding(watched: Watched, severity: str, evidence: str, excess: float) -> Finding:
    where = f"{watched.file('episodes')}, `ending` and `length`"
    return Finding(CHECK, "error" if severity == "error" else "warning", evidence, where, {"excess": excess})
