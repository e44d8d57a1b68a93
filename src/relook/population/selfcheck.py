"""Does an agent compute the same among others as alone, here, with this network? Asked at the start of every run."""

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress

import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from relook.population.agents import Agent, Agents

NEIGHBOURS = 2


def agents_are_independent(agents: Agents, rehearse: Callable[[Agents], Float[Tensor, "A ..."]]) -> bool:
    """True if `rehearse` gives an agent alone, bit for bit, what it gives that agent inside a population.

    `rehearse` runs the real network, losses and optimiser once on made-up data and returns what they became. A single
    agent is given two strangers as company. Processors, and torch's choice of path for a shape, decide the answer.
    """
    first = agents[0]
    strangers = [Agent(-1 - i, first.seed + 1 + i, first.hyperparameters) for i in range(NEIGHBOURS)]
    company = Agents([*agents, *strangers]) if len(agents) <= NEIGHBOURS else agents
    together = rehearse(company)
    for position in {0, len(agents) // 2, len(agents) - 1}:
        alone = rehearse(Agents([company[position]]))
        # Bytes, not values: NaN must equal itself, and +0 must not equal -0.
        if alone[0].numpy().tobytes() != together[position].numpy().tobytes():
            return False
    return True


def single_threaded() -> None:
    """One thread per process, for torch and for numpy's libraries: sums split over threads round differently, and two
    busy threads wait for each other.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's `mallopt`."""


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for this process instead of giving it back to the system and asking again.

    An update makes and frees the same few large tensors; each time they came from the system, their pages would have
    to be made anew, which took a third of the time of a SAC update of ten small agents (LOG.md). Elsewhere than with
    glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL("libc.so.6")
            # The largest tensors that are kept; older versions take no more than the second number.
            _ = library.mallopt(M_MMAP_THRESHOLD, 2**30) or library.mallopt(M_MMAP_THRESHOLD, 2**25)
            library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
