"""A2C: an update against a plain float64 version, and its iterations of several rollouts."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relook.algorithms import a2c as a2c_module
from relook.algorithms.a2c import Config, update
from relook.formulas.returns import gae
from relook.runs.files import read_lines
from support import plain, plain_log_prob, plain_network, plain_policy, played, population, train, work

INF = float("inf")
SMALL = Config(envs=3, horizon=5, rollouts=4, hidden=(16, 8))
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "adam": {"optimiser": "adam", "learning_rate": 1e-3},
    "never clipped": {"max_gradient_norm": INF, "value_coefficient": 0.1},
    "clipped together": {"clip_together": True, "max_gradient_norm": 0.1},
    "entropy": {"entropy_coefficient": 0.2},
    "generalised, normalised": {"gae_lambda": 0.7, "normalise_advantages": True},
}


def plain_update(theta: dict[str, Tensor], optimiser: Any, samples: list[Tensor], config: Config) -> dict[str, float]:
    """A2C's update of a single agent, as a textbook would write it: n-step returns by a loop. Moves `theta`."""
    observation, action, following, reward, terminated, truncated = samples
    flat = observation.flatten(0, 1)
    value = plain_network(theta, "value", flat)[:, 0]
    v = value.detach().view_as(reward)
    led_to = plain_network(theta, "value", following.flatten(0, 1))[:, 0].detach().view_as(reward)
    steps, environments = reward.shape
    target = torch.zeros_like(reward)
    for n in range(environments):
        ahead = led_to[-1, n]
        for t in reversed(range(steps)):
            if terminated[t, n]:
                ahead = torch.zeros(())
            elif truncated[t, n] or t == steps - 1:
                ahead = led_to[t, n]
            else:  # the λ-return looks λ of its way at the return and the rest at V
                ahead = config.gae_lambda * ahead + (1 - config.gae_lambda) * led_to[t, n]
            target[t, n] = ahead = reward[t, n] + config.discount * ahead
    advantage = (target - v).flatten()
    if config.normalise_advantages:
        advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    now = plain_policy(theta, flat)
    loss = -(plain_log_prob(now, action.flatten(0, 1)) * advantage).mean()
    error = (value - target.flatten()).square().mean()
    entropy = now.entropy().mean()
    optimiser.zero_grad()
    (loss + config.value_coefficient * error - config.entropy_coefficient * entropy).backward()
    groups = [[x for name, x in theta.items() if name.startswith(group)] for group in ("policy", "value")]
    norm = torch.cat([x.grad.flatten() for x in theta.values() if x.grad is not None]).norm()
    for group in [[*groups[0], *groups[1]]] if config.clip_together else groups:
        torch.nn.utils.clip_grad_norm_(group, config.max_gradient_norm)
    optimiser.step()
    return {
        "policy_loss": loss.item(),
        "value_loss": error.item(),
        "entropy": entropy.item(),
        "gradient_norm": norm.item(),
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("environment", ["CartPole-v1", "HalfCheetah-v5"])
def test_updates_equal_the_plain_float64_version(environment: str, case: str) -> None:
    """Several, so that what the optimiser remembers matters; ends of both kinds, anywhere."""
    config = replace(SMALL, **CASES[case])
    agents = population(config, [5, 6])
    rollout, ac, optimiser, h = played(environment, config, agents)
    rng = torch.Generator().manual_seed(2)
    before = {name: tensor.clone() for name, tensor in ac.state().items()}
    thetas = [plain(before, a) for a in range(2)]
    settings: dict[str, Any] = {"lr": config.learning_rate, "eps": config.epsilon}
    theirs = [
        torch.optim.Adam([*theta.values()], **settings)
        if config.optimiser == "adam"
        else torch.optim.RMSprop([*theta.values()], alpha=0.99, **settings)
        for theta in thetas
    ]
    for _ in range(3):
        rollout.reward = torch.randn(rollout.reward.shape, generator=rng)
        rollout.terminated, rollout.truncated = torch.rand(2, *rollout.reward.shape, generator=rng) < 0.2
        estimates, told = update(ac, optimiser, rollout, rollout.reward, agents.alive, config, h)
        for a, (theta, other) in enumerate(zip(thetas, theirs, strict=True)):
            fields = (rollout.observation, rollout.action, rollout.next_observation, rollout.reward)
            samples = [x[a].double() if x.is_floating_point() else x[a] for x in fields]
            means = plain_update(theta, other, [*samples, rollout.terminated[a], rollout.truncated[a]], config)
            assert {name: told[name][a].item() for name in means} == pytest.approx(means, rel=5e-3, abs=1e-4)
    after = ac.state()
    for a, theta in enumerate(thetas):
        for name, tensor in theta.items():
            torch.testing.assert_close(after[name][a].double(), tensor.detach(), atol=1e-4, rtol=5e-3)
            assert not torch.equal(after[name][a], before[name][a]), f"{name} did not move"
    advantage = gae(
        rollout.reward,
        estimates.value,
        torch.zeros_like(rollout.reward),
        torch.ones_like(rollout.terminated),
        rollout.truncated,
        h.discount,
        h.gae_lambda,
    )
    torch.testing.assert_close(advantage + estimates.value, rollout.reward)  # what is returned are the old values


def test_an_iteration_makes_an_update_after_each_of_its_rollouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the policy that the one before left, on what came next in the same episodes; metrics are means."""
    seen: list[dict[str, Any]] = []
    original = a2c_module.update

    def watch(ac: Any, optimiser: Any, rollout: Any, reward: Tensor, *rest: Any) -> Any:
        log_prob = ac.evaluate(rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)).log_prob
        out = original(ac, optimiser, rollout, reward, *rest)
        seen.append(
            {
                "first": rollout.observation[:, 0].clone(),
                "last": rollout.next_observation[:, -1].clone(),
                "ends": (rollout.terminated | rollout.truncated)[:, -1].clone(),
                "log_prob": log_prob,
                "told": out[1],
                "steps": optimiser.steps.clone(),
            }
        )
        return out

    monkeypatch.setattr(a2c_module, "update", watch)
    config = replace(SMALL, scale_rewards=False)
    train(work(tmp_path, "CartPole-v1", population(config, [0, 1]), config, iterations=3))
    of_training = seen[-12:]
    for number, (one, following) in enumerate(itertools.pairwise(of_training)):
        goes_on = ~one["ends"]
        assert torch.equal(one["last"][goes_on], following["first"][goes_on])
        assert (one["steps"] == number + 1).all()
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 0, 1, 1, 2, 2]
    assert [row["steps"] for row in rows] == [60, 60, 120, 120, 180, 180]
    for row in rows:
        four = of_training[4 * row["iteration"] :][:4]
        for name in ("policy_loss", "value_loss", "entropy", "gradient_norm"):
            assert row[name] == pytest.approx(sum(one["told"][name][row["agent"]].item() for one in four) / 4, rel=1e-4)
