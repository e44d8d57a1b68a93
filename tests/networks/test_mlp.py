"""Stacked perceptrons against plain ones in float64, forwards and backwards, and how they start."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.errors import WrongRequest
from relook.networks import MLP
from relook.population import Agent, Agents, Parameters

SHAPES = pytest.mark.parametrize(
    ("inputs", "hidden", "outputs"),
    [
        (4, (64, 64), (2, 1)),
        (3, (13, 20), (1, 1)),
        (1, (5,), (3, 1)),
        (17, (8, 1, 30), (1, 6)),
        (1, (1,), (1, 1)),
        (2, (), (3, 2)),
        (4, (), (1, 1)),
        (1, (), (2, 1)),
        (40, (8,), (12, 1)),
        (5, (7,), (4,)),
        (5, (16, 9), (2, 1, 7)),
    ],
)
ROWS = pytest.mark.parametrize("rows", [1, 7, 8])
ACTIVATION = pytest.mark.parametrize("activation", ["tanh", "relu"])


def population(*seeds: int) -> Agents:
    return Agents([Agent(index, seed, {"rate": float(index)}) for index, seed in enumerate(seeds)])


def built(inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...], activation: str = "tanh") -> MLP:
    """The output gains are 0.01, 1, 2 …"""
    groups, gains = ("policy", "value", "cost"), (0.01, 1.0, 2.0)
    n = len(outputs)
    return MLP(groups[:n], inputs, hidden, outputs, activation=activation, output_gains=gains[:n])


def initialised(mlp: MLP, agents: Agents) -> Parameters:
    parameters = Parameters(len(agents), mlp.groups, mlp.shapes)
    mlp.initialise(parameters, agents)
    return parameters


def disturbed(mlp: MLP, agents: int, seed: int = 0) -> Parameters:
    """Weights of about the size that keeps a layer's output from growing, and biases other than 0."""
    parameters = Parameters(agents, mlp.groups, mlp.shapes)
    for i, view in enumerate(mlp.learned(parameters).values()):
        rows = view.shape[1] if view.dim() == 3 else 1
        view.copy_(normal(*view.shape, seed=1000 * seed + i) / rows**0.5)
    return parameters


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of float32, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def layers(learned: dict[str, Tensor], group: str) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of all layers of a group."""
    weights = [name for name in learned if name.startswith(f"{group}/") and name.endswith("/weight")]
    assert weights == [f"{group}/{i}/weight" for i in range(len(weights))]
    return [(learned[name], learned[name.replace("weight", "bias")]) for name in weights]


# ------------------------------------------------------------------------------------------------------------- start


@SHAPES
def test_learned_are_views_without_padding_of_everything_that_is_used(
    inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    mlp = built(inputs, hidden, outputs)
    parameters = Parameters(3, mlp.groups, mlp.shapes)
    learned = mlp.learned(parameters)
    expected: dict[str, tuple[int, ...]] = {}
    for group, width in zip(mlp.groups, outputs, strict=True):
        for i, (rows, columns) in enumerate(pairwise((inputs, *hidden, width))):
            expected |= {f"{group}/{i}/weight": (3, rows, columns), f"{group}/{i}/bias": (3, columns)}
    assert {name: tuple(view.shape) for name, view in learned.items()} == expected
    for number, view in enumerate(learned.values(), start=1):
        assert not view.requires_grad
        view.fill_(number)
    for number, (name, view) in enumerate(learned.items(), start=1):
        g = mlp.groups.index(name.split("/")[0])
        assert (view == number).all(), "no two views overlap"
        assert (parameters.theta == number).sum((0, 2)).tolist() == [
            view.numel() * (other == g) for other in range(len(mlp.groups))
        ]


@SHAPES
def test_weights_start_orthogonal_with_gain_root_2_in_hidden_layers_and_the_groups_output_gain_at_the_output(
    inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    mlp = built(inputs, hidden, outputs)
    learned = mlp.learned(initialised(mlp, population(0, 5)))
    for group, output_gain in zip(mlp.groups, (0.01, 1.0, 2.0), strict=False):
        for i, (weight, _) in enumerate(layers(learned, group)):
            gain = output_gain if i == len(hidden) else 2**0.5
            for w in weight.numpy().astype(np.float64):
                gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
                np.testing.assert_allclose(gram, gain**2 * np.eye(min(w.shape)), atol=1e-6 * gain**2)


@SHAPES
def test_biases_and_padding_start_at_0(inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    mlp = built(inputs, hidden, outputs)
    parameters = initialised(mlp, population(0, 5))
    weights = 0
    for group in mlp.groups:
        for weight, bias in layers(mlp.learned(parameters), group):
            assert (bias == 0).all()
            assert (weight != 0).all()
            weights += weight.numel()
    assert (parameters.theta != 0).sum() == weights


def test_initial_weights_depend_on_the_agents_seed_only() -> None:
    mlp = built(4, (13, 20), (2, 1))
    alone = initialised(mlp, population(3)).theta[0]
    together = initialised(mlp, population(0, 1, 3, 3)).theta
    assert torch.equal(together[2], alone)
    assert torch.equal(together[3], alone)
    assert not torch.isclose(together[0], together[1])[together[0] != 0].any()


def test_a_groups_initial_weights_do_not_depend_on_the_other_groups() -> None:
    several, single = built(4, (13, 20), (2, 5)), built(4, (13, 20), (2,))
    mine, own = (mlp.learned(initialised(mlp, population(3))) for mlp in (several, single))
    assert all(torch.equal(mine[name], own[name]) for name in own)


def test_layers_and_networks_start_differently() -> None:
    mlp = MLP(("policy", "value"), 8, (8, 8), (8, 8), output_gains=(2**0.5, 2**0.5))
    learned = mlp.learned(initialised(mlp, population(0)))
    start = [weight for group in mlp.groups for weight, _ in layers(learned, group)]
    assert len(start) == 6
    for i, one in enumerate(start):
        assert not any(torch.isclose(one, other).all() for other in start[:i])


def test_initial_matrices_are_uniformly_distributed_not_only_orthogonal() -> None:
    """A plain QR decomposition gives all square matrices the same determinant."""
    mlp = MLP(("policy",), 3, (), (3,), output_gains=(1.0,))
    weight = mlp.learned(initialised(mlp, population(*range(400))))["policy/0/weight"]
    positive = (torch.linalg.det(weight) > 0).float().mean().item()
    assert abs(positive - 0.5) < 0.1
    assert weight.mean(0).abs().max() < 5 * (1 / 3 / 400) ** 0.5
    np.testing.assert_allclose(weight.square().mean(0), 1 / 3, atol=0.08)


# --------------------------------------------------------------------------------------------- forwards and backwards


class Plain:
    """Every agent's networks one by one, without padding, in float64."""

    def __init__(self, mlp: MLP, parameters: Parameters, activation: str = "tanh") -> None:
        self.groups, self.relu = mlp.groups, activation == "relu"
        self.tensors = {name: view.double().requires_grad_() for name, view in mlp.learned(parameters).items()}

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.stack([self.one(group, a, rows) for a, rows in enumerate(x)]) for group in self.groups)

    def one(self, group: str, agent: int, x: Tensor) -> Tensor:
        *hidden, (weight, bias) = layers(self.tensors, group)
        for w, b in hidden:
            x = x @ w[agent] + b[agent]
            x = x.clamp(min=0) if self.relu else x.tanh()
        return x @ weight[agent] + bias[agent]

    def gradients(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(x) if x.grad is None else x.grad for name, x in self.tensors.items()}


