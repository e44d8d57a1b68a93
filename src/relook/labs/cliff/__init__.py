"""SARSA and Q-learning beside a cliff: values of what one does, or of what one could do."""

from types import SimpleNamespace
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, MARKERS, legend, panels, titled
from relook.tabular import MDP, Array, backup, evaluate, from_environment, value_iteration
from relook.tabular.learner import Step, epsilon_greedy
from relook.tabular.q_learning import QLearning
from relook.tabular.sarsa import Sarsa

EPSILON, ALPHA = 0.1, 0.5
EPISODES, EARLY = 500, 100
"""Episodes of each copy, and how many of them are not counted."""
COPIES = 50
"""Of each algorithm."""
DRAWN = 20_000
"""Episodes of a policy that does not learn."""
CHECKED = 1_000
"""Steps that relook's own learners learn from, too."""
SHAPE = (4, 12)
START, GOAL = (3, 0), (3, 11)
KINDS = ("SARSA", "Q-learning")


class Online(NamedTuple):
    ret: NDArray[np.float64]
    """The sum of the rewards of each episode, while learning [B, E]."""
    q: NDArray[np.float64]
    """Q(s, a) at the end [B, S, A]."""
    apart: float
    """The largest difference of the first copy from relook's own learner, after so many steps of its experience."""


class Found(NamedTuple):
    online: dict[str, Online]
    greedy: dict[str, NDArray[np.float64]]
    """The return [B] of each table without exploration, -100 if it gets nowhere in 100 steps."""
    path: dict[str, NDArray[np.int64]]
    """The states that most tables go through without exploration."""
    of_optimal: float
    """The expected return of exploring with ε around the values Q* of the shortest path, exactly."""
    of_best: float
    """The largest expected return of any policy that explores with ε, exactly."""
    by_sweeps: float
    """The same by value iteration with V = (1 - ε) max Q + ε mean Q."""
    drawn: NDArray[np.float64]
    """Returns of a policy that explores with ε around Q*, drawn."""


def compute(best_next: bool = False) -> Found:
    """If `best_next`, SARSA's target takes the best next action, and not the one that follows."""
    mdp = from_environment(gym.make("CliffWalking-v1"))
    q_star = backup(mdp, value_iteration(mdp, 1.0)[0], 1.0)
    online = {kind: _online(mdp, kind, best_next, seed) for seed, kind in enumerate(KINDS)}
    walks = {kind: [_greedy(mdp, q) for q in of.q] for kind, of in online.items()}
    best, swept = _best_soft(mdp)
    return Found(
        online,
        {kind: np.array([ret for ret, _ in of]) for kind, of in walks.items()},
        {kind: _usual([path for _, path in of]) for kind, of in walks.items()},
        float(mdp.start @ evaluate(mdp, epsilon_greedy(q_star, EPSILON), 1.0)),
        best,
        swept,
        _drawn(mdp, q_star, np.random.default_rng(len(KINDS))),
    )


def _online(mdp: MDP, kind: str, best_next: bool, seed: int) -> Online:
    """All copies at once; each plays on until all have their episodes."""
    rng, rows = np.random.default_rng(seed), np.arange(COPIES)
    leads, first = mdp.transition.argmax(2), int(mdp.start.argmax())  # nothing here is left to chance
    q, on_policy = np.zeros((COPIES, mdp.size, mdp.choices)), kind == "SARSA"
    h = SimpleNamespace(learning_rate=ALPHA, discount=1.0)
    learner, apart = (Sarsa if on_policy else QLearning)(q[0].copy(), h), 0.0
    ret, episode, count = np.zeros((COPIES, EPISODES + 1)), np.zeros(COPIES, dtype=int), 0
    state = np.full(COPIES, first)
    action = _explore(q[rows, state], rng)
    while episode.min() < EPISODES:
        following = leads[state, action]
        reward, end = mdp.reward[state, action, following], mdp.terminal[following]
        begun = np.where(end, first, following)
        next_action = _explore(q[rows, begun], rng) if on_policy else action
        # values of the end stay 0
        ahead = q[rows, following, next_action] if on_policy and not best_next else q[rows, following].max(1)
        q[rows, state, action] += ALPHA * (reward + ahead - q[rows, state, action])
        if count < CHECKED:
            s, a, s2, a2 = (int(x[0]) for x in (state, action, following, next_action))
            learner.learn(Step(s, a, float(reward[0]), s2, a2, bool(end[0]), truncated=False), rng)
            apart = float(np.abs(learner.q - q[0]).max())
        ret[rows, np.minimum(episode, EPISODES)] += reward
        episode, count, state = episode + end, count + 1, begun
        action = next_action if on_policy else _explore(q[rows, state], rng)
    return Online(ret[:, :EPISODES], q, apart)


