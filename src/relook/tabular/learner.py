"""What tabular control algorithms share: the values of actions, and acting ε-greedily by them."""

from abc import ABC, abstractmethod
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from relook.tabular.mdp import MDP, Array


class Step(NamedTuple):
    """What happened in one step, and what would be done next."""

    state: int
    action: int
    reward: float
    next_state: int
    next_action: int
    """Drawn from the policy in the next state, before anything is learned from this step."""
    terminated: bool
    truncated: bool


class ActionValues(ABC):
    """One agent: a table Q(s, a) [S, n] and the ε-greedy policy that follows from it."""

    on_policy = False
    """Whether it goes on with the `next_action` that it learned with, as SARSA does, or draws another one after it."""

    def __init__(self, action_value: Array, h: SimpleNamespace) -> None:
        """`action_value` is the memory that it learns in; `h` are its hyper-parameters, which may fall meanwhile."""
        self.q, self.h = action_value, h

    def policy(self, state: int) -> Array:
        """π(·|s) [n]: ε for all actions alike, the rest for the best ones alike."""
        return epsilon_greedy(self.q[state], self.h.epsilon)

    def act(self, state: int, rng: np.random.Generator) -> int:
        return int(np.searchsorted(self.policy(state).cumsum()[:-1], rng.random(), side="right"))

    @abstractmethod
    def learn(self, step: Step, rng: np.random.Generator) -> float:
        """Learn from a step, with random numbers if it needs any. Returns the error of what was learned from."""

    def towards(self, state: int, action: int, target: float) -> float:
        """Q(s, a) ← Q(s, a) + α (target - Q(s, a)). Returns the error, target - Q(s, a)."""
        error = target - self.q[state, action]
        self.q[state, action] += self.h.learning_rate * error
        return float(error)

    def tables(self) -> tuple[Array, Array]:
        """π [S, n] and V [S] of all states, as they are now."""
        policy = epsilon_greedy(self.q, self.h.epsilon)
        return policy, (policy * self.q).sum(1)

    def memory(self) -> dict[str, Array]:
        """What it needs beside Q to go on as if it had never been interrupted."""
        return {}

    def remember(self, memory: dict[str, Array]) -> None:
        """Take over what `memory` gave: each under its name."""
        vars(self).update(memory)


def epsilon_greedy(q: Array, epsilon: float) -> Array:
    """π [..., n]: ε for all actions alike, the rest for the best ones alike."""
    best = q == q.max(-1, keepdims=True)
    policy: Array = epsilon / q.shape[-1] + (1 - epsilon) * best / best.sum(-1, keepdims=True)
    return policy


def practise(learner: ActionValues, mdp: MDP, rng: np.random.Generator, longest: int = 10_000) -> tuple[float, int]:
    """Play an episode of at most `longest` steps. Returns the sum of its rewards and its steps."""
    state, ret = mdp.begin(rng), 0.0
    action = learner.act(state, rng)
    for t in range(1, longest + 1):
        next_state, reward, terminated = mdp.step(state, action, rng)
        next_action = 0 if terminated else learner.act(next_state, rng)
        learner.learn(Step(state, action, reward, next_state, next_action, terminated, t == longest), rng)
        ret += reward
        if terminated:
            return ret, t
        state, action = next_state, next_action if learner.on_policy else learner.act(next_state, rng)
    return ret, longest
