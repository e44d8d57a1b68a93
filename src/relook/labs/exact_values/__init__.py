"""What three algorithms learn of FrozenLake-v1, beside what is exactly so."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.algorithms import algorithm
from relook.envs import EnvironmentSpec
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, MARKERS, legend, panels, titled
from relook.population import Agent, Agents
from relook.population.hyperparameters import names
from relook.runs.files import read_lines
from relook.runs.work import Work
from relook.tabular import MDP, from_environment, optimal, value_iteration, visits
from relook.tabular.oracle import beside

GAMMA, SEEDS = 0.95, 5
TRAINED: dict[str, tuple[int, dict[str, Any]]] = {
    "q_learning": (20_000, {"learning_rate": 0.2, "epsilon": 0.3}),
    "dqn": (20_000, {"hidden": (32,), "batch": 64, "exploration": 0.6, "n_step": 1}),
    "ppo": (30_720, {"hidden": (32,), "horizon": 128, "learning_rate": 3e-3}),
}
"""Steps, and what is otherwise than usual."""
JUDGED = {"q_learning": "V*", "dqn": "V*", "ppo": "V^π"}
"""What an algorithm's V stands for: the value of the best policy, or that of its own."""


class Found(NamedTuple):
    exact: dict[str, NDArray[np.float64]]
    """V* or V^π of each agent [seed, state]."""
    learned: dict[str, NDArray[np.float64]]
    """V as it was learned [seed, state]."""
    weight: dict[str, NDArray[np.float64]]
    """How often each agent's policy is in a state, as shares [seed, state]."""
    otherwise: float
    """How far PPO's V is from V*, on average over where its agents go, and over seeds."""
    start: float
    """V*(s₀) by policy iteration."""
    by_sweeps: float
    """The same by value iteration."""

    def error(self, name: str) -> float:
        """Mean |V - exact| over where the agents go, and over seeds."""
        return float((self.weight[name] * np.abs(self.learned[name] - self.exact[name])).sum(1).mean())


def compute(forget_scale: bool = False) -> Found:
    """`forget_scale` takes V of PPO as it is, in units of rewards that were divided by a scale."""
    env = gym.make("FrozenLake-v1")
    mdp = from_environment(env)
    value, _ = optimal(mdp, GAMMA)
    exact, learned, weight = {}, {}, {}
    for name, (steps, changed) in TRAINED.items():
        networks, scales = _trained(name, steps, changed)
        rows = []
        for a, scale in enumerate(scales):
            unit = 1.0 if forget_scale else scale
            told = beside(networks, mdp, env.observation_space, GAMMA, unit, agent=a, agents=SEEDS)
            judged = told.optimal if JUDGED[name] == "V*" else told.of_policy
            rows.append((judged, told.value, _visited(mdp, told.policy)))
        exact[name], learned[name], weight[name] = (np.array(column) for column in zip(*rows, strict=True))
    by_sweeps, _ = value_iteration(mdp, GAMMA)
    best = value[: exact["ppo"].shape[1]]
    otherwise = float((weight["ppo"] * np.abs(learned["ppo"] - best)).sum(1).mean())
    return Found(exact, learned, weight, otherwise, float(mdp.start @ value), float(mdp.start @ by_sweeps))


def _trained(name: str, steps: int, changed: dict[str, Any]) -> tuple[Any, list[float]]:
    """The networks of all seeds, which train as one population, and what each one's rewards were divided by."""
    known, made = algorithm(name), list[Any]()
    config = known.config(**changed, discount=GAMMA)
    numeric = {key: x for key, x in asdict(config).items() if key in names(known.config, "numeric")}
    agents = Agents([Agent(a, a, numeric) for a in range(SEEDS)])

    def make(*args: Any, **kwargs: Any) -> Any:
        made.append(known.networks(*args, **kwargs))
        return made[-1]

    with tempfile.TemporaryDirectory(prefix="relook-lab-") as scratch:
        known.train(Work(Path(scratch), EnvironmentSpec("FrozenLake-v1"), agents, config, steps, 0), make)
        last = read_lines(Path(scratch) / "metrics.jsonl")[-SEEDS:]
    # The first that were made are those that learned; others belong to the start-up check.
    return made[0], [float(row.get("reward_scale") or 1.0) for row in last]


