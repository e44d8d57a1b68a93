"""Shaping: which bonus leaves the best policy as it is, and which makes an agent go round in circles."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, greedy, optimal
from relook.tabular.three_states import GAMMA, student

WORLDS, SIZE, CHOICES, ENDS = 100, 10, 3, 2
"""Random MDPs, their states, actions and terminal states."""
LENGTH = 7
"""States of the corridor before its goal."""
LEFT, RIGHT = range(2)
BONUSES = np.linspace(0, 1, 201)
"""b: what a step towards the goal pays besides."""
CHOSEN = 0.5
THRESHOLD = 1 / (GAMMA / (1 - GAMMA**2) - 1)
"""Turning back for ever, γ b / (1 - γ²), is better than b + 1 from this b on."""
UPDATES, RATE = 5_000, 0.1
"""Steps of Q-learning, and its learning rate."""


class Found(NamedTuple):
    mismatch: float
    """The largest |Q'(s, a) - (Q*(s, a) - Φ(s))| of the random MDPs, Q' with a bonus from a potential Φ."""
    same: int
    """In how many of them the best policy is the same."""
    one_step: int
    """In how many of them the bonus from Φ = V* makes the largest reward r'(s, a) the best action."""
    learned: float
    """The largest difference of Q-learning with the bonus from Q-learning without, from Q₀ = Φ, at any step."""
    beside: NDArray[np.float64]
    """Best V in the state beside the goal for each of `BONUSES`, without a potential."""
    leaves: NDArray[np.bool_]
    """Whether the best action there is to turn back."""
    paths: tuple[list[int], list[int], list[int]]
    """Where the best policy goes in the corridor: without a bonus, with one for each step nearer, with a potential."""


def compute(ends_keep: bool = False) -> Found:
    """`ends_keep` gives terminal states a potential like others."""
    rng = np.random.default_rng(27)
    off, same, one_step = [], 0, 0
    for _ in range(WORLDS):
        mdp = _world(rng)
        value, q = optimal(mdp, GAMMA)
        inside = ~mdp.terminal
        potential = rng.normal(0, 3, SIZE)
        if not ends_keep:
            potential[mdp.terminal] = 0
        shaped_q = optimal(_shaped(mdp, potential), GAMMA)[1]
        off.append(np.abs(shaped_q - (q - potential[:, None]))[inside].max())
        same += bool((shaped_q.argmax(1) == q.argmax(1))[inside].all())
        one_step += bool((_shaped(mdp, value).mean_reward.argmax(1) == q.argmax(1))[inside].all())
    corridors = [_corridor(b) for b in BONUSES]
    best = [optimal(corridor, GAMMA)[1][LENGTH - 1] for corridor in corridors]
    towards = CHOSEN * np.append(np.arange(LENGTH), 0.0)
    worlds = (_corridor(0), _corridor(CHOSEN), _shaped(_corridor(0), towards))
    nothing, bonus, by_potential = (_path(world) for world in worlds)
    return Found(
        float(max(off)),
        same,
        one_step,
        _learning_apart(rng),
        np.array([q.max() for q in best]),
        np.array([q[LEFT] > q[RIGHT] for q in best]),
        (nothing, bonus, by_potential),
    )


def _shaped(mdp: MDP, potential: Array) -> MDP:
    """The same world with r + γ Φ(s') - Φ(s)."""
    bonus = GAMMA * potential[None, None, :] - potential[:, None, None]
    return MDP(mdp.transition, mdp.reward + bonus, mdp.start, mdp.terminal)


def _world(rng: np.random.Generator) -> MDP:
    """The last states are terminal."""
    terminal = np.arange(SIZE) >= SIZE - ENDS
    transition = rng.dirichlet(np.full(SIZE, 0.3), (SIZE, CHOICES)) * ~terminal[:, None, None]
    return MDP(transition, rng.standard_normal((SIZE, CHOICES, SIZE)), np.full(SIZE, 1 / SIZE), terminal)


def _corridor(bonus: float) -> MDP:
    """States in a row; left of the first is a wall, right of the last the goal, which pays 1 and ends the episode."""
    goal = LENGTH
    transition, reward = np.zeros((goal + 1, 2, goal + 1)), np.zeros((goal + 1, 2, goal + 1))
    for s in range(LENGTH):
        transition[s, LEFT, max(s - 1, 0)] = transition[s, RIGHT, s + 1] = 1
        reward[s, RIGHT, s + 1] = bonus + (s + 1 == goal)
    return MDP(transition, reward, np.eye(goal + 1)[0], np.arange(goal + 1) == goal)


def _path(mdp: MDP, steps: int = 20) -> list[int]:
    policy = greedy(optimal(mdp, GAMMA)[1])
    path = [0]
    while len(path) <= steps and not mdp.terminal[path[-1]]:
        path.append(int((policy[path[-1]] @ mdp.transition[path[-1]]).argmax()))
    return path


def _learning_apart(rng: np.random.Generator) -> float:
    """Two learners that see the same steps of the student, who acts at random."""
    mdp, potential = student(), rng.normal(0, 3, 3)
    shaped, plain = np.zeros((3, 2)), np.repeat(potential[:, None], 2, 1)
    state, apart = mdp.begin(rng), 0.0
    for action in rng.integers(2, size=UPDATES):
        following, reward, _ = mdp.step(state, action, rng)
        bonus = GAMMA * potential[following] - potential[state]
        for q, r in ((shaped, reward + bonus), (plain, reward)):
            q[state, action] += RATE * (r + GAMMA * q[following].max() - q[state, action])
        apart = max(apart, float(np.abs(shaped + potential[:, None] - plain).max()))
        state = following
    return apart


