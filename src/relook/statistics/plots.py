"""Pictures of learning curves, and what all pictures share: palette, panels, captions, files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from relook.errors import WrongRequest
from relook.statistics.aggregates import Array, iqm, iqm_interval
from relook.statistics.curves import Curve, align, pointwise_band, simultaneous_band, smoothed

LineStyle = Literal["-", "--", ":", "-."]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito's palette, which colour-blind readers can tell apart."""
STYLES: tuple[LineStyle, ...] = ("-", "--", ":", "-.")
SUFFIXES = (".png", ".svg", ".pdf")
MOST_LINES = len(COLOURS) * len(STYLES)
MOST_PANELS = 60
MARGIN = 1.3
"""Inches for title and legend."""
MOST_THIN = 20
"""Seeds of a group that are drawn one by one."""
GREY = "#555555"

Centre = Literal["mean", "iqm", "none"]
Band = Literal["pointwise", "simultaneous", "none"]


@dataclass(frozen=True)
class Seed:
    """One training's curve."""

    curve: Curve
    failed: bool = False
    """Whether it ended before its time; its last value then counts until the end of the others."""


@dataclass(frozen=True)
class Drawing:
    """How curves are drawn, and what their axes are called."""

    title: str
    x_label: str
    y_label: str
    centre: Centre = "mean"
    band: Band = "pointwise"
    smooth: int = 1
    """Each point is the mean of this many points up to it."""
    level: float = 0.95
    same_scale: bool = False
    """Whether all panels have the same y axis."""
    branches: Sequence[float] = ()
    """Steps at which a run branches off from another: upright lines."""


def learning_curves(panels: Mapping[str, Mapping[str, Sequence[Seed]]], how: Drawing) -> Figure:
    """Panel → group → seeds: every seed as a thin line, their centre as a thick one, and a band.

    A group's centre ends where the shortest of its curves does. A single seed has no band. Raises `WrongRequest` for
    more than anybody can tell apart.
    """
    names = [*dict.fromkeys(name for groups in panels.values() for name in groups)]
    if len(names) > MOST_LINES or len(panels) > MOST_PANELS:
        raise WrongRequest(
            f"expected at most {MOST_LINES} groups and {MOST_PANELS} panels; found {len(names)} and {len(panels)}: "
            f"choose coarser ones with --group and --facet"
        )
    alone = len(panels) == 1
    figure, axes = grid(len(panels), width=8.0 if alone else 4.6, height=4.4 if alone else 3.1)
    looks = marks_of(names)
    counts = {name: {len(groups[name]) for groups in panels.values() if name in groups} for name in names}
    for at, (panel, groups) in zip(axes, panels.items(), strict=True):
        for name, seeds in groups.items():
            _group(at, seeds, *looks[name], how)
        for branch in set(how.branches):
            at.axvline(branch, color=GREY, linewidth=1, linestyle=":")
            where = {"xycoords": ("data", "axes fraction"), "va": "top", "fontsize": 8, "color": GREY}
            at.annotate(" branch", (branch, 1), **where)  # type: ignore[arg-type]
        at.set_title(wrapped(panel, 44), loc="left", fontsize=10)
        at.xaxis.set_major_formatter(EngFormatter(sep=""))
        at.yaxis.set_major_formatter(FuncFormatter(short))
        at.set_xlim(left=0)
        frame(at, np.concatenate([seed.curve[1] for seeds in groups.values() for seed in seeds]))
    if how.same_scale:
        ends = np.array([at.get_ylim() for at in axes])
        for at in axes:
            at.set_ylim(float(ends[:, 0].min()), float(ends[:, 1].max()))
    kind = {"mean": "mean", "iqm": "IQM", "none": "each"}[how.centre]
    labels = {name: f"{name}  ({_counted(kind, counts[name])})".strip() for name in names}
    smooth = f",\nmean of the last {how.smooth} points" if how.smooth > 1 else ""
    label(figure, axes, how.x_label, how.y_label + smooth)
    everyone = [seed for groups in panels.values() for seeds in groups.values() for seed in seeds]
    finish(figure, how.title, legend(looks, labels), _note(how, kind, panels.values(), everyone))
    return figure


def _group(at: Axes, seeds: Sequence[Seed], colour: str, style: LineStyle, how: Drawing) -> None:
    curves = [(seed.curve[0], smoothed(seed.curve[1], how.smooth)) for seed in seeds]
    end = max(steps[-1] for steps, _ in curves)
    if len(curves) <= MOST_THIN:
        for (steps, scores), seed in zip(curves, seeds, strict=True):
            thin = {"linewidth": 1.6, "alpha": 1.0} if how.centre == "none" else {"linewidth": 0.7, "alpha": 0.35}
            at.plot(steps, scores, color=colour, linestyle=style, **thin)  # type: ignore[arg-type]
            if seed.failed:
                at.plot(steps[-1], scores[-1], marker="x", color=colour, markersize=7, linestyle="none")
    if how.centre == "none":
        return
    held = [
        (np.append(steps, end), np.append(scores, scores[-1])) if seed.failed and steps[-1] < end else (steps, scores)
        for (steps, scores), seed in zip(curves, seeds, strict=True)
    ]
    grid_, scores = align(held)
    if not len(grid_):
        return
    middle = scores.mean(1) if how.centre == "mean" else np.array([iqm(row) for row in scores])
    at.plot(grid_, middle, color=colour, linewidth=2.2, linestyle=style, marker="o" if len(grid_) == 1 else "")
    if len(seeds) > 1 and how.band != "none":
        at.fill_between(grid_, *_band(scores, how), color=colour, alpha=0.18, linewidth=0)


