"""Agents that are let go on the way: the others are, bit for bit, what they would have been."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from relook.cli.main import main
from relook.envs import Environments
from relook.errors import RelookError, WrongRequest
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.runs.verifying import verify
from relook.training import Request, fork, planned_steps, prepare, prune, resume, settled, work
from support import HOMES, TINY, normalising, spec_of

LOGS = ("metrics", "episodes", "evaluations")


def request(name: str, out: Path, **asked: Any) -> Request:
    values = TINY[name] | normalising(name) | asked.pop("values", {})
    return Request(name, spec_of(HOMES[name][-1]), (0, 1, 2), 320, values, 1, out, checkpoint_every=96, **asked)


def carry_out(run: Run) -> Run:
    spec = run.environment()
    for unit in run.units:
        if not run.has_ended(unit):
            settled(run, [unit], spec)
            work(run, unit, spec)
    return Run(run.path)


def rows(run: Run, name: str, agents: Sequence[int]) -> list[dict[str, Any]]:
    """What a run wrote about some agents, but where in its files the numbers of an episode lie."""
    return [
        {key: value for key, value in row.items() if key not in ("actions", "values")}
        for unit in run.units
        for row in read_lines(run.unit_directory(unit) / f"{name}.jsonl")
        if row["agent"] in agents
    ]


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in ("agent", "kind", "deterministic", "evaluation", "environment", "episode"))


# What a2c remembers of the iteration before, PPO's scale of rewards, SAC's replay and targets: all have rows to choose.
@pytest.mark.parametrize("name", ["a2c", "ppo", "sac"])
def test_who_stays_is_who_it_would_have_been(tmp_path: Path, name: str) -> None:
    """In the middle of episodes, and after another interruption too."""
    spec = spec_of(HOMES[name][-1])
    whole = carry_out(prepare(request(name, tmp_path / "whole"), 1))
    paused = carry_out(prepare(request(name, tmp_path / "pruned", pause=128), 1))
    assert "paused" in paused.unit_events(0)
    assert paused.has_ended(0)
    pruned = prune(paused, [1])
    assert not pruned.has_ended(0)
    pruned = carry_out(pruned)

    def as_it_would_have_been(run: Run) -> None:
        before, after = whole.agent_summaries, run.agent_summaries
        assert [after[0], after[2]] == [before[0], before[2]]
        assert (after[1]["status"], after[1]["steps"], after[1]["parameters_sha256"]) == ("pruned", 128, None)
        for log in LOGS:
            assert rows(run, log, [0, 2]) == rows(whole, log, [0, 2]), log
            assert [row for row in rows(whole, log, [1]) if row["steps"] <= 128] == rows(run, log, [1])
        own, others = (
            {place(row): some.recorded_values(row) for row in some.recorded_episodes() if row["agent"] != 1}
            for some in (run, whole)
        )
        assert all(values is None or (values == others[key]).all() for key, values in own.items())
        assert verify(run, spec, kinds=("training", "evaluation")).differs is None

    as_it_would_have_been(pruned)
    shutil.rmtree(pruned.unit_directory(0) / "checkpoints" / f"{320:012d}")
    assert settled(pruned, [0], spec) == 288
    as_it_would_have_been(carry_out(pruned))


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two units of two widths with three seeds each; all of the second and one of the first are let go."""
    asked = request("ppo", tmp_path_factory.mktemp("pruned") / "run", values={"hidden": [(8,), (16,)]}, pause=100)
    paused = carry_out(prepare(asked, 1))
    assert [paused.has_ended(unit) for unit in paused.units] == [True, True]
    return carry_out(prune(paused, [1, 3, 4, 5]))


def test_a_unit_without_agents_has_ended(pruned: Run) -> None:
    assert [summary["status"] for summary in pruned.agent_summaries] == ["finished", "pruned", "finished"] + [
        "pruned"
    ] * 3
    assert (
        [summary["steps"] for summary in pruned.agent_summaries] == planned_steps(pruned) == [320, 128, 320] + [128] * 3
    )
    assert [pruned.has_ended(unit) for unit in pruned.units] == [True, True]
    assert "finished" not in pruned.unit_events(1)


def test_what_looks_at_runs_copes(pruned: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(pruned.path)
    assert main(["show", path]) == 0
    assert "pruned: 4 of 6 agents (1, 3, 4, 5)" in capsys.readouterr().out
    assert main(["plot", path, "--out", str(tmp_path / "x.png")]) == 0
    assert main(["export", path, "--out", str(tmp_path / "x.parquet")]) == 0
    assert main(["verify", path]) == 0
    assert main(["evaluate", path, "--episodes", "1", "--json"]) == 0
    assert '"agent": 2' in capsys.readouterr().out
    assert main(["compare", path]) == 2
    assert "different numbers of steps" in capsys.readouterr().err
    pruned.agent(2).act([0.0, 0.0, 0.0])
    with pytest.raises(WrongRequest, match=r"agent 4 of .* was pruned after 100 steps"):
        pruned.agent(4)


def test_a_pruned_run_branches_off_and_goes_on(pruned: Run, tmp_path: Path, work_here: None) -> None:
    branch = fork(pruned, at=320, out=tmp_path / "branch", workers=1)
    assert [row["parameters_sha256"] for row in branch.agent_summaries] == [
        row["parameters_sha256"] for row in pruned.agent_summaries
    ]
    longer = resume(branch, steps=352, workers=1)
    assert [row["steps"] for row in longer.agent_summaries] == [352, 128, 352, 128, 128, 128]
    assert main(["reproduce", str(pruned.path), "--out", str(tmp_path / "again")]) == 2


def test_a_run_that_waits_is_its_studys(tmp_path: Path, capsys: pytest.CaptureFixture[str], work_here: None) -> None:
    waiting = carry_out(prepare(request("ppo", tmp_path / "study" / "trials", pause=100), 1))
    for words in (["resume"], ["fork", "--at", "96"], ["reproduce"]):
        assert main([words[0], str(waiting.path), *words[1:]]) == 2
        assert f"relook tune {tmp_path / 'study'}" in " ".join(capsys.readouterr().err.split())


def test_a_state_of_others_is_refused() -> None:
    state = {"length": torch.tensor([1, 2]), "actions": torch.zeros(4, 1)}
    with pytest.raises(RelookError, match="environments of 2 agents in a checkpoint"):
        Environments.state_of(state, 2, [0])
    assert len(Environments.state_of(state | {"actions": torch.zeros(3, 1)}, 2, [1])["actions"]) == 2
