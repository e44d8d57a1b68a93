"""Policies against torch.distributions: what is drawn, how probable it is said to be, and options that do not exist."""

from math import log
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import Categorical, Normal

from relook.envs.spaces import ActionSpace
from relook.networks import CategoricalPolicy, GaussianPolicy, policy_for
from relook.population import Agent, Agents, Parameters

AGENTS = Agents([Agent(index, index) for index in range(3)])
GROUPS = ("policy", "value")
NOTHING = Parameters(3, GROUPS, {})
ALMOST_1 = 1 - 2**-24
"""The largest float32 number below 1, which the noise can be."""


def close(x: Tensor | None, y: Tensor | None) -> None:
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


SIZES = pytest.mark.parametrize("sizes", [(3,), (1,), (2, 5, 3), (5, 2), (2, 2, 2, 2), (1, 4)], ids=str)
RAGGED = pytest.mark.parametrize("sizes", [(2, 5, 3), (5, 2), (1, 4), (3, 3, 7)], ids=str)


def outputs(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("space", "sizes"),
    [
        (spaces.Discrete(3), (3,)),
        (spaces.Discrete(3, start=-1), (3,)),
        (spaces.MultiDiscrete([2, 5, 3]), (2, 5, 3)),
        (spaces.MultiBinary(4), (2, 2, 2, 2)),
    ],
)
def test_discrete_action_spaces_get_a_categorical_policy(space: gym.Space[object], sizes: tuple[int, ...]) -> None:
    policy = policy_for(ActionSpace(space).kind, initial_log_std=0.0)
    assert isinstance(policy, CategoricalPolicy)
    assert (policy.sizes, policy.outputs, policy.shapes) == (sizes, sum(sizes), {})


def test_a_box_gets_a_gaussian_policy_that_starts_at_the_log_std_asked_for() -> None:
    policy = policy_for(ActionSpace(spaces.Box(-1, 1, (2, 3))).kind, initial_log_std=-0.5)
    assert isinstance(policy, GaussianPolicy)
    parameters = Parameters(3, GROUPS, {}, {"policy": policy.shapes})
    policy.initialise(parameters)
    assert policy.outputs == 6
    assert parameters[policy.LOG_STD].tolist() == [[-0.5] * 6] * 3


# ----------------------------------------------------------------------------------------------------- categorical


def theirs(output: Tensor, sizes: tuple[int, ...]) -> list[Any]:
    return [Categorical(logits=logits) for logits in torch.split(output, list(sizes), -1)]


def any_action(sizes: tuple[int, ...], rows: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, sizes, size=(3, rows, len(sizes))))


@SIZES
def test_categorical_log_prob_and_entropy_are_sums_over_torchs_distributions(sizes: tuple[int, ...]) -> None:
    policy, output, action = CategoricalPolicy(sizes), outputs(3, 20, sum(sizes)), any_action(sizes, 20)
    log_prob, entropy, *_ = policy.evaluate(NOTHING, output, action)
    choices = theirs(output, sizes)
    expected = sum((c.log_prob(action[..., k]) for k, c in enumerate(choices)), torch.zeros(3, 20))
    close(log_prob, expected)
    expected = sum((c.entropy() for c in choices), torch.zeros(3, 20))
    close(entropy, expected)


@SIZES
def test_the_gradient_of_a_categorical_policy_is_that_of_torchs_distributions(sizes: tuple[int, ...]) -> None:
    policy, action = CategoricalPolicy(sizes), any_action(sizes, 20)
    mine, weight = outputs(3, 20, sum(sizes)), outputs(3, 20, 2, seed=4).unbind(-1)
    other = mine.clone().requires_grad_()
    slope = policy.evaluate(NOTHING, mine, action).backward(*weight)
    for k, choice in enumerate(theirs(other, sizes)):
        part = weight[0] * choice.log_prob(action[..., k]) + weight[1] * choice.entropy()
        torch.autograd.backward([part.sum()], retain_graph=True)
    close(slope, other.grad)


