"""Do training and evaluation see the same returns?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Evaluation, Missing, Played, Watched

EVALUATIONS = 4
"""The last ones, each of which must differ, all in the same direction."""

APART = 0.25
"""Of all that returns have ranged over: the gap between the ranges of training and evaluation."""

EPISODES, EXACT = 20, 1e-6
"""Episodes of each kind whose reward per step is one and the same number."""

CHECK = Check(
    name="returns-differ",
    component="evaluation",
    asks="Training and evaluation in the same mode give the same returns, apart from chance and from learning "
    "meanwhile; a reward per step that is constant is the same in both.",
    causes=(
        "returns are summed up from scaled or clipped rewards in one of them",
        "evaluation runs without the normalisation of observations, or with another",
        "evaluation and training differ in wrappers, time limit or arguments of the environment",
        "training explores more than it says, or evaluation plays another mode",
    ),
    remedy="Play one episode of each by hand from a recorded seed, in the raw environment, and add up its rewards.",
    lesson="What is learned and what is reported can come apart silently: unsaved observation statistics "
    "(IsaacLab 2635, CleanRL 556), evaluation of clipped rewards. A deterministic policy may honestly do worse or "
    "better than the one that draws, so that modes are compared like with like where there are both, and otherwise it "
    "is a warning: a greedy policy can go round in circles that noise would break.",
)


def look(watched: Watched) -> Iterator[Finding]:
    yield from _rates(watched)
    try:
        evaluations, alike = watched.evaluated(deterministic=False), True
    except Missing:
        evaluations, alike = watched.evaluated(deterministic=True), False
    yield from _ranges(watched, evaluations, alike=alike)


def _rates(watched: Watched) -> Iterator[Finding]:
    def rate(episodes: list[Played]) -> float | None:
        whole = [e for e in episodes if e.length and e.ending in ("terminated", "truncated")]
        each = np.array([e.ret / e.length for e in whole])
        varied = len({e.length for e in whole}) > 1
        return float(each[0]) if len(each) >= EPISODES and varied and np.ptp(each) <= EXACT else None

    training, evaluation = (rate([e for e in watched.episodes if e.training is kind]) for kind in (True, False))
    if training is not None and evaluation is not None and abs(training - evaluation) > EXACT:
        yield Finding(
            CHECK,
            "error",
            f"expected the same reward per step in training and in evaluation; found {training:.4g} in every training "
            f"episode and {evaluation:.4g} in every evaluation",
            watched.file("episodes"),
            {"excess": abs(training - evaluation) / EXACT, "training": training, "evaluation": evaluation},
        )


def _ranges(watched: Watched, evaluations: list[Evaluation], *, alike: bool) -> Iterator[Finding]:
    steps, returns = watched.training_returns()
    if len(evaluations) < EVALUATIONS + 1:
        raise Missing(f"{EVALUATIONS + 1} evaluations")
    everything = np.concatenate([returns, *(e.returns for e in evaluations)])
    spread = float(np.ptp(everything[np.isfinite(everything)]))
    gaps = []
    tenth = evaluations[-1].steps - evaluations[-2].steps
    for evaluation in evaluations[-EVALUATIONS:]:
        near = returns[np.abs(steps - evaluation.steps) <= tenth]
        if not len(near) or not np.isfinite(evaluation.returns).all():
            raise Missing("training episodes around each evaluation")
        above = near.min() - evaluation.returns.max()  # training is better throughout
        below = evaluation.returns.min() - near.max()
        gaps.append(above if above > 0 else -max(0.0, below))
    least = min(abs(gap) for gap in gaps)
    same_side = min(gaps) > 0 or (max(gaps) < 0 and alike)  # with exploration, training may well be worse
    if same_side and least > APART * spread > 0:
        yield Finding(
            CHECK,
            "error" if alike else "warning",
            f"expected evaluation{'' if alike else ' without exploration'} to see what training sees; found training "
            f"{'better' if gaps[-1] > 0 else 'worse'} than every evaluation episode by at least {least:.4g} in the "
            f"last {EVALUATIONS} evaluations, where all returns range over {spread:.4g}",
            f"episode_return in {watched.file('metrics')}, returns in {watched.file('evaluations')}",
            {"excess": least / spread / APART, "gap": least},
        )
