"""Bellman's equations: what V and Q are, why Q is needed, and two ways to the best policy."""

import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, backup, evaluate, greedy, optimal, policy_iteration, value_iteration
from relook.tabular.three_states import GAMMA, student, undecided

WORLDS, SIZE, CHOICES = 200, 20, 4
"""Random MDPs, their states and actions."""
PAIRS = 50
"""Pairs of values whose distance is measured before and after a sweep, in each world."""
FAR = 0.99
"""γ where it matters how many sweeps it takes, …"""
NEAR = 1e-3
"""… until V is so close to V*."""
SWEPT = 20
"""Worlds in which sweeps are counted."""


class Found(NamedTuple):
    ratio: NDArray[np.float64]
    """max|T V - T W| / max|V - W| [worlds, pairs]; the first pair of each world differs by a constant."""
    evaluations: NDArray[np.int64]
    """Policies that policy iteration evaluated [worlds]."""
    sweeps: NDArray[np.int64]
    """Sweeps of value iteration [SWEPT]."""
    error: NDArray[np.float64]
    """max|V - V*| after each sweep, in the world that took most evaluations."""
    improved: NDArray[np.float64]
    """max|V - V*| after each evaluation of policy iteration, in the world that took most evaluations."""
    mismatch: float
    """The largest |V^π(s) - Σ_a π(a|s) Q^π(s, a)|, V^π and Q^π each solved from its own equation."""
    values: NDArray[np.float64]
    """V* of the student's eight worlds, in which the names of the actions may be exchanged state by state [8, S]."""
    best: NDArray[np.float64]
    """Q*'s greedy policy in each [8, S, A]."""
    returns: tuple[float, float, float]
    """J over the eight worlds: by Q* without a model, by V* with a model, by V* without, on average."""


def compute(transposed: bool = False) -> Found:
    """`transposed` has p(s|s', a) for p(s'|s, a) in the sweeps whose contraction is measured."""
    rng = np.random.default_rng(10)
    worlds = [_world(rng) for _ in range(WORLDS)]
    p, r = np.array([w.transition for w in worlds]), np.array([w.mean_reward for w in worlds])
    one, other = rng.normal(0, 10, (2, WORLDS, SIZE, PAIRS))
    other[..., 0] = one[..., 0] + 1
    swept = [_sweep(p.transpose(0, 3, 2, 1) if transposed else p, r, v) for v in (one, other)]
    ratio = np.abs(swept[0] - swept[1]).max(1) / np.abs(one - other).max(1)

    evaluations = np.array([policy_iteration(w, FAR)[2] for w in worlds])
    error, improved = _ways(worlds[evaluations.argmax()], evaluations.max())
    values, best, returns = _exchanged(student())
    return Found(
        ratio,
        evaluations,
        np.array([value_iteration(w, FAR, NEAR)[1] for w in worlds[:SWEPT]]),
        error,
        improved,
        _mismatch(student()),
        values,
        best,
        returns,
    )


def _world(rng: np.random.Generator) -> MDP:
    transition = rng.dirichlet(np.ones(SIZE), (SIZE, CHOICES))
    reward = np.repeat(rng.standard_normal((SIZE, CHOICES, 1)), SIZE, 2)
    return MDP(transition, reward, np.full(SIZE, 1 / SIZE), np.zeros(SIZE, dtype=bool))


