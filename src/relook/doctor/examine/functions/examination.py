"""The examination of a module's functions, by their names."""

import inspect
from collections.abc import Iterator
from types import ModuleType

from relook.doctor.examine.functions import (
    advantages,
    densities,
    policy_losses,
    target_networks,
    td_targets,
    value_losses,
)
from relook.doctor.examine.functions.asking import Asking, Hazard
from relook.doctor.findings import Check, Finding, Severity

ASKED: tuple[Asking, ...] = (densities, advantages, td_targets, policy_losses, value_losses, target_networks)
"""In the order of cause."""

ORDER: tuple[Check, ...] = tuple(asking.CHECK for asking in ASKED)


def known(module: ModuleType) -> list[Asking]:
    """What can be asked of a module's functions."""
    return [asking for asking in ASKED if callable(getattr(module, asking.NAME, None))]


def examine(module: ModuleType) -> Iterator[Finding]:
    """Ask every function of a module whose name is known. An exception is what was found."""
    for asking in known(module):
        function = getattr(module, asking.NAME)
        where = f"{inspect.getsourcefile(function) or module.__name__}, {asking.NAME}"
        wrong: list[str] = []
        try:
            wrong += asking.look(function)
        except Exception as error:
            wrong.append(f"expected {asking.NAME}{asking.SIGNATURE}; found {type(error).__name__}: {error}")
        errors = [evidence for evidence in wrong if not isinstance(evidence, Hazard)]
        for evidence in (errors or wrong)[:1]:  # the others follow from it
            severity: Severity = "error" if errors else "warning"
            yield Finding(asking.CHECK, severity, evidence, where, subject=f"{module.__name__}.{asking.NAME}")
