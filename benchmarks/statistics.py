"""Do intervals cover, do tests err, and do looks cost as often as they say? `python -m benchmarks.statistics [PART …]`

- `references`: aggregates and probability of improvement of public scores, against the published digits.
- `coverage`: how often 95 % intervals hold the truth, seeds drawn from the hundred public ones of each game.
- `tests`: how often tests err where there is no difference, and find one where there is.
- `looks`: the same for looking while seeds are added.
- `speed`: the bootstrap of 26 tasks × 100 seeds × 10,000 resamples against rliable's, in turn, on one core.

The first four need public scores (see benchmarks/public_scores.py), the last an environment of its own:

    python -m venv benchmarks/peers/.rliable
    benchmarks/peers/.rliable/bin/pip install -r benchmarks/peers/rliable.txt

Writes results/statistics.csv (every figure) and results/statistics.md.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.public_scores import atari
from relook.statistics import significance
from relook.statistics.aggregates import AGGREGATES, Scores, mean_interval
from relook.statistics.sequential import Plan, look, welch_power

RESULTS = Path(__file__).parent / "results"
CSV, PAGE = RESULTS / "statistics.csv", RESULTS / "statistics.md"
RLIABLE = Path(__file__).parent / "peers" / ".rliable" / "bin" / "python"
Array = NDArray[np.float64]
REPETITIONS = 2000
ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """One measured figure, and what it should be."""

    part: str
    case: str
    measured: float
    error: float | None
    """Monte-Carlo standard error of the measured figure."""
    expected: float | None
    source: str
    """Where the expectation comes from."""

    @property
    def agrees(self) -> str:
        """Whether it is within three standard errors; an expectation that was simulated has an error too."""
        if self.expected is None:
            return ""
        if self.error is None:
            return "yes" if abs(self.measured - self.expected) <= 1e-9 else "**no**"
        both = self.error * (2**0.5 if self.source == SIMULATED else 1)
        return "yes" if abs(self.measured - self.expected) <= 3 * both + 0.005 else "**no**"


SIMULATED = "an earlier simulation of others' making"


def share(part: str, case: str, hits: Sequence[bool], expected: float | None, source: str) -> Figure:
    found = float(np.mean(hits))
    return Figure(part, case, found, float(np.sqrt(max(found * (1 - found), 0.01) / len(hits))), expected, source)


# What the figures are

SPR = (0.6157957428691673, 0.39562938291779215, 0.3366493194937694, 0.5773017532342755)
DRQ = (0.4647412513971657, 0.312901399063074, 0.2796469290852646, 0.6305341162701135)


def references() -> Iterator[Figure]:
    """Digits that others printed for the same files."""
    for method, digits in (("SPR", SPR), ("DrQ(eps)", DRQ)):
        found = Scores(atari(method)).aggregates()[:, 0]
        for name, value, expected in zip(AGGREGATES, found, digits, strict=False):
            yield Figure("references", f"{method}, {name}", float(value), None, expected, "rliable's definitions")
    both = Scores(atari("SPR")), Scores(atari("DrQ(eps)"))
    better = significance.probability_of_improvement(*both, resamples=10).value
    yield Figure("references", "P(SPR > DrQ(ε)), to ten digits", round(better, 10), None, 0.6170115385, "rliable")


PERCENTILE, CORRECTED = {3: 0.874, 5: 0.903, 10: 0.937}, {3: 0.938, 5: 0.943, 10: 0.955}
TASK_PERCENTILE, TASK_STUDENT = {3: 0.68, 5: 0.79, 10: 0.86}, {3: 0.87, 5: 0.89, 10: 0.90}


def drawn(population: Sequence[Array], seeds: int, rng: np.random.Generator) -> list[Array]:
    """Seeds of each task, with replacement."""
    return [task[rng.integers(len(task), size=seeds)] for task in population]


def coverage() -> Iterator[Figure]:
    """Of the IQM over 26 games, and of the mean of each game by itself."""
    population = atari("SPR")
    truth = Scores(population).intervals(resamples=10)["IQM"].value
    means = np.array([task.mean() for task in population])
    for seeds in (3, 5, 10):
        rng = np.random.default_rng(seeds)
        held: dict[str, list[bool]] = {"percentile": [], "corrected": [], "task percentile": [], "task student": []}
        for i in range(REPETITIONS):
            scores = Scores(drawn(population, seeds, rng))
            for kind in ("percentile", "corrected"):
                found = scores.intervals(kind=kind, resamples=1000)["IQM"]
                held[kind].append(found.low <= truth <= found.high)
            if i % 10 == 0:
                tasks = np.stack(scores.tasks)
                low, high = mean_interval(tasks, axis=1)
                held["task student"] += ((low <= means) & (means <= high)).tolist()
                chosen = rng.integers(seeds, size=(1000, seeds))
                low, high = np.quantile(tasks[:, chosen].mean(2), [0.025, 0.975], axis=1)
                held["task percentile"] += ((low <= means) & (means <= high)).tolist()
        for kind, name, expected in (
            ("percentile", "IQM of 26 games, percentile bootstrap", PERCENTILE),
            ("corrected", "IQM of 26 games, corrected (ours)", CORRECTED),
            ("task percentile", "mean of a game, percentile bootstrap", TASK_PERCENTILE),
            ("task student", "mean of a game, Student's (ours)", TASK_STUDENT),
        ):
            yield share("coverage", f"{name}, {seeds} seeds", held[kind], expected[seeds], SIMULATED)


def tests() -> Iterator[Figure]:
    """On normal scores, where the truth is known in closed form, and on games without a difference."""
    rng = np.random.default_rng(0)
    population = atari("SPR")
    for seeds in (3, 5, 10, 20):
        for shift, what in ((0.0, "errs"), (0.93, "finds 0.93 standard deviations")):
            welch, ranks, bootstrap = [], [], []
            for _ in range(2 * REPETITIONS):
                a, b = Scores([rng.normal(shift, 1, seeds)]), Scores([rng.normal(0, 1, seeds)])
                welch.append(significance.p_value(significance.mean_difference(a, b)) < 0.05)
                ranks.append(significance.mann_whitney(a, b) < 0.05)
                chosen = rng.integers(seeds, size=(2, 300, seeds))
                gaps = a.tasks[0][chosen[0]].mean(1) - b.tasks[0][chosen[1]].mean(1)
                low, high = np.quantile(gaps, [0.025, 0.975])
                bootstrap.append(not low <= 0 <= high)
            exact = welch_power(seeds, 1.0, shift) if shift else 0.05
            closed = "noncentral t (Welch's test is a little below it)" if shift else "α, an upper limit"
            expected = exact if seeds > 5 or shift == 0 else None
            if shift == 0 and seeds < 10:
                expected = None  # Welch's test is conservative there
            yield share("tests", f"Welch {what}, {seeds} seeds, normal", welch, expected, closed)
            impossible = 0.0 if seeds == 3 else None
            yield share("tests", f"exact rank test {what}, {seeds} seeds, normal", ranks, impossible, "2/20 > 0.05")
            yield share(
                "tests", f"bootstrap interval of the difference {what}, {seeds} seeds, normal", bootstrap, None, ""
            )
        hits: dict[str, list[bool]] = {"Welch": [], "exact rank test": []}
        for i in range(REPETITIONS):
            game = population[i % len(population)]
            a, b = (Scores([game[rng.integers(len(game), size=seeds)]]) for _ in range(2))
            hits["Welch"].append(significance.p_value(significance.mean_difference(a, b)) < 0.05)
            hits["exact rank test"].append(significance.mann_whitney(a, b) < 0.05)
        for name, found in hits.items():
            yield share("tests", f"{name} errs, {seeds} seeds, games against themselves", found, None, "")


def looks() -> Iterator[Figure]:
    """26 games, three new seeds at each of three looks."""
    rng, plan = np.random.default_rng(0), Plan(looks=3, seeds_per_look=3)
    spr, drq = atari("SPR"), atari("DrQ(eps)")
    for other, what, expected in ((spr, "errs: SPR against itself", 0.045), (drq, "finds SPR against DrQ(ε)", 0.87)):
        decided, seeds = [], []
        for _ in range(REPETITIONS):
            path = look(drawn(spr, 9, rng), drawn(other, 9, rng), plan, paths=1000)
            decided.append(path.decided is not None)
            seeds.append(3 * (path.decided or 3))
        yield share("looks", f"{what}, 3 looks of 3 seeds", decided, expected, SIMULATED)
        mean, error = float(np.mean(seeds)), float(np.std(seeds) / len(seeds) ** 0.5)
        wanted = 5.4 if other is drq else None
        yield Figure("looks", f"{what}: seeds of each method until it ended", mean, error, wanted, SIMULATED)
    plan = Plan(looks=4, seeds_per_look=5)
    for spending in ("linear", "late"):
        plan = Plan(looks=4, seeds_per_look=5, spending=spending)
        for shape, sample in SHAPES.items():
            ends = [look([sample(rng, 20)], [sample(rng, 20)], plan, paths=1000).decided for _ in range(REPETITIONS)]
            hits = [end is not None for end in ends]
            yield share(
                "looks", f"errs: 4 looks of 5 seeds, {shape}, {spending} spending", hits, None, "at most α = 0.05"
            )
    naive = []
    for _ in range(REPETITIONS):
        x, y = rng.normal(size=(2, 20))
        ps = [
            significance.p_value(significance.mean_difference(Scores([x[:n]]), Scores([y[:n]])))
            for n in (5, 10, 15, 20)
        ]
        naive.append(min(ps) < 0.05)
    yield share("looks", "errs: adding five seeds until Welch's p < 0.05, up to 20", naive, None, "")


SHAPES: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "one in ten fails": lambda rng, n: np.where(rng.random(n) < 0.1, -10.0, rng.normal(size=n)),
    "lognormal": lambda rng, n: rng.lognormal(0, 1.5, n),
}

ONE_CORE = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
THEIRS = """
import json, sys, time
import numpy as np
from rliable import library, metrics
scores = {"x": np.array(json.load(sys.stdin))}
def gap(x): return metrics.aggregate_optimality_gap(x, 1.0)
def all_of_them(x):
    return np.array([metrics.aggregate_mean(x), metrics.aggregate_median(x), metrics.aggregate_iqm(x), gap(x)])
