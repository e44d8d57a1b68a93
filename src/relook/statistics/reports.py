"""A comparison as tables, and the tables as Markdown and LaTeX; the comparison as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from relook.runs.files import plain
from relook.statistics.aggregates import AGGREGATES, Estimate
from relook.statistics.comparison import Comparison, Difference
from relook.statistics.curves import tolerance_share
from relook.statistics.sequential import Path, Plan

CONFIDENCE = 0.95
"""Of tolerance statements."""


@dataclass(frozen=True)
class Table:
    """Cells of text, the first column's names."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def number(value: float) -> str:
    """Three or four digits that say something."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def with_interval(found: Estimate) -> str:
    """A value and its interval."""
    if math.isnan(found.low):
        return number(found.value)
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def p_text(p: float) -> str:
    """A p value."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def heading(comparison: Comparison) -> list[str]:
    """What was compared, and what a reader must know."""
    rules, trainings = comparison.rules, comparison.trainings
    budgets = sorted({t.budget for t in trainings if not math.isnan(t.budget)})
    steps = " … ".join(f"{b:,.0f}" for b in ([budgets[0], budgets[-1]] if len(budgets) > 1 else budgets))
    failed = sum(t.failed for t in trainings)
    kind = "corrected bootstrap" if rules.interval == "corrected" else "percentile bootstrap"
    seeds = "; ".join(f"{method}: {comparison.seeds(method)}" for method in comparison.methods)
    lines = [
        f"{seeds}",
        f"score: {comparison.score_name}",
        f"{f'steps: {steps}; ' if steps else ''}failed trainings: {failed} of {len(trainings)}",
        f"intervals: {rules.level:.0%}, over seeds, {kind} ({rules.resamples:,} samples); of means and their "
        f"differences Student's and Welch's",
    ]
    if comparison.differences or comparison.per_task_differences:
        test = "Welch's t" if rules.test == "welch" else "Mann & Whitney's"
        adjusted = "Holm" if rules.adjust == "holm" else "max-T"
        delta = "none declared" if rules.delta is None else f"{rules.delta:g}"
        lines.append(
            f"verdicts: {test} test, α = {rules.alpha:g} adjusted by {adjusted}, smallest difference that matters δ: "
            f"{delta}"
        )
    return [*lines, *(f"note: {note}" for note in comparison.notes)]


def tables(comparison: Comparison) -> Iterator[Table]:
    """All tables of a comparison."""
    unit = "normalised score" if comparison.reference else "return"
    if comparison.aggregates:
        yield _aggregates(comparison)
    if comparison.differences:
        yield from _differences("Differences", [("", d) for d in comparison.differences], f"{unit}, first - second")
    if needed := [d for d in comparison.differences if d.needed]:
        yield _needed(comparison, needed)
    yield _per_task(comparison)
    if rows := [(task, d) for task, found in comparison.per_task_differences.items() for d in found]:
        yield from _differences("Differences by task", rows, f"{unit}, first - second")
    if comparison.reached:
        yield _reached(comparison)


def _aggregates(comparison: Comparison) -> Table:
    single = len(comparison.tasks) == 1
    names = [name for name in AGGREGATES if comparison.reference or name != "optimality gap"]
    rows = [
        [method, *(with_interval(comparison.aggregates[method][name]) for name in names)]
        for method in comparison.methods
    ]
    note = ""
    if single:
        note = "one task: IQM and median trim away the seeds that failed; look at the mean and the worst quarter"
    return Table("Aggregates", ["method", *names], rows, note)


