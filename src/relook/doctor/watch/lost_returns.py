"""Does an agent keep what it has learned?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import Returns, returns_of, trend
from relook.doctor.watch.watched import Missing, Watched

FORGOTTEN = 0.2
"""Of what was gained since the beginning: what is left of it."""

NOISES = 4.0
"""Robust standard deviations of the first returns, by which later ones must be worse than those of a beginner."""

FEW = 4
"""Returns of which a median is none: episodes of a thousand steps in a training of ten thousand."""

SETTLED = 0.4
"""Share of the training, before which a bad start is nothing unusual."""

CHECK = Check(
    name="lost-returns",
    component="hyper-parameters",
    asks="An agent does not end worse than it began, and keeps at least some of what it had gained.",
    causes=(
        "a learning rate that is too large, or does not fall",
        "the sign of the policy's loss or of the advantages: the policy learns what to avoid",
        "values that diverge, or a replay that has forgotten",
        "the policy has left the states that its values know",
    ),
    remedy="If it ends worse than random, check the sign of loss and advantages; if it had learned before, lower the "
    "learning rate or let it fall to 0.",
    lesson="The last evaluation decides what is reported, and a curve that was at 500 may end at 10. Falls happen to "
    "correct algorithms as well (agents forget, and PPO's steps become noise once a task is solved), so that this is a "
    "warning. An agent that ends reliably worse than its own untrained self is another matter: something learns, in "
    "the wrong direction. RLMutation found return a poor oracle all the same: half of its mutants are not seen in it.",
)


def look(watched: Watched) -> Iterator[Finding]:
    if watched.progress < SETTLED:
        raise Missing("enough of the training")
    returns = returns_of(watched)
    if returns.each < FEW:
        raise Missing(f"{FEW} iterations in which episodes ended in each fifth")
    gained, left = returns.best - returns.early, returns.late - returns.early
    if (
        gained > max(NOISES * max(returns.noise, returns.best_noise), 0.3 * returns.spread)
        and left < FORGOTTEN * gained
    ):
        yield _finding(
            watched,
            f"expected an agent to keep what it learned; found returns of {returns.late:.4g} after a best fifth of "
            f"{returns.best:.4g} and {returns.early:.4g} at the start",
            returns,
            (returns.best - returns.late) / max(gained, 1e-9),
        )
        return
    worse = returns.early - returns.late
    if worse > NOISES * returns.noise and worse > 0.3 * returns.spread and trend(watched.training_returns()[1]).falls:
        yield _finding(
            watched,
            f"expected no agent to become worse than it was untrained; found returns of {returns.late:.4g} after "
            f"{returns.early:.4g} at the start, and falling",
            returns,
            worse / max(NOISES * returns.noise, 1e-9),
        )


def _finding(watched: Watched, evidence: str, returns: Returns, excess: float) -> Finding:
    figures = {"excess": float(np.minimum(excess, 1e9)), "early": returns.early, "late": returns.late}
    return Finding(CHECK, "warning", evidence, watched.see("episode_return"), {**figures, "best": returns.best})