def frame(at: Axes, values: Array, share: float = 0.25) -> None:
    """Show all values; of a band that few seeds make wide, as much as leaves them readable."""
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    room = share * (high - low)
    bottom, top = at.get_ylim()
    if room:
        at.set_ylim(max(bottom, low - room), min(top, high + room))


def _band(scores: Array, how: Drawing) -> tuple[Array, Array]:
    if how.centre == "iqm":
        low, high = iqm_interval(scores, how.level)
        return low, high
    return (simultaneous_band if how.band == "simultaneous" else pointwise_band)(scores, how.level)


def _counted(kind: str, counts: set[int]) -> str:
    number = str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    of = f"{kind} of " if kind != "each" else ""
    return f"{of}{number} seed{'' if counts == {1} else 's'}"


def _note(how: Drawing, kind: str, panels: Iterable[Mapping[str, Sequence[Seed]]], seeds: Sequence[Seed]) -> str:
    """What thin lines, thick lines and bands are."""
    most = max(len(group) for groups in panels for group in groups.values())
    parts = []
    if kind != "each" and most > 1:
        parts.append("thin: single seeds" if most <= MOST_THIN else f"groups of more than {MOST_THIN}: no single seeds")
    if how.band != "none" and kind != "each" and most > 1:
        where = "for the whole curve at once (sup-t)" if how.band == "simultaneous" else "at each step by itself"
        parts.append(f"band: {how.level:.0%} interval of the {kind} over seeds, {where}")
    if failed := sum(seed.failed for seed in seeds):
        kept = "" if kind == "each" else "; its last value stays in the " + kind
        parts.append(f"×: {failed} of {len(seeds)} trainings failed{kept}")
    return " · ".join(parts)


# What all pictures share


def per_row(panels: int) -> int:
    """How many panels stand beside each other."""
    return 2 if panels == 4 else min(panels, 3 if panels <= 9 else 4)


def grid(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels of a size in inches, in rows of `per_row`."""
    columns = per_row(panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(max(6.4, width * columns), height * rows + MARGIN), layout="constrained")
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(panels)]
    for at in axes:
        at.grid(alpha=0.25)
        at.spines[["top", "right"]].set_visible(False)
        at.tick_params(labelsize=9)
    return figure, axes


Marks = Mapping[str, tuple[str, LineStyle]]
"""Name → colour and line style."""


def marks_of(names: Sequence[str]) -> Marks:
    """A look for each name, as far as anybody can tell them apart."""
    return {n: (COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS)]) for i, n in enumerate(names[:MOST_LINES])}


def label(figure: Figure, axes: Sequence[Axes], x: str, y: str, indent: float = 0.0) -> None:
    """Name x below the lowest panels and y beside the leftmost ones; `indent` inches are left of the axes."""
    columns = per_row(len(axes))
    rows = -(-len(axes) // columns)
    for i, at in enumerate(axes):
        if i + columns >= len(axes):
            at.set_xlabel(wrapped(x, int((figure.get_figwidth() / columns - indent) * 12)), fontsize=9)
        if i % columns == 0:
            at.set_ylabel(wrapped(y, int((figure.get_figheight() - MARGIN) / rows * 10)), fontsize=9)


def legend(looks: Marks, labels: Mapping[str, str] | None = None) -> list[tuple[mpl.lines.Line2D, str]]:
    """Lines and their labels for a figure's legend."""
    labels = labels or {name: name for name in looks}
    return [
        (mpl.lines.Line2D([], [], color=colour, linestyle=style, linewidth=2.2), wrapped(labels[name], 70))
        for name, (colour, style) in looks.items()
    ]


def finish(figure: Figure, title: str, entries: Sequence[tuple[mpl.lines.Line2D, str]], note: str) -> None:
    """Title above; legend and a note on what the marks mean below, where they never cover a curve."""
    width = figure.get_figwidth()
    figure.suptitle(wrapped(title, int(width * 11)), x=0.01, ha="left", fontsize=11)
    lines, labels = [line for line, _ in entries], [label for _, label in entries]
    if labels or note:
        longest = max((len(line) for label in labels for line in label.split("\n")), default=1)
        columns = max(1, min(len(labels), int(width * 14 / (longest + 8))))
        figure.legend(
            lines,
            labels,
            loc="outside lower left",
            ncols=columns,
            frameon=False,
            fontsize=9,
            title=wrapped(note, int(width * 15)) or None,
            title_fontsize=8,
            alignment="left",
        )


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most that many characters; a dollar sign is one, and begins no formula."""
    text = text.replace("$", r"\$")
    return "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, max(width, 10)) or [""])


def short(value: float, _: int | None = None) -> str:
    """A number on an axis."""
    return f"{value:,.6g}".replace("-", "\N{MINUS SIGN}") if abs(value) < 1e6 else f"{value:.2g}"


def save(figure: Figure, path: Path) -> None:
    """Write PNG, SVG or PDF; the same figure gives the same bytes. Raises `WrongRequest` for other suffixes."""
    check_suffix(path)
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix]
    with mpl.rc_context({"svg.hashsalt": "relook", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata=metadata)


def check_suffix(path: Path) -> None:
    """Raise `WrongRequest` unless a picture can be written to the path."""
    if path.suffix not in SUFFIXES:
        raise WrongRequest(f"expected a picture's name to end in {', '.join(SUFFIXES)}; found {path.name}")
