"""Prioritised sweeping: what would change most is learned first, and then what led there.

Moore & Atkeson 1993; Sutton & Barto 2018, section 8.4. The model remembers what last followed each (s, a).
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

END, UNKNOWN = -1, -2


@dataclass(frozen=True)
class Config(TableConfig):
    planning_steps: int = structural(5, "values that are changed after each step, at most; 1 to 50", low=1)
    threshold: float = numeric(1e-4, "θ, the smallest error that is worth a change; 1e-5 to 1e-2", low=0)


class PrioritisedSweeping(ActionValues):
    """Q-learning's update of the (s, a) whose error is largest, again and again, and of what leads to its state."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.reward, self.next_state = np.zeros_like(action_value), np.full_like(action_value, UNKNOWN)
        self.priority = np.zeros_like(action_value)
        """|error| of what waits for its update; 0 of what does not."""

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        self.reward[step.state, step.action] = step.reward
        self.next_state[step.state, step.action] = END if step.terminated else step.next_state
        error = self._queue(step.state, step.action)
        for _ in range(self.h.planning_steps):
            state, action = divmod(int(self.priority.argmax()), self.q.shape[1])
            if not self.priority[state, action]:
                break
            self.priority[state, action] = 0
            self.towards(state, action, self._target(state, action))
            for s, a in np.argwhere(self.next_state == state).tolist():
                self._queue(s, a)
        return error

    def _target(self, state: int, action: int) -> float:
        to = int(self.next_state[state, action])
        return float(self.reward[state, action] + (0.0 if to == END else self.h.discount * self.q[to].max()))

    def _queue(self, state: int, action: int) -> float:
        error = self._target(state, action) - self.q[state, action]
        if abs(error) > self.h.threshold:
            self.priority[state, action] = max(abs(error), self.priority[state, action])
        return float(error)

    def memory(self) -> dict[str, Array]:
        return {"reward": self.reward, "next_state": self.next_state, "priority": self.priority}


def prioritised_sweeping(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, PrioritisedSweeping, actor_critic)
