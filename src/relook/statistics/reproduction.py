"""Did the same training come out the same?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relook.statistics.aggregates import mean_interval


def reproduced(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> str:
    """What became of a training that was made twice, by the summaries of its agents.

    `bit-identical`: all agents ended with the same parameters. `inside the interval`: for every setting, the second
    mean final return lies in the 95 % interval of the first. `outside the interval` says where it does not, and `not
    comparable` that there are too few evaluated seeds for an interval.
    """
    pairs = zip(first, second, strict=True)
    if all(a["parameters_sha256"] == b["parameters_sha256"] is not None for a, b in pairs):
        return "bit-identical"
    outside = []
    for setting in sorted({str(row["hyperparameters"]) for row in first}):
        then, now = (
            [row["final_return"] for row in rows if str(row["hyperparameters"]) == setting] for rows in (first, second)
        )
        if None in (*then, *now) or len(then) < 2:
            return "not comparable: other parameters, and fewer than two evaluated seeds of a setting"
        low, high = mean_interval(np.array(then, dtype=np.float64))
        mean = float(np.mean(now))
        if not low <= mean <= high:
            outside.append(f"a mean of {mean:,.1f}, where {low:,.1f} … {high:,.1f} was to be expected")
    return f"outside the interval: {'; '.join(outside)}" if outside else "inside the interval"