def _visited(mdp: MDP, policy: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of time in each state of the environment; holes and the goal are ends, where nobody is asked for V."""
    whole = np.full((mdp.size, mdp.choices), 1 / mdp.choices)
    whole[: len(policy)] = policy
    often = visits(mdp, whole, GAMMA)[: len(policy)]
    return np.asarray(often / often.sum(), dtype=np.float64)


def claims(found: Found) -> list[Claim]:
    return [
        Claim(
            "V*(s₀) by policy iteration, less the same by value iteration",
            found.start - found.by_sweeps,
            0.0,
            1e-9,
            "two ways to one solution; sweeps stop within 1e-10 of it",
        ),
        *(
            Claim(
                f"how far V of {name} is off, on average over where its agents go",
                found.error(name),
                0.0,
                0.05,
                f"V*(s₀) is {found.start:.3f}, and V goes up to 0.7: a twentieth is near; mean of {SEEDS} seeds",
                "at most",
            )
            for name in TRAINED
        ),
    ]


def draw(found: Found) -> Figure:
    figure, axes = panels(
        3,
        "What was learned lies beside what is so: V of each state, exactly and as three algorithms say",
        f"FrozenLake-v1, slippery, γ = {GAMMA}; {SEEDS} seeds of each, a mark for each state and seed, large where its "
        "policy often is.",
        width=3.9,
    )
    for i, (at, name) in enumerate(zip(axes, TRAINED, strict=True)):
        asked = found.weight[name] > 0
        exact, learned = found.exact[name][asked], found.learned[name][asked]
        at.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="equal")
        size = 6 + 260 * found.weight[name][asked]
        at.scatter(exact, learned, size, label="a state", color=COLOURS[i], marker=MARKERS[i], alpha=0.45)
        top = max(float(exact.max()), float(learned.max())) * 1.05
        at.set_xlim(-0.03, top)
        at.set_ylim(-0.03, top)
        titled(at, f"{name}: {found.error(name):.3f} off", f"{JUDGED[name]}(s), exact", "V(s), learned")
        legend(at, "upper left")
    return figure


def lesson(found: Found) -> str:
    told = "; ".join(f"{name} is {found.error(name):.3f} off" for name in TRAINED)
    return (
        f"The lake has sixteen states, so that V* and V^π can be solved for: V*(s₀) = {found.start:.4f}. Where its "
        f"agents go, {told}. A table says what it has seen; a network spreads it over states that it has not. PPO's V "
        f"is that of its own policy, which still explores: from V* it is {found.otherwise:.3f} away. It is learned in "
        "units of rewards that were divided by a scale, and multiplied by it here. Where states are few, a learned "
        "value need not be believed: it can be checked."
    )


LAB = Lab(
    name="exact_values",
    title="Learned values beside exact ones",
    question=(
        "FrozenLake-v1 has sixteen states and slippery ice. Its transitions are known, so that V*, Q* and the value "
        "V^π of any policy are solutions of linear equations. Q-learning with a table, DQN and PPO know none of this: "
        "they walk. How near do their values come to the exact ones?"
    ),
    prompt="PPO's V(s): which exact value should it be compared with?",
    choices=("V*, that of the best policy", "V^π, that of its own policy", "either, they are the same in the end"),
    answer=lambda found: 1 if found.error("ppo") < found.otherwise else 0,
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="PPO's values are taken in units of scaled rewards",
    wrong=lambda: compute(forget_scale=True),
    notes=("Value Functions", "On-Policy Value Function", "- Optimal Value Function", "- Simplest possible toy task"),
    reading=("relook lab bellman", "relook lab overestimation", "docs/sutton-barto.md"),
    quick=False,
)
