"""`relook lab NAME`."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape

from relook.cli.options import parse
from relook.errors import RelookError, WrongRequest

if TYPE_CHECKING:
    from relook.labs.lab import Claim, Lab


@dataclass
class Form:
    """Predict, run, look, and see whether the prediction held: relook labs lists what there is.

    The picture is written where you are, as lab-NAME.png. `symbols` prints every symbol of the notation with its value
    in a world of three states, and the line of code that computes it. Exits with status 1 if a claim does not hold.
    """

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME")] = None
    """A lab, or symbols."""
    predict: int | None = None
    """Your prediction, as the number of a choice; without it you are asked, where there is a terminal."""
    out: Path | None = None
    """The picture's file: .png, .svg or .pdf."""
    all: bool = False
    """Every lab, one after another."""
    check: bool = False
    """Claims alone: no prompts, no prose, no pictures."""
    quick: bool = False
    """Less learning, where a lab takes minutes: defend does."""


def run(arguments: Sequence[str]) -> None:
    from relook.labs import LABS, find
    from relook.population import single_threaded

    form = parse(Form, "lab", arguments)
    if form.all == (form.name is not None):
        raise WrongRequest("expected the name of a lab, or --all; relook labs lists the names")
    if form.all and form.out is not None:
        raise WrongRequest("expected --out with one lab; found it with --all, where each has a picture of its own")
    single_threaded()  # two threads on small arrays wait for each other
    console = Console(highlight=False, width=min(Console().width, 100))
    if form.name == "symbols":
        from relook.labs.symbols import print_symbols

        print_symbols(console)
        return
    names = LABS if form.all else (str(form.name),)
    failed = [name for name in names if not _one(console, find(name), form)]
    if failed:
        raise RelookError(f"what {', '.join(failed)} claims does not hold here")


def _one(console: Console, lab: "Lab[Any]", form: Form) -> bool:
    """Whether all of a lab's claims hold."""
    guess = None
    if not form.check:
        console.rule(f"[bold]{escape(lab.title)}", align="left")
        console.print(escape(lab.question), end="\n\n")
        guess = _prediction(console, lab, form)
        console.print("\nComputing …\n", style="dim")
    began = time.perf_counter()
    found = lab.shorter() if form.quick and lab.shorter else lab.compute()
    claims = lab.claims(found)
    seconds = time.perf_counter() - began
    holds = all(claim.holds for claim in claims)
    if form.check:
        mark = "[green]holds[/]" if holds else "[red]does not hold[/]"
        console.print(f"{lab.name:<24}{mark}  {len(claims)} claims  {seconds:5.1f} s")
    for claim in claims:
        if not form.check or not claim.holds:
            _print(console, claim)
    if form.check:
        return holds
    answer = lab.answer(found)
    if guess is not None:
        said = "[green]It held.[/]" if guess == answer else "[yellow]It did not hold.[/]"
        console.print(f"Your prediction: {escape(lab.choices[guess])}. {said}")
    console.print(f"What came out: [bold]{escape(lab.choices[answer])}[/]\n")
    if lab.table:
        console.print(escape(lab.table(found)), end="\n\n")
    console.print(escape(lab.lesson(found)), end="\n\n")
    if lab.erratum:
        console.print(f"[bold]The notes, once more.[/] {escape(lab.erratum)}", end="\n\n")
    console.print(f"A mistake that the claims would catch: {escape(lab.mistake)}.")
    console.print(f"Read next: {escape('; '.join(lab.reading))}.")
    console.print(f"Picture: {_picture(lab, found, form)}")
    return holds


def _picture(lab: "Lab[Any]", found: Any, form: Form) -> Path:
    from relook.statistics.plots import check_suffix, save

    path = form.out or Path(f"lab-{lab.name}.png")
    check_suffix(path)
    save(lab.draw(found), path)
    return path


def _print(console: Console, claim: "Claim") -> None:
    mark = "[green]✓[/]" if claim.holds else "[red]✗[/]"
    relation = {"equal": "", "at least": "at least ", "at most": "at most "}[claim.kind]
    tolerance = f" ± {claim.tolerance:.2g}" if claim.tolerance else ""
    console.print(f"{mark} {escape(claim.what)}")
    expected = f"expected {relation}{claim.expected:.6g}{tolerance}"
    console.print(f"    [bold]{claim.found:.6g}[/], {expected}: {escape(claim.why)}", end="\n\n")


def _prediction(console: Console, lab: "Lab[Any]", form: Form) -> int | None:
    """The choice that was predicted; None where nobody can be asked."""
    console.print(f"[bold]Predict.[/] {escape(lab.prompt)}")
    for number, choice in enumerate(lab.choices, 1):
        console.print(f"  {number}  {escape(choice)}")
    if form.predict is not None:
        if not 1 <= form.predict <= len(lab.choices):
            raise WrongRequest(f"expected --predict between 1 and {len(lab.choices)}; found {form.predict}")
        return form.predict - 1
    while sys.stdin.isatty():
        word = input(f"1 to {len(lab.choices)}, or nothing to go on: ").strip()
        if not word:
            return None
        if word.isdecimal() and 1 <= int(word) <= len(lab.choices):
            return int(word) - 1
    return None
