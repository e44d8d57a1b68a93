"""Anybody's scores as one kind of table, and the rules without which a comparison means nothing.

The unit is the training: one seed of one method on one task. Runs of relook and tidy tables become a list of them.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from relook.errors import WrongRequest
from relook.runs.reading import AgentRecord, Run, named, opened
from relook.runs.tidy import algorithm_name, configuration, method_name, phase, task_name, time_limit
from relook.statistics.aggregates import Array
from relook.statistics.curves import Curve, area

NEARLY = 1.05
"""Step budgets count as equal up to this factor: algorithms round down to whole iterations of their own."""
MOST_BYTES = 2**30
FAILED = ("crashed", "diverged", "killed")
TABLE = {
    "method": "its name",
    "task": "environment, with its version",
    "seed": "training seed, a whole number",
    "score": "return, higher is better; return_mean means the same",
    "step": "environment steps at this evaluation; without it each row is a final score",
    "status": "ok, crashed, diverged or killed",
    "phase": "test, or tune for seeds on which settings were chosen",
    "configuration": "all hyper-parameters, or their hash; config_hash means the same",
    "algorithm": "the method without its setting, for `relook sensitivity`",
    "hyperparameters": "the setting as JSON, for `relook sensitivity`",
    "tuning_trials": "how many settings were tried to find this one",
    "time_limit": "steps of an episode",
    "evaluation_mode": "such as deterministic or stochastic",
    "reward_scaling": "of the evaluation's rewards, such as none",
    "code_version": "what made it",
    "n_eval_episodes": "episodes of an evaluation",
    "episode_returns": "returns of these episodes, with semicolons",
    "wall_time": "seconds of the training",
}
"""The columns of a tidy table; the first four are needed."""
SAME = {"return_mean": "score", "config_hash": "configuration"}
BIASED = re.compile(r"(best|max|peak|top)(imum)?[_ -]?|[_ -](best|max)$", re.IGNORECASE)

CONDITIONS = {
    "time_limit": ("time-limit", "have different time limits"),
    "evaluation_mode": ("evaluation-mode", "are evaluated in different modes"),
    "reward_scaling": ("reward-scaling", "scale the rewards of evaluations differently"),
}
"""What must be the same for all trainings of a task: the name that allows it, and what the sentence says."""
ALLOWANCES = {
    "phases": "tuning seeds beside test seeds",
    "tuning": "methods of which some were tuned more",
    "configurations": "several configurations under one name",
    "budgets": "different numbers of steps, each at its own end",
    **{name: f"trainings that {what}" for name, what in CONDITIONS.values()},
    "env-versions": "versions of an environment as one task",
}
"""What `--allow NAME` allows."""


@dataclass(frozen=True)
class Training:
    """One seed of one method on one task, and its evaluations."""

    method: str
    task: str
    seed: int
    curve: Curve
    """Steps and mean returns of its evaluations; one of each if only the final score is known."""
    budget: float
    """Steps that it was to have; NaN if nobody says."""
    status: str = "ok"
    phase: str = "test"
    configuration: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else is known of the conditions: keys of `CONDITIONS`, tuning_trials, search, code_version,
    n_eval_episodes."""
    episodes: Array = field(default_factory=lambda: np.zeros(0))
    """Returns of the last evaluation's episodes, if they are known."""
    seconds: float = math.nan
    """Wall-clock time of the training, if it is known."""
    algorithm: str = ""
    """The method without its setting; the method itself if nobody says."""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    """As far as they are known."""

    @property
    def failed(self) -> bool:
        return self.status in FAILED

    def until(self, steps: float) -> Training:
        """Only what was evaluated up to a step."""
        known = self.curve[0] <= steps
        if not known.any():
            raise WrongRequest(
                f"expected an evaluation up to step {steps:,.0f}; the first of {self.method} on {self.task}, seed "
                f"{self.seed}, is at {self.curve[0][0]:,.0f}"
            )
        curve = self.curve[0][known], self.curve[1][known]
        at_end = self.curve[0][-1] <= steps
        return replace(
            self,
            curve=curve,
            budget=min(self.budget, steps),
            episodes=self.episodes if at_end else np.zeros(0),
            seconds=self.seconds if at_end else math.nan,
        )


