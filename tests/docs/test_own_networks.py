"""The examples of docs/own-networks.md run, with fewer steps than they ask for."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relook.cli.main import main
from relook.runs.reading import Run

PAGE = (Path(__file__).parents[2] / "docs" / "own-networks.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's examples in one language; commands have none."""
    return [text for of, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if of == language]


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where the page's module lies and its commands are run."""
    module, _ = blocks("python")
    assert module.startswith("# my_networks.py\n")
    (tmp_path / "my_networks.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def assert_made_of_the_pages_modules(run: Run) -> None:
    """Two linear layers around a LayerNorm, for each of two agents, with four inputs and two actions."""
    shapes = {name: tensor.shape for unit in run.units for name, tensor in run.parameters(unit).items()}
    agents = len(run.agents) // len(run.units)
    for group, outputs in (("policy", 2), ("value", 1)):
        sizes = {"0.weight": (32, 4), "0.bias": (32,), "1.weight": (32,), "1.bias": (32,)}
        sizes |= {"3.weight": (outputs, 32), "3.bias": (outputs,)}
        assert {f"{group}/{name}": (agents, *size) for name, size in sizes.items()}.items() <= shapes.items()
    assert len(shapes) == 12
    assert run.record["actor_critic"] == {"name": "my_networks:actor_critic", "importable": True}


def test_the_commands_run(somewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With real workers, which must find the module too."""
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("relook ")]
    assert [line.split()[1] for line in commands] == ["train", "evaluate"]
    quick = {"train": "--steps 512 --evaluate-episodes 1 --workers 1", "evaluate": ""}
    for command in commands:
        verb, *words = command.split()[1:]
        assert main([verb, *words, *quick[verb].split()]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "ppo in CartPole-v1: mean return of 5 deterministic episodes" in printed
    run = Run(somewhere / "runs" / "own")
    assert [agent["status"] for agent in run.agent_summaries] == ["finished", "finished"]
    assert_made_of_the_pages_modules(run)


def test_what_train_says_to_do_next_repeats_the_networks(
    somewhere: Path, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    sizes = "--seeds 1 --envs 2 --horizon 16 --minibatch 32 --steps 64 --evaluate-episodes 1 --epochs 1 --out again"
    words = ["train", "ppo", "--env", "CartPole-v1", "--actor-critic", "my_networks:actor_critic", *sizes.split()]
    assert main(words) == 0
    [following] = [line.split() for line in capsys.readouterr().out.splitlines() if "relook evaluate" in line]
    assert main([*following[1:], "--episodes", "1"]) == 0
    assert main(["evaluate", "again", "--episodes", "1"]) == 2
    assert "repeat it: --actor-critic my_networks:actor_critic" in capsys.readouterr().err


def test_the_python_example_runs(somewhere: Path, work_here: None) -> None:
    example, names = blocks("python")[1], dict[str, Any]()
    assert "steps=5_120" in example
    exec(example.replace("steps=5_120", "steps=512, evaluate_episodes=1"), names)
    run, agent = names["run"], names["agent"]
    assert isinstance(run, Run)
    assert_made_of_the_pages_modules(run)
    assert agent.act(np.zeros(4, dtype=np.float32)) in (0, 1)
