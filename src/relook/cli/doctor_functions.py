"""`relook doctor functions MODULE`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console

from relook.cli.findings import print_finding
from relook.cli.options import parse
from relook.errors import RelookError, WrongRequest


@dataclass
class Form:
    """Examine losses and updates of your own: functions of a module, by their names.

    Each is handed made-up tensors, and what it returns is compared with what its definition gives: values, slopes,
    shapes, and what must make no difference. Exits with status 1 if one is wrong.
    """

    module: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODULE")]
    """A module that can be imported where you are, such as losses for losses.py."""
    json: bool = False
    """Print JSON for programs."""


def run(arguments: Sequence[str]) -> None:
    from relook.doctor.examine.functions.examination import ASKED, examine, known
    from relook.importing import named_module

    table = "\n".join(f"  {asking.NAME}{asking.SIGNATURE}" for asking in ASKED)
    if {"-h", "--help"} & set(arguments):
        print(f"Functions that are known, of torch tensors:\n\n{table}\n")
    form = parse(Form, "doctor functions", arguments)
    module = named_module(form.module, "functions")
    names = [asking.NAME for asking in known(module)]
    if not names:
        raise WrongRequest(
            f"expected {form.module} to have a function among {', '.join(asking.NAME for asking in ASKED)}; found none"
        )
    found = list(examine(module))
    if form.json:
        print(json.dumps({"functions": names, "findings": [finding.record() for finding in found]}, indent=1))
    else:
        console = Console(highlight=False, markup=False)
        console.print(f"{form.module}: {', '.join(names)}", style="bold")
        if not found:
            console.print("Nothing found.", style="green")
        for finding in found:
            console.print()
            print_finding(console, finding)
    if wrong := sum(finding.severity == "error" for finding in found):
        raise RelookError(f"{form.module} is not what it should be: {wrong} of {len(names)} functions are wrong")