def of_run(run: Run, method: str | None = None, mode: str = "deterministic") -> list[Training]:
    """The trainings of a run: a method for each setting of its agents, named after the algorithm and the setting.

    A `method` that is given names all of them.
    """
    frame = run.evaluations
    if frame.is_empty():
        raise WrongRequest(f"expected evaluations in {run.path}; found none: it was trained with --evaluate-episodes 0")
    frame = frame.filter(pl.col("deterministic") == (mode == "deterministic")).sort("agent", "steps")
    if frame.is_empty():
        raise WrongRequest(f"expected {mode} evaluations in {run.path}; found none of that mode")
    seconds = _seconds(run)
    rows = {agent: group for (agent,), group in frame.group_by("agent", maintain_order=True)}
    trainings = []
    for agent, summary in zip(run.agents, run.agent_summaries, strict=True):
        if agent.agent not in rows:
            raise WrongRequest(f"expected evaluations of every agent in {run.path}; agent {agent.agent} has none yet")
        evaluated = rows[agent.agent]
        steps, scores = (evaluated[c].to_numpy().astype(np.float64) for c in ("steps", "mean_return"))
        ended = summary["status"] == "finished" or summary["status"] in FAILED
        trainings.append(
            Training(
                method=method or method_name(run, agent),
                task=task_name(run),
                seed=agent.seed,
                curve=(steps, scores),
                budget=float(run.steps if ended else steps[-1]),
                status="ok" if summary["status"] not in FAILED else str(summary["status"]),
                phase=phase(agent.seed),
                configuration=configuration(run, agent),
                facts={
                    "time_limit": time_limit(run),
                    "evaluation_mode": mode,
                    "reward_scaling": "none",
                    "n_eval_episodes": str(run.record["evaluate_episodes"]),
                    "code_version": f"relook {run.record['versions'].get('relook')}",
                    **_tuning(run, agent),
                },
                episodes=np.array(evaluated["returns"][-1].to_list(), dtype=np.float64),
                seconds=seconds,
                algorithm=method or algorithm_name(run),
                hyperparameters=agent.hyperparameters,
            )
        )
    return trainings


def _tuning(run: Run, agent: AgentRecord) -> dict[str, str]:
    """What a search wrote down about the run that confirms it: which one it was, and what its arms cost in trials."""
    study = run.record.get("study")
    if not isinstance(study, dict) or not isinstance(study.get("trials"), dict):
        return {}
    trials = study["trials"].get(agent.arm)
    return {"search": str(study.get("search"))} | ({} if trials is None else {"tuning_trials": str(trials)})


def _seconds(run: Run) -> float:
    """Wall-clock seconds of one agent's training, the run's units sharing them equally among their agents."""
    timing = run.timing
    if timing.is_empty():
        return math.nan
    last = timing.group_by("unit").agg(pl.col("elapsed").max())["elapsed"]
    return float(last.sum()) / len(run.agents)


