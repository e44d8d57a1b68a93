"""Pictures of a comparison. Each says how many seeds it shows and what its bars and bands mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, PercentFormatter

from relook.statistics.aggregates import AGGREGATES, Array, Estimate
from relook.statistics.comparison import Comparison, Difference, Looks
from relook.statistics.plots import (
    COLOURS,
    GREY,
    MOST_PANELS,
    Marks,
    finish,
    frame,
    grid,
    label,
    legend,
    marks_of,
    per_row,
    short,
    wrapped,
)

Band = tuple[Array, Array, Array, Array]
"""x, y, and the ends of the interval."""


NAMES = ("scores", "intervals", "differences", "improvement", "profiles", "efficiency", "reached", "looks")
"""Of all pictures that there may be."""


def pictures(comparison: Comparison, looks: Looks | None = None) -> Iterator[tuple[str, Figure]]:
    """All pictures that a comparison has, with their names."""
    yield "scores", scores(comparison)
    if comparison.aggregates:
        yield "intervals", intervals(comparison)
    if comparison.differences or comparison.per_task_differences:
        yield "differences", differences(comparison)
        yield "improvement", improvement(comparison)
    if comparison.profiles:
        yield "profiles", profiles(comparison)
    if comparison.efficiency:
        yield "efficiency", efficiency(comparison)
    if comparison.reached:
        yield "reached", reached(comparison)
    if looks is not None:
        yield "looks", sequential(comparison, looks)


def _seeds(comparison: Comparison) -> dict[str, str]:
    return {method: f"{method}  ({comparison.seeds(method)})" for method in comparison.methods}


def _title(comparison: Comparison, what: str, panels: int | None = None) -> str:
    tasks = comparison.tasks[0] if len(comparison.tasks) == 1 else f"{len(comparison.tasks)} tasks"
    if panels is not None and panels < len(comparison.tasks):
        tasks += f", of which the first {panels} are drawn"
    names = " and ".join(comparison.methods)
    return f"{what}: {names if len(names) < 50 else f'{len(comparison.methods)} methods'} on {tasks}"


def _interval(comparison: Comparison) -> str:
    kind = "corrected bootstrap" if comparison.rules.interval == "corrected" else "percentile bootstrap"
    return f"{comparison.rules.level:.0%} intervals over seeds: Student's or Welch's of means, {kind} of the others"


def _bars(at: Axes, estimates: Sequence[Estimate], colours: Sequence[str]) -> None:
    """A dot and an interval in each row, from the top."""
    for row, (found, colour) in enumerate(zip(estimates, colours, strict=True)):
        if np.isfinite([found.low, found.high]).all():
            at.plot([found.low, found.high], [row, row], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
        at.plot(found.value, row, "o", color=colour, markersize=6)
    at.margins(x=0.08)
    at.set_ylim(len(estimates) - 0.5, -0.5)
    at.grid(axis="y", visible=False)
    at.xaxis.set_major_formatter(FuncFormatter(short))
    at.xaxis.set_major_locator(MaxNLocator(4))


WIDTH = 30
"""Characters of a row's name, and the inches that they take."""
INDENT = 2.4


def _rows(at: Axes, names: Sequence[str]) -> None:
    at.set_yticks(range(len(names)), [wrapped(name, WIDTH) for name in names], fontsize=9)


def _height(rows: Sequence[Sequence[str]]) -> float:
    """Inches of the panel with most rows, whose names may take several lines."""
    lines = [[wrapped(name, WIDTH).count("\n") + 1 for name in names] for names in rows]
    return 0.8 + max(len(own) * (0.24 + 0.17 * max(own)) for own in lines)


def intervals(comparison: Comparison) -> Figure:
    """Every aggregate of every method with its interval."""
    names = [name for name in AGGREGATES if comparison.reference or name != "optimality gap"]
    marks = marks_of(comparison.methods)
    methods = [*marks]
    figure, axes = grid(len(names), width=3.6, height=_height([methods]))
    for i, (at, name) in enumerate(zip(axes, names, strict=True)):
        found = [comparison.aggregates[method][name] for method in methods]
        _bars(at, found, [marks[method][0] for method in methods])
        _rows(at, methods if i % per_row(len(names)) == 0 else [""] * len(methods))
        at.set_title(f"{name} (lower is better)" if name == "optimality gap" else name, loc="left", fontsize=10)
    label(figure, axes, comparison.score_name, "")
    seeds = "; ".join(f"{method}: {comparison.seeds(method)}" for method in methods)
    finish(figure, _title(comparison, "Aggregates"), [], f"{seeds}\n{_interval(comparison)}")
    return figure


