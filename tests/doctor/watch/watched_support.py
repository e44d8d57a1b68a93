"""Trainings that never happened: one agent's records, made up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relook.doctor.findings import Finding
from relook.doctor.watch.judging import Watching, looked
from relook.doctor.watch.watched import Actions, Evaluation, Facts, Missing, Played, Watched
from relook.runs.reading import AgentRecord

Array = NDArray[np.float64]
ITERATIONS, EACH = 100, 512
TWO = Actions((2,), np.zeros(0), np.zeros(0), rescaled=True)
TORQUE = Actions((), np.zeros(1), np.full(1, 2.0), rescaled=True)
RNG = np.random.default_rng(0)

PPO: dict[str, Any] = {
    "learning_rate": 1e-3,
    "discount": 0.99,
    "clip": 0.2,
    "target_kl": "inf",
    "envs": 8,
    "epochs": 10,
    "minibatch": 256,
    "entropy_coefficient": 0.0,
    "anneal_learning_rate": True,
    "anneal_clip": True,
    "normalise_advantages": True,
    "scale_rewards": True,
}
SAC: dict[str, Any] = {
    "learning_rate": 1e-3,
    "q_learning_rate": 1e-3,
    "discount": 0.99,
    "target_rate": 0.005,
    "temperature": 1.0,
    "target_entropy": -1.0,
    "learn_temperature": True,
    "envs": 1,
    "update_interval": 1,
    "update_to_data": 1.0,
    "learning_starts": EACH,
    "capacity": 1_000_000,
    "anneal_learning_rate": False,
}
DQN: dict[str, Any] = {
    "learning_rate": 1e-3,
    "discount": 0.99,
    "target_rate": 1.0,
    "target_interval": 128,
    "final_epsilon": 0.05,
    "exploration": 0.2,
    "envs": 1,
    "update_interval": 4,
    "update_to_data": 1.0,
    "learning_starts": EACH,
    "capacity": 1_000_000,
    "anneal_learning_rate": True,
}


def line(first: float, last: float, noise: float = 0.02) -> Array:
    """From one value to another, with some noise that is the same each time."""
    spread = noise * max(abs(first), abs(last))
    return np.linspace(first, last, ITERATIONS) + spread * np.random.default_rng(1).normal(size=ITERATIONS)


def flat(value: float, noise: float = 0.02) -> Array:
    return line(value, value, noise)


def progress() -> Array:
    return np.arange(ITERATIONS) / ITERATIONS


def on_policy() -> dict[str, Array]:
    """Metrics of a PPO agent that learns."""
    return {
        "episode_return": line(20, 400),
        "episode_length": line(20, 400),
        "updates": np.full(ITERATIONS, 20.0),
        "policy_loss": -np.abs(flat(0.01, 0.3)),
        "value_loss": np.abs(flat(5.0)),
        "entropy": line(0.68, 0.3, 0.002),
        "kl": np.abs(flat(0.01, 0.2)) + 0.005,
        "clip_fraction": np.clip(line(0.1, 0.01), 0, 1),
        "explained_variance": np.minimum(line(0.0, 0.9), 1),
        "value_bias": line(-1.5, 0.0),
        "value": line(1, 50),
        "gradient_norm": np.abs(flat(0.4)),
        "step_size": np.abs(flat(0.01)),
        "learning_rate": 1e-3 * (1 - progress()),
        "reward_scale": np.abs(line(5, 12)),
    }


def off_policy() -> dict[str, Array]:
    """Metrics of a SAC agent that learns; the first iteration only collects."""
    stored = EACH * (np.arange(ITERATIONS) + 0.5)
    found = {
        "episode_return": line(-1400, -150),
        "episode_length": np.full(ITERATIONS, 200.0),
        "updates": np.full(ITERATIONS, float(EACH)),
        "policy_loss": line(5, 60),
        "q_loss": np.abs(flat(1.0)),
        "q": line(-5, -60),
        "td_error": np.abs(flat(0.5)),
        "target_lag": np.abs(flat(0.06)),
        "policy_gradient_norm": np.abs(flat(0.5)),
        "q_gradient_norm": np.abs(flat(20)),
        "temperature": np.exp(line(0, -2, 0.0)),
        "entropy": line(0.7, -0.5, 0.0),
        "saturation": np.clip(line(0.0, 0.1), 0, 1),
        "dormant": np.clip(line(0.02, 0.05), 0, 1),
        "replay_age": stored / 2,
        "update_to_data": np.ones(ITERATIONS),
        "learning_rate": np.full(ITERATIONS, 1e-3),
        "q_bias": line(20, 2),
    }
    for name in set(found) - {"episode_return", "episode_length", "learning_rate", "update_to_data", "updates"}:
        found[name][0] = np.nan
    found["updates"][0] = found["update_to_data"][0] = 0
    return found


def greedy() -> dict[str, Array]:
    """Metrics of a DQN agent that learns."""
    found = {name: column for name, column in off_policy().items() if name not in ("temperature", "entropy")}
    done = EACH * (np.arange(ITERATIONS) + 1) - 1
    return found | {
        "learning_rate": 1e-3 * (1 - progress()),
        "loss": np.abs(flat(1.0)),
        "epsilon": 1 - 0.95 * np.clip(done / (0.2 * ITERATIONS * EACH), 0, 1),
        "target_lag": np.zeros(ITERATIONS),
    }


def training(
    columns: Mapping[str, Array] | None = None,
    asked: Mapping[str, Any] | None = None,
    *,
    algorithm: str = "ppo",
    actions: Actions | None = TWO,
    drop: Sequence[str] = (),
    **changed: Any,
) -> Watched:
    """A training that is healthy but for what is changed: columns, hyper-parameters, facts of the run, records."""
    base = {"ppo": on_policy, "dqn": greedy}.get(algorithm, off_policy)()
    settings = {"ppo": PPO, "dqn": DQN}.get(algorithm, SAC)
    metrics = {k: v for k, v in (base | dict(columns or {})).items() if k not in drop}
    facts = Facts(
        path="runs/made-up",
        algorithm=algorithm,
        steps=ITERATIONS * EACH,
        metrics=tuple(metrics),
        straight=True,
        time_limit=500,
        seeds_each_reset=True,
        observation_size=4,
        actions=actions,
    )
    about = {f.name for f in fields(Facts)}
    watched = Watched(
        replace(facts, **{k: v for k, v in changed.items() if k in about}),
        AgentRecord(0, 0, 0, settings | dict(asked or {})),
        np.arange(ITERATIONS),
        EACH * (np.arange(ITERATIONS) + 1),
        metrics,
        **{k: v for k, v in changed.items() if k not in about},
    )
    return replace(watched, run=replace(watched.run, metrics=tuple(watched.columns)))


def cut(watched: Watched, rows: int) -> Watched:
    """The same after its first iterations."""
    columns = {name: column[:rows] for name, column in watched.columns.items()}
    return replace(watched, iteration=watched.iteration[:rows], steps=watched.steps[:rows], columns=columns)


def evaluations(returns: Sequence[Sequence[float]], *, deterministic: bool, length: float = 100.0) -> list[Evaluation]:
    """One at the start and at every tenth of training."""
    return [
        Evaluation(i, i * ITERATIONS * EACH // 10, deterministic, np.array(own, dtype=np.float64), length)
        for i, own in enumerate(returns)
    ]


@dataclass
class Acted:
    """Episodes with what was done and estimated in them."""

    episodes: list[Played]
    actions: dict[int, NDArray[Any]]
    values: dict[int, Array]

    def records(self) -> dict[str, Any]:
        """What `training` takes."""
        return {
            "episodes": self.episodes,
            "actions_of": lambda record: self.actions[record["number"]],
            "values_of": lambda record: self.values.get(record["number"]),
        }


def episode(number: int, **changed: Any) -> Played:
    """A training episode of 50 steps with return 50, unless something else is said."""
    one = Played(
        training=True,
        deterministic=False,
        evaluation=None,
        environment=number % 8,
        reset_seed=number,
        steps=EACH * (1 + number // 8),
        length=50,
        ret=50.0,
        ending="terminated",
        digest=f"d{number}",
        record={"number": number},
    )
    return replace(one, **changed)


def evaluated(number: int, evaluation: int, **changed: Any) -> Played:
    """An episode of evaluation."""
    seed = 10_000 + number % 5
    place = {"training": False, "evaluation": evaluation, "steps": evaluation * ITERATIONS * EACH // 10}
    return episode(number, reset_seed=seed, **(place | changed))


def look(check: Watching, watched: Watched) -> list[Finding]:
    """What a check finds. Raises `Missing` if it could not look and has found nothing."""
    found, missing = looked(check, watched)
    if missing is not None:
        raise Missing(missing)
    return found
