"""Pictures of an ablation: what each part is worth, ranked; and the curves without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from relook.runs.files import safe_name
from relook.statistics.ablation import Judged, Part, Worth, curves
from relook.statistics.aggregates import Estimate
from relook.statistics.plots import COLOURS, GREY, Drawing, Seed, finish, grid, learning_curves, short, wrapped

LOOKS: dict[Worth | None, str] = {
    "needed": COLOURS[0],
    "harmful": COLOURS[1],
    "no effect": COLOURS[2],
    "undecided": GREY,
    None: "#000000",
}
SAID: dict[Worth | None, str] = {
    "needed": "needed",
    "harmful": "harmful",
    "no effect": "no effect beyond δ",
    "undecided": "undecided",
    None: "no verdict",
}
WIDTH = 26
"""Characters of a part's name."""


def pictures(found: Judged) -> Iterator[tuple[str, Figure]]:
    """All pictures of an ablation, with their names."""
    yield "ablation", ranked(found)
    for task, panels in curves(found).items():
        seeds = {
            part: {name: [Seed(t.curve, t.failed) for t in own] for name, own in groups.items()}
            for part, groups in panels.items()
        }
        title = f"{found.algorithm} with all of its parts, and without one of them: {task}"
        drawing = Drawing(title, "environment steps", "return (reward) of evaluations")
        yield f"curves-{safe_name(task)}", learning_curves(seeds, drawing)


def ranked(found: Judged) -> Figure:
    """A row for each part, the most valuable on top: among the others (filled) and alone (open)."""
    scopes = found.scopes
    height = 1.2 + 0.42 * (len(found.parts) + 1)
    figure, axes = grid(len(scopes), width=6.0 if len(scopes) == 1 else 4.4, height=height)
    for at, (task, parts) in zip(axes, scopes.items(), strict=True):
        _panel(at, parts, found.again[task if task in found.again else ""], found.among.rules.delta)
        at.set_title(wrapped(task or "all tasks", 44), loc="left", fontsize=10)
    unit = "normalised score" if found.among.reference else "return (reward)"
    for at in axes:
        at.set_xlabel(f"gain in {unit}", fontsize=9)
    worths = [gain.worth for own in scopes.values() for part in own for gain in (part.among, part.alone) if gain]
    finish(
        figure,
        f"What each part of {found.algorithm} is worth",
        _legend([*dict.fromkeys(worths)], alone=found.alone is not None),
        f"mean over seeds, {found.among.rules.level:.0%} intervals that hold for all parts at once; grey band: the "
        f"full algorithm against itself on other seeds"
        + (f"; dotted: ± δ = {found.among.rules.delta:g}" if found.among.rules.delta else ""),
    )
    return figure


def _panel(at: Axes, parts: Sequence[Part], again: Estimate, delta: float | None) -> None:
    at.axvspan(again.low, again.high, color="#000000", alpha=0.08, linewidth=0)
    at.axvline(0, color=GREY, linewidth=1)
    for side in (-delta, delta) if delta else ():
        at.axvline(side, color=GREY, linewidth=1, linestyle=":")
    for row, part in enumerate(parts):
        offset = 0.16 if part.alone else 0.0
        _mark(at, row - offset, part.among.effect, LOOKS[part.among.worth], filled=True)
        if part.alone:
            _mark(at, row + offset, part.alone.effect, LOOKS[part.alone.worth], filled=False)
    _mark(at, len(parts), again, "#000000", filled=True)
    names = [*(part.name for part in parts), "full against itself"]
    at.set_yticks(range(len(names)), [wrapped(name, WIDTH) for name in names], fontsize=9)
    at.set_ylim(len(names) - 0.5, -0.5)
    at.margins(x=0.06)
    at.grid(axis="y", visible=False)
    at.xaxis.set_major_formatter(FuncFormatter(short))
    at.xaxis.set_major_locator(MaxNLocator(5))


def _mark(at: Axes, row: float, found: Estimate, colour: str, *, filled: bool) -> None:
    at.plot([found.low, found.high], [row, row], color=colour, linewidth=2, alpha=0.6)
    at.plot(found.value, row, "o", color=colour, markersize=6, markerfacecolor=colour if filled else "white")


def _legend(worths: Sequence[Worth | None], *, alone: bool) -> list[tuple[Line2D, str]]:
    def dot(colour: str, face: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", markerfacecolor=face, linewidth=2)

    entries = [(dot(LOOKS[worth], LOOKS[worth]), SAID[worth]) for worth in SAID if worth in worths]
    if alone:
        entries += [(dot(GREY, GREY), "all other parts on"), (dot(GREY, "white"), "all other parts off")]
    return entries
