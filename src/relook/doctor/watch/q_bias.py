"""Do values promise what then comes?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.trends import attainable
from relook.doctor.watch.watched import Array, Missing, Watched, finite

EVALUATIONS = 3
"""The last ones, of which each must show it."""

EPISODES = 5
"""Of each evaluation, where the bias is computed from them."""

FAR = 0.5
"""Of the largest value that returns allow (REDQ reports bias ÷ max(|return|, 10))."""

SETTLED = 0.5
"""Share of the training after which values are expected to have caught up."""

CHECK = Check(
    name="q-bias",
    component="estimates",
    asks="In the later half of training, values are near the discounted returns that then come in evaluation.",
    causes=(
        "overestimation: the maximum over noisy values, or the higher of twin critics",
        "the end of an episode, or a time limit, is treated wrongly in targets",
        "a discount other than the one that is said",
        "values that learn too slowly: a small learning rate, a target network that hardly moves",
    ),
    remedy="Follow one evaluation episode: at its last step before a real end, V must be near the last reward.",
    lesson="Fujimoto et al. 2018 (arXiv:1802.09477, Fig. 1) compare Q with the Monte-Carlo return of the current "
    "policy: DDPG's lies far above, TD3's below. It takes nothing but episodes, and it sees what TD errors cannot: an "
    "error that is the same in V(s) and in r + γ V(s'). Values of an agent that still improves are too low, being "
    "those of what it was; SAC's count the entropy to come, which returns do not. So it is a warning, and counts only "
    "if it lasts.",
)


def look(watched: Watched) -> Iterator[Finding]:
    bias, mode = _bias(watched)
    if watched.progress < SETTLED or len(bias) < EVALUATIONS:
        raise Missing(f"{EVALUATIONS} evaluations in the later half of training")
    scale = attainable(watched, watched.setting("discount"))
    if "temperature" in watched.columns:
        soft = finite(np.abs(watched.columns["temperature"] * watched.columns["entropy"]))
        scale += float(np.median(soft)) / (1 - watched.setting("discount")) if len(soft) else 0.0
    last = bias[-EVALUATIONS:] / scale
    grows = abs(last[-1]) >= 0.9 * abs(last[0])
    if grows and ((last > FAR).all() or (last < -FAR).all()):
        yield Finding(
            CHECK,
            "warning",
            "expected values near the discounted returns that came; found them too "
            f"{'high' if last[-1] > 0 else 'low'} by {', '.join(f'{abs(x):.3g}' for x in bias[-EVALUATIONS:])} in the "
            f"last {EVALUATIONS} evaluations ({mode}), where the largest value possible is about {scale:.3g}",
            f"q_bias in {watched.file('evaluations')}" if mode == "recorded" else watched.file("episodes"),
            {"excess": float(np.abs(last).min() / FAR), "bias": [float(x) for x in bias[-EVALUATIONS:]]},
        )


def _bias(watched: Watched) -> tuple[Array, str]:
    """Mean of V(s) minus the discounted return that came, by evaluation, and where it is from.

    As it was recorded; or, where every step has the same reward so that discounted returns are known, computed from
    the episodes that terminated and their recorded values.
    """
    if "q_bias" in watched.columns:
        column = watched.metric("q_bias")
        changed = np.flatnonzero(np.diff(column, prepend=np.nan) != 0)  # a new one with each evaluation
        return finite(column[changed]), "recorded"
    if watched.agent.hyperparameters.get("baseline", "value") != "value":
        raise Missing("values that are learned")
    evaluated = [e for e in watched.played(training=False) if not e.deterministic and e.length]
    rates = {round(e.ret / e.length, 9) for e in evaluated}
    if len(rates) != 1 or not any(rates):
        raise Missing("the metric q_bias, or the same reward at every step")
    [rate], discount = rates, watched.setting("discount")
    found: dict[int, list[float]] = {}
    last = sorted({episode.evaluation for episode in evaluated if episode.evaluation is not None})[-EVALUATIONS:]
    cut = {episode.evaluation for episode in evaluated if episode.ending != "terminated"}
    for episode in evaluated:  # where some were cut, those that ended are no fair sample
        enough = len(found.get(episode.evaluation or 0, ())) >= EPISODES
        if episode.evaluation in last and episode.evaluation not in cut and not enough:
            left = np.arange(episode.length, 0, -1)
            returns = rate * (left if discount == 1 else (1 - discount**left) / (1 - discount))
            values = watched.values(episode)[: episode.length]
            found.setdefault(episode.evaluation, []).append(float((values - returns).mean()))
    return np.array([np.mean(found[number]) for number in sorted(found)]), "computed from its episodes"
