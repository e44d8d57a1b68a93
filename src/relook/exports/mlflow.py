"""MLflow: an SQLite database with a run for each agent."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from relook.runs.reading import Run
from relook.runs.tidy import histories

MOST_AT_ONCE = 1000
"""Metrics that MLflow takes at once."""


def write(runs: Sequence[Run], out: Path) -> str:
    """Write `out`/mlflow.db with the experiment relook, at the times at which it was measured."""
    out.mkdir(exist_ok=True)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    place = f"sqlite:///{(out / 'mlflow.db').absolute()}"
    client = MlflowClient(place)
    experiment = client.create_experiment("relook", artifact_location=(out / "artifacts").absolute().as_uri())
    for run in runs:
        began = int(datetime.fromisoformat(run.record["created"]).timestamp() * 1000)
        for history in histories(run):
            tags = {"group": history.group, "run": history.run}
            written = client.create_run(experiment, start_time=began, tags=tags, run_name=history.name).info.run_id
            client.log_batch(written, params=[Param(key, str(value)) for key, value in history.facts.items()])
            metrics = [
                Metric(name, value, began + int(elapsed * 1000), step)
                for step, elapsed, numbers in history.points
                for name, value in numbers.items()
            ]
            for start in range(0, len(metrics), MOST_AT_ONCE):
                client.log_batch(written, metrics=metrics[start : start + MOST_AT_ONCE])
            status = {"finished": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED"}.get(
                str(history.facts["status"]), "FAILED"
            )
            client.set_terminated(written, status, began + int(1000 * history.points[-1][1] if history.points else 0))
    return f"mlflow ui --backend-store-uri {place}"
