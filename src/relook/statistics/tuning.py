"""What a search for hyper-parameters tried, and what is left of it on seeds that took no part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from relook.errors import RelookError, WrongRequest
from relook.runs.files import plain, read_json
from relook.runs.reading import GRID, Run
from relook.runs.tidy import figure, task_name
from relook.statistics import reports
from relook.statistics.aggregates import Array, Estimate, Scores, around
from relook.statistics.reports import Table, number, with_interval
from relook.statistics.scores import FAILED, of_run, score
from relook.statistics.significance import mean_difference

KIND = "search"
FINAL = "final"
"""The directory of the run in which the best trials are trained on further tuning seeds."""
START, RANDOM, TPE = "start", "random", "TPE"
"""Where a trial's setting comes from."""
TUNED, DEFAULT = "tuned", "default"
"""Arms of a confirmation, beside `START`: the best of all trials, and the algorithm as it is."""
SHOWN = 8
"""The best trials in the table."""
EDGE = 0.05
"""So near to the end of a range, as a share of it, is at its edge."""


@dataclass(frozen=True, eq=False)
class Tried:
    """One seed of a trial."""

    returns: Array
    """Of its deterministic evaluations, the first of which was before the first step."""
    made: int
    """Steps that it has made."""
    failed: bool


@dataclass(frozen=True, eq=False)
class Trial:
    """A setting that a search has tried."""

    number: int
    sampler: str
    values: Mapping[str, Any]
    """Of the hyper-parameters that are searched over."""
    seeds: Sequence[Tried]
    pruned: bool
    waits: bool
    """Whether its seeds wait for the decision who goes on."""

    @property
    def failed(self) -> int:
        """Seeds that crashed or diverged."""
        return sum(seed.failed for seed in self.seeds)

    def curve(self, worst: float) -> Array:
        """Mean over its seeds of each evaluation; a seed that failed has the worst score from then on."""
        length = max(1, *(len(seed.returns) for seed in self.seeds))
        rows = np.full((len(self.seeds), length), worst)
        for row, seed in zip(rows, self.seeds, strict=True):
            own = seed.returns[: length - 1] if seed.failed else seed.returns
            row[: len(own)] = own
        return np.asarray(rows.mean(0))

    def score(self, worst: float) -> float:
        """Mean over its seeds of the last evaluation, which is not the best one."""
        return float(self.curve(worst)[-1])


def batches(path: Path) -> list[Run]:
    """The runs in which a search has tried its settings so far."""
    return [Run(record.parent) for record in sorted(path.glob("trials-*/run.json"))]


def final(path: Path) -> Run | None:
    """The run in which the best trials were trained on further seeds; None if there is none."""
    return Run(path / FINAL) if (path / FINAL / "run.json").is_file() else None


def confirmations(path: Path) -> list[Run]:
    """The runs on fresh seeds, the newest last."""
    found = [Run(record.parent) for record in path.glob("confirmed*/run.json")]
    return sorted(found, key=lambda run: max(agent.seed for agent in run.agents))


def trials(runs: Sequence[Run], names: Sequence[str]) -> list[Trial]:
    """What these runs have tried, in order, with the values of some hyper-parameters.

    Raises `RelookError` for runs that are no search's.
    """
    found: list[Trial] = []
    for run in runs:
        try:
            found += _trials(run, names)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RelookError(f"expected trials of a search in {run.path}; found it damaged: {error!r}") from error
    return sorted(found, key=lambda trial: trial.number)


def _trials(run: Run, names: Sequence[str]) -> Iterator[Trial]:
    returns: dict[int, Array] = {}
    if not (frame := run.evaluations).is_empty():
        frame = frame.filter("deterministic").sort("agent", "steps")
        for (agent,), rows in frame.group_by("agent", maintain_order=True):
            returns[int(agent)] = rows["mean_return"].to_numpy().astype(np.float64)
    seeds = {
        row["agent"]: Tried(returns.get(row["agent"], np.zeros(0)), int(row["steps"]), row["status"] in FAILED)
        for row in run.agent_summaries
    }
    paused = {unit for unit in run.units if "pause" in run.record and "paused" in run.unit_events(unit)}
    for arm, sampler in run.record["study"]["samplers"].items():
        own = [agent for agent in run.agents if agent.arm == arm]
        yield Trial(
            int(arm.removeprefix("trial ")),
            str(sampler),
            {name: own[0].hyperparameters[name] for name in names},
            [seeds[agent.agent] for agent in own],
            pruned=all(agent.pruned is not None for agent in own),
            waits=all(agent.unit in paused for agent in own),
        )


