"""What ends an agent or a unit before its time: a number that is not finite, a fault in an evaluation, Ctrl-C."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from relook.envs import EnvironmentSpec
from relook.errors import Interrupted, RelookError
from relook.population import Agent, Agents, Stop, reset_seed
from relook.runs.metrics import Metric
from relook.runs.reading import Run
from relook.runs.unit import Unit
from relook.runs.work import Work
from relook.training import train
from support import Still

METRICS = {
    "loss": Metric("must be finite"),
    "norm": Metric("must be finite"),
    "luck": Metric("may be null", optional=True),
}
NUMBERS = (4, 9, 2)
"""The agents' numbers in the run, which are not their positions in the unit."""


class Short(gym.Env[Any, Any]):
    """Three steps; raises at the second of an episode with this seed, when it comes for the `visit`-th time."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, bad: int = -1, visit: int = 1) -> None:
        self.bad, self.visit, self.visits = bad, visit, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self.t = 0
        self.visits += seed == self.bad
        self.raises = seed == self.bad and self.visits == self.visit
        return np.zeros(1, dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        if self.raises and self.t == 2:
            raise RuntimeError("it broke")
        return np.zeros(1, dtype=np.float32), 1.0, self.t == 3, False, {}


SHORT = EnvironmentSpec("short", function=Short)


def unimportable(kind: type[Short]) -> Callable[[], gym.Env[Any, Any]]:
    """A function that makes an environment, and that other processes cannot import: training happens in this one."""

    def make() -> gym.Env[Any, Any]:
        return kind()

    return make


def rows(directory: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]


def asked(directory: Path, iterations: int, spec: EnvironmentSpec = SHORT, evaluate_episodes: int = 0) -> Work:
    """Three agents with seeds 0, 1, 2, and ten steps for each iteration."""
    agents = Agents([Agent(number, seed) for seed, number in enumerate(NUMBERS)])
    return Work(directory, spec, agents, None, 10 * iterations, evaluate_episodes)


def recorded(work: Work, odd: dict[int, dict[str, tuple[float, float, float]]]) -> list[int]:
    """A unit without training whose metrics are 0.5, but in some iterations. Returns the iterations it went through."""
    went = []
    with Unit(work, METRICS) as unit:
        unit.start(Still(torch.arange(3.0).view(3, 1)))
        for iteration in unit.iterations(10):
            went.append(iteration)
            values = dict.fromkeys(METRICS, (0.5, 0.5, 0.5)) | odd.get(iteration, {})
            unit.record({name: torch.tensor(value) for name, value in values.items()}, [])
    return went


@pytest.mark.parametrize(("value", "said"), [(nan, "nan"), (inf, "inf"), (-inf, "-inf")])
def test_an_agent_diverges_when_a_metric_that_must_be_finite_is_not(tmp_path: Path, value: float, said: str) -> None:
    work = asked(tmp_path, 4)
    recorded(work, {2: {"loss": (0.5, value, 0.5)}})
    assert work.agents.stopped == {1: Stop("diverged", f"its loss became {said}")}
    assert work.agents.alive.tolist() == [True, False, True]
    [stopped] = [row for row in rows(tmp_path, "events") if row["event"] == "stopped"]
    expected = {"event": "stopped", "agent": 9, "status": "diverged", "reason": f"its loss became {said}", "steps": 20}
    assert stopped == expected
    told = [(row["agent"], row["iteration"]) for row in rows(tmp_path, "metrics")]
    assert told == [(4, 0), (9, 0), (2, 0), (4, 1), (9, 1), (2, 1), (4, 2), (2, 2), (4, 3), (2, 3)]
    assert rows(tmp_path, "events")[-1] == {"event": "finished", "steps": 40}


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_an_optional_metric_may_be_anything(tmp_path: Path, value: float) -> None:
    work = asked(tmp_path, 2)
    recorded(work, {0: {"luck": (value, value, 0.5)}})
    assert work.agents.stopped == {}
    assert [row["event"] for row in rows(tmp_path, "events")] == ["networks", "finished"]
    assert len(rows(tmp_path, "metrics")) == 6


def test_each_agent_is_told_to_have_stopped_once_and_with_its_first_reason(tmp_path: Path) -> None:
    work = asked(tmp_path, 5)
    later = {"loss": (0.5, inf, inf), "norm": (0.5, nan, 0.5)}
    recorded(work, {1: {"norm": (0.5, 0.5, nan)}, 2: later, 3: later})
    stopped = [row for row in rows(tmp_path, "events") if row["event"] == "stopped"]
    assert [(row["agent"], row["reason"], row["steps"]) for row in stopped] == [
        (2, "its norm became nan", 10),
        (9, "its loss became inf", 20),
    ]


def test_a_unit_whose_agents_have_all_stopped_ends_early_and_cleanly(tmp_path: Path) -> None:
    work = asked(tmp_path, 20, evaluate_episodes=1)
    assert recorded(work, {1: {"loss": (nan, 0.5, 0.5)}, 3: {"loss": (0.5, nan, nan)}}) == [0, 1, 2, 3]
    assert rows(tmp_path, "events")[-1] == {"event": "finished", "steps": 40}
    assert [row["agent"] for row in rows(tmp_path, "events") if row["event"] == "stopped"] == [4, 9, 2]
    assert (tmp_path / "parameters.safetensors").is_file()
    assert max(row["steps"] for row in rows(tmp_path, "metrics") if row["agent"] == 9) == 30
    assert [row["steps"] for row in rows(tmp_path, "evaluations") if row["agent"] == 9] == [0, 0, 20, 20]


def test_an_agent_that_crashes_in_an_evaluation_keeps_the_one_before(tmp_path: Path) -> None:
    """The environments of evaluations are reset once when they are made, and then with the same seed each time."""
    seed = reset_seed(1, "evaluate", 0, 0)
    spec = EnvironmentSpec("short", {"bad": seed, "visit": 4}, function=Short)
    work = asked(tmp_path, 10, spec, evaluate_episodes=2)
    recorded(work, {})
    [stopped] = [row for row in rows(tmp_path, "events") if row["event"] == "stopped"]
    place = {"during": "evaluate", "environment": 0, "episode": 0, "reset_seed": seed, "step": 2}
    assert {name: stopped[name] for name in place} == place
    assert (stopped["agent"], stopped["status"], stopped["steps"]) == (9, "crashed", 20)
    evaluations = rows(tmp_path, "evaluations")
    assert {row["steps"] for row in evaluations if row["agent"] == 9} == {0, 10}
    for agent in (4, 2):
        own = [(row["steps"], row["mean_return"]) for row in evaluations if row["agent"] == agent]
        assert own == [(10 * i, 3.0) for i in range(11) for _ in range(2)]
    [crashed] = [row for row in rows(tmp_path, "episodes") if row["ending"] == "crashed"]
    assert (crashed["agent"], crashed["kind"], crashed["length"]) == (9, "evaluation", 1)
    assert crashed["actions"]["shape"] == [2]


class CannotBegin(Short):
    """Says NaN instead of where it begins, in the second training episode of seed 1's first environment."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(seed=seed, options=options)
        return observation * (np.float32("nan") if seed == reset_seed(1, "train", 0, 1) else 1), info


