"""A whole comparison: every figure of it, as data. How it is printed is the business of `reports`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from relook.errors import WrongRequest
from relook.statistics import significance
from relook.statistics.aggregates import AGGREGATES, RESAMPLES, Array, Estimate, Scores, estimate
from relook.statistics.curves import Reached
from relook.statistics.references import Reference
from relook.statistics.scores import Training, score
from relook.statistics.sequential import Path, Plan, cautious_deviation, look, seeds_for_power, seeds_for_precision
from relook.statistics.significance import FEW, FEWEST, Verdict


@dataclass(frozen=True)
class Rules:
    """What is declared before anybody looks at a figure."""

    score: Literal["final", "auc"] = "final"
    last: int = 1
    failed_score: float | None = None
    baseline: str | None = None
    delta: float | None = None
    alpha: float = 0.05
    test: Literal["welch", "mann-whitney"] = "welch"
    adjust: Literal["holm", "max-t"] = "holm"
    interval: Literal["corrected", "percentile"] = "corrected"
    paired: bool = False
    threshold: float = 1.0
    """Of the optimality gap."""
    reach: float | None = None
    """Score whose first reaching is timed."""
    resamples: int = RESAMPLES

    @property
    def level(self) -> float:
        """Of all intervals."""
        return 1 - self.alpha


@dataclass(frozen=True)
class Needed:
    """Seeds of each method that would answer the question, and what one costs."""

    power: int | None
    """To find a difference of δ four times in five; None above 100,000."""
    precision: int | None
    """For an interval of the difference that reaches δ to each side."""
    hours: float
    """Wall-clock hours that one more seed of both methods takes on all tasks; NaN if nobody measured."""


@dataclass(frozen=True)
class Difference:
    """One declared comparison, `first` against `second`."""

    first: str
    second: str
    mean: Estimate
    """Difference of the means over tasks: Welch's, or Student's of pairs."""
    simultaneous: Estimate | None
    """The same with an interval that holds for all comparisons at once, with max-T."""
    aggregates: Mapping[str, Estimate]
    """Differences of the aggregates; none for a task by itself."""
    improvement: Estimate
    """Probability of improvement."""
    p_welch: float
    p_ranks: float
    """Of Mann & Whitney; NaN for pairs."""
    adjusted: float
    """p of the declared test, adjusted for the number of comparisons."""
    p_equivalent: float
    """p of "the difference is δ or more", adjusted likewise; NaN without δ."""
    verdict: Verdict | None
    """None where none is due: no δ was declared, or there are fewer than three seeds."""
    correlation: float
    """Between seeds of the same number; NaN if they do not pair up."""
    needed: Needed | None
    """For a question that is undecided."""


@dataclass(frozen=True)
class Comparison:
    """Everything that `compare` finds."""

    rules: Rules
    methods: list[str]
    tasks: list[str]
    reference: str | None
    """Version of the table that scores were normalised with; None for raw scores."""
    trainings: list[Training]
    raw: Mapping[str, Mapping[str, Array]]
    """Method → task → score of each seed, in the order of the seeds, as it was measured."""
    scores: Mapping[str, Mapping[str, Array]]
    """The same, normalised if there is a reference."""
    aggregates: Mapping[str, Mapping[str, Estimate]]
    """Method → aggregate; none for several tasks that share no scale."""
    per_task: Mapping[str, Mapping[str, Estimate]]
    """Task → method → mean of the raw scores with Student's interval."""
    differences: list[Difference]
    """Over all tasks; none for several tasks that share no scale."""
    per_task_differences: Mapping[str, list[Difference]]
    """Task → the same comparisons, adjusted over tasks and comparisons together; none for a single task."""
    reached: Mapping[str, Mapping[str, Reached]]
    """Task → method → when `Rules.reach` was reached, in raw units."""
    profiles: Mapping[str, tuple[Array, Array, Array, Array]]
    """Method → levels τ, share of runs above, and the ends of its interval; none for tasks that share no scale."""
    efficiency: Mapping[str, tuple[Array, Array, Array, Array]]
    """Method → steps, mean (IQM of several tasks), and the ends of its interval; none without learning curves."""
    notes: list[str]

    def seeds(self, method: str) -> str:
        """How many seeds a method has, in words."""
        counts = sorted({len(scores) for scores in self.scores[method].values()})
        number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        each = f"{number} seed{'' if counts == [1] else 's'}"
        return each if len(self.tasks) == 1 else f"{each} × {len(self.tasks)} tasks"

    @property
    def score_name(self) -> str:
        """What the score is, in words, for tables and axes."""
        last = "last evaluation" if self.rules.last == 1 else f"mean of the last {self.rules.last} evaluations"
        name = f"return, {last}" if self.rules.score == "final" else "mean return over training (area under the curve)"
        return f"{name}, normalised by {self.reference}" if self.reference else name


