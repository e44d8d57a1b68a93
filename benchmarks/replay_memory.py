"""Does a full replay take the memory that was announced? `python -m benchmarks.replay_memory`

Ten agents of SAC on HalfCheetah-v5 fill a million transitions each, and then learn from them; the same training with a
replay of a thousand tells what everything else takes. What the updates need besides is hundreds of MiB, more or less of
it in memory that was free before: two equal trainings differ by up to a hundred. So it is also told by how much the
processes grew while the replay filled from a twentieth to the end and nothing was learned yet, which is the replay
alone. Writes results/replay_memory.md.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from relook.runs.reading import Run

RESULTS = Path(__file__).parent / "results"
COMMAND = "relook train sac --env HalfCheetah-v5 --seeds 10 --evaluate-episodes 0 --random-steps 1000000"
STEPS = 1_000_000
LEARNED = 1000
"""Updates at the end."""
FIRST = 0.05


@dataclass(frozen=True)
class Measured:
    """In MiB, of all training processes together."""

    command: str
    announced: float
    peak: float
    while_filling: float
    """From a twentieth of the steps to the last one before learning."""


def measured(capacity: int) -> Measured:
    command = f"{COMMAND} --steps {STEPS} --capacity {capacity} --learning-starts {STEPS - LEARNED}"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        words = [sys.executable, "-m", "relook.cli", *command.split()[1:], "--out", str(out)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        run = Run(out)
        peaks = run.timing.select("unit", "steps", "peak_mebibytes")
        return Measured(
            command,
            run.record["replay_bytes"] / 2**20,
            at(peaks, STEPS),
            at(peaks, STEPS - 2 * LEARNED) - at(peaks, FIRST * STEPS),
        )


def at(peaks: pl.DataFrame, steps: float) -> float:
    """The most that all processes had held up to a step."""
    until = peaks.filter(pl.col("steps") <= steps)
    return float(until.group_by("unit").agg(pl.col("peak_mebibytes").max())["peak_mebibytes"].sum())


def main() -> None:
    small, full = measured(1000), measured(STEPS)
    share = 1 - FIRST - 2 * LEARNED / STEPS
    lines = [
        "# The memory of a replay",
        "",
        "Made by `python -m benchmarks.replay_memory`; peaks are resident memory of all training processes.",
        "",
        f"| command | announced | {share:.1%} of it | grew while it filled by {share:.1%} | peak, learning too |",
        "|---|---|---|---|---|",
        *(
            f"| `{m.command}` | {m.announced:,.0f} MiB | {share * m.announced:,.0f} MiB | {m.while_filling:,.0f} MiB "
            f"| {m.peak:,.0f} MiB |"
            for m in (small, full)
        ),
    ]
    (RESULTS / "replay_memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
