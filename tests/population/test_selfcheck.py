"""The self-check sees what crosses the agent axis, and nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relook.population import Agent, Agents, agents_are_independent

Rehearsal = Callable[[Agents], Tensor]
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 10])


def population(size: int) -> Agents:
    return Agents([Agent(index, 10 + index, {"discount": 0.9}) for index in range(size)])


def noise(agents: Agents) -> Tensor:
    return agents.normal("rehearse", 0, (4, 5))


def with_last(agents: Agents, value: float) -> Tensor:
    """The noise with one number of the last agent replaced, if it is not alone."""
    x = noise(agents)
    if len(agents) > 1:
        x[-1, 0, 0] = value
    return x


def with_first(agents: Agents) -> Tensor:
    x = noise(agents)
    if len(agents) > 1:
        x[0, 0, 0] += 1
    return x


@SIZES
def test_what_stays_on_the_agent_axis_is_independent(size: int) -> None:
    def rehearse(agents: Agents) -> Tensor:
        x = noise(agents) * agents.hyperparameter("discount")[:, None, None]
        return x - x.mean(1, keepdim=True)

    assert agents_are_independent(population(size), rehearse)


def only_in_the_last_number(agents: Agents) -> Tensor:
    x = noise(agents)
    x[:, -1, -1] += 2**-20 * (len(agents) > 1)
    return x


CROSSING: dict[str, Rehearsal] = {
    "mean over agents": lambda agents: noise(agents) - noise(agents).mean(0),
    "last bit": lambda agents: noise(agents) * (1 + 2**-23 * (len(agents) > 1)),
    "another's noise": lambda agents: noise(agents).roll(1, 0),
    "place in the population": lambda agents: noise(agents) + torch.arange(len(agents)).flip(0)[:, None, None],
    "sign of zero": lambda agents: torch.zeros(len(agents), 1) * (-1.0 if len(agents) > 1 else 1.0),
    "a single number": only_in_the_last_number,
    "NaN among others only": lambda agents: noise(agents) / (0.0 if len(agents) > 1 else 1.0),
}


@SIZES
@pytest.mark.parametrize("rehearse", CROSSING.values(), ids=CROSSING.keys())
def test_what_crosses_the_agent_axis_is_found(rehearse: Rehearsal, size: int) -> None:
    assert not agents_are_independent(population(size), rehearse)


@pytest.mark.parametrize("size", [3, 10])
def test_a_difference_of_the_first_or_the_last_agent_alone_is_found(size: int) -> None:
    assert not agents_are_independent(population(size), lambda agents: with_last(agents, 0.5))
    assert not agents_are_independent(population(size), with_first)


def test_a_single_agent_is_compared_with_itself_in_company() -> None:
    sizes: list[int] = []

    def rehearse(agents: Agents) -> Tensor:
        sizes.append(len(agents))
        return noise(agents)

    assert agents_are_independent(population(1), rehearse)
    assert max(sizes) > 1
    assert min(sizes) == 1


@SIZES
def test_nan_equals_itself(size: int) -> None:
    assert agents_are_independent(population(size), lambda agents: noise(agents) * torch.nan)