def of_table(path: Path, mode: str = "deterministic", settings: Sequence[str] = ()) -> list[Training]:
    """The trainings of a tidy table, CSV or Parquet: with the columns of `TABLE`, or as `relook export` writes it.

    The latter holds evaluations in both modes. `settings` names columns that are hyper-parameters: then a method has
    several settings.
    """
    frame = _read(path).rename(lambda column: SAME.get(column.strip().lower(), column.strip().lower()))
    if {"table", "name", "value", "evaluation_mode"} <= {*frame.columns}:
        wanted = {"table": "evaluations", "name": "mean_return", "evaluation_mode": mode}
        frame = frame.filter(pl.col(key) == value for key, value in wanted.items()).rename({"value": "score"})
    if missing := [column for column in ("method", "task", "seed", "score") if column not in frame.columns]:
        biased = [column for column in frame.columns if BIASED.search(column)]
        if missing == ["score"] and biased:
            raise WrongRequest(
                f"expected a column score in {path}; found {biased[0]}: the best of many evaluations is the luck of "
                f"noise on top of the score. Give the last evaluation, or every evaluation with its step"
            )
        raise WrongRequest(
            f"expected a row for each score in {path}, with columns method, task, seed and score; found no "
            f"{' and no '.join(missing)} among {', '.join(frame.columns)}"
        )
    try:
        frame = frame.with_columns(
            # A name is one line, in every table that it comes to stand in.
            pl.col("method", "task").cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars(),
            pl.col("seed").cast(pl.Int64),
            pl.col("score").cast(pl.Float64),
        )
        if "step" in frame.columns:
            frame = frame.with_columns(pl.col("step").cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        raise WrongRequest(
            f"expected whole numbers as seeds and numbers as scores and steps in {path}; found {_first_line(error)}"
        ) from error
    needed = ["method", "task", "seed", *(["step"] if "step" in frame.columns else [])]
    if frame.is_empty() or any(frame[column].null_count() for column in needed):
        raise WrongRequest(f"expected {', '.join(needed)} in every row of {path}; found none, or rows without")
    if unknown := [name for name in settings if name not in frame.columns]:
        raise WrongRequest(f"expected a column {unknown[0]} in {path}; found {', '.join(frame.columns)}")
    groups = frame.group_by("method", "task", "seed", *settings, maintain_order=True)
    return [_training(group, path, settings) for _, group in groups]


def _read(path: Path) -> pl.DataFrame:
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise WrongRequest(f"expected a run's directory, a .csv or a .parquet file; found {path}")
    if not path.is_file():
        raise WrongRequest(f"expected a table in {path}; found no such file")
    if path.stat().st_size > MOST_BYTES:
        raise WrongRequest(f"expected at most {MOST_BYTES:,} bytes in {path}; it is larger")
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise WrongRequest(f"expected a table in {path}; found {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _training(rows: pl.DataFrame, path: Path, settings: Sequence[str]) -> Training:
    """One training from its rows, in the order of their steps."""
    method, task, seed = rows["method"][0], rows["task"][0], rows["seed"][0]
    who = f"{method} on {task}, seed {seed}"
    if "step" in rows.columns:
        rows = rows.sort("step")
        again = rows["step"].is_duplicated().any()
    else:
        again = len(rows) > 1
    if again:
        what = "one row for each step" if "step" in rows.columns else "one row"
        raise WrongRequest(
            f"the same seed is there twice: expected {what} of {who} in {path}; found {len(rows)} rows; settings are "
            f"methods of their own, or told apart by hyper-parameters: relook sensitivity --hyperparameters NAME…"
        )

    def said(column: str, otherwise: str) -> str:
        values = rows[column].drop_nulls().unique().to_list() if column in rows.columns else []
        if len(values) > 1 and column != "status":
            raise WrongRequest(f"expected one {column} of {who} in {path}; found {' and '.join(map(str, values))}")
        bad = [str(value) for value in values if str(value) not in ("ok", "finished")]
        return str((bad or values)[0]) if values else otherwise

    status, said_phase = said("status", "ok").lower(), said("phase", "test").lower()
    status = "ok" if status == "finished" else status
    for value, known, column in ((status, ("ok", *FAILED), "status"), (said_phase, ("test", "tune"), "phase")):
        if value not in known:
            raise WrongRequest(f"expected {', '.join(known)} as {column} of {who} in {path}; found {value!r}")
    steps = rows["step"].to_numpy() if "step" in rows.columns else np.array([math.nan])
    scores = rows["score"].fill_null(math.nan).to_numpy()
    if status == "ok" and not np.isfinite(scores).all():
        raise WrongRequest(
            f"expected a finite score of {who} in {path}; found {scores[~np.isfinite(scores)][0]}: a training that "
            f"failed has a status (crashed, diverged or killed)"
        )
    last = rows["episode_returns"][-1] if "episode_returns" in rows.columns else None
    time = rows["wall_time"].cast(pl.Float64, strict=False).max() if "wall_time" in rows.columns else None
    return Training(
        method,
        task,
        seed,
        (steps.astype(np.float64), scores.astype(np.float64)),
        float(steps[-1]),
        status,
        said_phase if phase(seed) == "test" else "tune",
        said("configuration", ""),
        {
            column: said(column, "")
            for column in (*CONDITIONS, "tuning_trials", "code_version", "n_eval_episodes")
            if said(column, "")
        },
        _episodes(last, who, path),
        math.nan if time is None else float(time),  # type: ignore[arg-type]
        " ".join([said("algorithm", method), *([f"({preset})"] if (preset := said("preset", "")) else [])]),
        _hyperparameters(said("hyperparameters", "{}"))
        | {name: rows[name][0] for name in settings if rows[name][0] is not None},
    )


def _hyperparameters(cell: str) -> dict[str, Any]:
    """None where the cell holds something else than a JSON object."""
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _episodes(cell: Any, who: str, path: Path) -> Array:
    try:
        values = cell.split(";") if isinstance(cell, str) else [] if cell is None else list(cell)
        return np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise WrongRequest(
            f"expected episode_returns such as 10.5;12;9 of {who} in {path}; found {str(cell)[:60]!r}"
        ) from None


def read(source: str, mode: str = "deterministic", settings: Sequence[str] = ()) -> list[Training]:
    """The trainings of `[NAME=]RUN`, of a grid, or of a tidy table, of which `settings` are hyper-parameters."""
    name, path = named(source)
    if path.is_dir():
        return [training for run in opened(path) for training in of_run(run, name, mode)]
    trainings = of_table(path, mode, settings)
    if name and len({training.algorithm if settings else training.method for training in trainings}) > 1:
        raise WrongRequest(f"expected one method in {path}, to be called {name}; found several")
    return [replace(training, method=name, algorithm=name) for training in trainings] if name else trainings


# The rules


def select(trainings: Sequence[Training], methods: Sequence[str], tasks: Sequence[str]) -> list[Training]:
    """Those of these methods and tasks, by their exact names; all where none is named."""
    for wanted, kind in ((methods, "method"), (tasks, "task")):
        names = list(dict.fromkeys(getattr(training, kind) for training in trainings))
        for name in wanted:
            if name not in names:
                raise WrongRequest(f"expected a {kind} among {', '.join(names)}; found {name!r}: names are exact")
    return [
        training
        for training in trainings
        if (not methods or training.method in methods) and (not tasks or training.task in tasks)
    ]


def checked(
    trainings: Sequence[Training], allow: Sequence[str] = (), steps: float | None = None
) -> tuple[list[Training], list[str]]:
    """The trainings that may be compared, and what must be said beside the result.

    Raises `WrongRequest` where a comparison would mean nothing, and says what `--allow NAME` would permit. `steps`
    compares at that step what was trained for longer.
    """
    notes: list[str] = []

    def refuse_or_note(name: str, found: str, remedy: str) -> None:
        if name not in allow:
            raise WrongRequest(f"{found}; {remedy}, or compare them all the same with --allow {name}")
        notes.append(f"allowed: {found}")

    trainings = _one_version(trainings, refuse_or_note)
    for (method, task, seed), same in _grouped(trainings, lambda t: (t.method, t.task, t.seed)).items():
        if len(same) > 1:
            raise WrongRequest(
                f"the same seed is there twice: expected each seed once, found {len(same)} trainings of {method} on "
                f"{task} with seed {seed}; a seed that is repeated tells nothing new. Give runs of different methods "
                f"different names (NAME=RUN)"
            )
    _phases(trainings, refuse_or_note)
    for method, own in _grouped(trainings, lambda t: t.method).items():
        if len(several := {t.configuration for t in own}) > 1:
            refuse_or_note(
                "configurations",
                f"{method} has {len(several)} configurations",
                "give each a name of its own (NAME=RUN)",
            )
    if steps is not None:
        trainings = [training.until(steps) for training in trainings]
    methods = list(dict.fromkeys(t.method for t in trainings))
    for task, there in _grouped(trainings, lambda t: t.task).items():
        if lacking := [m for m in methods if m not in {t.method for t in there}]:
            raise WrongRequest(
                f"expected all methods on every task; found none of {', '.join(lacking)} on {task}; choose tasks that "
                f"all have with --tasks"
            )
        for key, (name, what) in CONDITIONS.items():
            values = _grouped(there, lambda t, key=key: t.facts.get(key, "not said"))  # type: ignore[misc]
            if len(values) > 1:
                said = ", ".join(f"{_names(own)}: {value}" for value, own in values.items())
                refuse_or_note(name, f"trainings on {task} {what} ({said})", "compare like with like")
        _budgets(task, there, refuse_or_note)
        if len(numbers := {t.facts["n_eval_episodes"] for t in there if "n_eval_episodes" in t.facts}) > 1:
            notes.append(f"evaluations on {task} have {' or '.join(sorted(numbers))} episodes")
    if failed := [t for t in trainings if t.failed]:
        notes.append(f"{len(failed)} of {len(trainings)} trainings failed and stay in: {_names(failed, seeds=True)}")
    for method, own in _grouped(trainings, lambda t: t.method).items():
        if len(versions := {t.facts.get("code_version", "") for t in own}) > 1:
            notes.append(f"{method} was made by {' and '.join(sorted(v or 'an unknown version' for v in versions))}")
    return list(trainings), notes


def _grouped(trainings: Iterable[Training], key: Callable[[Training], Any]) -> dict[Any, list[Training]]:
    groups: dict[Any, list[Training]] = defaultdict(list)
    for training in trainings:
        groups[key(training)].append(training)
    return dict(groups)


def _names(trainings: Sequence[Training], seeds: bool = False) -> str:
    names = [f"{t.method} seed {t.seed} ({t.status})" if seeds else t.method for t in trainings]
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:6]) + (f" and {len(unique) - 6} more" if len(unique) > 6 else "")


