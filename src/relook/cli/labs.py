"""`relook labs`."""

from collections.abc import Sequence
from dataclasses import dataclass

from relook.cli.options import parse


@dataclass
class Form:
    """List the labs, in the order of the notes: concepts that you predict, run, look at and can check."""


def run(arguments: Sequence[str]) -> None:
    from relook.labs import LABS, find

    parse(Form, "labs", arguments)
    for number, name in enumerate(LABS, 1):
        print(f"{number:>3}  {name:<24}{find(name).title}")
    print("\nrelook lab NAME asks, runs and shows one; relook lab symbols prints every symbol with its value.")