def claims(found: Found) -> list[Claim]:
    return [
        Claim(
            "the largest |Q' - (Q* - Φ)| of 100 random MDPs with a potential",
            found.mismatch,
            0.0,
            1e-10,
            "γ Φ(s') - Φ(s) adds up to -Φ(s₀) along any trajectory, as Φ is 0 where it ends",
        ),
        Claim(
            "random MDPs of 100 in which the best policy stays the same",
            float(found.same),
            float(WORLDS),
            0.0,
            "Φ(s) is the same for all actions in s",
        ),
        Claim(
            "random MDPs of 100 in which Φ = V* makes the best action that of the largest reward",
            float(found.one_step),
            float(WORLDS),
            0.0,
            "then r' = Q*(s, a) - V*(s) on average, which is largest, and 0, for the best action",
        ),
        Claim(
            "the most that Q-learning with the bonus, plus Φ, differs from Q-learning without that starts from Φ",
            found.learned,
            0.0,
            1e-10,
            "their TD errors are the same at every step (Wiewiora 2003); 5,000 steps of rounding",
        ),
        Claim(
            "the smallest bonus for each step nearer with which the agent turns back at the goal",
            float(BONUSES[found.leaves].min()),
            THRESHOLD,
            float(BONUSES[1]),
            "γ b / (1 - γ²) > 1 + b; bonuses were tried in steps of 0.005",
        ),
    ]


def draw(found: Found) -> Figure:
    smallest = float(BONUSES[found.leaves].min())
    figure, (left, right) = panels(
        2,
        f"A bonus of {smallest:.2f} for each step nearer keeps the agent from the goal; a potential never does",
        f"A corridor of {LENGTH} states with a goal at its end that pays 1, γ = {GAMMA}; exact best policies. "
        f"Potential: Φ = {CHOSEN} times the place, and 0 at the goal.",
    )
    looks = (("o-", COLOURS[2], "no bonus"), ("s--", COLOURS[1], f"{CHOSEN} for each step nearer"))
    for path, (look, colour, label) in zip(found.paths[:2], looks, strict=True):
        left.plot(path, look, color=colour, label=label, markersize=5)
    left.plot(found.paths[2], "x", color="black", label="γ Φ(s') - Φ(s)", markersize=9)
    left.axhline(LENGTH, color=GREY, linestyle=":", linewidth=1)
    left.annotate("goal", (20, LENGTH), (0, 3), textcoords="offset points", fontsize=8, color=GREY, ha="right")
    titled(left, "What the best policy does", "steps", "place in the corridor")
    legend(left, "lower right")
    left.set_xticks(range(0, 21, 5))
    left.set_ylim(-0.4, LENGTH + 0.8)
    right.plot(BONUSES, 1 + BONUSES, "-", color=COLOURS[2], label="to the goal: 1 + b")
    right.plot(BONUSES, GAMMA * BONUSES / (1 - GAMMA**2), "--", color=COLOURS[1], label="to and fro: γ b / (1 - γ²)")
    some = slice(None, None, 20)
    right.plot(
        BONUSES[some], found.beside[some], "o", color="black", markerfacecolor="none", label="V* beside the goal"
    )
    right.axvline(THRESHOLD, color=GREY, linestyle=":", linewidth=1)
    titled(right, "Beside the goal", "bonus b for each step nearer", "value")
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    return (
        f"A bonus γ Φ(s') - Φ(s) takes back what it gave: in {found.same} of {WORLDS} random MDPs the best policy "
        f"stays what it was, and Q' = Q* - Φ up to {found.mismatch:.0e}. A bonus for each step nearer that costs "
        f"nothing on the way back is another goal: from b = {BONUSES[found.leaves].min():.2f} on, the best policy goes "
        f"to and fro beside the goal and never enters it. What a potential can do is make the way shorter to see: with "
        f"Φ = V* the largest reward is the best action ({found.one_step} of {WORLDS}). For Q-learning it is the same "
        f"as starting from Q = Φ, step by step (difference {found.learned:.0e}), so that without a good guess of V* "
        "there is nothing to win. Φ has to be 0 in terminal states; with a network in place of a table, rewards that "
        "are shaped can be easier or harder to fit."
    )


LAB = Lab(
    name="shaping",
    title="Shaping rewards without changing the goal",
    question=(
        "The goal pays 1 and is far away, so that one adds a bonus for every step towards it. Is the best policy still "
        "the best? A corridor has seven states and a goal at its right end, which pays 1 and ends the episode; a "
        "step to the right pays b besides, a step to the left nothing; γ = 0.9. The other bonus is made of a potential "
        "Φ(s), as γ Φ(s') - Φ(s): whoever goes back returns it. All values are computed exactly."
    ),
    prompt="With b = 0.5 for every step nearer and nothing for a step away, what does the best policy do?",
    choices=(
        "it walks to the goal",
        "it goes to and fro and never enters the goal",
        "it walks to the goal, by detours",
    ),
    answer=lambda found: 1 if found.paths[1][-1] != LENGTH else 0 if len(found.paths[1]) == len(found.paths[0]) else 2,
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="terminal states keep a potential other than 0",
    wrong=lambda: compute(ends_keep=True),
    notes=("Reward",),
    reading=(
        "relook lab bellman",
        "relook lab time_limits",
        "Ng, Harada & Russell 1999, Policy invariance under reward transformations, Theorem 1",
        "Wiewiora 2003, Potential-based shaping and Q-value initialization are equivalent",
        "Randløv & Alstrøm 1998, on a bicycle that learned to drive in circles",
    ),
)
