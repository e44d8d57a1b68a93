"""Tables on the terminal."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from relook.runs.reading import Run
from relook.runs.tidy import figure, setting_name
from relook.statistics.aggregates import iqm, mean_interval
from relook.statistics.reports import number

if TYPE_CHECKING:
    from relook.experiments.held_out import Tested
    from relook.statistics.reports import Table as Text


def settings(run: Run) -> dict[str, list[dict[str, Any]]]:
    """The agents' summaries, by setting."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for agent, summary in zip(run.agents, run.agent_summaries, strict=True):
        groups.setdefault(setting_name(run, agent), []).append(summary)
    return groups


def scores_table(scores: dict[str, list[tuple[int, float]]], title: str) -> Table:
    """Mean, IQM, interval and worst seed of (seed, score) pairs, a row for each setting."""
    table = Table(title=title, title_justify="left")
    single = list(scores) == [""]
    if not single:
        table.add_column("setting")
    for column in ("seeds", "mean", "95 % interval", "IQM", "worst", "of seed"):
        table.add_column(column, justify="right")
    for setting, pairs in scores.items():
        row = [] if single else [setting]
        values = np.array([score for _, score in pairs if not math.isnan(score)])
        if len(values):
            low, high = mean_interval(values)
            interval = "one seed: none" if len(values) < 2 else f"{low:,.1f} … {high:,.1f}"
            worst = min((score, seed) for seed, score in pairs if not math.isnan(score))
            row += [f"{len(pairs)}", f"{values.mean():,.1f}", interval, f"{iqm(values):,.1f}", f"{worst[0]:,.1f}"]
            row += [str(worst[1])]
        else:
            row += [f"{len(pairs)}", "no evaluation", *["–"] * 4]
        table.add_row(*row)
    return table


def held_out_table(run: Run, found: Sequence["Tested"]) -> Table:
    """How agents do where they were trained and in variants that they never saw, a row for each setting and variant."""
    title = f"{run.path.name}: mean return of {found[0].episodes} fresh deterministic episodes"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", caption=GAP, caption_justify="left")
    table.add_column("held out", no_wrap=True)
    for column in ("trained in", "worst", "held out", "worst", "gap"):
        table.add_column(column, justify="right")
    rows: dict[str, dict[str, list[Tested]]] = {}
    for tested in found:
        variant = ", ".join(f"{name}={figure(value)}" for name, value in tested.variant.items())
        rows.setdefault(setting_name(run, tested.agent), {}).setdefault(variant, []).append(tested)
    for setting, variants in rows.items():
        for variant, own in variants.items():
            home, away = np.array([t.trained_in for t in own]), np.array([t.held_out for t in own])
            ends = [cell for x in (home, away) for cell in (_mean(x), number(x.min()))]
            table.add_row(f"{setting}\n  {variant}" if setting else variant, *ends, _mean(home - away))
    return table


GAP = (
    "±: 95 % interval of the mean over seeds; worst: of the seeds; gap: how much less the same agents score in the "
    "variant, from the same reset seeds"
)


def _mean(values: np.ndarray[Any, Any]) -> str:
    """Over seeds, and how far its interval reaches."""
    low, high = mean_interval(values)
    return number(float(values.mean())) + ("" if len(values) < 2 else f" ± {number(float(high - low) / 2)}")


def print_settings(run: Run) -> None:
    """How a run's settings did at its last evaluation; says what ended other than planned."""
    console = Console()
    scores = {
        setting: [(s["seed"], math.nan if s["final_return"] is None else s["final_return"]) for s in summaries]
        for setting, summaries in settings(run).items()
    }
    episodes = run.record["evaluate_episodes"]
    title = f"{run.algorithm} on {run.environment_name}: mean return of {episodes} deterministic episodes at the end"
    console.print(scores_table(scores, title))
    ended = [s for s in run.agent_summaries if s["status"] != "finished"]
    for status in sorted({s["status"] for s in ended}):
        agents = [str(s["agent"]) for s in ended if s["status"] == status]
        console.print(f"{status}: {len(agents)} of {len(run.agents)} agents ({', '.join(agents)})")
    for unit in run.units:
        for stop in run.stopped(unit).values():
            console.print(f"  {stopped(run, stop)}", highlight=False)


def stopped(run: Run, stop: Mapping[str, Any]) -> str:
    """Why and where an agent stopped, in one sentence."""
    [seed] = [agent.seed for agent in run.agents if agent.agent == stop["agent"]]
    place = f"after {stop['steps']:,} steps"
    if "during" in stop:
        during = "training" if stop["during"] == "train" else "evaluation"
        place = (
            f"in {during} at step {stop['step']} of episode {stop['episode']} of environment {stop['environment']} "
            f"(reset seed {stop['reset_seed']}); episodes.jsonl holds the actions that led there"
        )
    return f"agent {stop['agent']} (seed {seed}) {stop['status']}: {stop['reason']}, {place}"


TEXTS = (
    *("task", "method", "comparison", "part", "off at", "sampler", "setting", "hyper-parameter", "searched", "arm"),
    *("chosen by", "tuned"),
)
"""Columns of words, which begin at the left."""
WHOLE = ("task", "method", "part", "verdict", "sampler", "hyper-parameter", "arm")
"""Columns whose cells stay on one line."""


def print_tables(heading: Sequence[str], tables: Iterable["Text"]) -> None:
    """A comparison: what was compared, and its tables."""
    console = Console(markup=False)  # names may have brackets
    for line in heading:
        console.print(line, highlight=False, style="yellow" if line.startswith("note: ") else None)
    for table in tables:
        console.print()
        shown = Table(
            title=table.title,
            title_justify="left",
            caption=table.note or None,
            caption_justify="left",
            box=SIMPLE_HEAD,
            show_lines=False,
            padding=(0, 1),
        )
        for column in table.columns:
            shown.add_column(column, justify="left" if column in TEXTS else "right", no_wrap=column in WHOLE)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
