"""Every symbol of the notation, with its value in the world of three states and the line of code that computes it."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape
from scipy.special import softmax

from relook.tabular import backup, evaluate, optimal, under, visits
from relook.tabular.policy_gradient import gradient
from relook.tabular.three_states import FRESH, GAMMA, ILL, REST, STUDY, TIRED, student, undecided

mdp, policy, gamma = student(), undecided(), GAMMA
theta = np.log(policy)
trajectory = ((FRESH, STUDY, TIRED), (TIRED, STUDY, ILL), (ILL, REST, TIRED))
"""(s, a, s') three times."""


class Symbol(NamedTuple):
    """A symbol as it is written, what it is called, and a function of one line that computes it."""

    written: str
    called: str
    compute: Callable[[], Any]

    @property
    def code(self) -> str:
        """The line, without `return`."""
        last = inspect.getsource(self.compute).rstrip().splitlines()[-1]
        return last.strip().removeprefix("return ")


def states() -> Any:
    return mdp.states


def actions() -> Any:
    return mdp.actions


def first_state() -> Any:
    return mdp.start


def next_state() -> Any:
    return mdp.transition[FRESH, STUDY]


def reward() -> Any:
    return mdp.reward[FRESH, STUDY, TIRED]


def mean_reward() -> Any:
    return mdp.mean_reward


def discount() -> Any:
    return gamma


def deterministic() -> Any:
    return [mdp.actions[a] for a in optimal(mdp, gamma)[1].argmax(1)]


def stochastic() -> Any:
    return policy


def parameters() -> Any:
    return softmax(theta, axis=1)


def log_likelihood() -> Any:
    return np.log(policy[FRESH, STUDY])


def entropy() -> Any:
    return -(policy * np.log(policy)).sum(1)


def trajectory_probability() -> Any:
    return mdp.start[FRESH] * np.prod([policy[s, a] * mdp.transition[s, a, s2] for s, a, s2 in trajectory])


def finite_return() -> Any:
    return sum(mdp.reward[step] for step in trajectory)


def discounted_return() -> Any:
    return sum(gamma**t * mdp.reward[step] for t, step in enumerate(trajectory))


def reward_to_go() -> Any:
    return [sum(mdp.reward[step] for step in trajectory[t:]) for t in range(len(trajectory))]


def value() -> Any:
    return evaluate(mdp, policy, gamma)


def action_value() -> Any:
    return backup(mdp, value(), gamma)


def advantage() -> Any:
    return action_value() - value()[:, None]


def optimal_value() -> Any:
    return optimal(mdp, gamma)[0]


def optimal_action_value() -> Any:
    return optimal(mdp, gamma)[1]


def bellman() -> Any:
    return under(mdp, policy)[1] + gamma * under(mdp, policy)[0] @ value()


def goal() -> Any:
    return mdp.start @ value()


def visited() -> Any:
    return visits(mdp, policy, gamma)


def policy_gradient() -> Any:
    return gradient(mdp, theta, gamma)


def td_error() -> Any:
    return mdp.reward[FRESH, STUDY, TIRED] + gamma * value()[TIRED] - value()[FRESH]


def divergence() -> Any:
    return (policy * np.log(policy / 0.5)).sum(1)


SYMBOLS = (
    Symbol("s", "states", states),
    Symbol("a", "actions", actions),
    Symbol("p(s₀)", "the first state", first_state),
    Symbol("p(s'|s, a)", "where studying leads when fresh", next_state),
    Symbol("r(s, a, s')", "the reward of studying from fresh to tired", reward),
    Symbol("r(s, a)", "the mean reward", mean_reward),
    Symbol("γ", "the discount", discount),
    Symbol("μ(s)", "a deterministic policy: the best one", deterministic),
    Symbol("π(a|s)", "a stochastic policy, the one below", stochastic),
    Symbol("π_θ(a|s)", "the same from parameters θ, a softmax", parameters),
    Symbol("log π(a|s)", "the log-likelihood of studying when fresh", log_likelihood),
    Symbol("H(π(·|s))", "the entropy, in nats", entropy),
    Symbol("P(τ|π)", "the probability of a trajectory: study, study, rest", trajectory_probability),
    Symbol("R(τ)", "its return, with a finite horizon", finite_return),
    Symbol("R(τ) = Σ γᵗ r_t", "its return, discounted", discounted_return),
    Symbol("R̂_t", "its rewards-to-go", reward_to_go),
    Symbol("V^π(s)", "the value of a state", value),
    Symbol("Q^π(s, a)", "the value of an action", action_value),
    Symbol("A^π(s, a)", "the advantage", advantage),
    Symbol("V*(s)", "the optimal value", optimal_value),
    Symbol("Q*(s, a)", "the optimal action-value", optimal_action_value),
    Symbol("r_π + γ P_π V^π", "Bellman's equation: V^π again", bellman),
    Symbol("J(π)", "the goal: the expected return", goal),
    Symbol("d^π(s)", "how often a state is visited, discounted", visited),
    Symbol("∂J/∂θ", "the policy gradient", policy_gradient),
    Symbol("δ", "the TD error of that step", td_error),
    Symbol("KL(π ‖ uniform)", "the divergence of the policy from an even one", divergence),
)


def lines() -> Iterator[tuple[str, str, str, str]]:
    """Symbol, name, value and code of each."""
    for symbol in SYMBOLS:
        yield symbol.written, symbol.called, shown(symbol.compute()), symbol.code


def shown(value: Any) -> str:
    """A value in a few characters: a row for each state."""
    if isinstance(value[0] if isinstance(value, tuple | list) else value, str):
        return ", ".join(map(str, value))
    array = np.atleast_1d(np.asarray(value, dtype=float))
    rows = array if array.ndim == 2 else array[None]
    texts = [" ".join(f"{x:.4g}" for x in row) for row in rows]
    return " | ".join(texts)


def print_symbols(console: Console) -> None:
    """The world, and each symbol in two lines."""
    console.print(
        "A student is fresh, tired or ill (s), and studies or rests (a). Values of states are in this order, those of "
        "actions state by state. The code is that of relook/labs/symbols.py.\n"
    )
    for written, called, value, code in lines():
        console.print(f"[bold]{escape(written):<18}[/]{escape(called)}")
        console.print(f"{'':<18}= [bold]{escape(value)}[/]")
        console.print(f"{'':<18}{escape(code)}", style="dim", soft_wrap=True)
