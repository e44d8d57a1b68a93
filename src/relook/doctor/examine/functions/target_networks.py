"""Does a target follow by the share that it is told?"""

from collections.abc import Iterator

from relook.doctor.examine.functions.asking import B, Function, differs, numbers
from relook.doctor.findings import Check

NAME = "follow"
SIGNATURE = "(target, online, rate) → what the target's tensor becomes"
CHECK = Check(
    name="function-follow",
    component="target network",
    asks="θ' becomes (1 - τ) θ' + τ θ, again and again; τ = 1 is a copy in memory of its own, and θ stays.",
    causes=("τ and 1 - τ are exchanged", "the copy is the same memory", "the online network is moved"),
    remedy="`target.lerp(online, rate)`.",
    lesson="With τ and 1 - τ exchanged there is no target network at all, and small tasks are learned all the same.",
)


def look(function: Function) -> Iterator[str]:
    target, online = numbers(1, B), numbers(2, B)
    before, expected = online.clone(), target.clone()
    for _ in range(3):
        target = function(target, online, 0.2)
        expected = 0.8 * expected + 0.2 * before
        wrong = list(differs("θ' with τ = 0.2", target, expected))
        yield from wrong
        if wrong:
            return
    yield from differs("θ after its target has followed", online, before)
    copied = function(numbers(3, B), online, 1.0)
    yield from differs("θ' with τ = 1", copied, before)
    if copied.data_ptr() == online.data_ptr():
        yield "expected memory of its own; found that of the network it follows"
