"""Does a full replay take the memory that was announced? `python -m benchmarks.replay_memory`

Ten agents of SAC on HalfCheetah-v5 fill a million transitions each, and then learn from them; the same training with a
replay of a thousand tells what everything else takes. Writes results/replay_memory.md.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from relook.runs.reading import Run

RESULTS = Path(__file__).parent / "results"
COMMAND = "relook train sac --env HalfCheetah-v5 --seeds 10 --evaluate-episodes 0 --random-steps 1000000"
LEARNED = 1000
"""Updates at the end."""


def measured(capacity: int, steps: int) -> tuple[str, float, float]:
    """The command, what it announced and the most that its workers held together, in MiB."""
    options = f"--steps {steps} --capacity {capacity} --learning-starts {steps - LEARNED}"
    command = f"{COMMAND} {options}"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        words = [sys.executable, "-m", "relook.cli", *command.split()[1:], "--out", str(out)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        run = Run(out)
        peaks = run.timing.group_by("unit").agg(pl.col("peak_mebibytes").max())["peak_mebibytes"]
        return command, run.record["replay_bytes"] / 2**20, float(peaks.sum())


def main() -> None:
    rows = [measured(capacity, steps) for capacity, steps in ((1000, 20_000), (1_000_000, 1_000_000))]
    lines = [
        "# The memory of a replay",
        "",
        "Made by `python -m benchmarks.replay_memory`; peaks are resident memory of all training processes.",
        "",
        "| command | announced | peak | more than with the small replay |",
        "|---|---|---|---|",
        *(
            f"| `{command}` | {announced:,.0f} MiB | {peak:,.0f} MiB | {peak - rows[0][2]:,.0f} MiB |"
            for command, announced, peak in rows
        ),
    ]
    (RESULTS / "replay_memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
