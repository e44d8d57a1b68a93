"""Double Q-learning: one table says which next action is best, the other what it is worth.

van Hasselt 2010; Sutton & Barto 2018, section 6.7, Eq. 6.10. It acts by the mean of both tables.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from relook.networks.tables import Tables
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.mdp import Array
from relook.tabular.training import TableConfig, train

Config = TableConfig


class DoubleQLearning(ActionValues):
    """Q₁(s, a) ← Q₁(s, a) + α [r + γ Q₂(s', argmax Q₁(s', ·)) - Q₁(s, a)], or with 1 and 2 exchanged, by a coin."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.both = np.stack([action_value, action_value])

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        own, other = self.both if rng.random() < 0.5 else self.both[::-1]
        best = own[step.next_state]
        choice = rng.choice(np.flatnonzero(best == best.max()))
        value = 0.0 if step.terminated else other[step.next_state, choice]
        error = step.reward + self.h.discount * value - own[step.state, step.action]
        own[step.state, step.action] += self.h.learning_rate * error
        self.q[step.state, step.action] = self.both[:, step.state, step.action].mean()
        return float(error)

    def memory(self) -> dict[str, Array]:
        return {"both": self.both}


def double_q_learning(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, DoubleQLearning, actor_critic)
