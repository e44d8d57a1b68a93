"""`relook train q_learning` and the rest leave runs like all others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import relook
from relook.algorithms import TABULAR, algorithm
from relook.cli.main import main
from relook.envs import Environments, EnvironmentSpec
from relook.networks.tables import Tables
from relook.population import Agent, Agents
from relook.runs.unit import PARAMETERS
from relook.runs.work import Work
from support import numeric

CLIFF = EnvironmentSpec("CliffWalking-v1", max_episode_steps=60)


def work_of(directory: Path, name: str, seeds: tuple[int, ...] = (3, 4)) -> Work:
    config = algorithm(name).config(iteration=150)
    agents = Agents([Agent(a, seed, numeric(config)) for a, seed in enumerate(seeds)])
    directory.mkdir()
    return Work(directory, CLIFF, agents, config, 600, evaluate_episodes=1)


def learned(work: Work) -> dict[str, torch.Tensor]:
    return load_file(work.directory / PARAMETERS)


@pytest.mark.parametrize("name", TABULAR)
def test_a_training_that_paused_and_one_agent_alone_come_to_the_same(name: str, tmp_path: Path) -> None:
    known = algorithm(name)
    whole, paused, alone = (work_of(tmp_path / which, name) for which in ("whole", "paused", "other"))
    known.train(whole)
    for steps in (150, 300, 450):
        known.train(replace(paused, until=steps))
    known.train(paused)
    one, other = learned(whole), learned(paused)
    assert set(one) == {"policy", "action_value", "state_value"}
    assert all(torch.equal(one[table], other[table]) for table in one)
    alone = work_of(tmp_path / "alone", name, seeds=(4,))
    known.train(alone)
    assert all(torch.equal(one[table][1], x[0]) for table, x in learned(alone).items())
    assert not torch.equal(one["policy"][0], one["policy"][1])
    torch.testing.assert_close(one["policy"].sum(-1), torch.ones(2, 48, dtype=torch.float64))


def test_the_command_line_trains_shows_evaluates_and_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    words = ["--env", "FrozenLake-v1", "--env-arg", "is_slippery=false", "--seeds", "2", "--steps", "4000"]
    assert main(["train", "q_learning", *words, "--workers", "1", "--out", run]) == 0
    assert main(["evaluate", run, "--episodes", "2"]) == 0
    assert main(["verify", run]) == 0
    assert main(["show", run]) == 0
    assert "finished" in capsys.readouterr().out


def test_what_has_no_finitely_many_states_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train", "sarsa", "--env", "CartPole-v1", "--steps", "1000", "--out", str(tmp_path / "x"))
    assert main(list(words)) == 2
    assert "expected finitely many states" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_states_of_several_parts_have_numbers_of_their_own() -> None:
    envs = Environments(EnvironmentSpec("Blackjack-v1"), Agents([Agent(0, 3)]), 4)
    tables = Tables(envs.spaces, envs.agents)
    assert (tables.states, tables.actions) == (32 * 11 * 2, 2)
    parts = [np.split(row.numpy(), [32, 43]) for row in envs.observation[0]]
    expected = [(p[0].argmax() * 11 + p[1].argmax()) * 2 + p[2].argmax() for p in parts]
    assert tables.state_of(envs.observation)[0].tolist() == expected


def test_tables_act_as_often_as_their_policy_says() -> None:
    envs = Environments(EnvironmentSpec("FrozenLake-v1"), Agents([Agent(0, 3), Agent(1, 4)]), 500)
    tables = Tables(envs.spaces, envs.agents)
    tables.policy[:, 0] = [[0.1, 0.2, 0.3, 0.4], [0.7, 0.0, 0.3, 0.0]]
    noise = ((torch.arange(500) + 0.5) / 500).expand(2, -1)
    drawn = tables.act(envs.observation, noise)
    for a in range(2):
        shares = [float((drawn[a] == i).double().mean()) for i in range(4)]
        assert shares == pytest.approx(list(tables.policy[a, 0]), abs=0.003)
    assert tables.act_deterministically(envs.observation)[:, 0, 0].tolist() == [3, 0]


def test_from_python(tmp_path: Path) -> None:
    run = relook.sarsa("FrozenLake-v1", seeds=1, steps=1000, out=tmp_path / "run")
    assert [agent.seed for agent in run.agents] == [0]
