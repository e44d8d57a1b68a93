"""Is a function of one-step targets right at both kinds of ends?"""

from collections.abc import Iterator

import torch

from relook.doctor.examine.functions.asking import B, Function, differs, flags, numbers
from relook.doctor.findings import Check

NAME = "td_targets"
SIGNATURE = "(reward, next_value, terminated, truncated, discount) → [B]"
CHECK = Check(
    name="function-td-targets",
    component="estimates",
    asks="y = r + γ V(s') unless the step terminated, whether or not it was truncated; and no slope goes through it.",
    causes=("`done` is terminated or truncated", "the mask is inverted, or missing", "the target is not detached"),
    remedy="`reward + discount * ~terminated * next_value`, under `torch.no_grad()`.",
    lesson="Truncation is no end of the task (Pardo et al. 2018, arXiv:1712.00378). A target through which slopes go "
    "makes another algorithm, residual gradients, which learns slowly (Baird 1995).",
)


def look(function: Function) -> Iterator[str]:
    reward, next_value = numbers(1, B), numbers(2, B).requires_grad_()
    terminated, truncated = flags(3, B), flags(4, B)
    found = function(reward, next_value, terminated, truncated, 0.9)
    yield from differs("y", found, reward + 0.9 * torch.where(terminated, 0.0, next_value))
    if found.requires_grad:
        yield "expected targets without a slope; found that they have one by the next value: detach them"
