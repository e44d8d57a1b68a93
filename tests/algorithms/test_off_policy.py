"""DQN, DDPG, TD3 and SAC against plain float64 versions of themselves, and what their loops do when."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn.functional import mse_loss, relu, smooth_l1_loss

from relook.algorithms import algorithm, ddpg, dqn, sac, td3
from relook.buffers import Batch, Replay, made_up_batch
from relook.envs import ActionSpace, Environments, EnvironmentSpec, Spaces
from relook.errors import WrongRequest
from relook.formulas.returns import td_target
from relook.networks import DeterministicActorCritic, QNetwork, SquashedActorCritic, module_actor_critic
from relook.networks.q_network import QEvaluation
from relook.population import Agents, Parameters, Stop, Target, agents_are_independent
from relook.population.hyperparameters import Hyperparameters
from relook.runs.files import read_lines
from relook.training import Request, prepare
from support import equal_bits, plain, plain_network, population, spec_of, state_of, tiny, train, work

CONTINUOUS = ["ddpg", "td3", "sac"]
NAMES = ["dqn", *CONTINUOUS]
NETWORKS: dict[str, type[Any]] = {
    "dqn": QNetwork,
    "ddpg": DeterministicActorCritic,
    "td3": DeterministicActorCritic,
    "sac": SquashedActorCritic,
}
UPDATES, SIZE = 5, 12
HOME = {name: "CartPole-v1" if name == "dqn" else "Pendulum-v1" for name in NAMES}


def module(name: str) -> Any:
    return importlib.import_module(f"relook.algorithms.{name}")


def spaces_of(environment: str, *, rescale: bool = True) -> Spaces:
    envs = Environments(EnvironmentSpec(environment, rescale_actions=rescale), population(tiny("dqn"), [0]), 1)
    envs.close()
    return envs.spaces


def batches(agents: Agents, spaces: Spaces, h: Hyperparameters, size: int = SIZE) -> list[Batch]:
    """Made-up batches, each of other numbers, in which agents look one, two or three steps ahead."""
    found = []
    for i in range(UPDATES):
        renamed = Agents([replace(agent, seed=100 * i + agent.seed) for agent in agents])
        batch = made_up_batch(renamed, spaces, size, h)
        found.append(batch._replace(discount=batch.discount ** (1 + torch.arange(size) % 3)))
    return found


def double(batch: Batch, a: int) -> list[Tensor]:
    """One agent's observation, action, reward, next observation, terminated and discount, in float64."""
    return [x[a].double() if x.is_floating_point() else x[a] for x in batch]


def target_of(reward: Tensor, following: Tensor, terminated: Tensor, discount: Tensor) -> Tensor:
    return torch.stack(
        [r if end else r + g * v for r, v, end, g in zip(reward, following, terminated, discount, strict=True)]
    ).detach()


def follow(slow: dict[str, Tensor], theta: dict[str, Tensor], tau: float) -> None:
    for name, tensor in slow.items():
        tensor.data = (1 - tau) * tensor.data + tau * theta[name].data


def compare(found: dict[str, Tensor], theta: dict[str, Tensor], a: int) -> None:
    for name, tensor in theta.items():
        torch.testing.assert_close(found[name][a].double(), tensor.detach(), atol=3e-6, rtol=3e-5)


def of(theta: dict[str, Tensor], *groups: str) -> list[Tensor]:
    return [tensor for name, tensor in theta.items() if name.split("/")[0] in groups]


# -- one update after the other, as textbooks write them --------------------------------------------------------------

DQN_KINDS: dict[str, dict[str, Any]] = {
    "plain": {"double": False, "loss": "squared"},
    "double": {"double": True, "loss": "squared"},
    "dueling": {"dueling": True, "double": True, "loss": "squared"},
    "huber": {"loss": "huber", "double": False},
    "clipped": {"loss": "squared", "max_gradient_norm": 0.3},
    "slow target": {"target_rate": 0.2, "loss": "squared"},
}


@pytest.mark.parametrize("kind", DQN_KINDS)
def test_dqn_does_what_a_plain_version_does(kind: str) -> None:
    config = tiny("dqn", hidden=(16, 8), learning_rate=0.03, **DQN_KINDS[kind])
    agents, spaces = population(config, [3, 4]), spaces_of("CartPole-v1")
    h = Hyperparameters(agents)
    net, follower, optimiser = dqn.build(spaces, agents, config, QNetwork)
    thetas = [plain(net.state(), a) for a in range(2)]
    slows = [plain(net.state(), a) for a in range(2)]
    plain_optimisers = [torch.optim.Adam(theta.values(), lr=0.03, eps=config.adam_epsilon) for theta in thetas]

    def q(theta: dict[str, Tensor], x: Tensor) -> Tensor:
        output = plain_network(theta, "q", x, relu)
        if not config.dueling:
            return output
        return output[:, :1] + output[:, 1:] - output[:, 1:].mean(1, keepdim=True)

    for batch in batches(agents, spaces, h):
        told = dqn.update(net, follower, optimiser, batch, agents.alive, config, h)
        follower.follow(h.target_rate, agents.alive)
        for a, (theta, slow, adam) in enumerate(zip(thetas, slows, plain_optimisers, strict=True)):
            seen, action, reward, led_to, terminated, gamma = double(batch, a)
            choice = q(theta if config.double else slow, led_to).argmax(1)
            y = target_of(reward, q(slow, led_to)[torch.arange(SIZE), choice], terminated, gamma)
            own = q(theta, seen)[torch.arange(SIZE), action[:, 0]]
            loss = (mse_loss if config.loss == "squared" else smooth_l1_loss)(own, y)
            adam.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(theta.values(), float(h.max_gradient_norm[a]))
            adam.step()
            follow(slow, theta, config.target_rate)
            expected = {"loss": loss, "gradient_norm": norm, "q": own.mean(), "td_error": (own - y).abs().mean()}
            for name, value in expected.items():
                assert float(told[name][a].mean()) == pytest.approx(float(value.detach()), rel=1e-4), name
    for a in range(2):
        compare(net.state(), thetas[a], a)
        compare(net.network.learned(follower.parameters), slows[a], a)