def _sweep(p: NDArray[np.float64], r: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T V)(s) = max_a [r(s, a) + γ Σ_s' p(s'|s, a) V(s')] of many worlds and many V [worlds, S, pairs] at once."""
    swept: NDArray[np.float64] = (r[..., None] + GAMMA * np.einsum("wsat,wtn->wsan", p, value)).max(2)
    return swept


def _ways(mdp: MDP, evaluations: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far from V* each sweep is, and each evaluation of policy iteration."""
    best, _ = optimal(mdp, FAR)
    value: Array = np.zeros(SIZE)
    policy: Array = np.full((SIZE, CHOICES), 1 / CHOICES)
    error, improved = [], []
    for _ in range(value_iteration(mdp, FAR, NEAR)[1]):
        value = backup(mdp, value, FAR).max(1)
        error.append(np.abs(value - best).max())
    for _ in range(evaluations):
        exact = evaluate(mdp, policy, FAR)
        policy = greedy(backup(mdp, exact, FAR))
        improved.append(np.abs(exact - best).max())
    return np.array(error), np.array(improved)


def _mismatch(mdp: MDP) -> float:
    """Q^π is solved over pairs: Q(s, a) = r(s, a) + γ Σ_s' p(s'|s, a) Σ_a' π(a'|s') Q(s', a')."""
    policy, pairs = undecided(), mdp.size * mdp.choices
    chain = np.einsum("sat,tb->satb", mdp.transition, policy).reshape(pairs, pairs)
    q = np.linalg.solve(np.eye(pairs) - GAMMA * chain, mdp.mean_reward.ravel()).reshape(policy.shape)
    value = evaluate(mdp, policy, GAMMA)
    return float(max(np.abs((policy * q).sum(1) - value).max(), np.abs(backup(mdp, value, GAMMA) - q).max()))


def _exchanged(mdp: MDP) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float, float]]:
    """The worlds where studying and resting have each other's names, in none, some or all of the states."""
    row, values, best, acting = np.arange(mdp.size)[:, None], [], [], []
    every = [np.array(swap) for swap in itertools.product(((0, 1), (1, 0)), repeat=mdp.size)]
    for order in every:
        world = MDP(mdp.transition[row, order], mdp.reward[row, order], mdp.start, mdp.terminal)
        value, q = optimal(world, GAMMA)
        values.append(value)
        best.append(greedy(q))
        with_model = greedy(backup(world, value, GAMMA))
        always_first = np.tile([1.0, 0.0], (mdp.size, 1))
        acting.append([world.start @ evaluate(world, how, GAMMA) for how in (best[-1], with_model, always_first)])
    by_q, by_v, blind = np.array(acting).mean(0)
    return np.array(values), np.array(best), (float(by_q), float(by_v), float(blind))


