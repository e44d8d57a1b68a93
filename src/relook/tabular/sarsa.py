"""SARSA: the target takes the action that is done next.

Rummery & Niranjan 1994; Sutton & Barto 2018, section 6.4, Eq. 6.7.
"""

from collections.abc import Callable

import numpy as np

from relook.networks.tables import Tables
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.training import TableConfig, train

Config = TableConfig


class Sarsa(ActionValues):
    """Q(s, a) ← Q(s, a) + α [r + γ Q(s', a') - Q(s, a)]."""

    on_policy = True

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        value = 0.0 if step.terminated else float(self.q[step.next_state, step.next_action])
        return self.towards(step.state, step.action, step.reward + self.h.discount * value)


def sarsa(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, Sarsa, actor_critic)
