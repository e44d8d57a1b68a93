"""A target network follows what is learned by the exact recursion, each agent at its own rate."""

import pytest
import torch

from relook.errors import RelookError
from relook.population import Parameters, Target
from support import equal_bits

ALL = torch.ones(3, dtype=torch.bool)


def moving() -> tuple[Parameters, Target]:
    parameters = Parameters(3, ("q1", "q2"), {"weight": (5, 3), "bias": (1, 3)})
    parameters.theta.copy_(torch.linspace(-1, 1, parameters.theta.numel()).view_as(parameters.theta))
    return parameters, Target(parameters)


def test_it_starts_as_a_copy_in_memory_of_its_own() -> None:
    parameters, target = moving()
    assert equal_bits(target.parameters.theta, parameters.theta)
    parameters.theta.add_(1)
    assert not torch.equal(target.parameters.theta, parameters.theta)
    assert torch.equal(target.parameters["weight"] + 1, parameters["weight"])


@pytest.mark.parametrize("tau", [0.005, 0.3, 1.0])
def test_it_follows_by_the_exact_recursion(tau: float) -> None:
    """After k steps (1 - τ)^k of what it was is left: τ and 1 - τ exchanged would leave τ^k."""
    parameters, target = moving()
    expected = target.parameters.theta.double().clone()
    rate = torch.full((3,), tau)
    for k in range(20):
        parameters.theta.mul_(-0.9).add_(0.01 * k)
        target.follow(rate, ALL)
        expected = (1 - tau) * expected + tau * parameters.theta.double()
    torch.testing.assert_close(target.parameters.theta.double(), expected, atol=1e-6, rtol=1e-5)
    parameters.theta.zero_()
    for _ in range(20):
        target.follow(rate, ALL)
    torch.testing.assert_close(target.parameters.theta.double(), (1 - tau) ** 20 * expected, atol=1e-6, rtol=1e-4)


def test_each_agent_has_its_own_rate_and_one_that_rests_stays() -> None:
    parameters, target = moving()
    before = target.parameters.theta.clone()
    parameters.theta.add_(torch.tensor([1.0, 1.0, torch.nan]).view(3, 1, 1))
    target.follow(torch.tensor([0.5, 1.0, 1.0]), torch.tensor([True, True, False]))
    torch.testing.assert_close(target.parameters.theta[0], before[0] + 0.5)
    assert equal_bits(target.parameters.theta[1], parameters.theta[1])
    assert equal_bits(target.parameters.theta[2], before[2])


def test_its_lag_is_relative_and_each_agents_own() -> None:
    parameters, target = moving()
    assert target.lag().tolist() == [0, 0, 0]
    parameters.theta[1] *= 2
    parameters.theta[2] *= -1
    torch.testing.assert_close(target.lag(), torch.tensor([0.0, 0.5, 2.0]))


def test_it_comes_back() -> None:
    parameters, target = moving()
    parameters.theta.zero_()
    state = {name: tensor.clone() for name, tensor in target.state().items()}
    _, other = moving()
    other.parameters.theta.zero_()
    other.load(state)
    assert equal_bits(other.parameters.theta, target.parameters.theta)
    with pytest.raises(RelookError, match="expected parameters 'theta' of shape"):
        other.load({"theta": state["theta"][:2]})
