"""Looking at pictures: what their lines are, and whether a person can read them. Public scores, where they are."""

from itertools import combinations

import numpy as np
import pytest
from benchmarks.public_scores import Missing, atari
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.atleast_1d(np.asarray(line.get_xdata(), dtype=np.float64))]


def ys(line: Line2D) -> list[float]:
    return [float(y) for y in np.atleast_1d(np.asarray(line.get_ydata(), dtype=np.float64))]


def illegible(figure: Figure) -> list[str]:
    """What is wrong with the texts of a figure: which cover each other, and which are cut off."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    boxes: list[tuple[str, Bbox]] = []
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), text.get_window_extent(renderer)))
    shown = [(said, box) for said, box in boxes if not _hidden(figure, said, box)]
    whole = Bbox.from_bounds(-1, -1, figure.bbox.width + 2, figure.bbox.height + 2)
    faults = [f"cut off: {said!r}" for said, box in shown if not _inside(box, whole)]
    for (one, a), (other, b) in combinations(shown, 2):
        common = Bbox.intersection(a, b)
        if common is not None and common.width > 1 and common.height > 1 and (one, a.bounds) != (other, b.bounds):
            faults.append(f"{one!r} covers {other!r}")
    return faults


def _inside(box: Bbox, whole: Bbox) -> bool:
    return bool(box.x0 >= whole.x0 and box.y0 >= whole.y0 and box.x1 <= whole.x1 and box.y1 <= whole.y1)


def _hidden(figure: Figure, said: str, box: Bbox) -> bool:
    """Tick labels outside of their axis' limits are never drawn, and those of axes that are off neither."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                for label in (tick.label1, tick.label2):
                    if label.get_text() == said and label.get_window_extent().bounds == box.bounds:
                        if not axes.axison:
                            return True
                        place = tick.get_loc()
                        room = 0.0 if axis.get_scale() == "log" else 1e-9 * max(abs(low), abs(high), 1)
                        return bool(place < low - room or place > high + room)
    return False


def public_atari(method: str, seeds: int | None = None) -> list[NDArray[np.float64]]:
    """Public scores of 26 games; the test is skipped where they are not."""
    try:
        return atari(method, seeds)
    except Missing as why:
        pytest.skip(str(why))
