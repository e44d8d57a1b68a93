"""TensorBoard: a directory of event files for each agent."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tensorboard.summary import Writer

from relook.runs.reading import Run
from relook.runs.tidy import histories


def write(runs: Sequence[Run], out: Path) -> str:
    """Write `out`/RUN METHOD seed N/events…, at the times at which it was measured."""
    for run in runs:
        began = datetime.fromisoformat(run.record["created"]).timestamp()
        for history in histories(run):
            writer = Writer(str(out / history.name))
            for step, elapsed, numbers in history.points:
                for name, value in numbers.items():
                    writer.add_scalar(name, value, step, wall_time=began + elapsed)
            writer.close()
    return f"tensorboard --logdir {out}"
