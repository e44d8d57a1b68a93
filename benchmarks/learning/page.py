"""docs/benchmarks.md and its pictures, from the tables of the rows that have been carried out."""

from __future__ import annotations

import json
import operator
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from benchmarks.learning.published import TABLE
from benchmarks.learning.rows import AGAIN, COMMON, PLANNED, RESULTS, ROWS, SEARCHES, STUDIES, Row, Search
from relook.algorithms import algorithm
from relook.runs.files import plain
from relook.statistics.aggregates import Array, iqm, mean_interval
from relook.statistics.plots import Drawing, Seed, learning_curves, marks_of, save
from relook.statistics.reports import number
from relook.statistics.scores import Training, of_table
from relook.tabular import backup, from_environment

DOCS = Path(__file__).parents[2] / "docs"
PAGE, IMAGES = DOCS / "benchmarks.md", DOCS / "images"
README = DOCS.parent / "README.md"
REPLACED = RESULTS / "replaced"
"""Evaluations of rows as they were before their settings changed."""
INTRODUCTION = """# What relook's algorithms learn

Returns of the last evaluation of each training, in the environment as it is: 10 deterministic episodes of every seed
(100 on FrozenLake), at the last step and not the best one. The mean over seeds has Student's 95 % interval. Every seed
of the settings shown is in; an agent that diverged would count with the last evaluation that it had. Some settings were
changed after a first result: what that was, and how the new ones do on further seeds, stands below.

Beside each stands what others report, which is seldom the same quantity. Some of it flatters them: the highest
evaluation of a training is higher than its last one, and one training that went well is no mean. Some flatters us:
returns of training are usually lower than those of the deterministic policy, and some were read in the middle of a
longer training, where step sizes have not been annealed yet; those of our on-policy algorithms are 0 at the last step.
Environments differ between versions (-v1 to -v5). The numbers under a table say what each source measures. "Set out
for" is a mean that was written down before the work began. A star marks settings that are not those of the table.

Where seeds split into two groups, or meet the highest return that there is, Student's interval of five or ten of them
is rough: it may reach beyond what is possible, and one of no width says only that no seed failed. The worst seed says
more.
"""
CHANGED = """## Settings that were changed after a first result

These rows disappointed on the seeds of the tables, 0 and up. Other settings were then chosen on seeds of 10,000 and up
([LOG.md](../LOG.md)), but that there was something to choose was seen on the seeds of the tables; so the new ones train
on as many further seeds, 10 and up, as well. TD3's were not trained on further seeds, so that its means may flatter it.
The defaults themselves came about in the same way: some of them (PPO, REINFORCE and TRPO on CartPole-v1 and
Pendulum-v1) were changed after trainings on seeds that "Small tasks" has too.

| row | earlier setting | mean return [95 %] | new setting | mean return, seeds of the table | further seeds | all |
|---|---|---|---|---|---|---|"""
SEARCHED = """## How the settings for MuJoCo were found

By searches on tuning seeds (10,000 and up), which chose among settings by their last evaluations, each with a
confirmation on seeds that took no part in it: 0, 1, …, which the tables above begin with, too. The gap between the two
estimates how much of the score was luck; both ends are means of few seeds, and a gap below 0 says no more than that it
is small beside their noise. Where a search starts, and PPO's entropy bonus, were found by trainings on tuning
seeds before it; [LOG.md](../LOG.md) has what they gave, their raw results were not kept. What the last search of PPO
chose is HalfCheetah's own setting; the preset is where it started, which did well on Hopper too.
"""
COMMANDS = """## Commands

`python -m benchmarks.learning ROW` carries one out, keeps its evaluations and makes this page anew; after an
interruption the same command goes on. It may also be told where: `--workers 1`, `--engine ray`. Every evaluation
of every seed is in `benchmarks/results/learning/ROW.parquet`, which `relook compare` reads. The commit is the one at
which the training began.

| row | command | made with |
|---|---|---|"""


@cache
def trainings(row: Row) -> list[Training]:
    """All seeds of a row."""
    return of_table(row.table)


def finals(row: Row) -> Array:
    """The last evaluation of every seed."""
    return np.array([training.curve[1][-1] for training in trainings(row)])


