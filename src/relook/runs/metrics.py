"""What a number in `metrics.jsonl` means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """The meaning and unit of one logged name. An algorithm declares all it logs; other names are an error."""

    meaning: str
    unit: str = ""


COMMON = {
    "episode_return": Metric("mean return of the training episodes that ended in this iteration", "reward"),
    "episode_length": Metric("mean length of these episodes", "steps"),
    "episodes": Metric("how many training episodes ended in this iteration"),
}
"""Logged by every algorithm."""
