"""Stacked perceptrons against plain numpy ones, and how they start."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from relook.errors import WrongRequest
from relook.networks import MLP
from relook.population import Agent, Agents, Parameters

SHAPES = pytest.mark.parametrize(
    ("inputs", "hidden", "outputs"),
    [(4, (64, 64), 2), (3, (13, 20), 1), (1, (5,), 3), (17, (8, 1, 30), 6), (1, (1,), 1), (2, (), 3), (40, (8,), 12)],
)


def population(*seeds: int) -> Agents:
    return Agents([Agent(index, seed, {"rate": float(index)}) for index, seed in enumerate(seeds)])


def initialised(mlp: MLP, agents: Agents) -> Parameters:
    parameters = Parameters(len(agents), mlp.shapes)
    mlp.initialise(parameters, agents)
    return parameters


def used(mlp: MLP, parameters: Parameters, name: str) -> Tensor:
    return mlp.without_padding(name, parameters[name].detach())


@SHAPES
def test_weights_start_orthogonal_with_gain_root_2_in_hidden_layers_and_the_output_gain_at_the_output(
    inputs: int, hidden: tuple[int, ...], outputs: int
) -> None:
    mlp = MLP("policy", inputs, hidden, outputs, output_gain=0.01)
    parameters = initialised(mlp, population(0, 5))
    widths = (inputs, *hidden, outputs)
    for i, layer in enumerate(mlp.layers):
        weight = used(mlp, parameters, f"{layer}/weight").numpy().astype(np.float64)
        assert weight.shape == (2, widths[i], widths[i + 1])
        gain = 0.01 if i == len(hidden) else 2**0.5
        for w in weight:
            gram = w @ w.T if widths[i] <= widths[i + 1] else w.T @ w
            np.testing.assert_allclose(gram, gain**2 * np.eye(min(w.shape)), atol=1e-6 * gain**2)


@SHAPES
def test_biases_and_padding_start_at_0(inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
    mlp = MLP("policy", inputs, hidden, outputs)
    parameters = initialised(mlp, population(0, 5))
    for layer in mlp.layers:
        assert (parameters[f"{layer}/bias"] == 0).all()
        weight = used(mlp, parameters, f"{layer}/weight")
        assert (weight != 0).all()
        assert (parameters[f"{layer}/weight"] != 0).sum() == weight.numel()
    assert (parameters.theta != 0).sum() == sum(used(mlp, parameters, f"{x}/weight").numel() for x in mlp.layers)


def test_initial_weights_depend_on_the_agents_seed_only() -> None:
    mlp = MLP("policy", 4, (13, 20), 2)
    alone = initialised(mlp, population(3)).theta[0]
    together = initialised(mlp, population(0, 1, 3, 3)).theta
    assert torch.equal(together[2], alone)
    assert torch.equal(together[3], alone)
    assert not torch.isclose(together[0], together[1])[together[0] != 0].any()


def test_layers_and_networks_start_differently() -> None:
    policy, value = (MLP(name, 8, (8, 8), 8, output_gain=2**0.5) for name in ("policy", "value"))
    agents = population(0)
    start = [initialised(mlp, agents)[f"{layer}/weight"].detach() for mlp in (policy, value) for layer in mlp.layers]
    assert len(start) == 6
    for i, one in enumerate(start):
        assert not any(torch.isclose(one, other).all() for other in start[:i])


def test_initial_matrices_are_uniformly_distributed_not_only_orthogonal() -> None:
    """A plain QR decomposition gives all square matrices the same determinant."""
    mlp = MLP("policy", 3, (), 3)
    weight = used(mlp, initialised(mlp, population(*range(400))), "policy/0/weight")
    positive = (torch.linalg.det(weight) > 0).float().mean().item()
    assert abs(positive - 0.5) < 0.1
    assert weight.mean(0).abs().max() < 5 * (1 / 3 / 400) ** 0.5
    np.testing.assert_allclose(weight.square().mean(0), 1 / 3, atol=0.08)


def numpy_mlp(mlp: MLP, parameters: Parameters, agent: int, x: NDArray[np.float64], relu: bool) -> NDArray[np.float64]:
    """One agent's network without padding, in float64."""
    for layer in mlp.layers:
        weight, bias = (used(mlp, parameters, f"{layer}/{part}")[agent].double().numpy() for part in ("weight", "bias"))
        x = x @ weight + bias
        if layer != mlp.layers[-1]:
            x = np.maximum(x, 0) if relu else np.tanh(x)
    return x


@SHAPES
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("rows", [1, 7, 8])
def test_forward_is_a_plain_network_for_each_agent(
    rows: int, activation: str, inputs: int, hidden: tuple[int, ...], outputs: int
) -> None:
    rng = np.random.default_rng(0)
    mlp = MLP("policy", inputs, hidden, outputs, activation=activation)
    parameters = initialised(mlp, population(0, 1, 2))
    for layer in mlp.layers:
        bias = used(mlp, parameters, f"{layer}/bias")
        bias.copy_(torch.from_numpy(rng.normal(size=bias.shape)))
    x = rng.normal(size=(3, rows, inputs))
    out = mlp(parameters, torch.tensor(x, dtype=torch.float32)).detach().numpy()
    assert out.shape == (3, rows, outputs)
    for agent in range(3):
        expected = numpy_mlp(mlp, parameters, agent, x[agent], relu=activation == "relu")
        np.testing.assert_allclose(out[agent], expected, rtol=1e-5, atol=1e-5)


def test_the_default_activation_is_tanh() -> None:
    mlp = MLP("policy", 1, (1,), 1)
    parameters = initialised(mlp, population(0))
    for layer in mlp.layers:
        used(mlp, parameters, f"{layer}/weight").fill_(1.0)
    x = torch.tensor([[[-2.0]]])
    torch.testing.assert_close(mlp(parameters, x).detach(), x.tanh())


@pytest.mark.parametrize("activation", ["sigmoid", "Tanh", ""])
def test_an_activation_that_there_is_not_is_refused(activation: str) -> None:
    with pytest.raises(WrongRequest, match="expected an activation among tanh, relu; found"):
        MLP("policy", 4, (8,), 2, activation=activation)


@pytest.mark.parametrize("hidden", [(0,), (8, -1), (8, 0, 8)])
def test_a_layer_without_units_is_refused(hidden: tuple[int, ...]) -> None:
    with pytest.raises(WrongRequest, match="at least one unit"):
        MLP("policy", 4, hidden, 2)
