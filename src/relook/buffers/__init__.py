"""Where experience waits until it is learned from."""

from relook.buffers.estimates import Estimates, estimate, rollout_diagnostics, saturation
from relook.buffers.rehearsal import made_up, made_up_batch
from relook.buffers.replay import (
    Averages,
    Batch,
    Interval,
    Replay,
    ReplayConfig,
    check_schedule,
    intervals,
    replay_bytes,
    replay_for,
)
from relook.buffers.rollout import Minibatch, Rollout

__all__ = [
    "Averages",
    "Batch",
    "Estimates",
    "Interval",
    "Minibatch",
    "Replay",
    "ReplayConfig",
    "Rollout",
    "check_schedule",
    "estimate",
    "intervals",
    "made_up",
    "made_up_batch",
    "replay_bytes",
    "replay_for",
    "rollout_diagnostics",
    "saturation",
]
