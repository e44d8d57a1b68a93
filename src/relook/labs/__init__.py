"""The labs in the order of the notes: each a folder with a question, a computation, a picture and claims."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from relook.errors import WrongRequest

if TYPE_CHECKING:
    from relook.labs.lab import Lab

LABS = (
    "expectation",
    "importance_sampling",
    "seeds",
    "bandits",
    "likelihood",
    "trajectories",
    "horizons",
    "bellman",
    "exact_values",
    "shaping",
    "paths",
    "cliff",
    "log_derivative",
    "past_rewards",
    "baselines",
    "gae",
    "reparameterisation",
    "natural_gradient",
    "performance_difference",
    "clipping",
    "entropy",
    "deterministic_gradient",
    "off_policy_data",
    "overestimation",
    "deadly_triad",
    "target_network",
    "model_errors",
    "partial_observability",
    "time_limits",
    "exploration",
    "self_play",
    "defend",
    "variants",
)
"""Their names, which are those of their folders."""


def find(name: str) -> Lab[Any]:
    """Look a lab up. Raises `WrongRequest` for unknown names."""
    if name not in LABS:
        raise WrongRequest(f"expected a lab among {', '.join(LABS)}; found {name!r}; relook labs lists them")
    found: Lab[Any] = import_module(f"{__name__}.{name}").LAB
    return found
