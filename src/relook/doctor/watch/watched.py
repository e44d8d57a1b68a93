"""What a check of a run is given: the records of one agent, as numbers."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relook.errors import RelookError
from relook.runs.files import number
from relook.runs.reading import AgentRecord, Run

Array = NDArray[np.float64]

LEAST = 5
"""Rows that a check wants before it calls anything sustained."""


class Missing(Exception):
    """Something that a check looks at is not there, so that it has nothing to say. Its message names the thing."""


@dataclass(frozen=True)
class Actions:
    """What is known of a run's actions."""

    sizes: tuple[int, ...]
    """How many choices each part of an action has; empty for continuous actions."""
    middle: Array
    half: Array
    """The middle and half the width of the range of each component [K] of a continuous action; not finite without
    bounds."""
    rescaled: bool
    """Whether the policy's own units are [-1, 1]."""

    @property
    def width(self) -> int:
        return len(self.sizes) or len(self.half)

    @property
    def bounded(self) -> bool:
        """Whether these are continuous actions, and all of their components have bounds."""
        return not self.sizes and bool(np.isfinite(self.half).all())

    def most_entropy(self) -> float:
        """Of a policy over choices, in nats. Raises `Missing` for continuous actions."""
        if not self.sizes:
            raise Missing("a discrete action space")
        return math.fsum(map(math.log, self.sizes))

    def to_policy(self, actions: NDArray[Any]) -> Array:
        """Continuous actions as the environment received them, [L, …], in units of half their range [L, K]."""
        return (actions.reshape(len(actions), -1).astype(np.float64) - self.middle) / self.half