@SIZES
def test_logits_are_those_of_every_choices_options_and_minus_infinity_as_good_as(sizes: tuple[int, ...]) -> None:
    output = outputs(3, 20, sum(sizes))
    logits = CategoricalPolicy(sizes).logits(output)
    assert logits.shape == (3, 20, len(sizes), max(sizes))
    for k, (n, own) in enumerate(zip(sizes, torch.split(output, list(sizes), -1), strict=True)):
        assert torch.equal(logits[..., k, :n], own)
        assert (logits[..., k, n:] < -1e29).all()


@SIZES
def test_a_drawn_action_is_one_of_the_options_and_the_same_for_the_same_noise(sizes: tuple[int, ...]) -> None:
    policy, output = CategoricalPolicy(sizes), outputs(3, 20, sum(sizes), dtype=torch.float32)
    noise = policy.noise(AGENTS, "explore", 0, (20,))
    assert noise.shape == (3, 20, len(sizes))
    action = policy.sample(NOTHING, output, noise)
    assert (action.shape, action.dtype) == ((3, 20, len(sizes)), torch.int64)
    assert (action >= 0).all()
    assert (action < torch.tensor(sizes)).all()
    assert torch.equal(policy.sample(NOTHING, output, noise), action)
    assert (policy.evaluate(NOTHING, output, action).log_prob > -100).all()


@SIZES
def test_every_choice_is_drawn_as_often_as_its_probabilities_say(sizes: tuple[int, ...]) -> None:
    policy, rows = CategoricalPolicy(sizes), 20_000
    output = outputs(3, 1, sum(sizes), dtype=torch.float32)
    noise = policy.noise(AGENTS, "explore", 0, (rows,))
    action = policy.sample(NOTHING, output.expand(3, rows, -1), noise)
    for k, choice in enumerate(theirs(output, sizes)):
        for a in range(3):
            share = torch.bincount(action[a, :, k], minlength=sizes[k]) / rows
            torch.testing.assert_close(share, choice.probs[a, 0], rtol=0, atol=4 * 0.5 / rows**0.5)


def test_choices_are_drawn_independently_of_each_other() -> None:
    policy, rows = CategoricalPolicy((2, 2, 2)), 20_000
    action = policy.sample(NOTHING, torch.zeros(3, rows, 6), policy.noise(AGENTS, "explore", 0, (rows,)))
    assert (torch.bincount((action[0] * torch.tensor([4, 2, 1])).sum(-1)) / rows - 1 / 8).abs().max() < 0.01


@RAGGED
@pytest.mark.parametrize("uniform", [0.0, 0.5, 0.999, 1 - 2**-23, ALMOST_1])
def test_an_option_that_does_not_exist_is_never_drawn(uniform: float, sizes: tuple[int, ...]) -> None:
    """Not even by the largest number that the noise can be."""
    policy, rows = CategoricalPolicy(sizes), 5000
    output = outputs(3, rows, sum(sizes), dtype=torch.float32)
    action = policy.sample(NOTHING, output, torch.full((3, rows, len(sizes)), uniform))
    assert (action < torch.tensor(sizes)).all()
    assert (policy.evaluate(NOTHING, output, action).log_prob > -1e6).all()


@RAGGED
@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_entropy_and_gradients_are_finite_beside_options_that_do_not_exist(size: float, sizes: tuple[int, ...]) -> None:
    policy = CategoricalPolicy(sizes)
    output, ones = size * outputs(3, 10, sum(sizes), dtype=torch.float32), torch.ones(3, 10)
    _, entropy, backward, _ = policy.evaluate(NOTHING, output, policy.mode(output))
    assert entropy.isfinite().all()
    assert (entropy >= 0).all()
    assert (entropy <= sum(log(n) for n in sizes) + 1e-5).all()
    assert backward(ones, ones).isfinite().all()


@SIZES
def test_the_mode_is_the_most_probable_option_of_every_choice(sizes: tuple[int, ...]) -> None:
    output = outputs(3, 20, sum(sizes)) - 100
    expected = torch.stack([logits.argmax(-1) for logits in torch.split(output, list(sizes), -1)], -1)
    assert torch.equal(CategoricalPolicy(sizes).mode(output), expected)


# -------------------------------------------------------------------------------------------------------- Gaussian


