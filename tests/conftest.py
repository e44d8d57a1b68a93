"""What several rooms' tests share: one tiny run made by the command line, and training in this process."""

import contextlib
import gc
import io
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from relook import training
from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.experiments import engine
from relook.population import single_threaded
from relook.runs.reading import Run
from relook.training import Request, prepare, work
from relook.workers import Task

engine._keep_to_ourselves()  # Ray reads it when it is imported, by whichever test comes first
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a script runs the tests in the background

CHECKED = ("formulas", "population", "networks", "buffers", "algorithms")
"""The rooms whose annotations have shapes."""

TINY = "--env CartPole-v1 --seeds 2 --steps 512 --envs 2 --horizon 64 --minibatch 64 --evaluate-episodes 1 --workers 1"
TINY += " --checkpoint-every 128"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is there once all tests are collected stays: looking for garbage among it takes half a second each time."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def nobody_waits_for_the_disk() -> Iterator[None]:
    """What a power cut would leave is not tested here, and some disks take longer for it than a test does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def shapes_are_checked_where_it_is_cheap(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Shapes are checked at every call where a room's own tests look at it. Others do without, and so do those that
    train a run, unless they are marked with `shapes`: it would take most of their time.
    """
    room = request.path.relative_to(Path(__file__).parent).parts[0]
    trains = "tmp_path" in request.fixturenames and request.node.get_closest_marker("shapes") is None
    unchecked = room not in CHECKED or trains
    jaxtyping.config.update("jaxtyping_disable", unchecked)
    if unchecked:
        monkeypatch.setattr(jaxtyping, "jaxtyped", decorates_no_inner_functions)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def decorates_no_inner_functions(*, typechecker: Any, checked: Any = jaxtyping.jaxtyped) -> Callable[[Any], Any]:
    """In place of `jaxtyped`: an inner function is made at every call, and to decorate it costs milliseconds."""
    return lambda it: it if "<locals>" in it.__qualname__ else checked(it, typechecker=typechecker)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What every training process sets: sums that are split over threads round differently."""
    before = torch.get_num_threads()
    single_threaded()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_training(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The directory, exit status and output of one `relook train` with a worker process."""
    out, printed = tmp_path_factory.mktemp("tiny") / "run", io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = main(["train", "ppo", *TINY.split(), "--out", str(out)])
    return out, status, printed.getvalue()


@pytest.fixture(scope="session")
def tiny_run(tiny_training: tuple[Path, int, str]) -> Run:
    """A finished run of two agents, to be read only."""
    return Run(tiny_training[0])


@pytest.fixture(scope="session")
def train_here() -> Callable[..., Run]:
    """Trains a tiny run in this process, which takes a tenth of what a worker takes to start."""

    def train(out: Path, spec: EnvironmentSpec, seeds: tuple[int, ...] = (0, 1), **values: list[Any]) -> Run:
        asked: dict[str, list[Any]] = {"envs": [2], "horizon": [64], "minibatch": [64], "hidden": [(8,)], **values}
        run = prepare(Request("ppo", spec, seeds, 256, asked, 2, out), workers=1)
        for unit in run.units:
            work(run, unit, spec)
        return Run(run.path)

    return train


@pytest.fixture
def work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are carried out in this process: few tests start workers, because each takes seconds to start."""

    def here(tasks: Sequence[Task], workers: int, watch: Callable[[], None]) -> None:
        for task in tasks:
            recorded = task.run.record["actor_critic"]  # what a worker is told in words
            networks = task.run.actor_critic(recorded["name"]) if recorded else None
            training._carry_out_here(task.run, [task.unit], task.spec, watch, networks)
            if "interrupted" in task.run.unit_events(task.unit):
                break

    for place in (training, engine):
        monkeypatch.setattr(place, "in_processes", here)
