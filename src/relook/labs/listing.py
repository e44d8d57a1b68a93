"""Trajectories of a small MDP: all of them, for expectations without sampling, or as many as one wants to draw."""

import itertools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from relook.formulas.distributions import categorical_slope
from relook.tabular import MDP, Array, under


class Listed(NamedTuple):
    """N trajectories of T actions."""

    probability: NDArray[np.float64]
    """P(τ|π) [N], or 1/N of those that were drawn."""
    state: NDArray[np.int64]
    """[N, T + 1]"""
    action: NDArray[np.int64]
    """[N, T]"""
    reward: NDArray[np.float64]
    """[N, T]"""


def listed(mdp: MDP, policy: Array, length: int) -> Listed:
    """All trajectories of so many actions that have a probability above 0."""
    states = np.array(list(itertools.product(range(mdp.size), repeat=length + 1)))
    actions = np.array(list(itertools.product(range(mdp.choices), repeat=length)))
    state, action = np.repeat(states, len(actions), 0), np.tile(actions, (len(states), 1))
    at, to = state[:, :-1], state[:, 1:]
    probability = mdp.start[state[:, 0]] * (policy[at, action] * mdp.transition[at, action, to]).prod(1)
    possible = probability > 0
    reward = mdp.reward[at, action, to]
    return Listed(probability[possible], state[possible], action[possible], reward[possible])


def drawn(
    mdp: MDP,
    policy: Array,
    length: int,
    state: NDArray[np.int64],
    rng: np.random.Generator,
    first: int | None = None,
) -> Listed:
    """A trajectory of so many actions from each of the first states [N], whose first action may be given."""
    likes, leads = policy.cumsum(1)[:, :-1], mdp.transition.cumsum(2)[:, :, :-1]
    states, actions = [state], []
    for t in range(length):
        action = (rng.random(len(state))[:, None] >= likes[state]).sum(1)
        if t == 0 and first is not None:
            action = np.full_like(action, first)
        state = (rng.random(len(state))[:, None] >= leads[state, action]).sum(1)
        actions.append(action)
        states.append(state)
    at, a = np.array(states).T, np.array(actions).T
    return Listed(np.full(len(at), 1 / len(at)), at, a, mdp.reward[at[:, :-1], a, at[:, 1:]])


def score(policy: Array) -> NDArray[np.float64]:
    """∂ log π(a|s) / ∂ θ(s, b) [S, a, b], where the policy is the softmax of θ [S, A]; other states' θ have no part."""
    size, choices = policy.shape
    log_p = torch.from_numpy(np.log(policy)).unsqueeze(1).expand(size, choices, choices).unsqueeze(2)
    action = torch.arange(choices).expand(size, choices).unsqueeze(2)
    return categorical_slope(log_p, action, torch.ones(size, choices, dtype=torch.float64)).squeeze(2).numpy()


def summed(score: NDArray[np.float64], weight: NDArray[np.float64], among: Listed) -> NDArray[np.float64]:
    """Σ_t weight(τ, t) ∇ log π(a_t|s_t) [N, S, A] of each trajectory."""
    total = np.zeros((len(weight), *score.shape[:2]))
    row = np.arange(len(weight))
    for t in range(weight.shape[1]):
        state = among.state[:, t]
        total[row, state] += weight[:, t, None] * score[state, among.action[:, t]]
    return total


def values(mdp: MDP, policy: Array, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V_t(s) [T + 1, S] and Q_t(s, a) [T, S, A] of what is still to come in trajectories of T actions, undiscounted."""
    p, r = under(mdp, policy)
    value = np.zeros((length + 1, mdp.size))
    for t in reversed(range(length)):
        value[t] = r + p @ value[t + 1]
    return value, np.array([mdp.mean_reward + mdp.transition @ v for v in value[1:]])
