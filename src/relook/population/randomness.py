"""Randomness is derived, never ambient.

Every random number comes from a stream that is named by (agent seed, purpose, block). A block is drawn whole, on the
CPU, for one agent at a time; so it depends neither on who else is in the population nor on what other agents did, and
no generator's state ever has to be saved: whoever knows the name can draw the block again.
"""

from hashlib import blake2b

import numpy as np


def _hash(*name: object, size: int) -> int:
    text = "/".join(str(part) for part in name)
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "little")


def stream(seed: int, purpose: str, block: int = 0) -> np.random.Generator:
    """The generator of one block of random numbers (Philox, keyed by a 128-bit hash of the block's name)."""
    return np.random.Generator(np.random.Philox(key=_hash(seed, purpose, block, size=16)))


def reset_seed(seed: int, purpose: str, environment: int, episode: int) -> int:
    """The seed that starts one episode: a 31-bit hash, because environments accept seeds below 2**31.

    `purpose` keeps training and evaluation episodes apart; `environment` counts an agent's environments from 0, and
    `episode` the episodes of that environment.
    """
    return _hash(seed, "reset", purpose, environment, episode, size=4) & 0x7FFF_FFFF
