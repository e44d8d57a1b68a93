"""Functions that users name as `module:function`."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from relook.errors import WrongRequest


def named_module(name: str, what: str) -> ModuleType:
    """The module in which `name` lies. Raises `WrongRequest`, which says `what` was named, if it cannot be imported."""
    try:
        return importlib.import_module(name.partition(":")[0])
    except (ImportError, ValueError) as error:
        raise WrongRequest(
            f"expected the module of the {what} {name!r} to be importable; it is not ({error}); install it or run "
            f"where it lies"
        ) from error


def named_function(name: str, what: str) -> Callable[..., Any] | None:
    """The function that `module:function` names; None if the module has no such function.

    Raises `WrongRequest`, which says `what` was named, if the module cannot be imported.
    """
    function = getattr(named_module(name, what), name.partition(":")[2], None)
    return function if callable(function) else None


def name_of(function: Callable[..., Any]) -> tuple[str, bool]:
    """A function's name, and whether other processes can import it by that name, which is then `module:function`."""
    module, name = function.__module__, getattr(function, "__qualname__", type(function).__name__)
    if module != "__main__" and getattr(sys.modules.get(module), name, None) is function:
        return f"{module}:{name}", True
    return name, False
