"""Does a test notice when an algorithm, its buffers or its environments are broken? `python -m benchmarks.planted_bugs [NAME …]`

Plants one bug of relook.doctor.zoo after another in a copy of the source, runs the tests that need no other process,
and writes which test noticed first to results/planted_bugs.md. Names that are numbers are those of the catalogue that
the bugs were chosen from. A patch that no longer applies to today's source is an error.
"""

import os
import re
import shutil
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

import pytest
import torch

from relook.doctor.zoo import BUGS, Bug

for name in [name for name in sys.modules if name.partition(".")[0] == "relook"]:
    del sys.modules[name]  # what forks import is the copy's

ROOT = Path(__file__).parents[1]
ROOMS = (
    "algorithms",
    "formulas",
    "population",
    "networks",
    "buffers",
    "envs",
    "runs",
    "contracts",
    "learning",
    "resume",
)
"""The tests that are tried: those of the bug's own room first, then the others."""

OTHERWISE = dict.fromkeys(("dqn.py", "ddpg.py", "td3.py", "sac.py"), "off_policy.py")
OTHERWISE |= dict.fromkeys(("q_network.py", "continuous.py"), "q_functions.py") | {"replay.py": "replay_buffer.py"}
"""Files whose tests have another name."""


RESULTS = ROOT / "benchmarks" / "results" / "planted_bugs.md"
HEAD = """# Planted bugs and the tests that notice them

Made by `python -m benchmarks.planted_bugs`: each bug alone in a copy of the source; the first test that fails.

| name | bug | file | noticed by |
|---|---|---|---|
"""


def main(names: list[str]) -> int:
    torch.set_num_threads(1)
    for library in ("gymnasium", "mujoco", "polars", "scipy.stats", "safetensors.torch", "tyro", "rich"):
        import_module(library)  # once for all forks
    known = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    rows = {line.split("|")[1].strip(): line for line in known if line.count("|") == 5}
    if failing := plant(None):
        raise RuntimeError(f"the tests must pass before a bug is planted; {failing} does not")
    missed = 0
    for bug in BUGS:
        if names and bug.name not in names:
            continue
        noticed = plant(bug)
        print(f"{bug.name:>8}  {bug.what}: {noticed or 'NOT NOTICED'}", flush=True)
        found = f"`{noticed}`" if noticed else MISSED
        rows[bug.name] = f"| {bug.name} | {bug.what} | `{bug.file}` | {found} |"
        lines = [rows[bug.name] for bug in BUGS if bug.name in rows]
        missed = sum(MISSED in line for line in lines)
        summary = f"\n\n{len(lines) - missed} of {len(lines)} noticed.\n"
        RESULTS.write_text(HEAD + "\n".join(lines) + summary, encoding="utf-8")
    return int(missed > 0)


MISSED = "**nothing**"


def plant(bug: Bug | None) -> str | None:
    """The first test that fails with the bug planted, or with none; None if all pass."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for folder in ("src", "tests", "docs"):
            shutil.copytree(ROOT / folder, copy / folder)
        shutil.copy(ROOT / "pyproject.toml", copy)
        own, room = [], ""
        if bug is not None:
            bug.plant(copy / "src" / "relook")
            room, name = bug.file.split("/")
            own = [f"tests/{room}/test_{OTHERWISE.get(name, name)}"]
        others = [f"tests/{other}" for other in ROOMS if other != room]
        for tests in ([path for path in own if (ROOT / path).exists()], [f"tests/{room}"] if room else [], others):
            output = run_tests(copy, tests) if tests else "0 passed"
            if found := re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", output, re.MULTILINE):
                return found[1]
            if " passed" not in output:
                raise RuntimeError(f"the tests did not run: {output[-2000:]}")
        return None


def run_tests(copy: Path, tests: list[str]) -> str:
    """What pytest prints about a copy of the project, up to its first failure.

    It runs in a fork of this process, which has the libraries imported already but nothing of relook.
    """
    printed = copy / "printed.txt"
    child = os.fork()
    if child == 0:
        try:
            with printed.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os.chdir(copy)
            sys.path.insert(0, str(copy / "src"))  # before the installed relook
            os.environ["PYTHONPATH"] = str(copy / "src")
            pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
    return printed.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
