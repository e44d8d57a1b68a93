"""A row of agents, and the random blocks that each of them draws for itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relook.population import Agent, Agents, Ahead


def population(*seeds: int) -> Agents:
    return Agents([Agent(index, seed, {"discount": seed / 10}) for index, seed in enumerate(seeds)])


DRAWS: dict[str, Callable[[Agents, str, int], Tensor]] = {
    "normal": lambda agents, purpose, block: agents.normal(purpose, block, (5, 3)),
    "uniform": lambda agents, purpose, block: agents.uniform(purpose, block, (5, 3)),
    "chance": lambda agents, purpose, block: agents.chance(purpose, block, (5, 3)),
    "permutation": lambda agents, purpose, block: agents.permutation(purpose, block, 15),
}
EVERY_DRAW = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


def test_a_population_is_a_sequence_of_its_agents() -> None:
    agents = population(4, 2)
    assert len(agents) == 2
    assert [agent.seed for agent in agents] == [4, 2]
    assert (agents[0].index, agents[1].index, agents[-1].seed) == (0, 1, 2)


def test_a_hyperparameter_has_one_value_for_each_agent() -> None:
    value = population(4, 2, 9).hyperparameter("discount")
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, torch.tensor([0.4, 0.2, 0.9]))


@EVERY_DRAW
def test_draws_of_an_agent_do_not_depend_on_its_neighbours(draw: Callable[[Agents, str, int], Tensor]) -> None:
    alone = draw(population(7), "explore", 2)[0]
    assert torch.equal(draw(population(0, 7, 3), "explore", 2)[1], alone)
    assert torch.equal(draw(population(3, 2, 1, 7), "explore", 2)[3], alone)


@EVERY_DRAW
def test_agents_that_differ_in_a_hyperparameter_only_get_the_same_draws(
    draw: Callable[[Agents, str, int], Tensor],
) -> None:
    drawn = draw(Agents([Agent(0, 7, {"discount": 0.9}), Agent(5, 7, {"discount": 0.5})]), "explore", 2)
    assert torch.equal(drawn[0], drawn[1])


@EVERY_DRAW
def test_draws_differ_between_seeds_purposes_and_blocks(draw: Callable[[Agents, str, int], Tensor]) -> None:
    drawn = draw(population(0, 1), "explore", 2)
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn, draw(population(0, 1), "explore", 3))
    assert not torch.equal(drawn, draw(population(0, 1), "other", 2))
    assert torch.equal(drawn, draw(population(0, 1), "explore", 2))


def test_normal_noise_is_standard_normal() -> None:
    x = population(0, 1).normal("explore", 0, (100, 200))
    assert (x.shape, x.dtype) == ((2, 100, 200), torch.float32)
    for agent in x:
        assert abs(agent.mean().item()) < 0.03
        assert abs(agent.square().mean().item() - 1) < 0.05
        assert abs((agent.abs() < 1).float().mean().item() - 0.6827) < 0.02


def test_uniform_noise_fills_the_half_open_unit_interval() -> None:
    x = population(0, 1).uniform("explore", 0, (100, 200))
    assert (x.shape, x.dtype) == ((2, 100, 200), torch.float32)
    assert (x >= 0).all()
    assert (x < 1).all()
    for agent in x:
        assert (torch.histc(agent, 10, 0, 1) / agent.numel() - 0.1).abs().max() < 0.01


@pytest.mark.parametrize("n", [1, 2, 15, 64])
def test_a_permutation_holds_every_number_once(n: int) -> None:
    order = population(0, 1, 2).permutation("minibatch", 0, n)
    assert order.dtype == torch.int64
    assert torch.equal(order.sort(1).values, torch.arange(n).expand(3, n))


def test_numbers_drawn_ahead_are_those_of_their_update_whichever_came_before() -> None:
    agents, length = population(4, 2), Ahead.LENGTH
    calls: list[int] = []

    def draw(purpose: str, block: int, shape: tuple[int, ...]) -> Tensor:
        calls.append(block)
        return agents.uniform(purpose, block, shape)

    ahead = Ahead(draw, "replay", (3,))
    numbers = [ahead[i] for i in range(2 * length)]
    assert calls == [0, 1]
    blocks = torch.cat([agents.uniform("replay", block, (length, 3)) for block in (0, 1)], 1)
    assert torch.equal(torch.stack(numbers, 1), blocks)
    assert torch.equal(Ahead(draw, "replay", (3,))[length + 5], numbers[length + 5])  # as after a power cut
