"""Make docs/comparing.md, its table of scores and its pictures.

    python docs/comparing.py          the page and the pictures, from docs/comparing.csv
    python docs/comparing.py train    trains everything first (some minutes), and writes docs/comparing.csv

A test makes the page from the table and from a tiny training.
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import polars as pl

from relook.cli.main import main as relook
from relook.runs.reading import Run
from relook.statistics import significance
from relook.statistics.aggregates import Scores, mean_interval
from relook.statistics.comparison import Comparison, Rules, compare
from relook.statistics.comparison_plots import differences, scores
from relook.statistics.curves import align, smoothed
from relook.statistics.plots import Drawing, Seed, learning_curves, save
from relook.statistics.references import reference
from relook.statistics.reports import heading, markdown, number, tables
from relook.statistics.scores import ALLOWANCES, TABLE, Training, checked, of_run, of_table

DOCS = Path(__file__).parent
METHODS, TASKS = {"A2C": "a2c", "PPO": "ppo"}, ("CartPole-v1", "Acrobot-v1")
RUNS = "runs/comparing"
DELTA = 0.05
WINDOW = 5


def commands(steps: int, seeds: int, runs: str) -> list[str]:
    """Trainings."""
    return [
        f"relook train {name} --env {task} --seeds {seeds} --steps {steps} --out {runs}/{name}-{task}"
        for task in TASKS
        for name in METHODS.values()
    ]


def sources(runs: str) -> str:
    return " ".join(f"{method}={runs}/{name}-{task}" for method, name in METHODS.items() for task in TASKS)


def train(steps: int, seeds: int, runs: str) -> pl.DataFrame:
    """Run the commands; their evaluations as a tidy table."""
    for command in commands(steps, seeds, runs):
        if status := relook(command.split()[1:]):
            sys.exit(status)
    found = [t for source in sources(runs).split() for t in of_run(Run(source.split("=")[1]), source.split("=")[0])]
    return pl.DataFrame([row for training in found for row in rows(training)])


def rows(training: Training) -> Iterator[dict[str, object]]:
    """An evaluation each; the episodes of the last one."""
    last = training.curve[0][-1]
    for step, score in zip(*training.curve, strict=True):
        yield {
            "method": training.method,
            "task": training.task,
            "seed": training.seed,
            "step": int(step),
            "score": float(score),
            "configuration": training.configuration,
            **training.facts,
            "wall_time": training.seconds,
            "episode_returns": ";".join(f"{x:g}" for x in training.episodes) if step == last else "",
        }


def text(*parts: str) -> list[str]:
    """A paragraph."""
    return [*textwrap.wrap(" ".join(parts), 112, break_long_words=False, break_on_hyphens=False), ""]


def compared(trainings: Sequence[Training]) -> Comparison:
    return compare(checked(trainings)[0], Rules(delta=DELTA), reference())


def of(trainings: Sequence[Training], method: str, task: str) -> list[Training]:
    return [t for t in trainings if (t.method, t.task) == (method, task)]


def finals(trainings: Sequence[Training], method: str, task: str) -> np.ndarray:
    return np.array([t.curve[1][-1] for t in of(trainings, method, task)])


def page(table: Path, steps: int = 30_000, seeds: int = 10) -> str:
    """The whole page."""
    trainings = of_table(table)
    found = compared(trainings)
    [overall] = found.differences
    by_task = {task: own[0] for task, own in found.per_task_differences.items()}
    report = markdown(heading(found), [*tables(found)]).replace("# Comparison\n", "").replace("\n## ", "\n### ")
    verdicts = " and ".join(f"{own.verdict or 'none'} on {task}" for task, own in by_task.items())
    return "\n".join(
        [
            "# Which of two methods is better?",
            "",
            *text(
                "One seed of a reinforcement learning algorithm says almost nothing about the next one: the same code",
                "with another seed may score half as much. This page asks a small question, whether PPO is better",
                f"than A2C on {TASKS[0]} and {TASKS[1]} after {steps:,} steps, and answers it with `relook compare`;",
                "then it makes five common mistakes on the same scores, to show what each would have claimed.",
                "Everything here was made by `python docs/comparing.py train`, and the scores are in",
                "[comparing.csv](comparing.csv).",
            ),
            "## The question",
            "",
            *text(
                "Decide before you look: the score, the baseline, and δ, the smallest difference that you would care",
                "about. Here the score is the last evaluation (ten deterministic episodes), put on a scale on which a",
                f"random policy is 0 and a good one is 1, so that both tasks count alike; δ is {DELTA:g} on this scale.",
            ),
            "```",
            *commands(steps, seeds, RUNS),
            "relook compare \\",
            *(f"    {source} \\" for source in sources(RUNS).split()),
            f"    --delta {DELTA:g} --out comparison",
            "```",
            "",
            *text(
                "The last command prints the tables below, and writes them as JSON, Markdown and LaTeX, with pictures.",
                f"The same from the table: `relook compare docs/comparing.csv --delta {DELTA:g}`.",
            ),
            "## The answer",
            "",
            "![Differences with their intervals](images/comparing-differences.png)",
            "",
            *text(
                f"Over both tasks the verdict is **{overall.verdict}** for {overall.first} against {overall.second}: a",
                f"difference of {number(overall.mean.value)}, of which the 95 % interval reaches from",
                f"{number(overall.mean.low)} to {number(overall.mean.high)}. By task it is {verdicts}.",
            ),
            *text(
                "There are four verdicts. *Better* and *worse* mean that the test found a difference, its p value",
                "adjusted for the number of comparisons. *Equivalent* means that the difference was shown to be smaller",
                "than δ. *Undecided* means neither, and never that there is no difference; where it falls over all",
                "tasks, a table says how many seeds the question needs. The interval says what the verdict does not:",
                "how large the difference may be.",
            ),
            *text(
                "Read the rows beside the verdict, too. The IQM leaves out the best and the worst quarter of all",
                "trainings, and a rank test does not see by how much a seed fails: where these say less than the mean,",
                "the difference lies in seeds that failed.",
            ),
            "![Seeds, and episodes within seeds](images/comparing-scores.png)",
            "",
            *text(
                "A dot is a seed. The small dashes are the ten episodes of its last evaluation: more episodes would",
                "make them denser, but the spread between the dots is what another seed would add, and only seeds tell",
                "of it.",
            ),
            report.strip(),
            "",
            "## Five ways to fool oneself",
            "",
            *best_of_seeds(trainings),
            *overlapping(trainings, found),
            *maximum(trainings),
            *smoothing(trainings),
            *three_seeds(trainings),
            "## Adding seeds until it is decided",
            "",
            *text(
                "Who adds seeds until p < 0.05 will get there: looked at after 5, 10, 15 and 20 seeds, two equal methods",
                "are called different more than one time in eight (`python -m benchmarks.statistics looks`). Looks that",
                "are planned before the first one share the chance of an error among them:",
            ),
            "```",
            "relook compare scores.csv --plan plan.json --looks 4 --seeds-per-look 5",
            "relook compare scores.csv --plan plan.json    # again when there are ten seeds of each",
            "```",
            "",
            *text(
                "The plan is written at the first look and holds for all later ones; a plan after the fact is refused.",
                "What is decided early is probably a little smaller than it looks.",
            ),
            "## Anybody's scores",
            "",
            *text(
                "Runs of relook and tables mix freely. A table is a CSV or Parquet file with a row for each score, and",
                "only the first four columns are needed; `relook export` writes one that holds everything of a set of",
                "runs.",
            ),
            "| column | meaning |",
            "|---|---|",
            *(f"| `{column}` | {meaning} |" for column, meaning in TABLE.items()),
            "",
            *text("Some comparisons mean nothing, and are refused until you insist; then the output says so:"),
            "| `--allow` | compares |",
            "|---|---|",
            *(f"| `{name}` | {meaning} |" for name, meaning in ALLOWANCES.items()),
            "| `late-plan` | looks that were planned when there were seeds already |",
            "",
            *text(
                "A training that failed stays in, with what it had reached or with `--failed-score`: leaving it out",
                "would reward failing. The same seed twice, a method that is missing on a task and the best of several",
                "evaluations as a score are refused whatever is allowed.",
            ),
        ]
    )


def best_of_seeds(trainings: Sequence[Training]) -> list[str]:
    task = TASKS[0]
    worse, better = sorted(METHODS, key=lambda m: finals(trainings, m, task).mean())
    low, high = finals(trainings, worse, task), finals(trainings, better, task)
    return [
        "### The best of ten seeds",
        "",
        *text(
            f"The best of {worse}'s {len(low)} seeds on {task} scored {number(low.max())}. Beside the mean of {better}'s,",
            f"{number(high.mean())}, that would make a fine headline for the method whose own mean is",
            f"{number(low.mean())}. The best of many seeds grows with their number; it describes the search for a seed,",
            "and nobody who runs the code once gets it.",
        ),
    ]


def overlapping(trainings: Sequence[Training], found: Comparison) -> list[str]:
    rng = np.random.default_rng(0)
    tested = apart = 0
    draws, gap, n = 4000, 1.3, 10
    for _ in range(draws):
        x, y = rng.normal(gap, 1, n), rng.normal(0, 1, n)
        (low_x, high_x), (low_y, high_y) = mean_interval(x), mean_interval(y)
        apart += bool(low_x > high_y or low_y > high_x)
        tested += significance.p_value(significance.mean_difference(Scores([x]), Scores([y]))) < 0.05
    task = TASKS[1]
    intervals = {m: found.per_task[task][m] for m in METHODS}
    said = " and ".join(f"{m} [{number(e.low)}, {number(e.high)}]" for m, e in intervals.items())
    return [
        "### Intervals that overlap",
        "",
        *text(
            f"On {task} the two intervals are {said}. Whether they overlap is not the question: the interval of the",
            "*difference* is, and it is shorter than the two together. With ten seeds each and a true difference of",
            f"{gap:g} standard deviations, Welch's test finds it {tested / draws:.0%} of the time; intervals that do not",
            f"overlap would find it {apart / draws:.0%} of the time.",
        ),
    ]


def maximum(trainings: Sequence[Training]) -> list[str]:
    lines = [
        "### The maximum over training",
        "",
        *text(
            "An evaluation is the agent plus the luck of ten episodes. The best of many evaluations keeps the luck, and",
            "grows with how often one looks; it is the score of no agent that anybody has kept.",
        ),
        "| task | method | mean of last evaluations | mean of best evaluations |",
        "|---|---|---|---|",
    ]
    for task, method in product(TASKS, METHODS):
        own = of(trainings, method, task)
        best = np.mean([t.curve[1].max() for t in own])
        lines.append(
            f"| {task} | {method} | {number(finals(trainings, method, task).mean())} | {number(float(best))} |"
        )
    return [*lines, ""]


def smoothing(trainings: Sequence[Training]) -> list[str]:
    task = TASKS[0]
    parts = []
    for method in METHODS:
        scores_ = align([t.curve for t in of(trainings, method, task)])[1].mean(1)
        parts.append(f"{method} {number(scores_[-1])} and {number(smoothed(scores_, WINDOW)[-1])}")
    return [
        "### Smoothing",
        "",
        "![The same curves as measured and smoothed](images/comparing-smoothing.png)",
        "",
        *text(
            f"On the left the curves of {task} as they were measured, on the right the means of the last {WINDOW}",
            "points. Smoothed curves lag behind, hide how unsteady the agents are, and end somewhere else (last point,",
            f"measured and smoothed: {'; '.join(parts)}). relook smooths nothing unless asked",
            f"(`relook plot --smooth {WINDOW}`), says so on the axis, and never smooths what is compared.",
        ),
    ]


def three_seeds(trainings: Sequence[Training]) -> list[str]:
    task = TASKS[0]
    worse, better = sorted(METHODS, key=lambda m: finals(trainings, m, task).mean())
    of_three = {m: np.array([*combinations(finals(trainings, m, task), 3)]) for m in METHODS}
    low, high = of_three[worse], of_three[better]
    reversed_ = (low.mean(1)[:, None] > high.mean(1)).mean()
    chosen = np.array([*product(range(3), repeat=3)])
    resampled = {m: x[:, chosen].mean(2) for m, x in of_three.items()}
    certain = false = 0
    for row in resampled[worse]:
        gaps = (resampled[better][:, None, :] - row[None, :, None]).reshape(len(high), -1)
        ends = np.quantile(gaps, [0.025, 0.975], axis=1)
        certain += int((ends[0] > 0).sum())
        false += int((ends[1] < 0).sum())
    pairs = len(low) * len(high)
    return [
        "### Three seeds",
        "",
        *text(
            f"Of all {pairs:,} ways to take three of the seeds of each method on {task}, {reversed_:.0%} put {worse}",
            "ahead. A percentile bootstrap of three seeds, which is far too sure of itself, would have called",
            f"{better} better in {certain / pairs:.0%} of them and {worse} in {false / pairs:.0%}. Below three seeds",
            "relook gives no verdict; below five it warns.",
        ),
    ]


def pictures(table: Path, directory: Path) -> None:
    trainings = of_table(table)
    found = compared(trainings)
    save(differences(found), directory / "comparing-differences.png")
    save(scores(found), directory / "comparing-scores.png")
    seeds = {m: [Seed(t.curve) for t in of(trainings, m, TASKS[0])] for m in METHODS}
    smooth = {m: [Seed((s.curve[0], smoothed(s.curve[1], WINDOW))) for s in own] for m, own in seeds.items()}
    how = Drawing(f"{' and '.join(METHODS)} on {TASKS[0]}", "environment steps of each agent", "return (reward)")
    panels = {"as measured": seeds, f"mean of the last {WINDOW} points": smooth}
    save(learning_curves(panels, replace(how, same_scale=True)), directory / "comparing-smoothing.png")


def main(words: list[str]) -> None:
    if words == ["train"]:
        train(30_000, 10, RUNS).write_csv(DOCS / "comparing.csv")
    elif words:
        sys.exit(__doc__)
    (DOCS / "comparing.md").write_text(page(DOCS / "comparing.csv"), encoding="utf-8")
    pictures(DOCS / "comparing.csv", DOCS / "images")


if __name__ == "__main__":
    main(sys.argv[1:])
