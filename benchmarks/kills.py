"""Does a run that is killed again and again become what it would have been? `python -m benchmarks.kills [KILLS]`

For each environment: one run that nobody disturbs, and runs that are killed with SIGKILL at random moments and resumed,
until there were KILLS kills in all (100 unless said otherwise). A kill takes the whole tree of processes, a worker
alone, the command alone, or the whole tree while a checkpoint is being written. Compared are `parameters_sha256` of
every agent and, to the byte, metrics, episodes with their actions, evaluations and value estimates.

Writes results/kills.md, and results/kills.csv with every kill.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import polars as pl

from relook.runs.reading import Run

RESULTS = Path(__file__).parent / "results"
SAME = (
    *(f"{name}.jsonl" for name in ("metrics", "episodes", "evaluations")),
    *(f"{name}.bin" for name in ("actions", "training-values", "evaluation-values")),
)
SMALL = "--seeds 4 --workers 2 --checkpoint-every 500 --evaluate-episodes 2"
ENVIRONMENTS = {
    "CartPole-v1": "--steps 40960",
    "Pendulum-v1": "--steps 30720 --normalise-observations True",
    "FrozenLake-v1": "--steps 40960",
    "HalfCheetah-v5": "--steps 15360 --envs 2 --horizon 256 --normalise-observations True",
}
KINDS = ("tree", "worker", "command", "while a checkpoint is written")


def relook(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "relook.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def kill(kind: str, process: subprocess.Popen[bytes], out: Path, rng: random.Random) -> None:
    """Kill at once; for the last kind, when a checkpoint is next seen half written, or after some seconds."""
    if kind == KINDS[3]:
        patience = time.monotonic() + 10
        while time.monotonic() < patience and process.poll() is None:
            if list(out.glob("units/*/checkpoints/*.partial")):
                break
    workers = children(process.pid)
    victims = {KINDS[1]: [rng.choice(workers)] if workers else [], KINDS[2]: [process.pid]}.get(kind)
    for pid in [process.pid, *workers] if victims is None else victims:
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


def main(wanted: int) -> int:
    rng, kills, lines, other = random.Random(0), [], [], 0  # noqa: S311  # nothing here is a secret
    with tempfile.TemporaryDirectory() as place:
        for environment, options in ENVIRONMENTS.items():
            words = ["train", "ppo", "--env", environment, *SMALL.split(), *options.split(), "--out"]
            whole = Path(place) / f"{environment}-whole"
            began = time.monotonic()
            assert relook(*words, str(whole)).wait() == 0
            took = time.monotonic() - began
            runs, own, bad = 0, 0, 0
            while own < wanted / len(ENVIRONMENTS):
                out = Path(place) / f"{environment}-{runs}"
                runs += 1
                process = relook(*words, str(out))
                while True:
                    try:
                        process.wait(rng.uniform(0.3, 0.8) * took)
                    except subprocess.TimeoutExpired:
                        kind = rng.choice(KINDS)
                        kill(kind, process, out, rng)
                        own += 1
                        steps = [row.name for row in sorted(out.glob("units/*/checkpoints/0*")) if row.name.isdecimal()]
                        kills.append(
                            {"environment": environment, "run": runs, "kind": kind, "newest": max(steps, default="")}
                        )
                        print(environment, runs, kind, max(steps, default="none"), flush=True)
                    if (out / "run.json").exists() and all(
                        "finished" in Run(out).unit_events(u) for u in Run(out).units
                    ):
                        break
                    begun = (out / "run.json").exists()
                    process = (
                        relook("resume", str(out), "--workers", str(rng.choice((1, 2))))
                        if begun
                        else relook(*words, str(out))
                    )
                differs = compared(Run(whole), Run(out))
                bad += bool(differs)
                print(environment, runs, "differs: " + ", ".join(differs) if differs else "the same", flush=True)
            other += bad
            counted = Counter(row["kind"] for row in kills if row["environment"] == environment)
            lines.append(
                f"| {environment} | {own} | {' | '.join(str(counted[kind]) for kind in KINDS)} | {runs} | "
                f"{'all the same' if not bad else f'{bad} differ'} |"
            )
    head = [
        "# Killed and resumed",
        "",
        "Made by `python -m benchmarks.kills`: SIGKILL at random moments, then `relook resume` with one or two",
        "workers. Each run is compared with one that nobody disturbed: digests of all parameters, and metrics,",
        "episodes, actions, evaluations and value estimates to the byte.",
        "",
        f"| environment | kills | {' | '.join(KINDS)} | runs | compared |",
        "|---|---|---|---|---|---|---|---|",
    ]
    (RESULTS / "kills.md").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    pl.DataFrame(kills).write_csv(RESULTS / "kills.csv")
    print(json.dumps({"kills": len(kills), "runs that differ": other}))
    return int(other > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
