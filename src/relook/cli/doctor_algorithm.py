"""`relook doctor algorithm NAME|module:function`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from relook.algorithms import ALGORITHMS
from relook.cli.findings import print_finding
from relook.cli.options import parse
from relook.errors import RelookError, WrongRequest

if TYPE_CHECKING:
    from relook.doctor.examine.outside.trainer import Train
    from relook.doctor.findings import Finding


@dataclass
class Form:
    """Examine an algorithm, ours or anybody's: does each part do what it should?

    One of ours is trained for a moment while every part of it is compared with what its own inputs ask for; and, like
    anybody's function train(env, steps, seed), in small environments with known answers.
    """

    algorithm: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME|module:function|sb3:CLASS")]
    """An algorithm of ours, a function that trains, or a class of Stable-Baselines3."""
    kind: Literal["discrete", "continuous"] | None = None
    """Kind of actions that it is tried with; what it can choose unless said otherwise, discrete first."""
    steps: Annotated[int, tyro.conf.arg(metavar="M")] = 6000
    """Environment steps in each of the small environments; 0: none of them."""
    seed: Annotated[int, tyro.conf.arg(metavar="K")] = 0
    """The seed that everything follows from."""
    json: bool = False
    """Print JSON for programs."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "doctor algorithm", arguments)
    if form.steps < 0:
        raise WrongRequest(f"expected --steps of at least 0; found {form.steps}")
    name = form.algorithm
    train, kind = _train(name, form.kind)
    console = Console(stderr=True, highlight=False)
    found: list[Finding] = []
    checks = comparisons = 0
    if name in ALGORITHMS:
        from relook.doctor.examine.inside.examination import examine as look_inside

        console.print(f"looking on while {name} trains for a moment …", style="dim")
        inside = look_inside(name)
        found += inside.findings
        checks, comparisons = len(inside.looks), sum(inside.looks.values())
        console.print(f"  {checks} checks, {comparisons:,} comparisons, {inside.seconds:.1f} s", style="dim")
    if form.steps:
        import torch

        from relook.doctor.examine.outside.examination import examine as look_outside

        torch.set_num_threads(1)  # the networks of such small problems only wait for each other's threads
        console.print(f"training in small environments, {kind} actions, {form.steps:,} steps each …", style="dim")

        def told(check: str, seconds: float, new: "list[Finding]") -> None:
            nonlocal checks
            checks += 1
            said = "[red]found something[/]" if new else "fine           "
            console.print(f"  {check:<26}{said}  {seconds:6.1f} s", style="dim")

        command = f"relook doctor algorithm {name} --kind {kind} --steps {form.steps} --seed {form.seed}"
        found += look_outside(train, kind, steps=form.steps, seed=form.seed, command=command, told=told)
    _say(form, found, checks, comparisons)
    if found:
        count = len({finding.check.name for finding in found})
        raise RelookError(f"{name} is not what it should be: {count} of {checks} checks found something")


def _train(name: str, kind: Any) -> tuple["Train", Literal["discrete", "continuous"]]:
    """The training function that a name stands for, and the kind of actions to try it with."""
    from relook.doctor.examine.outside.adapters import ours, sb3
    from relook.importing import named_function

    continuous = name.rpartition(":")[2].lower() in ("ddpg", "td3", "sac")
    kind = kind or ("continuous" if continuous else "discrete")
    if name in ALGORITHMS:
        return ours(name), kind
    if name.startswith("sb3:"):
        return sb3(name.removeprefix("sb3:")), kind
    if ":" not in name:
        raise WrongRequest(
            f"expected an algorithm among {', '.join(ALGORITHMS)}, module:function, or sb3:CLASS; found {name!r}"
        )
    function = named_function(name, "training function")
    if function is None:
        raise WrongRequest(f"expected {name!r} to name a function; its module has none of this name")
    return function, kind


def _say(form: Form, found: "Sequence[Finding]", checks: int, comparisons: int) -> None:
    if form.json:
        print(json.dumps({"algorithm": form.algorithm, "findings": [finding.record() for finding in found]}, indent=1))
        return
    console = Console(highlight=False, markup=False)
    console.print(f"{form.algorithm}: {checks} checks, {comparisons:,} comparisons of its parts", style="bold")
    if not found:
        console.print("Nothing found.", style="green")
    for finding in found:
        console.print()
        print_finding(console, finding)
