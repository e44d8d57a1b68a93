"""Public raw scores that stay out of this project, because their licences differ.

Set RELOOK_PUBLIC_SCORES to a folder with atari100k/SPR.json, DrQ(eps).json, RANDOM.json and HUMAN.json (from
eloialonso/iris, results/data).
"""

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Missing(Exception):
    """The scores are not here."""


def atari(method: str, seeds: int | None = None) -> list[NDArray[np.float64]]:
    """Human-normalised scores of 26 games at 100,000 steps. Raises `Missing` where the files are not."""
    folder = Path(os.environ.get("RELOOK_PUBLIC_SCORES", "")) / "atari100k"
    if not (folder / f"{method}.json").is_file():
        raise Missing(str(__doc__))
    runs, low, high = (json.loads((folder / f"{name}.json").read_text()) for name in (method, "RANDOM", "HUMAN"))
    return [(np.array(runs[game][:seeds]) - low[game][0]) / (high[game][0] - low[game][0]) for game in sorted(runs)]