TINY: dict[str, Any] = {"envs": 2, "horizon": 16, "minibatch": 32, "hidden": (8,), "evaluate_episodes": 1, "steps": 64}


def test_an_episode_without_a_single_action_can_be_recorded(tmp_path: Path) -> None:
    run = train("ppo", unimportable(CannotBegin), seeds=2, out=tmp_path / "run", **TINY)
    assert [agent["status"] for agent in run.agent_summaries] == ["finished", "diverged"]
    [row] = [row for row in run.episodes.to_dicts() if row["ending"] == "diverged"]
    assert (row["length"], row["actions"]["shape"]) == (0, [0])


@pytest.fixture
def before() -> Iterator[list[int]]:
    """Another handler of Ctrl-C than usual, and the signals that it was given."""
    given: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        given.append(number)
        raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, handler)
    yield given
    signal.signal(signal.SIGINT, usual)


def test_an_interrupt_lets_the_unit_end_its_iteration(tmp_path: Path, before: list[int]) -> None:
    handler, work, went = signal.getsignal(signal.SIGINT), asked(tmp_path, 20, evaluate_episodes=1), []
    with Unit(work, {}) as unit:
        unit.start(Still(torch.arange(3.0).view(3, 1)))
        for iteration in unit.iterations(10):
            if iteration == 3:
                signal.raise_signal(signal.SIGINT)
            went.append(iteration)
            unit.record({}, [])
    assert went == [0, 1, 2, 3], "the iteration in which it comes is the last, and is whole"
    assert rows(tmp_path, "events")[-1] == {"event": "interrupted", "steps": 40}
    assert rows(tmp_path, "metrics")[-1]["steps"] == 40
    assert (tmp_path / "parameters.safetensors").is_file()
    assert before == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_in_the_last_iteration_leaves_nothing_out_and_does_not_count(
    tmp_path: Path, before: list[int]
) -> None:
    with Unit(asked(tmp_path, 2), {}) as unit:
        unit.start(Still(torch.arange(3.0).view(3, 1)))
        for iteration in unit.iterations(10):
            if iteration == 1:
                signal.raise_signal(signal.SIGINT)
            unit.record({}, [])
    assert rows(tmp_path, "events")[-1] == {"event": "finished", "steps": 20}
    assert before == []


