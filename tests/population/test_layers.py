"""Stacked layers: right for each agent, and bit for bit the same alone and among others."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from relook.networks.mlp import MLP
from relook.population import Adam, Agent, Agents, Parameters, linear, pad_rows, padded_width
from relook.population.layers import ROWS, WIDTH
from relook.population.selfcheck import single_threaded


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """What every training process sets: sums that are split over threads round differently."""
    before = torch.get_num_threads()
    single_threaded()
    yield
    torch.set_num_threads(before)


TEN = Agents([Agent(index, index) for index in range(10)])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 8), (8, 1), (3, 64), (64, 6), (64, 64)])
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_linear_is_torchs_for_each_agent(rows: int, inputs: int, outputs: int) -> None:
    x, weight, bias = normal(3, rows, inputs), normal(3, inputs, outputs, seed=1), normal(3, outputs, seed=2)
    y = linear(x, weight, bias)
    assert y.shape == (3, rows, outputs)
    for a in range(3):
        torch.testing.assert_close(y[a], functional.linear(x[a], weight[a].T, bias[a]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "padded"), [(1, 4), (3, 4), (4, 4), (5, 8), (64, 64)])
def test_pad_rows_appends_zeros_up_to_a_multiple_of_4(rows: int, padded: int) -> None:
    x = normal(2, rows, 3)
    y = pad_rows(x)
    assert y.shape == (2, padded, 3)
    assert torch.equal(y[:, :rows], x)
    assert (y[:, rows:] == 0).all()


@pytest.mark.parametrize(("width", "padded"), [(1, 8), (7, 8), (8, 8), (9, 16), (64, 64), (65, 72)])
def test_padded_width_is_the_next_multiple_of_8(width: int, padded: int) -> None:
    assert padded_width(width) == padded


def gradients_and_output(x: Tensor, weight: Tensor, bias: Tensor, cotangent: Tensor) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    y = linear(*leaves)
    torch.autograd.backward([(y * cotangent).sum()])
    return [y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def same_bits(x: Tensor, y: Tensor) -> bool:
    return x.contiguous().numpy().tobytes() == y.contiguous().numpy().tobytes()


@pytest.mark.parametrize("rows", [ROWS, 3 * ROWS, 64])
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, WIDTH), (WIDTH, 1), (1, 1), (3, 64), (17, 24), (64, 6), (24, 2), (64, 64)]
)
def test_a_layer_and_its_gradients_are_the_same_alone_and_among_ten(rows: int, inputs: int, outputs: int) -> None:
    shapes = (rows, inputs), (inputs, outputs), (outputs,), (rows, outputs)
    arguments = [normal(10, *shape, seed=seed) for seed, shape in enumerate(shapes)]
    together = gradients_and_output(*arguments)
    assert len(together) == 4
    for a in range(10):
        alone = gradients_and_output(*(x[a : a + 1] for x in arguments))
        assert all(same_bits(x[0], y[a]) for x, y in zip(alone, together, strict=True))


def trained(agents: Agents, mlp: MLP, x: Tensor, steps: int) -> tuple[Tensor, Parameters, Adam]:
    parameters = Parameters(len(agents), mlp.shapes)
    mlp.initialise(parameters, agents)
    optimiser = Adam({"all": parameters})
    everyone = torch.ones(len(agents), dtype=torch.bool)
    output = torch.empty(0)
    for _ in range(steps):
        optimiser.zero_gradient()
        output = mlp(parameters, x)
        torch.autograd.backward([(output - 1).square().mean((1, 2)).sum()])
        optimiser.step(0.01 * everyone, active={"all": everyone}, max_norm=torch.full((len(agents),), 0.5))
    return output.detach(), parameters, optimiser


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "rows"),
    [(1, (8,), 1, 1), (4, (13, 20), 2, 5), (3, (64, 64), 1, 64), (17, (5,), 6, 30), (1, (1,), 3, 7), (4, (), 2, 3)],
)
def test_a_trained_network_is_the_same_alone_and_among_ten(
    inputs: int, hidden: tuple[int, ...], outputs: int, rows: int, activation: str
) -> None:
    mlp = MLP("net", inputs, hidden, outputs, activation=activation)
    x = normal(10, rows, inputs)
    output, parameters, _ = trained(TEN, mlp, x, steps=3)
    for a in (0, 4, 9):
        own_output, own, _ = trained(Agents([TEN[a]]), mlp, x[a : a + 1], steps=3)
        assert same_bits(own_output[0], output[a])
        assert same_bits(own.theta[0], parameters.theta[a])
        assert same_bits(own.gradient[0], parameters.gradient[a])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(13, 20), (5,), (1, 7, 9)])
def test_padding_stays_zero_through_training(hidden: tuple[int, ...], activation: str) -> None:
    mlp = MLP("net", 3, hidden, 2, activation=activation)
    _, parameters, optimiser = trained(TEN, mlp, normal(10, 6, 3), steps=10)
    used = Parameters(len(TEN), mlp.shapes)
    for name in mlp.shapes:
        mlp.without_padding(name, used[name].detach()).fill_(1.0)
    padding = used.theta == 0
    assert padding.any(1).all()
    moments = (optimiser.first_moment["all"], optimiser.second_moment["all"])
    for stored in (parameters.theta, parameters.gradient, *moments):
        assert (stored[padding] == 0).all()
    assert (optimiser.second_moment["all"][~padding] != 0).any()
