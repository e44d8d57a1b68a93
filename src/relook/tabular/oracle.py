"""Exact values beside learned ones: what an agent says of each state of a finite MDP, and what is so."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from relook.networks.tables import Tables, sizes
from relook.tabular.dynamic_programming import evaluate, optimal
from relook.tabular.mdp import MDP, Array


class Beside(NamedTuple):
    """What an agent says of the S states of an environment, and what is so."""

    policy: Array
    """π(a|s) [S, A] that it acts by, the deterministic one of algorithms that have no other."""
    value: Array
    """V(s) [S] as it was learned."""
    of_policy: Array
    """V^π(s) [S] of its policy, exactly."""
    optimal: Array
    """V*(s) [S]"""
    action_value: Array | None
    """Q(s, a) [S, A] as it was learned, by algorithms that learn it."""
    optimal_action: Array
    """Q*(s, a) [S, A]"""


def every_state(space: Any) -> Tensor:
    """The one-hot observations [1, S, D] of all states of a Discrete space, or of several."""
    parts = sizes(space)
    numbers = np.stack(np.unravel_index(np.arange(np.prod(parts)), parts), -1)
    return torch.from_numpy(np.concatenate([np.eye(n)[numbers[:, i]] for i, n in enumerate(parts)], -1)).float()[None]


def beside(
    networks: Any, mdp: MDP, space: Any, gamma: float, scale: float = 1.0, *, agent: int = 0, agents: int = 1
) -> Beside:
    """`networks` of so many agents that were trained with the discount γ where this MDP and these observations are so.

    `scale` is what rewards were divided by before learning, the last `reward_scale` of the agent's metrics.
    """
    seen = every_state(space).expand(agents, -1, -1)
    states = seen.shape[1]
    policy = _policy(networks, seen, mdp.choices)[agent]
    whole = np.full((mdp.size, mdp.choices), 1 / mdp.choices)  # what is done at an end makes no difference
    whole[:states] = policy
    value, q = optimal(mdp, gamma)
    learned = networks.q(seen)[agent].double().numpy() if hasattr(networks, "q") else None
    return Beside(
        policy,
        scale * networks.value(seen)[agent].double().numpy(),
        evaluate(mdp, whole, gamma)[:states],
        value[:states],
        learned,
        q[:states],
    )


def _policy(networks: Any, seen: Tensor, actions: int) -> Array:
    """π(a|s) [agents, S, A]."""
    if isinstance(networks, Tables):
        return networks.policy
    if networks.stochastic:
        every = [torch.full((*seen.shape[:2], 1), a) for a in range(actions)]
        with torch.no_grad():
            chances = [networks.evaluate(seen, action).log_prob.exp().double().numpy() for action in every]
        return np.stack(chances, -1)
    best: Array = np.eye(actions)[networks.act_deterministically(seen)[..., 0].numpy()]
    return best
