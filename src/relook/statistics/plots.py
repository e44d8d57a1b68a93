"""Pictures of learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws to files, and never looks for a screen

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from relook.statistics.aggregates import iqm, iqm_interval, mean_interval

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito's palette, which colour-blind readers can tell apart."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps [E], and one score per step and seed [E, seeds]."""


def learning_curves(
    curves: Mapping[str, Curve],
    path: Path,
    *,
    title: str,
    y_label: str,
    centre: str = "mean",
    branches: Sequence[float] = (),
) -> None:
    """Draw one PNG: every seed as a thin line, their mean or IQM as a thick one, and a band of its 95 % interval.

    `branches` are steps at which a run branches off from another: upright lines.

    The band holds at each step by itself: Student's for a mean, a corrected bootstrap for an IQM; a single
    seed has none.
    """
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for i, (name, (steps, scores)) in enumerate(curves.items()):
        colour, seeds = COLOURS[i % len(COLOURS)], scores.shape[1]
        style = ("-", "--", ":", "-.")[i // len(COLOURS) % 4]
        axes.plot(steps, scores, color=colour, linewidth=0.7, alpha=0.35, linestyle=style)
        middle = scores.mean(1) if centre == "mean" else np.array([iqm(row) for row in scores])
        what = f"{centre if centre == 'IQM' else 'mean'} of {seeds} seed{'s' if seeds > 1 else ''}"
        axes.plot(
            steps, middle, color=colour, linewidth=2.2, linestyle=style, label=f"{name}  ({what})" if name else what
        )
        if seeds > 1:
            low, high = mean_interval(scores, axis=1) if centre == "mean" else iqm_interval(scores)
            axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    for at in set(branches):
        axes.axvline(at, color="#555555", linewidth=1, linestyle=":")
        axes.annotate(" branch", (at, 1), xycoords=("data", "axes fraction"), va="top", fontsize=9, color="#555555")
    axes.set_xlabel("environment steps per agent")
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlim(left=0)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    note = f"thin: single seeds · band: 95 % interval of the {centre}, at each step by itself"
    # Below the axes: however many settings there are, the legend never covers a curve.
    axes.legend(
        title=note,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        frameon=False,
        title_fontsize=9,
        fontsize=9,
        ncols=1 if len(curves) < 4 else 2,
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)