def _one_version(trainings: Sequence[Training], refuse_or_note: Callable[[str, str, str], None]) -> list[Training]:
    """Tasks that are versions of one environment are refused, or become one task."""
    versions = _grouped(trainings, lambda t: _base(t.task))
    several = {base: sorted({t.task for t in own}) for base, own in versions.items() if len({t.task for t in own}) > 1}
    for names in several.values():
        refuse_or_note(
            "env-versions",
            f"{' and '.join(names)} are different environments, and their returns do not compare",
            "run both methods on one version",
        )
    return [replace(t, task=_base(t.task)) if _base(t.task) in several else t for t in trainings]


def _base(task: str) -> str:
    """An environment's name without its version."""
    return re.sub(r"-v\d+(?=$| )", "", task)


def _phases(trainings: Sequence[Training], refuse_or_note: Callable[[str, str, str], None]) -> None:
    phases = _grouped(trainings, lambda t: t.phase)
    if "tune" in phases:
        whose = f"{_names(phases['tune'])} has scores of tuning seeds"
        beside = f" beside test seeds of {_names(phases['test'])}" if "test" in phases else ""
        refuse_or_note(
            "phases",
            f"{whose}{beside}: settings were chosen for how they did on these, so they score too high",
            "train the chosen setting on seeds that took no part",
        )
    trials = _grouped(trainings, lambda t: t.facts.get("tuning_trials", "not said"))
    searches = {t.facts.get("search") for t in trainings}
    if len(trials) > 1 and (None in searches or len(searches) > 1):  # one search compares tuned with untuned
        said = ", ".join(f"{_names(own)}: {number}" for number, own in trials.items())
        refuse_or_note(
            "tuning", f"methods were tuned differently (settings tried: {said})", "tune all with the same budget"
        )


