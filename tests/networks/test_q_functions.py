"""Critics, Q networks and bounded policies: what they give, and their slopes against autograd in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import relu

from relook.envs import ActionSpace, ObservationSpace, Spaces
from relook.errors import RelookError, WrongRequest
from relook.networks import DeterministicActorCritic, QFunctions, QNetwork, SquashedActorCritic, from_settings
from relook.networks.continuous import LOG_STD_HIGH
from relook.population import Agent, Agents
from support import equal_bits, plain, plain_network

TWO = Agents([Agent(0, 5), Agent(1, 6)])
BOX = spaces.Box(np.array([-1, -5], np.float32), np.array([3, 0.5], np.float32))


def both(action: Any, *, rescale: bool = False) -> Spaces:
    return Spaces(ObservationSpace(spaces.Box(-9, 9, (3,))), ActionSpace(action, rescale=rescale))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def critics(count: int = 2, activation: str = "relu") -> QFunctions:
    return QFunctions(3, 2, TWO, count=count, hidden=(13, 20), activation=activation, initialisation="orthogonal")


def gradients(made: Any, theta: Any, a: int) -> dict[str, Tensor]:
    """∂θ of one agent, named as its tensors are."""
    kept = theta.theta.clone()
    theta.theta.copy_(theta.gradient)
    found = {name: tensor[a].double().clone() for name, tensor in made.learned(theta).items()}
    theta.theta.copy_(kept)
    return found


@pytest.mark.parametrize("rows", [4, 12, 7, 1])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("count", [1, 2])
def test_critics_and_their_slopes_are_autograds(count: int, activation: str, rows: int) -> None:
    kinds: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "tanh": torch.tanh}
    made, kind = critics(count, activation), kinds[activation]
    seen, action, by_value = random(2, rows, 3), random(2, rows, 2, seed=1), random(2, count, rows, seed=2)
    taught = made.evaluate(seen, action)
    taught.backward(by_value)
    frozen = made.frozen(seen, action)
    by_action = frozen.by_action(by_value)
    lowest = made.of_few(seen, action)
    for a in range(2):
        theta = plain(dict(made.learned()), a)
        acted = action[a].double().requires_grad_()
        inputs = torch.cat([seen[a].double(), acted], 1)
        q = torch.stack([plain_network(theta, group, inputs, kind)[:, 0] for group in made.groups])
        for found in (taught.value, frozen.value, made.values(seen, action)):
            torch.testing.assert_close(found[a].double(), q.detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(lowest[a].double(), q.detach().amin(0), atol=1e-5, rtol=1e-5)
        (q * by_value[a].double()).sum().backward()
        torch.testing.assert_close(by_action[a].double(), acted.grad, atol=1e-5, rtol=1e-5)
        slopes = gradients(made.network, made.parameters, a)
        assert slopes.keys() == theta.keys()
        for name, slope in slopes.items():
            torch.testing.assert_close(slope, theta[name].grad, atol=1e-5, rtol=1e-5)


def test_one_critic_alone_points_where_it_points_among_two() -> None:
    made = critics()
    seen, action = random(2, 8, 3), random(2, 8, 2, seed=1)
    one, two = made.frozen(seen, action, group="q2"), made.frozen(seen, action)
    torch.testing.assert_close(one.value[:, 0], two.value[:, 1])
    by_value = torch.zeros(2, 2, 8)
    by_value[:, 1] = random(2, 8, seed=3)
    torch.testing.assert_close(one.by_action(by_value[:, 1:]), two.by_action(by_value))


def test_twin_critics_start_different_and_agents_too() -> None:
    made = critics()
    weights = [made.learned()[f"{group}/0/weight"][a] for group in made.groups for a in range(2)]
    assert all(not torch.equal(one, other) for i, one in enumerate(weights) for other in weights[:i])


@pytest.mark.parametrize("dueling", [False, True])
def test_a_q_network_and_its_slopes_are_autograds(dueling: bool) -> None:
    net = QNetwork(both(spaces.Discrete(4)), TWO, hidden=(13,), dueling=dueling)
    seen, by_value = random(2, 8, 3), random(2, 8, 4, seed=1)
    now = net.evaluate(seen)
    now.backward(by_value)
    for a in range(2):
        theta = plain(net.network.learned(net.parameters), a)
        q = plain_network(theta, "q", seen[a].double(), relu)
        if dueling:
            q = q[:, :1] + q[:, 1:] - q[:, 1:].mean(1, keepdim=True)
        torch.testing.assert_close(now.value[a].double(), q.detach(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net.q(seen)[a].double(), q.detach(), atol=1e-5, rtol=1e-5)
        assert torch.equal(net.act_deterministically(seen)[a, :, 0], q.argmax(1))
        torch.testing.assert_close(net.value(seen)[a].double(), q.detach().amax(1), atol=1e-5, rtol=1e-5)
        (q * by_value[a].double()).sum().backward()
        for name, slope in gradients(net.network, net.parameters, a).items():
            torch.testing.assert_close(slope, theta[name].grad, atol=1e-5, rtol=1e-5)


def test_dueling_advantages_have_no_mean() -> None:
    net = QNetwork(both(spaces.Discrete(4)), TWO, dueling=True)
    output = net.network.one(net.parameters, "q", random(2, 4, 3))
    torch.testing.assert_close(net.q(random(2, 4, 3)).mean(-1), output[..., 0])


@pytest.mark.parametrize("action", [spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (1,))])
def test_a_q_network_needs_one_choice(action: Any) -> None:
    with pytest.raises(WrongRequest, match="expected one choice among actions, Discrete; found"):
        QNetwork(both(action), TWO)


@pytest.mark.parametrize("action", [spaces.Discrete(2), spaces.Box(-np.inf, np.inf, (1,))])
@pytest.mark.parametrize("kind", [DeterministicActorCritic, SquashedActorCritic])
def test_a_bounded_policy_needs_bounds(kind: Any, action: Any) -> None:
    with pytest.raises(WrongRequest, match="expected continuous actions with finite bounds, Box; found"):
        kind(both(action), TWO)


def widened(made: Any, factor: float = 300.0) -> Any:
    """Its policy's last layer large, so that it does something."""
    for name, tensor in made.network.learned(made.parameters).items():
        if name.endswith("/weight"):
            tensor.mul_(factor if name == "policy/2/weight" else 1.0)
    return made


