"""SARSA(λ): every error goes to all that was done before it in the episode, the less the longer ago.

Rummery & Niranjan 1994, with accumulating traces; Sutton & Barto 2018, section 12.7, for a table. λ = 0 is SARSA.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from relook.networks.tables import Tables
from relook.population.hyperparameters import numeric
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.mdp import Array
from relook.tabular.training import TableConfig, train


@dataclass(frozen=True)
class Config(TableConfig):
    trace_decay: float = numeric(0.9, "λ, what a trace keeps at each step beside γ; 0 to 1", low=0, high=1)


class SarsaLambda(ActionValues):
    """e(s, a) ← e(s, a) + 1;  Q ← Q + α δ e;  e ← γ λ e, with SARSA's error δ."""

    on_policy = True

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.trace = np.zeros_like(action_value)

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        value = 0.0 if step.terminated else self.q[step.next_state, step.next_action]
        error = step.reward + self.h.discount * value - self.q[step.state, step.action]
        self.trace[step.state, step.action] += 1
        self.q += self.h.learning_rate * error * self.trace
        ended = step.terminated or step.truncated
        self.trace *= 0.0 if ended else self.h.discount * self.h.trace_decay
        return float(error)

    def memory(self) -> dict[str, Array]:
        return {"trace": self.trace}


def sarsa_lambda(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, SarsaLambda, actor_critic)
