"""What an algorithm writes while it trains one unit of work."""

import gc
import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from math import isfinite
from types import FrameType, TracebackType
from typing import IO, Any, Protocol, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from relook.envs import Environments, Episode, replays_exactly
from relook.errors import RelookError, WrongRequest
from relook.population import Agents, Stop, agents_are_independent, keep_freed_memory, rows_of, single_threaded
from relook.runs import checkpoints, segments
from relook.runs.checkpoints import CHECKPOINTS, Checkpoint
from relook.runs.evaluation import Acts, Evaluation
from relook.runs.files import LineWriter, lock, no_link, plain, read_lines, write_whole
from relook.runs.metrics import COMMON, Metric
from relook.runs.reading import parameters_sha256
from relook.runs.segments import REPLAY, Segment
from relook.runs.work import Work

PARAMETERS = "parameters.safetensors"
LOGS = (
    *(f"{name}.jsonl" for name in ("metrics", "timing", "episodes", "evaluations", "events")),
    *(f"{name}.bin" for name in ("actions", "training-values", "evaluation-values")),
)
"""What grows while a unit trains. A checkpoint remembers how far it had grown."""

EVALUATIONS = 10
"""Evaluations after the first: one at every tenth of training."""


class Keeps(Protocol):
    """Something that survives a power cut: what `state` gives, `load` takes over."""

    def state(self) -> dict[str, Tensor]: ...
    def load(self, state: dict[str, Tensor]) -> None: ...


class Experience(Protocol):
    """Something so large that a checkpoint holds only what is new of it: the last `length` steps of a replay."""

    @property
    def steps(self) -> int: ...
    @property
    def oldest(self) -> int: ...
    @property
    def step_bytes(self) -> int: ...
    def written_between(self, first: int, last: int) -> dict[str, Tensor]: ...
    def put_back(self, first: int, stored: Mapping[str, Tensor]) -> None: ...


class ActsAndKeeps(Acts, Keeps, Protocol):
    """What a unit needs of an actor-critic."""

    def value(self, observation: Tensor) -> Tensor: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def stochastic(self) -> bool: ...


