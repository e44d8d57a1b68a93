"""Where experience waits until it is learned from."""

from relook.buffers.rollout import Rollout

__all__ = ["Rollout"]
