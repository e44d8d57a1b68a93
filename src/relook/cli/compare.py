"""`relook compare RUN…`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from relook.cli.options import output_file, parse
from relook.cli.tables import print_tables
from relook.errors import RelookError, WrongRequest

if TYPE_CHECKING:
    from relook.statistics.comparison import Comparison, Looks, Rules
    from relook.statistics.references import Reference
    from relook.statistics.reports import Table
    from relook.statistics.scores import Training
    from relook.statistics.sequential import Plan


@dataclass
class Form:
    """Say which of several methods is better, how certain that is, and what must not be said.

    Runs, or tidy tables of anybody's scores: a CSV or Parquet file with a row for each score and the columns method,
    task, seed and score (and step, status, phase, …: see docs/comparing.md).
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN…")]
    """[NAME=]RUN, a grid, or [NAME=]TABLE; runs of the same name are one method."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Only these methods, by their exact names."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME…")] = ()
    """Only these tasks, by their exact names."""
    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The method that the others are compared with; the first unless said otherwise."""
    delta: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """δ, the smallest difference that matters, in units of the score. Without it there is no verdict."""
    score: Annotated[str, tyro.conf.arg(metavar="{final,auc}")] = "final"
    """final: the mean of the last evaluations; auc: the mean over training."""
    last: int = 1
    """How many last evaluations the final score is the mean of."""
    steps: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Compare at this step."""
    mode: Literal["deterministic", "stochastic"] = "deterministic"
    """Which evaluations of runs count."""
    failed_score: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """What a training that failed scores; what it had reached unless said otherwise."""
    reference: Annotated[str | None, tyro.conf.arg(metavar="none|FILE.toml")] = None
    """Reference scores that put tasks on one scale: ours for several tasks, none for a single one."""
    alpha: float = 0.05
    """Chance of any false verdict; intervals have the level 1 - α."""
    test: Literal["welch", "mann-whitney"] = "welch"
    """The test that verdicts come from."""
    adjust: Literal["holm", "max-t"] = "holm"
    """How p values are adjusted for the number of comparisons."""
    interval: Literal["corrected", "percentile"] = "corrected"
    """Bootstrap intervals: corrected for few seeds, or plain percentiles."""
    paired: bool = False
    """Compare seeds of the same number with each other."""
    reach: Annotated[float | None, tyro.conf.arg(metavar="NUMBER")] = None
    """Time the steps until this return is reached."""
    plan: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Look while seeds are being added: the plan is written at the first look and holds for all later ones."""
    looks: Annotated[int | None, tyro.conf.arg(metavar="K")] = None
    """K, the most looks of a new plan."""
    seeds_per_look: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """n, new seeds of each method and task at every look of a new plan."""
    statistic: Literal["mean", "rank"] | None = None
    """Of a new plan: differences of scores (unless said otherwise), or of their ranks."""
    spending: Literal["linear", "late"] | None = None
    """Of a new plan: α is spent evenly (unless said otherwise), or late."""
    allow: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WHAT…")] = ()
    """Compare in spite of: phases, tuning, configurations, budgets, time-limit, evaluation-mode, reward-scaling,
    env-versions, late-plan."""
    json: bool = False
    """Print JSON for programs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIRECTORY")] = None
    """A directory for the comparison as JSON, Markdown, LaTeX and pictures."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "compare", arguments)
    if not form.runs:
        raise WrongRequest("expected at least one run directory, .csv or .parquet file; found none")
    rules = _rules(form)

    from relook.statistics import reports
    from relook.statistics.comparison import compare, follow
    from relook.statistics.scores import checked, read, select

    trainings = select([t for source in form.runs for t in read(source, form.mode)], form.methods, form.tasks)
    trainings, notes = checked(trainings, form.allow, form.steps)
    comparison = compare(trainings, rules, _reference(form, trainings), notes)
    tables, content, looks = [*reports.tables(comparison)], reports.as_json(comparison), None
    if form.plan is not None:
        plan = _plan(form, comparison)
        looks = (plan, follow(comparison, plan))
        tables.append(reports.sequential_table(*looks))
        content["sequential"] = reports.sequential_json(*looks)
    written = [] if form.out is None else _write(form.out, comparison, tables, content, looks)
    if form.json:
        print(json.dumps(content, indent=1, allow_nan=False))
        return
    print_tables(reports.heading(comparison), tables)
    if written:
        print(f"{form.out}: {', '.join(sorted(written))}")


LATE = "late-plan"


