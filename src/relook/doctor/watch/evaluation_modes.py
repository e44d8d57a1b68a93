"""Does evaluation play as it says: without chance in one mode, with chance in the other, from the same seeds?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Played, Watched

CERTAIN = 40.0
"""nats: steps × mean entropy, above which a policy that draws cannot have chosen the likeliest action throughout (a
chance of about e⁻⁴⁰; where entropy is uneven over states it is larger, hence so much)."""

CHECK = Check(
    name="evaluation-modes",
    component="evaluation",
    asks="Stochastic evaluation draws its actions, deterministic evaluation does not, and all evaluations of an agent "
    "start from the same seeds, which are not those of training.",
    causes=(
        "one mode is played where the other is said",
        "evaluation continues the environment's running randomness in place of reset seeds of its own",
        "evaluation episodes share seeds with training",
    ),
    remedy="Play one episode twice from the same seed in each mode: the deterministic ones are equal, the others are "
    "not.",
    lesson="A score is a statement about a policy, and the policy that acts with noise is another than its mean: on "
    "some tasks the one scores twice what the other does. With the same reset seeds at all times, two evaluations "
    "differ by the policy and nothing else. Evaluating on training seeds flatters an agent that has learned them by "
    "heart.",
)


def look(watched: Watched) -> Iterator[Finding]:
    evaluated = watched.played(training=False)
    if watched.run.seeds_each_reset:
        yield from _seeds(watched, evaluated)
    drawn, fixed = ([e for e in evaluated if e.deterministic is mode] for mode in (False, True))
    if not drawn or "entropy" not in watched.columns:
        raise Missing("stochastic evaluations of a policy with an entropy")
    yield from _chance(watched, drawn, fixed)


def _seeds(watched: Watched, evaluated: list[Played]) -> Iterator[Finding]:
    used: dict[tuple[int | None, bool], set[int | None]] = {}
    for episode in evaluated:
        used.setdefault((episode.evaluation, episode.deterministic), set()).add(episode.reset_seed)
    sizes = {len(seeds) for seeds in used.values()}
    whole = [seeds for seeds in used.values() if len(seeds) == max(sizes)]  # what was read in part has fewer
    trained = {e.reset_seed for e in watched.episodes if e.training}
    if any(seeds != whole[0] for seeds in whole):
        yield _finding(
            watched, "expected all evaluations to start from the same reset seeds; found others later on", 1.0
        )
    elif whole[0] <= trained:
        yield _finding(
            watched, "expected evaluation to have reset seeds of its own; found all of them in training", 1.0
        )


def _chance(watched: Watched, drawn: list[Played], fixed: list[Played]) -> Iterator[Finding]:
    number = max(e.evaluation or 0 for e in drawn)
    before = watched.steps <= max(e.steps for e in drawn if e.evaluation == number)
    known = watched.columns["entropy"][before & np.isfinite(watched.columns["entropy"])]
    twins = {e.reset_seed: e for e in fixed if e.evaluation == number}
    pairs = [(e, twins[e.reset_seed]) for e in drawn if e.evaluation == number and e.reset_seed in twins]
    if not pairs or not len(known):
        raise Missing("an evaluation in both modes from the same seeds")
    steps = sum(one.length for one, _ in pairs)
    actions = watched.known_actions()
    entropy = float(known[-1]) if actions.sizes else 1.0  # continuous: equal draws do not happen at all
    if steps * entropy < CERTAIN:
        raise Missing("enough chance in an evaluation to tell its modes apart")
    if all(one.length == other.length for one, other in pairs) and all(
        np.array_equal(watched.actions(one), watched.actions(other)) for one, other in pairs
    ):
        yield _finding(
            watched,
            f"expected stochastic evaluation to differ from deterministic evaluation at an entropy of {known[-1]:.3g} "
            f"nats; found the same actions in all {steps:,} steps of evaluation {number}",
            steps * entropy / CERTAIN,
        )


def _finding(watched: Watched, evidence: str, excess: float) -> Finding:
    return Finding(CHECK, "error", evidence, watched.file("episodes"), {"excess": excess})
