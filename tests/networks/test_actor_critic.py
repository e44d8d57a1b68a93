"""A policy and a value function: what they give, what they learn apart, and what survives a round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Normal

from relook.envs import ActionSpace, ObservationSpace, Spaces
from relook.errors import RelookError
from relook.networks import MLP, ActorCritic, from_settings
from relook.networks.mlp import Backward
from relook.population import Agent, Agents, Parameters
from relook.population.parameters import Shapes
from support import equal_bits

OBSERVATIONS = spaces.Tuple((spaces.Box(-5, 5, (2,)), spaces.Discrete(3)))
ACTIONS: dict[str, gym.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "ragged": spaces.MultiDiscrete([2, 5, 3]),
    "binary": spaces.MultiBinary(4),
    "box": spaces.Box(-1, 1, (2,)),
    "box of one": spaces.Box(-1, 1, (1,)),
}
EVERY_SPACE = pytest.mark.parametrize("space", ACTIONS.values(), ids=ACTIONS.keys())


def population(*seeds: int) -> Agents:
    return Agents([Agent(index, seed) for index, seed in enumerate(seeds)])


THREE = population(0, 1, 2)


def built(space: gym.Space[Any] = ACTIONS["box"], agents: Agents = THREE, **settings: Any) -> ActorCritic:
    both = Spaces(ObservationSpace(OBSERVATIONS), ActionSpace(space))
    return ActorCritic(both, agents, **{"hidden": (13, 20)} | settings)


def observations(rows: int, agents: int = 3, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    one_hot = np.eye(3)[rng.integers(0, 3, size=(agents, rows))]
    return torch.tensor(np.concatenate([3 * rng.normal(size=(agents, rows, 2)) + 1, one_hot], -1), dtype=torch.float32)


def disturb(ac: ActorCritic, seed: int = 0) -> None:
    """Other numbers everywhere but in the padding, and statistics that have moved."""
    generator = torch.Generator().manual_seed(seed)
    state = ac.state()
    ac.load(
        {
            name: tensor
            + (0 if name.startswith("normaliser") else 0.1 * torch.randn(tensor.shape, generator=generator))
            for name, tensor in state.items()
        }
    )
    ac.observe(observations(50, agents=len(next(iter(state.values()))), seed=seed))


def plain(ac: ActorCritic, space: gym.Space[Any], x: Tensor, action: Tensor) -> list[Tensor]:
    """Log π(a|s), the entropy and V(s), agent by agent in float64 from the state that is kept."""
    state = {name: tensor.double() for name, tensor in ac.state().items()}
    x = x.double()
    if ac.normaliser is not None:
        mean, variance = (state[f"normaliser/{name}"].unsqueeze(1) for name in ("mean", "variance"))
        x[..., :2] = ((x - mean) / (variance + 1e-8).sqrt()).clamp(-10, 10)[..., :2]  # what is one-hot is left alone

    def network(group: str, a: int) -> Tensor:
        out = x[a]
        for i in range(3):
            out = out @ state[f"{group}/{i}/weight"][a] + state[f"{group}/{i}/bias"][a]
            out = out.tanh() if i < 2 else out
        return out

    results = []
    kind: Any = ActionSpace(space).kind
    for a in range(len(x)):
        output = network("policy", a)
        if "policy/log_std" in state:
            parts: list[Any] = [Normal(output, state["policy/log_std"][a].exp().expand_as(output))]
            log_prob, entropy = parts[0].log_prob(action[a].double()).sum(-1), parts[0].entropy().sum(-1)
        else:
            parts = [Categorical(logits=logits) for logits in torch.split(output, list(kind.sizes), -1)]
            log_prob = torch.stack([own.log_prob(action[a, :, k]) for k, own in enumerate(parts)]).sum(0)
            entropy = torch.stack([own.entropy() for own in parts]).sum(0)
        results.append((log_prob, entropy, network("value", a).squeeze(-1)))
    return [torch.stack(parts) for parts in zip(*results, strict=True)]


@EVERY_SPACE
@pytest.mark.parametrize("normalise", [False, True])
def test_an_evaluation_is_that_of_plain_networks_and_torchs_distributions(
    space: gym.Space[Any], normalise: bool
) -> None:
    ac, x = built(space, normalise=normalise), observations(7)
    disturb(ac)
    action = ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    assert action.shape == (3, 7, ActionSpace(space).width)
    assert not action.requires_grad
    given = ac.evaluate(x, action)
    for mine, other in zip(given[:3], plain(ac, space, x, action), strict=True):
        assert mine.shape == (3, 7)
        assert not mine.requires_grad
        torch.testing.assert_close(mine.double(), other, rtol=1e-4, atol=1e-4)
    value = ac.value(x)
    assert not value.requires_grad
    torch.testing.assert_close(value, given.value, rtol=1e-5, atol=1e-6)


@EVERY_SPACE
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.usefixtures("one_thread")
def test_an_agent_acts_and_is_valued_alone_as_among_others(space: gym.Space[Any], normalise: bool, rows: int) -> None:
    """Bit for bit."""
    seeds = range(5)
    among = built(space, population(*seeds), normalise=normalise)
    disturb(among)
    x, noise = observations(rows, 5), among.noise(population(*seeds), "explore", 0, (rows,))
    action = among.act(x, noise)
    together = action, among.act_deterministically(x), among.value(x), *among.evaluate(x, action)[:3]
    for a in seeds:
        own = slice(a, a + 1)
        agent = population(a)
        alone = built(space, agent, normalise=normalise)
        alone.load({name: tensor[own] for name, tensor in among.state().items()})
        assert torch.equal(alone.noise(agent, "explore", 0, (rows,)), noise[own])
        its = alone.act(x[own], noise[own]), alone.act_deterministically(x[own]), alone.value(x[own])
        for mine, other in zip((*its, *alone.evaluate(x[own], action[own])[:3]), together, strict=True):
            assert equal_bits(mine[0], other[a])


@EVERY_SPACE
def test_the_deterministic_action_is_the_most_probable_of_many_drawn(space: gym.Space[Any]) -> None:
    ac = built(space)
    disturb(ac)
    x = observations(1).expand(3, 100, -1)
    mode = ac.act_deterministically(x)
    best = ac.evaluate(x, mode).log_prob
    action = ac.act(x, ac.noise(THREE, "explore", 0, (100,)))
    log_prob = ac.evaluate(x, action).log_prob
    assert (log_prob <= best + 1e-6).all()
    assert (action != mode).any()


@EVERY_SPACE
def test_actions_are_drawn_from_the_policy_that_is_evaluated(space: gym.Space[Any]) -> None:
    """The mean of -log π over many draws is the entropy, which drawing from another policy would miss."""
    ac = built(space)
    disturb(ac)
    rows = 20_000
    x = observations(1).expand(3, rows, -1)
    action = ac.act(x, ac.noise(THREE, "explore", 0, (rows,)))
    log_prob, entropy, *_ = ac.evaluate(x, action)
    spread = log_prob.std(1) / rows**0.5
    assert ((-log_prob.mean(1) - entropy[:, 0]).abs() < 4 * spread + 1e-5).all()


def test_the_first_policy_is_nearly_the_same_whatever_it_sees_and_values_are_not() -> None:
    ac, x = built(ACTIONS["discrete"]), observations(50)
    entropy = ac.evaluate(x, torch.zeros(3, 50, 1, dtype=torch.int64)).entropy
    assert (entropy > np.log(3) - 1e-3).all()
    assert (ac.value(x).std(1) > 0.1).all()


@pytest.mark.parametrize("space", [ACTIONS["box"], ACTIONS["ragged"]], ids=["box", "ragged"])
def test_each_loss_gives_gradients_to_its_own_group_only(space: gym.Space[Any]) -> None:
    ac, x = built(space), observations(7)
    disturb(ac)
    action = ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    of_one, of_none = torch.ones(3, 7), torch.zeros(3, 7)
    slopes = {
        "policy": (of_one, of_none, None),
        "policy's entropy": (of_none, of_none, of_one),
        "value": (of_none, of_one, of_none),
    }
    for loss_of, slope in slopes.items():
        ac.evaluate(x, action).backward(*slope)
        for g, group in enumerate(ac.parameters.groups):
            assert (ac.parameters.gradient[:, g] != 0).any(1).tolist() == [loss_of.startswith(group)] * 3


def test_a_loss_of_one_agent_gives_gradients_to_this_agent_only() -> None:
    ac, x = built(), observations(7)
    disturb(ac)
    slope = torch.zeros(3, 7)
    slope[1] = 1.0
    ac.evaluate(x, ac.act(x, ac.noise(THREE, "explore", 0, (7,)))).backward(slope, slope, slope)
    assert (ac.parameters.gradient != 0).any(2).tolist() == [[False] * 2, [True] * 2, [False] * 2]


def test_only_observe_moves_the_normaliser_and_then_policy_and_value_see_it() -> None:
    ac, x = built(normalise=True), observations(7)
    disturb(ac)
    before = ac.act_deterministically(x), ac.value(x)
    ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    assert torch.equal(ac.act_deterministically(x), before[0])
    assert torch.equal(ac.value(x), before[1])
    ac.observe(100 * observations(20, seed=5))
    assert not torch.equal(ac.act_deterministically(x), before[0])
    assert not torch.equal(ac.value(x), before[1])


def test_without_normalise_observe_does_nothing() -> None:
    ac, x = built(), observations(7)
    before = ac.value(x)
    ac.observe(100 * x)
    assert ac.normaliser is None
    assert torch.equal(ac.value(x), before)


@EVERY_SPACE
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("agents", [1, 3])
def test_a_state_survives_the_round_trip(space: gym.Space[Any], normalise: bool, agents: int) -> None:
    seeds, others = range(agents), range(10, 10 + agents)
    first = built(space, population(*seeds), normalise=normalise)
    second = built(space, population(*others), normalise=normalise)
    disturb(first)
    x = observations(7, agents)
    assert not torch.equal(second.value(x), first.value(x))
    second.load(first.state())
    assert torch.equal(second.value(x), first.value(x))
    noise = first.noise(population(*seeds), "explore", 0, (7,))
    assert torch.equal(first.act(x, noise), second.act(x, noise))
    state, again = first.state(), second.state()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert torch.equal(first.parameters.theta, second.parameters.theta)


def test_a_state_holds_no_padding() -> None:
    state = built(normalise=True).state()
    assert {name: tuple(tensor.shape[1:]) for name, tensor in state.items()} == {
        "policy/0/weight": (5, 13),
        "policy/0/bias": (13,),
        "policy/1/weight": (13, 20),
        "policy/1/bias": (20,),
        "policy/2/weight": (20, 2),
        "policy/2/bias": (2,),
        "policy/log_std": (2,),
        "value/0/weight": (5, 13),
        "value/0/bias": (13,),
        "value/1/weight": (13, 20),
        "value/1/bias": (20,),
        "value/2/weight": (20, 1),
        "value/2/bias": (1,),
        "normaliser/count": (),
        "normaliser/mean": (5,),
        "normaliser/variance": (5,),
    }
    assert all(len(tensor) == 3 for tensor in state.values())


@pytest.mark.parametrize("agents", [1, 3])
@pytest.mark.parametrize("hidden", [(13, 20), (16,)])
def test_a_state_is_a_copy_that_learning_does_not_change(agents: int, hidden: tuple[int, ...]) -> None:
    ac = built(agents=population(*range(agents)), hidden=hidden, normalise=True)
    disturb(ac)
    state = ac.state()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    ac.parameters.theta.add_(1.0)
    ac.observe(observations(9, agents, seed=9))
    assert [name for name in state if not torch.equal(state[name], kept[name])] == []


@pytest.mark.parametrize("name", ["policy/0/weight", "policy/log_std", "value/2/bias", "normaliser/mean"])
def test_a_state_that_lacks_a_tensor_is_refused_and_changes_nothing(name: str) -> None:
    ac = built(normalise=True)
    before = {key: tensor.clone() for key, tensor in ac.state().items()}
    state = {key: tensor + 1 for key, tensor in before.items() if key != name}
    with pytest.raises(RelookError, match=rf"expected parameters '{name}' of shape .*; found nothing"):
        ac.load(state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in ac.state().items())


@pytest.mark.parametrize("name", ["policy/0/weight", "policy/log_std", "value/2/bias", "normaliser/mean"])
@pytest.mark.parametrize("wrong", ["transposed", "too many agents", "broadcastable"])
def test_a_tensor_of_the_wrong_shape_is_refused_and_changes_nothing(name: str, wrong: str) -> None:
    ac = built(normalise=True)
    before = {key: tensor.clone() for key, tensor in ac.state().items()}
    right = before[name]
    shape = {"transposed": right.mT.shape, "too many agents": (4, *right.shape[1:]), "broadcastable": (1,)}[wrong]
    state = {key: tensor + 1 for key, tensor in before.items()} | {name: torch.ones(shape)}
    with pytest.raises(RelookError, match=rf"expected parameters '{name}' of shape \[3, .*\]; found \["):
        ac.load(state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in ac.state().items())


@EVERY_SPACE
def test_settings_build_the_same_networks_again(space: gym.Space[Any]) -> None:
    asked: dict[str, Any] = {"hidden": (7, 9), "activation": "relu", "initial_log_std": -1.0, "normalise": True}
    first = built(space, **asked)
    assert first.settings == asked
    both = Spaces(ObservationSpace(OBSERVATIONS), ActionSpace(space))
    second = from_settings("ActorCritic", both, THREE, {**first.settings, "hidden": [7, 9]})
    assert second.settings == asked
    state, again = first.state(), second.state()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)


@pytest.mark.parametrize(
    "change", [{"hidden": None}, {"hidden": ["wide"]}, {"activation": "sigmoid"}, {"initial_log_std": "small"}]
)
def test_settings_that_describe_nothing_are_refused(change: dict[str, object]) -> None:
    both = Spaces(ObservationSpace(OBSERVATIONS), ActionSpace(ACTIONS["box"]))
    with pytest.raises(RelookError, match="expected"):
        from_settings("ActorCritic", both, population(0), {**built().settings, **change})
    with pytest.raises(RelookError, match="expected the settings of networks"):
        from_settings("ActorCritic", both, population(0), {})


def test_the_relative_distance_is_over_all_groups_and_each_agents_own() -> None:
    ac = built()
    theta = ac.parameters.theta
    before = theta.clone()
    assert ac.relative_distance(before).tolist() == [0, 0, 0]
    theta[0, 0] *= 1.5
    theta[2] *= 1.25
    expected = torch.stack([0.5 * before[0, 0].norm() / before[0].norm(), torch.zeros(()), torch.tensor(0.25)])
    torch.testing.assert_close(ac.relative_distance(before), expected)


# ------------------------------------------------------------------------------------------------ networks of one's own


class Affine:
    """x W + b for the policy, and one number for the value whatever it sees."""

    shapes: Mapping[str, tuple[int, ...]] = {}

    def __init__(self, inputs: int, outputs: Sequence[int]) -> None:
        self.asked = inputs, tuple(outputs)
        self.own: dict[str, Shapes] = {
            "policy": {"policy/w": (inputs, outputs[0]), "policy/b": (1, outputs[0])},
            "value": {"value/b": (1, 1)},
        }

    def initialise(self, parameters: Parameters, agents: Agents) -> None:
        for name in self.learned(parameters):
            parameters.set(name, agents.normal(f"initialise/{name}", 0, tuple(parameters[name].shape[1:])))

    def learned(self, parameters: Parameters) -> dict[str, Tensor]:
        return {name: parameters[name].detach() for own in self.own.values() for name in own}

    def __call__(self, parameters: Parameters, x: Tensor) -> tuple[tuple[Tensor, ...], Backward]:
        def backward(slopes: Sequence[Tensor]) -> None:
            parameters.gradient_of("policy/w").copy_(x.mT @ slopes[0])
            parameters.gradient_of("policy/b").copy_(slopes[0].sum(1, keepdim=True))
            parameters.gradient_of("value/b").copy_(slopes[1].sum(1, keepdim=True))

        return (self.one(parameters, "policy", x), self.one(parameters, "value", x)), backward

    @torch.no_grad()
    def one(self, parameters: Parameters, group: str, x: Tensor) -> Tensor:
        if group == "policy":
            return x @ parameters["policy/w"] + parameters["policy/b"]
        return parameters["value/b"].expand(*x.shape[:2], 1)


@EVERY_SPACE
def test_networks_of_ones_own_are_asked_for_the_spaces_sizes_and_act_value_and_learn(space: gym.Space[Any]) -> None:
    ac, x = built(space, networks=Affine), observations(7)
    assert isinstance(ac.networks, Affine)
    outputs = sum(getattr(ActionSpace(space).kind, "sizes", (ActionSpace(space).width,)))
    assert ac.networks.asked == (5, (outputs, 1))
    state = ac.state()
    learned = {"policy/w": (3, 5, outputs), "policy/b": (3, 1, outputs), "value/b": (3, 1, 1)}
    log_std = {"policy/log_std": (3, outputs)} if isinstance(space, spaces.Box) else {}
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == learned | log_std
    assert all((state[name] != 0).all() for name in learned)
    output = x @ state["policy/w"] + state["policy/b"]
    torch.testing.assert_close(ac.act_deterministically(x), ac.policy.mode(output))
    torch.testing.assert_close(ac.value(x), state["value/b"].squeeze(2).expand(3, 7))
    ones = torch.ones(3, 7)
    ac.evaluate(x, ac.act(x, ac.noise(THREE, "explore", 0, (7,)))).backward(ones, 2 * ones)
    for name in state:
        assert (ac.parameters.gradient[:, ["policy", "value"].index(name.split("/")[0])] != 0).any(1).all()
    assert ac.parameters.gradient_of("value/b").tolist() == [[[14.0]]] * 3
    other = built(space, population(7, 8, 9), networks=Affine)
    other.load(state)
    assert torch.equal(other.act_deterministically(x), ac.act_deterministically(x))


def test_without_other_networks_they_are_perceptrons_of_the_settings() -> None:
    ac = built(ACTIONS["ragged"], hidden=(7, 9), activation="relu")
    assert isinstance(ac.networks, MLP)
    x = observations(4)
    state = ac.state()
    hidden = x
    for i in range(2):
        hidden = (hidden @ state[f"value/{i}/weight"] + state[f"value/{i}/bias"].unsqueeze(1)).relu()
    expected = hidden @ state["value/2/weight"] + state["value/2/bias"].unsqueeze(1)
    torch.testing.assert_close(ac.value(x), expected.squeeze(-1), rtol=1e-4, atol=1e-5)
