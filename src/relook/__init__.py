"""relook: deep reinforcement learning you can look into.

import relook
run = relook.ppo("CartPole-v1", seeds=10, steps=100_000)   # train
run = relook.open("runs/ppo-CartPole-v1")                  # look at it again
run = relook.resume("runs/ppo-CartPole-v1")                # go on with it, if it did not end
run.evaluations, run.metrics, run.episodes                 # polars tables
run.agent(3).act(observation)                              # the agent itself
"""

from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relook.runs.reading import Run

__version__ = metadata.version("relook")
__all__ = ["__version__", "open", "ppo", "resume", "train"]


def open(path: Any) -> "Run":
    """Open a run directory for reading."""
    from relook.runs.reading import Run

    return Run(path)


def __getattr__(name: str) -> Any:
    """`relook.train`, `relook.resume`, and one function for each algorithm.

    They are imported when first used, because torch takes seconds.
    """
    from relook.algorithms import ALGORITHMS

    if name in ("train", "resume") or name in ALGORITHMS:
        from relook import training

        return getattr(training, name) if name in ("train", "resume") else partial(training.train, name)
    raise AttributeError(f"module 'relook' has no attribute {name!r}")
