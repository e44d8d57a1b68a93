"""A policy and a value function: what they give, what they learn apart, and what survives a round trip."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from relook.envs import ActionSpace, ObservationSpace, Spaces
from relook.errors import RelookError
from relook.networks import ActorCritic
from relook.population import Agent, Agents

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


@EVERY_SPACE
@pytest.mark.parametrize("normalise", [False, True])
def test_the_log_prob_of_a_drawn_action_is_what_it_is_learned_from(space: gym.Space[Any], normalise: bool) -> None:
    ac = built(space, normalise=normalise)
    disturb(ac)
    x = observations(7)
    action, log_prob = ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    again, entropy = ac.log_prob_and_entropy(x, action)
    assert action.shape == (3, 7, ActionSpace(space).width)
    assert log_prob.shape == entropy.shape == (3, 7)
    assert not log_prob.requires_grad
    assert torch.equal(again, log_prob)


@EVERY_SPACE
def test_the_deterministic_action_is_the_most_probable_of_many_drawn(space: gym.Space[Any]) -> None:
    ac = built(space)
    disturb(ac)
    x = observations(1).expand(3, 100, -1)
    mode = ac.act_deterministically(x)
    best, _ = ac.log_prob_and_entropy(x, mode)
    action, log_prob = ac.act(x, ac.noise(THREE, "explore", 0, (100,)))
    assert (log_prob <= best + 1e-6).all()
    assert (action != mode).any()


def test_the_first_policy_is_nearly_the_same_whatever_it_sees_and_values_are_not() -> None:
    ac, x = built(ACTIONS["discrete"]), observations(50)
    _, entropy = ac.log_prob_and_entropy(x, torch.zeros(3, 50, 1, dtype=torch.int64))
    assert (entropy > np.log(3) - 1e-3).all()
    assert (ac.value(x).std(1) > 0.1).all()


@pytest.mark.parametrize("space", [ACTIONS["box"], ACTIONS["ragged"]], ids=["box", "ragged"])
def test_each_loss_gives_gradients_to_its_own_group_only(space: gym.Space[Any]) -> None:
    ac, x = built(space), observations(7)
    disturb(ac)
    action, _ = ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    log_prob, entropy = ac.log_prob_and_entropy(x, action)
    for loss_of, loss in {"policy": log_prob, "policy's entropy": entropy, "value": ac.value(x)}.items():
        for group in ac.parameters.values():
            group.zero_gradient()
        torch.autograd.backward([loss.sum()], retain_graph=True)
        for name, group in ac.parameters.items():
            assert (group.gradient != 0).any(1).tolist() == [loss_of.startswith(name)] * 3


def test_a_loss_of_one_agent_gives_gradients_to_this_agent_only() -> None:
    ac, x = built(), observations(7)
    disturb(ac)
    action, _ = ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    torch.autograd.backward([ac.value(x)[1].sum() + ac.log_prob_and_entropy(x, action)[0][1].sum()])
    for group in ac.parameters.values():
        assert (group.gradient != 0).any(1).tolist() == [False, True, False]


def test_only_observe_moves_the_normaliser_and_then_policy_and_value_see_it() -> None:
    ac, x = built(normalise=True), observations(7)
    disturb(ac)
    before = ac.act_deterministically(x), ac.value(x).detach()
    ac.act(x, ac.noise(THREE, "explore", 0, (7,)))
    assert torch.equal(ac.act_deterministically(x), before[0])
    assert torch.equal(ac.value(x), before[1])
    ac.observe(100 * observations(20, seed=5))
    assert not torch.equal(ac.act_deterministically(x), before[0])
    assert not torch.equal(ac.value(x), before[1])


def test_without_normalise_observe_does_nothing() -> None:
    ac, x = built(), observations(7)
    before = ac.value(x).detach()
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
    for mine, other in zip(first.act(x, noise), second.act(x, noise), strict=True):
        assert torch.equal(mine, other)
    state, again = first.state(), second.state()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    for group in ("policy", "value"):
        assert torch.equal(first.parameters[group].theta, second.parameters[group].theta)


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
    for group in ac.parameters.values():
        group.theta.add_(1.0)
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
    second = ActorCritic.from_settings(both, THREE, {**first.settings, "hidden": [7, 9]})
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
        ActorCritic.from_settings(both, population(0), {**built().settings, **change})
    with pytest.raises(RelookError, match="expected the settings of an actor-critic"):
        ActorCritic.from_settings(both, population(0), {})


def test_the_relative_distance_is_over_all_groups_and_each_agents_own() -> None:
    ac = built()
    before = [group.theta.clone() for group in ac.parameters.values()]
    assert ac.relative_distance(before).tolist() == [0, 0, 0]
    ac.parameters["policy"].theta[0] *= 1.5
    for group in ac.parameters.values():
        group.theta[2] *= 1.25
    whole = torch.cat(before, 1)[0].norm()
    expected = torch.stack([0.5 * before[0][0].norm() / whole, torch.zeros(()), torch.tensor(0.25)])
    torch.testing.assert_close(ac.relative_distance(before), expected)