def claims(found: Found) -> list[Claim]:
    return [
        Claim(
            "the largest difference of V^π from Σ π Q^π, and of Q^π from r + γ Σ p V^π",
            found.mismatch,
            0.0,
            1e-12,
            "V and Q come from two linear systems, of 3 and of 6 equations; exact but for rounding",
        ),
        Claim(
            "the largest max|TV - TW| / max|V - W| of 200 random MDPs, 50 pairs V, W in each",
            float(found.ratio.max()),
            GAMMA,
            1e-12,
            "a sweep leaves at most γ of a distance, and exactly γ of it where V and W differ by a constant",
        ),
        Claim(
            "the most policies that policy iteration evaluated in one of them, γ = 0.99",
            float(found.evaluations.max()),
            5.0,
            0.0,
            "measured before with other worlds, and small: each evaluation is exact, and improves every state it can",
            "at most",
        ),
        Claim(
            "sweeps of value iteration until V is within 0.001 of V*, γ = 0.99, mean of 20 MDPs",
            float(found.sweeps.mean()),
            1150.0,
            float(4 * found.sweeps.std(ddof=1) / np.sqrt(SWEPT)),
            "sweep k changes V by about 0.99ᵏ g if the best policy earns g a step, and log(99 g / 0.001) / log(1/0.99) "
            "is 1,150 at g = 1.06; four standard errors",
        ),
        Claim(
            "different best policies in eight worlds with one and the same V*",
            float(len(np.unique(found.best, axis=0)) * (float(np.ptp(found.values, axis=0).max()) < 1e-12)),
            8.0,
            0.0,
            "exchanging the names of two actions leaves V* = max Q* as it is, to 1e-12, and exchanges what is best",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, middle, right) = panels(
        3,
        f"With γ = 0.99, value iteration takes {found.sweeps.mean():,.0f} sweeps to V*, while policy iteration "
        f"evaluates {found.evaluations.mean():.1f} policies",
        f"Left: the random MDP of {SIZE} states and {CHOICES} actions that took policy iteration longest. Middle: all "
        f"{WORLDS}, γ = {GAMMA}. Right: the student of three states, mean of the eight worlds that differ in the names "
        "of actions.",
    )
    left.loglog(np.arange(1, len(found.error) + 1), found.error, "-", color=COLOURS[0], label="value iteration")
    # Where policy iteration has arrived, rounding is left, and drawn at the lower edge.
    shown = np.maximum(found.improved, 2e-4)
    left.plot(np.arange(1, len(shown) + 1), shown, "s--", color=COLOURS[1], label="policy iteration")
    left.annotate("exact", (len(shown), shown[-1]), (6, 3), textcoords="offset points", fontsize=8)
    left.axhline(NEAR, color=GREY, linestyle=":", linewidth=1)
    titled(left, "Two ways to V*, γ = 0.99", "sweeps, or policies evaluated", "max |V - V*|")
    left.set_ylim(1e-4, 1e3)
    legend(left, "upper right")
    middle.hist(found.ratio[:, 1:].ravel(), 40, color=COLOURS[0], alpha=0.75)
    middle.axvline(GAMMA, color=COLOURS[1], linestyle="--", linewidth=2)
    middle.annotate(
        "γ: V and W differ  \nby a constant  ", (GAMMA, 0.97), xycoords=("data", "axes fraction"), ha="right"
    )
    middle.texts[0].set(fontsize=8, va="top")
    middle.set_xlim(0, 1)
    titled(middle, "Bellman's operator is a contraction", "max |TV - TW| / max |V - W|", "pairs V, W")
    bars = right.bar(["Q*\nno model", "V*\nwith p(s'|s, a)", "V*\nno model"], found.returns, 0.55)
    for bar, colour in zip(bars, COLOURS, strict=False):
        bar.set_color(colour)
    right.bar_label(bars, [f"{x:.2f}" for x in found.returns], fontsize=9, padding=2)
    right.set_ylim(0, 1.15 * found.returns[0])
    titled(right, "What one needs to act", "", "expected return J")
    right.tick_params(axis="x", labelsize=8)
    return figure


def lesson(found: Found) -> str:
    by_q, _, blind = found.returns
    return (
        f"One sweep of Bellman's operator leaves at most γ of the distance between any two guesses: of "
        f"{found.ratio.size:,} pairs the largest is {found.ratio.max():.4f}, at γ = {GAMMA}. So value iteration "
        f"converges, but γ = 0.99 is slow: {found.sweeps.mean():,.0f} sweeps for an error of {NEAR}. Policy iteration "
        f"needed {found.evaluations.max()} evaluations at most, of about 10¹² policies; each solves a system "
        f"of S equations, about S³ operations, where a sweep takes S²A. V* says how good a state is and not what to "
        f"do there: eight worlds have the same V* and eight different best policies. With a model p one can look one "
        f"step ahead. Without, whoever has V* alone can only guess, and gets {blind:.2f} on average; the best action "
        f"by Q* gets {by_q:.2f}. Therefore methods without a model learn Q."
    )


LAB = Lab(
    name="bellman",
    title="Bellman's equations, and why action-values are needed",
    question=(
        "V^π(s) is what one expects from state s on, Q^π(s, a) what one expects after action a in it. Bellman's "
        "equation says V(s) = Σ_a π(a|s) Q(s, a) with Q(s, a) = r(s, a) + γ Σ_s' p(s'|s, a) V(s'); for the best "
        "policy, V*(s) = max_a Q*(s, a). Two ways lead to V*. Value iteration puts V into the right side again and "
        "again, a sweep over all states each time. Policy iteration solves V^π of a policy exactly, takes the best "
        "actions by Q^π for the next policy, and stops when nothing gets better. How long does each take in random "
        "worlds of 20 states and 4 actions, if γ = 0.99?"
    ),
    prompt="There are 4²⁰, about 10¹², policies. How many does policy iteration evaluate before it has the best one?",
    choices=("fewer than 10", "about 100", "about 1,000, as many as value iteration takes sweeps"),
    answer=lambda found: int(np.abs(np.log(np.array([4, 100, 1000]) / found.evaluations.max())).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the axes of p are exchanged: Σ_s' p(s|s', a) V(s')",
    wrong=lambda: compute(transposed=True),
    notes=(
        "Value Functions",
        "On-Policy Value Function",
        "- On-Policy Action-Value Function",
        "- Optimal Value Function",
        "- Optimal Action-Value Function",
        "Link between and Action-Value functions: Taking an action, why do we need this?",
        "- Bellman Equations",
        "- https://en.wikipedia.org/wiki/Bellman_equation",
        "- states, actions, trajectories, policies, reward, value functions, action-value functions",
    ),
    reading=(
        "relook lab trajectories",
        "relook lab entropy",
        "Sutton & Barto 2018, sections 3.5, 3.6, 4.3 and 4.4",
    ),
)
