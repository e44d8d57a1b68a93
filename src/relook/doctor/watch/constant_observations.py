"""Does the agent see the difference between states?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Played, Watched

SAME = 1e-6
"""Relative spread of value estimates below which they are equal: float32."""

EPISODES, STEPS = 4, 20
"""Of an evaluation: how many episodes of each mode are looked at, and how many steps they must have together."""

LAST = 2
"""Evaluations in a row, the last ones, that must show it."""

CHECK = Check(
    name="constant-observations",
    component="environment",
    asks="Different states have different values, because their observations differ.",
    causes=(
        "the environment, or a wrapper, returns the same observation again and again",
        "a normaliser that divides by something huge, or cuts everything to its limit",
        "a network whose hidden units are all dead",
        "observations that are copied into the wrong place",
    ),
    remedy="Print the observations of one episode, then what the network receives, then its first hidden layer, and "
    "see where they stop to differ.",
    lesson="An agent that sees nothing still gets returns: those of the best constant behaviour, which on some tasks "
    "are respectable. Observations themselves are not recorded, but two things are that depend on them: a digest of "
    "each episode, which says whether the environment showed different things, and V(s) of every step. If digests "
    "differ and V never does, what was shown did not arrive. Integer pixels that are not scaled, and normalisers that "
    "were not saved, are the usual ways.",
)


def look(watched: Watched) -> Iterator[Finding]:
    evaluated = [e for e in watched.played(training=False) if e.evaluation is not None and e.length]
    numbers = sorted({e.evaluation for e in evaluated if e.evaluation is not None})
    if len(numbers) < LAST:
        raise Missing(f"{LAST} evaluations")
    looked: list[Played] = []
    for number in numbers[-LAST:]:
        own = [e for e in evaluated if e.evaluation == number]
        some = [e for mode in (True, False) for e in _longest(own, deterministic=mode)]
        looked += some
        values = np.concatenate([watched.values(e)[: e.length] for e in some])
        if len(values) < STEPS:
            raise Missing(f"{STEPS} steps in an evaluation")
        if not np.isfinite(values).all() or np.ptp(values) > SAME * np.abs(values).max():
            return
    shown = _differ(looked)
    if not shown and watched.run.observation_size < 2:
        raise Missing("observations of more than one number")  # a bandit, as some tests of algorithms are
    yield Finding(
        CHECK,
        "error" if shown else "warning",
        "expected different values for different states; found one and the same V(s) at every step of the last "
        f"{LAST} evaluations, "
        + (
            "although the environment showed different things"
            if shown
            else f"and episodes that show no difference either, in {watched.run.observation_size} numbers"
        ),
        f"{watched.file('episodes')}, `values`; relook replay {watched.run.path} shows V(s) beside the picture",
        {"excess": 1.0, "value": float(values[0])},
    )


def _longest(episodes: list[Played], *, deterministic: bool) -> list[Played]:
    """Those of one mode: without noise an agent may stand at one place for ever."""
    return sorted((e for e in episodes if e.deterministic == deterministic), key=lambda e: -e.length)[:EPISODES]


def _differ(episodes: list[Played]) -> bool:
    """Whether episodes with the same length, return and ending have different digests: then observations differed."""
    groups: dict[tuple[int, float, str], set[str]] = {}
    for episode in episodes:
        groups.setdefault((episode.length, episode.ret, episode.ending), set()).add(episode.digest)
    return any(len(digests) > 1 for digests in groups.values())
