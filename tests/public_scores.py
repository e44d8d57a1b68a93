"""Public raw scores that stay out of this project: their licences differ."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def atari(method: str, seeds: int | None = None) -> list[NDArray[np.float64]]:
    """Human-normalised scores of 26 games at 100,000 steps, from the files that RELOOK_PUBLIC_SCORES leads to."""
    folder = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "atari100k"
    if not (folder / f"{method}.json").is_file():
        pytest.skip(
            "set RELOOK_PUBLIC_SCORES to a folder with atari100k/SPR.json, DrQ(eps).json, RANDOM.json, HUMAN.json"
        )
    runs, low, high = (json.loads((folder / f"{name}.json").read_text()) for name in (method, "RANDOM", "HUMAN"))
    return [(np.array(runs[game][:seeds]) - low[game][0]) / (high[game][0] - low[game][0]) for game in sorted(runs)]