class Arm:
    """One method's scores in a family of comparisons."""

    def __init__(self, method: str, tasks: Mapping[str, Array], rules: Rules, place: int) -> None:
        self.method, self.rules, self.place = method, rules, place
        self.scores = Scores([*tasks.values()])

    @cached_property
    def samples(self) -> Array:
        """Bootstrap samples of the aggregates; pairs draw the same seeds."""
        place = 0 if self.rules.paired else self.place
        return self.scores.bootstrap(self.rules.resamples, seed=place, threshold=self.rules.threshold)

    @cached_property
    def intervals(self) -> dict[str, Estimate]:
        """The aggregates with their intervals."""
        centre, freedom = self.scores.aggregates(threshold=self.rules.threshold)[:, 0], self.scores.freedom
        return {
            name: estimate(value, some, freedom, len(self.scores.runs), self.rules.level, self.rules.interval)
            for name, value, some in zip(AGGREGATES, centre, self.samples, strict=True)
        }

    @property
    def variance(self) -> float:
        """Of the mean over tasks."""
        parts = [x.var(ddof=1) / len(x) for x in self.scores.tasks]
        return float(sum(parts)) / len(parts) ** 2


def compare(
    trainings: Sequence[Training], rules: Rules, reference: Reference | None = None, notes: Sequence[str] = ()
) -> Comparison:
    """Compare trainings that `scores.checked` let through.

    Several tasks are put on one scale by `reference`; without it each is compared by itself. Raises `WrongRequest` for
    a request that these trainings cannot meet.
    """
    methods, tasks = ([*dict.fromkeys(getattr(t, key) for t in trainings)] for key in ("method", "task"))
    trainings = sorted(trainings, key=lambda t: t.seed)
    baseline = methods[0] if rules.baseline is None else rules.baseline
    if baseline not in methods:
        raise WrongRequest(f"expected the baseline's exact name, one of {', '.join(methods)}; found {rules.baseline!r}")
    raw = {m: {task: _scores(trainings, m, task, rules) for task in tasks} for m in methods}
    scaled = raw
    if reference is not None:
        scaled = {m: {t: np.array([reference.normalise(t, x) for x in xs]) for t, xs in raw[m].items()} for m in raw}
    pairs = [(method, baseline) for method in methods if method != baseline]
    if rules.paired:
        _check_pairs(trainings, pairs, tasks)
    one_scale = reference is not None or len(tasks) == 1
    whole = {m: Arm(m, scaled[m], rules, place) for place, m in enumerate(methods)} if one_scale else {}
    single = [{m: Arm(m, {t: scaled[m][t]}, rules, 0) for m in methods} for t in (tasks if len(tasks) > 1 else [])]
    by_task = _judge([(arms[a], arms[b]) for arms in single for a, b in pairs], rules, trainings, whole=False)
    return Comparison(
        rules=rules,
        methods=methods,
        tasks=tasks,
        reference=reference.version if reference else None,
        trainings=trainings,
        raw=raw,
        scores=scaled,
        aggregates={method: arm.intervals for method, arm in whole.items()},
        per_task={t: {m: _mean(raw[m][t], rules.level) for m in methods} for t in tasks},
        differences=_judge([(whole[a], whole[b]) for a, b in pairs] if whole else [], rules, trainings, whole=True),
        per_task_differences={
            task: by_task[i * len(pairs) : (i + 1) * len(pairs)] for i, task in enumerate(tasks if single else [])
        },
        reached=_reached(trainings, methods, tasks, rules.reach),
        profiles=_profiles(whole, rules.level),
        efficiency=_efficiency(trainings, whole, tasks, reference, rules.level) if whole else {},
        notes=[*notes, *_cautions(raw, pairs, rules, one_scale)],
    )


def _scores(trainings: Sequence[Training], method: str, task: str, rules: Rules) -> Array:
    own = [t for t in trainings if (t.method, t.task) == (method, task)]
    return np.array([score(t, rules.score, rules.last, rules.failed_score) for t in own])


def _mean(scores: Array, level: float) -> Estimate:
    """Mean over seeds with Student's interval."""
    return significance.mean_difference(Scores([scores]), Scores([np.zeros(max(2, len(scores)))]), level)


