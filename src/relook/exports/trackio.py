"""trackio: a project with a run for each agent."""

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from relook.errors import RelookError
from relook.runs.reading import Run
from relook.runs.tidy import histories


def write(runs: Sequence[Run], out: Path) -> str:
    """Write `out`/relook.db. trackio reads its directory from the environment when it is imported, and only then."""
    if "trackio" in sys.modules:
        raise RelookError("trackio was imported before and writes elsewhere by now; run relook export from a shell")
    os.environ["TRACKIO_DIR"] = str(out.absolute())
    with redirect_stdout(StringIO()):  # it has much to say
        import trackio

        for run in runs:
            for history in histories(run):
                trackio.init(
                    "relook",
                    name=history.name,
                    group=history.group,
                    config={"run": history.run, **history.facts},
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
                for step, elapsed, numbers in history.points:
                    trackio.log({"elapsed": elapsed, **numbers}, step=step)
                trackio.finish()  # type: ignore[no-untyped-call]  # trackio declares no types for it
    return f"TRACKIO_DIR={out} trackio show --project relook"