def _rules(form: Form) -> Rules:
    """The declared rules. Refuses what would bias or mean nothing, before any table is read."""
    from relook.statistics.comparison import Rules
    from relook.statistics.scores import ALLOWANCES

    if form.score in ("best", "max", "maximum", "peak"):
        raise WrongRequest(
            f"expected --score final or auc; found {form.score}: the best of many evaluations is a score plus "
            f"the luck of its noise, and grows with the number of evaluations"
        )
    if form.score not in ("final", "auc"):
        raise WrongRequest(f"expected --score final or auc; found {form.score!r}")
    if unknown := [name for name in form.allow if name not in (*ALLOWANCES, LATE)]:
        raise WrongRequest(f"expected --allow with one of {', '.join((*ALLOWANCES, LATE))}; found {unknown[0]!r}")
    for name, value, low, high in (
        ("--alpha", form.alpha, 0.0, 0.5),
        ("--delta", form.delta, 0.0, float("inf")),
        ("--last", form.last, 0, float("inf")),
        ("--steps", form.steps, 0, float("inf")),
    ):
        if value is not None and not low < value < high:
            raise WrongRequest(f"expected {name} between {low:g} and {high:g}; found {value:g}")
    if form.adjust == "max-t" and (form.test != "welch" or form.paired):
        raise WrongRequest("expected Welch's test of unpaired seeds for --adjust max-t; choose --adjust holm")
    if form.paired and form.test != "welch":
        raise WrongRequest(
            "expected --test welch for a paired comparison: it becomes Student's test of the differences"
        )
    return Rules(
        score="auc" if form.score == "auc" else "final",
        last=form.last,
        failed_score=form.failed_score,
        baseline=form.baseline,
        delta=form.delta,
        alpha=form.alpha,
        test=form.test,
        adjust=form.adjust,
        interval=form.interval,
        paired=form.paired,
        reach=form.reach,
    )


def _reference(form: Form, trainings: Sequence[Training]) -> Reference | None:
    from relook.statistics.references import reference

    if form.reference == "none" or (form.reference is None and len({t.task for t in trainings}) == 1):
        return None
    return reference(None if form.reference is None else Path(form.reference))


def _plan(form: Form, comparison: Comparison) -> Plan:
    """The plan in the file; a new one is written, but only before more seeds are there than its first look has."""
    from relook.statistics.sequential import Plan

    assert form.plan is not None
    choices = ("looks", "seeds_per_look", "statistic", "spending")
    given = {name: value for name in choices if (value := getattr(form, name)) is not None}
    if form.plan.exists():
        written = _read_plan(form.plan)
        asked = given | {"alpha": form.alpha, "delta": form.delta}
        for key, value in asked.items():
            if getattr(written, key) != value:
                raise WrongRequest(
                    f"expected {key} = {getattr(written, key)} as {form.plan} fixed it before the first look; found "
                    f"{value}: a plan that moves does not keep its promise"
                )
        return written
    if form.looks is None or form.seeds_per_look is None:
        raise WrongRequest(f"expected --looks and --seeds-per-look for a new plan, as {form.plan} is not there")
    if form.looks < 1 or form.seeds_per_look < 2:
        raise WrongRequest(
            f"expected at least one look and two seeds at each; found {form.looks} and {form.seeds_per_look}"
        )
    seeds = min(len(xs) for own in comparison.scores.values() for xs in own.values())
    if seeds > form.seeds_per_look and LATE not in form.allow:
        raise WrongRequest(
            f"expected a plan before its first look, at {form.seeds_per_look} seeds; there are {seeds} already, "
            f"and who has seen them can choose a plan that suits. Plan more seeds per look, or say --allow {LATE}"
        )
    plan = Plan(
        form.looks,
        form.seeds_per_look,
        form.alpha,
        form.delta,
        form.statistic or "mean",
        form.spending or "linear",
    )
    output_file(form.plan, "--plan").write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
    return plan


def _read_plan(path: Path) -> Plan:
    from relook.runs.files import read_json
    from relook.statistics.sequential import Plan

    found = read_json(path)
    try:
        plan = Plan(
            int(found["looks"]),
            int(found["seeds_per_look"]),
            float(found["alpha"]),
            None if found["delta"] is None else float(found["delta"]),
            found["statistic"],
            found["spending"],
        )
        if not (0 < plan.looks <= 1000 and 1 < plan.seeds_per_look <= 10_000 and 0 < plan.alpha < 0.5):
            raise ValueError("a number out of its range")
        if plan.statistic not in ("mean", "rank") or plan.spending not in ("linear", "late"):
            raise ValueError("an unknown statistic or spending")
    except (KeyError, TypeError, ValueError) as error:
        raise RelookError(f"expected a plan in {path}, as relook compare --plan wrote it; found {error!r}") from error
    return plan


def _write(
    out: Path, comparison: Comparison, tables: Sequence[Table], content: Mapping[str, Any], looks: Looks | None
) -> list[str]:
    """Everything into a directory, which may hold an older comparison: its pictures go. Returns the files' names."""
    from relook.statistics import reports
    from relook.statistics.comparison_plots import NAMES, pictures
    from relook.statistics.plots import save

    if out.exists() and not out.is_dir():
        raise WrongRequest(f"expected --out to be a directory; {out} is a file")
    output_file(out, "--out").mkdir(exist_ok=True)
    heading = reports.heading(comparison)
    (out / "comparison.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "comparison.md").write_text(reports.markdown(heading, tables), encoding="utf-8")
    (out / "comparison.tex").write_text(reports.latex(heading, tables), encoding="utf-8")
    for name in NAMES:
        (out / f"{name}.png").unlink(missing_ok=True)
    written = ["comparison.json", "comparison.md", "comparison.tex"]
    for name, figure in pictures(comparison, looks):
        written.append(f"{name}.png")
        save(figure, out / written[-1])
    return written
