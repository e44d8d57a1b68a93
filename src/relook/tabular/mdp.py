"""Finite Markov decision processes as arrays: everything about them can be computed exactly."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from numpy.typing import NDArray

from relook.errors import WrongRequest

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MDP:
    """S states, A actions, and what happens: p(s', r | s, a) with the mean reward of each transition.

    A state of which `terminal` is true ends the episode: it has no actions, and its value is 0.
    """

    transition: Array
    """p(s'|s, a) [S, A, S']. Rows of terminal states are 0."""
    reward: Array
    """The mean reward r(s, a, s') [S, A, S']."""
    start: Array
    """p(s₀) [S]."""
    terminal: NDArray[np.bool_]
    """[S]"""
    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no MDP."""
        s, a = self.transition.shape[:2]
        shapes = self.transition.shape, self.reward.shape, self.start.shape, self.terminal.shape
        if shapes != ((s, a, s), (s, a, s), (s,), (s,)):
            raise ValueError(f"expected arrays of shapes [S, A, S], [S, A, S], [S] and [S]; found {shapes}")
        sums = self.transition.sum(2)
        if not np.allclose(sums, (~self.terminal).astype(float)[:, None], atol=1e-9) or self.transition.min() < 0:
            raise ValueError("expected p(s'|s, a) to be probabilities that add up to 1, and to 0 in terminal states")
        if not np.isclose(self.start.sum(), 1, atol=1e-9) or self.start.min() < 0:
            raise ValueError(f"expected p(s₀) to add up to 1; found {self.start.sum():.6g}")

    @property
    def size(self) -> int:
        """The number of states S."""
        return len(self.start)

    @property
    def choices(self) -> int:
        """The number of actions A."""
        return int(self.transition.shape[1])

    @cached_property
    def mean_reward(self) -> Array:
        """r(s, a) = Σ_s' p(s'|s, a) r(s, a, s') [S, A]."""
        product: Array = (self.transition * self.reward).sum(2)
        return product

    def step(self, state: int, action: int, rng: np.random.Generator) -> tuple[int, float, bool]:
        """Draw where an action leads: the next state, the mean reward of getting there, and whether that is an end."""
        next_state = int(rng.choice(self.size, p=self.transition[state, action]))
        return next_state, float(self.reward[state, action, next_state]), bool(self.terminal[next_state])

    def begin(self, rng: np.random.Generator) -> int:
        """Draw a first state."""
        return int(rng.choice(self.size, p=self.start))


def from_environment(env: gym.Env[Any, Any]) -> MDP:
    """The MDP of an environment that has its transitions as `P[s][a] = [(p, s', r, terminated), …]`, as FrozenLake-v1,
    CliffWalking-v1 and Taxi-v4 have, or of Blackjack-v1 (`relook.tabular.blackjack`).

    Gymnasium's tables let a state be both an end and somewhere to go on from, depending on how it is entered (Taxi's
    passenger may start at the destination). So a copy of each state that ends an episode takes its place: the states
    of the environment come first, by number, and then one end for each of those that are entered as one.

    Raises `WrongRequest` for environments without such a table.
    """
    bare: Any = env.unwrapped
    if isinstance(bare, BlackjackEnv):
        from relook.tabular.blackjack import blackjack

        return blackjack(natural=bare.natural, sab=bare.sab)
    table = getattr(bare, "P", None)
    if table is None:
        raise WrongRequest(f"expected an environment whose transitions are known, with a table P; found {env.spec}")
    states, actions = len(table), len(table[0])
    ends = sorted({s2 for of_state in table.values() for rows in of_state.values() for _, s2, _, end in rows if end})
    place = {s2: states + i for i, s2 in enumerate(ends)}
    size = states + len(ends)
    transition, reward, terminal = (
        np.zeros((size, actions, size)),
        np.zeros((size, actions, size)),
        np.zeros(size, bool),
    )
    terminal[states:] = True
    for s in range(states):
        for a in range(actions):
            for p, s2, r, end in table[s][a]:
                to = place[s2] if end else s2
                transition[s, a, to] += p
                reward[s, a, to] += p * r
    reward = np.divide(reward, transition, out=reward, where=transition > 0)
    start = np.zeros(size)
    start[:states] = bare.initial_state_distrib
    return MDP(transition, reward, start, terminal)
