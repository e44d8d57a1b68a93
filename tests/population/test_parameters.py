"""Named tensors are views of one block of parameters, and their gradients of another."""

from math import prod

import pytest
import torch

from relook.population import Parameters
from relook.population.parameters import ALIGNMENT

GROUPS = ("policy", "value")
SHAPES: dict[str, tuple[int, ...]] = {"weight": (3, 5), "bias": (1, 5), "square": (4, 4)}
OWN: dict[str, dict[str, tuple[int, ...]]] = {"policy": {"log_std": (1,), "matrix": (2, 20)}, "value": {"scale": (7,)}}
EVERYWHERE, USED = 15 + 5 + 16, {"policy": 15 + 5 + 16 + 1 + 40, "value": 15 + 5 + 16 + 7}

NUMBERS = pytest.mark.parametrize("agents", [1, 3])


def built(agents: int) -> Parameters:
    return Parameters(agents, GROUPS, SHAPES, OWN)


def numbered(agents: int) -> Parameters:
    """Every number of the block is another one, and none is 0."""
    parameters = built(agents)
    parameters.theta.copy_(torch.arange(parameters.theta.numel()).view_as(parameters.theta) + 1)
    return parameters


def loss_of_squares(parameters: Parameters) -> torch.Tensor:
    """Its gradient with respect to every number that is used is the number itself."""
    return sum((0.5 * parameters[name].square().sum() for name in parameters), torch.zeros(()))


@NUMBERS
def test_names_are_kept_in_order_with_a_tensor_for_each_agent_and_for_each_group_that_has_it(agents: int) -> None:
    parameters = built(agents)
    own = OWN["policy"] | OWN["value"]
    assert list(parameters) == [*SHAPES, *own]
    for name in parameters:
        expected = (2 * agents, *SHAPES[name]) if name in SHAPES else (agents, *own[name])
        assert parameters[name].shape == expected
        assert parameters[name].requires_grad
        assert parameters[name].is_leaf
        assert (parameters[name] == 0).all()


@NUMBERS
def test_every_tensor_shares_its_memory_with_theta_and_no_two_overlap(agents: int) -> None:
    parameters = numbered(agents)
    seen = torch.cat([parameters[name].detach().flatten() for name in parameters])
    assert len(set(seen.tolist())) == len(seen) == agents * (USED["policy"] + USED["value"])
    assert 0 not in seen
    parameters.set("bias", torch.full((2 * agents, 1, 5), -7.0))
    assert (parameters.theta == -7).sum() == agents * 2 * 5


@NUMBERS
def test_a_row_of_theta_holds_what_one_group_of_one_agent_has_and_nothing_else(agents: int) -> None:
    """A stacked tensor has an agent's groups side by side; a tensor of one group lies in that group's row."""
    parameters = numbered(agents)
    for a in range(agents):
        for g, group in enumerate(GROUPS):
            names = [*SHAPES, *OWN[group]]
            rows = [parameters[name].detach()[2 * a + g if name in SHAPES else a].flatten() for name in names]
            row = set(parameters.theta[a, g].tolist())
            held = torch.cat(rows).tolist()
            assert len(held) == USED[group]
            assert row.issuperset(held)
            assert len(row) == parameters.theta.shape[2]


def test_a_stacked_tensor_keeps_the_order_of_its_numbers() -> None:
    parameters = numbered(3)
    for name, shape in SHAPES.items():
        flat = parameters[name].detach().reshape(6, -1)
        assert torch.equal(flat - flat[:, :1], torch.arange(float(prod(shape))).expand(6, -1))


@NUMBERS
def test_backward_adds_into_the_gradient_block(agents: int) -> None:
    parameters = built(agents)
    gradient = parameters.gradient
    weight = torch.arange(agents * 30.0).view(agents * 2, 3, 5) + 1
    for times in (1, 2):
        torch.autograd.backward([(parameters["weight"] * weight).sum() + 3000 * parameters["log_std"].sum()])
        torch.testing.assert_close(parameters["weight"].grad, times * weight, rtol=0, atol=0)
        assert parameters.gradient is gradient
        assert gradient.sum() == times * (weight.sum() + 3000 * agents)
        assert (gradient == 3000 * times).sum() == agents
    gradient.zero_()
    torch.autograd.backward([parameters["bias"].sum()])
    assert gradient.sum() == agents * 2 * 5


