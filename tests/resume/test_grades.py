"""What a run can promise when its environment does not repeat itself, and that it says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from relook.cli.main import main
from relook.population import reset_seed
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.training import resume, train
from support import SMALL

WORLD = {"push": 0.1}
"""What the environment is like today."""


class Walk(gym.Env[Any, Any]):
    """A walk of 50 steps, pushed by the world; noisy ones draw from a generator that no reset seeds."""

    observation_space, action_space = spaces.Box(-np.inf, np.inf, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, noisy: bool = False) -> None:
        self.noise = np.random.default_rng() if noisy else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.x, self.t = self.np_random.normal(size=2), 0
        return self.x.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.x = self.x + WORLD["push"] * (2 * int(action) - 1)
        if self.noise is not None:
            self.x = self.x + 0.01 * self.noise.normal(size=2)
        return self.x.astype(np.float32), float(-abs(self.x[0])), False, self.t == 50, {}


def here() -> Callable[..., Walk]:
    """A function that other processes cannot import: training stays in this one, where the world can be changed."""

    def make(**given: Any) -> Walk:
        return Walk(**given)

    return make


HERE = here()


def trained(out: Path, *, noisy: bool) -> Run:
    values = {name: value for name, [value] in SMALL.items()}
    # 16 steps in an iteration: at the end of 10 of them every episode is in its middle.
    return train("ppo", HERE, steps=320, seeds=2, env_args={"noisy": noisy}, evaluate_episodes=1, out=out, **values)


def events(run: Run, kind: str) -> list[dict[str, Any]]:
    return [row for row in read_lines(run.unit_directory(0) / "events.jsonl") if row["event"] == kind]


def test_an_environment_that_repeats_itself_keeps_the_grade_exact(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", noisy=False)
    resumed = resume(run.path, steps=640, env=HERE, workers=1)
    assert [row["replay"] for row in events(resumed, "checked")] == ["exact"]
    assert events(resumed, "episodes given up") == []


def test_one_that_does_not_begins_new_episodes_from_fresh_seeds_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "run", noisy=True)
    assert [row["replay"] for row in events(run, "checked")] == ["episode"]
    resumed = resume(run.path, steps=640, env=HERE, workers=1)
    [given_up] = events(resumed, "episodes given up")
    assert (given_up["steps"], given_up["environments"]) == (320, [0, 1, 2, 3])
    own = [row for row in resumed.recorded_episodes() if row["kind"] == "training"]
    assert sorted({row["episode"] for row in own}) == [0, 1, 2, 4, 5, 6], "episode 3 was given up"
    for row in own:
        seed = resumed.agents[row["agent"]].seed
        assert row["reset_seed"] == reset_seed(seed, "train", row["environment"], row["episode"])
    assert main(["show", str(run.path)]) == 0
    assert "replay episode" in " ".join(capsys.readouterr().out.split())


def test_a_world_that_has_changed_is_noticed_and_the_run_is_no_longer_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of an environment repeats itself too, but not what the old one did."""
    run = trained(tmp_path / "run", noisy=False)
    monkeypatch.setitem(WORLD, "push", 0.2)
    resumed = resume(run.path, steps=640, env=HERE, workers=1)
    assert [row["replay"] for row in events(resumed, "checked")] == ["exact", "episode"]
    [given_up] = events(resumed, "episodes given up")
    assert given_up["environments"] == [0, 1, 2, 3]
