"""What an algorithm writes while it trains one unit of work."""

import gc
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from relook.envs import Episode, replays_exactly
from relook.errors import WrongRequest
from relook.population import Agents, Stop, agents_are_independent, single_threaded
from relook.runs.evaluation import Acts, Evaluation
from relook.runs.files import LineWriter
from relook.runs.metrics import COMMON, Metric
from relook.runs.work import Work

PARAMETERS = "parameters.safetensors"

EVALUATIONS = 10
"""Evaluations after the first: one at every tenth of training."""


class Keeps(Acts, Protocol):
    """What a unit needs of an actor-critic: to act, and to be kept."""

    @property
    def settings(self) -> Mapping[str, Any]: ...
    def state(self) -> dict[str, Tensor]: ...


class Unit:
    """The record of one unit of work, open while it trains.

    `metrics.jsonl`, `episodes.jsonl` with `actions.bin`, `evaluations.jsonl` and `events.jsonl` are reproducible to
    the byte; what depends on the clock stands apart, in `timing.jsonl`.
    """

    def __init__(self, work: Work, metrics: Mapping[str, Metric]) -> None:
        self.work = work
        self.agents: Agents = work.agents
        self._declared = {**COMMON, **metrics}
        self._stages: dict[str, float] = defaultdict(float)
        self._iteration = 0
        self._iterations = 0
        self._done = 0
        self._steps_each = 0
        self._evaluated = 0
        self._told: set[int] = set()
        self._interrupted = False

    def __enter__(self) -> Self:
        single_threaded()
        directory = self.work.directory
        directory.mkdir(parents=True, exist_ok=True)
        self._metrics, self._timing, self._episodes, self._evaluations, self._events = (
            LineWriter(directory / f"{name}.jsonl")
            for name in ("metrics", "timing", "episodes", "evaluations", "events")
        )
        self._actions = (directory / "actions.bin").open("ab")
        self._evaluation: Evaluation | None = None
        self._began = time.perf_counter()
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
        for file in (self._metrics, self._timing, self._episodes, self._evaluations, self._events, self._actions):
            file.close()
        if self._evaluation is not None:
            self._evaluation.envs.close()

    def check(self, rehearse: Callable[[Agents], Tensor]) -> None:
        """Record what this run can promise: agents independent bit for bit, and episodes that replay exactly.

        `rehearse` is the algorithm's own; see `relook.population.agents_are_independent`.
        """
        independent = agents_are_independent(self.agents, rehearse)
        replays = replays_exactly(self.work.environment, self.agents[0].seed)
        grades = {"numerics": "exact" if independent else "statistical", "replay": "exact" if replays else "none"}
        self._events.write([{"event": "checked", **grades}])

    def start(self, actor_critic: Keeps) -> None:
        """Say whose parameters the unit keeps and evaluates, and evaluate them before the first step."""
        self._actor_critic = actor_critic
        self._events.write(
            [{"event": "networks", "kind": type(actor_critic).__name__, "settings": actor_critic.settings}]
        )
        if self.work.evaluate_episodes:
            self._evaluation = Evaluation(self.work.environment, self.agents, self.work.evaluate_episodes)
        self._evaluate(steps=0)
        gc.collect()
        gc.freeze()  # what is there now stays: looking through it for garbage again and again takes time

    def iterations(self, steps_each: int) -> Iterator[int]:
        """Count the whole iterations of `steps_each` environment steps per agent that fit into the steps asked for."""
        self._steps_each = steps_each
        self._iterations = whole_iterations(self.work.steps, steps_each)
        for iteration in range(self._iterations):
            if self._interrupted or not self.agents.alive.any():
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

    def record(self, diagnostics: Mapping[str, Tensor], episodes: Sequence[Episode]) -> None:
        """Write one iteration: a value of each declared metric for each agent, and the episodes that ended.

        An agent whose metrics are not finite where they must be has diverged, and stops. Evaluates too, when the
        iteration completes a tenth of training.
        """
        undeclared = sorted(set(diagnostics) - set(self._declared))
        if undeclared:
            raise ValueError(f"metrics {', '.join(undeclared)} are logged but not declared in METRICS")
        steps = (self._iteration + 1) * self._steps_each
        with self.stage("record"):
            self._record_episodes(episodes, steps, kind="training", deterministic=False)
            columns = {name: values.tolist() for name, values in diagnostics.items()}
            rows = []
            for a, agent in enumerate(self.agents):
                measured = {name: column[a] for name, column in columns.items()}
                odd = [name for name, x in measured.items() if not (isfinite(x) or self._declared[name].optional)]
                if odd:
                    self.agents.stop(a, Stop("diverged", f"its {odd[0]} became {measured[odd[0]]}"))
                if a in self.agents.stopped:
                    continue
                ended = [episode for episode in episodes if episode.agent == a]
                common = {
                    "episode_return": float(np.mean([e.ret for e in ended])) if ended else None,
                    "episode_length": float(np.mean([e.length for e in ended])) if ended else None,
                    "episodes": len(ended),
                }
                rows.append({"agent": agent.index, "iteration": self._iteration, "steps": steps, **common, **measured})
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
            for deterministic, episodes in self._evaluation(self._actor_critic, self._evaluated):
                self._record_episodes(episodes, steps, kind="evaluation", deterministic=deterministic)
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
                            "returns": returns,
                        }
                    )
            self._evaluations.write(rows)
            self._tell_stops(steps)
        self._evaluated += 1

    def _record_episodes(self, episodes: Sequence[Episode], steps: int, *, kind: str, deterministic: bool) -> None:
        rows = []
        for episode in episodes:
            offset = self._actions.tell()
            actions = stored_actions(episode.actions)
            self._actions.write(actions.tobytes())
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
                    "actions": {"offset": offset, "dtype": actions.dtype.str, "shape": list(actions.shape)},
                }
            )
        self._actions.flush()
        self._episodes.write(rows)

    def _finish(self) -> None:
        save_file(self._actor_critic.state(), self.work.directory / PARAMETERS)
        # An interrupt that came too late to leave anything out does not count.
        early = self._interrupted and self._done < self._iterations
        self._events.write([{"event": "interrupted" if early else "finished", "steps": self._done * self._steps_each}])


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
            f"expected at least {steps_each} steps, one iteration (horizon × environments); found {steps}; ask for "
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