def test_a_deterministic_policy_and_its_slopes_are_autograds_and_stay_in_bounds() -> None:
    ac = widened(DeterministicActorCritic(both(BOX), TWO, hidden=(13, 20)))
    middle, half = torch.tensor([1.0, -2.25]).double(), torch.tensor([2.0, 2.75]).double()
    seen, by_action = random(2, 12, 3), random(2, 12, 2, seed=1)
    now = ac.evaluate_action(seen)
    now.backward(by_action)
    for a in range(2):
        theta = plain(ac.network.learned(ac.parameters), a)
        action = middle + half * torch.tanh(plain_network(theta, "policy", seen[a].double(), relu))
        for found in (now.action, ac.action(seen), ac.act_deterministically(seen), ac.act(seen, by_action)):
            torch.testing.assert_close(found[a].double(), action.detach(), atol=1e-5, rtol=1e-5)
        (action * by_action[a].double()).sum().backward()
        for name, slope in gradients(ac.network, ac.parameters, a).items():
            torch.testing.assert_close(slope, theta[name].grad, atol=2e-5, rtol=1e-4)
    far = ac.bounded(100 * random(2, 50, 2))
    assert (far.amax((0, 1)).tolist(), far.amin((0, 1)).tolist()) == ([3.0, 0.5], [-1.0, -5.0])
    anything = ac.anything(torch.rand(2, 1000, 2, generator=torch.Generator().manual_seed(1)))
    np.testing.assert_allclose(anything.amax((0, 1)), [3.0, 0.5], atol=0.02)
    np.testing.assert_allclose(anything.amin((0, 1)), [-1.0, -5.0], atol=0.02)


