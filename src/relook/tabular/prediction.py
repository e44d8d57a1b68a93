"""What is a policy worth? V(s) from episodes: Monte Carlo, TD(0), n-step TD, TD(λ).

An episode is its states s₀ … s_T and its rewards r₁ … r_T; the last state is an end if its value is to be 0, which is
said by `terminal`. All change `value` [S] in place, with a learning rate α.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relook.tabular.mdp import MDP, Array

Ends = NDArray[np.bool_]
"""Which states end an episode [S]."""


class Episode(NamedTuple):
    """States s₀ … s_T, one more than rewards r₁ … r_T."""

    states: Sequence[int]
    rewards: Sequence[float]


def play(mdp: MDP, policy: Array, rng: np.random.Generator, longest: int = 10_000) -> Episode:
    """An episode from p(s₀), by a policy π(a|s) [S, A], to its end or to `longest` steps."""
    states, rewards = [mdp.begin(rng)], list[float]()
    while not mdp.terminal[states[-1]] and len(rewards) < longest:
        action = int(rng.choice(mdp.choices, p=policy[states[-1]]))
        state, reward, _ = mdp.step(states[-1], action, rng)
        states.append(state)
        rewards.append(reward)
    return Episode(states, rewards)


def monte_carlo(value: Array, episode: Episode, alpha: float, gamma: float, terminal: Ends) -> None:
    """V(s_t) ← V(s_t) + α [G_t - V(s_t)] at every visit (Eq. 6.1)."""
    ret = 0.0 if terminal[episode.states[-1]] else float(value[episode.states[-1]])
    for state, reward in zip(reversed(episode.states[:-1]), reversed(episode.rewards), strict=True):
        ret = reward + gamma * ret
        value[state] += alpha * (ret - value[state])


def td(value: Array, episode: Episode, alpha: float, gamma: float, terminal: Ends) -> None:
    """TD(0): V(s_t) ← V(s_t) + α [r_{t+1} + γ V(s_{t+1}) - V(s_t)] (Eq. 6.2)."""
    n_step_td(value, episode, alpha, gamma, terminal, n=1)


def n_step_td(value: Array, episode: Episode, alpha: float, gamma: float, terminal: Ends, n: int) -> None:
    """V(s_t) ← V(s_t) + α [r_{t+1} + … + γⁿ⁻¹ r_{t+n} + γⁿ V(s_{t+n}) - V(s_t)] (Eq. 7.2), step by step."""
    states, rewards, length = episode.states, episode.rewards, len(episode.rewards)
    for t in range(length):
        end = min(t + n, length)
        ret = 0.0 if terminal[states[end]] else float(value[states[end]])
        for reward in reversed(rewards[t:end]):
            ret = reward + gamma * ret
        value[states[t]] += alpha * (ret - value[states[t]])


def td_lambda(value: Array, episode: Episode, alpha: float, gamma: float, terminal: Ends, lam: float) -> None:
    """TD(λ) with accumulating traces (section 12.2): e ← γ λ e + 1 at s_t;  V ← V + α δ e."""
    trace = np.zeros_like(value)
    for state, reward, following in zip(episode.states[:-1], episode.rewards, episode.states[1:], strict=True):
        trace *= gamma * lam
        trace[state] += 1
        ahead = 0.0 if terminal[following] else value[following]
        value += alpha * (reward + gamma * ahead - value[state]) * trace


def lambda_return(value: Array, episode: Episode, alpha: float, gamma: float, terminal: Ends, lam: float) -> None:
    """The off-line λ-return algorithm (Eq. 12.3 and 12.4): at the end of an episode, all of its steps in their order.

    The returns are made of V as it was before the episode; each error is that of V as it has become by then.
    """
    before, length = value.copy(), len(episode.rewards)
    returns, ret = np.zeros(length), 0.0 if terminal[episode.states[-1]] else float(value[episode.states[-1]])
    for t in reversed(range(length)):
        following = episode.states[t + 1]
        ahead = 0.0 if terminal[following] else before[following]
        ret = episode.rewards[t] + gamma * (ret if t == length - 1 else (1 - lam) * ahead + lam * ret)
        returns[t] = ret
    for state, target in zip(episode.states[:-1], returns, strict=True):
        value[state] += alpha * (target - value[state])
