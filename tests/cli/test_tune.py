"""`relook tune`: searches, confirms, says what came of it, and lets only what was confirmed into a comparison."""

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli.main import main
from relook.cli.tune import Form
from relook.runs.reading import Run

TINY = "--env CartPole-v1 --max-episode-steps 30 --envs 2 --horizon 64 --minibatch 64 --epochs 2 --hidden 8 --steps 640"
TINY += " --trials 4 --at-once 4 --seeds 2 --finalists 2 --final-seeds 2 --confirm-seeds 3 --evaluate-episodes 1"
TINY += " --workers 1 --learning-rate 1e-5"
SPACE = ["--space", "learning_rate=1e-4:1e-2:log", "clip=0.1,0.2,0.3"]
WORDS = ["tune", "ppo", *TINY.split(), *SPACE]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_the_command_plans_searches_confirms_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    out = tmp_path / "s"
    words = [*WORDS, "--out", str(out)]
    assert main([*words, "--plan"]) == 0
    said = printed(capsys)
    assert "8 agents in 1 units of work; about" in said
    assert (
        "4 trials of 2 seeds, 4 at a time, the best 2 on 2 more, and 3 settings confirmed on 3 fresh seeds: 21 agents"
        in said
    )
    assert not [*out.glob("*/units/*")]
    assert main(words) == 0
    said = printed(capsys)
    for part in (
        "ppo on CartPole-v1: 4 trials; 2 tuning seeds each, 10000 … 10001, 640 steps",
        "optimism: the chosen trial, number",
        "the default",
        "95 % interval of the difference",
        "The final: the best trials on 2 further tuning seeds",
        "What each sampler found",
        "learning_rate 0.0001 … 0.01 (log)",
        f"relook compare {out / 'confirmed'}",
    ):
        assert part in said, part
    assert (out / "search.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "tuning.md").read_text(encoding="utf-8").startswith("# Tuning ppo on CartPole-v1")
    _goes_on_and_confirms_again(out, words, capsys)
    _compares(out, tmp_path, capsys)


def _goes_on_and_confirms_again(out: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    made = {path: path.stat().st_mtime_ns for path in out.glob("*/units/*/*.jsonl")}
    assert main(words) == 0
    capsys.readouterr()
    assert main(["tune", str(out), "--workers", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: len(own["scores"]) for name, own in found["confirmed"].items()}["tuned"] == 3
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/units/*/*.jsonl")} == made, "nothing is done twice"
    for again in (["tune", str(out), "--workers", "1", "--confirm-seeds", "4"], [*words, "--confirm-seeds", "4"]):
        assert main(again) == 0
        assert "On fresh seeds (confirmed-2)" in printed(capsys)
    seeds = [sorted({agent.seed for agent in Run(out / name).agents}) for name in ("confirmed", "confirmed-2")]
    assert seeds == [[0, 1, 2], [3, 4, 5, 6]], "on seeds that were never used"
    assert len({Run(out / name).record["study"]["search"] for name in ("confirmed", "confirmed-2")}) == 1
    assert not (out / "confirmed-3").exists()
    assert main([*words, "--trials", "5"]) == 2
    assert "its trials is 4, and asked for is 5" in " ".join(capsys.readouterr().err.split())


def _compares(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was confirmed compares with itself as it is; tuned with untuned, or tuning seeds, do not."""
    confirmed = str(out / "confirmed")
    capsys.readouterr()
    assert main(["compare", confirmed, "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert not [note for note in notes if "tuned" in note or "tuning" in note]
    other = str(tmp_path / "other")
    train = "train vpg --env CartPole-v1 --max-episode-steps 30 --envs 2 --horizon 16 --minibatch 16 --hidden 8"
    assert main([*train.split(), "--steps", "640", "--seeds", "3", "--evaluate-episodes", "1", "--out", other]) == 0
    capsys.readouterr()
    chosen = ["--methods", "ppo tuned", "vpg"]
    assert main(["compare", confirmed, other, *chosen]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "methods were tuned differently (settings tried: ppo tuned: 4, vpg: not said)" in said
    assert main(["compare", confirmed, other, "--methods", "ppo default", "vpg"]) == 0
    assert main(["compare", str(out / "trials-000")]) == 2
    assert "has scores of tuning seeds" in " ".join(capsys.readouterr().err.split())


def test_a_file_is_carried_out(tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None) -> None:
    text = """
        algorithm = "ppo"
        environment = {name = "CartPole-v1", max_episode_steps = 30}
        steps = 640
        trials = 2
        at_once = 2
        seeds = 1
        evaluate_episodes = 1
        [space]
        learning_rate = "1e-4:1e-2:log"
        [start]
        envs = 2
        horizon = 16
        minibatch = 16
        hidden = [8]
    """
    (tmp_path / "search.toml").write_text(text)
    assert main(["tune", str(tmp_path / "search.toml"), "--plan", "--workers", "1", "--out", str(tmp_path / "s")]) == 0
    assert "2 trials of 1 seeds" in printed(capsys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "--env", "CartPole-v1", *SPACE], "an algorithm among"),
        (["ppo", "--env", "CartPole-v1", "Acrobot-v1", *SPACE], "expected one environment"),
        (["ppo", "--env", "CartPole-v1", *SPACE, "--clip", "0.1", "0.2"], "one value of clip, where the search starts"),
        (["ppo", "--env", "CartPole-v1", "--space", "clip"], "expected --space NAME=LOW:HIGH"),
        (["ppo", "--env", "CartPole-v1", *SPACE, "--first-seed", "7"], "tuning seeds of 10,000 and up"),
        (["ppo", "--env", "CartPole-v9", *SPACE], "CartPole-v9"),
        (["ppo", "--env", "CartPole-v1", *SPACE, "--workers", "0"], "at least one worker"),
        (["sac", "--env", "CartPole-v1", "--space", "discount=0.9:0.99"], "continuous actions"),
        (["search.toml"], "expected a search in search.toml"),
    ],
)
def test_wrong_requests_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_no_option_is_in_the_way_of_a_hyperparameter() -> None:
    for name in ALGORITHMS:
        assert not {f.name for f in fields(Form)} & {f.name for f in fields(algorithm(name).config)}


def test_without_optuna_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    out: Any = tmp_path / "s"
    assert main([*WORDS, "--out", str(out)]) == 2
    assert "pip install '.[tune]' in relook's folder" in capsys.readouterr().err
