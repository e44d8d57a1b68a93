"""`relook show RUN`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from relook.cli.options import parse
from relook.cli.tables import print_settings
from relook.runs.files import plain
from relook.runs.reading import Run
from relook.runs.tidy import figure, setting_name


@dataclass
class Form:
    """Say what a run is and how it ended."""

    run: tyro.conf.Positional[Path]
    """The run's directory."""
    json: bool = False
    """Print JSON for programs."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "show", arguments)
    shown = Run(form.run)
    grades = {unit: shown.unit_events(unit).get("checked", {}) for unit in shown.units}
    if form.json:
        record = {key: value for key, value in shown.record.items() if key != "agents"}
        units = [
            {"unit": unit, "numerics": grade.get("numerics"), "replay": grade.get("replay")}
            for unit, grade in grades.items()
        ]
        print(json.dumps(plain({**record, "units": units, "agents": shown.agent_summaries}), indent=1, allow_nan=False))
        return
    console = Console()
    environment = shown.record["environment"]
    arguments_given = ", ".join(f"{k}={v}" for k, v in environment["arguments"].items())
    limit = environment["max_episode_steps"] or environment["time_limit"]
    console.print(f"[bold]{shown.algorithm}[/] on [bold]{shown.environment_name}[/]  {arguments_given}".rstrip())
    console.print(f"  asked for    {shown.steps:,} steps for each of {len(shown.agents)} agents")
    console.print(f"  time limit   {f'{limit:,} steps' if limit else 'none'}")
    console.print(f"  units        {len(shown.units)}, {_grades(grades)}")
    versions = ", ".join(f"{name} {version}" for name, version in shown.record["versions"].items() if version)
    console.print(f"  made with    {versions}", highlight=False)
    console.print(f"  made on      {shown.record['created']}, {shown.record['machine']['system']}", highlight=False)
    for line in _history(shown.record):
        console.print(line, highlight=False)
    defaults = shown.agents[0].hyperparameters
    common = ", ".join(f"{name} {figure(value)}" for name, value in defaults.items() if name not in shown.varied())
    console.print(f"  settings     {common}\n", highlight=False)

    table, several = Table(), any(setting_name(shown, agent) for agent in shown.agents)
    for column in (
        "agent",
        "seed",
        *(["setting"] if several else []),
        "status",
        "steps",
        "final return",
        "sha256",
    ):
        table.add_column(column, justify="left" if column in ("setting", "status", "sha256") else "right")
    for agent, summary in zip(shown.agents, shown.agent_summaries, strict=True):
        final, digest = summary["final_return"], summary["parameters_sha256"]
        table.add_row(
            str(summary["agent"]),
            str(summary["seed"]),
            *([setting_name(shown, agent)] if several else []),
            summary["status"],
            f"{summary['steps']:,}",
            "–" if final is None else f"{final:,.1f}",
            "–" if digest is None else digest[:12],
        )
    console.print(table)
    print_settings(shown)


def _history(record: dict[str, Any]) -> list[str]:
    """Where a run comes from, and how its horizon has moved."""
    lines = []
    if ancestor := record.get("ancestor"):
        changed = ", ".join(f"{name} {figure(value)}" for name, value in ancestor.get("changed", {}).items())
        lines.append(f"  branched off at step {ancestor['at']:,} of {ancestor['run']}: {changed or 'nothing changed'}")
    if horizons := record.get("horizons"):
        lines.append(f"  was to have  {', then '.join(f'{steps:,}' for steps in horizons)} steps")
    return lines


def _grades(grades: dict[int, dict[str, str]]) -> str:
    numerics = {grade.get("numerics", "not checked") for grade in grades.values()}
    replay = {grade.get("replay", "not checked") for grade in grades.values()}
    return f"numerics {' and '.join(sorted(numerics))}, replay {' and '.join(sorted(replay))}"
