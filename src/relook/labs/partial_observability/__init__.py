"""What an agent can do that does not see its state: dice, a bit of memory, and what either is worth."""

import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, evaluate, optimal

GAMMA = 0.95
LEFT_WALL, LEFT, GOAL, RIGHT, RIGHT_WALL, END = range(6)
SEEN = np.array([0, 1, 2, 1, 3])
"""What is observed in each state but the end: left and right of the goal look alike."""
WALL, CORRIDOR, OTHER_WALL = 0, 1, 3
PLACES = (WALL, CORRIDOR, OTHER_WALL)
"""The observations in which something is to be decided."""
PROBABILITIES = np.linspace(0, 1, 101)
COARSE = np.linspace(0, 1, 21)


class Found(NamedTuple):
    deterministic: float
    """The largest J of all policies μ(o)."""
    curve: NDArray[np.float64]
    """J of the policies π(right|corridor) = p, for each of `PROBABILITIES`, that turn round at walls."""
    stochastic: float
    """The largest J of policies π(a|o), of which all three probabilities are tried."""
    memory: float
    """The largest J of all controllers with one bit of memory."""
    belief: float
    """The largest J of anything that depends on what was seen, by dynamic programming over beliefs."""
    full: float
    """J of the optimal policy, which sees the state."""


def compute(leak: bool = False) -> Found:
    """If `leak`, what the policy is given is the number of the state."""
    mdp = corridor()
    seen = np.arange(5) if leak else SEEN
    places = [o for o in np.unique(seen) if o != seen[GOAL]]
    actions = np.array(list(itertools.product(range(2), repeat=len(places))))
    plain = np.zeros((len(actions), seen.max() + 1, 1), dtype=int)
    plain[:, places, 0] = actions
    curve = np.array([_value(mdp, _policy(seen, {0: 1.0, **dict.fromkeys(places[1:-1], p)})) for p in PROBABILITIES])
    dice = itertools.product(COARSE, repeat=len(PLACES))
    value, _ = optimal(mdp, GAMMA)
    return Found(
        float(_worth(mdp, seen, plain, np.zeros_like(plain)).max()),
        curve,
        max(_value(mdp, _policy(SEEN, dict(zip(PLACES, p, strict=True)))) for p in dice),
        _one_bit(mdp),
        _by_belief(mdp, mdp.start, value, 6),
        float(mdp.start @ value),
    )


def corridor() -> MDP:
    """Wall, left, goal, right, wall: one starts beside the goal, and in the goal any action pays 1 and ends it."""
    transition, reward = np.zeros((6, 2, 6)), np.zeros((6, 2, 6))
    for state in (LEFT_WALL, LEFT, RIGHT, RIGHT_WALL):
        transition[state, 0, max(state - 1, LEFT_WALL)] = 1
        transition[state, 1, min(state + 1, RIGHT_WALL)] = 1
    transition[GOAL, :, END], reward[GOAL, :, END] = 1, 1
    start = np.zeros(6)
    start[[LEFT, RIGHT]] = 0.5
    return MDP(transition, reward, start, np.arange(6) == END)


def _policy(seen: NDArray[np.int64], right: dict[int, float]) -> Array:
    """π(a|s) of an agent that goes right with a probability for each observation; 0 where none is given."""
    p = np.array([right.get(int(o), 0.0) for o in seen] + [0.0])
    return np.stack([1 - p, p], 1)


def _value(mdp: MDP, policy: Array) -> float:
    return float(mdp.start @ evaluate(mdp, policy, GAMMA))


def _worth(mdp: MDP, seen: NDArray[np.int64], action: NDArray[np.int64], keep: NDArray[np.int64]) -> Array:
    """J of each controller: the action and what it remembers next, by observation and memory [controller, o, m].

    All is deterministic, so that J is the mean of γ to the steps to the goal. Whoever has not come there when every
    state was seen with every memory goes in circles for ever, which is worth 0.
    """
    leads, row = np.where(mdp.terminal[:, None], END, mdp.transition.argmax(2)), np.arange(len(action))
    total = np.zeros(len(action))
    for first in (LEFT, RIGHT):
        state, memory = np.full(len(action), first), np.zeros(len(action), dtype=int)
        for step in range(1, 4 * action.shape[2] + 1):
            o = seen[np.minimum(state, RIGHT_WALL)]
            went, memory = action[row, o, memory], keep[row, o, memory]
            state = leads[state, went]
            total += np.where(state == GOAL, mdp.start[first] * GAMMA**step, 0.0)
    return total


def _one_bit(mdp: MDP) -> float:
    """The best of all 4⁶ ways to choose an action and the next memory in three places with two memories."""
    chosen = np.array(list(itertools.product(range(4), repeat=6))).reshape(-1, 3, 2)
    action, keep = (np.zeros((len(chosen), 4, 2), dtype=int) for _ in range(2))
    action[:, PLACES], keep[:, PLACES] = chosen // 2, chosen % 2
    return float(_worth(mdp, SEEN, action, keep).max())


