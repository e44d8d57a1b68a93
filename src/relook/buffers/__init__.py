"""Where experience waits until it is learned from."""

from relook.buffers.estimates import Estimates, estimate, rollout_diagnostics
from relook.buffers.rehearsal import made_up
from relook.buffers.rollout import Minibatch, Rollout

__all__ = ["Estimates", "Minibatch", "Rollout", "estimate", "made_up", "rollout_diagnostics"]
