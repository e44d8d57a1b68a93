"""What do planted bugs do to returns, and what does watching say of them? `python -m benchmarks.zoo [BUG …]`

Trains every algorithm as it is, and with each bug of relook.doctor.zoo planted, with five seeds, in the environment
that the bug names, or else in those of its algorithm. Written down, in results/zoo.csv, as each is done: whether it
bears load there (anything that was recorded is otherwise), whether it shows in the return (evaluations of the last
third are lower than those of the healthy ones, by a one-sided permutation test of five seeds against five at 5 %), and
which checks of relook.doctor.watch found something. What is in the file already is not trained again.
"""

import csv
import itertools
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from hashlib import sha256
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from relook.doctor.zoo import BUGS, SOURCE, UNSEEN, Bug

RESULTS = Path(__file__).parent / "results"
FIELDS = ("bug", "unseen", "algorithm", "environment", "bears_load", "shows", "return", "healthy", "watch", "what")
SEEDS = 5
SMALL = {"hidden": (32, 32), "batch": 32, "learning_starts": 300, "iteration": 300}
SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    **dict.fromkeys(("reinforce", "vpg", "a2c", "trpo", "ppo"), (20_480, {})),
    "dqn": (6_000, SMALL),
    **dict.fromkeys(("ddpg", "td3", "sac"), (6_000, {**SMALL, "random_steps": 300})),
}
"""Steps of each agent, and what is smaller than usual."""
WHERE: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("reinforce", "vpg", "a2c", "trpo", "ppo"), ("CartPole-v1", "Pendulum-v1")
)
WHERE |= {"dqn": ("CartPole-v1",)} | dict.fromkeys(("ddpg", "td3", "sac"), ("Pendulum-v1",))
"""Where a bug is looked for that names no environment: the first in which it bears load."""


def train(algorithm: str, environment: str, out: Path) -> dict[str, Any]:
    """In a process of its own, with relook imported from the current directory."""
    import gymnasium as gym
    import torch

    from relook.doctor.watch.checks import CHECKS
    from relook.doctor.watch.judging import judge
    from relook.doctor.watch.records import AFTERWARDS, Records
    from relook.envs import EnvironmentSpec
    from relook.runs.files import read_lines
    from relook.training import Request, carry_out, prepare

    torch.set_num_threads(1)
    steps, changed = SETTINGS[algorithm]
    limit = 200 if environment == "CliffWalking-v1" else 1000 if algorithm == "reinforce" else None
    spec = EnvironmentSpec(environment, max_episode_steps=limit)
    asked = {name: [value] for name, value in changed.items()}
    run = prepare(Request(algorithm, spec, range(SEEDS), steps, asked, 5, out), workers=1)
    carry_out(run, replace(spec, function=lambda: gym.make(environment)), 1)
    logs = [out / "units" / "0" / f"{name}.jsonl" for name in ("metrics", "evaluations", "episodes")]
    values = [out / "units" / "0" / f"{name}-values.bin" for name in ("training", "evaluation")]
    digest = sha256(b"".join(path.read_bytes() for path in (*logs, *values) if path.exists())).hexdigest()
    rows = [row for row in read_lines(logs[1]) if row["deterministic"] and row["steps"] > 2 * steps / 3]
    returns = [float(np.mean([r["mean_return"] for r in rows if r["agent"] == a])) for a in range(SEEDS)]
    found = judge(Records(run).read().watched(AFTERWARDS), CHECKS).findings
    return {"digest": digest, "returns": returns, "watch": [f"{f.check.name} ({f.severity})" for f in found]}


def in_a_fork(package: Path, algorithm: str, environment: str) -> dict[str, Any]:
    """What comes of a training with the package as it is now."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        child = os.fork()
        if child == 0:
            try:
                silent = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silent, 1)
                os.dup2(silent, 2)
                sys.dont_write_bytecode = True
                sys.path.insert(0, str(package.parent))
                try:
                    told = train(algorithm, environment, Path(scratch) / "run")
                except Exception as error:
                    told = {"failed": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
                answer.write_text(json.dumps(told))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        found: dict[str, Any] = json.loads(answer.read_text()) if answer.exists() else {"failed": "the process ended"}
        return found


def lower(found: Sequence[float], healthy: Sequence[float]) -> bool:
    """Whether the mean of some is below that of others, by an exact one-sided permutation test at 5 %."""
    pool, least = [*found, *healthy], float(np.mean(found) - np.mean(healthy))
    splits = list(itertools.combinations(range(len(pool)), len(found)))
    total = sum(pool)
    differences = []
    for chosen in splits:
        own = sum(pool[i] for i in chosen)
        differences.append(own / len(found) - (total - own) / len(healthy))
    return float(np.mean(np.array(differences) <= least + 1e-12)) <= 0.05


def look(bugs: list[Bug], healthy: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Plant bugs one after another in a copy of the package."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "relook"]:
        del sys.modules[name]  # what forks import is the copy's
    for library in ("gymnasium", "mujoco", "polars", "scipy.stats", "safetensors.torch", "tyro", "rich", "torch"):
        import_module(library)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "relook"
        shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
        for bug in bugs:
            before = bug.plant(package)
            for environment in (bug.environment,) if bug.environment else WHERE[bug.algorithm]:
                own = healthy[bug.algorithm, environment]
                told = in_a_fork(package, bug.algorithm, environment)
                if "failed" in told or told["digest"] != own["digest"]:
                    break
            (package / bug.file).write_text(before, encoding="utf-8")
            failed = told.get("failed")
            rows.append(
                {
                    "bug": bug.name,
                    "algorithm": bug.algorithm,
                    "environment": environment,
                    "bears_load": bool(failed) or told["digest"] != own["digest"],
                    "shows": bool(failed) or lower(told["returns"], own["returns"]),
                    "return": failed or round(float(np.mean(told["returns"])), 2),
                    "healthy": round(float(np.mean(own["returns"])), 2),
                    "watch": "" if failed else " ".join(told["watch"]),
                    "what": bug.what,
                }
            )
            print(f"{bug.name:>8} {environment}: {rows[-1]['return']} {rows[-1]['healthy']}", flush=True)
    return rows


def as_it_is(keys: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Healthy trainings."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "relook"]:
        del sys.modules[name]
    return [in_a_fork(SOURCE, *key) for key in keys]


def main(names: list[str]) -> None:
    path = RESULTS / "zoo.csv"
    done = {row["bug"]: row for row in csv.DictReader(path.open())} if path.exists() else {}
    unseen = {bug.name for bug in UNSEEN}
    bugs = [bug for bug in BUGS if (bug.name in names if names else bug.name not in done)]
    keys = sorted({(b.algorithm, e) for b in bugs for e in ([b.environment] if b.environment else WHERE[b.algorithm])})
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for key, told in zip(keys, itertools.chain(*pool.map(as_it_is, [[key] for key in keys])), strict=True):
            HEALTHY[key] = told
            print(key, told.get("returns", told), flush=True)
        pieces = [bugs[i : i + 6] for i in range(0, len(bugs), 6)]
        for rows in pool.map(look, pieces, [HEALTHY] * len(pieces)):
            for row in rows:
                done[row["bug"]] = {**row, "unseen": row["bug"] in unseen}
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(done[bug.name] for bug in BUGS if bug.name in done)


HEALTHY: dict[tuple[str, str], dict[str, Any]] = {}

if __name__ == "__main__":
    main(sys.argv[1:])