def settle(work: Work) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint that a unit goes on from, and what was found wrong with newer ones; None: from the beginning.

    What the unit wrote after it is cut off. Training again from there writes it again, the same to the byte.
    """
    directory = no_link(work.directory)
    for name in LOGS:
        no_link(directory / name)
    point, passed_over = checkpoints.newest(directory / CHECKPOINTS, lambda some: _check(some.record, work))
    sizes: dict[str, int] = {} if point is None else point.record["logs"]
    for name in LOGS:
        if (directory / name).exists():
            os.truncate(directory / name, sizes.get(name, 0))
    return (None if point is None else _without_pruned(point, work)), passed_over


def _without_pruned(point: Checkpoint, work: Work) -> Checkpoint:
    """A checkpoint of everyone that the unit began with, as one of the agents that it still has."""
    count, positions = len(work.everyone), work.positions
    if len(point.record["agents"]) == len(positions):
        return point
    now = {position: i for i, position in enumerate(positions)}
    try:
        record = {
            **point.record,
            "agents": [point.record["agents"][position] for position in positions],
            "told": [now[a] for a in point.record["told"] if a in now],
            "stopped": {str(now[int(a)]): stop for a, stop in point.record["stopped"].items() if int(a) in now},
            "q_bias": [point.record["q_bias"][position] for position in positions],
        }
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RelookError(f"expected a whole record in a checkpoint; found it damaged: {error!r}") from error
    tensors = {name: rows_of(tensor, count, positions) for name, tensor in point.tensors.items()}
    if environments := _under("environments", point.tensors):
        own = Environments.state_of(environments, count, positions)
        tensors |= {f"environments/{name}": tensor for name, tensor in own.items()}
    return Checkpoint(point.steps, tensors, record)


def _check(record: Mapping[str, Any], work: Work) -> None:
    """Raise `RelookError` for a checkpoint that is not of this unit, or that the unit's files do not reach to."""
    everyone = work.everyone
    members = record.get("agents")
    if members not in (everyone, ours := [everyone[position] for position in work.positions]):
        raise RelookError(f"expected a checkpoint of the agents and seeds {ours}; found {members}")
    try:
        numbers = [*record["logs"].values(), record["elapsed"], record["iteration"], record["evaluated"]]
        whole = (
            set(record["logs"]) == set(LOGS) and min(numbers) >= 0 and set(_stops(record)) <= set(range(len(members)))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RelookError(f"expected a whole record in a checkpoint; found it damaged: {error!r}") from error
    if not whole:
        raise RelookError(f"expected a whole record in a checkpoint; found {record['logs']}, {record['stopped']}")
    for name, size in record["logs"].items():
        path = work.directory / name
        found = path.stat().st_size if path.exists() else 0
        if found < size:
            raise RelookError(f"expected {path} to have {size} bytes, as at its checkpoint; found {found}")
    segments.check(work.directory / REPLAY, segments.recorded(record))


def _stops(record: Mapping[str, Any]) -> dict[int, Stop]:
    """The agents that had stopped at a checkpoint, by position."""
    return {int(a): Stop(stop["status"], stop["reason"], dict(stop["where"])) for a, stop in record["stopped"].items()}


class Unit:
    """The record of one unit of work, open while it trains.

    `metrics.jsonl`, `episodes.jsonl` with `actions.bin`, `evaluations.jsonl` and `events.jsonl` are reproducible to
    the byte; what depends on the clock stands apart, in `timing.jsonl`.

    If the unit has been trained before, and was not finished, it goes on from its newest checkpoint that is whole: what
    was written after it is cut off, and comes again, the same to the byte.
    """

    def __init__(self, work: Work, metrics: Mapping[str, Metric]) -> None:
        self.work = work
        self.agents: Agents = work.agents
        self._positions = work.positions
        self._declared = {**COMMON, **metrics}
        self._stages: dict[str, float] = defaultdict(float)
        self._iteration = 0
        self._iterations = 0
        self._done = 0
        self._steps_each = 0
        self._evaluated = 0
        self._told: set[int] = set()
        self._interrupted = False
        self._kept: dict[str, Keeps] = {}
        self._replay: Experience | None = None
        self._segments: list[Segment] = []
        self._q_bias: list[float | None] = [None] * len(work.agents)
        self._value_scale: NDArray[np.floating] = np.ones(len(work.agents))

    def __enter__(self) -> Self:
        single_threaded()
        keep_freed_memory()
        directory = self.work.directory
        self._lock = lock(directory)
        self._point, self._passed_over = settle(self.work)
        self._metrics, self._timing, self._episodes, self._evaluations, self._events = (
            LineWriter(directory / f"{name}.jsonl")
            for name in ("metrics", "timing", "episodes", "evaluations", "events")
        )
        self._actions, self._training_values, self._evaluation_values = (
            no_link(directory / f"{name}.bin").open("ab")
            for name in ("actions", "training-values", "evaluation-values")
        )
        checked = [row for row in read_lines(directory / "events.jsonl") if row["event"] == "checked"]
        self._grades = {key: checked[-1][key] for key in ("numerics", "replay")} if checked else {}
        self._evaluation: Evaluation | None = None
        elapsed = 0.0 if self._point is None else self._point.record["elapsed"]
        self._began = time.perf_counter() - elapsed
        self._listen()
        return self

    def _listen(self) -> None:
        """From now on let the first Ctrl-C end training after the current iteration; the second does what it did."""
        self._before = signal.getsignal(signal.SIGINT)

        def end(number: int, frame: FrameType | None) -> None:
            self._interrupted = True
            signal.signal(signal.SIGINT, self._before)

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)
        for lines in (self._metrics, self._timing, self._episodes, self._evaluations, self._events):
            lines.close()
        for numbers in (self._actions, self._training_values, self._evaluation_values):
            numbers.close()
        if self._evaluation is not None:
            self._evaluation.envs.close()
        self._lock.close()

    def check(self, rehearse: Callable[[Agents], Tensor]) -> None:
        """Record what this run can promise: agents independent bit for bit, and episodes that replay exactly.

        `rehearse` is the algorithm's own; see `relook.population.agents_are_independent`.
        """
        independent = agents_are_independent(self.agents, rehearse)
        replays = replays_exactly(self.work.environment, self.agents[0].seed)
        self._grade("exact" if independent else "statistical", "exact" if replays else "episode")

    def _grade(self, numerics: str, replay: str) -> None:
        """Record what the run can promise from here on; nothing that it has lost comes back."""
        before = self._grades
        if before:
            numerics = numerics if before["numerics"] == "exact" else before["numerics"]
            replay = replay if before["replay"] == "exact" else before["replay"]
        self._grades = {"numerics": numerics, "replay": replay}
        if self._grades != before:
            self._events.write([{"event": "checked", **self._grades}])

    def start(
        self,
        actor_critic: ActsAndKeeps,
        environments: Environments | None = None,
        replay: Experience | None = None,
        **others: Keeps,
    ) -> None:
        """Say what the unit evaluates and what survives a power cut: be where the checkpoint was, if there is one.

        `actor_critic` is what is evaluated, and whose parameters are kept at the end; `environments` are those that it
        learns in, `replay` what it learns from. Without a checkpoint the first evaluation comes here, before the first
        step.
        """
        self._actor_critic, self._environments, self._replay = actor_critic, environments, replay
        self._kept = {"actor_critic": actor_critic, **others}
        if self.work.evaluate_episodes:
            modes = (True, False) if actor_critic.stochastic else (True,)
            episodes = self.work.evaluate_episodes
            self._evaluation = Evaluation(self.work.environment, self.agents, episodes, modes=modes)
        networks = {"event": "networks", "kind": type(actor_critic).__name__, "settings": actor_critic.settings}
        if self._point is None or plain(networks) not in read_lines(self.work.directory / "events.jsonl"):
            self._events.write([networks])
        if self._point is None:
            self._evaluate(steps=0)
        else:
            self._go_on(self._point)
        if self._point is not None or self._passed_over:
            steps = 0 if self._point is None else self._point.steps
            self._events.write([{"event": "resumed", "steps": steps, "passed_over": self._passed_over}])
        gc.collect()
        gc.freeze()  # what is there now stays: looking through it for garbage again and again takes time

    def _go_on(self, point: Checkpoint) -> None:
        """Be where a checkpoint was taken."""
        record = point.record
        self._done, self._evaluated, self._told = record["iteration"], record["evaluated"], set(record["told"])
        self.agents.stopped.clear()
        for a, stop in _stops(record).items():
            self.agents.stop(a, stop)
        for name, keeps in self._kept.items():
            keeps.load(_under(name, point.tensors))
        self._q_bias = record["q_bias"]
        if self._replay is not None:
            self._segments = segments.recorded(record)
            segments.read(self.work.directory / REPLAY, self._segments, self._put_back)
        if self._environments is not None:
            exact = self._grades["replay"] == "exact"
            given_up = self._environments.load(_under("environments", point.tensors), replay=exact)
            if given_up:
                self._events.write([{"event": "episodes given up", "steps": point.steps, "environments": given_up}])
                self._grade(self._grades["numerics"], "episode")

    def _put_back(self, first: int, stored: Mapping[str, Tensor]) -> None:
        """Give the replay what a segment holds, which may be older than the pruning of some agents."""
        assert self._replay is not None
        count, pruned = len(self.work.everyone), len(self._positions) < len(self.work.everyone)
        own = {k: rows_of(x, count, self._positions) for k, x in stored.items()} if pruned else stored
        self._replay.put_back(first, own)

    def _save(self) -> None:
        """Write a checkpoint of what has been done so far."""
        steps = self._done * self._steps_each
        tensors = {f"{name}/{k}": tensor for name, keeps in self._kept.items() for k, tensor in keeps.state().items()}
        if self._environments is not None:
            tensors |= {f"environments/{name}": tensor for name, tensor in self._environments.state().items()}
        for file in (self._metrics, self._timing, self._episodes, self._evaluations, self._events):
            file.sync()
        for numbers in (self._actions, self._training_values, self._evaluation_values):
            os.fsync(numbers.fileno())
        directory = self.work.directory
        record = {
            "agents": [[agent.index, agent.seed] for agent in self.agents],
            "iteration": self._done,
            "evaluated": self._evaluated,
            "told": sorted(self._told),
            "q_bias": self._q_bias,
            "stopped": {str(a): asdict(stop) for a, stop in self.agents.stopped.items()},
            "logs": {name: (directory / name).stat().st_size for name in LOGS},
            "elapsed": time.perf_counter() - self._began,
        }
        try:
            record[REPLAY] = segments.as_record(self._save_replay())
            checkpoints.write(directory / CHECKPOINTS, Checkpoint(steps, tensors, record))
        except OSError as error:
            whole = next(iter(checkpoints.steps_of(directory / CHECKPOINTS)), None)
            before = "there is none before it" if whole is None else f"the one at step {whole:,} is whole"
            raise RelookError(
                f"cannot write the checkpoint of step {steps:,} into {directory}: {error.strerror}; {before}: make "
                f"room, and relook resume goes on from there"
            ) from error
        checkpoints.prune(directory / CHECKPOINTS, self._milestones())
        if self._replay is not None:
            needed = [segments.recorded(kept) for kept in checkpoints.records(directory / CHECKPOINTS)]
            segments.prune(directory / REPLAY, chain.from_iterable(needed))

    def _save_replay(self) -> list[Segment]:
        """Write what is new in the replay; returns the segments that hold all of it."""
        if self._replay is None:
            return []
        oldest, last = self._replay.oldest, self._replay.steps
        first = max(oldest, self._segments[-1].last if self._segments else 0)
        each = max(1, segments.BYTES // self._replay.step_bytes)
        for begin in range(first, last, each):
            end = min(begin + each, last)
            new = self._replay.written_between(begin, end)
            self._segments.append(segments.write(self.work.directory / REPLAY, begin, end, new))
        self._segments = [segment for segment in self._segments if segment.last > oldest]
        return self._segments

    def iterations(self, steps_each: int) -> Iterator[int]:
        """Count the whole iterations of `steps_each` environment steps per agent that fit into the steps asked for."""
        self._steps_each = steps_each
        self._iterations = whole_iterations(self.work.steps, steps_each)
        for iteration in range(self._done, self._iterations):
            paused = self.work.until is not None and iteration * steps_each >= self.work.until
            if self._interrupted or paused or not self.agents.alive.any():
                break
            self._iteration = iteration
            yield iteration
        self._finish()

    @property
    def progress(self) -> float:
        """Share of the training that lies behind the current iteration: 0 in the first."""
        return self._iteration / self._iterations

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage's share of this iteration."""
        began = time.perf_counter()
        yield
        self._stages[name] += time.perf_counter() - began

    def record(
        self,
        diagnostics: Mapping[str, Tensor],
        episodes: Sequence[Episode],
        value: Float[Tensor, "A T N"] | None = None,
        value_scale: Float[Tensor, " A"] | None = None,
    ) -> None:
        """Write one iteration: a value of each declared metric for each agent, and the episodes that ended.

        A metric that is not among the diagnostics, because nothing was learned yet, is null; `updates` is one. `value`
        are the estimates V(s) of the observations that were acted on, if the algorithm makes any, as they were then or
        at the end of the iteration; `value_scale` times them is in units of raw reward.

        An agent whose metrics are not finite where they must be has diverged, and stops. Evaluates too, when the
        iteration completes a tenth of training.
        """
        undeclared = sorted(set(diagnostics) - set(self._declared))
        if undeclared:
            raise ValueError(f"metrics {', '.join(undeclared)} are logged but not declared in METRICS")
        steps = (self._iteration + 1) * self._steps_each
        with self.stage("record"):
            self._value_scale = np.ones(len(self.agents)) if value_scale is None else value_scale.numpy()
            if value is not None:
                self._write_values(self._training_values, value.transpose(0, 1).numpy())
            count = None if value is None else value.shape[2]
            self._record_episodes(episodes, steps, count, kind="training", deterministic=False)
            columns = {name: values.tolist() for name, values in diagnostics.items()}
            rows = []
            for a, agent in enumerate(self.agents):
                measured = {name: column[a] for name, column in columns.items()}
                if "q_bias" in self._declared:
                    measured["q_bias"] = self._q_bias[a]
                odd = [name for name, x in columns.items() if not (isfinite(x[a]) or self._declared[name].optional)]
                if odd:
                    self.agents.stop(a, Stop("diverged", f"its {odd[0]} became {measured[odd[0]]}"))
                if a in self.agents.stopped:
                    continue
                ended = [episode for episode in episodes if episode.agent == a]
                common = {
                    "episode_return": float(np.mean([e.ret for e in ended])) if ended else None,
                    "episode_length": float(np.mean([e.length for e in ended])) if ended else None,
                    "episodes": len(ended),
                    "updates": 1,
                }
                where = {"agent": agent.index, "iteration": self._iteration, "steps": steps}
                rows.append({**where, **dict.fromkeys(self._declared), **common, **measured})
            self._metrics.write(rows)
            self._tell_stops(steps - self._steps_each)
        self._done = done = self._iteration + 1
        # Tenths of training, rounded to whole iterations; with fewer than ten iterations, after each of them.
        if done * EVALUATIONS // self._iterations > (done - 1) * EVALUATIONS // self._iterations:
            self._evaluate(steps)
        self._timing.write(
            [
                {
                    "iteration": self._iteration,
                    "steps": steps,
                    "elapsed": time.perf_counter() - self._began,
                    "peak_mebibytes": _peak_memory(),
                    **self._stages,
                }
            ]
        )
        self._stages.clear()
        every, before = self.work.checkpoint_every, steps - self._steps_each
        if done < self._iterations and ((every and steps // every > before // every) or steps in self._milestones()):
            with self.stage("checkpoint"):
                self._save()

    def _milestones(self) -> frozenset[int]:
        """The steps of the last whole iteration at each milestone."""
        return frozenset(steps - steps % self._steps_each for steps in self.work.milestones)

    def _tell_stops(self, steps: int) -> None:
        """Write down which agents have stopped since it was last done; `steps` are those of their whole iterations."""
        new = {a: stop for a, stop in self.agents.stopped.items() if a not in self._told}
        for a, stop in new.items():
            event = {"event": "stopped", "agent": self.agents[a].index, "status": stop.status, "reason": stop.reason}
            self._events.write([{**event, "steps": steps, **stop.where}])
        self._told |= set(new)

    def _evaluate(self, steps: int) -> None:
        if self._evaluation is None:
            return
        with self.stage("evaluate"):
            rows = []
            base = self._evaluation_values.tell()
            played = self._evaluation(self._actor_critic, self._evaluated, self._actor_critic.value)
            values = self._evaluation.values
            self._write_values(self._evaluation_values, values)
            if "q_bias" in self._declared:
                bias = self._evaluation.bias(self.agents.hyperparameter("discount")).tolist()
                self._q_bias = [x if isfinite(x) else None for x in bias]
            for deterministic, episodes in played:
                self._record_episodes(
                    episodes, steps, values.shape[2], base, kind="evaluation", deterministic=deterministic
                )
                for a, agent in enumerate(self.agents):
                    if a in self.agents.stopped:  # before or during this evaluation: the last whole one counts
                        continue
                    own = [episode for episode in episodes if episode.agent == a]
                    returns = [episode.ret for episode in own]
                    rows.append(
                        {
                            "agent": agent.index,
                            "evaluation": self._evaluated,
                            "steps": steps,
                            "deterministic": deterministic,
                            "mean_return": float(np.mean(returns)),
                            "mean_length": float(np.mean([episode.length for episode in own])),
                            **({"q_bias": self._q_bias[a]} if deterministic and "q_bias" in self._declared else {}),
                            "returns": returns,
                        }
                    )
            self._evaluations.write(rows)
            self._tell_stops(steps)
        self._evaluated += 1

    def _record_episodes(
        self,
        episodes: Sequence[Episode],
        steps: int,
        values: int | None,
        base: int = 0,
        *,
        kind: str,
        deterministic: bool,
    ) -> None:
        """`values`: the environments of each agent of which there are value estimates, from the byte `base` on."""
        rows = []
        for episode in episodes:
            offset, actions = self._write_actions(episode)
            rows.append(
                {
                    "agent": self.agents[episode.agent].index,
                    "kind": kind,
                    "deterministic": deterministic,
                    "evaluation": self._evaluated if kind == "evaluation" else None,
                    "environment": episode.environment,
                    "episode": episode.episode,
                    "reset_seed": episode.reset_seed,
                    "steps": steps,
                    "length": episode.length,
                    "return": episode.ret,
                    "ending": episode.ending,
                    "digest": episode.digest,
                    "actions": {
                        "offset": offset,
                        "dtype": actions.dtype.str,
                        "shape": list(actions.shape),
                        "as": episode.actions.dtype.str,
                    },
                    "values": None if values is None else self._place(episode, values, base),
                }
            )
        self._actions.flush()
        self._episodes.write(rows)

    def _write_actions(self, episode: Episode) -> tuple[int, NDArray[Any]]:
        """Append an episode's actions; returns the byte at which they begin, and how they are stored."""
        offset, actions = self._actions.tell(), stored_actions(episode.actions)
        self._actions.write(actions.tobytes())
        return offset, actions

    def _write_values(self, file: IO[bytes], values: NDArray[np.float32]) -> None:
        """Append value estimates [step, A, N] in units of raw reward, with a row for everyone it began with."""
        rows = np.zeros((len(values), len(self.work.everyone), values.shape[2]), dtype="<f4")
        rows[:, self._positions] = values * self._value_scale[:, None]
        file.write(rows.tobytes())
        file.flush()

    def _place(self, episode: Episode, environments: int, base: int) -> dict[str, int]:
        """Where an episode's value estimates lie in a file of float32 [step, A, N]: the first, and how far apart."""
        agents = len(self.work.everyone)
        first = (episode.began * agents + self._positions[episode.agent]) * environments + episode.environment
        return {"offset": base + 4 * first, "stride": 4 * agents * environments}

    def _finish(self) -> None:
        self._save()
        parameters = self._actor_critic.state()
        # An interrupt that came too late to leave anything out does not count.
        end, steps = "finished", self._done * self._steps_each
        if self._interrupted and self._done < self._iterations:
            end = "interrupted"
        elif self.work.until is not None:
            end = "paused"
        digests = {
            str(agent.index): parameters_sha256({name: x.numpy() for name, x in parameters.items()}, a)
            for a, agent in enumerate(self.agents)
        }
        write_whole(self.work.directory / PARAMETERS, save(parameters, metadata={"sha256": json.dumps(digests)}))
        self._events.write([{"event": end, "steps": steps}])
        self._events.sync()


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors `name/…`, without that part of their names."""
    return {key[len(name) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}


def _peak_memory() -> float | None:
    """The most memory that this process has held so far; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def whole_iterations(steps: int, steps_each: int) -> int:
    """How many iterations fit into `steps`. Raises `WrongRequest` if not one does."""
    if steps < steps_each:
        raise WrongRequest(
            f"expected at least {steps_each} steps, one iteration; found {steps}; ask for "
            f"more steps or shorter iterations"
        )
    return steps // steps_each


def stored_actions(actions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Actions as they are stored: little-endian, integers in the smallest type that holds them all."""
    if np.issubdtype(actions.dtype, np.integer):
        lowest, highest = actions.min(initial=0), actions.max(initial=0)
        smallest = np.promote_types(np.min_scalar_type(lowest), np.min_scalar_type(highest))
        return actions.astype(smallest.newbyteorder("<"))
    return actions.astype(actions.dtype.newbyteorder("<"))
