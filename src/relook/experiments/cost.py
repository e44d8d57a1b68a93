"""What a grid will cost, measured by training the first unit of each kind for a moment: smoke before scale."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from relook.algorithms import algorithm
from relook.envs import EnvironmentSpec
from relook.errors import RelookError
from relook.experiments.engine import Engine
from relook.population.hyperparameters import names
from relook.runs.files import plain, read_json, write_whole
from relook.runs.reading import Run
from relook.runs.segments import REPLAY
from relook.workers import Task

SMOKE = ".smoke"
MEMORY = "memory.json"
"""A run's file of what its units were measured to need."""
ITERATIONS = 3
INTERVALS = 16
"""Of an off-policy algorithm's smoke: updates after each of so many update intervals."""
EVALUATIONS = 11
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """Of one unit of work."""

    run: str
    unit: int
    agents: int
    seconds: float
    memory: float
    """Bytes, at most."""
    disk: float
    """Bytes, in the end."""


@dataclass(frozen=True)
class Estimate:
    """Of a grid."""

    units: list[Cost]
    workers: int

    @property
    def seconds(self) -> float:
        """Wall-clock time: units are handed to the first worker that is free, the longest first."""
        free = [0.0] * self.workers
        for cost in sorted(self.units, key=lambda cost: -cost.seconds):
            first = free.index(min(free))
            free[first] += cost.seconds
        return max(free)

    @property
    def memory(self) -> float:
        """Of the largest units that may train at the same time."""
        return sum(sorted((cost.memory for cost in self.units), reverse=True)[: self.workers])

    @property
    def disk(self) -> float:
        return sum(cost.disk for cost in self.units)


def measure(runs: Sequence[tuple[Run, EnvironmentSpec]], out: Path, engine: Engine) -> Estimate:
    """Train the first unit of each kind for a moment. Raises `RelookError` for the first kind that fails.

    A kind is an algorithm on an environment with its structural hyper-parameters.
    """
    shutil.rmtree(out / SMOKE, ignore_errors=True)
    kinds: dict[tuple[str, str], tuple[Task, int]] = {}
    of_unit: dict[tuple[str, int], tuple[str, str]] = {}
    for run, spec in runs:
        for unit in run.units:
            member = run.members(unit)[0]
            structural = names(algorithm(run.algorithm).config, "structural")
            kind = (run.path.name, repr([member.hyperparameters[name] for name in structural]))
            of_unit[run.path.name, unit] = kind
            if kind not in kinds:
                smoke, count = _smoke(run, unit, out / SMOKE / str(len(kinds)))
                kinds[kind] = Task(smoke, unit, spec), count
    began = time.monotonic()
    engine.carry_out([task for task, _ in kinds.values()], lambda: None)
    wall = time.monotonic() - began
    failed = [task for task, _ in kinds.values() if "failed" in task.run.unit_events(task.unit)]
    if failed:
        why = failed[0].run.unit_events(failed[0].unit)["failed"].get("error", "no reason recorded")
        name = next(kind[0] for kind, (task, _) in kinds.items() if task is failed[0])
        log = failed[0].run.unit_directory(failed[0].unit) / "worker.log"
        raise RelookError(
            f"{name} fails after a moment ({why}), so nothing was started" + f"; the log is {log}" * log.exists()
        )
    if any("finished" not in task.run.unit_events(task.unit) for task, _ in kinds.values()):
        raise RelookError("interrupted before the cost was known; nothing was started")
    elapsed = [max(_column(task.run.timing, "elapsed")) for task, _ in kinds.values()]
    starting = max(0.0, wall * min(engine.workers, len(kinds)) / len(kinds) - sum(elapsed) / len(elapsed))
    units = []
    for run, _ in runs:
        for unit in run.units:
            task, count = kinds[of_unit[run.path.name, unit]]
            units.append(_scaled(run, unit, len(run.members(unit)), task, count, starting))
    shutil.rmtree(out / SMOKE, ignore_errors=True)
    for run, _ in runs:
        needs = {str(cost.unit): int(cost.memory) for cost in units if cost.run == run.path.name}
        write_whole(run.path / MEMORY, (json.dumps(needs) + "\n").encode())
    return Estimate(units, engine.workers)


