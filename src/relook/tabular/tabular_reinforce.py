"""REINFORCE with a baseline on tables: a softmax of preferences, moved by how much better an episode went.

Williams 1992; Sutton & Barto 2018, section 13.4. An episode that was cut goes on with the value of where it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy.special import softmax

from relook.networks.tables import Tables
from relook.population.hyperparameters import numeric
from relook.runs.work import Work
from relook.tabular.learner import ActionValues, Step
from relook.tabular.mdp import Array
from relook.tabular.training import TableConfig, train


@dataclass(frozen=True)
class Config(TableConfig):
    value_learning_rate: float = numeric(0.1, "α of the baseline V(s); 0.01 to 1, or 0 for none", low=0)
    epsilon: float = numeric(0.0, "a softmax explores by itself; ε of the time, it takes any action", low=0, high=1)


class TabularReinforce(ActionValues):
    """δ = G_t - V(s_t);  V(s_t) ← V + α_v δ;  h(s_t, ·) ← h + α γᵗ δ ∂log π(a_t|s_t)/∂h, with π = softmax(h)."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.preference, self.value = np.zeros_like(action_value), np.zeros_like(action_value[:, 0])
        self.episode: list[tuple[float, float, float]] = []

    def policy(self, state: int) -> Array:
        return self._mixed(self.preference[state])

    def _mixed(self, preference: Array) -> Array:
        policy: Array = self.h.epsilon / preference.shape[-1] + (1 - self.h.epsilon) * softmax(preference, axis=-1)
        return policy

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        self.episode.append((step.state, step.action, step.reward))
        if not (step.terminated or step.truncated):
            return 0.0
        ret, error = 0.0 if step.terminated else float(self.value[step.next_state]), 0.0
        for t, (s, a, reward) in reversed(list(enumerate(self.episode))):
            ret, state = reward + self.h.discount * ret, int(s)
            advantage = ret - self.value[state]
            self.value[state] += self.h.value_learning_rate * advantage
            slope = (np.arange(self.q.shape[1]) == a) - softmax(self.preference[state])
            self.preference[state] += self.h.learning_rate * self.h.discount**t * advantage * slope
            error += abs(advantage) / len(self.episode)
        self.episode.clear()
        return float(error)

    def tables(self) -> tuple[Array, Array]:
        return self._mixed(self.preference), self.value

    def memory(self) -> dict[str, Array]:
        return {"preference": self.preference, "value": self.value, "episode": np.array(self.episode).reshape(-1, 3)}

    def remember(self, memory: dict[str, Array]) -> None:
        self.preference, self.value = memory["preference"], memory["value"]
        self.episode = [(s, a, r) for s, a, r in memory["episode"].tolist()]


def tabular_reinforce(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, TabularReinforce, actor_critic)
