"""What a search is asked to do: what is refused before anything trains, files, and records."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from relook.envs import EnvironmentSpec
from relook.errors import RelookError, WrongRequest
from relook.experiments.grid import claim
from relook.experiments.search import Search, from_toml, reopened
from relook.experiments.spaces import Choice, Range, space_of

DOCS = Path(__file__).parents[2] / "docs" / "tuning.md"


def search(**changed: Any) -> Search:
    space = space_of("ppo", changed.pop("space", {"learning_rate": "1e-5:1e-1:log", "clip": "0.1,0.2,0.3"}))
    return replace(Search("ppo", EnvironmentSpec("CartPole-v1"), space, 640, trials=8), **changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"trials": 0}, "trials of at least 1"),
        ({"confirm_seeds": 1}, "confirm_seeds of at least 2"),
        ({"evaluate_episodes": 0}, "evaluate_episodes of at least 1"),
        ({"first_seed": 0}, "tuning seeds of 10,000 and up"),
        ({"random": 0.0}, "a share of random trials above 0"),
        ({"failed_score": float("nan")}, "a finite score"),
        ({"space": {"clip": "0.1,0.2"}}, "a space of at least 8 settings, one for each trial; found 2"),
        ({"steps": 100}, "at least 512 steps, one iteration"),
        ({"start": {"minibatch": 10_000}}, "a minibatch of at most"),
        ({"start": {"speed": 1}}, "no hyper-parameter 'speed'"),
        ({"preset": "nobody"}, "a preset of ppo among"),
        ({"environment": EnvironmentSpec("x", function=lambda: gym.make("CartPole-v1"))}, "other processes can import"),
    ],
)
def test_a_search_that_cannot_be_carried_out_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongRequest, match=said):
        search(**changed).check()


def test_a_setting_that_would_not_learn_in_so_few_steps_does_not_fit() -> None:
    space = space_of("sac", {"learning_starts": "1000,5000", "discount": "0.9,0.99"})
    asked = Search("sac", EnvironmentSpec("Pendulum-v1"), space, 4_000, trials=4)
    asked.check()
    assert asked.fits({"learning_starts": 1_000})
    assert not asked.fits({"learning_starts": 5_000})
    with pytest.raises(WrongRequest, match=r"at least 5000 steps, .* learning_starts, 5000"):
        replace(asked, start={"learning_starts": 5_000}).check()


def test_a_record_says_what_was_asked_for(tmp_path: Path) -> None:
    asked = search(start={"target_kl": float("inf"), "hidden": (8,)}, failed_score=-3.0, prune=False)
    claim(tmp_path / "s", asked.record())
    assert reopened(tmp_path / "s") == asked
    record = json.loads((tmp_path / "s" / "grid.json").read_text())
    damaged: list[dict[str, Any]] = [
        {**record, "schema": 9},
        {**record, "space": {"clip": 3}},
        {key: value for key, value in record.items() if key != "trials"},
        {**record, "environment": []},
    ]
    for damage in damaged:
        (tmp_path / "s" / "grid.json").write_text(json.dumps(damage))
        with pytest.raises((RelookError, WrongRequest), match=r"expected"):
            reopened(tmp_path / "s")
    (tmp_path / "s" / "grid.json").write_text(json.dumps({**record, "kind": "grid"}))
    with pytest.raises(WrongRequest, match="expected the directory of a search; found a grid"):
        reopened(tmp_path / "s")
    code = {**record, "environment": {**record["environment"], "name": "evil:make"}}
    (tmp_path / "s" / "grid.json").write_text(json.dumps(code))
    with pytest.raises(WrongRequest, match="repeat it: --env evil:make"):
        reopened(tmp_path / "s")
    assert reopened(tmp_path / "s", "evil:make").environment.name == "evil:make"


def test_the_documented_file_is_a_search(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "search.toml").write_text(example)
    found = from_toml(tmp_path / "search.toml")
    assert found.environment == EnvironmentSpec("Acrobot-v1")
    assert found.space["learning_rate"] == Range(1e-5, 1e-2, log=True)
    assert isinstance(found.space["hidden"], Choice)
    found.check()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("algorithm = [", "as TOML"),
        ("", 'expected algorithm = "NAME"'),
        ('algorithm = "ppo"', "a table [space]"),
        ('algorithm = "ppo"\nspeed = 1\n[space]\nclip = [0.1, 0.2]', "found 'speed'"),
        ('algorithm = "ppo"\n[space]\nclip = [0.1, 0.2]', "the name of an environment"),
        ('algorithm = "ppo"\nenvironment = {id = 1}\n[space]\nclip = [0.1, 0.2]', "found an environment with 'id'"),
        ('algorithm = "ppo"\nenvironment = "A"\ntrials = "all"\n[space]\nclip = [0.1, 0.2]', "whole numbers"),
        ('algorithm = "ppo"\nenvironment = "A"\n[space]\nspeed = [0.1, 0.2]', "no hyper-parameter 'speed'"),
        ('algorithm = "ppo"\nenvironment = "A"\n[space]\nclip = [0.1, 0.2]\n[start]\nspeed = 1', "it has no speed"),
        ('algorithm = "nothing"\nenvironment = "A"\n[space]\nclip = [0.1, 0.2]', "an algorithm among"),
    ],
)
def test_a_file_that_is_no_search_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(WrongRequest, match=re.escape(said)):
        from_toml(tmp_path / "x.toml")