def worst_score(tried: Sequence[Trial], declared: float | None) -> float:
    """What a failed seed scores: what was declared, or the worst evaluation of all trials.

    Raises `RelookError` if there is none at all.
    """
    if declared is not None:
        return declared
    seen = [float(seed.returns.min()) for trial in tried for seed in trial.seeds if len(seed.returns)]
    if not seen:
        raise RelookError(
            "expected at least one evaluation among the trials; every one failed before its first: "
            "relook show tells of what"
        )
    return min(seen)


def ranked(tried: Sequence[Trial], worst: float) -> list[Trial]:
    """The trials that were trained to the end, the best first."""
    return sorted((trial for trial in tried if not trial.pruned), key=lambda trial: -trial.score(worst))


@dataclass(frozen=True)
class Arm:
    """A setting on fresh seeds."""

    name: str
    hyperparameters: Mapping[str, Any]
    scores: Array
    """Of each seed."""
    failed: int

    @property
    def mean(self) -> Estimate:
        """With Student's interval over seeds."""
        n = len(self.scores)
        if n < 2:
            return Estimate(float(self.scores.mean()), math.nan, math.nan)
        return around(float(self.scores.mean()), float(self.scores.std(ddof=1)) / math.sqrt(n), n - 1, 0.95)


@dataclass(frozen=True)
class Tuned:
    """A search that has ended, and its newest confirmation."""

    path: Path
    record: Mapping[str, Any]
    """What was asked for."""
    task: str
    trials: Sequence[Trial]
    finalists: Sequence[Trial]
    """The best of them, on further seeds, by which one was chosen; none if the best one was chosen as it was."""
    worst: float
    """What failed seeds score."""
    arms: Mapping[str, Arm]
    confirmed: Run
    seconds: float
    """Of all units of work, added up."""
    steps: tuple[int, int]
    """Of all agents in all trials and the final, and how many more they would have made without pruning."""

    @property
    def space(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.record["space"])

    @cached_property
    def ranked(self) -> list[Trial]:
        """The trials that were trained to the end, the best first."""
        return ranked(self.trials, self.worst)

    @cached_property
    def chosen(self) -> Trial:
        """The best trial, as it did on the seeds by which it was chosen: of the final, if there was one."""
        return ranked(self.finalists or self.trials, self.worst)[0]

    @property
    def optimism(self) -> float:
        """By how much the chosen setting's score on the seeds that chose it lies above its mean on fresh seeds."""
        return self.chosen.score(self.worst) - self.arms[TUNED].mean.value

    def gain(self, other: str) -> Estimate:
        """Tuned - another arm, with Welch's 95 % interval."""
        first, second = (Scores([self.arms[name].scores]) for name in (TUNED, other))
        return mean_difference(first, second)

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The hyper-parameters whose tuned value lies at an end of its range beyond which there is more, and which."""
        return [
            (name, side)
            for name, dimension in self.space.items()
            if (side := _edge(dimension, self.chosen.values[name])) is not None
        ]


def judge(path: Path) -> Tuned:
    """What came of the search in a directory. Raises `RelookError` for one that is damaged or has not ended."""
    record = record_of(path)
    runs, last, confirmed = batches(path), final(path), confirmations(path)
    names = [*record["space"]]
    tried, finalists = trials(runs, names), trials([] if last is None else [last], names)
    if not confirmed or len(tried) < int(record["trials"]):
        raise RelookError(f"expected a search that has ended; {path} goes on with: relook tune {path}")
    declared = record["failed_score"]
    arms: dict[str, list[tuple[float, bool, Mapping[str, Any]]]] = {}
    for agent, training in zip(confirmed[-1].agents, of_run(confirmed[-1]), strict=True):
        own = score(training, failed=declared), training.failed, agent.hyperparameters
        arms.setdefault(str(agent.arm), []).append(own)
    if TUNED not in arms:
        raise RelookError(f"expected the tuned setting in {confirmed[-1].path}; found {', '.join(arms)}")
    made = sum(seed.made for trial in [*tried, *finalists] for seed in trial.seeds)
    spared = sum(int(record["steps"]) - seed.made for trial in tried if trial.pruned for seed in trial.seeds)
    return Tuned(
        path,
        record,
        task_name(confirmed[-1]),
        tried,
        finalists,
        worst_score([*tried, *finalists], declared),
        {
            name: Arm(name, rows[0][2], np.array([row[0] for row in rows]), sum(row[1] for row in rows))
            for name, rows in arms.items()
        },
        confirmed[-1],
        sum(_seconds(run) for run in [*runs, *([last] if last else []), *confirmed]),
        (made, spared),
    )


def record_of(path: Path) -> dict[str, Any]:
    """The record of a search. Raises `WrongRequest` for a directory that is none, `RelookError` for a damaged one."""
    if not (path / GRID).is_file():
        raise WrongRequest(f"expected the directory of a search; found no {GRID} in {path}")
    record = read_json(path / GRID)
    if record.get("kind") != KIND:
        raise WrongRequest(f"expected the directory of a search; found a {record.get('kind')} in {path}")
    return record


def _seconds(run: Run) -> float:
    timing = run.timing
    return 0.0 if timing.is_empty() else float(timing.group_by("unit").agg(pl.col("elapsed").max())["elapsed"].sum())


def _edge(dimension: Mapping[str, Any], value: Any) -> Literal["lower", "upper"] | None:
    """The end of a range, or of an ascending list of numbers, that a value lies at, if there is more beyond it."""
    below, above = dimension["beyond"]
    if "choices" in dimension:
        choices = dimension["choices"]
        if len(choices) < 3 or choices != sorted(choices):
            return None
        low, high = value == choices[0], value == choices[-1]
    else:
        ends = [dimension["low"], value, dimension["high"]]
        first, here, last = map(math.log, ends) if dimension["log"] else ends
        share = (here - first) / (last - first)
        low, high = share <= EDGE, share >= 1 - EDGE
    return "lower" if low and below else "upper" if high and above else None


# What is said of it


def heading(found: Tuned) -> list[str]:
    """What was tried and at what cost, and what came of it."""
    record, seeds = found.record, found.trials[0].seeds
    counts = {
        "pruned": sum(trial.pruned for trial in found.trials),
        "with a seed that failed": sum(trial.failed > 0 for trial in found.trials),
    }
    said = "".join(f", {count} {what}" for what, count in counts.items() if count)
    made, spared = found.steps
    first = int(record["first_seed"])
    lines = [
        f"{record['algorithm']} on {found.task}: {len(found.trials)} trials{said}; {len(seeds)} tuning seeds each, "
        f"{first} … {first + len(seeds) - 1}, {record['steps']:,} steps",
        f"cost: {made:,} steps of all agents in the search, {found.seconds:,.0f} seconds of work in all"
        + (f"; pruning spared {spared / (made + spared):.0%} of the steps" if spared else ""),
        "score: return of the last evaluation, mean of its deterministic episodes and of the seeds",
    ]
    if counts["with a seed that failed"]:
        which = "as declared" if record["failed_score"] is not None else "the worst that was seen"
        lines.append(f"note: a seed that failed scores {number(found.worst)}, {which}")
    return [*lines, *verdicts(found)]


def verdicts(found: Tuned) -> list[str]:
    """The sentences that the search was made for."""
    tuned, best = found.arms[TUNED], found.chosen
    lines = [
        f"optimism: the chosen trial, number {best.number}, scored {number(best.score(found.worst))} on the "
        f"{len(best.seeds)} seeds that chose it and {with_interval(tuned.mean)} on {len(tuned.scores)} fresh ones: a "
        f"gap of {number(found.optimism)}"
    ]
    for other in (DEFAULT, START):
        if other in found.arms:
            lines.append(_verdict(f"the {other}", found.gain(other)))
        elif other == START and best.sampler == START:
            lines.append("note: the search chose what it started from")
    if DEFAULT not in found.arms:
        lines.append("note: the tuned setting is the default one")
    for name, side in found.edges:
        lines.append(
            f"note: {name} {figure(best.values[name])} lies at the {side} edge of its range: the optimum may lie "
            f"beyond; widen it"
        )
    return lines


def _verdict(other: str, gain: Estimate) -> str:
    interval = f"the 95 % interval of the difference, {number(gain.low)} … {number(gain.high)},"
    if math.isnan(gain.low):
        return f"tuned − {other}: {number(gain.value)}; one seed has no interval"
    if gain.low > 0:
        return f"tuned beats {other} by {number(gain.value)}: {interval} excludes zero"
    if gain.high < 0:
        return f"tuned is worse than {other} by {number(-gain.value)}: {interval} excludes zero"
    return (
        f"whether tuned beats {other} is undecided: {interval} includes zero; confirm with more seeds, or search longer"
    )


def said(values: Mapping[str, Any]) -> str:
    """A setting in a line."""
    return ", ".join(f"{name}={figure(value)}" for name, value in values.items())


def tables(found: Tuned) -> Iterator[Table]:
    """The best trials, what each sampler found, the settings that were confirmed, and how they did."""
    best = found.ranked[:SHOWN]
    yield Table(
        "The best trials, and where the search started",
        ["trial", "sampler", "score", "worst seed", "setting"],
        [_row(found, trial) for trial in [*best, *([found.trials[0]] if found.trials[0] not in best else [])]],
        "on the seeds that chose them, where the best of many scores too high",
    )
    if found.finalists:
        yield Table(
            f"The final: the best trials on {len(found.chosen.seeds)} further tuning seeds",
            ["trial", "score before", "score", "worst seed"],
            [_finalist(found, trial) for trial in ranked(found.finalists, found.worst)],
            "the first is chosen",
        )
    yield Table(
        "What each sampler found",
        ["sampler", "trials", "best", "median", "pruned", "failed seeds"],
        [_sampled(found, sampler) for sampler in (START, RANDOM, TPE)],
        "trials that were pruned count in no score",
    )
    arms = [found.arms[name] for name in (TUNED, DEFAULT, START) if name in found.arms]
    first = arms[0].hyperparameters
    names = [k for k in first if k in found.space or len({str(arm.hyperparameters[k]) for arm in arms}) > 1]
    yield Table(
        "What was confirmed",
        ["hyper-parameter", "searched", *(arm.name for arm in arms)],
        [[name, _searched(found, name), *(figure(arm.hyperparameters[name]) for arm in arms)] for name in names],
    )
    yield Table(
        f"On fresh seeds ({found.confirmed.path.name})",
        ["arm", "seeds", "mean [95 %]", "worst seed", "failed", "tuned − it [95 %]"],
        [
            [
                arm.name,
                str(len(arm.scores)),
                with_interval(arm.mean),
                number(float(arm.scores.min())),
                str(arm.failed or ""),
                "" if arm.name == TUNED else with_interval(found.gain(arm.name)),
            ]
            for arm in arms
        ],
        "each interval by itself, Student's and Welch's",
    )


def _row(found: Tuned, trial: Trial) -> list[str]:
    return [str(trial.number), trial.sampler, *_scores(trial, found.worst), said(trial.values)]


def _finalist(found: Tuned, trial: Trial) -> list[str]:
    before = next(other for other in found.trials if other.number == trial.number)
    return [str(trial.number), number(before.score(found.worst)), *_scores(trial, found.worst)]


def _scores(trial: Trial, worst: float) -> list[str]:
    """Of all its seeds and of the worst one."""
    ends = [worst if seed.failed else float(seed.returns[-1]) for seed in trial.seeds]
    return [number(trial.score(worst)), number(min(ends))]


def _searched(found: Tuned, name: str) -> str:
    """What a hyper-parameter could be."""
    dimension = found.space.get(name)
    if dimension is None:
        return ""
    if "choices" in dimension:
        return " or ".join(figure(value) for value in dimension["choices"])
    return f"{figure(dimension['low'])} … {figure(dimension['high'])}{' (log)' if dimension['log'] else ''}"


def _sampled(found: Tuned, sampler: str) -> list[str]:
    own = [trial for trial in found.trials if trial.sampler == sampler]
    scores = [trial.score(found.worst) for trial in own if not trial.pruned]
    return [
        sampler,
        str(len(own)),
        number(max(scores)) if scores else "–",
        number(float(np.median(scores))) if scores else "–",
        str(sum(trial.pruned for trial in own) or ""),
        str(sum(trial.failed for trial in own) or ""),
    ]


def markdown(found: Tuned) -> str:
    """The whole report."""
    return reports.markdown(heading(found), [*tables(found)], f"Tuning {found.record['algorithm']} on {found.task}")


def as_json(found: Tuned) -> dict[str, Any]:
    """Every figure, for programs."""
    made, spared = found.steps
    content = {
        "search": found.record,
        "task": found.task,
        "failed_seeds_score": found.worst,
        "trials": [_trial_json(trial, found.worst) for trial in found.trials],
        "final": [_trial_json(trial, found.worst) for trial in found.finalists],
        "chosen": found.chosen.number,
        "tuning_score": found.chosen.score(found.worst),
        "optimism": found.optimism,
        "confirmed": {
            name: {
                "hyperparameters": arm.hyperparameters,
                "scores": list(arm.scores),
                "failed": arm.failed,
                **_ends(arm.mean),
            }
            for name, arm in found.arms.items()
        },
        "gains": {other: _ends(found.gain(other)) for other in (DEFAULT, START) if other in found.arms},
        "edges": dict(found.edges),
        "steps": made,
        "steps_spared": spared,
        "seconds": found.seconds,
    }
    return dict(plain(content))


def _trial_json(trial: Trial, worst: float) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "sampler": trial.sampler,
        "values": trial.values,
        "score": trial.score(worst),
        "pruned": trial.pruned,
        "failed": trial.failed,
        "returns": [list(seed.returns) for seed in trial.seeds],
    }


def _ends(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
