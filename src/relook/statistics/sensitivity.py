"""How much does an algorithm ask for: a setting that works everywhere, or one for each environment?

Adkins, Bowling & White 2024, A Method for Evaluating Hyperparameter Sensitivity in Reinforcement Learning, NeurIPS,
arXiv:2412.07165. With Γ(e, h) the normalised score of setting h in environment e, the mean over seeds:

    tuned for each environment    mean_e max_h Γ(e, h)
    one setting for all           max_h mean_e Γ(e, h)
    sensitivity                   Φ = the first - the second
    effective dimension           the fewest hyper-parameters that, tuned for each environment while the others stay at
                                  the one setting for all, reach 95 % of the first

A maximum over noisy means is too high, because it is chosen for its luck too. So everything is computed twice: as in
the paper, and with settings that half of the seeds chose and the other half scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relook.errors import WrongRequest
from relook.runs.tidy import figure
from relook.statistics.aggregates import Array, Estimate, around
from relook.statistics.scores import Training, checked, score

SHARE = 0.95
"""Of the score tuned for each environment, that the effective dimension reaches."""
PERCENTILES = (5, 95)
"""Of all trainings in an environment, which are its 0 and its 1."""
MOST = 8
"""Hyper-parameters in which settings may differ: each may be tuned or not, which doubles the work."""
FEWEST = 4
"""Seeds for an interval of what half of them chose: two in each half."""
RESAMPLES = 2000
SPLITS = 400
NUMBERS_AT_ONCE = 4_000_000

Subset = tuple[int, ...]
"""Hyper-parameters that are tuned for each environment, by their places in `Sweep.names`."""


@dataclass(frozen=True)
class Rules:
    """What is declared before anybody looks at a figure."""

    score: Literal["final", "auc"] = "final"
    last: int = 1
    failed_score: float | None = None
    level: float = 0.95
    """Of all intervals."""
    resamples: int = RESAMPLES
    splits: int = SPLITS


@dataclass(frozen=True)
class Sweep:
    """The scores of one algorithm: every setting in every environment."""

    algorithm: str
    names: list[str]
    """The hyper-parameters in which its settings differ."""
    settings: list[tuple[Any, ...]]
    """Values of `names`, in their order."""
    environments: list[str]
    scores: Array
    """[H, E, N]: setting, environment, seed; normalised."""

    @property
    def same(self) -> NDArray[np.bool_]:
        """[H, H, P]: do two settings agree in a hyper-parameter?"""
        keys = np.array([[json.dumps(value) for value in setting] for setting in self.settings])
        agree: NDArray[np.bool_] = np.equal(keys[:, None], keys[None])
        return agree

    def values(self, part: int) -> list[Any]:
        """The values that one of `names` takes, in their order."""
        return sorted({json.dumps(setting[part]): setting[part] for setting in self.settings}.values(), key=order)

    def label(self, setting: int) -> str:
        """A setting in words."""
        values = zip(self.names, self.settings[setting], strict=True)
        return ", ".join(f"{name}={figure(value)}" for name, value in values)


# The formulas


def subsets(parts: int) -> list[Subset]:
    """All choices of hyper-parameters, the fewest first: from none to all of them."""
    return [chosen for size in range(parts + 1) for chosen in combinations(range(parts), size)]


def tuned(choose: Array, judge: Array, same: NDArray[np.bool_]) -> Array:
    """Scores [b, S] of tuning each of the `subsets` for each environment, the others for all environments together.

    Γ by which settings are chosen, and Γ that scores them: [b, H, E] each. With the same for both these are the
    paper's: the first column is the score of one setting for all, the last that of one for each.
    """
    rows = np.arange(len(choose))
    for_all = choose.mean(-1).argmax(-1)
    scores = []
    for subset in subsets(same.shape[-1]):
        fixed = [part for part in range(same.shape[-1]) if part not in subset]
        may_be: NDArray[np.bool_] = np.all(same[..., fixed], axis=-1)
        for_each = np.where(may_be[for_all][..., None], choose, -np.inf).argmax(1)
        scores.append(judge[rows[:, None], for_each, np.arange(judge.shape[-1])].mean(-1))
    return np.stack(scores, -1)


def best_of_each_size(scores: Array, parts: int) -> list[int]:
    """Of `subsets`, by their places: for none, one, two … hyper-parameters those that score most, given scores [S]."""
    sizes = np.array([len(subset) for subset in subsets(parts)])
    return [int(np.flatnonzero(sizes == k)[scores[sizes == k].argmax()]) for k in range(parts + 1)]


def effective(scores: Array, parts: int) -> int:
    """The place of the smallest of `subsets` that reaches `SHARE` of what tuning all of them scores [S]."""
    wanted = scores[-1] - (1 - SHARE) * abs(scores[-1])
    return next(place for place in best_of_each_size(scores, parts) if scores[place] >= wanted)


def halves(seeds: int, splits: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[2 · splits, N]: which seeds choose, at random a half of them, and then the other half."""
    first = rng.permuted(np.tile(np.arange(seeds) < seeds // 2, (splits, 1)), axis=1)
    return np.concatenate([first, ~first])


def honest(scores: Array, same: NDArray[np.bool_], splits: int, seed: int = 0) -> Array:
    """Scores [S] of settings that a half of the seeds chose, by the other half: the mean over many splits.

    Unbiased for what a choice by half of the seeds is worth, which is a little less than one by all of them. A seed is
    in the same half for all settings and environments. `scores` is [H, E, N].
    """
    chooses = halves(scores.shape[-1], splits, np.random.default_rng(seed)).astype(np.float64)
    sums = 0.0
    for some in np.array_split(chooses, _pieces(len(chooses), scores)):
        choose, judge = (np.tensordot(half / half.sum(1, keepdims=True), scores, (1, 2)) for half in (some, 1 - some))
        sums = sums + tuned(choose, judge, same).sum(0)
    return np.asarray(sums / len(chooses))


def bootstrap(scores: Array, same: NDArray[np.bool_], resamples: int, seed: int = 0) -> Array:
    """The paper's scores [b, S] of samples in which the seeds of each cell are drawn with replacement."""
    rng = np.random.default_rng(seed)
    samples = []
    for some in np.array_split(np.arange(resamples), _pieces(resamples, scores)):
        means = _resampled(np.broadcast_to(scores, (len(some), *scores.shape)), rng)
        samples.append(tuned(means, means, same))
    return np.concatenate(samples)


def honest_bootstrap(scores: Array, same: NDArray[np.bool_], resamples: int, seed: int = 0) -> Array:
    """The honest scores [b, S] of samples: a split, and the seeds of each half drawn with replacement within it.

    A sample has one split where `honest` averages many, so their spread errs on the wide side.
    """
    rng = np.random.default_rng(seed)
    n = scores.shape[-1]
    samples = []
    for some in np.array_split(np.arange(resamples), _pieces(resamples, scores)):
        order = rng.permuted(np.tile(np.arange(n), (len(some), 1)), axis=1)
        mixed = np.moveaxis(scores[..., order], 2, 0)
        one, other = _resampled(mixed[..., : n // 2], rng), _resampled(mixed[..., n // 2 :], rng)
        samples.append((tuned(one, other, same) + tuned(other, one, same)) / 2)
    return np.concatenate(samples)


def _resampled(scores: Array, rng: np.random.Generator) -> Array:
    """Means [b, H, E] over seeds drawn with replacement, anew for each cell of [b, H, E, n]."""
    drawn = rng.integers(scores.shape[-1], size=scores.shape)
    return np.asarray(np.take_along_axis(scores, drawn, -1).mean(-1))


def _pieces(samples: int, scores: Array) -> int:
    return max(1, min(samples, samples * scores.size // NUMBERS_AT_ONCE))


# An algorithm, and all of them


@dataclass(frozen=True)
class Figures:
    """What is said of an algorithm, by one way to choose and to score."""

    each: Estimate
    """Tuned for each environment."""
    one: Estimate
    """One setting for all."""
    sensitivity: Estimate
    """Φ."""
    steps: list[tuple[list[str], float]]
    """For none, one, two … hyper-parameters: those whose tuning for each environment scores most, and the score."""
    parts: list[str]
    """The hyper-parameters of the effective dimension."""

    @property
    def dimension(self) -> int:
        """Effective dimension."""
        return len(self.parts)


@dataclass(frozen=True)
class Sensitivity:
    """Everything that is found of one algorithm."""

    sweep: Sweep
    plain: Figures
    """As in the paper: all seeds choose and score."""
    dimensions: tuple[int, int]
    """The effective dimension of all but the lowest and highest samples of the bootstrap, as many as the level says."""
    honest: Figures | None
    """Half of the seeds choose, the other half scores; None for a single seed."""
    for_all: int
    """The one setting."""
    for_each: list[list[int]]
    """For each environment the settings that score most there: several if they score the same."""


@dataclass(frozen=True)
class Study:
    """The sensitivity of some algorithms, on one scale."""

    rules: Rules
    algorithms: dict[str, Sensitivity]
    environments: list[str]
    scale: dict[str, tuple[float, float]]
    """Environment → the returns that are 0 and 1."""
    trainings: int
    steps: list[float]
    """The steps that trainings had, as far as it is known."""
    notes: list[str]

    @property
    def score_name(self) -> str:
        """What the score is, in words."""
        last = "last evaluation" if self.rules.last == 1 else f"mean of the last {self.rules.last} evaluations"
        return f"return, {last}" if self.rules.score == "final" else "mean return over training"


def sensitivity(trainings: Sequence[Training], rules: Rules, allow: Sequence[str] = ()) -> Study:
    """The sensitivity of every algorithm. Raises `WrongRequest` where it would mean nothing."""
    if {training.phase for training in trainings} == {"tune"}:  # which is what such seeds are for
        trainings = [replace(training, phase="test") for training in trainings]
    named = _named(trainings)
    _check_cells(named)
    _, notes = checked([replace(t, method=f"{t.algorithm} {_words(s)}") for t, s in named], allow)
    environments = sorted({t.task for t, _ in named})
    raw = [(t.algorithm, s, t.task, score(t, rules.score, rules.last, rules.failed_score)) for t, s in named]
    scale = {task: _scale(task, np.array([x for *_, there, x in raw if there == task])) for task in environments}
    algorithms = {}
    for algorithm in dict.fromkeys(t.algorithm for t, _ in named):
        sweep = _sweep(algorithm, environments, [(s, task, x) for name, s, task, x in raw if name == algorithm], scale)
        algorithms[algorithm] = measure(sweep, rules)
        notes += _notes(algorithms[algorithm])
    steps = sorted({t.budget for t, _ in named if not math.isnan(t.budget)})
    return Study(rules, algorithms, environments, scale, len(named), steps, notes)


Setting = Mapping[str, Any]


def _named(trainings: Sequence[Training]) -> list[tuple[Training, Setting]]:
    """Trainings with the values of the hyper-parameters in which their algorithm's settings differ, in their order."""
    trainings = [replace(t, algorithm=t.algorithm or t.method) for t in trainings]
    trainings = sorted(trainings, key=lambda t: (t.task, t.seed))
    named: list[tuple[Training, Setting]] = []
    for algorithm in dict.fromkeys(t.algorithm for t in trainings):
        own = [t for t in trainings if t.algorithm == algorithm]
        names = list(dict.fromkeys(name for t in own for name in t.hyperparameters))
        varied = [name for name in names if len({json.dumps(t.hyperparameters.get(name)) for t in own}) > 1]
        if not varied:
            raise WrongRequest(
                f"expected several settings of {algorithm}, such as a grid with --learning-rate 1e-4 1e-3 or a table "
                f"whose hyper-parameters are named, --hyperparameters NAME…; found one"
            )
        if len(varied) > MOST:
            raise WrongRequest(
                f"expected settings of {algorithm} that differ in at most {MOST} hyper-parameters; found "
                f"{len(varied)}: {', '.join(varied)}"
            )
        named += [(t, {name: t.hyperparameters.get(name) for name in varied}) for t in own]
    return named


def _words(setting: Setting) -> str:
    return ", ".join(f"{name}={figure(value)}" for name, value in setting.items())


def _check_cells(named: Sequence[tuple[Training, Setting]]) -> None:
    """Raise `WrongRequest` unless there are several environments, and as many seeds of every setting in each."""
    environments = sorted({t.task for t, _ in named})
    if len(environments) < 2:
        raise WrongRequest(
            f"expected several environments, because sensitivity is what a setting for each of them gains over one for "
            f"all; found {environments[0]} alone"
        )
    cells: dict[tuple[str, str], dict[str, int]] = {}
    for training, setting in named:
        there = cells.setdefault((training.algorithm, _words(setting)), dict.fromkeys(environments, 0))
        there[training.task] += 1
    missing = [f"{a} {s} on {e}" for (a, s), there in cells.items() for e, n in there.items() if not n]
    if missing:
        others = f", nor of {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WrongRequest(
            f"expected every setting in every environment; found no training of {missing[0]}{others}: train them, or "
            f"choose environments that all have with --tasks"
        )
    for algorithm in dict.fromkeys(a for a, _ in cells):
        counts = {(s, e): n for (a, s), there in cells.items() if a == algorithm for e, n in there.items()}
        fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        if counts[fewest] < counts[most]:
            raise WrongRequest(
                f"expected as many seeds of every setting of {algorithm}, because the best of few is easily the "
                f"luckiest; found {counts[fewest]} of {fewest[0]} on {fewest[1]} and {counts[most]} of {most[0]} on "
                f"{most[1]}"
            )


def _scale(task: str, scores: Array) -> tuple[float, float]:
    low, high = (float(x) for x in np.percentile(scores, PERCENTILES))
    if not high > low:
        raise WrongRequest(
            f"expected scores on {task} that differ; the 5th and the 95th percentile of all {len(scores)} trainings "
            f"are {low:g}: train for fewer or more steps, or choose other environments with --tasks"
        )
    return low, high


def _sweep(
    algorithm: str,
    environments: list[str],
    scored: Sequence[tuple[Setting, str, float]],
    scale: Mapping[str, tuple[float, float]],
) -> Sweep:
    cells: dict[tuple[str, ...], tuple[tuple[Any, ...], dict[str, list[float]]]] = {}
    for setting, task, x in scored:
        key = tuple(json.dumps(value) for value in setting.values())
        low, high = scale[task]
        _, there = cells.setdefault(key, (tuple(setting.values()), {}))
        there.setdefault(task, []).append((x - low) / (high - low))
    ordered = sorted(cells.values(), key=lambda cell: [order(value) for value in cell[0]])
    scores = np.array([[there[task] for task in environments] for _, there in ordered])
    return Sweep(algorithm, list(scored[0][0]), [setting for setting, _ in ordered], environments, scores)


def order(value: Any) -> tuple[int, float, str]:
    """Numbers by their size, before everything else by its name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, json.dumps(value)


def measure(sweep: Sweep, rules: Rules) -> Sensitivity:
    """Everything about one algorithm."""
    same, scores, parts = sweep.same, sweep.scores, len(sweep.names)
    seeds = scores.shape[-1]
    means = scores.mean(-1)
    of_seeds = tuned(means[None], means[None], same)[0]
    dimensions, samples, halved, half_samples = (0, 0), None, None, None
    if seeds > 1:
        samples = bootstrap(scores, same, rules.resamples)
        found = [len(subsets(parts)[effective(sample, parts)]) for sample in samples]
        low, high = np.quantile(found, [0.5 - rules.level / 2, 0.5 + rules.level / 2], method="nearest")
        dimensions = int(low), int(high)
        halved = honest(scores, same, rules.splits)
    if seeds >= FEWEST:
        half_samples = honest_bootstrap(scores, same, rules.resamples)
    return Sensitivity(
        sweep,
        _figures(sweep, of_seeds, samples, seeds, rules),
        dimensions,
        None if halved is None else _figures(sweep, halved, half_samples, seeds // 2, rules),
        int(means.mean(1).argmax()),
        [[int(h) for h in np.flatnonzero(column == column.max())] for column in means.T],
    )


def _figures(sweep: Sweep, scores: Array, samples: Array | None, drawn: int, rules: Rules) -> Figures:
    """From the scores of all subsets [S] and their bootstrap samples [b, S], of `drawn` seeds in each cell.

    Student's interval with the bootstrap's standard error, and the degrees of freedom of one setting's seeds.
    """
    parts = len(sweep.names)

    def estimate(value: float, of: Array | None) -> Estimate:
        if of is None:
            return Estimate(value, math.nan, math.nan)
        freedom = len(sweep.environments) * (sweep.scores.shape[-1] - 1)
        return around(value, math.sqrt(drawn / (drawn - 1)) * float(of.std()), freedom, rules.level)

    def of(which: Callable[[Array], Array]) -> Estimate:
        return estimate(float(which(scores)), None if samples is None else which(samples))

    every = [[sweep.names[part] for part in subset] for subset in subsets(parts)]
    return Figures(
        of(lambda x: x[..., -1]),
        of(lambda x: x[..., 0]),
        of(lambda x: x[..., -1] - x[..., 0]),
        [(every[place], float(scores[place])) for place in best_of_each_size(scores, parts)],
        every[effective(scores, parts)],
    )


def _notes(found: Sensitivity) -> Iterator[str]:
    sweep, seeds = found.sweep, found.sweep.scores.shape[-1]
    if seeds < FEWEST:
        lacks = "intervals" if seeds == 1 else "intervals of what half of the seeds chose"
        yield f"{sweep.algorithm}: no {lacks}: expected at least {2 if seeds == 1 else FEWEST} seeds, found {seeds}"
    values = [sweep.values(part) for part in range(len(sweep.names))]
    if (every := math.prod(map(len, values))) > len(sweep.settings):
        yield (
            f"{sweep.algorithm}: {len(sweep.settings)} of {every} combinations are there; the effective dimension may "
            f"be too high"
        )
    for name, value, own in zip(sweep.names, sweep.settings[found.for_all], values, strict=True):
        if len(own) > 2 and order(value)[0] == 0 and value in (own[0], own[-1]):
            yield (
                f"{sweep.algorithm}: its one setting for all has {name}={figure(value)}, at the end of the values: a "
                f"wider range may do better"
            )