@NUMBERS
def test_every_number_has_its_gradient_at_its_own_place(agents: int) -> None:
    """An optimiser goes through both blocks side by side."""
    parameters = numbered(agents)
    torch.autograd.backward([loss_of_squares(parameters)])
    used = parameters.gradient != 0
    assert used.sum((0, 2)).tolist() == [agents * USED[group] for group in GROUPS]
    assert torch.equal(parameters.gradient[used], parameters.theta[used])


def test_rows_are_agents_and_independent_of_each_other() -> None:
    parameters = built(3)
    of_agent_1 = [parameters[name][2:4] if name in SHAPES else parameters[name][1] for name in parameters]
    torch.autograd.backward([sum((tensor.sum() for tensor in of_agent_1), torch.zeros(()))])
    assert parameters.gradient[1].sum() == USED["policy"] + USED["value"]
    assert (parameters.gradient[[0, 2]] == 0).all()
    parameters.theta[1] = 5.0
    for name in parameters:
        by_agent = parameters[name].detach().reshape(3, -1)
        assert (by_agent[1] == 5).all()
        assert (by_agent[[0, 2]] == 0).all()


def test_groups_are_independent_of_each_other() -> None:
    parameters = built(3)
    parameters.theta[:, 1] = 5.0
    for name in SHAPES:
        by_group = parameters[name].detach().reshape(3, 2, -1)
        assert (by_group[:, 1] == 5).all()
        assert (by_group[:, 0] == 0).all()
    assert (parameters["scale"] == 5).all()
    assert (parameters["log_std"] == 0).all()
    assert (parameters["matrix"] == 0).all()


@NUMBERS
def test_every_agents_tensors_start_at_multiples_of_64_bytes_within_theta(agents: int) -> None:
    parameters = built(agents)
    for block, views in (
        (parameters.theta, {name: parameters[name] for name in parameters}),
        (parameters.gradient, {name: parameters[name].grad for name in parameters}),
    ):
        start = block.data_ptr()
        for view in views.values():
            assert view is not None
            for row in view:
                assert 0 <= row.data_ptr() - start < 4 * block.numel()
                assert (row.data_ptr() - start) % (4 * ALIGNMENT) == 0


def test_set_copies_and_leaves_the_other_tensors_alone() -> None:
    parameters = built(2)
    value = torch.ones(4, 1, 5)
    parameters.set("bias", value)
    value.fill_(9.0)
    assert parameters.theta.sum() == 20
    assert parameters["bias"].requires_grad
    parameters.set("scale", torch.full((2, 7), 2.0))
    assert parameters.theta[:, 1].sum() == 10 + 2 * 14
    assert parameters.theta[:, 0].sum() == 10


@NUMBERS
@pytest.mark.parametrize("groups", [("net",), ("policy", "value", "cost")])
def test_groups_may_have_nothing_of_their_own(agents: int, groups: tuple[str, ...]) -> None:
    parameters = Parameters(agents, groups, SHAPES)
    assert parameters.groups == groups
    assert list(parameters) == list(SHAPES)
    assert parameters.theta.shape[:2] == parameters.gradient.shape[:2] == (agents, len(groups))
    parameters.theta.fill_(1.0)
    torch.autograd.backward([loss_of_squares(parameters)])
    assert (parameters.gradient.sum(2) == EVERYWHERE).all()


@NUMBERS
def test_groups_may_have_nothing_in_common(agents: int) -> None:
    parameters = Parameters(agents, GROUPS, {}, {"value": {"scale": (7,)}})
    parameters.theta.fill_(1.0)
    torch.autograd.backward([loss_of_squares(parameters)])
    assert parameters.gradient.sum(2).tolist() == [[0, 7]] * agents
