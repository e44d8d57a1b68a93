"""REINFORCE: an update against plain episodes in float64, and which steps it learns from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from relook.algorithms import reinforce as reinforce_module
from relook.algorithms.reinforce import Config, update
from relook.buffers import Rollout
from relook.cli.main import main
from relook.envs import EnvironmentSpec
from relook.runs.files import read_lines
from support import plain, plain_log_prob, plain_network, plain_policy, played, population, train, work

LIMIT = 30
SMALL = Config(envs=2, horizon=16, value_epochs=3, hidden=(16, 8), discount=0.9, scale_rewards=False)
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "without baseline": {"baseline": "none"},
    "raw advantages": {"normalise_advantages": False},
    "neither": {"baseline": "none", "normalise_advantages": False, "discount": 1.0},
}


def episodes(rollout: Rollout, a: int, n: int) -> list[range]:
    """The steps of every episode of one environment that ended in this iteration."""
    found, begin = [], 0
    for t in range(rollout.reward.shape[1]):
        if rollout.terminated[a, t, n] or rollout.truncated[a, t, n]:
            if t >= rollout.past:
                found.append(range(begin, t + 1))
            begin = t + 1
    return found


def plain_update(theta: dict[str, Tensor], rollout: Rollout, a: int, config: Config) -> dict[str, float]:
    """REINFORCE's update of a single agent, episode by episode, as a textbook would write it; moves `theta`."""
    observation: list[Tensor] = []
    action: list[Tensor] = []
    returns: list[float] = []
    for n in range(config.envs):
        for steps in episodes(rollout, a, n):
            following = 0.0
            if config.baseline == "value" and not rollout.terminated[a, steps[-1], n]:
                last = rollout.next_observation[a, steps[-1], n].double()
                following = plain_network(theta, "value", last.unsqueeze(0)).item()
            own = []
            for t in reversed(steps):
                following = rollout.reward[a, t, n].item() + config.discount * following
                own.append(following)
            returns += reversed(own)
            observation += [rollout.observation[a, t, n].double() for t in steps]
            action += [rollout.action[a, t, n] for t in steps]
    seen, done, target = torch.stack(observation), torch.stack(action), torch.tensor(returns, dtype=torch.float64)
    policy = [tensor for name, tensor in theta.items() if name.startswith("policy")]
    value = [tensor for name, tensor in theta.items() if name.startswith("value")]
    with torch.no_grad():
        baseline = plain_network(theta, "value", seen)[:, 0] if config.baseline == "value" else torch.zeros_like(target)
    advantage = target - baseline
    if config.normalise_advantages:
        advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    now = plain_policy(theta, seen)
    loss = -(plain_log_prob(now, done) * advantage).mean()
    optimiser = torch.optim.Adam(policy, lr=config.learning_rate, eps=config.adam_epsilon)
    loss.backward()
    norm = torch.cat([x.grad.flatten() for x in policy if x.grad is not None]).norm()
    optimiser.step()
    losses = [0.0]
    if config.baseline == "value":
        optimiser, losses = torch.optim.Adam(value, lr=config.value_learning_rate, eps=config.adam_epsilon), []
        for _ in range(config.value_epochs):
            error = (plain_network(theta, "value", seen)[:, 0] - target).square().mean()
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            losses.append(error.item())
    return {
        "samples": len(target),
        "policy_loss": loss.item(),
        "value_loss": sum(losses) / len(losses),
        "value": baseline.mean().item(),
        "entropy": now.entropy().mean().item(),
        "gradient_norm": norm.item(),
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("environment", ["CartPole-v1", "HalfCheetah-v5"])
def test_an_update_equals_the_plain_float64_version(environment: str, case: str) -> None:
    """On episodes that began in earlier iterations, that began and ended in this one, and that go on."""
    config = replace(SMALL, **CASES[case])
    agents = population(config, [5, 6])
    spec = EnvironmentSpec(environment, max_episode_steps=LIMIT)
    rollout, ac, optimiser, h = played(spec, config, agents, iterations=4, past=LIMIT)
    rng = torch.Generator().manual_seed(2)
    rollout.reward = torch.randn(rollout.reward.shape, generator=rng)
    rollout.terminated[:, LIMIT + 3, 0] = True  # in HalfCheetah episodes end at the time limit alone
    rollout.truncated[:, LIMIT + 7, 1] = True
    before = {name: tensor.clone() for name, tensor in ac.state().items()}
    told = update(ac, optimiser, rollout, rollout.reward, agents.alive, config, h)
    after = ac.state()
    for a in range(2):
        theta = plain(before, a)
        assert any(steps[0] < LIMIT for n in range(2) for steps in episodes(rollout, a, n))
        means = plain_update(theta, rollout, a, config)
        assert {name: told[name][a].item() for name in means} == pytest.approx(means, rel=5e-3, abs=1e-4)
        for name, tensor in theta.items():
            torch.testing.assert_close(after[name][a].double(), tensor.detach(), atol=5e-5, rtol=5e-3)
            moves = name.startswith("policy") or config.baseline == "value"
            assert torch.equal(after[name][a], before[name][a]) != moves


def test_every_step_of_every_episode_is_learned_from_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those that are longer than an iteration; what goes on at the end of training is left."""
    learned: list[Tensor] = []
    original = reinforce_module.update

    def watch(ac: Any, optimiser: Any, rollout: Rollout, *rest: Any) -> Any:
        learned.append(rollout.ended().sum((1, 2)))
        return original(ac, optimiser, rollout, *rest)

    monkeypatch.setattr(reinforce_module, "update", watch)
    spec = EnvironmentSpec("Pendulum-v1", max_episode_steps=50)
    train(work(tmp_path, spec, population(SMALL, [0, 1]), SMALL, iterations=14))
    lengths = [row["length"] for row in read_lines(tmp_path / "episodes.jsonl") if row["agent"] == 0]
    assert lengths == [50] * 8
    assert torch.stack(learned[-14:]).sum(0).tolist() == [400, 400]
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert sum(row["samples"] for row in rows if row["agent"] == 0) == 400
    assert {row["samples"] for row in rows} == {0, 100}


def test_an_iteration_in_which_no_episode_ended_changes_nothing(tmp_path: Path) -> None:
    spec = EnvironmentSpec("Pendulum-v1", max_episode_steps=50)
    train(work(tmp_path, spec, population(SMALL, [0]), SMALL, iterations=4))
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert [row["samples"] for row in rows] == [0, 0, 0, 100]
    assert [row["step_size"] > 0 for row in rows] == [False, False, False, True]


def test_an_environment_without_a_time_limit_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = f"train reinforce --env CliffWalking-v1 --seeds 1 --steps 2048 --out {out}".split()
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert "time limit" in printed
    assert "--max-episode-steps" in printed
    assert not out.exists()
    assert main([*words, "--max-episode-steps", "20", "--evaluate-episodes", "0", "--workers", "1"]) == 0
