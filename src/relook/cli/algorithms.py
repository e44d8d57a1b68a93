"""`relook algorithms`."""

from collections.abc import Sequence
from dataclasses import dataclass

from relook.algorithms import ALGORITHMS
from relook.cli.options import parse


@dataclass
class Form:
    """List the algorithms that `relook train` knows."""


def run(arguments: Sequence[str]) -> None:
    parse(Form, "algorithms", arguments)
    for algorithm in ALGORITHMS.values():
        print(f"{algorithm.name:<12}{algorithm.title}")
    print("\nrelook train NAME --help lists an algorithm's hyper-parameters.")
