"""What makes many agents one computation: every tensor's first axis, A, is the agent, and nothing crosses it."""

from relook.population.agents import Agent, Agents, Ahead, Stop
from relook.population.layers import (
    linear,
    linear_slope_by_input,
    linear_slopes,
    pad_rows,
    padded_width,
    use_threads,
)
from relook.population.normalisers import ObservationNormaliser, RewardScaler
from relook.population.optimiser import Adam, Optimiser, RMSprop
from relook.population.parameters import Parameters, Shapes
from relook.population.randomness import reset_seed, stream
from relook.population.selfcheck import agents_are_independent, keep_freed_memory, single_threaded
from relook.population.state import restore, rows_of
from relook.population.target import Target

__all__ = [
    "Adam",
    "Agent",
    "Agents",
    "Ahead",
    "ObservationNormaliser",
    "Optimiser",
    "Parameters",
    "RMSprop",
    "RewardScaler",
    "Shapes",
    "Stop",
    "Target",
    "agents_are_independent",
    "keep_freed_memory",
    "linear",
    "linear_slope_by_input",
    "linear_slopes",
    "pad_rows",
    "padded_width",
    "reset_seed",
    "restore",
    "rows_of",
    "single_threaded",
    "stream",
    "use_threads",
]