def gradients(mlp: MLP, parameters: Parameters) -> dict[str, Tensor]:
    """Those of the parameters, by name and without padding; in the padding there must be none."""
    mirror = Parameters(len(parameters.theta), mlp.groups, mlp.shapes)
    used = mlp.learned(mirror)
    for view in used.values():
        view.fill_(1.0)
    assert (parameters.gradient[mirror.theta == 0] == 0).all()
    mirror.theta.copy_(parameters.gradient)
    return used


def assert_close(mine: Tensor | None, other: Tensor | None) -> None:
    """As close as float32 comes to float64, measured by the largest number."""
    assert mine is not None
    assert other is not None
    largest = other.detach().abs().max().item()
    torch.testing.assert_close(mine.double(), other, rtol=0, atol=1e-5 * (1 + largest))


def assert_same_gradients(mlp: MLP, parameters: Parameters, plain: Plain) -> None:
    mine, other = gradients(mlp, parameters), plain.gradients()
    assert mine.keys() == other.keys()
    for name, gradient in mine.items():
        assert_close(gradient, other[name])


@SHAPES
@ACTIVATION
@ROWS
def test_forward_is_a_plain_network_for_each_agent_and_group(
    rows: int, activation: str, inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    mlp = built(inputs, hidden, outputs, activation)
    parameters, x = disturbed(mlp, 3), normal(3, rows, inputs)
    expected = Plain(mlp, parameters, activation)(x)
    given, _ = mlp(parameters, x.float())
    assert [output.shape for output in given] == [(3, rows, width) for width in outputs]
    for group, output, other in zip(mlp.groups, given, expected, strict=True):
        assert_close(output, other)
        alone = mlp.one(parameters, group, x.float())
        assert_close(alone, other)
        assert alone.shape == output.shape
        assert not alone.requires_grad
        assert not output.requires_grad


@SHAPES
@ACTIVATION
@ROWS
def test_the_way_back_gives_the_gradients_of_plain_networks(
    rows: int, activation: str, inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """Against autograd in float64, with another slope for every number of every output."""
    mlp = built(inputs, hidden, outputs, activation)
    parameters, x = disturbed(mlp, 3), normal(3, rows, inputs)
    plain = Plain(mlp, parameters, activation)
    slopes = [normal(3, rows, width, seed=10 + g) for g, width in enumerate(outputs)]
    _, backward = mlp(parameters, x.float())
    backward([slope.float() for slope in slopes])
    torch.autograd.backward(plain(x), slopes)
    assert_same_gradients(mlp, parameters, plain)
    if activation == "tanh":  # which lets every gradient through
        assert all((gradient != 0).all() for gradient in gradients(mlp, parameters).values())


@ACTIVATION
@pytest.mark.parametrize("rows", [6, 8])
def test_gradients_are_those_of_the_last_way_back_alone(rows: int, activation: str) -> None:
    """Nobody can forget to clear them; and one pass forwards may be followed back twice."""
    mlp = built(3, (13, 20), (2, 1), activation)
    parameters, x = disturbed(mlp, 3), normal(3, rows, 3)
    plain = Plain(mlp, parameters, activation)
    slopes = [normal(3, rows, width, seed=width) for width in (2, 1)]
    _, backward = mlp(parameters, x.float())
    _, another = mlp(parameters, normal(3, rows, 3, seed=5).float())
    for way in (backward, another, backward):
        way([slope.float() for slope in slopes])
    torch.autograd.backward(plain(x), slopes)
    assert_same_gradients(mlp, parameters, plain)


@pytest.mark.parametrize("outputs", [(3, 1), (2, 2)])
@pytest.mark.parametrize("used", [0, 1])
def test_a_slope_of_one_output_gives_gradients_to_its_group_alone(used: int, outputs: tuple[int, ...]) -> None:
    mlp = built(3, (13, 20), outputs)
    parameters = disturbed(mlp, 3)
    _, backward = mlp(parameters, normal(3, 6, 3).float())
    backward([torch.full((3, 6, width), float(g == used)) for g, width in enumerate(outputs)])
    assert (parameters.gradient != 0).any(2).tolist() == [[used == 0, used == 1]] * 3


def test_slopes_of_one_agents_rows_give_gradients_to_this_agent_alone() -> None:
    mlp = built(3, (13, 20), (2, 1))
    parameters = disturbed(mlp, 3)
    _, backward = mlp(parameters, normal(3, 6, 3).float())
    slopes = [torch.zeros(3, 6, width) for width in (2, 1)]
    for slope in slopes:
        slope[1] = 1.0
    backward(slopes)
    assert (parameters.gradient != 0).any(2).tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_the_default_activation_is_tanh() -> None:
    mlp = MLP(("policy",), 1, (1,), (1,), output_gains=(1.0,))
    parameters = initialised(mlp, population(0))
    for name, view in mlp.learned(parameters).items():
        view.fill_(1.0 if name.endswith("weight") else 0.0)
    x = torch.tensor([[[-2.0]]])
    torch.testing.assert_close(mlp(parameters, x)[0][0], x.tanh())


@pytest.mark.parametrize("activation", ["sigmoid", "Tanh", ""])
def test_an_activation_that_there_is_not_is_refused(activation: str) -> None:
    with pytest.raises(WrongRequest, match="expected an activation among tanh, relu; found"):
        built(4, (8,), (2, 1), activation=activation)


@pytest.mark.parametrize("hidden", [(0,), (8, -1), (8, 0, 8)])
def test_a_layer_without_units_is_refused(hidden: tuple[int, ...]) -> None:
    with pytest.raises(WrongRequest, match="at least one unit"):
        built(4, hidden, (2, 1))


# -------------------------------------------------------------------------------------------- one group, linearised


@SHAPES
@ACTIVATION
@ROWS
def test_a_linearised_network_is_the_same_network_and_has_its_gradients(
    rows: int, activation: str, inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """For one group at a time, as often as one likes, and without a trace in the other groups."""
    mlp = built(inputs, hidden, outputs, activation)
    parameters, x = disturbed(mlp, 3), normal(3, rows, inputs)
    plain = Plain(mlp, parameters, activation)
    for g, (group, width) in enumerate(zip(mlp.groups, outputs, strict=True)):
        parameters.gradient.zero_()
        net = mlp.linearised(parameters, group, x.float())
        assert_close(net.output, plain(x)[g])
        slope = normal(3, rows, width, seed=g)
        net.backward(normal(3, rows, width, seed=99).float())
        net.backward(slope.float())
        for tensor in plain.tensors.values():
            tensor.grad = None
        torch.autograd.backward([plain(x)[g]], [slope])
        assert_same_gradients(mlp, parameters, plain)


@SHAPES
@ACTIVATION
@ROWS
def test_the_way_forward_is_the_derivative_along_a_direction(
    rows: int, activation: str, inputs: int, hidden: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    """Against torch's derivative in float64; the direction has a part in every tensor."""
    mlp = built(inputs, hidden, outputs, activation)
    parameters, x = disturbed(mlp, 3), normal(3, rows, inputs)
    direction, plain = disturbed(mlp, 3, seed=7), Plain(mlp, parameters, activation)
    along = {name: view.double() for name, view in mlp.learned(direction).items()}
    for g, group in enumerate(mlp.groups):
        net = mlp.linearised(parameters, group, x.float())
        moved = net.forward(parameters.tensors_of(direction.theta[:, g], group))
        reach, ends = 1e-6, []
        for sign in (-1, 1):
            shifted = Plain(mlp, parameters, activation)
            shifted.tensors = {name: t.detach() + sign * reach * along[name] for name, t in plain.tensors.items()}
            ends.append(shifted(x)[g])
        assert_close(moved, (ends[1] - ends[0]) / (2 * reach))