def _compared(comparison: Comparison) -> dict[str, list[Difference]]:
    """Panel → differences: over all tasks, or by task where they share no scale."""
    if comparison.differences:
        return {"": comparison.differences}
    return dict([*comparison.per_task_differences.items()][:MOST_PANELS])


def _pair(found: Difference) -> str:
    return f"{found.first} \N{MINUS SIGN} {found.second}"


VERDICTS = {"better": COLOURS[2], "worse": COLOURS[1], "equivalent": COLOURS[0], "undecided": GREY}


def differences(comparison: Comparison) -> Figure:
    """Differences of the means with their intervals, the smallest difference that matters, and the verdicts."""
    panels, delta = _compared(comparison), comparison.rules.delta
    rows = [[f"{_pair(d)}\n{d.verdict or 'no verdict'}" for d in found] for found in panels.values()]
    figure, axes = grid(len(panels), width=7.5 if len(panels) == 1 else 5.5, height=_height(rows))
    for at, names, (panel, found) in zip(axes, rows, panels.items(), strict=True):
        at.axvline(0, color="black", linewidth=1)
        if delta is not None:
            at.axvspan(-delta, delta, color="#999999", alpha=0.18, linewidth=0)
        colours = [VERDICTS.get(difference.verdict or "", GREY) for difference in found]
        _bars(at, [difference.simultaneous or difference.mean for difference in found], colours)
        _rows(at, names)
        at.set_title(wrapped(panel, 40), loc="left", fontsize=10)
    label(figure, axes, f"difference of means ({comparison.score_name})", "", INDENT)
    at_once = all(difference.simultaneous for found in panels.values() for difference in found)
    kind = "for all comparisons at once (max-T)" if at_once else "of each difference by itself (Welch)"
    if comparison.rules.paired:
        kind = "of each difference by itself (pairs of seeds)"
    smallest = f"grey: closer than δ = {delta:g}, which does not matter" if delta is not None else "no δ was declared"
    seeds = "; ".join(f"{method}: {comparison.seeds(method)}" for method in comparison.methods)
    note = f"{seeds}\n{comparison.rules.level:.0%} intervals over seeds, {kind}; {smallest}"
    finish(figure, _title(comparison, "Differences", None if comparison.differences else len(panels)), [], note)
    return figure


def improvement(comparison: Comparison) -> Figure:
    """Probability that a seed of the first method scores more than one of the second."""
    panels = _compared(comparison)
    rows = [[f"{d.first} against {d.second}" for d in found] for found in panels.values()]
    figure, axes = grid(len(panels), width=7.5 if len(panels) == 1 else 5.5, height=_height(rows))
    for at, names, (panel, found) in zip(axes, rows, panels.items(), strict=True):
        at.axvline(0.5, color="black", linewidth=1)
        _bars(at, [difference.improvement for difference in found], [COLOURS[0]] * len(found))
        _rows(at, names)
        at.set_xlim(-0.02, 1.02)
        at.set_xticks([0, 0.25, 0.5, 0.75, 1])
        at.set_title(wrapped(panel, 40), loc="left", fontsize=10)
    label(figure, axes, "probability that a seed of the first scores more than one of the second", "", INDENT)
    seeds = "; ".join(f"{method}: {comparison.seeds(method)}" for method in comparison.methods)
    title = _title(comparison, "Probability of improvement", None if comparison.differences else len(panels))
    finish(figure, title, [], f"{seeds}\n{_interval(comparison)}")
    return figure


