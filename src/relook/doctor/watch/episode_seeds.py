"""Has every training episode a seed of its own, and every agent a training of its own?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

EPISODES = 10
"""At least, before seeds are compared."""

REPEATED = 0.05
"""Share of episodes whose seed came before (31 bits: of a hundred thousand episodes 2 by chance)."""

ROWS = 3
"""Iterations that two agents must have in common, bit for bit."""

CHECK = Check(
    name="episode-seeds",
    component="randomness",
    asks="Training episodes start from different seeds, in all environments, and agents with different seeds differ.",
    causes=(
        "all parallel environments get the same seed",
        "every reset gets the seed of the first",
        "the agent's seed is not used where networks are made, or where noise is drawn",
    ),
    remedy="Print the first observation of every environment, and of two episodes of one: they must be pairwise "
    "different.",
    lesson="Environments that share a seed play the same episode N times: the batch is N times smaller than it says "
    "(Ray 46986, TorchRL 4208). And ten agents that are one agent give an interval of width 0, the most convincing "
    "result there is. Neither shows in a learning curve.",
)


def look(watched: Watched) -> Iterator[Finding]:
    for other in watched.peers:
        if other.agent.seed != watched.agent.seed and _same(watched, other):
            yield Finding(
                CHECK,
                "error",
                f"expected agents with different seeds to differ; found seeds {watched.agent.seed} and "
                f"{other.agent.seed} the same in all metrics of {min(len(watched.steps), len(other.steps))} iterations",
                watched.file("metrics"),
                {"excess": 2.0, "seeds": [watched.agent.seed, other.agent.seed]},
            )
            break
    if not watched.run.seeds_each_reset:
        raise Missing("a seed for each reset")
    seeds = [e.reset_seed for e in watched.played(training=True)]
    if len(seeds) < EPISODES:
        raise Missing(f"{EPISODES} training episodes")
    if None in seeds:
        yield _finding(watched, "expected a seed for every reset; found training episodes without one", 1.0)
        return
    repeated = 1 - len(set(seeds)) / len(seeds)
    if repeated > REPEATED:
        yield _finding(
            watched,
            f"expected every training episode to have a seed of its own; found {len(set(seeds))} seeds in {len(seeds)} "
            "episodes",
            repeated / REPEATED,
        )


def _same(one: Watched, other: Watched) -> bool:
    """Whether two agents have the same numbers, of losses that depend on everything that they drew and did."""
    rows = min(len(one.steps), len(other.steps))
    losses = [name for name in ("policy_loss", "value_loss", "q_loss", "loss") if name in one.columns]
    if rows < ROWS or not losses:
        return False
    columns = [(one.columns[name][:rows], other.columns[name][:rows]) for name in losses]
    varied = any(np.isfinite(x).all() and np.ptp(x) > 0 for x, _ in columns)
    return varied and all(np.array_equal(x, y, equal_nan=True) for x, y in columns)


def _finding(watched: Watched, evidence: str, excess: float) -> Finding:
    return Finding(CHECK, "error", evidence, f"{watched.file('episodes')}, `reset_seed`", {"excess": excess})