def _per_task(comparison: Comparison) -> Table:
    rows = []
    for task in comparison.tasks:
        for method in comparison.methods:
            raw = comparison.raw[method][task]
            share = f"{tolerance_share(len(raw), CONFIDENCE):.0%}" if len(raw) > 1 else "–"
            rows.append(
                [
                    task,
                    method,
                    str(len(raw)),
                    with_interval(comparison.per_task[task][method]),
                    number(raw.min()),
                    number(raw.max()),
                    share,
                ]
            )
    columns = ["task", "method", "seeds", "mean return", "worst seed", "best seed", "range holds"]
    note = f"range holds: the share of all seeds between worst and best, with {CONFIDENCE:.0%} confidence"
    return Table("By task, as measured", columns, rows, note)


def _differences(title: str, rows: Sequence[tuple[str, Difference]], note: str) -> Iterator[Table]:
    """How large the differences are, and what the tests say."""
    pairs = [f"{d.first} \N{MINUS SIGN} {d.second}" for _, d in rows]
    names, columns = [[pair] for pair in pairs], ["comparison"]
    if rows[0][0]:
        names, columns = [[task, pair] for (task, _), pair in zip(rows, pairs, strict=True)], ["task", "comparison"]
        if len(set(pairs)) == 1:  # said once
            names, columns, title = [[task] for task, _ in rows], ["task"], f"{title}: {pairs[0]}"
    sizes = [
        [
            with_interval(d.simultaneous or d.mean),
            *(with_interval(d.aggregates[name]) for name in ("median", "IQM") if d.aggregates),
            with_interval(d.improvement),
        ]
        for _, d in rows
    ]
    if all(d.simultaneous for _, d in rows):
        note += "; intervals of the mean hold for all comparisons at once"
    known = [d.correlation for _, d in rows if not math.isnan(d.correlation)]
    if known and len(rows) < 4:
        note += f"; correlation of seeds with equal numbers {', '.join(f'{r:+.2f}' for r in known)}"
    shown = ["mean", *(["median", "IQM"] if rows[0][1].aggregates else []), "P(first better)"]
    yield Table(title, [*columns, *shown], [[*who, *found] for who, found in zip(names, sizes, strict=True)], note)
    tests = [[p_text(d.p_welch), p_text(d.p_ranks), p_text(d.adjusted), d.verdict or "none"] for _, d in rows]
    yield Table(
        f"Tests of the d{title[1:]}",
        [*columns, "p Welch", "p ranks", "adjusted p", "verdict"],
        [[*who, *found] for who, found in zip(names, tests, strict=True)],
        f"adjusted over {len(rows)} comparisons" if len(rows) > 1 else "",
    )


def _reached(comparison: Comparison) -> Table:
    rows = []
    for task, own in comparison.reached.items():
        for method, found in own.items():
            median = found.median()
            half = f"{median:,.0f}" if math.isfinite(median) else f"> {found.steps.max():,.0f}"
            rows.append([task, method, f"{found.reached.sum()} of {len(found.reached)}", half])
    columns = ["task", "method", "seeds that did", "steps for half of them"]
    return Table(
        f"Steps to a return of {comparison.rules.reach:g}",
        columns,
        rows,
        "Kaplan & Meier: seeds that did not reach it count as watched until their last evaluation",
    )


def _needed(comparison: Comparison, differences: Sequence[Difference]) -> Table:
    rows = []
    for d in differences:
        assert d.needed is not None
        hours = f"{d.needed.hours:.3g}" if math.isfinite(d.needed.hours) else "not measured"
        rows.append([f"{d.first} \N{MINUS SIGN} {d.second}", _seeds(d.needed.power), _seeds(d.needed.precision), hours])
    return Table(
        "Seeds of each method that the question needs",
        ["comparison", "to find δ with 80 % power", "for an interval of ± δ", "hours for a seed of both"],
        rows,
        f"for δ = {comparison.rules.delta:g} and the upper 80 % bound of the spread, in a new comparison with all its "
        f"seeds planned; adding seeds until p is small is not a test (see --plan)",
    )


def _seeds(count: int | None) -> str:
    return "> 100,000" if count is None else f"{count:,}"


