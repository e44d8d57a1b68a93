"""A branch has everything in common with its trunk, but what was changed."""

from pathlib import Path
from typing import Any

import pytest

from relook.cli.main import main
from relook.errors import WrongRequest
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.training import Request, branch_off, fork, prepare, resume, work
from support import HOMES, SMALL, TINY, normalising, spec_of


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """960 steps, 32 in an iteration; checkpoints at 320, 640 (a milestone) and 960 among others."""
    out, spec = tmp_path_factory.mktemp("trunk") / "run", spec_of("CartPole-v1")
    request = Request("ppo", spec, (0, 1), 960, SMALL, 1, out, checkpoint_every=320, milestones=(330,))
    run = prepare(request, workers=1)
    work(run, 0, spec)
    return Run(out)


def lines(run: Run, name: str, until: int) -> list[dict[str, Any]]:
    return [row for row in read_lines(run.unit_directory(0) / f"{name}.jsonl") if row["steps"] <= until]


def test_milestones_are_kept_and_of_the_others_the_last_two(trunk: Run) -> None:
    kept = sorted(int(path.name) for path in (trunk.unit_directory(0) / "checkpoints").iterdir())
    assert kept == [320, 640, 960]


@pytest.mark.parametrize("at", [0, 320, 512])
def test_a_branch_on_which_nothing_changes_is_the_trunk(tmp_path: Path, trunk: Run, at: int, work_here: None) -> None:
    """Also where there is no checkpoint, and at the very beginning."""
    branch = fork(trunk, at=at, out=tmp_path / "branch", workers=1)
    for name in ("metrics.jsonl", "episodes.jsonl", "evaluations.jsonl", "actions.bin", "parameters.safetensors"):
        assert (branch.unit_directory(0) / name).read_bytes() == (trunk.unit_directory(0) / name).read_bytes(), name


@pytest.mark.parametrize("name", [name for name in TINY if name != "ppo"])
def test_a_branch_of_any_algorithm_on_which_nothing_changes_is_the_trunk(
    tmp_path: Path, name: str, work_here: None
) -> None:
    """In the middle of episodes, with everything that an algorithm keeps from one iteration for the next."""
    spec, values = spec_of(HOMES[name][-1]), TINY[name] | normalising(name)
    run = prepare(Request(name, spec, (0, 1), 320, values, 1, tmp_path / "run", checkpoint_every=160), workers=1)
    work(run, 0, spec)
    branch = fork(run, at=160, out=tmp_path / "branch", workers=1)
    for file in ("metrics.jsonl", "episodes.jsonl", "evaluations.jsonl", "actions.bin", "parameters.safetensors"):
        assert (branch.unit_directory(0) / file).read_bytes() == (run.unit_directory(0) / file).read_bytes(), file


@pytest.mark.parametrize("at", [320, 512])
def test_a_branch_is_the_trunk_until_it_and_another_run_after_it(
    tmp_path: Path, trunk: Run, at: int, work_here: None
) -> None:
    branch = fork(trunk, at=at, out=tmp_path / "branch", workers=1, entropy_coefficient=0.5)
    for name in ("metrics", "episodes", "evaluations"):
        assert lines(branch, name, at) == lines(trunk, name, at), name
    after = [row for row in lines(branch, "metrics", at + 32) if row["steps"] > at]
    same = [row for row in lines(trunk, "metrics", at + 32) if row["steps"] > at]
    for mine, theirs in zip(after, same, strict=True):
        assert mine["episode_return"] == theirs["episode_return"], "collected with the same policy and the same noise"
        assert mine["policy_loss"] != theirs["policy_loss"]
    assert [agent.hyperparameters["entropy_coefficient"] for agent in branch.agents] == [0.5, 0.5]
    ancestor = branch.record["ancestor"]
    assert (ancestor["at"], ancestor["changed"]) == (at, {"entropy_coefficient": 0.5})
    assert ancestor["run"] == str(trunk.path.resolve())


