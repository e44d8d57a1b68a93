"""The MDP that the labs and the notation use: a student who is fresh, tired or ill, and may study or rest."""

import numpy as np

from relook.tabular.mdp import MDP, Array

FRESH, TIRED, ILL = range(3)
STUDY, REST = range(2)
GAMMA = 0.9


def student() -> MDP:
    """Studying pays at once and tires; whoever studies tired may fall ill, which costs until it is slept off."""
    transition, reward = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
    for state, action, next_state, probability, r in (
        (FRESH, STUDY, FRESH, 0.5, 2.0),
        (FRESH, STUDY, TIRED, 0.5, 2.0),
        (FRESH, REST, FRESH, 1.0, 0.0),
        (TIRED, STUDY, TIRED, 0.6, 1.0),
        (TIRED, STUDY, ILL, 0.4, 1.0),
        (TIRED, REST, FRESH, 0.7, 0.0),
        (TIRED, REST, TIRED, 0.3, 0.0),
        (ILL, STUDY, ILL, 0.9, -1.0),
        (ILL, STUDY, TIRED, 0.1, -1.0),
        (ILL, REST, TIRED, 0.6, -0.5),
        (ILL, REST, ILL, 0.4, -0.5),
    ):
        transition[state, action, next_state], reward[state, action, next_state] = probability, r
    start, terminal = np.array([0.5, 0.3, 0.2]), np.zeros(3, dtype=bool)
    return MDP(transition, reward, start, terminal, ("fresh", "tired", "ill"), ("study", "rest"))


def undecided() -> Array:
    """A policy π(a|s) [S, A] to look at: it studies with probability 0.6 when fresh, 0.5 when tired, 0.2 when ill."""
    return np.array([[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]])
