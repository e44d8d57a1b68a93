"""Does the target network lag behind, and follow?"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from relook.doctor.findings import Check, Finding
from relook.doctor.watch.watched import Missing, Watched

SUSTAINED = 0.5
"""Share of the iterations in which the lag is exactly 0."""

FAR = 0.45
"""Of ‖θ‖: a target that has little to do with the network."""

HALVES = 3.0
"""Updates × τ that a target must have had time for, before it is expected to follow."""

CLOSE = 0.01
"""Of learning rate ÷ √(2 τ), about how far Adam's steps carry a network from its running mean if each moved all
parameters once and at random."""

SLOW = 0.1
"""Rates τ up to which a target is meant to lag behind by many updates."""

NOTHING = 1e-6
"""A squared error below which a network hardly moves any more, and with it the lag goes."""

CHECK = Check(
    name="target-lag",
    component="target network",
    asks="The target network follows the network at the rate that was asked for: not at once, and not never.",
    causes=(
        "the target is the network itself: one set of parameters with two names",
        "τ and 1 - τ are swapped",
        "the target is never updated, or only one of twins is",
        "the interval of updates counts something else than steps",
    ),
    remedy="Follow one parameter by hand: θ' must become (1 - τ) θ' + τ θ, or a copy after the interval, and nothing "
    "else.",
    lesson="A target network keeps the right-hand side of the TD error still while the left-hand side learns (Mnih et "
    "al. 2015; Polyak averaging: Lillicrap et al. 2016, arXiv:1509.02971, Algorithm 1). Without lag Q chases itself; "
    "with a target that never moves Q learns the values of its own initialisation, and stops. ‖θ - θ'‖ / ‖θ‖ tells "
    "both at once. A copy at the end of an iteration gives 0 there by right, and is passed over.",
)


def look(watched: Watched) -> Iterator[Finding]:
    lag, rate = watched.metric("target_lag"), watched.setting("target_rate")
    learns = np.isfinite(lag) & (watched.columns["update_to_data"] > 0)
    if "learning_rate" in watched.columns:
        learns &= watched.columns["learning_rate"] > 0
    if learns.sum() < 3:
        raise Missing("three iterations of learning")
    interval = watched.agent.hyperparameters.get("target_interval")
    copies = rate == 1 and (not isinstance(interval, int) or watched.steps_each % interval == 0)
    judged = lag[learns]
    if not copies:
        zero = float((judged == 0).mean())
        if zero > SUSTAINED:
            yield _finding(
                watched,
                f"expected the target to lag behind at τ = {rate:g}; found a lag of exactly 0 in {zero:.0%} of "
                f"{len(judged)} iterations",
                zero / SUSTAINED,
                0.0,
            )
            return
        if rate < SLOW and (close := _close(watched, learns)) < CLOSE:
            yield _finding(
                watched,
                f"expected the target to lag behind by many updates at τ = {rate:g}; found a median lag of "
                f"{np.median(judged):.2g}, less than one update moves the network",
                CLOSE / max(close, 1e-12),
                float(np.median(judged)),
            )
            return
    updates = float(np.nansum(watched.metric("updates")[learns]))
    now = float(np.median(judged[-3:]))
    if now > FAR and (copies or updates * rate > HALVES):
        yield _finding(
            watched,
            f"expected the target to follow; found it {now:.0%} of the network's own length away at step "
            f"{watched.steps[-1]:,}, after {updates:,.0f} updates",
            now / FAR,
            now,
        )


def _close(watched: Watched, learns: NDArray[np.bool_]) -> float:
    """The median lag as a share of learning rate ÷ √(2 τ); infinite where there is nothing left to learn."""
    losses = [watched.columns[name] for name in ("q_loss", "loss") if name in watched.columns]
    rates = watched.columns["learning_rate"] if "loss" in watched.columns else watched.setting("q_learning_rate")
    moves = learns & (losses[0] > NOTHING) if losses else learns
    share = watched.metric("target_lag") / (rates / math.sqrt(2 * watched.setting("target_rate")))
    return float(np.median(share[moves])) if moves.sum() >= 3 else math.inf


def _finding(watched: Watched, evidence: str, excess: float, lag: float) -> Finding:
    return Finding(CHECK, "error", evidence, watched.see("target_lag"), {"excess": excess, "lag": lag})
