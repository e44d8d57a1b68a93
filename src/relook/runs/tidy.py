"""Runs as one tidy table: a row for every number that they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import polars as pl

from relook.runs.reading import AgentRecord, Run

TUNING_SEEDS = 10_000
"""Seeds from here on are for tuning: what they score was chosen, and does not compare with what was not."""

COLUMNS: dict[str, tuple[type[pl.DataType], str]] = {
    "run": (pl.String, "the run's directory"),
    "method": (pl.String, "algorithm, preset, and the hyper-parameters in which the run's agents differ"),
    "algorithm": (pl.String, "its name"),
    "preset": (pl.String, "null if there is none"),
    "task": (pl.String, "environment with its arguments"),
    "time_limit": (pl.String, "steps of an episode, or none"),
    "seed": (pl.Int64, "training seed; null for what is a whole unit's"),
    "agent": (pl.Int64, "its number in the run"),
    "unit": (pl.Int64, "unit of work that trained it"),
    "configuration": (pl.String, "hash of algorithm and all hyper-parameters"),
    "hyperparameters": (pl.String, "as JSON"),
    "phase": (pl.String, f"tune for seeds from {TUNING_SEEDS:,} on, otherwise test"),
    "status": (pl.String, "how the training ended"),
    "code_version": (pl.String, "what made it"),
    "table": (pl.String, "metrics, evaluations, episodes or timing: the file that the number is in"),
    "evaluation_mode": (pl.String, "deterministic or stochastic, of evaluations and their episodes"),
    "iteration": (pl.Int64, "of metrics and timing"),
    "step": (pl.Int64, "environment steps of this agent"),
    "elapsed": (pl.Float64, "seconds since its unit began, at the end of that iteration"),
    "episode": (pl.Int64, "number of an episode in its environment"),
    "environment": (pl.Int64, "number of an episode's environment"),
    "name": (pl.String, "of the number, such as mean_return"),
    "value": (pl.Float64, "the number"),
}
"""The columns of the tidy table, with their meanings."""
TABLES = ("metrics", "evaluations", "episodes", "timing")
PLACES = ("unit", "agent", "iteration", "steps", "episode", "environment", "evaluation", "deterministic")
"""Columns of a run's tables that say where a number belongs, and are none themselves."""


def task_name(run: Run) -> str:
    """The environment, with the arguments that it was made with."""
    arguments = ", ".join(f"{key}={value}" for key, value in run.record["environment"]["arguments"].items())
    return f"{run.environment_name} ({arguments})" if arguments else run.environment_name


def setting_name(run: Run, agent: AgentRecord) -> str:
    """An agent's setting: its arm, or what distinguishes it from the run's others."""
    return agent.arm or ", ".join(f"{name}={figure(agent.hyperparameters[name])}" for name in run.varied())


def figure(value: Any) -> str:
    """A hyper-parameter's value, short."""
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def algorithm_name(run: Run) -> str:
    """The algorithm with its preset."""
    return run.algorithm + (f" ({run.record['preset']})" if run.record.get("preset") else "")


def method_name(run: Run, agent: AgentRecord) -> str:
    """The algorithm with its preset, and the agent's setting if the run has several."""
    return f"{algorithm_name(run)} {setting_name(run, agent)}".strip()


def time_limit(run: Run) -> str:
    """Steps of an episode, as far as anybody says."""
    environment = run.record["environment"]
    return str(environment["max_episode_steps"] or environment.get("time_limit") or "none")


def phase(seed: int) -> str:
    """Whether a seed is for testing or for tuning."""
    return "tune" if seed >= TUNING_SEEDS else "test"


def configuration(run: Run, agent: AgentRecord) -> str:
    """A digest of the algorithm and all hyper-parameters."""
    everything = {"algorithm": run.algorithm, **agent.hyperparameters}
    return sha256(json.dumps(everything, sort_keys=True, default=str).encode()).hexdigest()[:12]


def tidy(runs: Sequence[Run]) -> pl.DataFrame:
    """One row for each number in the metrics, evaluations, episodes and timing of these runs; `COLUMNS` says which."""
    return pl.concat([_numbers(run, table) for run in runs for table in TABLES] or [_empty()])


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={name: kind for name, (kind, _) in COLUMNS.items()})


