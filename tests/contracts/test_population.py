"""An agent is bit for bit the same alone, among others, in any order, and beside other settings."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relook.algorithms.ppo import Config
from relook.envs import EnvironmentSpec
from relook.population import Agent, Agents, use_threads
from relook.population.hyperparameters import names
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.training import Request, prepare
from relook.training import work as carry_out_here
from support import numeric, population, state_of, tiny, train, work

SMALL = Config(envs=3, horizon=13, minibatch=10, epochs=2, hidden=(13, 20), scale_rewards=False)
"""Nothing in it is a multiple of four."""

WITH_EVERYTHING = Config(
    envs=3,
    horizon=13,
    minibatch=10,
    epochs=2,
    hidden=(13, 20),
    normalise_observations=True,
    scale_rewards=True,
    target_kl=0.001,
    value_clip=0.2,
    entropy_coefficient=0.01,
)

ENVIRONMENTS = ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "HalfCheetah-v5"]


@pytest.mark.parametrize("config", [SMALL, WITH_EVERYTHING], ids=["plain", "with everything"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_agent_is_the_same_alone_among_others_and_in_any_order(
    tmp_path: Path, environment: str, config: Config
) -> None:
    def trained(name: str, seeds: list[int], of: int) -> dict[str, bytes]:
        agents = population(config, seeds)
        return state_of(train(work(tmp_path / name, environment, agents, config, iterations=4)), seeds.index(of))

    alone = trained("alone", [3], of=3)
    assert trained("among", [0, 1, 2, 3, 4], of=3) == alone
    assert trained("permuted", [4, 3, 0], of=3) == alone
    assert trained("neighbour", [4], of=4) != alone


ODD: dict[str, dict[str, Any]] = {
    "reinforce": {"horizon": 13},
    "vpg": {"horizon": 13, "minibatch": 10},
    "a2c": {"horizon": 5, "rollouts": 3},
    "trpo": {"horizon": 13, "minibatch": 10},
}
"""Nothing in them is a multiple of four either."""
OPTIONS: dict[str, dict[str, Any]] = {
    "reinforce without baseline": {"baseline": "none"},
    "vpg with everything": {"normalise_observations": True, "entropy_coefficient": 0.01, "max_gradient_norm": 0.1},
    "a2c with everything": {
        "normalise_observations": True,
        "entropy_coefficient": 0.01,
        "optimiser": "adam",
        "normalise_advantages": True,
        "clip_together": True,
        "gae_lambda": 0.9,
    },
    "trpo natural": {"normalise_observations": True, "line_search": False},
}
OFF_POLICY: dict[str, dict[str, Any]] = {
    "dqn": {},
    "dqn with everything": {"double": True, "dueling": True, "n_step": 3, "loss": "huber", "target_rate": 0.3},
    "ddpg": {},
    "td3": {"n_step": 2},
    "sac": {},
    "sac with a fixed temperature": {"learn_temperature": False, "initialisation": "uniform", "activation": "tanh"},
}
SCHEDULE: dict[str, Any] = {
    "iteration": 39,
    "update_interval": 3,
    "update_to_data": 1 / 3,
    "learning_starts": 9,
    "capacity": 75,
    "batch": 10,
}
ODD |= {"dqn": SCHEDULE | {"target_interval": 9}} | {
    name: SCHEDULE | {"random_steps": 15} for name in ("ddpg", "td3", "sac")
}
KINDS: dict[str, dict[str, Any]] = {name: {} for name in ("reinforce", "vpg", "a2c", "trpo")} | OPTIONS | OFF_POLICY
COMPANIES = [
    (environment, kind)
    for kind in KINDS
    for environment in ENVIRONMENTS
    if kind not in OFF_POLICY or (environment in ("CartPole-v1", "FrozenLake-v1")) == kind.startswith("dqn")
]


@pytest.mark.parametrize(("environment", "kind"), COMPANIES)
def test_an_agent_of_any_algorithm_is_the_same_in_any_company(tmp_path: Path, environment: str, kind: str) -> None:
    name = kind.split(maxsplit=1)[0]
    config = tiny(name, **{"envs": 3, "hidden": (13, 20), **ODD[name], **KINDS[kind]})
    spec = EnvironmentSpec(environment, max_episode_steps=20)

    def trained(place: str, seeds: list[int], of: int) -> dict[str, bytes]:
        agents = population(config, seeds)
        return state_of(train(work(tmp_path / place, spec, agents, config, iterations=4)), seeds.index(of))

    alone = trained("alone", [3], of=3)
    assert trained("among", [0, 1, 2, 3, 4], of=3) == alone
    assert trained("permuted", [4, 3, 0], of=3) == alone
    assert trained("neighbour", [4], of=4) != alone


FIELDS_THAT_MATTER = {
    "learning_rate": 3e-4,
    "discount": 0.5,
    "gae_lambda": 0.3,
    "clip": 0.01,
    "value_clip": 0.01,
    "value_learning_rate_factor": 0.1,
    "value_coefficient": 0.01,
    "entropy_coefficient": 0.3,
    "max_gradient_norm": 0.01,
    "target_kl": 1e-6,
}


@pytest.mark.parametrize("name", names(Config, "numeric"))
def test_every_numeric_hyperparameter_is_read_per_agent(tmp_path: Path, name: str) -> None:
    """Beside the default it gives what it gives alone, and something other than the default."""
    config = Config(envs=4, horizon=16, minibatch=32, epochs=4, hidden=(16,), max_gradient_norm=100.0)
    other = {name: FIELDS_THAT_MATTER[name]}
    both = Agents([Agent(0, 3, numeric(config)), Agent(1, 3, numeric(config, **other))])
    alone = Agents([Agent(0, 3, numeric(config, **other))])
    together = train(work(tmp_path / "both", "CartPole-v1", both, config, iterations=2))
    single = train(work(tmp_path / "alone", "CartPole-v1", alone, config, iterations=2))
    assert state_of(together, 1) == state_of(single, 0)
    assert state_of(together, 1) != state_of(together, 0)


def test_global_random_state_does_not_matter(tmp_path: Path) -> None:
    def trained(ambient: int) -> dict[str, bytes]:
        random.seed(ambient)
        np.random.seed(ambient)  # noqa: NPY002  # the global state is what this test is about
        torch.manual_seed(ambient)
        asked = work(tmp_path / str(ambient), "CartPole-v1", population(SMALL, [0, 1]), SMALL, iterations=2)
        return state_of(train(asked), 0)

    assert trained(1) == trained(2)


def test_agents_of_one_seed_get_the_same_episodes_whatever_their_setting(tmp_path: Path) -> None:
    config = Config(envs=2, horizon=40, minibatch=80, epochs=1, learning_rate=1e-12)
    agents = Agents([Agent(0, 7, numeric(config)), Agent(1, 7, numeric(config, clip=0.1))])
    train(work(tmp_path, EnvironmentSpec("CartPole-v1"), agents, config, iterations=2))
    episodes = read_lines(tmp_path / "episodes.jsonl")
    keys = ("environment", "episode", "reset_seed", "length", "return", "digest")
    own = [[tuple(row[key] for key in keys) for row in episodes if row["agent"] == agent] for agent in (0, 1)]
    assert own[0] == own[1]
    assert own[0]


def test_digests_do_not_depend_on_how_a_run_is_split_into_units(tmp_path: Path) -> None:
    spec = EnvironmentSpec("CartPole-v1")
    sizes: dict[str, Any] = {"envs": [3], "horizon": [13], "minibatch": [10], "hidden": [(13,)]}
    rates: dict[str, Any] = {"learning_rate": [1e-3, 1e-2]}

    def digests(name: str, workers: int, asked: dict[str, Any]) -> list[str]:
        run = prepare(Request("ppo", spec, range(3), 3 * 39, asked, 0, tmp_path / name), workers)
        assert len(run.units) == workers
        for unit in run.units:
            carry_out_here(run, unit, spec)
        return [summary["parameters_sha256"] for summary in Run(run.path).agent_summaries]

    whole = digests("whole", 1, {**sizes, **rates})
    assert digests("split", 4, {**sizes, **rates}) == whole
    assert digests("one setting", 1, sizes) == whole[:3]
    assert len(set(whole)) == 6


@pytest.mark.parametrize("name", ["sac", "ppo"])
def test_an_agent_is_the_same_on_any_number_of_threads(tmp_path: Path, name: str) -> None:
    """With networks and batches that are large enough for them."""
    sizes: dict[str, Any] = {"hidden": (256, 256)}
    if name == "sac":
        sizes |= {"iteration": 32, "update_interval": 8, "update_to_data": 0.25, "batch": 256}
    else:
        sizes |= {"envs": 4, "horizon": 64, "minibatch": 256, "epochs": 1}
    config = tiny(name, **sizes)

    def trained(place: str, threads: int) -> dict[str, bytes]:
        use_threads(threads)
        try:
            asked = work(tmp_path / place, "Pendulum-v1", population(config, [3, 4]), config, iterations=2)
            return state_of(train(asked), 1)
        finally:
            use_threads(1)

    assert trained("one", 1) == trained("two", 2)