def _budgets(task: str, trainings: Sequence[Training], refuse_or_note: Callable[[str, str, str], None]) -> None:
    known = [t for t in trainings if not math.isnan(t.budget)]
    if not known:
        return
    if len(known) < len(trainings):
        others = [t for t in trainings if math.isnan(t.budget)]
        found = f"nobody says for how many steps {_names(others)} trained on {task}"
        refuse_or_note("budgets", found, "add a column step")
        return
    least, most = min(t.budget for t in known), max(t.budget for t in known)
    if most > least * NEARLY:
        shortest, longest = ([t for t in known if t.budget == end] for end in (least, most))
        refuse_or_note(
            "budgets",
            f"trainings on {task} have different numbers of steps ({_names(shortest)}: {least:,.0f}, "
            f"{_names(longest)}: {most:,.0f})",
            f"compare at a step that all have, --steps {least:.0f}",
        )


def score(training: Training, kind: str = "final", last: int = 1, failed: float | None = None) -> float:
    """The one declared score: `final`, the mean of the last evaluations, or `auc`, the mean over training.

    A training that failed keeps what it reached, or gets the score `failed`.
    """
    if training.failed and failed is not None:
        return failed
    steps, scores = training.curve
    known = np.isfinite(scores)
    if not known.any():
        raise WrongRequest(
            f"expected a score of {training.method} on {training.task}, seed {training.seed}; found none, as it "
            f"{training.status}: declare what a failed training scores, --failed-score VALUE (a failed training stays "
            f"in: leaving it out would reward failing)"
        )
    steps, scores = steps[known], scores[known]
    if kind == "auc":
        if len(steps) < 2:
            raise WrongRequest("expected evaluations over training for --score auc; found one; compare --score final")
        if training.budget > steps[-1]:  # it failed: what it had reached is all that it has
            steps, scores = np.append(steps, training.budget), np.append(scores, scores[-1])
        return area((steps, scores))
    if len(scores) < last:
        raise WrongRequest(f"expected at least {last} evaluations for --last {last}; found {len(scores)}")
    return float(scores[-last:].mean())