def gaussian(d: int) -> tuple[GaussianPolicy, Parameters]:
    """Every agent and component has its own log σ."""
    policy = GaussianPolicy(d, 0.0)
    parameters = Parameters(3, GROUPS, {}, {"policy": policy.shapes})
    parameters.set(policy.LOG_STD, torch.linspace(-1.5, 0.5, 3 * d).view(3, d))
    return policy, parameters


@pytest.mark.parametrize("rows", [1, 3, 20])
@pytest.mark.parametrize("d", [1, 3, 6])
def test_gaussian_log_prob_and_entropy_are_torchs(d: int, rows: int) -> None:
    policy, parameters = gaussian(d)
    output, action = outputs(3, rows, d, dtype=torch.float32), outputs(3, rows, d, seed=1, dtype=torch.float32)
    log_prob, entropy, *_ = policy.evaluate(parameters, output, action)
    std = parameters[policy.LOG_STD].double().exp().unsqueeze(1).expand(3, rows, d)
    normal: Any = Normal(output.double(), std)
    expected = normal.log_prob(action.double()).sum(-1)
    torch.testing.assert_close(log_prob.double(), expected, rtol=1e-5, atol=1e-4)
    expected = normal.entropy().sum(-1)
    assert entropy.shape == (3, rows)
    torch.testing.assert_close(entropy.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("of_log_prob", "of_entropy"), [(0.1, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_gradients_of_a_gaussian_policy_are_those_of_torchs_distribution(
    of_log_prob: float, of_entropy: float
) -> None:
    """Of log σ, which every row of an agent shares, and of the mean."""
    policy, parameters = gaussian(3)
    mean, action = outputs(3, 20, 3, dtype=torch.float32), outputs(3, 20, 3, seed=1, dtype=torch.float32)
    theirs, rows = mean.clone().double().requires_grad_(), outputs(3, 20, 2, seed=4, dtype=torch.float32)
    by_log_prob, by_entropy = of_log_prob * rows[..., 0], of_entropy * rows[..., 1]
    by_mean = policy.evaluate(parameters, mean, action).backward(by_log_prob, by_entropy if of_entropy else None)
    log_std = parameters[policy.LOG_STD].detach().double().requires_grad_()
    normal: Any = Normal(theirs, log_std.exp().unsqueeze(1).expand(3, 20, 3))
    part = normal.log_prob(action.double()).sum(-1) * by_log_prob + normal.entropy().sum(-1) * by_entropy
    torch.autograd.backward([part.sum()])
    for own, other in ((parameters.gradient_of(policy.LOG_STD), log_std.grad), (by_mean, theirs.grad)):
        assert other is not None
        torch.testing.assert_close(own.double(), other, rtol=1e-4, atol=1e-4)
    assert (parameters.gradient[:, 1] == 0).all(), "log σ is the policy's own"


def test_a_gaussian_action_is_the_mean_plus_sigma_times_noise() -> None:
    policy, parameters = gaussian(2)
    output, noise = outputs(3, 20, 2, dtype=torch.float32), policy.noise(AGENTS, "explore", 0, (20,))
    assert noise.shape == (3, 20, 2)
    action = policy.sample(parameters, output, noise)
    std = parameters[policy.LOG_STD].exp().unsqueeze(1)
    torch.testing.assert_close(action, output + std * noise)
    for a, agent in enumerate(AGENTS):
        assert torch.equal(policy.noise(Agents([agent]), "explore", 0, (20,))[0], noise[a])


def test_gaussian_actions_spread_as_log_std_says_and_around_the_output() -> None:
    policy, parameters = gaussian(2)
    rows = 50_000
    output = outputs(3, 1, 2, dtype=torch.float32).expand(3, rows, 2)
    with torch.no_grad():
        action = policy.sample(parameters, output, policy.noise(AGENTS, "explore", 0, (rows,)))
    std = parameters[policy.LOG_STD].detach().exp()
    torch.testing.assert_close(action.std(1) / std, torch.ones(3, 2), rtol=0, atol=0.02)
    torch.testing.assert_close((action - output).mean(1) / std, torch.zeros(3, 2), rtol=0, atol=0.02)


def test_the_mode_of_a_gaussian_is_its_mean() -> None:
    output = outputs(3, 20, 2)
    assert torch.equal(gaussian(2)[0].mode(output), output)
