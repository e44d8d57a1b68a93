"""Taking over what was saved."""

from collections.abc import Mapping

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
