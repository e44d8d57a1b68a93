"""What does it cost to hand out a unit of work? `python -m benchmarks.scheduling [UNITS …]` (100, 300 and 1000)

Wall-clock time per unit of work, of so many units, on all processors of this machine:

- nothing at all, as a plain Ray task and in a process pool: a function that returns at once. The floor of each;
- the smallest training there is (PPO, one agent, one environment, four steps, a network of eight units, nothing
  evaluated), carried out by a plain function, as a Ray task and in a process pool. Each process carries out one unit
  after another, which is what a script would do that needs no more;
- the same units carried out by the embedded engine and by the Ray engine, in place and through the object store. There
  each unit has a process of its own, which can be killed, interrupted and resumed apart from the others;
- units that the node refuses, because they were made with another torch: the Ray engine's own way there and back, with
  no process and no training in between.

All units of a size belong to one run, which is the worst case: whoever carries out one of them reads the record of all.
What an engine costs is the difference between its time and the plain function's for the same units. Everything is warm:
before the clock starts each has carried out a few units, so that no process is started and nothing is imported
meanwhile but what a unit needs. The three of one kind (Ray, pool, engine) are measured one after the other, never at
the same time. The last lines are what a grid does beside: write the run down, look for what is left, check its end.

Writes results/scheduling.md and results/scheduling.csv.
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from relook.envs import EnvironmentSpec
from relook.experiments.engine import Embedded, Engine, Ray
from relook.experiments.grid import check_ended, left
from relook.runs.reading import Run
from relook.training import Request, prepare, work
from relook.workers import Task, available_cores

RESULTS = Path(__file__).parent / "results"
SIZES = (100, 300, 1000)
SPEC = EnvironmentSpec("CartPole-v1")
TRIVIAL: dict[str, list[Any]] = {"envs": [1], "horizon": [4], "minibatch": [4], "epochs": [1], "hidden": [(8,)]}
FLOORS = ("nothing, plain Ray task", "nothing, process pool")
UNITS = ("the unit, plain Ray task", "the unit, process pool")
REFUSED = "Ray engine, units that are refused"
ENGINES = ("embedded engine", "Ray engine, in place", "Ray engine, through objects")
BESIDE = ("writing the run down", "looking for what is left", "checking the end")


def nothing(path: str, unit: int) -> int:
    return unit


def carry_out(path: str, unit: int) -> int:
    """A unit, in this process."""
    work(Run(path), unit, SPEC)
    return unit


def prepared(place: Path, name: str, units: int) -> Run:
    """A run of so many units of one agent each."""
    request = Request("ppo", SPEC, range(units), 4, TRIVIAL, 0, place / name, checkpoint_every=0)
    return prepare(request, workers=units)


def plain_ray(ray: Any, function: Callable[[str, int], int], run: Run) -> float:
    """Seconds that Ray takes to call a function for each unit."""
    remote = ray.remote(num_cpus=1)(function)
    began = time.perf_counter()
    assert ray.get([remote.remote(str(run.path), unit) for unit in run.units]) == run.units
    return time.perf_counter() - began


def in_pool(pool: ProcessPoolExecutor, function: Callable[[str, int], int], run: Run) -> float:
    """Seconds that a process pool takes to call a function for each unit."""
    began = time.perf_counter()
    assert list(pool.map(function, [str(run.path)] * len(run.units), run.units)) == run.units
    return time.perf_counter() - began


def by_engine(engine: Engine, run: Run) -> dict[str, float]:
    """Seconds that an engine takes to carry out each unit, and those of what a grid does beside."""
    times = [time.perf_counter()]
    tasks = left([(run, SPEC)])
    times.append(time.perf_counter())
    engine.carry_out(tasks, lambda: None)
    times.append(time.perf_counter())
    check_ended([run], run.path)
    times.append(time.perf_counter())
    return dict(zip(("left", "engine", "ended"), (b - a for a, b in pairwise(times)), strict=True))


def refused(engine: Engine, run: Run) -> float:
    """Seconds that an engine takes to have each unit refused."""
    run.record["versions"]["torch"] = "1.0"
    began = time.perf_counter()
    engine.carry_out([Task(run, unit, SPEC) for unit in run.units], lambda: None)
    seconds = time.perf_counter() - began
    assert all("failed" in run.unit_events(unit) for unit in run.units)
    return seconds


def measured(place: Path, sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Seconds for each way and number of units."""
    cores = available_cores()
    context = multiprocessing.get_context("spawn")
    ray_engines = {ENGINES[1]: Ray(workers=cores), ENGINES[2]: Ray(workers=cores, storage="objects")}
    engines: dict[str, Engine] = {ENGINES[0]: Embedded(cores), **ray_engines}
    with ProcessPoolExecutor(cores, mp_context=context) as pool, closing(ray_engines[ENGINES[1]]) as first:
        for units in (4 * cores, *sizes):  # the first ones warm up
            done = 0

            def row(what: str, seconds: float, units: int = units) -> dict[str, Any]:
                print(f"{what:35} {units:5} {1000 * seconds / units:9.2f} ms", flush=True)
                return {"what": what, "units": units, "seconds": seconds, "cores": cores}

            def fresh(units: int = units) -> Run:
                nonlocal done
                done += 1
                return prepared(place, f"{units}-{done}", units)

            began = time.perf_counter()
            run = fresh()
            found = [row(BESIDE[0], time.perf_counter() - began)]
            found += [row(FLOORS[0], plain_ray(first.ray, nothing, run)), row(FLOORS[1], in_pool(pool, nothing, run))]
            found += [row(UNITS[0], plain_ray(first.ray, carry_out, run))]
            found += [row(UNITS[1], in_pool(pool, carry_out, fresh()))]
            for name, engine in engines.items():
                spent = by_engine(engine, fresh())
                found.append(row(name, spent["engine"]))
                if name == ENGINES[0]:
                    found += [row(BESIDE[1], spent["left"]), row(BESIDE[2], spent["ended"])]
            found.append(row(REFUSED, refused(first, fresh())))
            if units in sizes:
                yield from found


