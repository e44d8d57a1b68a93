"""Dyna-Q: Q-learning from every step, and again from steps that it remembers.

Sutton 1990; Sutton & Barto 2018, section 8.2. The model remembers what last followed each (s, a). With a bonus κ it is
Dyna-Q+ (section 8.3): a remembered step is worth κ √τ more, where τ is how many steps ago it was made; and what was
never tried in a state that was visited is remembered as leading back to it, for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from relook.networks.tables import Tables
from relook.population.hyperparameters import numeric, structural
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.mdp import Array
from relook.tabular.training import TableConfig, train


@dataclass(frozen=True)
class Config(TableConfig):
    planning_steps: int = structural(5, "remembered steps that are learned from after each step; 0 to 50", low=0)
    bonus: float = numeric(0.0, "κ of Dyna-Q+, for what was not tried for long; 0.0001 to 0.01, or 0", low=0)


class DynaQ(ActionValues):
    """Q-learning's update for the step that was made, and for `planning_steps` that the model remembers."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.model = np.full((*action_value.shape, 3), np.nan)
        """Of each (s, a): the reward, the next state, or -1 for an end, and the number of the step, 0 for never; NaN of
        what planning does not know."""
        self.known: list[tuple[int, int]] = []
        """What planning chooses from, in the order in which it was met."""
        self.steps = 0

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        self.steps += 1
        for action in range(self.q.shape[1]) if self.h.bonus else (step.action,):
            if np.isnan(self.model[step.state, action, 0]):
                self.known.append((step.state, action))
                self.model[step.state, action] = 0, step.state, 0
        self.model[step.state, step.action] = step.reward, -1 if step.terminated else step.next_state, self.steps
        error = self._learn(step.state, step.action, 0.0)
        for _ in range(self.h.planning_steps):
            self._learn(*self.known[int(rng.integers(len(self.known)))], self.h.bonus)
        return error

    def _learn(self, state: int, action: int, bonus: float) -> float:
        reward, next_state, made = self.model[state, action]
        best = 0.0 if next_state < 0 else self.q[int(next_state)].max()
        more = bonus * np.sqrt(self.steps - made) if bonus else 0.0
        return self.towards(state, action, float(reward + more + self.h.discount * best))

    def memory(self) -> dict[str, Array]:
        known = np.array(self.known, dtype=float).reshape(-1, 2)
        return {"model": self.model, "known": known, "steps": np.array([float(self.steps)])}

    def remember(self, memory: dict[str, Array]) -> None:
        self.model, self.known = memory["model"], [(int(s), int(a)) for s, a in memory["known"]]
        self.steps = int(memory["steps"][0])


def dyna_q(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, DynaQ, actor_critic)
