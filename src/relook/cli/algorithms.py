"""`relook algorithms [NAME]`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import tyro

from relook.algorithms import ALGORITHMS, TABULAR, Algorithm, algorithm
from relook.cli.options import parse


@dataclass
class Form:
    """List the algorithms that `relook train` knows, or the presets of one."""

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="NAME")] = None
    """An algorithm, of which to list the presets and what still differs from their source."""


def run(arguments: Sequence[str]) -> None:
    form = parse(Form, "algorithms", arguments)
    if form.name is not None:
        print(presets(algorithm(form.name)))
        return
    for known in ALGORITHMS.values():
        print(f"{known.name:<12}{known.title}")
    print("\nOn tables, for environments of finitely many states:")
    for known in TABULAR.values():
        print(f"{known.name:<22}{known.title}")
    print("\nrelook train NAME --help lists an algorithm's hyper-parameters, relook algorithms NAME its presets.")


def presets(known: Algorithm) -> str:
    """An algorithm's presets as Markdown: sources, the values that differ from ours, and what else differs."""
    sources = known.presets
    defaults = {f.name: f.default for f in fields(known.config)} | {"rescale_actions": True}
    values = {name: {**preset.hyperparameters, **preset.environment} for name, preset in sources.items()}
    changed = [name for name in defaults if any(name in own for own in values.values())]
    lines = [f"# Presets of {known.name}", ""]
    lines += [f"- `--preset {name}`: {preset.source}" for name, preset in sources.items()]
    lines += ["", f"| hyper-parameter | default | {' | '.join(sources)} |", f"|---|---|{'---|' * len(sources)}"]
    for name in changed:
        own = [_figure(of_preset[name]) if name in of_preset else "" for of_preset in values.values()]
        lines.append(f"| `{name}` | {_figure(defaults[name])} | {' | '.join(own)} |")
    lines += ["", "An empty cell is the default. What still differs from other implementations:"]
    for name, preset in sources.items():
        if preset.differences:
            lines += ["", f"**{name}**", *(f"- {difference}" for difference in preset.differences)]
    return "\n".join(lines)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
