"""Hyper-parameters: numeric ones may differ between the agents of a population, structural ones may not."""

import math
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jaxtyping import Float
from torch import Tensor

from relook.errors import WrongRequest
from relook.formulas.schedules import linear
from relook.population.agents import Agents


@dataclass(frozen=True)
class Preset:
    """Hyper-parameters as far as they differ from the defaults: somebody else's, or ours for a family of tasks."""

    source: str
    hyperparameters: Mapping[str, Any]
    environment: Mapping[str, Any]
    """What it changes in the `EnvironmentSpec`."""
    differences: tuple[str, ...]
    """What still differs from somebody else's."""


def numeric(
    default: float,
    meaning: str,
    *,
    above: float = -math.inf,
    low: float = -math.inf,
    high: float = math.inf,
    of_training: bool = False,
) -> Any:
    """A number that each agent may have its own of: several values train side by side in one population.

    Values lie in [low, high] and above `above`. `of_training` marks a share of the whole training.
    """
    limits = (above, low, high)
    return field(
        default=default,
        metadata={"kind": "numeric", "meaning": meaning, "limits": limits, "of_training": of_training},
    )


def structural(
    default: Any, meaning: str, *, low: float = -math.inf, above: float = -math.inf, at_start: bool = False
) -> Any:
    """A size, a count or a choice: it shapes the computation, so several values are separate units of work.

    `at_start` marks what is settled when training starts, so that a fork cannot change it.
    """
    limits = (above, low, math.inf)
    return field(
        default=default,
        metadata={"kind": "structural", "meaning": meaning, "limits": limits, "at_start": at_start},
    )


def names(config: type[Any], kind: str) -> list[str]:
    """The names of the `numeric` or `structural` hyper-parameters of a `Config`."""
    return [f.name for f in fields(config) if f.metadata["kind"] == kind]


def settled_at_start(config: type[Any]) -> list[str]:
    """The names of the hyper-parameters of a `Config` that cannot change while agents train."""
    return [f.name for f in fields(config) if f.metadata.get("at_start")]


def check_change(config: type[Any], names: Iterable[str]) -> None:
    """Raise `WrongRequest` for a hyper-parameter that cannot change while agents train."""
    settled = settled_at_start(config)
    if found := [name for name in names if name in settled]:
        raise WrongRequest(
            f"expected hyper-parameters that can change while agents train; {', '.join(found)} "
            f"{'are' if len(found) > 1 else 'is'} settled when training starts; train a new run instead"
        )


def check(config: type[Any], values: Mapping[str, Any]) -> None:
    """Raise `WrongRequest` for a hyper-parameter that does not exist, and a value of another type or out of limits."""
    known, types = {f.name: f for f in fields(config)}, get_type_hints(config)
    for name, value in values.items():
        if name not in known:
            raise WrongRequest(f"there is no hyper-parameter {name!r}; expected one of {', '.join(known)}")
        if not _is_a(value, types[name]):
            choices = " or ".join(map(repr, get_args(types[name]))) if get_origin(types[name]) is Literal else ""
            raise WrongRequest(f"expected {name} {choices or f'of type {_type_name(types[name])}'}; found {value!r}")
        above, low, high = known[name].metadata["limits"]
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool | str):
                continue
            if not (low <= number <= high and number > above):
                limits = [f"above {above:g}"] if above > -math.inf else []
                limits += [f"at least {low:g}"] if low > -math.inf else []
                limits += [f"at most {high:g}"] if high < math.inf else []
                raise WrongRequest(f"expected {name} {' and '.join(limits) or 'to be a number'}; found {number}")


def check_minibatch(size: int, samples: int) -> None:
    """Raise `WrongRequest` for minibatches that are larger than what they are taken from."""
    if size > samples:
        raise WrongRequest(
            f"expected a minibatch of at most {samples} samples, the rollout (horizon × envs); found {size}"
        )


def anneals(config: Any) -> tuple[str, ...]:
    """The numeric hyper-parameters that fall linearly to 0 while agents train: those `x` for which `anneal_x` is on."""
    return tuple(name for name in names(type(config), "numeric") if getattr(config, f"anneal_{name}", False))


def planned(config: Any) -> tuple[str, ...]:
    """The numeric hyper-parameters whose effect depends on how long the whole training is."""
    return anneals(config) + tuple(f.name for f in fields(config) if f.metadata.get("of_training"))


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of the type that a `Config` declares. An int is a float; a bool is no number."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is_a(part, get_args(kind)[0]) for part in value)
    if kind is bool:
        return isinstance(value, bool)
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _type_name(kind: Any) -> str:
    return "a tuple of sizes" if get_origin(kind) is tuple else str(kind.__name__)


class Hyperparameters:
    """The numeric hyper-parameters of a population: `h.discount` is [A], one value for each agent."""

    def __init__(self, agents: Agents) -> None:
        self._set({name: agents.hyperparameter(name) for name in agents[0].hyperparameters})
        self._limits = {name for name, value in self._values.items() if value.isfinite().any()}
        self._matters = {name for name, value in self._values.items() if value.any()}

    def _set(self, values: dict[str, Float[Tensor, " A"]]) -> None:
        self._values = values
        self.__dict__.update(values)  # attributes proper: they are read in every gradient step

    def any(self, name: str) -> bool:
        """Whether a hyper-parameter is other than 0 for any agent."""
        return name in self._matters

    def finite(self, name: str) -> Float[Tensor, " A"] | None:
        """A hyper-parameter of which infinity means never; None if it is infinite for all agents."""
        return self._values[name] if name in self._limits else None

    def annealed(self, names: tuple[str, ...], progress: float) -> "Hyperparameters":
        """The same, with some of them on their linear way to 0; `progress` is the share of training done."""
        now = copy(self)
        now._set({k: v * linear(progress) if k in names else v for k, v in self._values.items()})
        return now

    def __getattr__(self, name: str) -> Float[Tensor, " A"]:
        raise AttributeError(f"{name!r} is not a numeric hyper-parameter")
