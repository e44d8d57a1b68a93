"""Q-learning: the target takes the best next action, whatever is done next.

Watkins 1989; Sutton & Barto 2018, section 6.5, Eq. 6.8. Where an episode was only cut, the target goes on beyond it.
"""

from collections.abc import Callable

import numpy as np

from relook.networks.tables import Tables
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.training import TableConfig, train

Config = TableConfig


class QLearning(ActionValues):
    """Q(s, a) ← Q(s, a) + α [r + γ max Q(s', ·) - Q(s, a)]."""

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        best = 0.0 if step.terminated else float(self.q[step.next_state].max())
        return self.towards(step.state, step.action, step.reward + self.h.discount * best)


def q_learning(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, QLearning, actor_critic)
