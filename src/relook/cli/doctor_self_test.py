"""`relook doctor self-test`."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from relook.cli.options import parse
from relook.errors import WrongRequest

if TYPE_CHECKING:
    from relook.doctor.zoo.self_test import Caught


@dataclass
class Form:
    """Plant one bug after another in a copy of relook, and see whether the examination names what is broken.

    Then the algorithms that they were planted in are examined as they are, where every finding is a false alarm.
    """

    bugs: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="BUG…")] = ()
    """Only these bugs, by their names; all of them unless said otherwise."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="W")] = None
    """Bugs at a time; as many as there are processor cores unless said otherwise."""
    json: bool = False
    """Print JSON for programs."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "doctor self-test", arguments)
    from relook.doctor.zoo import BUGS
    from relook.doctor.zoo.self_test import false_alarms, self_test

    known = {bug.name: bug for bug in BUGS}
    if unknown := [name for name in form.bugs if name not in known]:
        raise WrongRequest(
            f"expected names of planted bugs; found {', '.join(unknown)}; relook doctor self-test lists all"
        )
    if form.workers is not None and form.workers < 1:
        raise WrongRequest(f"expected at least one worker; found --workers {form.workers}")
    bugs = [known[name] for name in form.bugs] or list(BUGS)
    columns = TextColumn("planting bugs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    began = monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(bugs))
        found = self_test(
            bugs, lambda caught: progress.update(bar, advance=1, description=caught.bug.name), form.workers
        )
    healthy = false_alarms(sorted({bug.algorithm for bug in bugs}), form.workers)
    seconds = monotonic() - began
    if form.json:
        rows = [_row(caught) for caught in found]
        print(json.dumps({"seconds": seconds, "bugs": rows, "healthy": healthy}, indent=1))
        return
    console = Console(highlight=False)
    console.print(_table(found))
    console.print(_by_component(found))
    for line in _summary(found):
        console.print(line)
    alarms = "; ".join(f"{name}: {', '.join(checks)}" for name, checks in healthy.items() if checks)
    console.print(f"as they are: {alarms or 'nothing found in ' + ', '.join(healthy)} (runs: docs/doctor.md)")
    console.print(f"{seconds:.0f} s")


def _summary(found: "Sequence[Caught]") -> Iterator[str]:
    """All bugs, those that the checks had not seen, and those that show in the return of a training or do not."""
    from relook.doctor.zoo import UNSEEN

    unseen = {bug.name for bug in UNSEEN}
    groups = {
        "all": list(found),
        "not seen before": [c for c in found if c.bug.name in unseen],
        "that show in the return": [c for c in found if c.bug.shows],
        "that do not": [c for c in found if not c.bug.shows],
    }
    for what, some in groups.items():
        if (some and len(some) < len(found)) or what == "all":
            caught, right = sum(bool(c.checks) for c in some), sum(c.right for c in some)
            inside = sorted(c.seconds for c in some if c.tier == "inside")
            yield (
                f"{what}: {caught} of {len(some)} caught ({caught / len(some):.1%}), {right} with the right component "
                f"({right / len(some):.1%}); {len(inside)} by looking inside, half of them within "
                f"{inside[len(inside) // 2] if inside else 0:.1f} s"
            )


def _row(caught: "Caught") -> dict[str, object]:
    return {
        "bug": caught.bug.name,
        "what": caught.bug.what,
        "file": caught.bug.file,
        "algorithm": caught.bug.algorithm,
        "component": caught.bug.component,
        "named": caught.component,
        "tier": caught.tier,
        "checks": list(caught.checks),
        "evidence": caught.evidence,
        "seconds": caught.seconds,
    }


def _table(found: "Sequence[Caught]") -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name, width in (("bug", 12), ("what is wrong", 40), ("named by", 24)):
        table.add_column(name, max_width=width)
    table.add_column("tier", no_wrap=True)
    table.add_column("component", no_wrap=True)
    table.add_column("s", justify="right")
    for caught in found:
        name = caught.component if caught.right else f"[yellow]{caught.component}[/], not {caught.bug.component}"
        checks = ", ".join(caught.checks[:2]) or "[red]missed[/]"
        table.add_row(
            caught.bug.name,
            caught.bug.what,
            checks,
            caught.tier,
            name if caught.checks else "",
            f"{caught.seconds:.1f}",
        )
    return table


def _by_component(found: "Sequence[Caught]") -> Table:
    """How many bugs of each component were caught, and how many of these were named rightly."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("component")
    for name in ("bugs", "caught", "right"):
        table.add_column(name, justify="right")
    all_of_it, caught, right = (
        Counter(c.bug.component for c in found if keep(c))
        for keep in (lambda c: True, lambda c: c.checks, lambda c: c.right)
    )
    for component in sorted(all_of_it):
        table.add_row(component, *(str(count[component]) for count in (all_of_it, caught, right)))
    return table
