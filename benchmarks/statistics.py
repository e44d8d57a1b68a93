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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.public_scores import atari, halfcheetah
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
        both = self.error * (2**0.5 if self.source.startswith(SIMULATED) else 1)
        return "yes" if abs(self.measured - self.expected) <= 3 * both + 0.005 else "**no**"


SIMULATED = "an earlier simulation of others' making"
OTHER_SCORE = f"{SIMULATED}, with another final score of these seeds (0.93 standard deviations apart, here 0.84)"


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
    """On normal scores, where the truth is known in closed form, and on seeds of SAC and TD3."""
    rng = np.random.default_rng(0)
    sac, td3 = halfcheetah("SAC"), halfcheetah("TD3")
    for seeds in (3, 5, 10, 20):
        for shift, what in ((0.0, "errs"), (0.93, "finds 0.93 standard deviations")):
            samples = ((rng.normal(shift, 1, seeds), rng.normal(0, 1, seeds)) for _ in range(2 * REPETITIONS))
            found = judged(samples, rng)
            # Welch's test is conservative for few seeds; otherwise its size is α, and its power the noncentral t's.
            exact = welch_power(seeds, 1.0, shift) if shift else 0.05
            expected = {"Welch": exact if seeds > 5 else None, "exact rank test": 0.0 if seeds == 3 else None}
            for name, hits in found.items():
                closed = "2/20 > 0.05" if name == "exact rank test" else "α" if not shift else "noncentral t"
                yield share("tests", f"{name} {what}, {seeds} seeds, normal", hits, expected.get(name), closed)
        for other, what, known, source in (
            (sac, "errs: SAC against itself", SIZE, SIMULATED),
            (td3, "finds SAC against TD3", POWER, OTHER_SCORE),
        ):
            several = (tuple(p[rng.integers(len(p), size=seeds)] for p in (sac, other)) for _ in range(2 * REPETITIONS))
            for name, hits in judged(several, rng).items():
                yield share("tests", f"{name} {what}, {seeds} seeds", hits, known[name].get(seeds), source)


BOOTSTRAP = "percentile bootstrap of the difference"
SIZE: dict[str, dict[int, float]] = {
    "Welch": {3: 0.02, 5: 0.02, 10: 0.02, 20: 0.03},
    "exact rank test": {3: 0.0, 5: 0.03, 10: 0.04, 20: 0.05},
    BOOTSTRAP: {3: 0.20, 5: 0.13, 10: 0.10, 20: 0.09},
}
"""How often tests of SAC against itself err, by the number of seeds."""
POWER: dict[str, dict[int, float]] = {
    "Welch": {3: 0.12, 5: 0.31, 10: 0.65, 20: 0.83},
    "exact rank test": {3: 0.0, 5: 0.37, 10: 0.79, 20: 0.98},
    BOOTSTRAP: {},
}
"""How often they find that SAC is better than TD3."""


def judged(samples: Iterable[tuple[Array, ...]], rng: np.random.Generator) -> dict[str, list[bool]]:
    """Whether each test calls two samples different."""
    found: dict[str, list[bool]] = {name: [] for name in SIZE}
    for x, y in samples:
        a, b = Scores([x]), Scores([y])
        found["Welch"].append(significance.p_value(significance.mean_difference(a, b)) < 0.05)
        found["exact rank test"].append(significance.mann_whitney(a, b) < 0.05)
        chosen = rng.integers(len(x), size=(2, 1000, len(x)))
        low, high = np.quantile(x[chosen[0]].mean(1) - y[chosen[1]].mean(1), [0.025, 0.975])
        found[BOOTSTRAP].append(not low <= 0 <= high)
    return found


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
    sac, td3 = halfcheetah("SAC"), halfcheetah("TD3")
    plan = Plan(looks=4, seeds_per_look=5)
    cases = (
        (td3, "errs: TD3 against itself", 0.043, None, SIMULATED),
        (sac, "finds SAC against TD3", 0.86, 12.6, OTHER_SCORE),
    )
    for first, what, expected, wanted, source in cases:
        arms = ([[p[rng.integers(len(p), size=20)]] for p in (first, td3)] for _ in range(REPETITIONS))
        ends = [look(x, y, plan).decided for x, y in arms]
        yield share("looks", f"{what}, 4 looks of 5 seeds", [end is not None for end in ends], expected, source)
        seeds = [5 * (end or 4) for end in ends]
        mean, error = float(np.mean(seeds)), float(np.std(seeds) / len(seeds) ** 0.5)
        yield Figure("looks", f"{what}: seeds of each method until it ended", mean, error, wanted, source)
    for spending in ("linear", "late"):
        plan = Plan(looks=4, seeds_per_look=5, spending=spending)
        for shape, sample in SHAPES.items():
            ends = [look([sample(rng, 20)], [sample(rng, 20)], plan).decided for _ in range(REPETITIONS)]
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