def _numbers(run: Run, table: str) -> pl.DataFrame:
    frame: pl.DataFrame = getattr(run, table)
    if frame.is_empty():
        return _empty()
    numbers = [name for name, kind in frame.schema.items() if kind.is_numeric() and name not in PLACES]
    if "deterministic" in frame.columns:
        mode = pl.when(pl.col("deterministic")).then(pl.lit("deterministic")).otherwise(pl.lit("stochastic"))
        if "kind" in frame.columns:
            mode = pl.when(pl.col("kind") == "evaluation").then(mode)
        frame = frame.with_columns(evaluation_mode=mode)
    where = [name for name in (*PLACES, "evaluation_mode") if name in frame.columns]
    frame = frame.with_columns(pl.col(numbers).cast(pl.Float64))
    long = frame.unpivot(on=numbers, index=where, variable_name="name", value_name="number").drop_nulls("number")
    timing = run.timing
    if not timing.is_empty():
        at = timing.select("unit", "steps", "elapsed").unique(["unit", "steps"], keep="last")
        long = long.join(at, on=["unit", "steps"], how="left", maintain_order="left")
        long = long.with_columns(elapsed=pl.when(pl.col("steps") == 0).then(0.0).otherwise(pl.col("elapsed")))
    if "agent" in long.columns:
        long = long.join(_agents(run), on="agent", how="left", maintain_order="left")
    long = long.rename({"steps": "step", "number": "value"}).with_columns(
        run=pl.lit(str(run.path)),
        algorithm=pl.lit(run.algorithm),
        preset=pl.lit(run.record.get("preset"), dtype=pl.String),
        task=pl.lit(task_name(run)),
        time_limit=pl.lit(time_limit(run)),
        code_version=pl.lit(f"relook {run.record['versions'].get('relook')}"),
        table=pl.lit(table),
    )
    return long.select(
        (pl.col(name) if name in long.columns else pl.lit(None)).cast(kind).alias(name)
        for name, (kind, _) in COLUMNS.items()
    )


def _agents(run: Run) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "agent": agent.agent,
                "seed": agent.seed,
                "method": method_name(run, agent),
                "configuration": configuration(run, agent),
                "hyperparameters": json.dumps(agent.hyperparameters),
                "phase": phase(agent.seed),
                "status": summary["status"],
            }
            for agent, summary in zip(run.agents, run.agent_summaries, strict=True)
        ]
    )


@dataclass(frozen=True)
class History:
    """Everything that an experiment tracker is told of one agent."""

    run: str
    name: str
    """Unique in the set of runs."""
    group: str
    """What the seeds of one method on one task share."""
    facts: Mapping[str, Any]
    """Algorithm, task, seed, hyper-parameters, and how it ended."""
    points: Sequence[tuple[int, float, Mapping[str, float]]]
    """Environment steps, seconds since its training began, and numbers by name, in the order of the steps."""


def histories(run: Run) -> Iterator[History]:
    """The agents of a run, with their metrics and evaluations; single episodes stay in the run."""
    frame = tidy([run]).filter(pl.col("table").is_in(["metrics", "evaluations"]))
    modes = {None: "training", "deterministic": "evaluation", "stochastic": "stochastic evaluation"}
    kind = pl.col("evaluation_mode").replace_strict(modes, return_dtype=pl.String)
    frame = frame.with_columns(name=kind + "/" + pl.col("name"))
    status = {summary["agent"]: summary["status"] for summary in run.agent_summaries}
    for agent in run.agents:
        method, task = method_name(run, agent), task_name(run)
        own = frame.filter(pl.col("agent") == agent.agent)
        yield History(
            run=str(run.path),
            name=f"{run.path.resolve().name} {method} seed {agent.seed}",
            group=f"{method} on {task}",
            facts={
                "algorithm": run.algorithm,
                "task": task,
                "seed": agent.seed,
                "agent": agent.agent,
                "status": status[agent.agent],
                **agent.hyperparameters,
            },
            points=[
                (
                    int(step),
                    max(rows["elapsed"].fill_null(0.0).to_list()),
                    dict(zip(rows["name"], rows["value"], strict=True)),
                )
                for (step,), rows in own.sort("step", maintain_order=True).group_by("step", maintain_order=True)
            ],
        )