def sequential_table(plan: Plan, paths: Sequence[tuple[str, str, Path]]) -> Table:
    """A comparison look by look."""
    rows = []
    for first, second, path in paths:
        for k, (statistic, boundary) in enumerate(zip(path.statistic, path.boundary, strict=True)):
            decided = path.decided == k + 1
            rows.append(
                [
                    f"{first} \N{MINUS SIGN} {second}",
                    f"{k + 1} of {plan.looks}",
                    str((k + 1) * plan.seeds_per_look),
                    number(statistic),
                    number(boundary),
                    "different" if decided else "",
                ]
            )
    return Table(
        "Look by look",
        ["comparison", "look", "seeds of each", "T", "boundary", ""],
        rows,
        f"decided where |T| is beyond the boundary; α = {plan.alpha:g} over all looks and comparisons, {plan.spending} "
        f"spending; the null is that seeds of both methods are exchangeable; what is decided "
        f"early tends to look larger than it is",
    )


def markdown(heading: Sequence[str], found: Sequence[Table], title: str = "Comparison") -> str:
    """A page."""
    lines = [f"# {title}", "", *(f"- {line}" for line in heading), ""]
    for table in found:
        lines += [f"## {table.title}", "", f"| {' | '.join(map(_pipes, table.columns))} |"]
        lines += ["|" + "---|" * len(table.columns)]
        lines += [f"| {' | '.join(map(_pipes, row))} |" for row in table.rows]
        lines += ["", *([table.note, ""] if table.note else [])]
    return "\n".join(lines)


def _pipes(text: str) -> str:
    return text.replace("|", "\\|")


def latex(heading: Sequence[str], found: Sequence[Table]) -> str:
    """A fragment for a document that uses booktabs: one table environment for each table, the heading as comments."""
    lines = [f"% {line}" for line in heading]
    for table in found:
        lines += ["", r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.title)}. {_tex(table.note)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", r"\toprule"]
        lines += [" & ".join(map(_tex, table.columns)) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_tex, row)) + r" \\" for row in table.rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


TEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "\N{MINUS SIGN}": "$-$",
    "δ": r"$\delta$",
    "α": r"$\alpha$",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\ldots{}",
    "×": r"$\times$",
}


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Every figure, for programs. NaN is null, and infinities are strings."""
    trainings = comparison.trainings
    seeds = {
        m: {task: [t.seed for t in trainings if (t.method, t.task) == (m, task)] for task in comparison.tasks}
        for m in comparison.methods
    }
    failed = [t for t in trainings if t.failed]
    return dict(
        plain(
            {
                "methods": comparison.methods,
                "tasks": comparison.tasks,
                "score": comparison.score_name,
                "reference": comparison.reference,
                "rules": asdict(comparison.rules),
                "notes": comparison.notes,
                "seeds": seeds,
                "failed": [{key: getattr(t, key) for key in ("method", "task", "seed", "status")} for t in failed],
                **{key: _data(getattr(comparison, key)) for key in FIGURES},
            }
        )
    )


FIGURES = (
    "raw",
    "scores",
    "aggregates",
    "per_task",
    "differences",
    "per_task_differences",
    "reached",
    "profiles",
    "efficiency",
)
"""Fields of a comparison that are figures."""


def _data(value: Any) -> Any:
    """Records as mappings, arrays as lists."""
    match value:
        case Mapping():
            return {key: _data(item) for key, item in value.items()}
        case list() | tuple():
            return [_data(item) for item in value]
        case np.ndarray():
            return value.tolist()
        case _:
            return _data({f.name: getattr(value, f.name) for f in fields(value)}) if is_dataclass(value) else value


def sequential_json(plan: Plan, paths: Sequence[tuple[str, str, Path]]) -> dict[str, Any]:
    """A comparison look by look, for programs."""
    looks = [
        {"first": first, "second": second, **_data(path), "decided": path.decided} for first, second, path in paths
    ]
    return dict(plain({"plan": asdict(plan), "comparisons": looks}))
