"""A study of sensitivity as tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from relook.runs.files import plain
from relook.statistics.aggregates import Estimate
from relook.statistics.reports import Table, number
from relook.statistics.sensitivity import PERCENTILES, SHARE, Figures, Sensitivity, Study


def heading(study: Study) -> list[str]:
    """What was measured, and what a reader must know."""
    each = "; ".join(
        f"{name}: {len(found.sweep.settings)} settings × {found.sweep.scores.shape[-1]} seeds × "
        f"{len(study.environments)} environments"
        for name, found in study.algorithms.items()
    )
    steps = f"; steps: {' … '.join(f'{s:,.0f}' for s in study.steps)}" if study.steps else ""
    zero_one = "; ".join(f"{task}: {number(low)} and {number(high)}" for task, (low, high) in study.scale.items())
    return [
        each,
        f"score: {study.score_name}{steps}",
        f"0 and 1 are the 5th and 95th percentile of all trainings in an environment ({zero_one})",
        f"intervals: {study.rules.level:.0%}, over seeds, corrected bootstrap ({study.rules.resamples:,} samples); the "
        f"scale is held fixed",
        *(f"note: {note}" for note in study.notes),
    ]


ALL_SEEDS, HALVES = "all seeds", "halves"


def ways(found: Sensitivity) -> Iterator[tuple[str, Figures]]:
    """Both ways to choose and to score, with their names."""
    yield ALL_SEEDS, found.plain
    if found.honest is not None:
        yield HALVES, found.honest


def tables(study: Study) -> Iterator[Table]:
    """All tables of a study."""
    rows = []
    for name, found in study.algorithms.items():
        for way, figures in ways(found):
            low, high = found.dimensions
            between = f" [{low}, {high}]" if way == ALL_SEEDS and found.honest is not None else ""
            estimates = (_estimate(x) for x in (figures.each, figures.one, figures.sensitivity))
            rows.append([name, way, *estimates, f"{figures.dimension}{between}"])
    yield Table(
        "Sensitivity",
        ["method", "chosen by", "for each", "for all", "Φ", "dimension"],
        rows,
        "score with a setting for each environment, and with one for all; Φ: the difference; dimension: how many "
        f"hyper-parameters must be tuned for each environment to reach {SHARE:.0%} of the former. Chosen and scored by "
        "all seeds, as in the paper, scores are too high: what is best was lucky too. By halves, one half of the seeds "
        "chose and the other scored: fair to a choice by half of the seeds. What the choice of all is worth lies "
        "between",
    )
    rows = []
    for name, found in study.algorithms.items():
        means = found.sweep.scores.mean(-1)
        rows.append([name, "all", found.sweep.label(found.for_all), number(float(means[found.for_all].mean()))])
        for e, task in enumerate(study.environments):
            first, *others = found.for_each[e]
            as_good = f" (and {len(others)} more that score the same)" if others else ""
            rows.append([name, task, found.sweep.label(first) + as_good, number(float(means[first, e]))])
    yield Table("Settings that score most", ["method", "task", "setting", "score"], rows)
    rows = [
        [
            name,
            way,
            ", ".join(parts) or "nothing",
            number(score),
            _share(score, figures.each.value),
            _mark(parts, figures),
        ]
        for name, found in study.algorithms.items()
        for way, figures in ways(found)
        for parts, score in figures.steps
    ]
    yield Table(
        "Tuned for each environment, the others as in the one setting for all",
        ["method", "chosen by", "tuned", "score", "of all tuned", "dimension"],
        rows,
        f"of so many hyper-parameters, those whose tuning scores most; dimension: the fewest that reach {SHARE:.0%}",
    )


def _mark(parts: list[str], figures: Figures) -> str:
    return str(figures.dimension) if parts == figures.parts else ""


def _estimate(found: Estimate) -> str:
    """A value and how far its interval reaches to each side."""
    return number(found.value) + ("" if math.isnan(found.low) else f" ± {number(found.high - found.value)}")


def _share(score: float, whole: float) -> str:
    return f"{score / whole:.1%}" if whole > 0 else "–"


def as_json(study: Study) -> dict[str, Any]:
    """Every figure, for programs. NaN is null."""
    algorithms = {}
    for name, found in study.algorithms.items():
        sweep = found.sweep
        algorithms[name] = {
            "hyperparameters": sweep.names,
            "settings": [dict(zip(sweep.names, values, strict=True)) for values in sweep.settings],
            "scores": sweep.scores.tolist(),
            "one_for_all": found.for_all,
            "one_for_each": dict(zip(study.environments, found.for_each, strict=True)),
            "all_seeds": _figures_json(found.plain) | {"dimension_interval": list(found.dimensions)},
            "halves": None if found.honest is None else _figures_json(found.honest),
        }
    rules = {"score": study.score_name, "level": study.rules.level, "share": SHARE, "percentiles": list(PERCENTILES)}
    there = {"environments": study.environments, "scale": study.scale, "notes": study.notes, "algorithms": algorithms}
    return dict(plain({**rules, "steps": study.steps, **there}))


def _figures_json(figures: Figures) -> dict[str, Any]:
    named = {"one_for_each": figures.each, "one_for_all": figures.one, "sensitivity": figures.sensitivity}
    return {
        **{key: {"value": x.value, "low": x.low, "high": x.high} for key, x in named.items()},
        "dimension": figures.dimension,
        "dimension_of": figures.parts,
        "tuned": [{"hyperparameters": parts, "score": score} for parts, score in figures.steps],
    }