def _lines(at: Axes, bands: Mapping[str, Band], marks: Marks) -> None:
    for method, (x, y, low, high) in bands.items():
        if method not in marks:
            continue
        colour, style = marks[method]
        at.plot(x, y, color=colour, linestyle=style, linewidth=2)
        at.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def profiles(comparison: Comparison) -> Figure:
    """Performance profiles: for each score the share of trainings that reach more."""
    figure, [at] = grid(1, width=8, height=4)
    marks = marks_of(comparison.methods)
    _lines(at, comparison.profiles, marks)
    at.yaxis.set_major_formatter(PercentFormatter(1))
    at.xaxis.set_major_formatter(FuncFormatter(short))
    at.set_ylim(-0.02, 1.02)
    label(figure, [at], f"τ: {comparison.score_name}", "share of trainings scoring more than τ")
    note = f"band: {comparison.rules.level:.0%} interval of the share over seeds, at each τ by itself"
    finish(figure, _title(comparison, "Performance profiles"), legend(marks, _seeds(comparison)), note)
    return figure


def efficiency(comparison: Comparison) -> Figure:
    """Score over training."""
    figure, [at] = grid(1, width=8, height=4)
    marks = marks_of(comparison.methods)
    _lines(at, comparison.efficiency, marks)
    at.xaxis.set_major_formatter(EngFormatter(sep=""))
    at.yaxis.set_major_formatter(FuncFormatter(short))
    at.set_xlim(left=0)
    frame(at, np.concatenate([y for _, y, _, _ in comparison.efficiency.values()]), share=0.5)
    kind = "mean" if len(comparison.tasks) == 1 else "IQM"
    scale = f" normalised by {comparison.reference}" if comparison.reference else ""
    label(figure, [at], "environment steps of each agent", f"{kind} of the last evaluation's return{scale}")
    note = f"band: {comparison.rules.level:.0%} interval of the {kind} over seeds, at each step by itself"
    finish(figure, _title(comparison, "Sample efficiency"), legend(marks, _seeds(comparison)), note)
    return figure


def reached(comparison: Comparison) -> Figure:
    """The share of seeds that have reached a return, over steps: Kaplan & Meier's estimate."""
    tasks = [*comparison.reached][:MOST_PANELS]
    figure, axes = grid(len(tasks), width=8 if len(tasks) == 1 else 4.6, height=4 if len(tasks) == 1 else 3)
    marks = marks_of(comparison.methods)
    for at, task in zip(axes, tasks, strict=True):
        for method, found in comparison.reached[task].items():
            if method not in marks:
                continue
            colour, style = marks[method]
            end = found.steps.max()
            if found.reached.any():
                steps, left, low, high = found.survival(comparison.rules.level)
            else:
                steps, left, low, high = (np.zeros(0) for _ in range(4))
            steps = np.concatenate([[0.0], steps, [max(end, steps.max(initial=0))]])
            share, *ends = (1 - np.concatenate([[1.0], x, x[-1:] if len(x) else [1.0]]) for x in (left, low, high))
            at.step(steps, share, where="post", color=colour, linestyle=style, linewidth=2)
            at.fill_between(steps, ends[1], ends[0], step="post", color=colour, alpha=0.18, linewidth=0)
            watched = found.steps[~found.reached]
            height = np.interp(watched, steps, share)
            at.plot(watched, height, "|", color=colour, markersize=11, markeredgewidth=1.6)
        at.set_ylim(-0.02, 1.05)
        at.set_xlim(left=0)
        at.yaxis.set_major_formatter(PercentFormatter(1))
        at.xaxis.set_major_formatter(EngFormatter(sep=""))
        at.set_title(wrapped(task, 44), loc="left", fontsize=10)
    what = f"share of seeds that have reached a return of {comparison.rules.reach:g}"
    label(figure, axes, "environment steps of each agent", what)
    level = f"{comparison.rules.level:.0%}"
    note = f"Kaplan & Meier; band: {level} interval (Greenwood's, log-log); upright: a seed that had not reached it"
    finish(figure, _title(comparison, "Steps to a return", len(tasks)), legend(marks, _seeds(comparison)), note)
    return figure


