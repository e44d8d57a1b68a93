"""Does a grid that is killed again and again become what it would have been, and what does a grid save?

`python -m benchmarks.grid_kills [STEPS]`: PPO and A2C on CartPole-v1 and Acrobot-v1 with three learning rates and ten
seeds each, 120 agents of 20,000 steps unless said otherwise, three times, with one unit of work for each processor core
at a time:

- as a grid that nobody disturbs;
- as a grid whose whole tree of processes is killed (SIGKILL) ten times at random moments, and continued with the same
  command each time;
- as 120 commands `relook train … --seeds 1`, as many at a time as there are cores: what one does without grids.

Compared are all agents' summaries, `parameters_sha256` among them, row by row, of the second and of the third against
the first. Nothing else may run on the machine meanwhile. Writes results/grid_kills.md, and results/grid_kills.csv with
every row.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import psutil

from relook.runs.reading import Run, opened
from relook.workers import available_cores

RESULTS = Path(__file__).parent / "results"
ALGORITHMS, ENVIRONMENTS = ("ppo", "a2c"), ("CartPole-v1", "Acrobot-v1")
RATES, SEEDS, KILLS = ("0.0003", "0.001", "0.003"), 10, 10
SHARED = "--evaluate-episodes 5 --checkpoint-every 2000"
KEY = ("algorithm", "environment", "learning_rate", "seed")


def start(*words: str) -> subprocess.Popen[bytes]:
    """A command in a session of its own, by which its whole tree is found."""
    command = [sys.executable, "-m", "relook.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def grid(out: Path, steps: int) -> list[str]:
    return [
        *("grid", *ALGORITHMS, "--env", *ENVIRONMENTS, "--learning-rate", *RATES, "--seeds", str(SEEDS)),
        *("--steps", str(steps), *SHARED.split(), "--out", str(out)),
    ]


def rows(runs: list[Run]) -> pl.DataFrame:
    """How every agent ended; what depends on who it trained with is left out."""
    return pl.DataFrame(
        [
            {
                "algorithm": run.algorithm,
                "environment": run.environment_name,
                "learning_rate": summary["hyperparameters"]["learning_rate"],
                **{name: summary[name] for name in ("seed", "status", "steps", "final_return", "parameters_sha256")},
            }
            for run in runs
            for summary in run.agent_summaries
        ]
    ).sort(KEY)


def killed(out: Path, steps: int, took: float, rng: random.Random) -> list[str]:
    """Carry the grid out with `KILLS` kills; returns what had been done at each."""
    done: list[str] = []
    while True:
        process = start(*grid(out, steps))
        began, patience = time.monotonic(), rng.uniform(0.0, 0.12) * took
        while len(done) < KILLS and process.poll() is None and not units(out, "metrics.jsonl", began):
            time.sleep(0.05)  # until something trains: a kill before is one of nothing
        if len(done) == KILLS:
            process.wait()
            return done
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
        if process.poll() is not None:
            raise SystemExit(f"the grid ended after {len(done)} of {KILLS} kills; ask for more steps")
        for victim in [p for p in psutil.process_iter() if session(p.pid) == process.pid]:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        process.wait()
        finished = sum("finished" in run.unit_events(unit) for run in opened(out) for unit in run.units)
        done.append(f"{finished} units finished, {len(units(out, 'metrics.jsonl', 0))} begun")
        print(f"kill {len(done)}: {done[-1]}", file=sys.stderr)


def session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def units(out: Path, name: str, since: float) -> list[Path]:
    """The units whose file has been written to since a moment of the monotonic clock."""
    at = time.time() - (time.monotonic() - since) if since else 0.0
    return [path for path in out.glob(f"*/units/*/{name}") if path.stat().st_size and path.stat().st_mtime > at]


def apart(out: Path, steps: int) -> list[Run]:
    """The same agents, each by a command of its own."""
    cores = available_cores()
    waiting = list(itertools.product(ALGORITHMS, ENVIRONMENTS, RATES, range(SEEDS)))
    places, running = [], list[subprocess.Popen[bytes]]()
    for i, (algorithm, environment, rate, seed) in enumerate(waiting):
        while len(running := [process for process in running if process.poll() is None]) == cores:
            time.sleep(0.02)
        places.append(out / str(i))
        asked = f"--env {environment} --learning-rate {rate} --seeds 1 --first-seed {seed} --steps {steps} --workers 1"
        running.append(start("train", algorithm, *asked.split(), *SHARED.split(), "--out", str(places[-1])))
    for process in running:
        process.wait()
    return [Run(place) for place in places]


def main(words: list[str]) -> None:
    steps = int(words[0]) if words else 20_000
    with tempfile.TemporaryDirectory(prefix="relook-grid-kills-") as name:
        scratch = Path(name)
        began = time.perf_counter()
        assert start(*grid(scratch / "whole", steps)).wait() == 0
        whole_took = time.perf_counter() - began
        print(f"grid: {whole_took:.0f} s", file=sys.stderr)
        whole = rows(opened(scratch / "whole"))
        done = killed(scratch / "killed", steps, whole_took, random.Random(0))  # noqa: S311  # moments, no secrets
        again = rows(opened(scratch / "killed"))
        began = time.perf_counter()
        singles = rows(apart(scratch / "apart", steps))
        apart_took = time.perf_counter() - began
        number = len(opened(scratch / "whole"))
        amount = sum(len(run.units) for run in opened(scratch / "whole"))
    same, alike = (sum(a == b for a, b in zip(whole.rows(), other.rows(), strict=True)) for other in (again, singles))
    joined = whole.join(again.select(*KEY, killed="parameters_sha256"), on=KEY)
    joined = joined.join(singles.select(*KEY, apart="parameters_sha256"), on=KEY)
    joined.write_csv(RESULTS / "grid_kills.csv")
    lines = [
        "# A grid that is killed, and a grid against single runs",
        "",
        f"`python -m benchmarks.grid_kills {steps}`: {' and '.join(ALGORITHMS)} on {' and '.join(ENVIRONMENTS)}, "
        f"learning rates {', '.join(RATES)}, {SEEDS} seeds, {steps:,} steps: {len(whole)} agents in {number} runs and "
        f"{amount} units of work, {available_cores()} processor cores.",
        "",
        "| | |",
        "|---|---|",
        f"| rows of the grid that was killed {len(done)} times that equal the undisturbed one's | "
        f"{same} of {len(whole)} |",
        f"| rows of {len(singles)} single runs that equal the grid's | {alike} of {len(whole)} |",
        f"| wall time of {len(singles)} single runs ÷ that of the grid, in one run | {apart_took / whole_took:.1f} |",
        "",
        "The whole tree of processes was killed when there were:",
        "",
        *(f"{i}. {what}" for i, what in enumerate(done, 1)),
        "",
    ]
    (RESULTS / "grid_kills.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
