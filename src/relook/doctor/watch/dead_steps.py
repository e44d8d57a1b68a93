"""Do parameters move?"""

from collections.abc import Iterator

import numpy as np

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

SUSTAINED = 0.5
"""Share of exactly-zero iterations from which it is an error (rl-doctor: .2 informs, .4 warns, .7 alarms)."""

NOTHING = 1e-9
"""A squared error below this is none: where chance plays no part, Q can become exact."""

CHECK = Check(
    name="dead-steps",
    component="optimiser",
    asks="With a learning rate above 0 and data to learn from, gradients are not exactly 0 and parameters move.",
    causes=(
        "no optimiser step, or one with parameters that are not those of the network",
        "a gradient that is cut off: detached, or zeroed after the backward pass",
        "a learning rate that has reached 0 too early",
        "advantages or errors that are all 0",
    ),
    remedy="Compare parameters before and after one update: every one that should learn must have moved.",
    lesson="A network that never moves plays like its initialisation, and the curve is flat from the first step: many "
    "look at the environment first. An exact zero is no small number; with float32 and real data it means that "
    "something is not connected. Environments in which every episode gives the same return leave nothing to learn, and "
    "are passed over. (rl-doctor counts exactly-zero steps; Jones 2021 asks for the size of steps.)",
)


def look(watched: Watched) -> Iterator[Finding]:
    names = [
        name
        for name in ("step_size", "gradient_norm", "policy_gradient_norm", "q_gradient_norm")
        if name in watched.columns
    ]
    if not names:
        raise Missing("a size of steps or gradients")
    learns = _learns(watched)
    if learns.sum() < 3:
        raise Missing("three iterations of learning")
    for name in names:
        column = watched.metric(name)
        judged = learns & np.isfinite(column)
        zero = judged & (column == 0)
        if zero.sum() >= 3 and zero.sum() > SUSTAINED * judged.sum():
            yield Finding(
                CHECK,
                "error",
                f"expected {name} above 0 wherever there is something to learn; found exactly 0 in {int(zero.sum())} "
                f"of {int(judged.sum())} iterations",
                watched.see(name),
                {"excess": float(zero.sum() / max(1, judged.sum()) / SUSTAINED), "metric": name},
            )
            return


def _learns(watched: Watched) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The iterations [I] in which there were updates, a learning rate, and data that differs."""
    learns = np.ones(len(watched.steps), dtype=np.bool_)
    for name in ("value_loss", "q_loss", "loss"):
        if name in watched.columns and watched.agent.hyperparameters.get("baseline", "value") == "value":
            learns &= watched.columns[name] > NOTHING
    for name in ("learning_rate", "updates", "samples", "update_to_data"):
        if name in watched.columns:
            learns &= watched.columns[name] > 0
    if "explained_variance" in watched.columns:  # null where all targets are equal
        learns &= np.isfinite(watched.columns["explained_variance"])
    if "samples" in watched.columns:
        returns = watched.columns["episode_return"]
        learns &= bool(np.nanmax(returns, initial=-np.inf) > np.nanmin(returns, initial=np.inf))
    if "backtracks" in watched.columns:  # a line search that finds nothing better takes no step
        learns &= watched.columns["backtracks"] == 0
    return learns
