"""From runs to curves: one for each training, with the keys by which it can be grouped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run
from relook.runs.tidy import figure, task_name
from relook.statistics.curves import Curve
from relook.statistics.plots import Seed
from relook.statistics.scores import FAILED

X = Literal["steps", "updates", "time"]
X_LABELS: dict[X, str] = {
    "steps": "environment steps of each agent",
    "updates": "updates of each agent",
    "time": "seconds of training, shared by all agents of a unit of work",
}
EVALUATIONS = {"evaluation": True, "stochastic-evaluation": False}
"""What `y` may be besides metrics: evaluations in their two modes."""


@dataclass(frozen=True)
class Line:
    """The curve of one training."""

    seed: Seed
    keys: Mapping[str, str]
    """run, algorithm, preset, task, seed, arm, and all hyper-parameters."""


def lines(run: Run, name: str, y: str = "evaluation", x: X = "steps", since: float = 0) -> list[Line]:
    """Curves of all agents of a run that have any: `y` against `x`, from the last point up to the step `since` on.

    Raises `WrongRequest` if there is no such `y`.
    """
    frame = _values(run, y)
    places = _places(run, x)
    summaries = {summary["agent"]: summary for summary in run.agent_summaries}
    found = []
    for agent in run.agents:
        own = frame.filter(pl.col("agent") == agent.agent).sort("steps", maintain_order=True).drop_nulls("value")
        if own.is_empty():
            continue
        own = own.filter(pl.col("steps") >= max((step for step in own["steps"] if step <= since), default=0))
        steps = own["steps"].to_numpy().astype(np.float64)
        at = steps if x == "steps" else np.interp(steps, *places[agent.agent if x == "updates" else agent.unit])
        failed = summaries[agent.agent]["status"] in FAILED
        keys = {
            "run": name,
            "algorithm": run.algorithm,
            "preset": str(run.record.get("preset") or "none"),
            "task": task_name(run),
            "seed": str(agent.seed),
            "arm": agent.arm or "none",
            **{key: figure(value) for key, value in agent.hyperparameters.items()},
        }
        found.append(Line(Seed((at, own["value"].to_numpy().astype(np.float64)), failed), keys))
    if not found:
        raise RelookError(f"expected some {y} in {run.path}; found none yet")
    return found


def _values(run: Run, y: str) -> pl.DataFrame:
    """Columns agent, steps, value."""
    if y in EVALUATIONS:
        frame = run.evaluations
        if frame.is_empty():
            raise RelookError(f"{run.path} holds no evaluations; draw a metric, such as --y episode_return")
        return frame.filter(pl.col("deterministic") == EVALUATIONS[y]).select("agent", "steps", value="mean_return")
    frame = run.metrics
    if frame.is_empty():
        raise RelookError(f"{run.path} holds no finished iteration yet")
    names = [name for name in frame.columns if name not in ("unit", "agent", "iteration", "steps")]
    if y not in names:
        raise WrongRequest(f"expected --y among {', '.join((*EVALUATIONS, *names))}; found {y!r} for {run.path}")
    return frame.select("agent", "steps", value=pl.col(y).cast(pl.Float64))


def _places(run: Run, x: X) -> dict[int, Curve]:
    """Steps, and where they are on the x axis, of each agent (updates) or unit (time)."""
    if x == "steps":
        return {}
    if x == "time":
        frame, key, column = run.timing, "unit", "elapsed"
    else:
        frame, key, column = run.metrics, "agent", "updates"
    if frame.is_empty() or column not in frame.columns:
        raise WrongRequest(f"expected {column} in the records of {run.path}; found none: draw it over --x steps")
    places = {}
    frame = frame.sort("steps", maintain_order=True).unique([key, "steps"], keep="last", maintain_order=True)
    for (owner,), rows in frame.group_by(key, maintain_order=True):
        values = rows[column].to_numpy().astype(np.float64)
        values = values if x == "time" else values.cumsum()
        steps = rows["steps"].to_numpy().astype(np.float64)
        places[int(owner)] = np.append(0.0, steps), np.append(0.0, values)
    return places


def y_label(runs: Sequence[Run], y: str) -> tuple[str, str]:
    """What stands on the y axis, with its unit, and what the metric means; the runs say so themselves."""
    if y in EVALUATIONS:
        episodes = " or ".join(sorted({str(run.record["evaluate_episodes"]) for run in runs}))
        mode = "deterministic" if EVALUATIONS[y] else "stochastic"
        return f"return (reward, mean of {episodes} {mode} episodes)", ""
    known = [run.record.get("metrics") for run in runs]
    metric: dict[str, Any] = next(
        (own[y] for own in known if isinstance(own, dict) and isinstance(own.get(y), dict)), {}
    )
    name, unit = y.replace("_", " "), metric.get("unit")
    return f"{name} ({unit})" if unit else name, str(metric.get("meaning", ""))


def grouped(found: Sequence[Line], by: Sequence[str], facet: str | None) -> dict[str, dict[str, list[Seed]]]:
    """Panel → group → seeds. Raises `WrongRequest` for keys that no curve has."""
    known = [*dict.fromkeys(key for line in found for key in line.keys)]
    for key in (*by, *([facet] if facet else [])):
        if key not in known:
            raise WrongRequest(f"expected a key among {', '.join(known)}; found {key!r}")
    panels: dict[str, dict[str, list[Seed]]] = {}
    for line in found:
        panel = said(line, [facet]) if facet else ""
        panels.setdefault(panel, {}).setdefault(said(line, by), []).append(line.seed)
    return panels


PLAIN = ("run", "algorithm", "task", "arm")
"""Keys whose values say what they are."""


def said(line: Line, keys: Sequence[str]) -> str:
    """The values of these keys, in words."""
    values = [(key, line.keys[key]) for key in keys if key in line.keys]
    return ", ".join(value if key in PLAIN else f"{key}={value}" for key, value in values)


def differing(found: Sequence[Line]) -> list[str]:
    """The keys, other than seeds, runs and tasks, in which curves of one run differ; arms say all of it."""
    runs = {line.keys["run"] for line in found}
    keys = [key for key in found[0].keys if key not in ("run", "task", "seed")]
    of_run = {run: [line for line in found if line.keys["run"] == run] for run in runs}
    differ = [key for key in keys if any(len({line.keys.get(key) for line in own}) > 1 for own in of_run.values())]
    return ["arm"] if "arm" in differ else differ
