"""What a search may choose from: a range, or a list of values, for each hyper-parameter that it searches over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from relook.algorithms import algorithm
from relook.errors import WrongRequest
from relook.experiments.grid import spread
from relook.population.hyperparameters import check

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4
"""Significant ones of a number that is drawn: what is shown of a setting is all of it."""
SYNTAX = "NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE,… (sizes: 64x64,256x256)"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both are `int`."""

    low: float
    high: float
    log: bool = False
    """Whether the logarithm is drawn uniformly, and not the number."""

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def drawn(self, value: Any) -> Any:
        """The hyper-parameter's value for one of the distribution, with a few digits."""
        if isinstance(value, int):
            return value
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def told(self, value: Any) -> Any:
        """The way back."""
        return value

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Choice:
    """A few values, none of which is nearer to another than the others are."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def distribution(self) -> BaseDistribution:
        """The numbers of the values, for Optuna, which takes no sizes."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(range(len(self.values)))

    def drawn(self, value: Any) -> Any:
        """The hyper-parameter's value for one of the distribution."""
        return self.values[value]

    def told(self, value: Any) -> Any:
        """The way back."""
        return self.values.index(value)

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"choices": list(self.values)}


Space = Mapping[str, Range | Choice]


def space_of(name: str, given: Mapping[str, Any]) -> dict[str, Range | Choice]:
    """A space of an algorithm's hyper-parameters, from what the command line, TOML, JSON or Python say.

    A range is `Range(…)`, "LOW:HIGH", "LOW:HIGH:log", or a table of low, high and log; a choice is `Choice(…)`, a list,
    "VALUE,VALUE", or a table of choices. Raises `WrongRequest` for hyper-parameters that the algorithm does not have,
    and for values that they cannot have.
    """
    if not given:
        raise WrongRequest(f"expected at least one hyper-parameter to search over: {SYNTAX}; found none")
    config = algorithm(name).config
    types, known = get_type_hints(config), {f.name for f in fields(config)}
    found: dict[str, Range | Choice] = {}
    for key, said in given.items():
        if key not in known:
            check(config, {key: said})  # which says what there is
        match said:
            case Range(low, high, log):
                found[key] = _range(key, types[key], [low, high, *(["log"] if log else [])])
            case Choice(values):
                found[key] = _choice(name, key, list(values))
            case str() if ":" in said:
                found[key] = _range(key, types[key], said.split(":"))
            case str():
                found[key] = _choice(name, key, [_read(key, types[key], part) for part in said.split(",")])
            case {"low": low, "high": high, **more} if not {*more} - {"log"}:
                found[key] = _range(key, types[key], [low, high, *(["log"] if more.get("log") else [])])
            case {"choices": [*values]} if len(said) == 1:
                found[key] = _choice(name, key, values)
            case [*values]:
                found[key] = _choice(name, key, values)
            case _:
                raise WrongRequest(f"expected a range or a list of values for {key}: {SYNTAX}; found {said!r}")
        _check(config, key, found[key])
    return found


def _read(key: str, kind: Any, text: str) -> Any:
    """One value of a hyper-parameter from a command line."""
    text = text.strip()
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind in (int, float):
            return kind(text)
        return [int(part) for part in text.split("x")] if get_origin(kind) is tuple else text
    except (KeyError, ValueError):
        what = {bool: "True or False", int: "a whole number", float: "a number"}.get(kind, "sizes such as 64x64")
        raise WrongRequest(f"expected {what} as a value of {key}; found {text!r}") from None


def _range(key: str, kind: Any, parts: list[Any]) -> Range:
    if kind not in (int, float):
        raise WrongRequest(f"expected a list of values for {key}, which is not a number; found a range")
    low, high, *log = parts
    if log not in ([], ["log"]):
        raise WrongRequest(f"expected {key}=LOW:HIGH or {key}=LOW:HIGH:log; found {':'.join(map(str, parts))!r}")
    ends = [_read(key, kind, str(end)) for end in (low, high)]
    return Range(ends[0], ends[1], bool(log))


def _choice(name: str, key: str, values: list[Any]) -> Choice:
    try:
        return Choice(tuple(spread([name], {key: values}, {})[name][key]))
    except ValueError as error:
        raise WrongRequest(f"expected values of {key}; found {values}: {error}") from error


def _check(config: type[Any], key: str, dimension: Range | Choice) -> None:
    ends = [dimension.low, dimension.high] if isinstance(dimension, Range) else list(dimension.values)
    for value in ends:
        check(config, {key: value})
    if isinstance(dimension, Range):
        if not (math.isfinite(dimension.low) and math.isfinite(dimension.high) and dimension.low < dimension.high):
            raise WrongRequest(
                f"expected a range of {key} from a smaller to a larger number; found {dimension.low:g}:"
                f"{dimension.high:g}"
            )
        if dimension.log and dimension.low <= 0:
            raise WrongRequest(f"expected a logarithmic range of {key} to begin above 0; found {dimension.low:g}")
    elif len(set(ends)) < max(2, len(ends)):
        raise WrongRequest(f"expected at least two values of {key} that differ; found {', '.join(map(str, ends))}")


def beyond(name: str, key: str, dimension: Range | Choice) -> list[bool]:
    """Whether the hyper-parameter may be smaller than all of a range or an ascending list, and larger."""
    values = [dimension.low, dimension.high] if isinstance(dimension, Range) else [*dimension.values]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return [False, False]
    above, low, high = next(f for f in fields(algorithm(name).config) if f.name == key).metadata["limits"]
    return [min(values) > low and min(values) > above, max(values) < high]


def settings(space: Space) -> float:
    """How many there are: infinitely many if there is a range of real numbers."""
    counts = [
        len(dimension.values)
        if isinstance(dimension, Choice)
        else dimension.high - dimension.low + 1
        if isinstance(dimension.low, int)
        else math.inf
        for dimension in space.values()
    ]
    return math.prod(counts)


def parsed(pairs: list[str] | tuple[str, ...]) -> dict[str, str]:
    """NAME=… words of a command line. Raises `WrongRequest` for others, and for a name that comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, said = pair.partition("=")
        key = key.replace("-", "_")
        if not (equals and key.isidentifier() and said):
            raise WrongRequest(f"expected --space {SYNTAX}; found {pair!r}")
        if key in found:
            raise WrongRequest(f"expected {key} once in the space; found it twice")
        found[key] = said
    return found
