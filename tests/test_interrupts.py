"""Real worker processes that are interrupted, or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relook.runs.reading import Run

SMALL = "--env CartPole-v1 --seeds 2 --envs 2 --horizon 64 --minibatch 64 --evaluate-episodes 1 --workers 2"


def start(out: Path, steps: int) -> subprocess.Popen[str]:
    """`relook train` with two units of one agent each, in a process group of its own like a shell's job."""
    command = [sys.executable, "-m", "relook.cli", "train", "ppo", *SMALL.split(), "--steps", str(steps)]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@contextmanager
def handled(kind: signal.Signals, handler: Any) -> Iterator[None]:
    """Processes that are started inherit what is ignored, and nothing else."""
    before = signal.signal(kind, handler)
    try:
        yield
    finally:
        signal.signal(kind, before)


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Until the condition holds; a process that ends before is reported at once."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def trains(out: Path, unit: int) -> bool:
    """Whether a unit has made its first iteration."""
    return iterations(out, unit) > 0


def iterations(out: Path, unit: int) -> int:
    metrics = out / "units" / str(unit) / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_cleanly_and_keeps_what_there_is(tmp_path: Path, kind: signal.Signals) -> None:
    out = tmp_path / "run"
    process = start(out, steps=100_000_000)
    wait_for(process, lambda: trains(out, 0) and trains(out, 1))
    process.send_signal(kind)
    printed, said = process.communicate()
    assert process.returncode == 1
    assert "interrupted: 2 of 2 agents" in printed
    assert f"relook: interrupted; {out} keeps what was trained until then" in said
    assert "Traceback" not in said
    for agent in Run(out).agent_summaries:
        assert agent["status"] == "interrupted"
        assert agent["steps"] > 0
        assert agent["parameters_sha256"]


def test_a_closed_terminal_does_not_end_what_was_started_to_ignore_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with handled(signal.SIGHUP, signal.SIG_IGN):  # what nohup does
        process = start(out, steps=100_000_000)
    wait_for(process, lambda: trains(out, 0) and trains(out, 1))
    process.send_signal(signal.SIGHUP)
    before = iterations(out, 0)
    wait_for(process, lambda: iterations(out, 0) > before + 5)
    process.send_signal(signal.SIGTERM)
    assert "interrupted: 2 of 2 agents" in process.communicate()[0]


def test_a_worker_that_is_killed_is_reported_and_the_other_unit_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, steps=12_800)
    wait_for(process, lambda: trains(out, 1))
    os.kill(int((out / "units" / "1" / "lock").read_text()), signal.SIGKILL)
    printed, said = process.communicate()
    assert process.returncode == 1
    assert "1 of 2 units of work failed (the worker was killed by SIGKILL" in said
    assert "crashed: 1 of 2 agents (1)" in printed
    assert [agent["status"] for agent in Run(out).agent_summaries] == ["finished", "crashed"]
