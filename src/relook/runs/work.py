"""One unit of work: what a worker is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relook.envs import EnvironmentSpec
from relook.population import Agents


@dataclass(frozen=True)
class Work:
    """A share of a run's agents that trains as one population in one process, in a directory of its own."""

    directory: Path
    environment: EnvironmentSpec
    agents: Agents
    config: Any
    """The algorithm's `Config`. Its structural fields hold for all agents; numeric ones are read from `agents`."""
    steps: int
    """Environment steps per agent."""
    evaluate_episodes: int = 10
    """Episodes per evaluation, agent and mode (deterministic, stochastic)."""
    checkpoint_every: int = 0
    """Environment steps per agent between checkpoints; 0: only at the end."""
    milestones: tuple[int, ...] = ()
    """Steps per agent whose checkpoints are kept for good."""
    until: int | None = None
    """Pause after so many steps per agent, before those that the training is planned for have been made."""
    began: tuple[tuple[int, int], ...] = ()
    """Number and seed of everyone that the unit began with, if some of these agents were pruned since."""

    @property
    def everyone(self) -> list[list[int]]:
        """Number and seed of everyone that the unit began with."""
        return [list(member) for member in self.began or ((agent.index, agent.seed) for agent in self.agents)]

    @property
    def positions(self) -> list[int]:
        """Where its agents stand among everyone."""
        numbers = [number for number, _ in self.everyone]
        return [numbers.index(agent.index) for agent in self.agents]
