"""Classical reinforcement learning on tables: float64, numpy, and exact where exactness exists."""

from relook.tabular.dynamic_programming import (
    backup,
    evaluate,
    greedy,
    optimal,
    policy_iteration,
    sweeps,
    under,
    value_iteration,
    visits,
)
from relook.tabular.mdp import MDP, Array, from_environment

__all__ = [
    "MDP",
    "Array",
    "backup",
    "evaluate",
    "from_environment",
    "greedy",
    "optimal",
    "policy_iteration",
    "sweeps",
    "under",
    "value_iteration",
    "visits",
]
