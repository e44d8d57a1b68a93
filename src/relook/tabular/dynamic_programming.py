"""Exact values: policy evaluation, policy iteration, value iteration (Sutton & Barto 2018, chapter 4).

Values of terminal states are 0, because nothing leaves them.
"""

from collections.abc import Iterator

import numpy as np

from relook.tabular.mdp import MDP, Array


def backup(mdp: MDP, value: Array, gamma: float) -> Array:
    """Q(s, a) = Σ_s' p(s'|s, a) (r + γ V(s')) [S, A]: the right side of Bellman's equations."""
    q: Array = mdp.mean_reward + gamma * mdp.transition @ value
    return q


def under(mdp: MDP, policy: Array) -> tuple[Array, Array]:
    """P_π [S, S] and r_π [S] of the chain that a policy π(a|s) [S, A] makes of an MDP."""
    return np.einsum("sa,sat->st", policy, mdp.transition), (policy * mdp.mean_reward).sum(1)


def evaluate(mdp: MDP, policy: Array, gamma: float) -> Array:
    """V^π [S], solved from V = r_π + γ P_π V (Eq. 3.14). With γ = 1 every episode must end sooner or later."""
    p, r = under(mdp, policy)
    solved: Array = np.linalg.solve(np.eye(mdp.size) - gamma * p, r)
    return solved


def sweeps(mdp: MDP, policy: Array, gamma: float) -> Iterator[Array]:
    """Iterative policy evaluation (section 4.1): V after each sweep, from V = 0, for ever."""
    p, r = under(mdp, policy)
    value = np.zeros(mdp.size)
    while True:
        value = r + gamma * p @ value
        yield value


def greedy(q: Array) -> Array:
    """The policy π(a|s) [S, A] that takes the first of the best actions."""
    policy: Array = np.eye(q.shape[1])[q.argmax(1)]
    return policy


def policy_iteration(mdp: MDP, gamma: float, first: Array | None = None) -> tuple[Array, Array, int]:
    """π* [S, A], V* [S], and how many policies were evaluated (section 4.3), from `first` or the uniform policy.

    A policy is kept where no action is better than its own by more than rounding, so that ties do not go round for
    ever.
    """
    policy = np.full((mdp.size, mdp.choices), 1 / mdp.choices) if first is None else first
    for count in range(1, 1_000):
        value = evaluate(mdp, policy, gamma)
        q = backup(mdp, value, gamma)
        better = q.max(1) > (policy * q).sum(1) + 1e-10 * (1 + np.abs(value))
        if not better.any():
            return greedy(q) if count == 1 else policy, value, count
        policy = np.where(better[:, None], greedy(q), policy)
    raise RuntimeError("expected policy iteration to end; it did not")  # pragma: no cover


def value_iteration(mdp: MDP, gamma: float, tolerance: float = 1e-10) -> tuple[Array, int]:
    """V* [S] up to `tolerance`, and the number of sweeps (section 4.4).

    Sweeps go on until γ / (1 - γ) times the last change, which bounds the distance to V*, is below the tolerance; with
    γ = 1 until nothing changes by more than it.
    """
    value, factor = np.zeros(mdp.size), gamma / (1 - gamma) if gamma < 1 else 1.0
    for count in range(1, 1_000_000):
        before, value = value, backup(mdp, value, gamma).max(1)
        if factor * np.abs(value - before).max() <= tolerance:
            return value, count
    raise RuntimeError("expected value iteration to converge; it did not")  # pragma: no cover


def optimal(mdp: MDP, gamma: float) -> tuple[Array, Array]:
    """V* [S] and Q* [S, A]."""
    _, value, _ = policy_iteration(mdp, gamma)
    return value, backup(mdp, value, gamma)


def visits(mdp: MDP, policy: Array, gamma: float) -> Array:
    """Σ_t γᵗ p(s_t = s) [S]: how often a policy is in each state, discounted; it adds up to 1 / (1 - γ)."""
    p, _ = under(mdp, policy)
    solved: Array = np.linalg.solve(np.eye(mdp.size) - gamma * p.T, mdp.start)
    return solved
