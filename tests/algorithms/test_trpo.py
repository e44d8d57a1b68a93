"""TRPO: Fisher-vector products, conjugate gradients, line search and whole steps against plain float64 versions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor
from torch.distributions import kl_divergence

from relook.algorithms import trpo as trpo_module
from relook.algorithms.trpo import Config, conjugate_gradients, policy_step, surrogate
from relook.buffers import Estimates, estimate
from relook.envs import ActionSpace, ObservationSpace, Spaces
from relook.networks import ActorCritic, module_actor_critic
from relook.networks.actor_critic import PolicyEvaluation
from relook.population import Agent, Agents
from relook.runs.files import read_lines
from support import numeric, plain, plain_log_prob, plain_policy, played, population, train, work

SMALL = Config(envs=2, horizon=32, minibatch=32, value_epochs=2, hidden=(8,), scale_rewards=False)
ENVIRONMENTS = ["CartPole-v1", "HalfCheetah-v5"]


def flat(tensors: dict[str, Tensor]) -> Tensor:
    """The policy's tensors as one vector."""
    return torch.cat([tensor.flatten() for name, tensor in tensors.items() if name.startswith("policy")])


def unflat(vector: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The opposite."""
    names = [name for name in like if name.startswith("policy")]
    parts = vector.split([like[name].numel() for name in names])
    return {name: part.view_as(like[name]) for name, part in zip(names, parts, strict=True)}


def information(theta: dict[str, Tensor], observation: Tensor) -> Tensor:
    """The Fisher information matrix [P, P], as the curvature of KL(π ‖ π_θ) at θ."""
    old = plain_policy({name: tensor.detach() for name, tensor in theta.items()}, observation)

    def divergence(vector: Tensor) -> Tensor:
        return kl_divergence(old, plain_policy(unflat(vector, theta), observation)).mean()

    found: Tensor = torch.autograd.functional.hessian(divergence, flat(theta).detach())
    return found


# --------------------------------------------------------------------------------------------- Fisher-vector products

ACTIONS = {
    "one choice": spaces.Discrete(3),
    "ragged choices": spaces.MultiDiscrete([2, 4, 3]),
    "Gaussian": spaces.Box(-1.0, 1.0, (2,)),
}


def body(inputs: int, outputs: int) -> torch.nn.Module:
    """A perceptron of somebody else's."""
    return torch.nn.Sequential(torch.nn.Linear(inputs, 13), torch.nn.Tanh(), torch.nn.Linear(13, outputs))


@pytest.mark.parametrize("own", [False, True], ids=["perceptrons", "modules"])
@pytest.mark.parametrize("action", ACTIONS)
def test_the_fisher_vector_product_is_the_curvature_of_kl_in_float64(action: str, own: bool) -> None:
    """By finite differences of the slope of KL, in float64: whatever the networks are."""
    agents = Agents([Agent(a, a) for a in range(3)])
    of = Spaces(ObservationSpace(spaces.Box(-1.0, 1.0, (5,))), ActionSpace(ACTIONS[action]))
    make = module_actor_critic(body, body)
    ac = make(of, agents, initial_log_std=-0.7) if own else ActorCritic(of, agents, hidden=(13,), initial_log_std=-0.7)
    rng = torch.Generator().manual_seed(0)
    for name, view in ac.networks.learned(ac.parameters).items():
        if name.startswith("policy"):
            view.add_(0.5 * torch.randn(view.shape, generator=rng))
    observation = torch.randn(3, 21, 5, generator=rng)
    with torch.no_grad():
        chosen = ac.act(observation, ac.noise(agents, "explore", 0, (21,)))
    now = ac.evaluate_policy(observation, chosen)
    direction = some_direction(ac, now)
    product = now.fisher(direction)
    again = now.fisher(direction)
    assert torch.equal(product, again)
    # F is the mean of s sᵀ over actions as likely as π says, s being the slope of log π: vᵀ F v is the mean of (s v)².
    theta = ac.parameters.theta[:, 0]
    start, reach = theta.clone(), 1e-2
    curvature = []
    for sign in (-1, 1):
        theta.copy_(start + sign * reach * direction)
        moved = ac.evaluate_policy(observation, chosen)
        old, new = ([x.double() for x in part] for part in (now.distribution, moved.distribution))
        curvature.append(ac.kl(tuple(old), tuple(new)).mean(1))
    theta.copy_(start)
    expected = (curvature[0] + curvature[1]) / reach**2  # KL(θ ± h v) = h² vᵀ F v / 2 + O(h³)
    torch.testing.assert_close((product * direction).sum(1).double(), expected, rtol=5e-3, atol=1e-4)


def some_direction(ac: ActorCritic, now: PolicyEvaluation) -> Tensor:
    """A direction [A, P] that lies as θ does, with nothing in the padding: the slope of something."""
    rng = torch.Generator().manual_seed(1)
    now.backward(torch.randn(now.log_prob.shape, generator=rng), torch.randn(now.log_prob.shape, generator=rng))
    slope = ac.parameters.gradient[:, 0]
    direction: Tensor = slope / slope.norm(dim=1, keepdim=True)
    return direction


def by_name(ac: ActorCritic, row: Tensor) -> dict[str, Tensor]:
    """A direction's tensors, named as the policy's parameters are."""
    theta = ac.parameters.theta[:, 0]
    kept = theta.clone()
    theta.copy_(row)
    state = {name: tensor for name, tensor in ac.state().items() if name.startswith("policy")}
    theta.copy_(kept)
    return state


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_fisher_vector_product_equals_a_float64_hessian(environment: str) -> None:
    agents = population(SMALL, [3, 4])
    rollout, ac, _, _ = played(environment, SMALL, agents)
    observation, action = rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)
    state, now = ac.state(), ac.evaluate_policy(observation, action)
    direction = some_direction(ac, now)
    product, along = by_name(ac, now.fisher(direction)), by_name(ac, direction)
    for a in range(2):
        v, got = (flat({name: x[a].double() for name, x in tensors.items()}) for tensors in (along, product))
        expected = information(plain(state, a), observation[a].double()) @ v
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