ACTIONS = {
    "rescaled": ("Pendulum-v1", True),
    "bounds not ±1": ("relook/InsideBounds-v0", False),
    "six": ("HalfCheetah-v5", True),
}
every_action = pytest.mark.parametrize(("environment", "rescale"), ACTIONS.values(), ids=ACTIONS)


@pytest.mark.parametrize("name", ["ddpg", "td3"])
@every_action
def test_ddpg_and_td3_do_what_a_plain_version_does(name: str, environment: str, rescale: bool) -> None:
    twins = ("q1", "q2") if name == "td3" else ("q1",)
    config = tiny(name, hidden=(16, 8), learning_rate=0.02, q_learning_rate=0.03, target_rate=0.1)
    agents, spaces = population(config, [3, 4]), spaces_of(environment, rescale=rescale)
    h = Hyperparameters(agents)
    learner = module(name).build(spaces, agents, config, DeterministicActorCritic)
    ac, size = learner.ac, spaces.action.width
    middle, half = ac.middle.double(), ac.half.double()
    thetas, slows = ([plain(ac.state(), a) for a in range(2)] for _ in range(2))
    policy_adams = [torch.optim.Adam(of(theta, "policy"), lr=0.02) for theta in thetas]
    q_adams = [torch.optim.Adam(of(theta, *twins), lr=0.03) for theta in thetas]

    def mu(theta: dict[str, Tensor], x: Tensor) -> Tensor:
        action: Tensor = middle + half * torch.tanh(plain_network(theta, "policy", x, relu))
        return action

    def q(theta: dict[str, Tensor], group: str, x: Tensor, action: Tensor) -> Tensor:
        return plain_network(theta, group, torch.cat([x, action], 1), relu)[:, 0]

    for i, batch in enumerate(batches(agents, spaces, h)):
        noise = 4 * agents.normal("test", i, (SIZE, size))
        turn = name == "ddpg" or i % 2 == 1
        if name == "ddpg":
            told = ddpg.update(learner, batch, agents.alive, h)
        else:
            told = td3.update(learner, batch, noise, agents.alive, h, policy_too=turn)
        assert ("policy_loss" in told) == turn
        for a, (theta, slow) in enumerate(zip(thetas, slows, strict=True)):
            seen, action, reward, led_to, terminated, gamma = double(batch, a)
            following = mu(slow, led_to)
            if name == "td3":
                smoothing = (0.2 * noise[a].double()).clamp(-0.5, 0.5) * half
                following = torch.clamp(following + smoothing, middle - half, middle + half)
            lowest = torch.stack([q(slow, group, led_to, following) for group in twins]).amin(0)
            y = target_of(reward, lowest, terminated, gamma)
            loss = torch.stack([mse_loss(q(theta, group, seen, action), y) for group in twins]).sum()
            q_adams[a].zero_grad()
            loss.backward()
            q_adams[a].step()
            assert float(told["q_loss"][a].mean()) * len(twins) == pytest.approx(float(loss.detach()), rel=1e-4)
            if turn:
                policy_loss = -q(theta, "q1", seen, mu(theta, seen)).mean()
                policy_adams[a].zero_grad()
                policy_loss.backward()
                policy_adams[a].step()
                follow(slow, theta, 0.1)
                assert float(told["policy_loss"][a].mean()) == pytest.approx(
                    float(policy_loss.detach()), rel=1e-4, abs=1e-5
                )
    for a in range(2):
        compare(ac.state(), thetas[a], a)
        slow = {**ac.network.learned(learner.policy_target.parameters)}
        compare(slow | ac.critics.network.learned(learner.q_target.parameters), slows[a], a)


