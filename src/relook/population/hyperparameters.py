"""Hyper-parameters: numeric ones may differ between the agents of a population, structural ones may not."""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import field, fields
from typing import Any

from jaxtyping import Float
from torch import Tensor

from relook.errors import WrongRequest
from relook.formulas.schedules import linear
from relook.population.agents import Agents


def numeric(
    default: float, meaning: str, *, above: float = -math.inf, low: float = -math.inf, high: float = math.inf
) -> Any:
    """A number that each agent may have its own of: several values train side by side in one population.

    Values lie in [low, high] and above `above`.
    """
    return field(default=default, metadata={"kind": "numeric", "meaning": meaning, "limits": (above, low, high)})


def structural(default: Any, meaning: str, *, low: float = -math.inf) -> Any:
    """A size, a count or a choice: it shapes the computation, so several values are separate units of work."""
    return field(
        default=default, metadata={"kind": "structural", "meaning": meaning, "limits": (-math.inf, low, math.inf)}
    )


def names(config: type[Any], kind: str) -> list[str]:
    """The names of the `numeric` or `structural` hyper-parameters of a `Config`."""
    return [f.name for f in fields(config) if f.metadata["kind"] == kind]


def check(config: type[Any], values: Mapping[str, Any]) -> None:
    """Raise `WrongRequest` for a hyper-parameter that does not exist or lies outside its limits."""
    known = {f.name: f for f in fields(config)}
    for name, value in values.items():
        if name not in known:
            raise WrongRequest(f"there is no hyper-parameter {name!r}; expected one of {', '.join(known)}")
        above, low, high = known[name].metadata["limits"]
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool | str):
                continue
            if not (low <= number <= high and number > above):
                limits = [f"above {above:g}"] if above > -math.inf else []
                limits += [f"at least {low:g}"] if low > -math.inf else []
                limits += [f"at most {high:g}"] if high < math.inf else []
                raise WrongRequest(f"expected {name} {' and '.join(limits) or 'to be a number'}; found {number}")


class Hyperparameters:
    """The numeric hyper-parameters of a population: `h.discount` is [A], one value for each agent."""

    def __init__(self, agents: Agents) -> None:
        self._values = {name: agents.hyperparameter(name) for name in agents[0].hyperparameters}

    def annealed(self, names: tuple[str, ...], progress: float) -> "Hyperparameters":
        """The same, with some of them on their linear way to 0; `progress` is the share of training done."""
        now = copy(self)
        now._values = {k: v * linear(progress) if k in names else v for k, v in self._values.items()}
        return now

    def __getattr__(self, name: str) -> Float[Tensor, " A"]:
        if name == "_values" or name not in self._values:  # `_values`: a copy asks before it has any
            raise AttributeError(f"{name!r} is not a numeric hyper-parameter")
        return self._values[name]