def _explore(value: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """One action each [B] for values [B, A]: with probability ε any, else one of the best."""
    best = np.where(value == value.max(1, keepdims=True), rng.random(value.shape), -1).argmax(1)
    return np.where(rng.random(len(value)) < EPSILON, rng.integers(value.shape[1], size=len(value)), best)


def _drawn(mdp: MDP, q: Array, rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns of as many episodes that explore around Q."""
    leads, state = mdp.transition.argmax(2), np.full(DRAWN, int(mdp.start.argmax()))
    ret = np.zeros(DRAWN)
    while not mdp.terminal[state].all():
        action = _explore(q[state], rng)
        following = leads[state, action]
        ret += np.where(mdp.terminal[state], 0, mdp.reward[state, action, following])
        state = np.where(mdp.terminal[state], state, following)
    return ret


def _greedy(mdp: MDP, q: Array) -> tuple[float, tuple[int, ...]]:
    """What the best action everywhere returns, and the states that it goes through."""
    states, ret = [int(mdp.start.argmax())], 0.0
    while not mdp.terminal[states[-1]]:
        action = q[states[-1]].argmax()
        to = int(mdp.transition[states[-1], action].argmax())
        ret += mdp.reward[states[-1], action, to]
        states.append(to)
        if len(states) > 100:
            return -100.0, tuple(states)
    return ret, tuple(states)


def _usual(paths: list[tuple[int, ...]]) -> NDArray[np.int64]:
    return np.array(max(sorted(set(paths)), key=paths.count))


def _best_soft(mdp: MDP) -> tuple[float, float]:
    """The best of all policies that take any action with probability ε: by policy iteration, and by value iteration."""
    value, policy = np.zeros(mdp.size), np.full((mdp.size, mdp.choices), 1 / mdp.choices)
    for _ in range(1_000):
        q = backup(mdp, value, 1.0)
        value = (1 - EPSILON) * q.max(1) + EPSILON * q.mean(1)
    for _ in range(20):
        q = backup(mdp, evaluate(mdp, policy, 1.0), 1.0)
        policy = epsilon_greedy(np.round(q, 9), EPSILON)
    return float(mdp.start @ evaluate(mdp, policy, 1.0)), float(mdp.start @ value)


def settled(found: Found, kind: str) -> NDArray[np.float64]:
    """The mean return [B] of each copy after its early episodes."""
    mean: NDArray[np.float64] = found.online[kind].ret[:, EARLY:].mean(1)
    return mean


def claims(found: Found) -> list[Claim]:
    sarsa, q = (settled(found, kind) for kind in KINDS)
    return [
        Claim(
            "SARSA's mean return while it learns, after 100 episodes",
            float(sarsa.mean()),
            -27.0,
            5.0,
            "as in an earlier experiment of ours, which gave ±5 as its tolerance; Q-learning got -53 there",
        ),
        Claim(
            "Q-learning's",
            float(q.mean()),
            found.of_optimal,
            5.0,
            "the exact return of exploring around Q*; within 5, as tables of 500 episodes are not settled",
        ),
        Claim(
            "the mean return of exploring around Q*, drawn",
            float(found.drawn.mean()),
            found.of_optimal,
            4 * float(found.drawn.std()) / np.sqrt(found.drawn.size),
            "solved from V = r + P V; four standard errors of 20,000 episodes",
        ),
        Claim(
            "the best return of any policy that explores with ε = 0.1, by policy iteration",
            found.of_best,
            found.by_sweeps,
            1e-9,
            "value iteration for V = (1 - ε) max Q + ε mean Q finds the same; rounding",
        ),
        Claim(
            "SARSA's mean return, which may not be above that",
            float(sarsa.mean()),
            found.of_best,
            4 * float(sarsa.std()) / np.sqrt(COPIES),
            "it explores with ε; four standard errors of 50 copies",
            "at most",
        ),
        Claim(
            "in how many of 50 pairs of copies SARSA got more while learning",
            float((sarsa > q).sum()),
            float(COPIES),
            0.0,
            "a fall costs 100 and the way round costs 4",
        ),
        Claim(
            "the largest difference of a table from that of relook's own learner, after 1,000 steps",
            max(of.apart for of in found.online.values()),
            0.0,
            1e-12,
            "relook.tabular.sarsa and q_learning, told the same steps; rounding",
        ),
    ]


def draw(found: Found) -> Figure:
    sarsa, q = (settled(found, kind).mean() for kind in KINDS)
    figure, (left, right) = panels(
        2,
        f"While it explores, SARSA gets {sarsa:.0f} and Q-learning {q:.0f}, though Q-learning knows the shortest path",
        f"Left: each step costs 1, the cliff 100. Right: ε = {EPSILON}, α = {ALPHA}, mean of {COPIES} copies and of 10 "
        "episodes.",
    )
    looks = dict(zip(KINDS, ((COLOURS[0], "-", MARKERS[0]), (COLOURS[1], "--", MARKERS[1])), strict=True))
    left.fill_between([0.5, 10.5], 2.5, 3.5, color="lightgrey")
    left.text(5.5, 3, "cliff", ha="center", va="center", fontsize=9)
    for y in range(5):
        left.plot([-0.5, 11.5], [y - 0.5, y - 0.5], color="lightgrey", linewidth=0.7)
    for x in range(13):
        left.plot([x - 0.5, x - 0.5], [-0.5, 3.5], color="lightgrey", linewidth=0.7)
    for kind, (colour, style, marker) in looks.items():
        path = np.minimum(found.path[kind], 47)  # the end is a state of its own, after those of the map
        rows, columns = np.unravel_index(path, SHAPE)
        apart = 0.08 if kind == "SARSA" else -0.08
        label = f"{kind}: {np.median(found.greedy[kind]):.0f}"
        left.plot(columns, rows + apart, style, marker=marker, markersize=4, color=colour, label=label)
    for (y0, x0), name in ((START, "start"), (GOAL, "goal")):
        left.annotate(name, (x0, y0 + 0.55), ha="center", va="top", fontsize=9)
    left.set_ylim(3.9, -1.6)
    left.set_axis_off()
    titled(left, "The usual way without exploration, and what it returns", "", "")
    legend(left, "upper left")
    for kind, (colour, style, marker) in looks.items():
        tens = found.online[kind].ret.mean(0).reshape(-1, 10).mean(1)
        right.plot(np.arange(5, EPISODES, 10), tens, style, color=colour, marker=marker, markersize=3, label=kind)
    for level, name, where in ((found.of_best, "best with ε", -18), (found.of_optimal, "exploring around Q*", -61)):
        right.axhline(level, color=GREY, linewidth=1, linestyle=":")
        right.annotate(f"{name}: {level:.1f}", (EPISODES, where), fontsize=8, ha="right")
    right.set_ylim(-100, 0)
    titled(right, "What is got while learning", "episode", "return")
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    sarsa, q = (settled(found, kind).mean() for kind in KINDS)
    return (
        "Q-learning's target is the best next action: its values say what would be if nobody explored, and its path "
        f"goes along the edge, {-np.median(found.greedy['Q-learning']):.0f} steps. But it does explore, falls, and "
        f"gets {q:.1f} (exactly {found.of_optimal:.1f} once its values are right). SARSA's target is the action that "
        f"it takes next, ε included: it learns to stay away and gets {sarsa:.1f}, where no policy that explores so "
        f"much can get more than {found.of_best:.1f}; what is missing is due to α = {ALPHA}, which lets its values "
        f"jump. Without exploration SARSA's usual way returns {np.median(found.greedy['SARSA']):.0f}, and Q-learning's "
        f"{np.median(found.greedy['Q-learning']):.0f}. Neither is wrong: they answer two questions, and if ε falls to "
        "0 both find the shortest path."
    )


LAB = Lab(
    name="cliff",
    title="On-policy or off-policy beside a cliff",
    question=(
        "A walk of 4 × 12 fields: each step costs 1, a step into the cliff costs 100 and leads back to the start. Both "
        "algorithms take a random action with probability ε = 0.1. Q-learning's target is r + max Q(s', ·), SARSA's is "
        "r + Q(s', a') with the action a' that it really takes next. Which of them gets more reward while it learns?"
    ),
    prompt="Q-learning finds the shortest path. What does it get per episode, exploring, compared with SARSA?",
    choices=("more, about -13", "about the same", "less, about -50"),
    answer=lambda found: int(np.digitize((settled(found, "SARSA") - settled(found, "Q-learning")).mean(), [-5, 5])),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="SARSA's target takes the best next action, and not the one that follows",
    wrong=lambda: compute(best_next=True),
    notes=("- Classical RL algorithms", "On-Policy Algorithms", "Off-Policy Algorithms"),
    reading=("relook lab off_policy_data", "Sutton & Barto 2018, sections 6.4 and 6.5, example 6.6"),
)