@pytest.mark.parametrize("learns", [True, False])
@every_action
def test_sac_does_what_a_plain_version_does(environment: str, rescale: bool, learns: bool) -> None:
    config = tiny(
        "sac",
        hidden=(16, 8),
        learning_rate=0.02,
        q_learning_rate=0.03,
        target_rate=0.1,
        temperature=0.7,
        temperature_learning_rate=0.05,
        target_entropy=-0.8,
        learn_temperature=learns,
    )
    agents, spaces = population(config, [3, 4]), spaces_of(environment, rescale=rescale)
    h = Hyperparameters(agents)
    learner = sac.build(spaces, agents, config, SquashedActorCritic)
    ac, size = learner.ac, spaces.action.width
    middle, half = ac.middle.double(), ac.half.double()
    thetas, slows = ([plain(ac.state(), a) for a in range(2)] for _ in range(2))
    log_alphas = [torch.tensor(0.7, dtype=torch.float64).log().requires_grad_() for _ in range(2)]
    policy_adams = [torch.optim.Adam(of(theta, "policy"), lr=0.02) for theta in thetas]
    q_adams = [torch.optim.Adam(of(theta, "q1", "q2"), lr=0.03) for theta in thetas]
    alpha_adams = [torch.optim.Adam([log_alpha], lr=0.05) for log_alpha in log_alphas]

    def draw(theta: dict[str, Tensor], x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = plain_network(theta, "policy", x, relu).chunk(2, 1)
        std = log_std.clamp(-20, 2).exp()
        squash = [TanhTransform(cache_size=1), AffineTransform(middle, half, event_dim=1, cache_size=1)]
        squashed = TransformedDistribution(Independent(Normal(mean, std), 1), squash)
        action = squash[1](squash[0](mean + std * noise))
        return action, squashed.log_prob(action)

    def q(theta: dict[str, Tensor], group: str, x: Tensor, action: Tensor) -> Tensor:
        return plain_network(theta, group, torch.cat([x, action], 1), relu)[:, 0]

    def lowest(theta: dict[str, Tensor], x: Tensor, action: Tensor) -> Tensor:
        return torch.minimum(q(theta, "q1", x, action), q(theta, "q2", x, action))

    for i, batch in enumerate(batches(agents, spaces, h)):
        noise = agents.normal("test", i, (2, SIZE, size))
        told = sac.update(learner, batch, noise, agents.alive, config, h)
        for a, (theta, slow, log_alpha) in enumerate(zip(thetas, slows, log_alphas, strict=True)):
            seen, action, reward, led_to, terminated, gamma = double(batch, a)
            alpha = log_alpha.exp().detach()
            following, log_prob = draw(theta, led_to, noise[a, 0].double())
            y = target_of(reward, lowest(slow, led_to, following) - alpha * log_prob, terminated, gamma)
            loss = mse_loss(q(theta, "q1", seen, action), y) + mse_loss(q(theta, "q2", seen, action), y)
            q_adams[a].zero_grad()
            loss.backward()
            q_adams[a].step()
            drawn, log_prob = draw(theta, seen, noise[a, 1].double())
            policy_loss = (alpha * log_prob - lowest(theta, seen, drawn)).mean()
            policy_adams[a].zero_grad()
            policy_loss.backward()
            policy_adams[a].step()
            temperature_loss = -(log_alpha * (log_prob.detach() - 0.8 * size)).mean()
            if learns:
                alpha_adams[a].zero_grad()
                temperature_loss.backward()
                alpha_adams[a].step()
            follow(slow, {k: x for k, x in theta.items() if k[0] == "q"} | of_policy(slow), 0.1)
            expected = {"policy_loss": policy_loss, "entropy": -log_prob.mean(), "temperature": alpha}
            for name, value in (expected | {"q_loss": loss / 2}).items():
                assert float(told[name][a].mean()) == pytest.approx(float(value.detach()), rel=1e-4, abs=1e-5), name
    for a in range(2):
        compare(ac.state(), thetas[a], a)
        targets = {k: x for k, x in slows[a].items() if k[0] == "q"}
        compare(ac.critics.network.learned(learner.q_target.parameters), targets, a)
        assert float(learner.alpha[a]) == pytest.approx(float(log_alphas[a].exp().detach()), rel=1e-5)
        assert (float(learner.alpha[a]) != pytest.approx(0.7)) == learns


def of_policy(theta: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in theta.items() if name.startswith("policy/")}


def test_the_huber_loss_has_the_slope_of_torchs() -> None:
    error = torch.linspace(-3, 3, 8).view(2, 4).requires_grad_()
    loss, slope = dqn.td_loss(error.detach(), "huber")
    expected = smooth_l1_loss(error, torch.zeros(2, 4), reduction="none")
    torch.testing.assert_close(loss, expected.detach())
    expected.mean(1).sum().backward()
    torch.testing.assert_close(slope, error.grad)


# -- what may learn from what -----------------------------------------------------------------------------------------


def learner_of(name: str, *seeds: int) -> tuple[Any, Any, Agents, Hyperparameters, Spaces]:
    config, spaces = tiny(name), spaces_of(HOME[name])
    agents = population(config, seeds or [0, 1])
    return (
        module(name).build(spaces, agents, config, NETWORKS[name]),
        config,
        agents,
        Hyperparameters(agents),
        spaces,
    )


def policy_step(name: str, learner: Any, batch: Batch, agents: Agents, h: Hyperparameters) -> None:
    noise = (agents.normal("test", 0, (SIZE, len(learner.ac.half))),) if name == "sac" else ()
    module(name).policy_step(learner, batch, *noise, agents.alive, h)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_policys_loss_teaches_the_policy_alone(name: str) -> None:
    """Critics are frozen in it: neither their parameters nor their gradients move."""
    learner, _, agents, h, spaces = learner_of(name)
    batch = made_up_batch(agents, spaces, SIZE, h)
    critics = learner.ac.critics.parameters
    before = critics.theta.clone(), critics.gradient.clone(), learner.ac.parameters.theta.clone()
    policy_step(name, learner, batch, agents, h)
    assert equal_bits(critics.theta, before[0])
    assert equal_bits(critics.gradient, before[1])
    assert not torch.equal(learner.ac.parameters.theta, before[2])


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_critics_loss_teaches_the_critics_alone(name: str) -> None:
    learner, _, agents, h, spaces = learner_of(name)
    batch = made_up_batch(agents, spaces, SIZE, h)
    before = learner.ac.parameters.theta.clone(), learner.ac.critics.parameters.theta.clone()
    targets = [t.parameters.theta.clone() for t in learner if isinstance(t, Target)]
    noise = () if name == "ddpg" else (agents.normal("test", 0, (SIZE, len(learner.ac.half))),)
    module(name).critic_step(learner, batch, *noise, agents.alive, h)
    assert equal_bits(learner.ac.parameters.theta, before[0])
    assert (learner.ac.critics.parameters.theta != before[1]).any(2).all(), "every critic of every agent"
    now = [t.parameters.theta for t in learner if isinstance(t, Target)]
    assert all(equal_bits(one, other) for one, other in zip(now, targets, strict=True))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_step_of_the_policy_goes_where_the_critic_points(name: str) -> None:
    """With a critic that knows better actions, their value rises."""
    learner, _, agents, h, spaces = learner_of(name)
    batch = made_up_batch(agents, spaces, 64, h)

    def worth() -> Tensor:
        best = learner.ac.act_deterministically(batch.observation)
        values: Tensor = learner.ac.critics.values(batch.observation, best)
        return values.mean(2)

    if name == "sac":
        learner.temperature.set("log", torch.full((2, 1), -20.0))
    before = worth()[:, 0]
    for _ in range(20):
        noise = (torch.zeros(2, 64, 1),) if name == "sac" else ()
        module(name).policy_step(learner, batch, *noise, agents.alive, h)
    assert (worth()[:, 0] > before).all()


def test_the_temperature_rises_when_the_entropy_is_too_low_and_falls_when_it_is_too_high() -> None:
    learner, _, agents, h, _ = learner_of("sac")
    start = learner.alpha.clone()
    entropy = torch.stack([torch.full((SIZE,), -3.0), torch.full((SIZE,), 2.0)])
    sac.temperature_step(learner, entropy, agents.alive, h)
    assert learner.alpha[0] > start[0]
    assert learner.alpha[1] < start[1]


@pytest.mark.parametrize("name", NAMES)
def test_targets_have_memory_of_their_own_and_values_come_from_them(name: str) -> None:
    learner, config, agents, h, spaces = learner_of(name)
    targets = [part for part in learner if isinstance(part, Target)]
    assert len(targets) == {"dqn": 1, "ddpg": 2, "td3": 2, "sac": 1}[name]
    batch = made_up_batch(agents, spaces, SIZE, h)
    noise = agents.normal("test", 0, (SIZE, spaces.action.width))

    def y() -> Tensor:
        match name:
            case "dqn":
                return dqn.target(learner[0], learner[1], batch, config)
            case "ddpg":
                return ddpg.target(learner, batch)
            case "td3":
                return td3.target(learner, batch, noise, h)
            case _:
                return sac.target(learner, batch, noise)

    for follower in targets:
        assert follower.parameters.theta.data_ptr() != follower.source.theta.data_ptr()
        before = y()
        follower.parameters.theta.mul_(1.5)
        assert not torch.equal(y(), before)
    if name in ("ddpg", "td3"):
        before = y()
        learner.ac.critics.parameters.theta.mul_(1.5)
        learner.ac.parameters.theta.mul_(1.5)
        assert torch.equal(y(), before), "what learns says nothing of the target"


def test_double_dqn_chooses_by_the_network_and_judges_by_the_target() -> None:
    learner, config, agents, h, spaces = learner_of("dqn")
    net, follower, _ = learner
    follower.parameters.theta.copy_(-net.parameters.theta)
    batch = made_up_batch(agents, spaces, SIZE, h)
    plainly = dqn.target(net, follower, batch, replace(config, double=False))
    doubly = dqn.target(net, follower, batch, replace(config, double=True))
    going_on = ~batch.terminated
    assert (doubly <= plainly).all()
    assert (doubly < plainly)[going_on].float().mean() > 0.2
    assert torch.equal(doubly[batch.terminated], batch.reward[batch.terminated])


def test_the_target_action_of_td3_stays_in_its_bounds() -> None:
    """However far the noise would take it: its critics are asked at the bound and not beyond."""
    config, spaces = replace(tiny("td3"), target_noise=100.0, noise_clip=100.0), spaces_of(HOME["td3"])
    agents = population(config, [0, 1])
    learner, h = module("td3").build(spaces, agents, config, NETWORKS["td3"]), Hyperparameters(agents)
    batch, ac = made_up_batch(agents, spaces, SIZE, h), learner.ac
    highest = (ac.middle + ac.half).expand(2, SIZE, -1)
    at_bound = ac.critics.values(batch.next_observation, highest, learner.q_target.parameters).amin(1)
    found = module("td3").target(learner, batch, torch.ones(2, SIZE, len(ac.half)), h)
    torch.testing.assert_close(found, td_target(batch.reward, at_bound, batch.terminated, batch.discount))


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_that_rests_keeps_everything_and_the_others_go_on(name: str) -> None:
    ends = []
    for rests in (False, True):
        learner, config, agents, h, spaces = learner_of(name)
        keeps = [part for part in learner if hasattr(part, "state")]
        before = [{key: x.clone() for key, x in part.state().items()} for part in keeps]
        if rests:
            agents.stop(0, Stop("diverged", "it shall rest"))
        updated(name, learner, config, agents, h, made_up_batch(agents, spaces, SIZE, h))
        ends.append([x.clone() for part in keeps for x in part.state().values()])
        first = [x[0] for part in before for x in part.values()]
        assert all(equal_bits(one[0], other) for one, other in zip(ends[-1], first, strict=True)) == rests
    assert all(equal_bits(one[1], other[1]) for one, other in zip(*ends, strict=True))


def updated(
    name: str, learner: Any, config: Any, agents: Agents, h: Hyperparameters, batch: Batch
) -> dict[str, Tensor]:
    """Any algorithm's update, targets too."""
    size = batch.reward.shape[1]
    match name:
        case "dqn":
            net, follower, optimiser = learner
            told = dqn.update(net, follower, optimiser, batch, agents.alive, config, h)
            follower.follow(h.target_rate / 2, agents.alive)
            return told
        case "ddpg":
            return ddpg.update(learner, batch, agents.alive, h)
        case "td3":
            noise = agents.normal("test", 0, (size, len(learner.ac.half)))
            return td3.update(learner, batch, noise, agents.alive, h, policy_too=True)
        case _:
            noise = agents.normal("test", 0, (2, size, len(learner.ac.half)))
            return sac.update(learner, batch, noise, agents.alive, config, h)


@pytest.mark.parametrize("name", NAMES)
def test_one_agents_nan_does_not_reach_its_neighbours_and_is_told(name: str) -> None:
    states, told = [], []
    for poison in (False, True):
        learner, config, agents, h, spaces = learner_of(name)
        batch = made_up_batch(agents, spaces, SIZE, h)
        if poison:
            batch.reward[1] = torch.nan
        told.append(updated(name, learner, config, agents, h, batch))
        states.append(learner[0].state())
    assert all(equal_bits(tensor[0], states[1][key][0]) for key, tensor in states[0].items())
    assert all(equal_bits(value[0], told[1][key][0]) for key, value in told[0].items())
    assert all(tensor.isfinite().all() for tensor in states[1].values()), "a step that is not finite is not made"
    assert told[1]["td_error"][1].isnan().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_twice_makes_the_same_step(name: str) -> None:
    """Losses are means over samples, not sums."""
    steps = []
    for times in (1, 2):
        learner, config, agents, h, spaces = learner_of(name)
        batch = made_up_batch(agents, spaces, SIZE, h)
        twice = Batch(*(torch.cat([x] * times, 1) for x in batch))
        if name in ("dqn", "ddpg"):
            updated(name, learner, config, agents, h, twice)
        else:
            noise = torch.cat([agents.normal("test", 0, (SIZE, len(learner.ac.half)))] * times, 1)
            module(name).critic_step(learner, twice, noise, agents.alive, h)
        parameters = learner[0].parameters if name == "dqn" else learner.ac.critics.parameters
        steps.append(parameters.gradient.clone())
    torch.testing.assert_close(*steps, atol=1e-6, rtol=1e-4)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_is_the_agents_own_and_everything_moves(name: str) -> None:
    config, spaces = tiny(name, envs=3, hidden=(13, 20), batch=10), spaces_of(HOME[name])
    agents, rehearse = population(config, [0, 1, 2]), module(name).rehearse
    together = rehearse(spaces, agents, config, NETWORKS[name])
    for a in range(3):
        assert equal_bits(rehearse(spaces, population(config, [a]), config, NETWORKS[name])[0], together[a])
    first = module(name).build(spaces, agents, config, NETWORKS[name])[0]
    size = first.parameters.theta[0].numel()
    assert (together[:, :size] != first.parameters.theta.flatten(1)).any(1).all()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_shows_what_crosses_the_agent_axis(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, spaces = tiny(name), spaces_of(HOME[name])
    agents, known = population(config, [0, 1]), module(name)
    right = known.td_target

    def independent() -> bool:
        return agents_are_independent(agents, lambda some: known.rehearse(spaces, some, config, NETWORKS[name]))

    assert independent()
    monkeypatch.setattr(known, "td_target", lambda reward, *rest: right(reward + reward.mean(0), *rest))
    assert not independent()


# -- what the loops do when -------------------------------------------------------------------------------------------


class Watched:
    """What a training did: actions, steps and updates in the order in which they came."""

    def __init__(self) -> None:
        self.happened: list[tuple[str, Any]] = []

    def count(self, what: str) -> int:
        return sum(kind == what for kind, _ in self.happened)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    seen = Watched()

    def spy(owner: Any, name: str, what: str, tell: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def watch(*args: Any, **kwargs: Any) -> Any:
            seen.happened.append((what, tell(*args, **kwargs)))
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, watch)

    spy(Replay, "store", "step", lambda replay, action, step: (action.clone(), step.observation.clone()))
    spy(Target, "follow", "follow", lambda target, rate, active: rate.tolist())
    for name in NAMES:
        spy(module(name), "update", "update", lambda *args, **kwargs: (args, kwargs))
    yield seen
    monkeypatch.undo()


def trained(tmp_path: Path, name: str, iterations: int = 4, **changed: Any) -> Any:
    config = tiny(name, **changed)
    steps = work(tmp_path, spec_of(HOME[name]), population(config, [0, 1]), config, iterations=iterations)
    return train(steps), config


@pytest.mark.parametrize("name", NAMES)
def test_steps_and_updates_come_when_they_were_asked_for(tmp_path: Path, name: str, watched: Watched) -> None:
    """Two environments; from step 16 on, 4 updates after every 8 environment steps."""
    watched.happened.clear()
    trained(tmp_path, name)
    kinds = [kind for kind, _ in watched.happened if kind in ("step", "update")]
    start = next(i for i, kind in enumerate(kinds) if kind == "step")
    kinds = kinds[start:]  # before it: the rehearsal
    assert kinds == ["step"] * 4 + (["step"] * 4 + ["update"] * 4) * 15
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert [row["update_to_data"] for row in rows[::2]] == [12 / 32, 0.5, 0.5, 0.5]
    assert all(0 < row["replay_age"] < 100 for row in rows)


def test_the_target_of_dqn_moves_when_it_was_asked_to(tmp_path: Path, watched: Watched) -> None:
    trained(tmp_path, "dqn", target_interval=24)
    since, found = 0, []
    first = next(i for i, (kind, _) in enumerate(watched.happened) if kind == "step")
    for kind, _ in watched.happened[first:]:
        since += 2 * (kind == "step")
        if kind == "follow":
            found.append(since)
    assert found == [24, 48, 72, 96, 120]


def test_the_policy_of_td3_moves_at_every_second_update(tmp_path: Path, watched: Watched) -> None:
    trained(tmp_path, "td3", policy_delay=3)
    first = next(i for i, (kind, _) in enumerate(watched.happened) if kind == "step")
    turns = [what[1]["policy_too"] for kind, what in watched.happened[first:] if kind == "update"]
    assert turns == [(u + 1) % 3 == 0 for u in range(60)]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_actions_come_from_all_over_their_range_first_and_then_from_the_policy(
    tmp_path: Path, name: str, watched: Watched
) -> None:
    _, config = trained(tmp_path, name, iterations=8, random_steps=128, learning_rate=1e-9)
    steps = [what[0] for kind, what in watched.happened if kind == "step"]
    drawn = population(config, [0, 1]).uniform("anything", 0, (config.iteration // config.envs, config.envs, 1))
    torch.testing.assert_close(torch.stack(steps[: drawn.shape[1]], 1), 2 * drawn - 1)
    actions = torch.cat([step.flatten() for step in steps]).view(-1, 4)
    first, later = actions[:64].flatten(), actions[64:].flatten()
    assert first.abs().max() <= 1
    assert first.std() == pytest.approx(3**-0.5, abs=0.05)
    assert len(first.unique()) == len(first)
    expected = 0.1 if name != "sac" else 0.63  # σ of exploration, or of tanh of a standard normal number
    assert later.std() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("name", ["ddpg", "td3"])
def test_what_is_stored_is_what_was_done(name: str) -> None:
    """Noise beyond the bounds is cut before it is stored, so that critics see the action that had its effect."""
    learner, _, agents, h, _ = learner_of(name)
    observation = agents.normal("test", 0, (7, 3))
    action = module(name).explore(learner.ac, observation, 100 * agents.normal("test", 1, (7, 1)), h)
    assert action.abs().max() <= 1
    assert (action.abs() == 1).any()
    quiet = module(name).explore(learner.ac, observation, torch.zeros(2, 7, 1), h)
    assert torch.equal(quiet, learner.ac.act_deterministically(observation))


def test_noise_is_in_halves_of_the_range_and_each_agents_own() -> None:
    config = tiny("ddpg")
    spaces = spaces_of("relook/InsideBounds-v0", rescale=False)
    agents = population(config, [0, 1])
    ac = ddpg.build(spaces, agents, config, DeterministicActorCritic).ac
    h = Hyperparameters(agents)
    h._set({"exploration_noise": torch.tensor([0.0, 0.1])})
    observation = torch.zeros(2, 1, 1)
    moved = ddpg.explore(ac, observation, torch.ones(2, 1, 2), h) - ac.action(observation)
    torch.testing.assert_close(moved[:, 0], torch.tensor([[0.0, 0.0], [0.2, 0.275]]))


def test_random_actions_of_dqn_come_as_often_as_epsilon_says() -> None:
    learner, _, agents, h, _ = learner_of("dqn")
    h._set({"exploration": torch.tensor([0.5, 0.25]), "final_epsilon": torch.tensor([0.1, 0.3])})
    expected = torch.tensor([[1.0, 0.55, 0.1, 0.1], [1.0, 0.3, 0.3, 0.3]])
    torch.testing.assert_close(dqn.epsilon(h, torch.tensor([0, 50, 100, 200]), 200), expected)
    epsilon, net = torch.tensor([[0.1, 0.3], [0.6, 1.0]]), learner[0]
    explores, anything = dqn.exploration(net, net.noise(agents, "test", 0, (2, 20_000)), epsilon)
    torch.testing.assert_close(explores.float().mean((2, 3)), epsilon, atol=0.01, rtol=0)
    assert anything.unique().tolist() == list(range(net.actions))
    share = (anything * explores).float().sum((2, 3)) / explores.sum((2, 3))
    torch.testing.assert_close(share, torch.full((2, 2), 0.5), atol=0.02, rtol=0)  # of two actions


@pytest.mark.shapes
@pytest.mark.parametrize("name", NAMES)
def test_all_metrics_are_logged_and_none_that_matters_is_null(tmp_path: Path, name: str) -> None:
    config = tiny(name)
    asked = work(tmp_path, spec_of(HOME[name]), population(config, [0, 1]), config, iterations=3, evaluate_episodes=2)
    train(asked)
    rows, known = read_lines(tmp_path / "metrics.jsonl"), algorithm(name).metrics
    for row in rows:
        assert set(known) <= set(row)
        assert [key for key in known if row[key] is None] == []
    evaluations = read_lines(tmp_path / "evaluations.jsonl")
    assert all("q_bias" in row for row in evaluations if row["deterministic"])
    assert {row["deterministic"] for row in evaluations} == ({True, False} if name == "sac" else {True})
    last = [row["q_bias"] for row in evaluations if row["deterministic"] and row["evaluation"] == 2]
    assert [row["q_bias"] for row in rows[-2:]] == last


@pytest.mark.parametrize("name", NAMES)
def test_before_learning_starts_what_was_not_measured_is_null(tmp_path: Path, name: str) -> None:
    trained(tmp_path, name, learning_starts=50)
    first, *_, last = read_lines(tmp_path / "metrics.jsonl")
    assert first["td_error"] is None
    assert first["update_to_data"] == 0
    assert last["td_error"] is not None


@pytest.mark.parametrize("name", NAMES)
def test_no_two_batches_and_no_two_actions_have_the_same_random_numbers(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, int]] = []
    original = Agents._draw

    def watch(self: Agents, purpose: str, block: int, draw: Any) -> Tensor:
        drawn.append((purpose, block))
        return original(self, purpose, block, draw)

    monkeypatch.setattr(Agents, "_draw", watch)
    trained(tmp_path, name)
    own = [one for one in drawn if one[0] != "rehearse"]
    assert len(own) == len(set(own))
    assert {"replay", "explore"} <= {purpose for purpose, _ in own}


def training_updates(watched: Watched) -> list[tuple[Any, ...]]:
    """The arguments of all updates after the first step: those before it are rehearsals, which repeat each other."""
    first = [kind for kind, _ in watched.happened].index("step")
    return [told[0] for kind, told in watched.happened[first:] if kind == "update"]


@pytest.mark.parametrize("name", NAMES)
def test_every_update_has_a_batch_of_its_own(tmp_path: Path, name: str, watched: Watched) -> None:
    trained(tmp_path, name)
    found = [next(arg for arg in args if isinstance(arg, Batch)) for args in training_updates(watched)]
    assert len({batch.observation.numpy().tobytes() for batch in found}) == len(found) > 10


@pytest.mark.parametrize("name", ["td3", "sac"])
def test_every_update_has_noise_of_its_own(tmp_path: Path, name: str, watched: Watched) -> None:
    trained(tmp_path, name)
    noises = [args[2] for args in training_updates(watched)]
    assert len({noise.numpy().tobytes() for noise in noises}) == len(noises) > 10


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_learns_the_same_from_a_replay_that_is_larger_than_it_needs(tmp_path: Path, name: str) -> None:
    small, _ = trained(tmp_path / "small", name, capacity=128)
    large, _ = trained(tmp_path / "large", name, capacity=10_000)
    assert state_of(small, 1) == state_of(large, 1)
    tiny_one, _ = trained(tmp_path / "tiny", name, capacity=20)
    assert state_of(tiny_one, 1) != state_of(large, 1)


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("dqn", "Pendulum-v1", "needs a discrete action space; found Box.*; use sac, td3 or ddpg"),
        ("sac", "CartPole-v1", r"sac needs continuous actions, Box; found Discrete\(2\); use dqn or ppo"),
        ("td3", "CartPole-v1", "td3 needs continuous actions"),
        ("ddpg", "CartPole-v1", "ddpg needs continuous actions"),
    ],
)
def test_a_task_that_an_algorithm_cannot_learn_is_refused(
    tmp_path: Path, name: str, environment: str, said: str
) -> None:
    with pytest.raises(WrongRequest, match=said):
        prepare(Request(name, EnvironmentSpec(environment), [0], 10_000, out=tmp_path / "run"), 1)
    assert not (tmp_path / "run").exists()


def test_spaces_with_several_choices_or_without_bounds_are_refused() -> None:
    from gymnasium import spaces as gym_spaces

    observation = spaces_of("CartPole-v1").observation
    several = Spaces(observation, ActionSpace(gym_spaces.MultiDiscrete([2, 3])))
    with pytest.raises(
        WrongRequest, match=r"dqn chooses one action of several, Discrete; .* use ppo, a2c, vpg or trpo"
    ):
        dqn.check_task(several, None)
    with pytest.raises(WrongRequest, match=r"sac needs continuous actions, Box; .* use ppo$"):
        sac.check_task(several, None)
    endless = Spaces(observation, ActionSpace(gym_spaces.Box(-torch.inf, torch.inf, (2,))))
    for name in CONTINUOUS:
        with pytest.raises(WrongRequest, match=f"{name} needs actions with finite bounds"):
            module(name).check_task(endless, None)


def test_a_target_interval_between_updates_is_refused() -> None:
    with pytest.raises(WrongRequest, match="target_interval to be a multiple of update_interval, 8; found 20"):
        tiny("dqn", target_interval=20).check()


def test_a_replay_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Free:
        available = 100 * 2**20

    monkeypatch.setattr(psutil, "virtual_memory", Free)
    spec = EnvironmentSpec("HalfCheetah-v5")
    with pytest.raises(WrongRequest, match="fits into the 100 MiB of memory that are free; found one of 1,583 MiB"):
        prepare(Request("sac", spec, range(10), 1_000_000, out=tmp_path / "run"), 2)
    run = prepare(Request("sac", spec, range(10), 60_000, out=tmp_path / "run"), 2)
    assert run.record["replay_bytes"] == 10 * 60_000 * 166
    assert prepare(Request("ppo", spec, [0], 60_000, out=tmp_path / "ppo"), 2).record["replay_bytes"] is None


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_ones_own_are_those_that_an_algorithm_learns(tmp_path: Path, name: str) -> None:
    """A subclass is one; networks for policy gradients are refused with a sentence."""

    own = type("Own", (NETWORKS[name],), {})
    request = Request(name, EnvironmentSpec(HOME[name]), [0], 10_000, evaluate_episodes=0)
    prepare(replace(request, actor_critic=own, out=tmp_path / "own"), 1)
    made = module_actor_critic(nn.Linear, nn.Linear)
    with pytest.raises(WrongRequest, match=f"{name} learns a {NETWORKS[name].__name__}: .*cannot be called so"):
        prepare(replace(request, actor_critic=made, out=tmp_path / "made"), 1)
    with pytest.raises(
        WrongRequest, match=f"{name} learns a {NETWORKS[name].__name__}: expected a function that makes"
    ):
        prepare(replace(request, actor_critic=lambda *_, **__: NotOne(), out=tmp_path / "none"), 1)


class NotOne:
    """Has what an optimiser needs, and nothing else."""

    def __init__(self) -> None:
        self.parameters = Parameters(1, ("q",), {"weight": (1,)})
        self.critics = self


class ByAutograd(QNetwork):
    """The same network, whose slopes torch finds."""

    def evaluate(self, observation: Tensor) -> QEvaluation:
        with torch.inference_mode(False), torch.enable_grad():
            x = observation.clone()
            for i in self.network.layers:
                x = torch.baddbmm(self.parameters[f"{i}/bias"], x, self.parameters[f"{i}/weight"])
                x = x.relu() if i < self.network.layers[-1] else x

        def backward(by_value: Tensor) -> None:
            with torch.inference_mode(False):
                self.parameters.gradient.zero_()
                x.backward(by_value.clone())

        return QEvaluation(x.detach(), backward)


def test_a_network_of_ones_own_may_use_autograd(tmp_path: Path) -> None:
    rows = []
    for kind in (QNetwork, ByAutograd):
        config = tiny("dqn")
        asked = work(tmp_path / kind.__name__, spec_of(HOME["dqn"]), population(config, [0, 1]), config, iterations=2)
        algorithm("dqn").train(asked, kind)
        rows.append(read_lines(asked.directory / "metrics.jsonl"))
    for one, other in zip(*rows, strict=True):
        assert one["gradient_norm"] is None or one["gradient_norm"] > 0
        for name in ("loss", "q", "gradient_norm"):
            assert other[name] == pytest.approx(one[name], rel=1e-3)
    assert rows[0][-1]["gradient_norm"] is not None
