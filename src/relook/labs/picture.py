"""What the pictures of labs share: panels in one look, lines that differ in grey too, one message above."""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relook.statistics.plots import COLOURS, GREY, STYLES, finish, grid

Where = Literal["best", "upper right", "upper left", "lower left", "lower right", "center left", "center right"]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

__all__ = ["COLOURS", "GREY", "MARKERS", "STYLES", "legend", "panels", "titled"]


def panels(
    count: int, message: str, note: str = "", *, width: float = 4.8, height: float = 3.4
) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a size in inches, its message above, and below, in small, what the marks mean."""
    figure, axes = grid(count, width, height)
    finish(figure, message, [], note)
    return figure, axes


def titled(at: Axes, title: str, x: str, y: str) -> None:
    """Name a panel and its axes."""
    at.set_title(title, loc="left", fontsize=10)
    at.set_xlabel(x, fontsize=9)
    at.set_ylabel(y, fontsize=9)


def legend(at: Axes, where: Where = "best") -> None:
    """A panel's legend of what was drawn with a label."""
    at.legend(frameon=False, fontsize=8, loc=where)
