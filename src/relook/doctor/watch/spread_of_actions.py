"""Do actions differ as much as the policy says?"""

import math
from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Array, Missing, Watched

EPISODES = 20
"""The last training episodes, which are looked at."""

STEPS = 300
"""Actions at least."""

SLACK = 0.15
"""nats for each component: for the entropies of finitely many samples, and of a policy that moved meanwhile."""

SATURATED = 0.1
"""Share of actions cut to a bound, above which their spread says little."""

CHECK = Check(
    name="spread-of-actions",
    component="exploration",
    asks="Training actions are at least as spread out, over all states, as the policy says that they are in each "
    "state.",
    causes=(
        "the mean or the likeliest action is taken where one should be drawn",
        "noise that is drawn once and used for all steps or environments",
        "σ, log σ and the variance taken for one another: the spread that is used is not the one in the "
        "log-probability",
        "an entropy that lacks a term",
    ),
    remedy="Draw a thousand actions in one state, and compare their spread with the entropy that the policy reports.",
    lesson="The entropy of a mixture is at least the mean of the entropies of its parts (it is concave: Cover and "
    "Thomas, Elements of Information Theory, §2.7), and a Gaussian has the highest of all distributions with the same "
    "variance. So the actions that were really taken bound the entropy that is reported, whatever the states were. An "
    "agent that collects with its best action breaks the bound, and otherwise looks like one that learns badly.",
)


def look(watched: Watched) -> Iterator[Finding]:
    entropy, actions = watched.metric("entropy"), watched.known_actions()
    if "temperature" in watched.columns:
        raise Missing("an entropy over the states that were visited")  # SAC's is over what the replay gave
    if len(actions.sizes) > 1:
        raise Missing("one choice, or continuous actions")
    episodes = [e for e in watched.played(training=True) if e.length][-EPISODES:]
    lengths = np.cumsum([e.length for e in episodes[::-1]])
    episodes = episodes[-int(np.searchsorted(lengths, 2 * STEPS)) - 1 :]
    used = np.concatenate([watched.actions(e) for e in episodes] or [np.zeros(0)])
    if len(used) < STEPS:
        raise Missing(f"{STEPS} steps of training episodes")
    longest = max(e.length for e in episodes)
    since = episodes[0].steps - (longest + 1) * watched.setting("envs")  # when the first of them began at the earliest
    rows = (watched.steps >= since) & (watched.steps <= episodes[-1].steps) & np.isfinite(entropy)
    if not rows.any():
        raise Missing("the entropy while these episodes were played")
    said = float(entropy[rows].min())
    if actions.sizes:
        shares = np.unique(used, return_counts=True)[1] / len(used)
        most, slack = float(-(shares * np.log(shares)).sum()), SLACK
    else:
        most, slack = _most(watched, used.reshape(len(used), -1)), SLACK * actions.width
    if said > most + slack:
        yield Finding(
            CHECK,
            "error",
            f"expected the {len(used):,} actions of the last {len(episodes)} training episodes to be as spread out as "
            f"an entropy of {said:.3g} nats asks for; found at most {most:.3g}",
            f"{watched.file('episodes')}, `actions`; {watched.see('entropy')}",
            {"excess": (said - most) / slack, "said": said, "most": most},
        )


def _most(watched: Watched, used: Array) -> float:
    """The highest entropy of continuous actions [L, K] with the spread that these have, in the policy's own units."""
    actions = watched.known_actions()
    own = used.astype(np.float64)
    if actions.bounded:
        scaled = actions.to_policy(used)
        if (np.abs(scaled) >= 1 - 1e-6).mean() > SATURATED:
            raise Missing("actions inside of their bounds")
        own = scaled if actions.rescaled else own
    elif actions.rescaled and np.isfinite(actions.half).any():
        raise Missing("bounds for all components of an action, or for none")
    variance = own.var(0)
    with np.errstate(divide="ignore"):
        return float((0.5 * np.log(2 * math.pi * math.e * variance)).sum())
