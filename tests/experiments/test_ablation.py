"""Ablations: which arms there are, what is refused, and the command from training to report."""

import json
from pathlib import Path
from typing import Any

import pytest

import relook
from relook.algorithms import ALGORITHMS, algorithm
from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.ablation import Ablation, reopened
from relook.experiments.engine import Embedded
from relook.experiments.grid import prepare_runs
from support import HOMES

TWO: dict[str, dict[str, Any]] = {"GAE": {"gae_lambda": 1.0}, "epochs": {"epochs": 1}}
WORDS = "--env CartPole-v1 --envs 2 --horizon 16 --minibatch 16 --hidden 8 --steps 96 --evaluate-episodes 1 --seeds 2"


def ablation(**changed: Any) -> Ablation:
    asked: dict[str, Any] = {
        "algorithm": "ppo",
        "environments": [EnvironmentSpec("CartPole-v1"), EnvironmentSpec("Pendulum-v1", {"g": 9.0})],
        "components": TWO,
        "seeds": 4,
        "steps": 1024,
    }
    return Ablation(**asked | changed)


def test_arms_change_one_part_and_share_no_seed() -> None:
    arms = ablation().arms()
    assert {arm.name: dict(arm.changed) for arm in arms} == {
        "full": {},
        "full again": {},
        "without GAE": {"gae_lambda": 1.0},
        "without epochs": {"epochs": 1},
        "base": {"gae_lambda": 1.0, "epochs": 1},
        "base with GAE": {"epochs": 1},
        "base with epochs": {"gae_lambda": 1.0},
    }
    assert [len(arm.seeds) for arm in arms] == [6, 4, 4, 4, 6, 4, 4], "√2 × 4 of what all are compared with"
    seeds = [seed for arm in arms for seed in arm.seeds]
    assert len(seeds) == len(set(seeds))
    assert [arm.name for arm in ablation(components={"GAE": {"gae_lambda": 1.0}}).arms()] == [
        "full",
        "full again",
        "without GAE",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"components": {}}, "at least one part"),
        ({"components": {"x": {}}}, "'x' is off at; found none"),
        ({"components": {"x": {"speed": 1}}}, "no hyper-parameter 'speed'"),
        ({"components": {"x": {"clip": -1.0}}}, "expected clip above 0"),
        ({"components": TWO | {"x": {"epochs": 2}}}, "found epochs in 'epochs' and 'x'"),
        ({"components": {"x": {"epochs": 10}}}, "found it off: epochs = 10"),
        ({"hyperparameters": {"gae_lambda": 1.0}}, "found it off: gae_lambda"),
        ({"seeds": 1}, "at least two seeds"),
        ({"first_seed": 9_990}, "seeds below 10,000"),
        ({"environments": []}, "at least one environment"),
        ({"environments": [EnvironmentSpec("CartPole-v1")] * 2}, "found CartPole-v1 twice"),
    ],
)
def test_what_is_no_ablation_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        ablation(**changed).requests()


def test_a_record_says_what_was_asked_for(tmp_path: Path) -> None:
    asked = ablation(
        components=TWO | {"clip": {"max_gradient_norm": float("inf")}, "size": {"hidden": (8,)}},
        preset="sb3",
        steps=2048,
    )
    runs = prepare_runs(asked, tmp_path / "a", 1)
    assert reopened(tmp_path / "a") == asked
    assert [run.path.name for run, _ in runs] == ["ppo-CartPole-v1", "ppo-Pendulum-v1-g=9.0"]
    for damage in ("{}", '{"schema": 2, "kind": "grid"}', '{"schema": 2, "kind": "ablation", "algorithm": 3}'):
        (tmp_path / "a" / "grid.json").write_text(damage)
        with pytest.raises(RelookError, match="expected an"):
            reopened(tmp_path / "a")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_declared_parts_can_be_taken_away(name: str) -> None:
    parts = algorithm(name).components
    asked = ablation(algorithm=name, components=parts, environments=[EnvironmentSpec(HOMES[name][0])])
    assert len(asked.arms()) == 2 * len(parts) + 3
    for arm in asked.arms():
        algorithm(name).config(**arm.changed).check()


def test_the_command_trains_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None) -> None:
    out = tmp_path / "a"
    words = ["ablate", "ppo", *WORDS.split(), "--only", "GAE", "several epochs", "--delta", "5", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "Left out on CartPole-v1" in said
    assert "noise floor" in said
    assert {path.name for path in out.glob("*.*")} == {
        "grid.json",
        "ablation.json",
        "ablation.md",
        "ablation.png",
        "curves-CartPole-v1.png",
    }
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")}
    assert main(["ablate", str(out), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["components"] == {"several epochs": {"epochs": 1}, "GAE": {"gae_lambda": 1.0}}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jsonl")} == made
    assert main(["compare", str(out), "--methods", "ppo full", "ppo without GAE", "--json"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "magic"], "parts of ppo"),
        (["--part", "x"], "--part 'NAME: KEY=VALUE …'"),
        (["--part", "x: clip=0.1", "--only", "GAE"], "--part or --only"),
        (["--part", "x: speed=1"], "it has no speed"),
        (["--part", "x: hidden=a,b"], "as sizes with commas"),
        (["--clip", "0.1", "0.2"], "one value of clip"),
    ],
)
def test_wrong_requests_are_refused(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["ablate", "ppo", *WORDS.split(), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_parts_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--part", "two layers: hidden=8", "--part", "short: horizon=8 minibatch=8", "--workers", "0"]
    assert main(["ablate", "ppo", *WORDS.replace("--hidden 8", "--hidden 8,8").split(), *words]) == 2
    assert "at least one worker" in capsys.readouterr().err, "all but the workers is right"


def test_from_python(tmp_path: Path, work_here: None) -> None:
    found = relook.ablate(
        "ppo",
        ["CartPole-v1"],
        components={"GAE": {"gae_lambda": 1.0}},
        seeds=2,
        steps=96,
        envs=2,
        horizon=16,
        minibatch=16,
        hidden=(8,),
        evaluate_episodes=1,
        out=tmp_path / "a",
        engine=Embedded(1),
    )
    assert [part.name for part in found.parts] == ["GAE"]
