"""The picture of a search: what each trial scored, what is left on fresh seeds, and where in the space it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from relook.runs.files import number as read_number
from relook.runs.tidy import figure as shown
from relook.statistics.plots import COLOURS, GREY, finish, frame, short, wrapped
from relook.statistics.tuning import DEFAULT, RANDOM, START, TPE, TUNED, Trial, Tuned

LOOKS: Mapping[str, tuple[str, str]] = {START: ("D", "#000000"), RANDOM: ("o", COLOURS[0]), TPE: ("^", COLOURS[1])}
"""Marker and colour of each sampler's trials."""
MOST_PARAMETERS = 6


def picture(found: Tuned) -> Figure:
    """Trials in their order with the confirmed arms beside them; below, scores against each hyper-parameter."""
    names = [*found.space][:MOST_PARAMETERS]
    columns = len(names) if len(names) <= 4 else 3
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(9.6, 4.6 + 2.5 * rows), layout="constrained")
    spec = figure.add_gridspec(1 + rows, 12, height_ratios=[3.2, *[2.2] * rows])
    order = figure.add_subplot(spec[0, :9])
    _order(order, found)
    _confirmed(figure.add_subplot(spec[0, 9:], sharey=order), found)
    for i, name in enumerate(names):
        left = i % columns * 12 // columns
        at = figure.add_subplot(spec[1 + i // columns, left : left + 12 // columns], sharey=order)
        _against(at, found, name)
        at.set_ylabel("return (reward)" if left == 0 else "", fontsize=9)
        at.tick_params(labelleft=left == 0)
    for at in figure.axes:
        at.grid(alpha=0.25)
        at.spines[["top", "right"]].set_visible(False)
        at.tick_params(labelsize=9)
        at.yaxis.set_major_formatter(FuncFormatter(short))
    values = [trial.score(found.worst) for trial in [*found.trials, *found.finalists]]
    frame(order, np.concatenate([values, *(arm.scores for arm in found.arms.values())]), share=0.12)
    left_out = len(found.space) - len(names)
    note = f"filled: mean of {len(found.trials[0].seeds)} tuning seeds at the last evaluation"
    note += "; small and open: pruned, as far as it came" if any(trial.pruned for trial in found.trials) else ""
    note += "; ×: a seed failed" if any(trial.failed for trial in found.trials) else ""
    note += f"; stalk: on the {len(found.chosen.seeds)} seeds of the final" if found.finalists else ""
    note += "; ring: the chosen trial; dotted: ends of a range. Right: fresh seeds as dots, mean and 95 % interval"
    note += f"; {left_out} more hyper-parameters are not drawn" if left_out else ""
    finish(figure, f"Tuning {found.record['algorithm']} on {found.task}", _legend(found), note)
    return figure


def _mark(at: Axes, found: Tuned, x: float, trial: Trial) -> None:
    """One trial, at its score."""
    marker, colour = LOOKS.get(trial.sampler, ("s", GREY))
    y = trial.score(found.worst)
    looks: dict[str, Any] = {"marker": marker, "color": colour, "linestyle": "none"}
    if trial.pruned:
        at.plot(x, y, **looks, markersize=4, markerfacecolor="none", markeredgewidth=0.8, alpha=0.7)
    else:
        at.plot(x, y, **looks, markersize=6, markeredgewidth=0, alpha=0.85)
    if trial.failed:
        at.plot(x, y, "x", color="#000000", markersize=8, markeredgewidth=1.2)
    if trial.number == found.chosen.number:
        at.plot(x, y, "o", color="#000000", markersize=12, markerfacecolor="none", markeredgewidth=1.4)


def _order(at: Axes, found: Tuned) -> None:
    so_far: list[tuple[int, float]] = []
    for trial in found.trials:
        if not trial.pruned:
            y = trial.score(found.worst)
            so_far.append((trial.number, max([y, *(best for _, best in so_far[-1:])])))
    at.step(*zip(*so_far, strict=True), where="post", color=GREY, linewidth=1, zorder=1)
    for trial in found.trials:
        _mark(at, found, trial.number, trial)
    before = {trial.number: trial.score(found.worst) for trial in found.trials}
    for trial in found.finalists:
        y = trial.score(found.worst)
        at.plot([trial.number] * 2, [before[trial.number], y], color="#000000", linewidth=1, zorder=1)
        at.plot(trial.number, y, "_", color="#000000", markersize=9, markeredgewidth=1.6)
    at.set_title("Trials, on the seeds that choose", loc="left", fontsize=10)
    at.set_xlabel("trial", fontsize=9)
    at.set_ylabel("return (reward)", fontsize=9)
    at.xaxis.set_major_locator(MaxNLocator(integer=True))


def _confirmed(at: Axes, found: Tuned) -> None:
    arms = [found.arms[name] for name in (TUNED, DEFAULT, START) if name in found.arms]
    for column, arm in enumerate(arms):
        mean = arm.mean
        places = column + np.linspace(0, 0.3, len(arm.scores))
        at.plot(places, np.sort(arm.scores), ".", color=GREY, markersize=5, alpha=0.7)
        at.errorbar(
            column - 0.2,
            mean.value,
            [[mean.value - mean.low], [mean.high - mean.value]],
            color="#000000",
            marker="s",
            markersize=5,
            capsize=5,
            linewidth=1.6,
        )
    at.axhline(found.chosen.score(found.worst), color="#000000", linewidth=0.8, linestyle=":")
    at.set_title("Confirmed", loc="left", fontsize=10)
    at.set_xticks(range(len(arms)), [arm.name for arm in arms])
    at.set_xlim(-0.6, len(arms) - 0.4)
    at.tick_params(labelleft=False)
    at.grid(axis="x", visible=False)


def _against(at: Axes, found: Tuned, name: str) -> None:
    dimension = found.space[name]
    if "choices" in dimension:
        places = {str(value): place for place, value in enumerate(dimension["choices"])}
        known = [(places.get(str(trial.values[name])), trial) for trial in found.trials]
        at.set_xticks(range(len(places)), [wrapped(shown(value), 12) for value in dimension["choices"]])
        at.set_xlim(-0.6, len(places) - 0.4)
        inside = [(place + _beside(trial), trial) for place, trial in known if place is not None]
    else:
        inside = [(read_number(trial.values[name]), trial) for trial in found.trials]
        if dimension["log"]:
            at.set_xscale("log")
            at.xaxis.set_minor_formatter(NullFormatter())
        else:
            at.xaxis.set_major_locator(MaxNLocator(4))
            at.xaxis.set_major_formatter(FuncFormatter(short))
        ends = [dimension["low"], dimension["high"]]
        at.vlines(ends, 0, 1, transform=at.get_xaxis_transform(), color=GREY, linewidth=0.8, linestyle=":")
    for x, trial in inside:
        _mark(at, found, x, trial)
    at.set_title(name, loc="left", fontsize=10)


def _beside(trial: Trial) -> float:
    """A little to one side or the other, so that trials with the same value are seen apart."""
    return (trial.number * 0.618 % 1 - 0.5) * 0.4


def _legend(found: Tuned) -> list[tuple[Line2D, str]]:
    def dot(marker: str, colour: str) -> Line2D:
        return Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=6)

    there = {trial.sampler for trial in found.trials}
    entries = [(dot(*LOOKS[sampler]), sampler) for sampler in LOOKS if sampler in there]
    entries.append((Line2D([], [], color=GREY, linewidth=1), "best so far"))
    entries.append((Line2D([], [], color="#000000", linewidth=0.8, linestyle=":"), "score that chose"))
    return entries
