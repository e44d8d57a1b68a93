"""Weights & Biases: offline runs, one for each agent, in groups of seeds. Nothing is sent anywhere."""

from collections.abc import Sequence
from pathlib import Path

import wandb

from relook.runs.reading import Run
from relook.runs.tidy import histories


def write(runs: Sequence[Run], out: Path) -> str:
    """Write `out`/wandb/offline-run-…: the x axis is `step`, in environment steps."""
    out.mkdir(exist_ok=True)
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False)
    for run in runs:
        for history in histories(run):
            written = wandb.init(
                mode="offline",
                dir=out,
                project="relook",
                name=history.name,
                group=history.group,
                config={"run": history.run, **history.facts},
                settings=settings,
                reinit="finish_previous",
            )
            written.define_metric("*", step_metric="step")
            for step, elapsed, numbers in history.points:
                written.log({"step": step, "elapsed": elapsed, **numbers})
            written.finish()
    wandb.teardown()  # the process that writes the files ends, and they are whole
    return f"wandb sync {out / 'wandb' / 'offline-run-*'}"