def _by_belief(mdp: MDP, belief: Array, beyond: Array, depth: int) -> float:
    """max_a Σ_o p(o|b, a) (…) over p(s, o) that is not divided by p(o); at the end as if the state were seen.

    That is too much rather than too little, so that no memory can do better.
    """
    if depth == 0 or not belief.any():
        return float(belief @ beyond)
    of_actions = []
    for action in range(mdp.choices):
        after = belief @ mdp.transition[:, action]
        parts = [np.where(np.equal(SEEN, o), after[:END], 0.0) for o in range(4)]
        ahead = sum(_by_belief(mdp, np.append(part, 0.0), beyond, depth - 1) for part in parts)
        of_actions.append(float(belief @ mdp.mean_reward[:, action]) + GAMMA * ahead)
    return max(of_actions)


def claims(found: Found) -> list[Claim]:
    exact = "exact but for rounding"
    return [
        Claim(
            "J of the best deterministic policy of observations",
            found.deterministic,
            GAMMA / 2,
            1e-12,
            "it goes the same way from both starts, and one of them never arrives; " + exact,
        ),
        Claim(
            "J of the best policy of observations with dice",
            found.stochastic,
            GAMMA / 2 / (1 - GAMMA**2 / 2),
            1e-12,
            "V = γ (1/2 + γ V/2), since a wall sends one back; " + exact,
        ),
        Claim("J of the best agent with one bit", found.memory, (GAMMA + GAMMA**3) / 2, 1e-12, "1 step or 3; " + exact),
        Claim(
            "what more memory would add",
            found.belief - found.memory,
            0.0,
            1e-12,
            "the best that any agent can do, by its beliefs; " + exact,
        ),
        Claim("J of who sees the state", found.full, GAMMA, 1e-12, "1 step from either side; " + exact),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"Who cannot see its state gets {found.deterministic:.3f} going one way, {found.stochastic:.3f} with dice, "
        f"and {found.memory:.3f} with one bit",
        f"Five places, the goal in the middle; one starts left or right of it, which look alike. γ = {GAMMA}. Exact.",
    )
    left.plot(PROBABILITIES, found.curve, color=COLOURS[0], label="dice: right with probability p")
    left.plot([0, 1], found.curve[[0, -1]], "s", color=COLOURS[1], label="deterministic")
    best = int(found.curve.argmax())
    left.plot(PROBABILITIES[best], found.curve[best], "o", color=COLOURS[0])
    left.axhline(found.memory, color=COLOURS[2], linestyle="--", label="one bit")
    left.axhline(found.full, color=GREY, linestyle=":", label="who sees the state")
    left.set_ylim(0.4, 1.0)
    titled(left, "Without memory, half is best", "p(right | corridor)", "J(π)")
    legend(left)
    names = ["determin-\nistic", "dice", "one bit", "sees the\nstate"]
    heights = [found.deterministic, found.stochastic, found.memory, found.full]
    bars = right.bar(names, heights, color=[COLOURS[1], COLOURS[0], COLOURS[2], GREY], width=0.6)
    right.bar_label(bars, [f"{x:.3f}" for x in heights], fontsize=9, padding=2)
    right.set_ylim(0, 1.1)
    titled(right, "The best of each kind", "", "J(π)")
    return figure


def lesson(found: Found) -> str:
    return (
        "Where the state is seen, some deterministic policy is optimal. Where only an observation is, that need not "
        f"be so: going one and the same way is worth {found.deterministic:.3f}, since half of the starts never arrive, "
        f"and a coin {found.stochastic:.3f}. One bit does what no coin can, and remembers where the wall was: it is "
        f"off by two steps once in two episodes ({found.memory:.3f}), and no longer memory does better here. What is "
        f"missing to {found.full:.3f} is the price of not seeing where one starts. Q-learning with a greedy policy of "
        "observations is bound to the first of these; stochastic policies, frames that are stacked, and recurrent "
        "networks are ways out."
    )


LAB = Lab(
    name="partial_observability",
    title="Observations are not states",
    question=(
        "A corridor: wall, left, goal, right, wall. The agent starts left or right of the goal, by a coin, and the two "
        "places look alike; walls can be told apart. In the goal any action pays 1 and ends the episode, γ = 0.95, so "
        "that J is the mean of 0.95 to the number of steps to the goal. How well can an agent do whose action "
        "depends on the observation alone, if it is deterministic, or if it may throw dice? And what is one bit of "
        "memory worth?"
    ),
    prompt="Which is the best policy among those that see the present observation only?",
    choices=("a deterministic one, as in every MDP", "a stochastic one", "all are alike, as nothing is known"),
    answer=lambda found: int(found.stochastic > found.deterministic + 1e-9),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the policy is given the number of the state, which the agent cannot see",
    wrong=lambda: compute(leak=True),
    notes=(
        r"- state:\(s\)",
        r"- observations:\(o\)",
        r"policy deterministic \(a_t = \mu_\theta(s_t)\) stochastic \(a_t ~ \pi_\theta(.|s_t)\)",
        "- Deterministic Policies:",
        "- Stochastic Policies:",
    ),
    reading=(
        "relook lab trajectories",
        "Singh, Jaakkola & Jordan 1994, Learning Without State-Estimation in POMDPs",
        "Sutton & Barto 2018, Example 13.1 and section 17.3",
        "Kaelbling, Littman & Cassandra 1998, Planning and Acting in Partially Observable Stochastic Domains",
    ),
)