def test_a_branch_that_was_interrupted_on_its_way_to_the_branch_goes_on_to_it(
    tmp_path: Path, trunk: Run, work_here: None
) -> None:
    straight = fork(trunk, at=512, out=tmp_path / "straight", workers=1, learning_rate=1e-4)
    begun = branch_off(trunk, 512, tmp_path / "begun", {"learning_rate": 1e-4})
    resumed = resume(begun.path, workers=1)
    name = "parameters.safetensors"
    assert (resumed.unit_directory(0) / name).read_bytes() == (straight.unit_directory(0) / name).read_bytes()


@pytest.mark.parametrize(
    ("at", "changed", "said"),
    [
        (1024, {}, "expected --at a step from 0 to the 960 that .* has made; found 1,024"),
        (-32, {}, "expected --at a step from 0"),
        (100, {}, "expected --at a multiple of 32"),
        (320, {"horizon": 32, "minibatch": 32}, "horizon is settled when training starts; train a new run"),
        (320, {"envs": 1, "horizon": 32}, "envs, horizon are settled"),
        (320, {"hidden": (8,)}, "hidden is settled when training starts"),
        (320, {"initial_log_std": -1.0}, "initial_log_std is settled"),
        (320, {"normalise_observations": True}, "normalise_observations is settled"),
        (320, {"scale_rewards": False}, "scale_rewards is settled"),
        (320, {"clip": -1.0}, "expected clip above 0"),
        (320, {"colour": "red"}, "colour"),
    ],
)
def test_a_branch_that_cannot_be_is_refused_and_leaves_nothing(
    tmp_path: Path, trunk: Run, at: int, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(WrongRequest, match=said):
        fork(trunk, at=at, out=tmp_path / "branch", **changed)
    assert not (tmp_path / "branch").exists()


def test_a_branch_branches_too_but_not_before_it_began(tmp_path: Path, trunk: Run, work_here: None) -> None:
    """Its own beginning is kept, so that nothing of its trunk is trained again with what only holds for the branch."""
    branch = fork(trunk, at=352, out=tmp_path / "branch", workers=1, learning_rate=1e-4)
    twig = fork(branch, at=384, out=tmp_path / "twig", workers=1)
    name = "parameters.safetensors"
    assert (twig.unit_directory(0) / name).read_bytes() == (branch.unit_directory(0) / name).read_bytes()
    with pytest.raises(WrongRequest, match=r"a step from 352 on, where .* branched off; found 320"):
        fork(branch, at=320, out=tmp_path / "no", workers=1)
    assert not (tmp_path / "no").exists()


def test_a_run_that_was_made_longer_branches_where_it_has_checkpoints(
    tmp_path: Path, trunk: Run, work_here: None
) -> None:
    """The way to a step between them was trained with the rates of the shorter run, which annealing makes others."""
    copied = fork(trunk, at=960, out=tmp_path / "run", workers=1)
    longer = resume(copied.path, steps=1600, workers=1)
    assert fork(longer, at=1600, out=tmp_path / "branch", workers=1).record["ancestor"]["at"] == 1600
    with pytest.raises(WrongRequest, match=r"checkpoints, because .* was made longer; found 1,120"):
        fork(longer, at=1120, out=tmp_path / "no", workers=1)


def test_the_command_forks_and_show_tells_where_from_and_plot_draws_both(
    tmp_path: Path, trunk: Run, capsys: pytest.CaptureFixture[str], work_here: None
) -> None:
    out = tmp_path / "branch"
    assert main(["fork", str(trunk.path), "--at", "640", "--clip", "0.1", "--out", str(out)]) == 0
    assert f"relook plot {trunk.path} {out}" in capsys.readouterr().out
    assert main(["show", str(out)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "branched off at step 640 of" in told
    assert "clip 0.1" in told
    assert main(["plot", str(trunk.path), str(out), "--out", str(tmp_path / "both.png")]) == 0
    assert (tmp_path / "both.png").stat().st_size > 10_000


def test_the_command_tells_what_a_fork_cannot_change(
    tmp_path: Path, trunk: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fork", str(trunk.path), "--at", "320", "--initial-log-std", "-1", "--out", str(tmp_path / "b")]) == 2
    assert "initial_log_std is settled when training starts" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()
    with pytest.raises(SystemExit):
        main(["fork", str(trunk.path), "--help"])
    listed = capsys.readouterr().out
    assert "--clip" in listed
    assert "--initial-log-std" not in listed