began = time.perf_counter()
library.get_interval_estimates(scores, all_of_them, reps=10_000)
print(time.perf_counter() - began)
"""


def speed() -> Iterator[Figure]:
    """Theirs computes four aggregates, ours five."""
    scores = np.random.default_rng(0).gamma(1.0, 1.0, (100, 26))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        with threadpool_limits(1):
            began = time.perf_counter()
            Scores([*scores.T]).intervals()
            ours.append(time.perf_counter() - began)
        given = json.dumps(scores.tolist())
        command = [str(RLIABLE), "-c", THEIRS]
        said = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=ONE_CORE)
        theirs.append(float(said.stdout.split()[-1]))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    yield Figure("speed", f"rliable's time ÷ ours, median of {ROUNDS} rounds (asked for: 20)", ratio, None, None, "")
    yield Figure("speed", "seconds, ours, median (asked for: below 2)", statistics.median(ours), None, None, "")


PARTS = {"references": references, "coverage": coverage, "tests": tests, "looks": looks, "speed": speed}


def main(names: list[str]) -> int:
    kept = [Figure(**row) for row in pl.read_csv(CSV).to_dicts()] if CSV.exists() else []
    for name in names or PARTS:
        kept = [figure for figure in kept if figure.part != name]
        for figure in PARTS[name]():
            kept.append(figure)
            print(f"{figure.part}: {figure.case}: {figure.measured:.4g} {figure.agrees}", flush=True)
        kept.sort(key=lambda figure: [*PARTS].index(figure.part))
        pl.DataFrame([asdict(figure) for figure in kept], infer_schema_length=None).write_csv(CSV)
        PAGE.write_text(page(kept), encoding="utf-8")
    return int(any("no" in figure.agrees for figure in kept))


def page(figures: Sequence[Figure]) -> str:
    lines = ["# Statistics", "", "Made by `python -m benchmarks.statistics`, which says what the parts are."]
    for part in dict.fromkeys(figure.part for figure in figures):
        lines += ["", f"## {part.capitalize()}", "", "| case | measured | expected | agrees | expected by |"]
        lines += ["|---|---|---|---|---|"]
        for f in figures:
            if f.part == part:
                error = "" if f.error is None else f" ± {f.error:.3f}"
                digits = f"{f.measured:.10g}" if part == "references" else f"{f.measured:.3f}"
                expected = "" if f.expected is None else f"{f.expected:.10g}"
                lines.append(f"| {f.case} | {digits}{error} | {expected} | {f.agrees} | {f.source or ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
