"""Taking over what was saved."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from relook.errors import RelookError


@torch.no_grad()
def restore(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Overwrite tensors with those saved under the same names, all of them or none.

    Raises `RelookError` for a tensor that is missing, or of another shape or type.
    """
    for name, tensor in own.items():
        found = saved.get(name)
        if found is None or found.shape != tensor.shape:
            what = "nothing" if found is None else list(found.shape)
            raise RelookError(f"expected parameters {name!r} of shape {list(tensor.shape)}; found {what}")
        if found.dtype != tensor.dtype:
            raise RelookError(f"expected parameters {name!r} of type {tensor.dtype}; found {found.dtype}")
    for name, tensor in own.items():
        tensor.copy_(saved[name])


def rows_of(tensor: Tensor, agents: int, chosen: Sequence[int]) -> Tensor:
    """What some agents have of a tensor that was saved for several: the same number of rows for each, side by side.

    A tensor whose rows cannot be shared among the agents is all agents' alike, and stays as it is.
    """
    if tensor.ndim == 0 or len(tensor) == 0 or len(tensor) % agents:
        return tensor
    own: Tensor = tensor.unflatten(0, (agents, -1))[list(chosen)].flatten(0, 1)
    return own