def _judge(
    family: Sequence[tuple[Arm, Arm]], rules: Rules, trainings: Sequence[Training], *, whole: bool
) -> list[Difference]:
    """All declared comparisons that share α. `whole`: over all tasks, with aggregates."""
    if not family:
        return []
    level = rules.level
    compared = significance.paired_difference if rules.paired else significance.mean_difference
    effects = [compared(a.scores, b.scores, level) for a, b in family]
    welch = [significance.p_value(effect) for effect in effects]
    ranks = [math.nan if rules.paired else significance.mann_whitney(a.scores, b.scores) for a, b in family]
    adjusted = significance.holm(welch if rules.test == "welch" else ranks)
    wider: list[Estimate | None] = [None] * len(family)
    if rules.adjust == "max-t" and not any(np.isnan(e.error) for e in effects):
        arms = list({id(arm): arm for pair in family for arm in pair}.values())
        signs = np.array([[(arm is a) - 1.0 * (arm is b) for arm in arms] for a, b in family])
        adjusted, found = significance.max_t(effects, signs, np.array([arm.variance for arm in arms]), level)
        wider = [*found]
    equivalent = [math.nan] * len(family)
    if rules.delta is not None:
        equivalent = significance.holm([significance.equivalence(effect, rules.delta) for effect in effects])
    differences = []
    for i, (a, b) in enumerate(family):
        seeds, verdict = min(*a.scores.seeds, *b.scores.seeds), None
        if rules.delta is not None and seeds >= FEWEST:
            verdict = significance.verdict(effects[i], adjusted[i], equivalent[i], rules.alpha, rules.delta)
        undecided = whole and rules.delta is not None and seeds > 1 and verdict in (None, "undecided")
        differences.append(
            Difference(
                a.method,
                b.method,
                effects[i],
                wider[i],
                _differences(a, b, rules) if whole else {},
                significance.probability_of_improvement(
                    a.scores, b.scores, level=level, kind=rules.interval, resamples=rules.resamples
                ),
                welch[i],
                ranks[i],
                adjusted[i],
                equivalent[i],
                verdict,
                _correlation(a.scores, b.scores),
                _needed(a, b, rules, trainings, len(family)) if undecided else None,
            )
        )
    return differences


def _differences(a: Arm, b: Arm, rules: Rules) -> dict[str, Estimate]:
    """Differences of all aggregates."""
    return {
        name: significance.difference(
            a.intervals[name],
            b.intervals[name],
            (a.samples[i], b.samples[i]),
            level=rules.level,
            kind=rules.interval,
            paired=rules.paired,
        )
        for i, name in enumerate(AGGREGATES)
    }


def _correlation(a: Scores, b: Scores) -> float:
    """Of seeds at the same place, tasks' means taken away; NaN where seeds do not pair up or do not vary."""
    if a.seeds.tolist() != b.seeds.tolist():
        return math.nan
    x, y = (np.concatenate([task - task.mean() for task in scores.tasks]) for scores in (a, b))
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale else math.nan


def _needed(a: Arm, b: Arm, rules: Rules, trainings: Sequence[Training], comparisons: int) -> Needed:
    """For a δ that was declared; the observed difference does not enter."""
    assert rules.delta is not None
    freedom = a.scores.freedom + b.scores.freedom
    pooled = [
        (x.var(ddof=1) * (len(x) - 1) + y.var(ddof=1) * (len(y) - 1)) / (len(x) + len(y) - 2)
        for x, y in zip(a.scores.tasks, b.scores.tasks, strict=True)
    ]
    spread = cautious_deviation(math.sqrt(float(sum(pooled))) / len(pooled), freedom)
    alpha = rules.alpha / comparisons
    if spread == 0:
        return Needed(FEWEST, FEWEST, _hours(a, b, trainings))
    return Needed(
        seeds_for_power(spread, rules.delta, alpha=alpha),
        seeds_for_precision(spread, rules.delta, 1 - alpha),
        _hours(a, b, trainings),
    )


def _hours(a: Arm, b: Arm, trainings: Sequence[Training]) -> float:
    """Of one more seed of both methods on every task; NaN if nobody measured."""
    total = 0.0
    for method in (a.method, b.method):
        for task in {t.task for t in trainings}:
            spent = [t.seconds for t in trainings if (t.method, t.task) == (method, task)]
            total += float(np.mean(spent)) / 3600
    return total


def _check_pairs(trainings: Sequence[Training], pairs: Sequence[tuple[str, str]], tasks: Sequence[str]) -> None:
    for first, second in pairs:
        for task in tasks:
            seeds = [[t.seed for t in trainings if (t.method, t.task) == (m, task)] for m in (first, second)]
            if seeds[0] != seeds[1]:
                raise WrongRequest(
                    f"expected the same seeds of {first} and {second} on {task} for a paired comparison; found "
                    f"{len(seeds[0])} and {len(seeds[1])} of which {len(set(seeds[0]) & set(seeds[1]))} are in both; "
                    f"leave out --paired"
                )


