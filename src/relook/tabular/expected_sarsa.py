"""Expected SARSA: the target takes the mean over the next actions, by the policy.

van Seijen et al. 2009; Sutton & Barto 2018, section 6.6, Eq. 6.9.
"""

from collections.abc import Callable

import numpy as np

from relook.networks.tables import Tables
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.training import TableConfig, train

Config = TableConfig


class ExpectedSarsa(ActionValues):
    """Q(s, a) ← Q(s, a) + α [r + γ Σ_a' π(a'|s') Q(s', a') - Q(s, a)]."""

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        value = 0.0 if step.terminated else float(self.policy(step.next_state) @ self.q[step.next_state])
        return self.towards(step.state, step.action, step.reward + self.h.discount * value)


def expected_sarsa(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, ExpectedSarsa, actor_critic)
