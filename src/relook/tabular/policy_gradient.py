"""The gradient of J(π) by the preferences of a softmax policy, exactly (Sutton & Barto 2018, section 13.2)."""

import numpy as np
from scipy.special import softmax

from relook.tabular.dynamic_programming import backup, evaluate, visits
from relook.tabular.mdp import MDP, Array


def performance(mdp: MDP, preference: Array, gamma: float) -> float:
    """J(π) = E[Σ γᵗ r_t] of π = softmax(h), h [S, A]."""
    return float(mdp.start @ evaluate(mdp, softmax(preference, axis=1), gamma))


def gradient(mdp: MDP, preference: Array, gamma: float) -> Array:
    """∂J/∂h(s, a) = d(s) π(a|s) A(s, a) [S, A], with d(s) = Σ_t γᵗ p(s_t = s) (the policy-gradient theorem)."""
    policy = softmax(preference, axis=1)
    value = evaluate(mdp, policy, gamma)
    advantage = backup(mdp, value, gamma) - value[:, None]
    product: Array = visits(mdp, policy, gamma)[:, None] * policy * advantage
    return product


def ascend(mdp: MDP, gamma: float, learning_rate: float, steps: int) -> tuple[Array, Array]:
    """Preferences [S, A] after gradient ascent from 0, and J before each step and after the last [steps + 1]."""
    preference, found = np.zeros((mdp.size, mdp.choices)), []
    for _ in range(steps):
        found.append(performance(mdp, preference, gamma))
        preference += learning_rate * gradient(mdp, preference, gamma)
    return preference, np.array([*found, performance(mdp, preference, gamma)])
