"""Named tensors are views of one matrix of parameters, and their gradients of another."""

import pytest
import torch

from relook.population import Parameters
from relook.population.parameters import ALIGNMENT

SHAPES: dict[str, tuple[int, ...]] = {"weight": (3, 5), "bias": (5,), "log_std": (1,), "square": (4, 4)}


def test_names_are_kept_in_order_with_one_tensor_for_each_agent() -> None:
    parameters = Parameters(3, SHAPES)
    assert list(parameters) == list(SHAPES)
    for name, shape in SHAPES.items():
        assert parameters[name].shape == (3, *shape)
        assert parameters[name].requires_grad
        assert parameters[name].is_leaf
        assert (parameters[name] == 0).all()


@pytest.mark.parametrize("agents", [1, 3])
def test_every_tensor_shares_its_memory_with_theta_and_no_two_overlap(agents: int) -> None:
    parameters = Parameters(agents, SHAPES)
    parameters.theta.copy_(torch.arange(parameters.theta.numel()).view_as(parameters.theta))
    seen = torch.cat([parameters[name].detach().flatten() for name in SHAPES])
    assert len(set(seen.tolist())) == len(seen) == agents * (15 + 5 + 1 + 16)
    parameters.set("bias", torch.full((agents, 5), -7.0))
    assert (parameters.theta == -7).sum() == agents * 5


@pytest.mark.parametrize("agents", [1, 3])
def test_backward_adds_into_the_gradient_matrix(agents: int) -> None:
    parameters = Parameters(agents, SHAPES)
    gradient = parameters.gradient
    weight = torch.arange(agents * 15.0).view(agents, 3, 5) + 1
    for times in (1, 2):
        torch.autograd.backward([(parameters["weight"] * weight).sum() + 3 * parameters["log_std"].sum()])
        torch.testing.assert_close(parameters["weight"].grad, times * weight, rtol=0, atol=0)
        assert parameters.gradient is gradient
        assert gradient.sum() == times * (weight.sum() + 3 * agents)
        assert (gradient == 3 * times).any()
    parameters.zero_gradient()
    assert parameters.gradient is gradient
    assert (gradient == 0).all()
    torch.autograd.backward([parameters["bias"].sum()])
    assert gradient.sum() == agents * 5


def test_rows_are_agents_and_independent_of_each_other() -> None:
    parameters = Parameters(3, SHAPES)
    torch.autograd.backward([sum((parameters[name][1].sum() for name in SHAPES), torch.zeros(()))])
    assert parameters.gradient[1].sum() == 15 + 5 + 1 + 16
    assert (parameters.gradient[[0, 2]] == 0).all()
    parameters.theta[1] = 5.0
    for name in SHAPES:
        assert (parameters[name][1] == 5).all()
        assert (parameters[name][[0, 2]] == 0).all()


@pytest.mark.parametrize("agents", [1, 3])
def test_every_agents_tensors_start_at_multiples_of_64_bytes_within_theta(agents: int) -> None:
    parameters = Parameters(agents, SHAPES)
    start = parameters.theta.data_ptr()
    for name in SHAPES:
        for a in range(agents):
            assert (parameters[name][a].data_ptr() - start) % (4 * ALIGNMENT) == 0


def test_set_copies_and_leaves_the_other_tensors_alone() -> None:
    parameters = Parameters(2, SHAPES)
    value = torch.ones(2, 5)
    parameters.set("bias", value)
    value.fill_(9.0)
    assert parameters.theta.sum() == 10
    assert parameters["bias"].requires_grad