def scores(comparison: Comparison) -> Figure:
    """The seeds of each method on each task, and what the episodes of one seed do: two different marks.

    A dot is a seed's score; the small dashes above and below it are the episodes of its last evaluation.
    """
    marks = marks_of(comparison.methods)
    tasks = comparison.tasks[:MOST_PANELS]
    figure, axes = grid(len(tasks), width=8 if len(tasks) == 1 else 4.6, height=4 if len(tasks) == 1 else 3)
    within = False
    for at, task in zip(axes, tasks, strict=True):
        for row, method in enumerate(marks):
            own = [t for t in comparison.trainings if (t.method, t.task) == (method, task)]
            values = comparison.raw[method][task]
            order = np.argsort(values)
            places = row + np.linspace(-0.36, 0.36, len(values) + 2)[1:-1]
            for place, i in zip(places, order, strict=True):
                colour = marks[method][0]
                episodes = own[i].episodes
                if len(episodes) > 1:
                    within = True
                    at.plot(np.full(len(episodes), place), episodes, "_", color=colour, markersize=5, alpha=0.45)
                at.plot(place, values[i], "x" if own[i].failed else "o", color=colour, markersize=5)
            mean = comparison.per_task[task][method]
            at.plot([row - 0.42, row + 0.42], [mean.value] * 2, color="black", linewidth=1)
        turned = len(marks) > 4
        width = int(figure.get_figwidth() / per_row(len(tasks)) * 10 / len(marks))
        names = [wrapped(method, 200 if turned else width) for method in marks]
        at.set_xticks(range(len(marks)), names, rotation=90 if turned else 0)
        at.set_xlim(-0.6, len(marks) - 0.4)
        at.grid(axis="x", visible=False)
        at.yaxis.set_major_formatter(FuncFormatter(short))
        at.set_title(wrapped(task, 44), loc="left", fontsize=10)
    label(figure, axes, "", "return (reward)")
    seeds = "; ".join(f"{method}: {comparison.seeds(method)}" for method in marks)
    last = "; dashes: episodes of that seed's last evaluation" if within else ""
    failed = "; ×: a training that failed" if any(t.failed for t in comparison.trainings) else ""
    of = "last evaluation" if comparison.rules.last == 1 else f"last {comparison.rules.last} evaluations"
    what = f"mean of its {of}" if comparison.rules.score == "final" else "its mean over training"
    note = f"{seeds}\ndot: one seed, {what}{last}; line: mean of the seeds{failed}"
    finish(figure, _title(comparison, "Between and within seeds" if within else "Seeds", len(tasks)), [], note)
    return figure


def sequential(comparison: Comparison, looks: Looks) -> Figure:
    """The statistic of each comparison against its boundary, look by look."""
    plan, paths = looks
    shown = paths[:MOST_PANELS]
    figure, axes = grid(len(shown), width=7 if len(shown) == 1 else 4.6, height=3.6 if len(shown) == 1 else 3)
    for at, (first, second, path) in zip(axes, shown, strict=True):
        k = np.arange(1, len(path.statistic) + 1)
        boundary = np.where(np.isfinite(path.boundary), path.boundary, np.nan)
        statistic = np.asarray(path.statistic)
        at.axhline(0, color="black", linewidth=0.8)
        for side in (1, -1):
            at.plot(k, side * boundary, "_", color=COLOURS[1], markersize=22, markeredgewidth=2)
        at.plot(k, statistic, "o-", color=COLOURS[0], linewidth=2)
        at.set_xlim(0.5, plan.looks + 0.5)
        most = np.nanmax(np.abs(np.concatenate([boundary, statistic])))
        at.set_ylim(-1.2 * most, 1.2 * most)
        at.set_xticks(range(1, plan.looks + 1), [f"{i}\n{i * plan.seeds_per_look}" for i in range(1, plan.looks + 1)])
        verdict = f"decided at look {path.decided}" if path.decided else "not decided"
        at.set_title(f"{wrapped(f'{first} − {second}', 40)}\n{verdict}", loc="left", fontsize=10)
    label(figure, axes, "look, and seeds of each method by then", "T (sum of scaled differences)")
    note = (
        f"blue: T; orange: the boundary beyond which the methods differ; α = {plan.alpha:g} over all looks and "
        f"comparisons, {plan.spending} spending"
    )
    finish(figure, _title(comparison, f"Up to {plan.looks} looks"), [], note)
    return figure