def table(rows: pl.DataFrame) -> str:
    """Milliseconds per unit, a row for each way and a column for each number of units."""
    sizes = sorted(set(rows["units"]))
    each = {(row["what"], row["units"]): 1000 * row["seconds"] / row["units"] for row in rows.iter_rows(named=True)}
    lines = [
        "# What it costs to hand out a unit of work",
        "",
        f"Made by `python -m benchmarks.scheduling` on {rows['cores'][0]} processors, which says what is measured and",
        "how. Milliseconds of wall-clock time per unit:",
        "",
        f"| | {' | '.join(f'{units:,} units' for units in sizes)} |",
        f"|---|{'---|' * len(sizes)}",
    ]

    def line(what: str, values: Sequence[float]) -> str:
        return f"| {what} | {' | '.join(f'{value:,.2f}' for value in values)} |"

    lines += [line(what, [each[what, units] for units in sizes]) for what in (*FLOORS, *UNITS, *ENGINES, REFUSED)]
    lines += ["", "What an engine adds to the plain function that carries out the same units:", ""]
    lines += [f"| | {' | '.join(f'{units:,} units' for units in sizes)} |", f"|---|{'---|' * len(sizes)}"]
    for what, plain in zip(ENGINES, (UNITS[1], UNITS[0], UNITS[0]), strict=True):
        added = [each[what, units] - each[plain, units] for units in sizes]
        lines.append(line(f"{what}, beside {plain.removeprefix('the unit, ')}", added))
    lines += ["", "What a grid does beside, per unit:", ""]
    lines += [f"| | {' | '.join(f'{units:,} units' for units in sizes)} |", f"|---|{'---|' * len(sizes)}"]
    lines += [line(what, [each[what, units] for units in sizes]) for what in BESIDE]
    return "\n".join(lines) + "\n"


def main(sizes: Sequence[int]) -> int:
    with tempfile.TemporaryDirectory() as place:
        rows = pl.DataFrame(measured(Path(place), sizes))
    rows.write_csv(RESULTS / "scheduling.csv")
    (RESULTS / "scheduling.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main([int(word) for word in sys.argv[1:]] or SIZES))
