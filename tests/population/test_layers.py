"""Stacked layers: right for each agent, and bit for bit the same alone and among others."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from relook.networks.mlp import MLP
from relook.population import Adam, Agent, Agents, Parameters, linear, pad_rows, padded_width, use_threads
from relook.population.layers import LARGE, ROWS, WIDTH, linear_slope_by_input, linear_slopes

pytestmark = pytest.mark.usefixtures("one_thread")

TEN = Agents([Agent(index, index) for index in range(10)])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 8), (8, 1), (3, 64), (64, 6), (64, 64)])
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_linear_is_torchs_for_each_agent(rows: int, inputs: int, outputs: int) -> None:
    x, weight, bias = normal(3, rows, inputs), normal(3, inputs, outputs, seed=1), normal(3, 1, outputs, seed=2)
    y = linear(x, weight, bias)
    assert y.shape == (3, rows, outputs)
    for a in range(3):
        torch.testing.assert_close(y[a], functional.linear(x[a], weight[a].T, bias[a, 0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 8), (8, 1), (3, 64), (64, 6), (20, 24), (64, 256)])
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_the_gradients_of_linear_are_matrix_products_for_each_agent(rows: int, inputs: int, outputs: int) -> None:
    """Of x: ∂ Wᵀ; of W: xᵀ ∂; of b: the sum of ∂ over the batch."""
    x, weight, cotangent = (
        normal(3, *shape, seed=seed).double()
        for seed, shape in enumerate([(rows, inputs), (inputs, outputs), (rows, outputs)])
    )
    _, *gradients = gradients_and_output(x, weight, normal(3, 1, outputs, seed=3).double(), cotangent)
    assert [gradient.shape for gradient in gradients] == [x.shape, weight.shape, (3, 1, outputs)]
    for a in range(3):
        expected = [cotangent[a] @ weight[a].T, x[a].T @ cotangent[a], cotangent[a].sum(0, keepdim=True)]
        for gradient, other in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient[a], other, rtol=1e-12, atol=1e-12)


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
    by_weight, by_bias = torch.empty_like(weight), torch.empty_like(bias)
    linear_slopes(x, cotangent, by_weight, by_bias)
    return [linear(x, weight, bias), linear_slope_by_input(weight, cotangent), by_weight, by_bias]


def same_bits(x: Tensor, y: Tensor) -> bool:
    return x.contiguous().numpy().tobytes() == y.contiguous().numpy().tobytes()


@pytest.mark.parametrize("rows", [ROWS, 3 * ROWS, 64])
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [(1, WIDTH), (WIDTH, 1), (1, 1), (3, 64), (17, 24), (64, 6), (24, 2), (64, 64), (256, 12), (256, 1), (64, 256)],
)
def test_a_layer_and_its_gradients_are_the_same_alone_and_among_ten(rows: int, inputs: int, outputs: int) -> None:
    shapes = (rows, inputs), (inputs, outputs), (1, outputs), (rows, outputs)
    arguments = [normal(10, *shape, seed=seed) for seed, shape in enumerate(shapes)]
    together = gradients_and_output(*arguments)
    assert len(together) == 4
    for a in range(10):
        alone = gradients_and_output(*(x[a : a + 1] for x in arguments))
        assert all(same_bits(x[0], y[a]) for x, y in zip(alone, together, strict=True))


GROUPS = ("policy", "value")


def trained(agents: Agents, mlp: MLP, x: Tensor, steps: int) -> tuple[tuple[Tensor, ...], Parameters, Adam]:
    parameters = Parameters(len(agents), GROUPS, mlp.shapes)
    mlp.initialise(parameters, agents)
    optimiser = Adam(parameters)
    everyone = torch.ones(len(agents), dtype=torch.bool)
    rates = {"policy": 0.01 * everyone, "value": 0.02 * everyone}
    outputs: tuple[Tensor, ...] = ()
    for _ in range(steps):
        outputs, backward = mlp(parameters, x)
        backward([2 * (output - 1) / output[0].numel() for output in outputs])
        highest = torch.full((len(agents),), 0.5)
        optimiser.step(rates, active=dict.fromkeys(GROUPS, everyone), max_norm=highest)
    return outputs, parameters, optimiser


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "rows"),
    [
        (1, (8,), (1, 1), 1),
        (4, (13, 20), (2, 1), 5),
        (3, (64, 64), (1, 1), 64),
        (17, (5,), (6, 1), 30),
        (1, (1,), (3, 1), 7),
        (4, (), (2, 1), 3),
        (4, (), (1, 1), 3),
    ],
)
def test_a_trained_network_is_the_same_alone_and_among_ten(
    inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...], rows: int, activation: str
) -> None:
    mlp = MLP(GROUPS, inputs, hidden, outputs, activation=activation, output_gains=(0.5, 1.0))
    x = normal(10, rows, inputs)
    together, parameters, optimiser = trained(TEN, mlp, x, steps=3)
    ones = [mlp.one(parameters, group, x) for group in GROUPS]
    for a in (0, 4, 9):
        alone, own, its_optimiser = trained(Agents([TEN[a]]), mlp, x[a : a + 1], steps=3)
        assert all(same_bits(x[0], y[a]) for x, y in zip(alone, together, strict=True))
        assert same_bits(own.theta[0], parameters.theta[a])
        assert same_bits(own.gradient[0], parameters.gradient[a])
        assert same_bits(its_optimiser.moments["second_moment"][0], optimiser.moments["second_moment"][a])
        for group, output in zip(GROUPS, ones, strict=True):
            assert same_bits(mlp.one(own, group, x[a : a + 1])[0], output[a])
    start = Parameters(len(TEN), GROUPS, mlp.shapes)
    mlp.initialise(start, TEN)
    assert (parameters.theta != start.theta).any(2).all()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("hidden", [(13, 20), (5,), (1, 7, 9)])
def test_padding_stays_zero_through_training(hidden: tuple[int, ...], activation: str) -> None:
    """The units that fill a width up to a multiple of 8, and the outputs that only another group has."""
    mlp = MLP(GROUPS, 3, hidden, (2, 1), activation=activation, output_gains=(1.0, 1.0))
    _, parameters, optimiser = trained(TEN, mlp, normal(10, 6, 3), steps=10)
    used = Parameters(len(TEN), GROUPS, mlp.shapes)
    for view in mlp.learned(used).values():
        view.fill_(1.0)
    widths = [3, *hidden]
    inside = sum((rows + 1) * columns for rows, columns in pairwise(widths))
    assert (used.theta == 1).sum(2).tolist() == [[inside + (hidden[-1] + 1) * 2, inside + hidden[-1] + 1]] * 10
    padding = used.theta == 0
    assert padding.any(2).all()
    for stored in (
        parameters.theta,
        parameters.gradient,
        optimiser.moments["first_moment"],
        optimiser.moments["second_moment"],
    ):
        assert (stored[padding] == 0).all()
    assert ((optimiser.moments["second_moment"] != 0) & ~padding).any(2).all()


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    use_threads(1)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("m", "rows", "inputs", "outputs"),
    [(1, 256, 256, 256), (2, 256, 256, 256), (3, 252, 300, 304), (6, 100, 400, 300), (6, 256, 23, 256), (5, 4, 64, 8)],
)
def test_large_products_have_the_same_bits_on_any_number_of_threads(
    m: int, rows: int, inputs: int, outputs: int
) -> None:
    x, weight, bias = normal(m, rows, inputs), normal(m, inputs, outputs, seed=1), normal(m, 1, outputs, seed=2)
    slope = normal(m, rows, outputs, seed=3)
    found = []
    for number in (1, 2, 3):
        use_threads(number)
        found.append(gradients_and_output(x, weight, bias, slope))
        assert torch.get_num_threads() == 1, "nothing else has more than one thread"
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.usefixtures("threads")
def test_only_large_products_have_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    right = torch.baddbmm

    def watch(*args: Tensor) -> Tensor:
        seen.append(torch.get_num_threads())
        return right(*args)

    monkeypatch.setattr(torch, "baddbmm", watch)
    side = round(LARGE ** (1 / 3)) + 1
    use_threads(2)
    for size in (8, side):
        linear(normal(1, size, size), normal(1, size, size), normal(1, 1, size))
    assert seen == [1, 2]
