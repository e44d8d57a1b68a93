"""Monte Carlo control: what followed an action in the episode, to its end, is what its value goes to.

On-policy first-visit Monte Carlo control, Sutton & Barto 2018, section 5.4, with a constant α in place of averages. An
episode that was cut goes on with the value of where it was, by the policy.
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


class MonteCarlo(ActionValues):
    """Q(s, a) ← Q(s, a) + α [G - Q(s, a)] at the first visit of each (s, a), when the episode has ended."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        super().__init__(action_value, h)
        self.episode: list[tuple[float, float, float]] = []

    def learn(self, step: Step, rng: np.random.Generator) -> float:
        self.episode.append((step.state, step.action, step.reward))
        if not (step.terminated or step.truncated):
            return 0.0
        ret = 0.0 if step.terminated else float(self.policy(step.next_state) @ self.q[step.next_state])
        first = {}
        for state, action, reward in reversed(self.episode):
            ret = reward + self.h.discount * ret
            first[int(state), int(action)] = ret  # earlier visits overwrite later ones
        self.episode.clear()
        return sum(abs(self.towards(*visited, ret)) for visited, ret in first.items()) / len(first)

    def memory(self) -> dict[str, Array]:
        return {"episode": np.array(self.episode).reshape(-1, 3)}

    def remember(self, memory: dict[str, Array]) -> None:
        self.episode = [(s, a, r) for s, a, r in memory["episode"].tolist()]


def monte_carlo(work: Work, actor_critic: Callable[..., Tables] = Tables) -> None:
    """Train one unit of work."""
    train(work, MonteCarlo, actor_critic)