def _cautions(
    raw: Mapping[str, Mapping[str, Array]], pairs: Sequence[tuple[str, str]], rules: Rules, one_scale: bool
) -> list[str]:
    """What a reader of the result must know."""
    seeds = min(len(xs) for own in raw.values() for xs in own.values())
    notes = []
    if seeds < FEWEST:
        notes.append(f"no verdict: expected at least {FEWEST} seeds of each method and task, found {seeds}")
    elif seeds < FEW:
        notes.append(f"only {seeds} seeds: below {FEW}, intervals are rough and tests find large differences only")
    if seeds == 1:
        notes.append("a single seed says nothing about other seeds: there are no intervals")
    if pairs and rules.delta is None:
        notes.append("no verdict: declare the smallest difference that matters, --delta")
    if not one_scale:
        notes.append("tasks have scales of their own (--reference none): nothing is averaged over them")
    if rules.test == "mann-whitney" and pairs:
        smallest = 2 / math.comb(2 * seeds, seeds)
        if smallest >= rules.alpha:
            notes.append(
                f"the rank test cannot reach p < {rules.alpha:g} with {seeds} seeds: its smallest is {smallest:.2g}"
            )
    if rules.paired:
        notes.append("paired: differences of seeds with the same number; that is only right if the number ties them")
    return notes


def _reached(
    trainings: Sequence[Training], methods: Sequence[str], tasks: Sequence[str], threshold: float | None
) -> dict[str, dict[str, Reached]]:
    if threshold is None:
        return {}
    curves = {
        task: {m: [t.curve for t in trainings if (t.method, t.task) == (m, task)] for m in methods} for task in tasks
    }
    if any(len(steps) < 2 for own in curves.values() for many in own.values() for steps, _ in many):
        raise WrongRequest("expected evaluations over training for --reach; found final scores only")
    return {task: {m: Reached.of(many, threshold) for m, many in own.items()} for task, own in curves.items()}


def _profiles(arms: Mapping[str, Arm], level: float) -> dict[str, tuple[Array, Array, Array, Array]]:
    if not arms:
        return {}
    runs = np.concatenate([arm.scores.runs for arm in arms.values()])
    room = 0.02 * (runs.max() - runs.min())
    levels = np.linspace(runs.min() - room, runs.max() + room, 101)
    return {m: (levels, arm.scores.profile(levels), *arm.scores.profile_band(levels, level)) for m, arm in arms.items()}


def _efficiency(
    trainings: Sequence[Training],
    methods: Iterable[str],
    tasks: Sequence[str],
    reference: Reference | None,
    level: float,
) -> dict[str, tuple[Array, Array, Array, Array]]:
    """Scores over training at steps that all curves have: whole seeds are what varies, at each step by itself."""
    if any(len(t.curve[0]) < 2 for t in trainings):
        return {}
    first = max(t.curve[0][0] for t in trainings)
    last = min(t.curve[0][-1] for t in trainings)
    grid = np.unique(np.concatenate([t.curve[0] for t in trainings]))
    grid = grid[(grid >= first) & (grid <= last)]
    grid = grid[np.unique(np.linspace(0, len(grid) - 1, 51).astype(int))] if len(grid) else grid
    found = {}
    for method in methods:
        rows = []
        for step in grid:
            known = {task: [] for task in tasks}  # type: dict[str, list[float]]
            for t in (t for t in trainings if t.method == method):
                value = float(t.curve[1][np.searchsorted(t.curve[0], step, side="right") - 1])
                known[t.task].append(reference.normalise(t.task, value) if reference else value)
            scores = Scores([np.array(known[task]) for task in tasks])
            if len(tasks) == 1:
                estimated = _mean(scores.tasks[0], level)
            else:
                estimated = scores.intervals(level, resamples=500)["IQM"]
            rows.append((step, estimated.value, estimated.low, estimated.high))
        columns = np.array(rows).reshape(-1, 4).T
        found[method] = (columns[0], columns[1], columns[2], columns[3])
    return found


Looks = tuple[Plan, list[tuple[str, str, Path]]]
"""A plan, and where the declared comparisons, first against second, stand under it."""


def follow(comparison: Comparison, plan: Plan) -> list[tuple[str, str, Path]]:
    """Where each declared comparison stands under a plan that was fixed before its first look."""
    pairs = [(d.first, d.second) for d in comparison.differences]
    if not pairs:
        raise WrongRequest("expected methods whose tasks share a scale for a sequential comparison; found none")
    arms = [[[*comparison.scores[m].values()] for m in pair] for pair in pairs]
    return [
        (*pair, look(first, second, plan, comparisons=len(pairs)))
        for pair, (first, second) in zip(pairs, arms, strict=True)
    ]
