"""Limits of hyper-parameters, and one value of each for every agent."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from relook.errors import WrongRequest
from relook.population import Agent, Agents
from relook.population.hyperparameters import Hyperparameters, check, names, numeric, structural


@dataclass(frozen=True)
class Config:
    rate: float = numeric(0.1, "above a limit", above=0)
    share: float = numeric(0.5, "between limits", low=0, high=1)
    both: float = numeric(0.5, "above one limit, up to another", above=0, high=1)
    any: float = numeric(0.0, "any number")
    size: int = structural(4, "a size", low=1)
    widths: tuple[int, ...] = structural((8, 8), "some sizes", low=1)
    switch: bool = structural(False, "a switch", low=1)
    choice: str = structural("tanh", "a choice")


def test_names_of_a_kind_come_in_order() -> None:
    assert names(Config, "numeric") == ["rate", "share", "both", "any"]
    assert names(Config, "structural") == ["size", "widths", "switch", "choice"]


def test_defaults_are_kept() -> None:
    assert (Config().rate, Config().size, Config().choice) == (0.1, 4, "tanh")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rate": 1e-9},
        {"rate": float("inf")},
        {"share": 0},
        {"share": 1.0},
        {"both": 1},
        {"any": -1e9},
        {"size": 1},
        {"widths": (1, 2, 3)},
        {"widths": ()},
        {"switch": False, "choice": "relu"},
    ],
)
def test_what_lies_inside_the_limits_passes(values: dict[str, Any]) -> None:
    check(Config, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, "expected rate above 0; found 0.0"),
        ({"rate": -1}, "expected rate above 0; found -1"),
        ({"share": -0.1}, "expected share at least 0 and at most 1; found -0.1"),
        ({"share": 1.5}, "expected share at least 0 and at most 1; found 1.5"),
        ({"both": 0.0}, "expected both above 0 and at most 1; found 0.0"),
        ({"size": 0}, "expected size at least 1; found 0"),
        ({"widths": (8, 0)}, "expected widths at least 1; found 0"),
        ({"any": float("nan")}, "expected any to be a number; found nan"),
        ({"rate": float("nan")}, "expected rate above 0; found nan"),
        ({"share": 0.5, "size": -3}, "expected size at least 1; found -3"),
    ],
)
def test_what_lies_outside_is_refused_with_what_was_expected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongRequest) as error:
        check(Config, values)
    assert str(error.value) == message


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(WrongRequest, match=r"'rates'; expected one of rate, share, both, any, size, widths"):
        check(Config, {"rates": 1.0})


AGENTS = Agents([Agent(0, 0, {"rate": 0.1, "share": 0.2}), Agent(1, 1, {"rate": 0.3, "share": 0.4})])


def test_a_hyperparameter_is_one_value_for_each_agent() -> None:
    h = Hyperparameters(AGENTS)
    torch.testing.assert_close(h.rate, torch.tensor([0.1, 0.3]))
    torch.testing.assert_close(h.share, torch.tensor([0.2, 0.4]))


@pytest.mark.parametrize("name", ["size", "rates", "_values_", "__len__"])
def test_what_is_not_numeric_is_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(Hyperparameters(AGENTS), name)


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)])
def test_annealing_takes_what_is_named_linearly_to_0_and_leaves_the_rest(progress: float, factor: float) -> None:
    h = Hyperparameters(AGENTS)
    now = h.annealed(("rate",), progress)
    torch.testing.assert_close(now.rate, factor * torch.tensor([0.1, 0.3]))
    assert torch.equal(now.share, h.share)


def test_annealing_starts_from_the_original_every_time() -> None:
    h = Hyperparameters(AGENTS)
    for _ in range(3):
        torch.testing.assert_close(h.annealed(("rate", "share"), 0.5).rate, torch.tensor([0.05, 0.15]))
    torch.testing.assert_close(h.rate, torch.tensor([0.1, 0.3]))


@pytest.mark.parametrize(
    ("rates", "matters"), [((0.0, 0.0), False), ((-0.0, 0.0), False), ((0.0, 0.1), True), ((-1.0, 1.0), True)]
)
def test_a_hyperparameter_matters_if_it_is_other_than_0_for_any_agent(
    rates: tuple[float, float], matters: bool
) -> None:
    h = Hyperparameters(Agents([Agent(i, i, {"share": 1.0, "rate": rate}) for i, rate in enumerate(rates)]))
    assert h.any("rate") == matters
    assert h.any("share")


INF = float("inf")


@pytest.mark.parametrize("rates", [(0.1, 0.3), (INF, 0.3), (0.0, INF), (INF, -INF, 0.5)])
def test_a_limit_that_any_agent_has_is_given_for_all(rates: tuple[float, ...]) -> None:
    h = Hyperparameters(Agents([Agent(i, i, {"share": INF, "rate": rate}) for i, rate in enumerate(rates)]))
    given = h.finite("rate")
    assert given is not None
    torch.testing.assert_close(given, torch.tensor(rates))
    assert h.finite("share") is None


def test_what_matters_and_what_is_a_limit_stays_so_while_it_falls() -> None:
    h = Hyperparameters(Agents([Agent(0, 0, {"rate": 0.2, "share": INF}), Agent(1, 1, {"rate": INF, "share": INF})]))
    now = h.annealed(("rate", "share"), 0.75)
    given = now.finite("rate")
    assert given is not None
    torch.testing.assert_close(given, torch.tensor([0.05, INF]))
    assert now.finite("share") is None
    assert now.any("rate")


def test_a_copy_has_the_same_values() -> None:
    torch.testing.assert_close(deepcopy(Hyperparameters(AGENTS)).rate, torch.tensor([0.1, 0.3]))