@pytest.mark.parametrize("wide", [1.0, 300.0])
def test_a_squashed_policy_and_its_slopes_are_autograds(wide: float) -> None:
    """Also where log σ is cut at its bounds, and has no slope."""
    ac = widened(SquashedActorCritic(both(BOX), TWO, hidden=(13, 20)), wide)
    middle, half = torch.tensor([1.0, -2.25]).double(), torch.tensor([2.0, 2.75]).double()
    seen, noise = random(2, 12, 3), 0.3 * random(2, 12, 2, seed=1)
    by_action, by_log_prob = random(2, 12, 2, seed=2), random(2, 12, seed=3)
    now, drawn = ac.evaluate_draw(seen, noise), ac.draw(seen, noise)
    now.backward(by_action, by_log_prob)
    cut = 0
    for a in range(2):
        theta = plain(ac.network.learned(ac.parameters), a)
        mean, free = plain_network(theta, "policy", seen[a].double(), relu).chunk(2, 1)
        log_std = free.clamp(-20, LOG_STD_HIGH)
        cut += int((log_std != free).sum())
        u = mean + log_std.exp() * noise[a].double()
        action = middle + half * u.tanh()
        # log(1 - tanh² u) = 2 log sech u
        slope_of_tanh = -2 * torch.log(torch.cosh(u))
        log_prob = (torch.distributions.Normal(mean, log_std.exp()).log_prob(u) - slope_of_tanh - half.log()).sum(1)
        for found in (now, drawn):
            torch.testing.assert_close(found.action[a].double(), action.detach(), atol=2e-5, rtol=1e-4)
            torch.testing.assert_close(found.log_prob[a].double(), log_prob.detach(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ac.act(seen, noise)[a].double(), action.detach(), atol=2e-5, rtol=1e-4)
        best = middle + half * mean.tanh()
        torch.testing.assert_close(ac.act_deterministically(seen)[a].double(), best.detach(), atol=2e-5, rtol=1e-4)
        ((action * by_action[a].double()).sum() + (log_prob * by_log_prob[a].double()).sum()).backward()
        for name, slope in gradients(ac.network, ac.parameters, a).items():
            torch.testing.assert_close(slope, theta[name].grad, atol=2e-4, rtol=1e-3)
    assert (cut > 0) == (wide > 1)


@pytest.mark.parametrize("initialisation", ["orthogonal", "uniform"])
def test_networks_start_as_they_were_asked_to(initialisation: str) -> None:
    ac = SquashedActorCritic(both(BOX), TWO, hidden=(64, 64), initialisation=initialisation)
    learned = ac.learned()
    weight, bias = learned["q1/1/weight"][0], learned["q1/1/bias"][0]
    if initialisation == "orthogonal":
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(64), atol=1e-5, rtol=0)
        assert not bias.any()
    else:
        for tensor in (weight, bias):
            assert tensor.abs().max() <= 1 / 8
            assert tensor.std() == pytest.approx(3**-0.5 / 8, rel=0.25)
    with pytest.raises(WrongRequest, match="initialisation among orthogonal, uniform; found 'zero'"):
        SquashedActorCritic(both(BOX), TWO, initialisation="zero")


MADE: dict[str, Any] = {
    "QNetwork": lambda **more: QNetwork(both(spaces.Discrete(3)), TWO, hidden=(8,), dueling=True, **more),
    "DeterministicActorCritic": lambda **more: DeterministicActorCritic(both(BOX), TWO, hidden=(8,), critics=2, **more),
    "SquashedActorCritic": lambda **more: SquashedActorCritic(both(BOX), TWO, hidden=(8,), activation="tanh", **more),
}


@pytest.mark.parametrize("kind", MADE)
def test_networks_come_back_from_their_settings_and_state(kind: str) -> None:
    first = MADE[kind](initialisation="uniform")
    place = both(spaces.Discrete(3) if kind == "QNetwork" else BOX)
    strangers = Agents([Agent(0, 77), Agent(1, 78)])
    again = from_settings(kind, place, strangers, {**first.settings, "hidden": [8]})
    assert again.settings == first.settings
    assert any(not torch.equal(tensor, again.state()[name]) for name, tensor in first.state().items())
    again.load(first.state())
    assert all(equal_bits(tensor, again.state()[name]) for name, tensor in first.state().items())
    seen = random(2, 4, 3)
    assert equal_bits(first.act_deterministically(seen), again.act_deterministically(seen))
    assert equal_bits(first.value(seen), again.value(seen))
    missing = {name: tensor for name, tensor in first.state().items() if not name.endswith("0/bias")}
    with pytest.raises(RelookError, match="expected parameters"):
        again.load(missing)


def test_networks_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(RelookError, match=r"networks of a kind among ActorCritic, QNetwork, .*; found 'os.system'"):
        from_settings("os.system", both(BOX), TWO, {})
