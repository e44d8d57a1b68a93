"""Do the files of a run say the same?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Played, Watched

ROUNDING = 1e-5
"""Relative: means of the same numbers, added up in another order."""

CHECK = Check(
    name="record-agreement",
    component="record",
    asks="What metrics and evaluations say of episodes is what the episodes themselves say, and episodes that were the "
    "same in all observations and rewards have the same return.",
    causes=(
        "a return that is summed up from scaled, clipped or normalised rewards in one place and raw ones in another",
        "episodes that are counted twice, or not at all",
        "a file that was changed afterwards",
    ),
    remedy="Compare one iteration's episode_return with its episodes, and see which of the two adds up raw rewards; "
    "`relook verify` plays episodes again.",
    lesson="The same number is often computed twice, and wrong in one of the two places only. Scores that were really "
    "sums of clipped rewards have been published as scores; 37 implementation details of PPO (Huang et al. 2022) tells "
    "where wrappers must stand for the return to be the raw one. Only runs of which all episodes are read are judged.",
)


def look(watched: Watched) -> Iterator[Finding]:
    yield from _digests(watched)
    yield from _evaluations(watched)
    if watched.all_episodes:
        yield from _training(watched)


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= ROUNDING * max(1.0, abs(one), abs(other))


def _finding(watched: Watched, evidence: str, file: str, one: float, other: float) -> Finding:
    excess = abs(one - other) / max(1e-9, min(abs(one), abs(other)))
    return Finding(CHECK, "error", evidence, watched.file(file), {"excess": excess, "one": one, "other": other})


def _digests(watched: Watched) -> Iterator[Finding]:
    if not watched.episodes:
        raise Missing("recorded episodes")
    first: dict[str, Played] = {}
    for episode in watched.episodes:
        before = first.setdefault(episode.digest, episode)
        if not _alike(before.ret, episode.ret) or before.length != episode.length:
            yield _finding(
                watched,
                "expected two episodes with the same observations and rewards to have one return; found "
                f"{before.ret:g} ({_mode(before)}, {before.length} steps) and {episode.ret:g} ({_mode(episode)}, "
                f"{episode.length})",
                "episodes",
                before.ret,
                episode.ret,
            )
            return


def _mode(episode: Played) -> str:
    return "training" if episode.training else "evaluation"


def _evaluations(watched: Watched) -> Iterator[Finding]:
    played: dict[tuple[int | None, bool], list[float]] = {}
    for episode in watched.episodes:
        if not episode.training:
            played.setdefault((episode.evaluation, episode.deterministic), []).append(episode.ret)
    for evaluation in watched.evaluations:
        own = played.get((evaluation.evaluation, evaluation.deterministic), [])
        said = float(np.mean(evaluation.returns)) if len(evaluation.returns) else 0.0
        if len(own) == len(evaluation.returns) > 0 and not _alike(said, float(np.mean(own))):
            yield _finding(
                watched,
                f"expected evaluation {evaluation.evaluation} to have the mean return of its {len(own)} episodes, "
                f"{np.mean(own):g}; found {said:g}",
                "evaluations",
                said,
                float(np.mean(own)),
            )
            return


def _training(watched: Watched) -> Iterator[Finding]:
    returns = watched.columns.get("episode_return")
    if returns is None:
        return
    played: dict[int, list[float]] = {}
    for episode in watched.episodes:
        if episode.training and episode.ending not in ("crashed", "diverged"):
            played.setdefault(episode.steps, []).append(episode.ret)
    for steps, said in zip(watched.steps.tolist(), returns.tolist(), strict=True):
        own = played.get(steps, [])
        if own and np.isfinite(said) and not _alike(said, float(np.mean(own))):
            yield _finding(
                watched,
                f"expected the iteration that ends at step {steps:,} to have the mean return of its {len(own)} "
                f"episodes, {np.mean(own):g}; found {said:g}",
                "metrics",
                said,
                float(np.mean(own)),
            )
            return
