"""What does it cost to survive? `python -m benchmarks.surviving`

PPO with ten agents and its default settings in one process, a checkpoint every 10,000 steps: the seconds spent inside
what writes checkpoints, inside what keeps and writes actions and inside the digests of episodes, added up and divided
by those of the whole training; and what lies on disk afterwards. Writes results/surviving.md.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relook.envs import EnvironmentSpec, vector
from relook.envs.replayability import EpisodeDigest
from relook.runs import unit
from relook.training import Request, prepare, work

RESULTS = Path(__file__).parent / "results"
TASKS = {"CartPole-v1": 50_000, "HalfCheetah-v5": 20_000}
PARTS: dict[str, list[tuple[Any, str]]] = {
    "checkpoints": [(unit.Unit, "_save")],
    "actions": [
        (vector._Tape, "act"),
        (vector._Running, "keep"),
        (vector._Running, "actions"),
        (unit.Unit, "_write_actions"),
    ],
    "digests": [(EpisodeDigest, "take"), (EpisodeDigest, "so_far")],
}
"""Functions that do this and little else; digests of what was observed are what a replay is checked against."""


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """The seconds spent inside each part, from here on; a part inside another one is not counted there too."""
    spent: dict[str, float] = defaultdict(float)
    originals, inside = [], []

    def timed(original: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            inside.append(0.0)
            try:
                return original(*args, **kwargs)
            finally:
                whole = time.perf_counter() - began
                spent[part] += whole - inside.pop()
                if inside:
                    inside[-1] += whole

        return call

    for part, functions in PARTS.items():
        for owner, name in functions:
            originals.append((owner, name, getattr(owner, name)))
            setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield spent
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def size(directory: Path, pattern: str) -> float:
    """Kibibytes of the files below a directory that match."""
    return sum(path.stat().st_size for path in directory.glob(pattern) if path.is_file()) / 1024


def main() -> int:
    lines = [
        "# What it costs to survive",
        "",
        "Made by `python -m benchmarks.surviving`: ten agents in one process, a checkpoint every 10,000 steps. Seconds",
        "inside the component, added up, as a share of the whole training with its evaluations; and sizes on disk.",
        "",
        "| environment | steps per agent | checkpoints | recording actions | digests of episodes | one checkpoint | "
        "all actions | run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for environment, steps in TASKS.items():
        with tempfile.TemporaryDirectory() as place:
            spec, out = EnvironmentSpec(environment), Path(place) / "run"
            run = prepare(Request("ppo", spec, range(10), steps, out=out, checkpoint_every=10_000), workers=1)
            with measured() as spent:
                began = time.perf_counter()
                work(run, 0, spec)
                whole = time.perf_counter() - began
            directory = run.unit_directory(0)
            kept = len(list((directory / "checkpoints").iterdir()))
            lines.append(
                f"| {environment} | {steps:,} | {spent['checkpoints'] / whole:.2%} | {spent['actions'] / whole:.2%} | "
                f"{spent['digests'] / whole:.2%} | "
                f"{size(directory, 'checkpoints/*/*') / kept:,.0f} KiB | {size(directory, 'actions.bin'):,.0f} KiB | "
                f"{size(directory, '**/*'):,.0f} KiB |"
            )
            print(lines[-1], flush=True)
    (RESULTS / "surviving.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
