"""Recorded episodes can be looked at again, and a run can be verified."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image, ImageSequence

from relook.cli.main import main
from relook.envs import play_again
from relook.runs.reading import Run
from relook.runs.verifying import difference, verify
from relook.training import Request, prepare, work
from support import SMALL, spec_of

ENVIRONMENTS = ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Acrobot-v1", "HalfCheetah-v5", "Hopper-v5"]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out, spec = tmp_path_factory.mktemp("trained") / "run", spec_of(request.param)
    run = prepare(Request("ppo", spec, (0, 1), 320, SMALL, 1, out), workers=1)
    work(run, 0, spec)
    return Run(out)


def test_every_recorded_episode_comes_out_as_it_was(trained: Run) -> None:
    verdict = verify(trained, trained.environment(), ("evaluation", "training"))
    assert verdict.differs is None
    assert verdict.agents == 2
    assert verdict.episodes == trained.episodes.height > 40


def test_a_value_estimate_lies_beside_every_action(trained: Run) -> None:
    for row in trained.recorded_episodes():
        values = trained.recorded_values(row)
        assert values is not None
        assert len(values) == row["length"]
        assert np.isfinite(values).all()


@pytest.mark.parametrize("agent", [0, 1])
def test_the_recorded_values_are_those_of_the_agents_value_function_in_raw_reward(trained: Run, agent: int) -> None:
    last = [row for row in trained.recorded_episodes() if (row["agent"], row["kind"]) == (agent, "evaluation")][-1]
    env, space = trained.environment().make(), trained.agent(agent)._spaces.observation
    moments = play_again(env, space, last["reset_seed"], trained.recorded_actions(last))
    seen = torch.from_numpy(np.stack([moment.observation for moment in moments][: last["length"]]))
    scale = trained.metrics.filter(pl.col("agent") == agent)["reward_scale"][-1]
    expected = trained.agent(agent).networks.value(seen[None])[0].numpy() * scale
    recorded = trained.recorded_values(last)
    assert recorded is not None
    np.testing.assert_allclose(recorded, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def cartpoles(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out, spec = tmp_path_factory.mktemp("cartpoles") / "run", spec_of("CartPole-v1")
    run = prepare(Request("ppo", spec, (0, 1, 2), 640, SMALL, 2, out), workers=1)
    work(run, 0, spec)
    return Run(out)


def test_a_film_has_a_frame_for_each_moment_of_the_longest_episode(
    tmp_path: Path, cartpoles: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.gif"
    assert main(["replay", str(cartpoles.path), "--agent", "0", "1", "2", "--video", str(film)]) == 0
    told = capsys.readouterr().out
    lengths = [int(line.split(": ")[1].split(" steps")[0]) for line in told.splitlines() if "as recorded" in line]
    assert len(lengths) == 3
    with Image.open(film) as frames:
        shown = sum(1 for _ in ImageSequence.Iterator(frames))
    assert max(lengths) / 2 < shown <= max(lengths) + 1  # pictures that are equal to the last byte are merged


def test_a_film_may_be_mp4(tmp_path: Path, cartpoles: Run) -> None:
    film = tmp_path / "film.mp4"
    assert main(["replay", str(cartpoles.path), "--episode", "best", "--video", str(film)]) == 0
    assert film.read_bytes()[4:8] == b"ftyp"


def test_a_filmstrip_has_a_row_for_each_evaluation(tmp_path: Path, cartpoles: Run) -> None:
    strip = tmp_path / "strip.png"
    assert main(["replay", str(cartpoles.path), "--agent", "1", "--filmstrip", str(strip)]) == 0
    with Image.open(strip) as picture:
        assert picture.height > 11 * 100
        assert picture.width > 1200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--episode 999", "expected --episode best, worst, last or a number from 0 to"),
        ("--episode first", "expected --episode best, worst, last or a number"),
        ("--agent 7", "holds no such episode of agent 7"),
        ("--video film.avi", "expected --video to end in .mp4 or .gif; found film.avi"),
        ("--filmstrip strip.jpg", "expected --filmstrip to end in .png; found strip.jpg"),
        ("--video nowhere/film.gif", "there is no directory"),
        ("--agent 0 1 --filmstrip strip.png", "expected one --agent for a filmstrip; found 2"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    cartpoles: Run, options: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cartpoles.path)
    assert main(["replay", str(cartpoles.path), *options.split()]) == 2
    assert said in capsys.readouterr().err


def test_training_episodes_can_be_looked_at_too(cartpoles: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(cartpoles.path), "--kind", "training", "--episode", "worst"]) == 0
    assert "training episode" in capsys.readouterr().out


def test_an_episode_in_another_environment_differs_at_a_step_that_is_named(cartpoles: Run) -> None:
    row = next(row for row in cartpoles.recorded_episodes() if row["length"] > 8)
    short = replace(cartpoles.environment(), max_episode_steps=5)
    assert difference(cartpoles, cartpoles.environment(), row) is None
    assert "it ends at step 5 now" in str(difference(cartpoles, short, row))
