"""What a unit of work writes down: when, reproducibly, and enough of it to play every episode again."""

import json
from collections.abc import Callable
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import polars as pl
import pytest
import torch

from relook.envs import EnvironmentSpec, Episode
from relook.population import Agent, Agents
from relook.runs import evaluation
from relook.runs.metrics import Metric
from relook.runs.reading import Run
from relook.runs.unit import Unit
from relook.runs.work import Work
from support import Still

CARTPOLE = EnvironmentSpec("CartPole-v1")
REPRODUCIBLE = (
    "metrics.jsonl",
    "episodes.jsonl",
    "evaluations.jsonl",
    "events.jsonl",
    "actions.bin",
    "training-values.bin",
    "evaluation-values.bin",
    "parameters.safetensors",
)


class Endless(gym.Env[Any, Any]):
    """Nothing ever happens."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, dtype=np.float32), 0.5, False, False, {}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_unit(directory: Path, spec: EnvironmentSpec, iterations: int, episodes: int) -> None:
    """Ten steps per iteration, and no training at all."""
    agents = Agents([Agent(4, 0), Agent(9, 1)])
    with Unit(
        Work(directory, spec, agents, None, 10 * iterations, episodes), {"loss": Metric("a loss", optional=True)}
    ) as unit:
        unit.start(Still(torch.zeros(2, 1)))
        for _ in unit.iterations(10):
            unit.record({"loss": torch.tensor([0.5, float("nan")])}, [])


@pytest.fixture(scope="module")
def two_settings(tmp_path_factory: pytest.TempPathFactory, train_here: Callable[..., Run]) -> Run:
    """Two seeds with two learning rates each: agents 0 and 2 have seed 0, agents 1 and 3 seed 1."""
    return train_here(tmp_path_factory.mktemp("two") / "run", CARTPOLE, learning_rate=[1e-3, 1e-2])


def test_an_undeclared_metric_is_an_error(tmp_path: Path) -> None:
    with Unit(Work(tmp_path, CARTPOLE, Agents([Agent(0, 0)]), None, 10, 0), {"loss": Metric("a loss")}) as unit:
        next(unit.iterations(10))
        with pytest.raises(ValueError, match=r"nonsense.*not declared"):
            unit.record({"loss": torch.zeros(1), "nonsense": torch.zeros(1)}, [])


def test_metrics_are_written_for_each_agent_by_its_number_in_the_run(tmp_path: Path) -> None:
    run_unit(tmp_path, EnvironmentSpec("relook/RewardByAction-v0"), iterations=2, episodes=0)
    common = {"episode_return": None, "episode_length": None, "episodes": 0, "updates": 1}
    assert rows(tmp_path / "metrics.jsonl") == [
        {"agent": agent, "iteration": i, "steps": 10 * (i + 1), **common, "loss": loss}
        for i in range(2)
        for agent, loss in [(4, 0.5), (9, None)]
    ]
    assert rows(tmp_path / "events.jsonl")[-1] == {"event": "finished", "steps": 20}
    assert rows(tmp_path / "evaluations.jsonl") == []


def test_an_iterations_episodes_are_averaged_for_each_agent(tmp_path: Path) -> None:
    def ended(agent: int, ret: float, length: int) -> Episode:
        actions = np.zeros(length, dtype=np.int64)
        return Episode(agent, 0, 0, 1, length, ret, "terminated", "", actions)

    with Unit(Work(tmp_path, CARTPOLE, Agents([Agent(4, 0), Agent(9, 1)]), None, 10, 0), {}) as unit:
        unit.start(Still(torch.zeros(2, 1)))
        for _ in unit.iterations(10):
            unit.record({}, [ended(1, 5.0, 2), ended(0, 1.0, 3), ended(1, 10.0, 8)])
    measured = [(r["agent"], r["episode_return"], r["episode_length"], r["episodes"]) for r in unit_rows(tmp_path)]
    assert measured == [(4, 1.0, 3.0, 1), (9, 7.5, 5.0, 2)]


def unit_rows(directory: Path) -> list[dict[str, Any]]:
    return rows(directory / "metrics.jsonl")


@pytest.mark.parametrize("iterations", [1, 4, 10, 25, 37])
def test_evaluations_fall_on_the_start_each_tenth_and_the_end(tmp_path: Path, iterations: int) -> None:
    run_unit(tmp_path, EnvironmentSpec("relook/RewardByAction-v0"), iterations, episodes=3)
    expected = [0, *sorted({10 * ceil(tenth * iterations / 10) for tenth in range(1, 11)})]
    evaluations = rows(tmp_path / "evaluations.jsonl")
    assert expected[-1] == 10 * iterations
    for agent, deterministic in [(4, True), (4, False), (9, True), (9, False)]:
        own = [row for row in evaluations if (row["agent"], row["deterministic"]) == (agent, deterministic)]
        assert [row["steps"] for row in own] == expected
        assert [row["evaluation"] for row in own] == list(range(len(expected)))
        assert all(row["returns"] == [-1.0] * 3 and row["mean_return"] == -1.0 for row in own)


def seeds_of(episodes: pl.DataFrame, agent: int, *by: str) -> set[tuple[int, ...]]:
    """The distinct tuples of reset seeds of one agent's episodes, one tuple for each group."""
    own = episodes.filter(pl.col("agent") == agent)
    return {tuple(group["reset_seed"]) for _, group in own.group_by(*by, maintain_order=True)}


