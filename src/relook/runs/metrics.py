"""What a number in `metrics.jsonl` means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The meaning and unit of one logged name. An algorithm declares all it logs; other names are an error."""

    meaning: str
    unit: str = ""
    optional: bool = False
    """Whether it may be null. Any other metric that is not a finite number says that the agent has diverged."""


COMMON = {
    "episode_return": Metric(
        "mean return of the training episodes that ended in this iteration", "reward", optional=True
    ),
    "episode_length": Metric("mean length of these episodes", "steps", optional=True),
    "episodes": Metric("how many training episodes ended in this iteration"),
    "updates": Metric(
        "updates of the policy in this iteration (of Q where actions come from Q, of critics off-policy)"
    ),
}
"""Logged by every algorithm."""
