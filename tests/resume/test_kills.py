"""A unit that was killed, at any moment, goes on as if nothing had happened."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relook.envs import Environments, EnvironmentSpec
from relook.runs import checkpoints
from relook.runs.files import LineWriter, read_lines
from relook.runs.reading import Run
from relook.training import Request, prepare, resume, work
from support import HOMES, SMALL, TINY, normalising, spec_of

SAME = (
    *(f"{name}.jsonl" for name in ("metrics", "episodes", "evaluations")),
    *(f"{name}.bin" for name in ("actions", "training-values", "evaluation-values")),
    "parameters.safetensors",
)
"""What an interrupted run has in common with one that was never interrupted, to the byte."""

ENVIRONMENTS = ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "HalfCheetah-v5"]


def prepared(out: Path, environment: str, steps: int = 960, **more: Any) -> Run:
    spec = spec_of(environment)
    values: dict[str, list[Any]] = SMALL | {"normalise_observations": [environment != "FrozenLake-v1"]} | more
    return prepare(Request("ppo", spec, (0, 1, 2), steps, values, 1, out, checkpoint_every=64), workers=1)


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have a function called before each step, write, flush to the disk and renaming."""

    def watch(moment: Callable[[], None], disk_alone: bool = False) -> None:
        def before(original: Any) -> Any:
            def watched(*args: Any, **kwargs: Any) -> Any:
                moment()
                return original(*args, **kwargs)

            return watched

        for owner, name in [
            *([] if disk_alone else [(Environments, "step"), (LineWriter, "write")]),
            (os, "fsync"),
            (os, "truncate"),
            (Path, "rename"),
            (Path, "replace"),
            (checkpoints, "prune"),
        ]:
            monkeypatch.setattr(owner, name, before(getattr(owner, name)))

    yield watch
    monkeypatch.undo()


def killed_at(number: int, run: Run, spec: EnvironmentSpec, watch: Any, *, disk_alone: bool = False) -> bool:
    """Train in a child that is killed at this moment; False if it ended before."""
    child = os.fork()
    if child == 0:
        left = [number]

        def moment() -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(moment, disk_alone)
        try:
            work(run, 0, spec)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def files(run: Run) -> dict[str, bytes]:
    return {name: (run.unit_directory(0) / name).read_bytes() for name in SAME}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_unit_that_is_killed_again_and_again_becomes_what_it_would_have_been(
    tmp_path: Path, environment: str, moments: Any
) -> None:
    spec, rng = spec_of(environment), np.random.default_rng(len(environment))
    whole, killed = prepared(tmp_path / "whole", environment), prepared(tmp_path / "killed", environment)
    work(whole, 0, spec)
    kills = 0
    while killed_at(int(rng.integers(20, 300)), killed, spec, moments):
        kills += 1
    assert kills > 3, "it must have happened"
    assert files(killed) == files(whole)
    assert whole.agent_summaries == killed.agent_summaries
    [*_, last] = [row for row in read_lines(killed.unit_directory(0) / "events.jsonl") if row["event"] == "resumed"]
    assert last["passed_over"] == []


@pytest.mark.parametrize(("name", "environment"), [(n, e) for n in TINY if n != "ppo" for e in HOMES[n]])
def test_a_killed_unit_of_any_algorithm_becomes_what_it_would_have_been(
    tmp_path: Path, name: str, environment: str, moments: Any
) -> None:
    spec, rng = spec_of(environment), np.random.default_rng(len(name))
    values = TINY[name] | normalising(name)
    whole, killed = (
        prepare(Request(name, spec, (0, 1, 2), 640, values, 1, tmp_path / place, checkpoint_every=64), workers=1)
        for place in ("whole", "killed")
    )
    work(whole, 0, spec)
    kills = 0
    while killed_at(int(rng.integers(50, 300)), killed, spec, moments):
        kills += 1
    assert kills > 1, "it must have happened"
    assert files(killed) == files(whole)


def test_a_checkpoint_that_was_being_written_is_whole_or_not_there(tmp_path: Path, moments: Any) -> None:
    """Killed before every single flush to the disk and every renaming."""
    spec, seen = spec_of("CartPole-v1"), set()
    whole = prepared(tmp_path / "whole", "CartPole-v1", steps=96)
    work(whole, 0, spec)
    for number in itertools.count():
        killed = prepared(tmp_path / str(number), "CartPole-v1", steps=96)
        if not killed_at(number, killed, spec, moments, disk_alone=True):
            break
        found, passed_over = checkpoints.newest(killed.unit_directory(0) / "checkpoints")
        assert passed_over == []
        seen.add(None if found is None else found.steps)
        if number % 4 == 0:
            work(killed, 0, spec)
            assert files(killed) == files(whole), number
            left = (killed.unit_directory(0) / "checkpoints").iterdir()
            assert all(path.name.isdecimal() for path in left), "nothing half written or replaced stays"
    assert seen == {None, 64, 96}
    assert number > 20


def test_a_run_goes_on_to_more_steps_as_if_it_had_been_asked_for_them_at_once(tmp_path: Path) -> None:
    constant: dict[str, Any] = {"anneal_learning_rate": [False], "anneal_clip": [False]}
    at_once = prepared(tmp_path / "at-once", "CartPole-v1", **constant)
    first = prepared(tmp_path / "first", "CartPole-v1", steps=320, **constant)
    for run in (at_once, first):
        work(run, 0, spec_of("CartPole-v1"))
    longer = resume(first.path, steps=960, workers=1)
    for name in ("parameters.safetensors", "metrics.jsonl"):
        assert (longer.unit_directory(0) / name).read_bytes() == (at_once.unit_directory(0) / name).read_bytes()
    assert longer.record["horizons"] == [320]
    assert {agent["status"] for agent in longer.agent_summaries} == {"finished"}
