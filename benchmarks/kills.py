"""Does a run that is killed again and again become what it would have been? `python -m benchmarks.kills [N [NAME …]]`

For each training of the list (of the algorithms named, or all): one run that nobody disturbs, and runs that are killed
with SIGKILL at random moments and resumed, until there were N kills in all (100 unless said otherwise). A kill takes
the whole tree of processes, a worker alone, the command alone, or the whole tree while a checkpoint is being written.
Compared are `parameters_sha256` of every agent and, to the byte, metrics, episodes with their actions, evaluations and
value estimates.

Writes results/kills.md, and results/kills.csv with every kill.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from relook.runs.reading import Run

RESULTS = Path(__file__).parent / "results"
SAME = (
    *(f"{name}.jsonl" for name in ("metrics", "episodes", "evaluations")),
    *(f"{name}.bin" for name in ("actions", "training-values", "evaluation-values")),
)
SMALL = "--seeds 4 --workers 2 --checkpoint-every 500 --evaluate-episodes 2"
REPLAY = "--iteration 250 --learning-starts 1000 --capacity 3000 --hidden 64,64 --batch 64"
TRAININGS = (
    ("ppo", "CartPole-v1", "--steps 40960"),
    ("ppo", "Pendulum-v1", "--steps 30720 --normalise-observations True"),
    ("ppo", "FrozenLake-v1", "--steps 40960"),
    ("ppo", "HalfCheetah-v5", "--steps 15360 --envs 2 --horizon 256 --normalise-observations True"),
    ("dqn", "CartPole-v1", f"--steps 8000 --target-interval 250 --update-interval 2 {REPLAY}"),
    ("ddpg", "Pendulum-v1", f"--steps 6000 {REPLAY}"),
    ("td3", "Pendulum-v1", f"--steps 6000 {REPLAY} --envs 2 --update-interval 2 --n-step 3"),
    ("sac", "HalfCheetah-v5", f"--steps 5000 {REPLAY}"),
)
"""Where there is a replay, it is written over more than once."""
COLUMNS = {
    "algorithm": pl.String,
    "environment": pl.String,
    "run": pl.Int64,
    "kind": pl.String,
    "newest": pl.String,
    "same": pl.Boolean,
}
KINDS = ("tree", "worker", "command", "while a checkpoint is written")


def relook(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "relook.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def tree(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have, as long as they run."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def training(out: Path) -> list[int]:
    """The workers of a run that train now, as their units' locks say."""
    numbers = [int(path.read_text() or 0) for path in out.glob("units/*/lock")]
    return [pid for pid in numbers if psutil.pid_exists(pid)]


def kill(kind: str, process: subprocess.Popen[bytes], out: Path, rng: random.Random) -> None:
    """Kill at once; for the last kind, when a checkpoint is next seen half written, or after some seconds."""
    if kind == KINDS[3]:
        patience = time.monotonic() + 10
        while time.monotonic() < patience and process.poll() is None:
            if list(out.glob("units/*/checkpoints/*.partial")):
                break
    workers = training(out)
    victims = {KINDS[1]: [rng.choice(workers)] if workers else [], KINDS[2]: [process.pid]}.get(kind)
    for pid in [process.pid, *tree(process.pid)] if victims is None else victims:
        with suppress(ProcessLookupError):  # it may have just ended by itself
            os.kill(pid, signal.SIGKILL)
    process.wait()


def compared(one: Run, other: Run) -> list[str]:
    """What differs between two runs."""
    digests = [[agent["parameters_sha256"] for agent in run.agent_summaries] for run in (one, other)]
    differs = ["parameters_sha256"] if digests[0] != digests[1] else []
    for unit in one.units:
        for name in SAME:
            if (one.unit_directory(unit) / name).read_bytes() != (other.unit_directory(unit) / name).read_bytes():
                differs.append(f"{name} of unit {unit}")
    return differs


def disturbed(words: Sequence[str], out: Path, took: float, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Train, kill, resume until the run has finished. Yields the kind of each kill and the newest checkpoint then."""
    process = relook(*words, str(out))
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.3, 0.8) * took)
        if process.poll() is None:
            kind = rng.choice(KINDS)
            kill(kind, process, out, rng)
            steps = [path.name for path in out.glob("units/*/checkpoints/0*") if path.name.isdecimal()]
            yield kind, max(steps, default="")
        begun = (out / "run.json").exists()
        if begun and all("finished" in Run(out).unit_events(unit) for unit in Run(out).units):
            return
        workers = str(rng.choice((1, 2)))
        process = relook("resume", str(out), "--workers", workers) if begun else relook(*words, str(out))


def kills_of(algorithm: str, environment: str, options: str, wanted: float, place: Path) -> list[dict[str, Any]]:
    """Enough runs for so many kills, each compared with one that nobody disturbs."""
    rng, found, runs = random.Random(f"{algorithm} {environment}"), list[dict[str, Any]](), 0  # noqa: S311  # no secret
    words = ["train", algorithm, "--env", environment, *SMALL.split(), *options.split(), "--out"]
    whole = place / f"{algorithm}-{environment}-whole"
    began = time.monotonic()
    assert relook(*words, str(whole)).wait() == 0
    took = time.monotonic() - began
    while len(found) < wanted:
        runs += 1
        out = place / f"{algorithm}-{environment}-{runs}"
        own = []
        for kind, newest in disturbed(words, out, took, rng):
            own.append({"run": runs, "kind": kind, "newest": newest})
            print(algorithm, environment, *own[-1].values(), flush=True)
        differs = compared(Run(whole), Run(out))
        print(algorithm, environment, runs, "differs: " + ", ".join(differs) if differs else "the same", flush=True)
        found += [{"algorithm": algorithm, "environment": environment, **row, "same": not differs} for row in own]
    return found


def table(kills: pl.DataFrame) -> str:
    """A row for each training."""
    lines = [
        "# Killed and resumed",
        "",
        "Made by `python -m benchmarks.kills`: SIGKILL at random moments, then `relook resume` with one or two",
        "workers. Each run is compared with one that nobody disturbed: digests of all parameters, and metrics,",
        "episodes, actions, evaluations and value estimates to the byte.",
        "",
        f"| algorithm | environment | kills | {' | '.join(KINDS)} | runs | compared |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for algorithm, environment, _ in TRAININGS:
        own = kills.filter((pl.col("algorithm") == algorithm) & (pl.col("environment") == environment))
        if own.is_empty():
            continue
        counted = Counter(own["kind"])
        bad = own.filter(~pl.col("same"))["run"].n_unique()
        lines.append(
            f"| {algorithm} | {environment} | {len(own)} | {' | '.join(str(counted[kind]) for kind in KINDS)} "
            f"| {own['run'].n_unique()} | {f'{bad} differ' if bad else 'all the same'} |"
        )
    return "\n".join(lines) + "\n"


def main(wanted: int, algorithms: Sequence[str]) -> int:
    csv = RESULTS / "kills.csv"
    trainings = [training for training in TRAININGS if not algorithms or training[0] in algorithms]
    for algorithm, environment, options in trainings:
        with tempfile.TemporaryDirectory() as place:
            found = pl.DataFrame(
                kills_of(algorithm, environment, options, wanted / len(trainings), Path(place)), schema=COLUMNS
            )
        if csv.exists():
            kept = pl.read_csv(csv, schema=COLUMNS)
            others = kept.filter((pl.col("algorithm") != algorithm) | (pl.col("environment") != environment))
            found = pl.concat([others, found])
        found.write_csv(csv)
        (RESULTS / "kills.md").write_text(table(found), encoding="utf-8")
    return int(not found["same"].all())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:]))
