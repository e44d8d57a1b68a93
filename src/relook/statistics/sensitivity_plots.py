"""Pictures of sensitivity: the plane of Adkins et al. 2024, and what each hyper-parameter does in each environment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from relook.runs.tidy import figure
from relook.statistics.aggregates import Array, Estimate, mean_interval
from relook.statistics.plots import (
    GREY,
    finish,
    grid,
    label,
    legend,
    marks_of,
    short,
    wrapped,
)
from relook.statistics.sensitivity import Sensitivity, Study, Sweep


def pictures(study: Study, baseline: str) -> Iterator[tuple[str, Figure]]:
    """All pictures of a study, with their names."""
    yield "plane", plane(study, baseline)
    for name, found in study.algorithms.items():
        yield f"values-{name}", values(study, found)


def plane(study: Study, baseline: str) -> Figure:
    """Performance against sensitivity, and the regions that the baseline divides the plane into.

    The diagonal through it joins what scores the same with one setting for all environments.
    """
    marks = marks_of([*study.algorithms])
    shown, [at] = grid(1, width=8, height=5)
    for name, (colour, _) in marks.items():
        found = study.algorithms[name]
        x, y = found.plain.sensitivity.value, found.plain.each.value
        if found.honest is None:
            at.plot(x, y, "o", color=colour, markersize=7)
            continue
        centre = found.honest.sensitivity.value, found.honest.each.value
        at.plot([x, centre[0]], [y, centre[1]], color=colour, linewidth=0.8, alpha=0.6)
        at.plot(x, y, "o", color=colour, markersize=6, markerfacecolor="white")
        _cross(at, found.honest.sensitivity, found.honest.each, colour)
        at.plot(*centre, "o", color=colour, markersize=7)
    at.margins(0.08)
    box = at.get_xlim(), at.get_ylim()
    reference = study.algorithms[baseline].honest or study.algorithms[baseline].plain
    x, y = reference.sensitivity.value, reference.each.value
    for line in (at.axvline(x), at.axhline(y), at.axline((x, y), slope=1)):
        line.set(color=GREY, linewidth=1, linestyle=":", zorder=0)
    at.set(xlim=box[0], ylim=box[1])
    for axis in (at.xaxis, at.yaxis):
        axis.set_major_formatter(FuncFormatter(short))
    label(shown, [at], "sensitivity Φ", "score tuned for each environment")
    level = f"{study.rules.level:.0%}"
    ways = (
        f"dot and {level} interval over seeds: half of the seeds chose, the other half scored; circle: all seeds chose "
        f"and scored, as in the paper"
        if any(found.honest for found in study.algorithms.values())
        else "dot: a single seed chose and scored"
    )
    lines = (
        f"dotted, through {baseline}: left of the upright, less sensitive; above the level one, better when tuned; "
        f"above the slanting one, better with one setting for all"
    )
    seeds = {name: f"{name}  ({_counted(study.algorithms[name].sweep)})" for name in marks}
    title = f"Performance and sensitivity in {len(study.environments)} environments"
    finish(shown, title, legend(marks, seeds), f"{ways}\n{lines}")
    return shown


def _counted(sweep: Sweep) -> str:
    settings, _, seeds = sweep.scores.shape
    return f"{settings} settings, {seeds} seed{'' if seeds == 1 else 's'} each"


def _cross(at: Axes, across: Estimate, up: Estimate, colour: str) -> None:
    """Both intervals of a point."""
    if np.isfinite([across.low, across.high, up.low, up.high]).all():
        at.plot([across.low, across.high], [up.value] * 2, color=colour, linewidth=2.5, alpha=0.4)
        at.plot([across.value] * 2, [up.low, up.high], color=colour, linewidth=2.5, alpha=0.4)


def values(study: Study, found: Sensitivity) -> Figure:
    """A panel for each hyper-parameter: scores of its values, the others as in the one setting for all environments."""
    sweep, marks = found.sweep, marks_of(study.environments)
    shown, axes = grid(len(sweep.names), width=8 if len(sweep.names) == 1 else 4.6, height=3.4)
    for part, at in enumerate(axes):
        own = sweep.values(part)
        places, settings = _line(sweep, found.for_all, part)
        for e, (colour, style) in enumerate(marks.values()):
            scores: Array = sweep.scores[settings, e]
            at.plot(places, scores.mean(-1), color=colour, linestyle=style, marker="o", markersize=5, linewidth=2)
            low, high = mean_interval(scores, study.rules.level, axis=-1)
            at.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
        at.axvline(own.index(sweep.settings[found.for_all][part]), color=GREY, linewidth=1, linestyle=":")
        room = int(shown.get_figwidth() / len(axes) * 9 / len(own))
        at.set_xticks(range(len(own)), [wrapped(figure(value), room) for value in own])
        at.set_title(wrapped(sweep.names[part], 44), loc="left", fontsize=10)
        at.yaxis.set_major_formatter(FuncFormatter(short))
    ends = np.array([at.get_ylim() for at in axes])
    for at in axes:
        at.set_ylim(float(ends[:, 0].min()), float(ends[:, 1].max()))
    label(shown, axes, "value", "normalised score")
    seeds = sweep.scores.shape[-1]
    note = (
        f"mean of {seeds} seed{'' if seeds == 1 else 's'}, band: {study.rules.level:.0%} interval at each value by "
        f"itself; upright: the one setting for all, {sweep.label(found.for_all)}\n"
        f"0 and 1: 5th and 95th percentile of all trainings in an environment"
    )
    finish(shown, f"{sweep.algorithm}: one hyper-parameter changed at a time", legend(marks), note)
    return shown


def _line(sweep: Sweep, through: int, part: int) -> tuple[list[int], list[int]]:
    """The settings that differ from one in at most one hyper-parameter, and the places of its values, in order."""
    others = [i for i in range(len(sweep.names)) if i != part]
    there = np.flatnonzero(sweep.same[through][:, others].all(-1))
    own = sweep.values(part)
    pairs = sorted((own.index(sweep.settings[h][part]), int(h)) for h in there)
    return [place for place, _ in pairs], [h for _, h in pairs]
