"""Which of PPO's parts matter? `python -m benchmarks.ablation [TASK[=DIR] …]`, and `python -m benchmarks.ablation page`

Carries out the ablations below (hours), keeps every deterministic evaluation of every seed (results/ablation.csv), and
writes docs/studies/ppo-parts.md with its pictures from that table. TASK=DIR takes an ablation that was carried out
before with the same command; `page` makes the page anew and trains nothing. A test makes the page and compares.
"""

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from relook.algorithms import algorithm
from relook.runs.files import read_json
from relook.runs.reading import GRID, opened
from relook.statistics.ablation import Judged, Part, heading, judged, tables
from relook.statistics.ablation_plots import pictures
from relook.statistics.comparison import Rules
from relook.statistics.plots import save
from relook.statistics.reports import number
from relook.statistics.scores import FAILED, of_run, of_table

RESULTS, DOCS = Path(__file__).parent / "results", Path(__file__).parents[1] / "docs"
TABLE, PAGE = RESULTS / "ablation.csv", DOCS / "studies" / "ppo-parts.md"
TASKS = {
    "CartPole-v1": "--steps 100000 --evaluate-episodes 10",
    "Acrobot-v1": "--steps 100000 --evaluate-episodes 5",
    "HalfCheetah-v5": "--steps 200000 --evaluate-episodes 1",
}
SHARED = "--seeds 10"
DELTA = 0.05
INTRODUCTION = f"""# Which of PPO's parts matter

PPO has a dozen details that no equation shows. Each is taken away alone, with all others on, and each is put in alone,
with all others off; what is left is compared with the algorithm that has all of them (or none). Every arm has ten seeds
of its own, the two that all others are compared with have 32, and one arm is the full algorithm once more: what this
one seems to be worth is noise. Scores are normalised: 0 is random behaviour, 1 good behaviour. A difference of less
than δ = {DELTA:g} does not matter here, which was declared before anything was trained.
"""


def command(task: str, out: str) -> str:
    return f"relook ablate ppo --env {task} {TASKS[task]} {SHARED} --out {out}"


def keep(task: str, out: Path) -> pl.DataFrame:
    """The evaluations of an ablation, as a tidy table whose methods are the arms."""
    record = read_json(out / GRID)
    asked = f"--steps {record['steps']} --evaluate-episodes {record['evaluate_episodes']} --seeds {record['seeds']}"
    if asked != f"{TASKS[task]} {SHARED}" or list(record["components"]) != list(algorithm("ppo").components):
        raise SystemExit(
            f"expected {command(task, str(out))} in {out}; found {asked}, {', '.join(record['components'])}"
        )
    rows = []
    for run in opened(out):
        for agent, training in zip(run.agents, of_run(run), strict=True):
            steps, scores = (column.tolist() for column in training.curve)
            if training.status in FAILED and steps[-1] < training.budget:  # what it had reached is all that it has
                steps, scores = [*steps, training.budget], [*scores, scores[-1]]
            rows += [
                {
                    "method": agent.arm,
                    "task": training.task,
                    "seed": agent.seed,
                    "step": int(step),
                    "score": round(float(score), 4),
                    "status": training.status,
                    "time_limit": training.facts["time_limit"],
                }
                for step, score in zip(steps, scores, strict=True)
            ]
    return pl.DataFrame(rows)


def found(table: Path = TABLE) -> Judged:
    return judged("ppo", algorithm("ppo").components, of_table(table), Rules(delta=DELTA))


def page(table: Path = TABLE) -> str:
    """The whole page."""
    ablation = found(table)
    lines = [INTRODUCTION]
    for line in conclusions(ablation):
        lines += textwrap.wrap(line, 120, subsequent_indent="  ", break_on_hyphens=False)
    lines.append("")
    lines += ["![What each part of PPO is worth](../images/ppo-parts.png)", "", *matrix(ablation), ""]
    drawn = ", ".join(f"[{task}](../images/ppo-parts-{task}.png)" for task in ablation.among.tasks)
    lines += [f"Learning curves without each part: {drawn}.", ""]
    lines += ["## Every figure", "", *(f"- {line}" for line in heading(ablation)), ""]
    for shown in tables(ablation):
        lines += [f"### {shown.title}", "", f"| {' | '.join(shown.columns)} |", "|" + "---|" * len(shown.columns)]
        lines += [f"| {' | '.join(row)} |" for row in shown.rows]
        lines += ["", *([shown.note, ""] if shown.note else [])]
    lines += ["## How it was made", "", "```"]
    tasks = ablation.among.tasks
    lines += [command(task, f"runs/ablation-{task}") for task in tasks]
    names = " ".join(f"{task}=runs/ablation-{task}" for task in tasks)
    lines += [f"python -m benchmarks.ablation {names}", "```", ""]
    lines += ["Every evaluation of every seed: [ablation.csv](../../benchmarks/results/ablation.csv).", ""]
    return "\n".join(lines)


def conclusions(ablation: Judged) -> Iterator[str]:
    """What the verdicts say, in words."""
    for worth, words in (("needed", "Needed"), ("harmful", "Harmful"), ("no effect", "Without an effect beyond δ")):
        for task, parts in ablation.scopes.items():
            if names := [part.name for part in parts if part.among.worth == worth]:
                yield f"- **{words}** {f'on {task}' if task else 'over all tasks'}: {', '.join(names)}."
    depend = [
        f"{part.name} ({task})"
        for task, parts in ablation.scopes.items()
        for part in parts
        if task and part.interaction and (part.interaction.low > 0 or part.interaction.high < 0)
    ]
    if depend:
        yield f"- **Worth something else alone than among the others**: {', '.join(depend)}."
    yield "- Everything else is undecided with so many seeds, which is not the same as unimportant."
    if missing := [task for task in TASKS if task not in ablation.among.tasks]:
        yield f"- Not carried out yet: {', '.join(missing)}."


def matrix(ablation: Judged) -> Iterator[str]:
    """Parts against tasks."""
    scopes = ablation.scopes
    yield f"| full − without | {' | '.join(task or 'all tasks' for task in scopes)} |"
    yield "|---|" + "---|" * len(scopes)
    for i, part in enumerate(ablation.parts):
        yield f"| {part.name} | {' | '.join(_cell(parts[i]) for parts in scopes.values())} |"


def _cell(part: Part) -> str:
    effect, worth = number(part.among.effect.value), part.among.worth
    return f"**{effect}, {worth}**" if worth in ("needed", "harmful") else f"{effect}, {worth}"


def write() -> None:
    """The page and its pictures, from the table."""
    PAGE.write_text(page(), encoding="utf-8")
    for name, figure in pictures(found()):
        save(figure, DOCS / "images" / f"ppo-parts{'' if name == 'ablation' else name.removeprefix('curves')}.png")


def main(words: list[str]) -> None:
    asked = {name: out for name, _, out in (word.partition("=") for word in words)}
    for task in TASKS if not asked else [name for name in asked if name != "page"]:
        with tempfile.TemporaryDirectory(prefix="relook-ablation-") as scratch:
            out = asked.get(task) or f"{scratch}/{task}"
            if not asked.get(task):
                subprocess.run([sys.executable, "-m", "relook.cli", *command(task, out).split()[1:]], check=True)
            frame = keep(task, Path(out))
        kept = pl.read_csv(TABLE).filter(pl.col("task") != task) if TABLE.exists() else frame.clear()
        pl.concat([kept, frame.cast(kept.schema)]).write_csv(TABLE)
    write()


if __name__ == "__main__":
    main(sys.argv[1:])
