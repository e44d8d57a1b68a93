"""n-step SARSA: n rewards as they came, and then the value of what was done next.

Sutton & Barto 2018, section 7.2, Eq. 7.4 and 7.5: n = 1 is SARSA, and a large n is Monte Carlo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from relook.networks.tables import Tables
from relook.population.hyperparameters import structural
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.mdp import Array
from relook.tabular.training import TableConfig, train


@dataclass(frozen=True)
class Config(TableConfig):
    n_step: int = structural(4, "n, rewards that a target adds up before it bootstraps; 1 to 16", low=1)


class NStepSarsa(ActionValues):
    """Q(s_t, a_t) ← Q(s_t, a_t) + α [r_{t+1} + … + γⁿ⁻¹ r_{t+n} + γⁿ Q(s_{t+n}, a_{t+n}) - Q(s_t, a_t)]."""

    on_policy = True

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.waiting: list[tuple[float, float, float]] = []

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        self.waiting.append((step.state, step.action, step.reward))
        value = 0.0 if step.terminated else float(self.q[step.next_state, step.next_action])
        errors = []
        while self.waiting and (step.terminated or step.truncated or len(self.waiting) >= self.h.n_step):
            target = value
            for _, _, reward in reversed(self.waiting):
                target = reward + self.h.discount * target
            state, action, _ = self.waiting.pop(0)
            errors.append(abs(self.towards(int(state), int(action), target)))
        return float(np.mean(errors)) if errors else 0.0

    def memory(self) -> dict[str, Array]:
        return {"waiting": np.array(self.waiting).reshape(-1, 3)}

    def remember(self, memory: dict[str, Array]) -> None:
        self.waiting = [(s, a, r) for s, a, r in memory["waiting"].tolist()]


def n_step_sarsa(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, NStepSarsa, actor_critic)
