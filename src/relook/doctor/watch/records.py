"""From a run's files to what checks are given: line by line while it trains, or at once afterwards."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from relook.doctor.watch.watched import Array, Evaluation, Facts, Played, Watched, as_evaluation, as_played
from relook.errors import RelookError
from relook.runs.files import no_link, number, read_lines
from relook.runs.reading import AgentRecord, Run

T = TypeVar("T")

AFTERWARDS, LIVE = 2**26, 2**18
"""Bytes of a unit's episodes.jsonl that are read at most, half from its beginning and half from its end: a record has
about 500. While a run trains, reading must cost next to nothing."""


MOST_EPISODES = 2000
"""Whose actions are kept in memory between two looks."""


class Columns:
    """One agent's metrics, which grow."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = ("iteration", "steps", *names)
        self._new: list[Mapping[str, Any]] = []
        self._arrays: dict[str, Array] = {name: np.zeros(0) for name in self._names}

    def add(self, row: Mapping[str, Any]) -> None:
        self._new.append(row)

    def arrays(self, where: str) -> dict[str, Array]:
        """All columns [I]. Raises `RelookError` for a row that is not one."""
        try:
            for name in self._names:
                new = np.array([number(row.get(name)) for row in self._new], dtype=np.float64)
                self._arrays[name] = np.concatenate([self._arrays[name], new])
            if not np.isfinite(self._arrays["iteration"] + self._arrays["steps"]).all():
                raise ValueError("an iteration without a number")
        except (TypeError, ValueError) as error:
            raise RelookError(f"expected metrics of an iteration on each line of {where}; found {error!r}") from error
        self._new.clear()
        return dict(self._arrays)


class Records:
    """What has been read of a run, agent by agent."""

    def __init__(self, run: Run) -> None:
        self.run, self.facts = run, Facts.of(run)
        self._unit = {agent.agent: agent.unit for agent in run.agents}
        self._columns = {agent.agent: Columns(self.facts.metrics) for agent in run.agents}
        self._evaluations: dict[int, list[Evaluation]] = {agent.agent: [] for agent in run.agents}
        self._stops: dict[int, Mapping[str, Any]] = {}
        self._read: dict[tuple[int, str], NDArray[Any]] = {}

    def _file(self, unit: int, name: str) -> Path:
        return self.run.unit_directory(unit) / f"{name}.jsonl"

    def _each(self, unit: int, name: str, rows: Iterable[T], take: Callable[[T], None]) -> None:
        """Let `take` have rows. Raises `RelookError` if it cannot."""
        for row in rows:
            try:
                take(row)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise RelookError(
                    f"expected a whole record on each line of {self._file(unit, name)}; found {error!r}"
                ) from error

    def take_metrics(self, unit: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """New lines of a unit's metrics.jsonl."""
        self._each(unit, "metrics", rows, lambda row: self._columns[row["agent"]].add(row))

    def take_evaluations(self, unit: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """New lines of a unit's evaluations.jsonl."""
        self._each(unit, "evaluations", rows, lambda row: self._evaluations[row["agent"]].append(as_evaluation(row)))

    def take_events(self, unit: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """New lines of a unit's events.jsonl."""

        def take(row: Mapping[str, Any]) -> None:
            if row["event"] == "stopped":
                self._stops[int(row["agent"])] = {**row, "status": str(row["status"]), "reason": str(row["reason"])}

        self._each(unit, "events", rows, take)

    def read(self) -> "Records":
        """Everything that lies there now."""
        for unit in self.run.units:
            for name, take in (
                ("metrics", self.take_metrics),
                ("evaluations", self.take_evaluations),
                ("events", self.take_events),
            ):
                take(unit, read_lines(self._file(unit, name)))
        return self

    def watched(self, episode_bytes: int) -> list[Watched]:
        """All agents as they stand, each with the others of its setting.

        Raises `RelookError` for records that are damaged.
        """
        episodes: dict[int, list[Played]] = {agent.agent: [] for agent in self.run.agents}
        whole: dict[int, bool] = {}
        for unit in self.run.units:
            rows, whole[unit] = both_ends(self._file(unit, "episodes"), episode_bytes)
            own = [{"unit": unit, **row} for row in rows]
            self._each(unit, "episodes", own, lambda row: episodes[row["agent"]].append(as_played(row)))
        found = [self._one(agent, episodes[agent.agent], whole[agent.unit]) for agent in self.run.agents]
        settings: dict[str, list[Watched]] = {}
        for one in found:
            settings.setdefault(f"{one.agent.arm} {one.agent.hyperparameters}", []).append(one)
        for alike in settings.values():
            for one in alike:
                one.peers = [other for other in alike if other is not one]
        return found

    def _one(self, agent: AgentRecord, episodes: Sequence[Played], whole: bool) -> Watched:
        columns = self._columns[agent.agent].arrays(str(self._file(agent.unit, "metrics")))
        iteration, steps = (columns.pop(name).astype(np.int64) for name in ("iteration", "steps"))
        return Watched(
            self.facts,
            agent,
            iteration,
            steps,
            columns,
            self._evaluations[agent.agent],
            episodes,
            whole,
            self._stops.get(agent.agent),
            self._actions,
            self.run.recorded_values,
        )

    def _actions(self, episode: Mapping[str, Any]) -> NDArray[Any]:
        """Those of the beginning are asked for at every look, and stay what they were."""
        place = (int(episode["unit"]), str(episode.get("actions")))
        if place not in self._read:
            self._read[place] = self.run.recorded_actions(episode)
            if len(self._read) > MOST_EPISODES:
                del self._read[next(iter(self._read))]
        return self._read[place]


def both_ends(path: Path, most: int) -> tuple[list[dict[str, Any]], bool]:
    """The whole records of a file's first and last bytes, `most` together, and whether that is all of it.

    Raises `RelookError` for lines that are not records.
    """
    if not no_link(path).exists():
        return [], True
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= most:
            lines = file.read(most).split(b"\n")[:-1]  # a last line without its end was torn
        else:
            lines = file.read(most // 2).split(b"\n")[:-1]
            file.seek(size - most // 2)
            lines += file.read(most // 2).split(b"\n")[1:-1]
    try:
        rows = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise RelookError(f"expected a JSON record on every line of {path}; found something else: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise RelookError(f"expected a JSON object on every line of {path}; found something else")
    return rows, size <= most
