"""Does `relook tune` find better settings than the default, from a bad start? `python -m benchmarks.tuning [DIR]`

Carries out the searches below in DIR (runs/benchmark-tuning unless said otherwise), goes on there after an
interruption, and writes results/tuning.md, tuning.csv and a picture of each. Trials that were pruned are then trained
to the end after all, to see whether any of them should have been spared, by this rule or by the usual one, the median
of earlier trials.
"""

import math
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from relook.experiments.engine import Embedded
from relook.experiments.grid import check_ended, left
from relook.experiments.search import Search, reopened
from relook.experiments.tuning import PAUSE
from relook.runs.reading import Run
from relook.statistics import reports, tuning
from relook.statistics.tuning import DEFAULT, START, TUNED, Trial, Tuned, judge
from relook.training import Arm, prepare
from relook.workers import available_cores

RESULTS = Path(__file__).parent / "results"
COMMAND = (
    "relook tune ppo --env Acrobot-v1 --trials 40 --at-once 8 --seeds 3 --confirm-seeds 30 "
    "--learning-rate 1e-5 --gae-lambda 0.5 --discount 0.9 "
    "--space learning_rate=1e-5:1e-2:log discount=0.9:0.999 gae_lambda=0.5:1 clip=0.1:0.4 entropy_coefficient=0:0.05"
)
STUDIES = {"60k-no-final": "--steps 60000 --finalists 1"}
"""All searches that were made. Without finalists the best trial of the search itself is confirmed."""


def main(words: list[str]) -> None:
    place = Path(words[0]) if words else Path("runs/benchmark-tuning")
    place.mkdir(parents=True, exist_ok=True)
    found: dict[str, tuple[Tuned, dict[int, float]]] = {}
    for name, options in STUDIES.items():
        out = place / name
        subprocess.run(
            [sys.executable, "-m", "relook.cli", *COMMAND.split()[1:], *options.split(), "--out", str(out)], check=True
        )
        own = judge(out)
        found[name] = own, _to_the_end(own, reopened(out), out / "pruned-to-the-end")
        shutil.copy(out / "search.png", RESULTS / f"tuning-{name}.png")
    rows = [{"study": name, **row} for name, own in found.items() for row in _rows(*own)]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(RESULTS / "tuning.csv")
    (RESULTS / "tuning.md").write_text("\n".join(_page(found)) + "\n", encoding="utf-8")


def _to_the_end(found: Tuned, search: Search, path: Path) -> dict[int, float]:
    """What the trials that were pruned score when they are trained to the end, by their numbers."""
    gone = [trial for trial in found.trials if trial.pruned]
    if not gone:
        return {}
    seeds = range(search.first_seed, search.first_seed + search.seeds)
    arms = [Arm(f"trial {trial.number}", {**search.start, **trial.values}, seeds) for trial in gone]
    if not (path / "run.json").is_file():
        samplers = {f"trial {trial.number}": trial.sampler for trial in gone}
        prepare(replace(search.request(arms, {"samplers": samplers}), out=path), available_cores())
    run, spec = Run(path), search.request([], {}).environment
    Embedded(available_cores()).carry_out(left([(run, spec)]), lambda: None)
    check_ended([run], path)
    return {trial.number: trial.score(found.worst) for trial in tuning.trials([Run(path)], [*search.space])}


