"""Networks of any module: each agent's own, the same alone as among others, and refused where none can have them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from relook.envs import ActionSpace, ObservationSpace, Spaces
from relook.errors import WrongRequest
from relook.networks import ActorCritic, module_actor_critic
from relook.population import Agent, Agents
from support import equal_bits

SPACES = Spaces(ObservationSpace(spaces.Box(-1, 1, (5,))), ActionSpace(spaces.Box(-1, 1, (3,))))


class Body(nn.Module):
    """Layers, a normalisation that keeps to its row, and a buffer that belongs to the seed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 7), nn.LayerNorm(7), nn.SiLU(), nn.Linear(7, outputs))
        self.register_buffer("offset", torch.rand(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x) + self.offset
        return y


def built(*seeds: int) -> ActorCritic:
    agents = Agents([Agent(index, seed) for index, seed in enumerate(seeds)])
    return module_actor_critic(Body, Body)(SPACES, agents)


def outputs_and_gradient(ac: ActorCritic, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    now = ac.evaluate(x, torch.zeros(*x.shape[:2], 3))
    now.backward(torch.ones_like(now.log_prob), 2 * now.value, 0.1 * now.value)
    return now.log_prob, now.value, ac.parameters.gradient.clone()


def test_an_agent_is_the_same_alone_as_among_others() -> None:
    x = torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(1))
    among, alone = built(0, 1, 2, 3), built(2)
    for of_all, of_one in zip(outputs_and_gradient(among, x), outputs_and_gradient(alone, x[2:3]), strict=True):
        assert equal_bits(of_all[2], of_one[0])
    for name, tensor in alone.state().items():
        assert equal_bits(among.state()[name][2], tensor[0])
        assert not torch.equal(among.state()[name][1], tensor[0]) or name.endswith(("1.weight", "1.bias", "log_std"))


def test_initialisation_neither_reads_nor_moves_torchs_global_random_state() -> None:
    """The global state is set here, once for each of three times, to see that nothing follows from it."""
    torch.manual_seed(1)
    first, after_first = built(5).state(), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after_first)
    torch.manual_seed(2)
    assert all(equal_bits(tensor, first[name]) for name, tensor in built(5).state().items())


def test_outputs_and_gradients_are_those_of_the_module_itself() -> None:
    ac, x = built(7), torch.randn(1, 6, 5)
    module = Body(5, 1)
    own = {name.removeprefix("value/"): tensor[0] for name, tensor in ac.state().items() if name.startswith("value/")}
    module.load_state_dict(own)
    torch.testing.assert_close(ac.value(x)[0], module(x[0]).squeeze(1))
    for _ in range(2):  # gradients are those of the last way back alone
        now = ac.evaluate(x, torch.zeros(1, 6, 3))
        now.backward(torch.zeros(1, 6), 2 * now.value)
    torch.autograd.backward([module(x[0]).square().sum()])
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(ac.parameters.gradient_of(f"value/{name}")[0], parameter.grad)


def test_a_state_survives_the_round_trip_with_its_buffers() -> None:
    first, second, x = built(1, 2), built(3, 4), torch.randn(2, 4, 5)
    assert not torch.equal(first.value(x), second.value(x))
    second.load(first.state())
    assert torch.equal(first.value(x), second.value(x))
    assert "policy/offset" in first.state()


class HandMade(nn.Module):
    """A linear layer, with what is done to its input."""

    def __init__(self, change: Callable[[Tensor], Tensor], inputs: int, outputs: int) -> None:
        super().__init__()
        self.change, self.layer = change, nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(self.change(x))
        return y


class Counting(nn.Module):
    """Changes a buffer whenever it is used."""

    uses: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        self.register_buffer("uses", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.uses += 1
        y: Tensor = self.layer(x)
        return y


def frozen(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs).requires_grad_(False)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda i, o: nn.Sequential(nn.Linear(i, o), nn.Dropout()), "Dropout, which draws from torch's global"),
        (lambda i, o: nn.Sequential(nn.BatchNorm1d(i), nn.Linear(i, o)), "BatchNorm1d, which mixes .* use LayerNorm"),
        (lambda i, o: nn.Sequential(nn.Linear(i, o), nn.RReLU()), "RReLU, which draws"),
        (lambda i, o: HandMade(functional.dropout, i, o), "different outputs for the same input"),
        (lambda i, o: HandMade(lambda x: x - x.mean(0), i, o), "depends on the other rows"),
        (Counting, "changes its buffers"),
        (lambda i, o: nn.LazyLinear(o), "a lazy layer"),
        (lambda i, o: nn.Flatten(), "Flatten without parameters"),
        (lambda i, o: nn.Linear(i, o).double(), "not learned in float32"),
        (frozen, "not learned in float32"),
        (lambda i, o: nn.Linear(i, o + 1), r"\[4, 2\] for an input of shape \[4, 5\], where \[4, 1\]"),
    ],
)
def test_a_module_that_an_agent_cannot_have_is_refused_with_a_reason(factory: Any, said: str) -> None:
    with pytest.raises(WrongRequest, match=f"expected a value network .*{said}"):
        module_actor_critic(Body, factory)(SPACES, Agents([Agent(0, 0)]))


class WithLogStd(Body):
    """Learns something by the name under which a Gaussian policy learns its own."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.log_std = nn.Parameter(torch.zeros(outputs))


def test_a_policy_network_cannot_take_a_name_of_the_policys_own() -> None:
    with pytest.raises(WrongRequest, match="expected a policy network without a parameter log_std"):
        module_actor_critic(WithLogStd, Body)(SPACES, Agents([Agent(0, 0)]))
    module_actor_critic(Body, WithLogStd)(SPACES, Agents([Agent(0, 0)]))


def test_layers_that_the_modules_would_ignore_are_refused() -> None:
    with pytest.raises(WrongRequest, match="leave hidden and activation"):
        module_actor_critic(Body, Body)(SPACES, Agents([Agent(0, 0)]), hidden=(8,))