# ------------------------------------------------------------------------------------------------ conjugate gradients


def systems(agents: int, size: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A positive definite matrix and a right side for each agent."""
    rng = torch.Generator().manual_seed(size)
    root = torch.randn(agents, size, size, generator=rng, dtype=dtype)
    return root @ root.mT / size + 0.1 * torch.eye(size, dtype=dtype), torch.randn(
        agents, size, generator=rng, dtype=dtype
    )


def test_conjugate_gradients_solve_a_system_in_as_many_steps_as_it_has_unknowns() -> None:
    matrix, g = systems(3, 9)
    solved = conjugate_gradients(lambda v: (matrix @ v.unsqueeze(2)).squeeze(2), g, 9)
    torch.testing.assert_close(solved.x, torch.linalg.solve(matrix, g), rtol=1e-4, atol=1e-5)
    assert (solved.residual < 1e-4).all()


@pytest.mark.parametrize("steps", [1, 3, 6, 30])
def test_the_residual_and_the_curvature_that_are_told_are_those_of_what_was_found(steps: int) -> None:
    matrix, g = systems(4, 12)
    solved = conjugate_gradients(lambda v: (matrix @ v.unsqueeze(2)).squeeze(2), g, steps)
    product = (matrix @ solved.x.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(solved.residual, (product - g).norm(dim=1) / g.norm(dim=1))
    torch.testing.assert_close(solved.curvature, (solved.x * product).sum(1))
    assert steps < 12 or (solved.residual < 1e-4).all()


def test_an_agent_without_a_gradient_gets_no_direction_and_others_do() -> None:
    matrix, g = systems(2, 5, torch.float32)
    g[0] = 0
    solved = conjugate_gradients(lambda v: (matrix @ v.unsqueeze(2)).squeeze(2), g, 10)
    assert (solved.x[0] == 0).all()
    assert solved.residual[0] == 0
    torch.testing.assert_close(solved.x[1], torch.linalg.solve(matrix[1], g[1]), rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------------------------------------------ whole steps


def plain_step(
    state: dict[str, Tensor], a: int, observation: Tensor, action: Tensor, advantage: Tensor, config: Config
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """One step of one agent with the Fisher matrix written out and inverted."""
    theta = plain(state, a)
    old = plain_policy({name: x.detach() for name, x in theta.items()}, observation)
    old_log_prob = plain_log_prob(old, action)
    advantage = (advantage - advantage.mean()) / advantage.std(correction=0)

    def judged(at: dict[str, Tensor]) -> tuple[Tensor, float]:
        now = plain_policy(at, observation)
        gain = ((plain_log_prob(now, action) - old_log_prob).exp() * advantage).mean()
        return gain, kl_divergence(old, now).mean().item()

    names = [name for name in theta if name.startswith("policy")]
    before, _ = judged(theta)
    g = flat(dict(zip(names, torch.autograd.grad(before, [theta[name] for name in names]), strict=True)))
    f = information(theta, observation)
    f = f + config.damping * torch.eye(len(f), dtype=f.dtype)
    x = torch.linalg.solve(f, g)
    whole = (2 * config.target_kl / (x @ f @ x)).sqrt() * x
    start = flat(theta).detach()
    for tries in range(config.backtracks if config.line_search else 1):
        share = config.backtrack_ratio**tries
        at = unflat(start + share * whole, theta)
        gain, distance = judged(at)
        if not config.line_search or (distance <= config.target_kl and gain > before):
            told = {
                "backtracks": tries,
                "kl": distance,
                "improvement": (gain - before).item(),
                "expected_improvement": float(share * g @ whole),
                "gradient_norm": float(g.norm()),
                "policy_loss": -gain.item(),
            }
            return at, told
    return unflat(start, theta), {"backtracks": config.backtracks, "kl": 0.0, "improvement": 0.0}


CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "little damping": {"damping": 0.01},
    "a wide region": {"target_kl": 1.0, "damping": 0.01},
    "a wide region, short steps": {"target_kl": 1.0, "damping": 0.01, "backtrack_ratio": 0.5},
    "natural": {"line_search": False, "target_kl": 0.3},
    "no step is good": {"target_kl": 30.0, "damping": 1e-4, "backtracks": 1},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_step_equals_the_plain_float64_version(environment: str, case: str) -> None:
    config = replace(SMALL, cg_steps=150, **CASES[case])
    agents = population(config, [5, 6])
    rollout, ac, _, h = played(environment, config, agents)
    rollout.reward = torch.randn(rollout.reward.shape, generator=torch.Generator().manual_seed(2))
    estimates = estimate(ac, rollout, rollout.reward, h)
    before = {name: tensor.clone() for name, tensor in ac.state().items()}
    told = policy_step(ac, rollout, estimates, agents.alive, config, h)
    after = ac.state()
    for a in range(2):
        observation, action = rollout.observation[a].flatten(0, 1).double(), rollout.action[a].flatten(0, 1)
        advantage = estimates.advantage[a].flatten().double()
        expected, means = plain_step(before, a, observation, action, advantage, config)
        assert {name: told[name][a].item() for name in means} == pytest.approx(means, rel=0.02, abs=1e-5)
        moved = flat(expected).detach() - flat(plain(before, a)).detach()
        got = flat({name: tensor[a].double() for name, tensor in after.items()}) - flat(plain(before, a)).detach()
        torch.testing.assert_close(got, moved, rtol=0, atol=0.01 * float(moved.abs().max()) + 1e-6)
        assert all(torch.equal(after[name][a], before[name][a]) for name in after if name.startswith("value"))
    if "wide" in case:
        assert (told["backtracks"] > 0).any(), "it must have looked for a shorter step"
    if case == "no step is good":
        assert (told["backtracks"] == 1).any(), "an agent must have stayed where it was"


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1"])
def test_every_accepted_step_stays_in_the_trust_region_and_improves_the_surrogate(
    tmp_path: Path, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged from outside, in float64, from the parameters before and after."""
    config = replace(SMALL, envs=4, horizon=64, minibatch=128, damping=0.01)
    seen: list[tuple[float, float, bool]] = []
    original = trpo_module.policy_step

    def watch(ac: ActorCritic, rollout: Any, estimates: Estimates, *rest: Any) -> dict[str, Tensor]:
        before = {name: tensor.clone() for name, tensor in ac.state().items()}
        told = original(ac, rollout, estimates, *rest)
        for a in range(len(told["kl"])):
            observation, action = rollout.observation[a].flatten(0, 1).double(), rollout.action[a].flatten(0, 1)
            old, new = (plain_policy(plain(state, a), observation) for state in (before, ac.state()))
            ratio = (plain_log_prob(new, action) - plain_log_prob(old, action)).exp()
            advantage = estimates.advantage[a].flatten().double()
            gain = ((ratio - 1) * (advantage - advantage.mean()) / advantage.std()).mean()
            accepted = bool(told["backtracks"][a] < config.backtracks)
            seen.append((kl_divergence(old, new).mean().item(), gain.item(), accepted))
        return told

    monkeypatch.setattr(trpo_module, "policy_step", watch)
    train(work(tmp_path, environment, population(config, [0, 1, 2]), config, iterations=10))
    rows = read_lines(tmp_path / "metrics.jsonl")
    of_training = seen[-30:]
    assert len(rows) == 30
    assert sum(accepted for _, _, accepted in of_training) > 20
    for distance, gain, accepted in of_training:
        if accepted:
            assert distance <= 0.01 * (1 + 1e-4)
            assert gain > 0
        else:
            assert distance == 0
    for row, (distance, gain, _) in zip(rows, of_training, strict=True):
        assert row["kl"] == pytest.approx(distance, rel=1e-2, abs=1e-6)
        assert row["improvement"] == pytest.approx(gain, rel=2e-2, abs=1e-5)
        assert row["cg_residual"] < 0.5


def test_without_a_line_search_steps_may_leave_the_trust_region(tmp_path: Path) -> None:
    """So the line search is what keeps them inside."""
    config = replace(SMALL, line_search=False, damping=1e-3, target_kl=0.05)
    train(work(tmp_path, "CartPole-v1", population(config, [0, 1, 2]), config, iterations=20))
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert max(row["kl"] for row in rows) > 0.05
    assert {row["backtracks"] for row in rows} == {0}


def test_the_surrogate_is_the_mean_of_ratio_times_advantage() -> None:
    ratio, advantage = torch.tensor([[1.0, 2.0], [0.5, 1.0]]), torch.tensor([[1.0, -1.0], [4.0, 0.0]])
    torch.testing.assert_close(surrogate(ratio.log(), advantage), torch.tensor([-0.5, 1.0]))


def test_each_agent_has_its_own_region_and_search() -> None:
    agents = Agents([Agent(a, 5, numeric(SMALL, target_kl=kl)) for a, kl in enumerate((1e-4, 1e-2))])
    rollout, ac, _, h = played("CartPole-v1", SMALL, agents)
    told = policy_step(ac, rollout, estimate(ac, rollout, rollout.reward, h), agents.alive, SMALL, h)
    assert 0 < told["kl"][0] <= 1e-4 < told["kl"][1] <= 1e-2


def test_equal_advantages_make_no_step_and_no_noise() -> None:
    agents = population(SMALL, [0, 1])
    rollout, ac, _, h = played("CartPole-v1", SMALL, agents)
    estimates = estimate(ac, rollout, rollout.reward, h)
    estimates.advantage[0] = 1.0
    before = ac.parameters.theta.clone()
    told = policy_step(ac, rollout, estimates, agents.alive, SMALL, h)
    assert torch.equal(ac.parameters.theta[0], before[0])
    assert not torch.equal(ac.parameters.theta[1], before[1])
    assert all(np.isfinite(value[0].item()) for value in told.values())
    assert told["kl"][0] == 0
