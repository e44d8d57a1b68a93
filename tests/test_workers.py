"""Workers that a nursery forks: as fresh as those that are started from nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relook import __version__, workers
from relook.envs import EnvironmentSpec
from relook.runs.reading import Run
from relook.training import Request, prepare
from relook.workers import Nursery, Task, in_processes, start
from support import SMALL


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    kept = Nursery()
    yield kept
    kept.close()


def unit(out: Path, spec: EnvironmentSpec, steps: int) -> Run:
    return prepare(Request("ppo", spec, (0,), steps, SMALL, 1, out), workers=1)


def test_a_worker_does_what_the_command_line_does(nursery: Nursery, tmp_path: Path) -> None:
    started = [nursery.start(words, tmp_path / words[0]) for words in (["--version"], ["nothing"], ["work", "x"])]
    assert [worker.wait() for worker in started] == [0, 2, 2]
    assert (tmp_path / "--version").read_text() == f"relook {__version__}\n"
    assert "expected a verb" in (tmp_path / "nothing").read_text()
    assert len({worker.pid for worker in started}) == 3
    started[0].kill()  # too late, and nobody is hurt


def test_a_worker_has_the_place_and_path_of_the_moment(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nursery.start(["--version"], tmp_path / "log").wait() == 0
    (tmp_path / "written_later.py").write_text(
        "import os\nimport gymnasium\n"
        "def make():\n"
        "    assert os.environ['SAID_LATER'] == 'yes'\n"
        "    return gymnasium.make('CartPole-v1')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SAID_LATER", "yes")
    monkeypatch.chdir(tmp_path)
    name = "written_later:make"
    run = unit(Path("run"), EnvironmentSpec(name), 32)
    assert nursery.start(["work", "run", "0", "--env", name], tmp_path / "log").wait() == 0
    assert "finished" in run.unit_events(0)


def test_a_killed_worker_says_by_what_and_a_killed_nursery_lets_workers_end(tmp_path: Path) -> None:
    nursery = Nursery()
    runs = [unit(tmp_path / name, EnvironmentSpec("CartPole-v1"), 100_000_000) for name in "ab"]
    started = [nursery.start(["work", str(run.path), "0"], run.path / "log") for run in runs]
    while not all((run.unit_directory(0) / "metrics.jsonl").exists() for run in runs):
        time.sleep(0.05)
    started[0].kill()
    assert started[0].wait() == -signal.SIGKILL
    assert started[1].poll() is None
    os.kill(nursery._process.pid, signal.SIGKILL)
    assert started[1].wait() == 1
    assert nursery.gone
    assert "interrupted" in runs[1].unit_events(0)
    nursery.close()


def test_a_nursery_that_was_killed_meanwhile_is_followed_by_another(tmp_path: Path) -> None:
    first = workers.nursery()
    assert first.start(["--version"], tmp_path / "log").wait() == 0
    assert workers.nursery() is first
    first._process.kill()
    first._process.wait()
    assert workers.nursery() is not first
    assert workers.nursery().start(["--version"], tmp_path / "log").wait() == 0


def test_forked_and_started_workers_train_the_same(tmp_path: Path) -> None:
    runs = [
        prepare(Request("ppo", EnvironmentSpec("CartPole-v1"), (0, 1), 64, SMALL, 1, tmp_path / name), workers=2)
        for name in ("forked", "started")
    ]
    in_processes([Task(runs[0], unit, EnvironmentSpec("CartPole-v1")) for unit in (0, 1)], 2, lambda: None)
    for number in (0, 1):
        assert start(runs[1], number, None, 1, fork=False).wait() == 0
    assert runs[0].agent_summaries == runs[1].agent_summaries
