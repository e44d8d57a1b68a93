"""What do planted bugs do to returns, and what does watching say of them? `python -m benchmarks.zoo [BUG …]`

Trains every algorithm as it is, and with each bug of relook.doctor.zoo planted, with five seeds, in the environment
that the bug names, or else in those of its algorithm. Written down, in results/zoo.csv, as each is done: whether it
bears load there (anything that was recorded is otherwise), whether it shows in the return (evaluations of the last
third are lower than those of the healthy ones, by a one-sided permutation test of five seeds against five at 5 %), and
which checks of relook.doctor.watch found something. What is in the file already is not trained again.

`python -m benchmarks.zoo --known FILE` takes what `relook doctor self-test --json` printed, and writes known.toml of
the zoo and results/zoo.md from both.
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
    **dict.fromkeys(("reinforce", "vpg", "a2c", "trpo", "ppo"), (10_240, {})),
    "dqn": (4_000, SMALL),
    **dict.fromkeys(("ddpg", "td3", "sac"), (4_000, {**SMALL, "random_steps": 300})),
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


def known(self_test: Path) -> None:
    """What is known of each bug, for the zoo, and the sums of it."""
    told = {row["bug"]: row for row in json.loads(self_test.read_text(encoding="utf-8"))["bugs"]}
    trained = {row["bug"]: row for row in csv.DictReader((RESULTS / "zoo.csv").open())}
    lines = ["# Measured: python -m benchmarks.zoo"]
    for bug in BUGS:
        own = trained[bug.name]
        environment = own["environment"] if own["bears_load"] == "True" else ""
        check = next(iter(told[bug.name]["checks"]), "")
        values = f'environment = "{environment}", shows = {own["shows"].lower()}, check = "{check}"'
        lines.append(f'"{bug.name}" = {{ {values} }}')
    (SOURCE / "doctor" / "zoo" / "known.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    unseen = {bug.name for bug in UNSEEN}
    groups = {
        "all": list(BUGS),
        "that the checks were made with": [bug for bug in BUGS if bug.name not in unseen],
        "not seen before": list(UNSEEN),
        "that show in the return": [bug for bug in BUGS if trained[bug.name]["shows"] == "True"],
        "that do not": [bug for bug in BUGS if trained[bug.name]["shows"] == "False"],
    }
    page = ["# The bug zoo", "", "Made by `relook doctor self-test --json` and `python -m benchmarks.zoo`.", ""]
    page += ["| bugs | how many | caught | right component | inside | outside | watching a training notices |"]
    page += ["|---|---|---|---|---|---|---|"]
    for what, bugs in ((what, bugs) for what, bugs in groups.items() if bugs):
        rows, n = [told[bug.name] for bug in bugs], len(bugs)
        caught, right = (sum(map(bool, each)) for each in zip(*(_judged(row) for row in rows), strict=True))
        tiers = [sum(row["tier"] == tier for row in rows) for tier in ("inside", "outside")]
        watched = sum(bool(trained[bug.name]["watch"]) for bug in bugs)
        page += [
            f"| {what} | {n} | {caught} ({caught / n:.1%}) | {right} ({right / n:.1%}) | {tiers[0]} | {tiers[1]} | "
            f"{watched} ({watched / n:.1%}) |"
        ]
    page += ["", "| bug | what is wrong | in | where it bears load | shows in the return | named by | component | s |"]
    page += ["|---|---|---|---|---|---|---|---|"]
    for bug in BUGS:
        row, own = told[bug.name], trained[bug.name]
        named = row["named"] if row["named"] == bug.component else f"**{row['named']}**, not {bug.component}"
        checks = ", ".join(row["checks"][:2]) or "**nothing**"
        page += [
            f"| {bug.name} | {bug.what} | {bug.algorithm} | "
            f"{own['environment'] if own['bears_load'] == 'True' else 'the examination alone'} | "
            f"{'yes' if own['shows'] == 'True' else 'no'} | {checks} | {named if row['checks'] else ''} | "
            f"{row['seconds']:.1f} |"
        ]
    (RESULTS / "zoo.md").write_text("\n".join(page) + "\n", encoding="utf-8")


def _judged(row: dict[str, Any]) -> tuple[bool, bool]:
    return bool(row["checks"]), bool(row["checks"]) and row["named"] == row["component"]


def main(names: list[str]) -> None:
    if names[:1] == ["--known"]:
        known(Path(names[1]))
        return
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
