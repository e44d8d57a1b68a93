"""relook: deep reinforcement learning you can look into.

import relook
run = relook.ppo("CartPole-v1", seeds=10, steps=100_000)   # train
run = relook.open("runs/ppo-CartPole-v1")                  # look at it again
run.evaluations, run.metrics, run.episodes                 # polars tables
run.agent(3).act(observation)                              # the agent itself
"""

from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relook.runs.reading import Run

__version__ = metadata.version("relook")
__all__ = ["__version__", "open", "ppo", "train"]


def open(path: Any) -> "Run":
    """Open a run directory for reading."""
    from relook.runs.reading import Run

    return Run(path)


def __getattr__(name: str) -> Any:
    """`relook.train`, and one function for each algorithm: imported when first used, because torch takes seconds."""
    from relook.algorithms import ALGORITHMS

    if name == "train" or name in ALGORITHMS:
        from relook.training import train

        return train if name == "train" else partial(train, name)
    raise AttributeError(f"module 'relook' has no attribute {name!r}")