def test_evaluations_start_from_the_same_seeds_whenever_and_whatever_is_evaluated(two_settings: Run) -> None:
    episodes = two_settings.episodes.filter(pl.col("kind") == "evaluation")
    seeds = [seeds_of(episodes, agent, "evaluation", "deterministic") for agent in range(4)]
    assert [len(own) for own in seeds] == [1] * 4
    assert [len(next(iter(own))) for own in seeds] == [2] * 4
    assert seeds[0] == seeds[2]
    assert seeds[1] == seeds[3]
    assert seeds[0] != seeds[1]
    assert episodes["evaluation"].n_unique() == 3


def test_evaluation_and_training_share_no_reset_seed(two_settings: Run) -> None:
    episodes = two_settings.episodes
    evaluated, trained = (set(episodes.filter(pl.col("kind") == kind)["reset_seed"]) for kind in KINDS)
    assert evaluated
    assert trained
    assert not evaluated & trained


KINDS = ("evaluation", "training")


def test_the_same_work_writes_the_same_bytes_but_for_the_clock(
    tmp_path: Path, train_here: Callable[..., Run], two_settings: Run
) -> None:
    again = train_here(tmp_path / "again", CARTPOLE, learning_rate=[1e-3, 1e-2]).unit_directory(0)
    first = two_settings.unit_directory(0)
    assert {path.name for path in first.iterdir()} == {*REPRODUCIBLE, "timing.jsonl", "checkpoints", "lock"}
    for name in REPRODUCIBLE:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
        assert (first / name).stat().st_size > 0
    assert (first / "timing.jsonl").read_bytes() != (again / "timing.jsonl").read_bytes()


def test_an_agent_is_the_same_alone_as_among_others(
    tmp_path: Path, train_here: Callable[..., Run], two_settings: Run
) -> None:
    [alone] = train_here(tmp_path / "alone", CARTPOLE, seeds=(1,), learning_rate=[1e-2]).agent_summaries
    among = two_settings.agent_summaries[3]
    assert among["seed"] == alone["seed"]
    assert among["parameters_sha256"] == alone["parameters_sha256"]
    assert len({summary["parameters_sha256"] for summary in two_settings.agent_summaries}) == 4


def assert_replays(run: Run, row: dict[str, Any], env: gym.Env[Any, Any]) -> None:
    """Play one recorded episode in Gymnasium alone, from what the files hold."""
    stored = row["actions"]
    actions = np.memmap(
        run.unit_directory(row["unit"]) / "actions.bin", stored["dtype"], "r", stored["offset"], tuple(stored["shape"])
    )
    observation, _ = env.reset(seed=row["reset_seed"])
    digest, rewards, terminated, truncated = blake2b(observation.tobytes(), digest_size=16), [], False, False
    for action in np.array(actions):
        assert not terminated
        assert not truncated
        observation, reward, terminated, truncated, _ = env.step(action)
        digest.update(observation.tobytes())
        rewards.append(float(reward))
    digest.update(np.array(rewards, dtype="<f8").tobytes())
    digest.update(row["ending"].encode())
    assert row["ending"] == ("terminated" if terminated else "truncated" if truncated else "")
    assert (row["length"], row["return"], row["digest"]) == (len(rewards), sum(rewards), digest.hexdigest())


def test_all_episodes_of_a_run_play_again_from_its_files(tiny_run: Run) -> None:
    episodes, env = tiny_run.episodes, gym.make("CartPole-v1")
    assert set(zip(episodes["kind"], episodes["deterministic"], strict=True)) == {
        ("training", False),
        ("evaluation", True),
        ("evaluation", False),
    }
    for row in episodes.iter_rows(named=True):
        assert_replays(tiny_run, row, env)


def test_continuous_actions_play_again_too(tmp_path: Path, train_here: Callable[..., Run]) -> None:
    run = train_here(tmp_path / "run", EnvironmentSpec("Pendulum-v1", max_episode_steps=50), seeds=(3,))
    env = gym.make("Pendulum-v1", max_episode_steps=50)
    assert set(run.episodes["kind"]) == set(KINDS)
    for row in run.episodes.iter_rows(named=True):
        assert row["actions"]["dtype"] == "<f4"
        assert_replays(run, row, env)


def test_evaluation_episodes_without_a_time_limit_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "LONGEST", 7)
    run_unit(tmp_path, EnvironmentSpec("endless", function=Endless), iterations=1, episodes=1)
    episodes = rows(tmp_path / "episodes.jsonl")
    assert len(episodes) == 8
    assert {(row["ending"], row["length"], row["return"]) for row in episodes} == {("cut", 7, 3.5)}
    assert {row["mean_return"] for row in rows(tmp_path / "evaluations.jsonl")} == {3.5}
