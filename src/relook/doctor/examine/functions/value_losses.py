"""Does a loss of values pull them towards their targets, and leave the targets alone?"""

from collections.abc import Iterator

import torch

from relook.doctor.examine.functions.asking import B, Function, numbers, of_a_loss, slopes
from relook.doctor.findings import Check

NAME = "value_loss"
SIGNATURE = "(value, target) → one number, of columns [B]"
CHECK = Check(
    name="function-value-loss",
    component="value loss",
    asks="The slope by each value points away from its own target, and is 0 where they agree; none goes to the target; "
    "order and duplication of samples make no difference; values of shape (B, 1) are refused or make no difference.",
    causes=(
        "(B, 1) against (B) is broadcast to (B, B): every value is pulled to the mean of all targets",
        "the target is not detached",
        "a sum in place of a mean",
    ),
    remedy="`(value - target.detach()).square().mean()`, with both of one shape.",
    lesson="This is exercise 2.2 of Spinning Up: a critic of shape (B, 1) against targets of shape (B) learns the mean "
    "of all targets, and nothing fails.",
)


def look(function: Function) -> Iterator[str]:
    value, target = numbers(1, B), numbers(2, B)
    _, (by_value, by_target) = slopes(function, value, target)
    wrong = int((torch.sign(by_value) != torch.sign(value - target)).sum())
    if wrong:
        yield f"expected slopes that pull each value to its own target; found {wrong} of {B} that do not"
    if by_target.any():
        yield f"expected no slope by the target; found one of up to {float(by_target.abs().max()):.3g}: detach it"
    _, (none, _) = slopes(function, value, value)
    if float(none.abs().max()) > 1e-6:
        yield f"expected no slope where values are their targets; found one of up to {float(none.abs().max()):.3g}"
    yield from of_a_loss(function, value, target)
