"""What a rollout is judged by, against a loop."""

import itertools

import pytest
import torch

from relook.buffers import Rollout, estimate
from relook.envs import Environments, EnvironmentSpec
from relook.networks import ActorCritic
from relook.population import Agent, Agents
from relook.population.hyperparameters import Hyperparameters


def test_estimates_value_where_each_step_led_and_nothing_else() -> None:
    """Against a loop in float64, on a rollout in which next observations have nothing to do with observations."""
    agents = Agents([Agent(a, a, {"discount": 0.9, "gae_lambda": 0.7}) for a in (0, 1)])
    spaces = Environments(EnvironmentSpec("CartPole-v1"), agents, 1).spaces
    ac, rollout, rng = ActorCritic(spaces, agents), Rollout(2, 9, 3, spaces), torch.Generator().manual_seed(3)
    rollout.observation = torch.randn(rollout.observation.shape, generator=rng)
    rollout.action = torch.randint(0, 2, rollout.action.shape, generator=rng)
    rollout.next_observation = torch.randn(rollout.observation.shape, generator=rng)
    rollout.terminated, rollout.truncated = torch.rand(2, 2, 9, 3, generator=rng) < 0.2
    reward = torch.randn(2, 9, 3, generator=rng)
    got = estimate(ac, rollout, reward, Hyperparameters(agents))
    with torch.no_grad():
        now, then = (ac.value(x.flatten(1, 2)).view(2, 9, 3) for x in (rollout.observation, rollout.next_observation))
    torch.testing.assert_close(got.value, now)
    log_prob = ac.evaluate(rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)).log_prob
    torch.testing.assert_close(got.log_prob, log_prob.view(2, 9, 3))
    assert not any(x.requires_grad for x in got)
    for a, n in itertools.product(range(2), range(3)):
        advantage = 0.0
        for t in reversed(range(9)):
            terminated, truncated = bool(rollout.terminated[a, t, n]), bool(rollout.truncated[a, t, n])
            delta = float(reward[a, t, n]) + 0.9 * (0.0 if terminated else float(then[a, t, n])) - float(now[a, t, n])
            advantage = delta + (0.0 if terminated or truncated else 0.9 * 0.7 * advantage)
            assert float(got.advantage[a, t, n]) == pytest.approx(advantage, abs=1e-5)
            assert float(got.target[a, t, n]) == pytest.approx(advantage + float(now[a, t, n]), abs=1e-5)