@cache
def published() -> list[dict[str, Any]]:
    """What others report."""
    text = Path(__file__).with_name("published.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["source"])


def of_others(row: Row) -> Iterator[tuple[int, float, str]]:
    """Numbers of sources, with the mean and the spread that they report of this row."""
    task = row.task.rpartition("-")[0]
    for place, source in enumerate(published(), 1):
        if source["study"] == row.study:
            if row.algorithm in source.get("curves", ()):
                at = published_curve(row.algorithm, task).filter(step=row.steps)
                yield from ((place, mean, f"[{number(low)}, {number(high)}]") for *_, mean, low, high in at.rows())
            elif value := source.get(row.algorithm, {}).get(task):
                yield place, *value


@cache
def published_curve(algorithm: str, task: str) -> pl.DataFrame:
    """The mean of a published learning curve."""
    return pl.read_csv(TABLE).filter(pl.col("task").str.starts_with(f"{task}-"), algorithm=algorithm)


def page() -> str:
    """The whole page."""
    done = sum(row.table.exists() for row in PLANNED)
    lines = [INTRODUCTION]
    if done < len(PLANNED):
        rest = "`python -m benchmarks.learning list` names the rest."
        lines.append(
            f"{done} of {len(PLANNED)} planned rows, those on further seeds too, have been carried out; {rest}\n"
        )
    for study, (title, text) in STUDIES.items():
        if rows := made(study):
            lines += [f"## {title}", "", text.format(optimum=frozen_lake()), "", *table(rows), "", *sources(rows)]
            lines += [f"![{title}](images/learning-{study}.png)", ""]
    return "\n".join([*lines, *changed(), *searches(), *commands()])


def made(study: str) -> list[Row]:
    """The rows of a study that have been carried out, task by task."""
    rows = [row for row in ROWS if row.study == study and row.table.exists()]
    tasks = [*dict.fromkeys(row.task for row in rows)]
    return sorted(rows, key=lambda row: tasks.index(row.task))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Final returns, beside what others report."""
    yield "| task | algorithm | steps | seeds | mean return [95 %] | IQM | worst … best seed | set out for | others |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        own = finals(row)
        failed = sum(training.failed for training in trainings(row))
        missed = row.bar is not None and own.mean() < row.bar
        aim = "" if row.bar is None else f"{number(row.bar)}{': missed' if missed else ''}"
        others = [[number(value), spread, f"({place})"] for place, value, spread in of_others(row)]
        cells = (
            row.task,
            f"{row.algorithm.upper()}{star(row)}",
            f"{row.steps:,}",
            f"{len(own)}{f', {failed} failed' if failed else ''}",
            mean_of(own),
            number(iqm(own)),
            f"{number(float(own.min()))} … {number(float(own.max()))}",
            aim,
            ", ".join(" ".join(filter(None, parts)) for parts in others),
        )
        yield f"| {' | '.join(cells)} |"


def mean_of(scores: Array, mark: str = "", bold: str = "**") -> str:
    """A mean, with its interval."""
    low, high = (number(float(end)) for end in mean_interval(scores))
    return f"{bold}{number(float(scores.mean()))}{bold}{mark} [{low}, {high}]"


def star(row: Row) -> str:
    """A mark for settings of a row's own."""
    return "\\*" if row.has_its_own else ""


def sources(rows: Sequence[Row]) -> Iterator[str]:
    """Who the others are, and what they measure."""
    for place in sorted({place for row in rows for place, *_ in of_others(row)}):
        source = published()[place - 1]
        yield f"- ({place}) [{source['name']}]({source['url']}): {source['measures']}"
    yield ""


def readme() -> str:
    """The README, whose tables have a task in each row and an algorithm in each column."""
    text = README.read_text(encoding="utf-8")
    for study, written in (("million", beside_others), ("replay", beside_others), ("classic", with_the_worst)):
        mark = f"<!-- learned: {study} -->\n\n"
        before, after = text.split(mark)
        _, rest = after.split("\n\n", 1)
        text = "".join([before, mark, "\n".join(matrix(study, written)), "\n\n", rest])
    return text


def matrix(study: str, written: Callable[[Row], str]) -> Iterator[str]:
    """What a study found, in the cells of a table."""
    found = {(row.task, row.algorithm): row for row in made(study)}
    tasks, algorithms = ([*dict.fromkeys(names)] for names in zip(*found, strict=True))
    yield f"| task | {' | '.join(name.upper() for name in algorithms)} |"
    yield "|---" * (len(algorithms) + 1) + "|"
    for task in tasks:
        rows = [found.get((task, name)) for name in algorithms]
        cells = [written(row) if row else "" for row in rows]
        yield f"| {task} | {' | '.join(cells)} |"


def beside_others(row: Row) -> str:
    """A mean with its interval, and the highest of the others' means after as many steps."""
    others = [
        value for place, value, _ in of_others(row) if published()[place - 1].get("steps", row.steps) == row.steps
    ]
    beside = f"; {number(max(others))}" if others else ""
    return f"{mean_of(finals(row), star(row))}{beside}"


def with_the_worst(row: Row) -> str:
    """A mean, its worst seed, and the steps."""
    own = finals(row)
    return f"**{number(float(own.mean()))}**{star(row)} ({number(float(own.min()))}), {row.steps // 1000:,}k"


def changed() -> Iterator[str]:
    """What was replaced by rows with other settings, beside them."""
    yield CHANGED
    for row in ROWS:
        for path in sorted(REPLACED.glob(f"{row.name}-*.parquet")):
            earlier = of_table(path)
            was, now = (settings_of(own) for own in (earlier[0], trainings(row)[0]))
            changes = [name for name in now if was[name] != now[name]]
            before, after = (", ".join(f"{name} {own[name]}" for name in changes) for own in (was, now))
            replaced = mean_of(np.array([training.curve[1][-1] for training in earlier]))
            cells = (row.name, before, replaced, after, mean_of(finals(row)), *further(row))
            yield f"| {' | '.join(cells)} |"
    yield ""


def further(row: Row) -> tuple[str, str]:
    """The means of a row's further seeds, and of these and the table's."""
    again = AGAIN.get(row)
    if again is None:
        return "none", ""
    if not again.table.exists():
        return "not yet", ""
    own = finals(again)
    return mean_of(own), mean_of(np.concatenate([finals(row), own]))


def settings_of(training: Training) -> dict[str, Any]:
    """Hyper-parameters and steps."""
    return {**training.hyperparameters, "steps": f"{training.budget:,.0f}"}


@cache
def frozen_lake() -> float:
    """The highest expected return of FrozenLake-v1 in the steps that an episode may have."""
    env = gymnasium.make("FrozenLake-v1")
    mdp = from_environment(env)
    limit = env.spec.max_episode_steps if env.spec else None
    value = np.zeros(mdp.size)
    for _ in range(limit or 0):
        value = backup(mdp, value, 1.0).max(1)
    return float(mdp.start @ value)


def picture(study: str) -> Figure:
    """Learning curves of a study, a panel for each task; published means are dots."""
    rows = [row for row in COMMON if row.table.exists()] if study == "nine" else made(study)
    panels: dict[str, dict[str, list[Seed]]] = {}
    for row in rows:
        curves = [Seed(training.curve, training.failed) for training in trainings(row)]
        panels.setdefault(row.task, {})[row.algorithm.upper()] = curves
    drawn = set()
    marks = marks_of([*dict.fromkeys(name for groups in panels.values() for name in groups)])
    beside = []
    for place, (task, groups) in enumerate(panels.items()):
        base, end = task.rpartition("-")[0], max(row.steps for row in rows if row.task == task)
        for name in groups:
            curve = published_curve(name.lower(), base).filter(pl.col("step") <= end)
            if len(curve):
                beside.append((place, curve["step"], curve["mean"], marks[name][0]))
                [source] = [own["name"] for own in published() if name.lower() in own.get("curves", ())]
                drawn.add(f"{source} ({curve['seeds'][0]} seeds)")
    title = STUDIES[study][0] + (f"; dots: {'; '.join(sorted(drawn))}" if drawn else "")
    figure = learning_curves(panels, Drawing(title, "environment steps", "mean return of deterministic episodes"))
    for place, steps, means, colour in beside:
        axes = figure.axes[place]
        low, high = axes.get_ylim()
        room = (high - low) / 50
        axes.set_ylim(min(low, *means - room), max(high, *means + room))
        axes.plot(steps, means, "o", color=colour, markersize=3.5)
    return figure


def searches() -> Iterator[str]:
    """How settings were found, and how much of what they promised was luck."""
    ended = [search for search in SEARCHES if search.report.exists()]
    if ended:
        yield SEARCHED
    for search in ended:
        found = [line for line in search.report.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
        where = f"../benchmarks/results/learning/{search.report.name}"
        yield f"**{search.name}** ([every trial]({where})): `{search.command}`"
        yield ""
        yield from found
        yield f"- `--preset mujoco` of {search.algorithm} is {came_of(search)}"
        yield ""


def came_of(search: Search) -> str:
    """What `--preset mujoco` is to a search."""
    confirmed = json.loads(search.report.with_suffix(".json").read_text(encoding="utf-8"))["confirmed"]
    ours = algorithm(search.algorithm)
    preset = plain({**asdict(ours.config()), **ours.preset("mujoco").hyperparameters})
    arms = {"tuned": "what it chose", "start": "what it started from"}
    found = [(words, confirmed[arm]["hyperparameters"].items()) for arm, words in arms.items() if arm in confirmed]
    for same, addition in ((operator.eq, ""), (rounded, ", rounded")):  # exactly first: .01 is .0142, rounded
        for words, settings in found:
            if all(same(preset[name], value) for name, value in settings):
                return f"{words}{addition}"
    return "neither what it chose nor what it started from"


def rounded(value: object, exact: object) -> bool:
    """Whether a setting is another one, to as many digits as it has itself."""
    if isinstance(value, float) and isinstance(exact, float):
        last = 10.0 ** int(Decimal(repr(value)).as_tuple().exponent)
        return abs(value - exact) <= last / 2 + 1e-12
    return value == exact


def commands() -> Iterator[str]:
    """What made each row."""
    yield COMMANDS
    for row in PLANNED:
        if row.table.exists():
            about = pl.read_parquet_metadata(row.table)
            versions = json.loads(about["versions"])
            names = [f"{name} {versions[name]}" for name in ("torch", "gymnasium", "mujoco") if name in versions]
            yield f"| {row.name} | `{about['command']}` | {', '.join(names)}, {about['commit'][:7]} |"
    yield ""


def write() -> None:
    """The page, its pictures, and the README's tables."""
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
    for study in STUDIES:
        if made(study):
            save(picture(study), IMAGES / f"learning-{study}.png")
