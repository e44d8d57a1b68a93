"""Do step sizes and exploration fall as they were asked to?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Array, Missing, Watched, finite

OFF = 0.02
"""Of the value at the start: a difference from the schedule that rounding cannot make."""

SUSTAINED = 0.1
"""Share of the iterations in which it must differ."""

CHECK = Check(
    name="annealing",
    component="schedule",
    asks="The learning rate and ε are, in each iteration, what the hyper-parameters make of them.",
    causes=(
        "a schedule that runs over the wrong number of steps, or starts again",
        "a schedule that rises instead of falling, or is applied twice",
        "a value that is fixed where it should fall, or falls where it should be fixed",
    ),
    remedy="Print the value against the share of training done: it must be 1 - progress times the first one where it "
    "is annealed, and constant where it is not.",
    lesson="A learning rate that reaches 0 early ends learning without a word: the return curve goes flat, as that of "
    "a solved task does. An ε that never falls keeps training returns low although the greedy policy is fine. Both are "
    "known in advance for each iteration, so that no threshold is needed. (Linear annealing: 37 implementation details "
    "of PPO, item 4; ε-greedy: Mnih et al. 2015.) A run that was prolonged or branched off changed its schedule and is "
    "passed over.",
)


def look(watched: Watched) -> Iterator[Finding]:
    if not watched.run.straight:
        raise Missing("a training that was not changed on its way")
    expected = {}
    if "learning_rate" in watched.columns:
        progress = watched.iteration / watched.planned
        factor = 1 - progress if watched.switch("anneal_learning_rate") else np.ones_like(progress)
        expected["learning_rate"] = watched.setting("learning_rate") * factor
    if "epsilon" in watched.columns:
        expected["epsilon"] = _epsilon(watched)
    if not expected:
        raise Missing("the metric learning_rate or epsilon")
    for name, values in expected.items():
        column, scale = watched.metric(name), max(1e-12, float(np.abs(values).max()))
        off = np.abs(column - values) / scale
        wrong = off > OFF
        if len(finite(column)) and wrong.sum() > max(1, SUSTAINED * len(column)):
            worst = int(np.nanargmax(off))
            yield Finding(
                CHECK,
                "error",
                f"expected {name} {values[worst]:.3g} at step {watched.steps[worst]:,}, as the hyper-parameters say; "
                f"found {column[worst]:.3g}, and off by more than {OFF:.0%} in {int(wrong.sum())} of {len(column)} "
                f"iterations",
                watched.see(name),
                {"excess": float(off[worst] / OFF), "metric": name, "value": float(column[worst])},
            )


def _epsilon(watched: Watched) -> Array:
    """ε at the last step of each iteration: from 1 linearly to its final value, in the share of training for it."""
    done = watched.steps - watched.setting("envs")
    share = np.clip(done / (watched.setting("exploration") * watched.run.steps), 0, 1)
    return np.asarray(1 + (watched.setting("final_epsilon") - 1) * share, dtype=np.float64)