def measured_memory(run: Run) -> dict[int, int]:
    """The bytes that each unit of a run was measured to need; nothing if that was not done."""
    path = run.path / MEMORY
    try:
        return {int(unit): int(needs) for unit, needs in read_json(path).items()} if path.exists() else {}
    except (TypeError, ValueError) as error:
        raise RelookError(f"expected bytes for each unit in {path}; found {error}; remove it") from error


def _smoke(run: Run, unit: int, directory: Path) -> tuple[Run, int]:
    """A few short iterations of one unit, as a run of its own; and how many agents it has.

    Algorithms that learn from a replay learn from the first step on, in iterations of a few intervals.
    """
    members = [dict(agent) for agent in run.record["agents"] if agent["unit"] == unit]
    config = algorithm(run.algorithm).config
    for member in members:
        own = member["hyperparameters"] = dict(member["hyperparameters"])
        if "learning_starts" in own:
            own["iteration"] = INTERVALS * own["update_interval"]
            own["learning_starts"] = max(own["n_step"] * own["envs"], own["update_interval"])
    structural = {name: members[0]["hyperparameters"][name] for name in names(config, "structural")}
    structural = {name: tuple(v) if isinstance(v, list) else v for name, v in structural.items()}
    each = config(**structural).steps_each
    record: dict[str, Any] = {**run.record, "agents": members, "steps": ITERATIONS * each}
    record |= {"evaluate_episodes": min(1, run.record["evaluate_episodes"]), "milestones": []}
    record.pop("pause", None)
    directory.mkdir(parents=True)
    write_whole(directory / "run.json", (json.dumps(plain(record), allow_nan=False) + "\n").encode())
    return Run(directory), len(members)


def _scaled(run: Run, unit: int, members: int, task: Task, count: int, starting: float) -> Cost:
    """From the smoke's few steps to all steps of a unit, and from its agents to the unit's."""
    smoke, timing = task.run, task.run.timing
    each = smoke.steps / ITERATIONS
    stages = [_column(timing, name) for name in timing.columns if name not in NO_STAGES]
    per_step = min(sum(parts) for parts in list(zip(*stages, strict=True))[1:]) / each  # the first one warms up
    share = members / count
    episodes = int(run.record["evaluate_episodes"])
    evaluations = [seconds for seconds in _column(timing, "evaluate") if seconds]
    evaluation = sum(evaluations) / max(1, len(evaluations))
    seconds = starting + share * (run.steps * per_step + EVALUATIONS * evaluation * episodes)
    replay = float(run.record["replay_bytes"] or 0) * members / len(run.agents)
    peak = max(_column(timing, "peak_mebibytes")) * MEBIBYTE
    grows, stays = _disk(smoke.unit_directory(task.unit))
    disk = share * (grows / smoke.steps * run.steps + 2 * stays) + replay
    return Cost(run.path.name, unit, members, seconds, peak + replay, disk)


def _column(timing: pl.DataFrame, name: str) -> list[float]:
    """A column of a run's timing, 0 where nothing was measured."""
    if name not in timing.columns:
        return [0.0] * len(timing)
    return [float(value) for value in timing[name].fill_null(0)]


NO_STAGES = ("unit", "iteration", "steps", "elapsed", "peak_mebibytes", "evaluate", "checkpoint")


def _disk(directory: Path) -> tuple[int, int]:
    """Bytes of what grows with every step, and of what is written anew."""
    grows = stays = 0
    for path in directory.rglob("*"):
        if path.is_file() and REPLAY not in path.parts:
            if path.suffix in (".jsonl", ".bin"):
                grows += path.stat().st_size
            else:
                stays += path.stat().st_size
    return grows, stays