@dataclass(frozen=True)
class Facts:
    """What a run's record says of all its agents."""

    path: str
    algorithm: str
    steps: int
    """Asked of each agent."""
    metrics: tuple[str, ...]
    """The declared names."""
    straight: bool
    """Whether it was trained from its beginning to the end that it had then: neither prolonged nor a branch."""
    time_limit: int | None
    seeds_each_reset: bool
    observation_size: int
    actions: Actions | None
    """None if the record does not say it in words that are understood."""

    @staticmethod
    def of(run: Run) -> "Facts":
        """Raises `RelookError` for a record that is damaged."""
        record, environment = run.record, run.record["environment"]
        try:
            limit = environment["max_episode_steps"] or environment["time_limit"]
            return Facts(
                str(run.path),
                run.algorithm,
                run.steps,
                tuple(str(name) for name in dict(record["metrics"])),
                not {"horizons", "ancestor", "pending", "pause"} & set(record),
                None if limit is None else int(limit),
                environment["reset_seed"] == "each",
                int(environment["observation_size"]),
                actions_of(
                    str(environment["action_kind"]),
                    str(environment["action_space"]),
                    rescaled=environment["rescale_actions"] is not False,
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RelookError(
                f"expected a complete record in {run.path / 'run.json'}; found it damaged: {error!r}"
            ) from error


def actions_of(kind: str, space: str, *, rescaled: bool) -> Actions | None:
    """Actions from the words that a run's record has for them, such as Box(-2.0, 2.0, (1,), float32).

    None for words that are not understood, which includes arrays too long to be written in full.
    """
    none = np.zeros(0)
    if choices := re.fullmatch(r"Choices\(sizes=\(([\d, ]+)\)\)", kind):
        sizes = tuple(int(part) for part in choices[1].split(",") if part.strip())
        return Actions(sizes, none, none, rescaled) if sizes and min(sizes) > 0 else None
    width = re.fullmatch(r"Continuous\(size=(\d+)\)", kind)
    bounds = re.fullmatch(r"Box\((\[[^\[\]]*\]|[^\[,]+), (\[[^\[\]]*\]|[^\[,]+), \([\d, ]*\), \w+\)", space, re.DOTALL)
    if width is None or bounds is None or int(width[1]) > len(space):  # every number takes a letter
        return None
    try:
        low, high = (np.array([float(word) for word in text.strip("[]").split()]) for text in bounds.groups())
        low, high = (np.broadcast_to(x, (int(width[1]),)) for x in (low, high))
    except ValueError:
        return None
    with np.errstate(invalid="ignore"):  # the middle of an infinite range
        return Actions((), (low + high) / 2, (high - low) / 2, rescaled)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of an agent in one mode."""

    evaluation: int
    steps: int
    deterministic: bool
    returns: Array
    mean_length: float


@dataclass(frozen=True)
class Played:
    """An episode as it was recorded."""

    training: bool
    deterministic: bool
    evaluation: int | None
    environment: int
    reset_seed: int | None
    steps: int
    length: int
    ret: float
    ending: str
    digest: str
    record: Mapping[str, Any]


@dataclass
class Watched:
    """One agent: what it was asked to be, and what its files hold so far."""

    run: Facts
    agent: AgentRecord
    iteration: NDArray[np.int64]
    steps: NDArray[np.int64]
    """Of the agent, at the end of each iteration [I]."""
    columns: Mapping[str, Array]
    """Each declared metric [I], NaN for null."""
    evaluations: Sequence[Evaluation] = ()
    episodes: Sequence[Played] = ()
    """In the order in which they ended; of a long training, those of its beginning and its end."""
    all_episodes: bool = True
    """Whether none of its episodes was left out."""
    stop: Mapping[str, Any] | None = None
    """Why it stopped while others went on."""
    actions_of: Callable[[Mapping[str, Any]], NDArray[Any]] | None = None
    values_of: Callable[[Mapping[str, Any]], NDArray[Any] | None] | None = None
    peers: Sequence["Watched"] = field(default=(), repr=False)
    """The other agents of its run that have the same setting."""

    def metric(self, name: str) -> Array:
        """A metric [I]. Raises `Missing` if it is not declared, or always null."""
        column = self.columns.get(name)
        if column is None:
            raise Missing(f"the metric {name}")
        if np.isnan(column).all():
            raise Missing(f"a value of {name}")
        return column

    def setting(self, name: str) -> float:
        """A numeric hyper-parameter. Raises `Missing` if there is none of this name."""
        value = self.agent.hyperparameters.get(name)
        if value is None:
            raise Missing(f"the hyper-parameter {name}")
        try:
            return number(value)
        except (TypeError, ValueError) as error:
            raise RelookError(f"expected a number as {name} in {self.run.path}; found {value!r}") from error

    def switch(self, name: str) -> bool:
        """Whether a hyper-parameter is there and on."""
        return self.agent.hyperparameters.get(name) is True

    @property
    def planned(self) -> int:
        """Iterations of the whole training. Raises `Missing` before the first."""
        if not len(self.steps):
            raise Missing("a finished iteration")
        return max(1, self.run.steps // self.steps_each)

    @property
    def steps_each(self) -> int:
        """Environment steps of an iteration. Raises `Missing` before the first."""
        if not len(self.steps):
            raise Missing("a finished iteration")
        return max(1, int(self.steps[0]) // (int(self.iteration[0]) + 1))

    @property
    def progress(self) -> float:
        """Share of the training that is done."""
        return (int(self.iteration[-1]) + 1) / self.planned if len(self.steps) else 0.0

    def last(self, share: float) -> slice:
        """The rows of the last `share` of the whole training. Raises `Missing` while there are not so many."""
        rows = max(LEAST, math.ceil(share * self.planned))
        if len(self.steps) < rows:
            raise Missing(f"{rows} iterations")
        return slice(len(self.steps) - rows, None)

    def training_returns(self) -> tuple[NDArray[np.int64], Array]:
        """Steps and mean return of the iterations in which training episodes ended. Raises `Missing` if few did."""
        returns = self.metric("episode_return")
        there = np.isfinite(returns)
        if there.sum() < LEAST:
            raise Missing("training episodes that ended")
        return self.steps[there], returns[there]

    def evaluated(self, *, deterministic: bool) -> list[Evaluation]:
        """The evaluations in one mode, in their order. Raises `Missing` if there are none."""
        found = [one for one in self.evaluations if one.deterministic == deterministic and len(one.returns)]
        if not found:
            raise Missing(f"{'deterministic' if deterministic else 'stochastic'} evaluations")
        return found

    def played(self, *, training: bool) -> list[Played]:
        """The episodes of training or of evaluation. Raises `Missing` if there are none."""
        found = [episode for episode in self.episodes if episode.training == training]
        if not found:
            raise Missing(f"{'training' if training else 'evaluation'} episodes")
        return found

    def known_actions(self) -> Actions:
        """Raises `Missing` if the record does not say what the actions are."""
        if self.run.actions is None:
            raise Missing("an action space that the record spells out")
        return self.run.actions

    def actions(self, episode: Played) -> NDArray[Any]:
        """What was done in an episode [length, …]. Raises `Missing` if nothing reads it."""
        if self.actions_of is None:
            raise Missing("recorded actions")
        return self.actions_of(episode.record)

    def values(self, episode: Played) -> Array:
        """V(s) of what was acted on in an episode [length]. Raises `Missing` if there are none."""
        found = None if self.values_of is None else self.values_of(episode.record)
        if found is None or not len(found):
            raise Missing("recorded value estimates")
        return found.astype(np.float64)

    def see(self, *names: str) -> str:
        """Where to see metrics."""
        return f"relook plot {self.run.path} --y {names[0]}; {' and '.join(names)} in {self.file('metrics')}"

    def file(self, name: str) -> str:
        """Where a file of records lies."""
        return f"{self.run.path}/units/{self.agent.unit}/{name}.jsonl"


def as_evaluation(row: Mapping[str, Any]) -> Evaluation:
    """A line of `evaluations.jsonl`. Raises KeyError, TypeError or ValueError for anything else."""
    returns = np.array([number(value) for value in row["returns"]], dtype=np.float64)
    return Evaluation(
        int(row["evaluation"]), int(row["steps"]), bool(row["deterministic"]), returns, number(row["mean_length"])
    )


def as_played(row: Mapping[str, Any]) -> Played:
    """A line of `episodes.jsonl`, with its `unit`. Raises KeyError, TypeError or ValueError for anything else."""
    evaluation, seed = row["evaluation"], row["reset_seed"]
    return Played(
        row["kind"] == "training",
        bool(row["deterministic"]),
        None if evaluation is None else int(evaluation),
        int(row["environment"]),
        None if seed is None else int(seed),
        int(row["steps"]),
        int(row["length"]),
        number(row["return"]),
        str(row["ending"]),
        str(row["digest"]),
        row,
    )


def finite(values: Iterable[float] | Array) -> Array:
    """Those that are numbers."""
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    return array[np.isfinite(array)]


def median_of(values: Array) -> float:
    """The median of those that are numbers. Raises `Missing` if none is."""
    numbers = finite(values)
    if not len(numbers):
        raise Missing("numbers")
    return float(np.median(numbers))
