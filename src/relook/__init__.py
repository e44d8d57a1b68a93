"""relook: deep reinforcement learning you can look into.

import relook
run = relook.ppo("CartPole-v1", seeds=10, steps=100_000)   # train
run = relook.open("runs/ppo-CartPole-v1")                  # look at it again
run = relook.resume("runs/ppo-CartPole-v1")                # go on with it, if it did not end
runs = relook.grid(["ppo", "a2c"], ["CartPole-v1"], learning_rate=[1e-3, 1e-2])   # several; relook.ablate likewise
run.evaluations, run.metrics, run.episodes                 # polars tables
run.agent(3).act(observation)                              # the agent itself
"""

from functools import partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relook.runs.reading import Run

__version__ = metadata.version("relook")
__all__ = ["__version__", "ablate", "grid", "open", "ppo", "resume", "train", "tune"]
STUDIES = {"grid": "grid", "ablate": "ablation", "tune": "tuning"}
"""Functions that carry out studies, and their files in `relook.experiments`."""


def open(path: Any) -> "Run":
    """Open a run directory for reading."""
    from relook.runs.reading import Run

    return Run(path)


def __getattr__(name: str) -> Any:
    """`relook.train`, `relook.resume`, studies, and one function for each algorithm.

    They are imported when first used, because torch takes seconds.
    """
    from relook.algorithms import ALGORITHMS, TABULAR

    if name in STUDIES:
        return getattr(import_module(f"relook.experiments.{STUDIES[name]}"), name)
    if name in ("train", "resume") or name in ALGORITHMS or name in TABULAR:
        from relook import training

        return getattr(training, name) if name in ("train", "resume") else partial(training.train, name)
    raise AttributeError(f"module 'relook' has no attribute {name!r}")