def test_an_interrupt_before_the_first_iteration_keeps_the_agents_as_they_were_made(
    tmp_path: Path, before: list[int]
) -> None:
    with Unit(asked(tmp_path, 2, evaluate_episodes=1), {}) as unit:
        signal.raise_signal(signal.SIGINT)
        unit.start(Still(torch.arange(3.0).view(3, 1)))
        assert list(unit.iterations(10)) == []
    assert rows(tmp_path, "events")[-1] == {"event": "interrupted", "steps": 0}
    assert (tmp_path / "parameters.safetensors").is_file()
    assert {row["steps"] for row in rows(tmp_path, "evaluations")} == {0}


def test_a_second_interrupt_does_what_it_did_before(tmp_path: Path, before: list[int]) -> None:
    handler, reached = signal.getsignal(signal.SIGINT), []

    def interrupted_twice() -> None:
        with Unit(asked(tmp_path, 9), {}) as unit:
            unit.start(Still(torch.arange(3.0).view(3, 1)))
            for _ in unit.iterations(10):
                signal.raise_signal(signal.SIGINT)
                reached.append("after the first")
                signal.raise_signal(signal.SIGINT)
                reached.append("after the second")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert reached == ["after the first"]
    assert before == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is handler
    assert [row["event"] for row in rows(tmp_path, "events")] == ["networks"]


def test_the_handler_is_put_back_after_an_error_and_after_an_undisturbed_unit(
    tmp_path: Path, before: list[int]
) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def fails() -> None:
        with Unit(asked(tmp_path / "error", 1), {}):
            assert signal.getsignal(signal.SIGINT) is not handler
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert signal.getsignal(signal.SIGINT) is handler
    recorded(asked(tmp_path / "whole", 1), {})
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_unit_in_another_thread_leaves_signals_alone(tmp_path: Path, before: list[int]) -> None:
    handler, seen = signal.getsignal(signal.SIGINT), []

    def carry_out() -> None:
        with Unit(asked(tmp_path, 1), {}) as unit:
            seen.append(signal.getsignal(signal.SIGINT))
            unit.start(Still(torch.arange(3.0).view(3, 1)))
            for _ in unit.iterations(10):
                unit.record({}, [])

    thread = threading.Thread(target=carry_out)
    thread.start()
    thread.join()
    assert seen == [handler]
    assert rows(tmp_path, "events")[-1] == {"event": "finished", "steps": 10}


class Interrupting(Short):
    """Sends Ctrl-C to its process at a training episode that comes in the second iteration."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed == reset_seed(0, "train", 1, 7):
            signal.raise_signal(signal.SIGINT)
        return super().reset(seed=seed, options=options)


def test_an_interrupted_training_says_so_and_keeps_what_it_has(tmp_path: Path, before: list[int]) -> None:
    """Two units, one after the other in this process: the second one is not begun."""
    sizes = {**TINY, "hidden": [(8,), (4,)], "steps": 640}
    with pytest.raises(Interrupted, match=f"interrupted; {tmp_path / 'run'} keeps what was trained"):
        train("ppo", unimportable(Interrupting), seeds=1, out=tmp_path / "run", **sizes)
    run = Run(tmp_path / "run")
    assert [(a["status"], a["steps"]) for a in run.agent_summaries] == [("interrupted", 64), ("unfinished", 0)]
    assert [a["parameters_sha256"] is None for a in run.agent_summaries] == [False, True]
    assert before == []


def test_an_interrupted_agent_is_the_one_that_fewer_steps_would_have_made(tmp_path: Path) -> None:
    """With nothing that depends on how long training was meant to be."""
    constant = {**TINY, "anneal_learning_rate": False, "anneal_clip": False}
    with pytest.raises(Interrupted):
        train("ppo", unimportable(Interrupting), seeds=1, out=tmp_path / "long", **{**constant, "steps": 640})
    short = train("ppo", unimportable(Short), seeds=1, out=tmp_path / "short", **constant)
    [interrupted], [whole] = Run(tmp_path / "long").agent_summaries, short.agent_summaries
    assert interrupted["parameters_sha256"] == whole["parameters_sha256"]


class Wild(Short):
    """Every reward is NaN."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, dtype=np.float32), nan, True, False, {}


def test_a_run_whose_agents_have_all_stopped_is_a_failure_that_leaves_its_record(tmp_path: Path) -> None:
    with pytest.raises(RelookError, match=r"no agent could be trained to the end \(diverged: its environment's reward"):
        train("ppo", unimportable(Wild), seeds=2, out=tmp_path / "run", **{**TINY, "evaluate_episodes": 0})
    run = Run(tmp_path / "run")
    assert [(a["status"], a["steps"]) for a in run.agent_summaries] == [("diverged", 0)] * 2
    assert all(np.isfinite(tensor).all() for tensor in run.parameters(0).values())