def _rows(found: Tuned, after_all: Mapping[int, float]) -> Iterator[dict[str, Any]]:
    """A row for each seed of each trial, of each finalist, and of each arm of the confirmation."""
    first, seeds = int(found.record["first_seed"]), int(found.record["seeds"])
    for part, trials, since in (("search", found.trials, first), ("final", found.finalists, first + seeds)):
        for trial in trials:
            for place, seed in enumerate(trial.seeds):
                yield {
                    "part": part,
                    "arm": f"trial {trial.number}",
                    "sampler": trial.sampler,
                    "seed": since + place,
                    "pruned": trial.pruned,
                    **trial.values,
                    "steps": seed.made,
                    "return": seed.returns[-1],
                    "trial_to_the_end": after_all.get(trial.number) if part == "search" else None,
                }
    for agent, summary in zip(found.confirmed.agents, found.confirmed.agent_summaries, strict=True):
        yield {
            "part": found.confirmed.path.name,
            "arm": agent.arm,
            "seed": agent.seed,
            "pruned": False,
            **{name: agent.hyperparameters[name] for name in found.space},
            "steps": summary["steps"],
            "return": summary["final_return"],
        }


def _page(found: Mapping[str, tuple[Tuned, dict[int, float]]]) -> Iterator[str]:
    yield "# From a bad start: PPO on Acrobot-v1, tuned\n"
    yield "Made by `python -m benchmarks.tuning`; every seed's score is in `tuning.csv`. All searches:\n"
    yield "```"
    yield COMMAND.replace(" --learning", " \\\n    --learning").replace(" --space", " \\\n    --space")
    yield "```\n"
    yield "None that was made is left out. In brackets 95 % intervals over seeds, Student's and Welch's.\n"
    yield "| search | chosen by | confirmed | default | start | tuned − default |\n|---|---|---|---|---|---|"
    for name, (own, _) in found.items():
        by = f"{reports.number(own.chosen.score(own.worst))} on {len(own.chosen.seeds)} seeds"
        arms = [
            reports.with_interval(own.arms[arm].mean) if arm in own.arms else "–" for arm in (TUNED, DEFAULT, START)
        ]
        yield f"| `{STUDIES[name]}` | {by} | {' | '.join(arms)} | {reports.with_interval(own.gain(DEFAULT))} |"
    for name, (own, after_all) in found.items():
        tables = [*tuning.tables(own), _pruning(own, after_all)]
        page = reports.markdown(tuning.heading(own), tables, f"`{STUDIES[name]}`")
        yield "\n" + page.replace("\n## ", "\n### ").replace("# `", "## `", 1).strip() + "\n"
        yield f"![Trials, confirmation, and scores against each hyper-parameter](tuning-{name}.png)"


def _pruning(found: Tuned, after_all: Mapping[int, float]) -> reports.Table:
    """What this rule and the median of earlier trials cut, and how the best of what they cut ends."""
    size = int(found.record["at_once"])
    ends = {trial.number: after_all.get(trial.number, trial.score(found.worst)) for trial in found.trials}
    at_pause = {trial.number: _at_pause(trial, found.worst) for trial in found.trials}
    median = []
    for trial in found.trials[size:]:
        before = [at_pause[other.number] for other in found.trials if other.number < trial.number // size * size]
        if at_pause[trial.number] < np.median(before):
            median.append(trial.number)
    order = sorted(ends, key=lambda number: -ends[number])
    rows = []
    for name, cut in (("this one", [trial.number for trial in found.trials if trial.pruned]), ("median", median)):
        best = max(cut, key=lambda number: ends[number], default=None)
        rank = "–" if best is None else f"{order.index(best) + 1} of {len(order)}"
        rows.append([name, str(len(cut)), "–" if best is None else reports.number(ends[best]), rank])
    return reports.Table(
        "What pruning cut",
        ["rule", "trials cut", "the best of them ends at", "its rank among all"],
        rows,
        f"all trials trained to the end after all; the best trial ends at {reports.number(max(ends.values()))}. The "
        f"first batch is never cut; the median rule compares with all earlier batches after {PAUSE:.0%} of the steps",
    )


def _at_pause(trial: Trial, worst: float) -> float:
    """What a trial had when the decision is made."""
    curve = trial.curve(worst)
    return float(curve[-1] if trial.pruned else curve[math.ceil(PAUSE * (len(curve) - 1))])


if __name__ == "__main__":
    main(sys.argv[1:])
