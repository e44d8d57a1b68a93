"""What holds for every on-policy algorithm: its loop, its masks, its rehearsal and its metrics."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relook.algorithms import algorithm
from relook.buffers import Rollout, estimate
from relook.envs import Environments, Transition
from relook.networks import ActorCritic, module_actor_critic
from relook.population import Agents, Stop, agents_are_independent
from relook.population.hyperparameters import Hyperparameters
from relook.runs.files import read_lines
from relook.runs.unit import Unit
from support import equal_bits, played, population, spec_of, state_of, tiny, train, work

NAMES = ["reinforce", "vpg", "a2c", "trpo", "ppo"]
OWN = [name for name in NAMES if name != "ppo"]
"""Those that `test_ppo.py` does not look at more closely."""


def past(name: str) -> int:
    """How many steps of the past an algorithm keeps, of episodes of at most 30."""
    return 30 if name == "reinforce" else 0


def updated(
    config: Any, agents: Agents, rollout: Rollout, ac: ActorCritic, optimiser: Any, h: Hyperparameters
) -> dict[str, Tensor]:
    """Any algorithm's update of a rollout. Returns diagnostics."""
    module = importlib.import_module(type(config).__module__)
    match module.__name__.rpartition(".")[2]:
        case "reinforce":
            told = module.update(ac, optimiser, rollout, rollout.reward, agents.alive, config, h)
        case "a2c":
            _, told = module.update(ac, optimiser, rollout, rollout.reward, agents.alive, config, h)
        case _:
            estimates = estimate(ac, rollout, rollout.reward, h)
            told = module.update(ac, optimiser, rollout, estimates, agents, 0, config, h)
    return dict(told)


@pytest.mark.shapes
@pytest.mark.parametrize("name", NAMES)
def test_every_declared_metric_is_logged_and_no_other(tmp_path: Path, name: str) -> None:
    config = tiny(name)
    train(work(tmp_path, spec_of("Pendulum-v1"), population(config, [0]), config, iterations=3))
    rows = read_lines(tmp_path / "metrics.jsonl")
    assert len(rows) == 3
    declared = set(algorithm(name).metrics)
    assert all(declared <= set(row) for row in rows)


@pytest.mark.parametrize("name", OWN)
def test_an_agent_that_has_stopped_keeps_everything_and_its_neighbour_does_not_notice(name: str) -> None:
    config, ends = tiny(name), []
    for rests in (False, True):
        agents = population(config, [0, 1])
        rollout, ac, optimiser, h = played(spec_of("CartPole-v1"), config, agents, iterations=3, past=past(name))
        before = ac.parameters.theta.clone()
        if rests:
            agents.stop(0, Stop("diverged", "it shall rest"))
        told = updated(config, agents, rollout, ac, optimiser, h)
        ends.append([ac.parameters.theta, *optimiser.state().values()])
        assert equal_bits(ac.parameters.theta[0], before[0]) == rests
        assert told["policy_loss"].isfinite().all()
    assert all(equal_bits(one[1], other[1]) for one, other in zip(*ends, strict=True))
    assert all((stored[0] == 0).all() for stored in ends[1][1:])


@pytest.mark.parametrize("name", OWN)
def test_one_agents_nan_does_not_reach_its_neighbours_and_is_told(name: str) -> None:
    config, states, told = tiny(name), [], []
    for poison in (False, True):
        agents = population(config, [0, 1])
        rollout, ac, optimiser, h = played(spec_of("CartPole-v1"), config, agents, iterations=3, past=past(name))
        if poison:
            rollout.reward[1] = torch.nan
        told.append(updated(config, agents, rollout, ac, optimiser, h))
        states.append(ac.state())
    assert all(equal_bits(tensor[0], states[1][key][0]) for key, tensor in states[0].items())
    assert all(equal_bits(value[0], told[1][key][0]) for key, value in told[0].items())
    assert all(tensor.isfinite().all() for tensor in states[1].values()), "a step that is not finite is not made"
    assert told[1]["policy_loss"][1].isnan()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("name", OWN)
def test_a_rehearsal_is_the_agents_own_and_everything_moves(name: str, environment: str) -> None:
    config = tiny(name, envs=3, hidden=(13, 20), normalise_observations=True)
    agents, known = population(config, [0, 1, 2]), algorithm(name)
    spaces = Environments(spec_of(environment), agents, 1).spaces
    rehearse = importlib.import_module(type(config).__module__).rehearse
    more = [past(name)] * (name == "reinforce")
    theta = rehearse(spaces, agents, config, ActorCritic, *more)
    start, _ = known.build(spaces, agents, config, ActorCritic)
    assert (theta != start.parameters.theta).any(2).all()
    for a in range(3):
        assert equal_bits(rehearse(spaces, population(config, [a]), config, ActorCritic, *more)[0], theta[a])


CROSSINGS: dict[str, tuple[str, Any]] = {
    "reinforce": ("reward_to_go", lambda reward, *rest: reward + reward.mean(0)),
    "vpg": ("normalised", lambda advantage: advantage - advantage.mean()),
    "a2c": ("gae", lambda reward, *rest: reward + reward.mean(0)),
    "trpo": ("dot", lambda x, y: (x * y).sum(1) + 1e-3 * (x * y).sum()),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_a_rehearsal_shows_what_crosses_the_agent_axis(
    name: str, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(name)
    module = importlib.import_module(type(config).__module__)
    if broken:
        monkeypatch.setattr(module, *CROSSINGS[name])
    agents = population(config, [0, 1])
    spaces = Environments(spec_of("CartPole-v1"), agents, 1).spaces
    more = [past(name)] * (name == "reinforce")
    assert agents_are_independent(agents, lambda some: module.rehearse(spaces, some, config, ActorCritic, *more)) == (
        not broken
    )


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_learned_from_is_what_happened(
    tmp_path: Path, name: str, normalise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step of every environment is stored once, in order, and drawn by the policy and not its best."""
    stored: list[tuple[Tensor, Transition]] = []
    seen: list[Transition] = []
    store, step = Rollout.store, Environments.step

    def spy_store(self: Rollout, t: int, action: Tensor, transition: Transition) -> None:
        store(self, t, action, transition)
        at = self.past + t
        parts = (self.observation, self.next_observation, self.reward, self.terminated, self.truncated)
        stored.append((action.clone(), Transition(*(part[:, at].clone() for part in parts))))

    def spy_step(self: Environments, action: Tensor) -> Transition:
        transition = step(self, action)
        seen.append(Transition(*(part.clone() for part in transition)))
        return transition

    monkeypatch.setattr(Rollout, "store", spy_store)
    monkeypatch.setattr(Environments, "step", spy_step)
    config = tiny(name, envs=8, normalise_observations=normalise)
    train(work(tmp_path, spec_of("CartPole-v1"), population(config, [0, 1]), config, iterations=3))
    of_training = stored[-len(seen) :]
    assert len(seen) == 3 * config.steps_each / 8
    for (_, kept), happened in zip(of_training, seen, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(kept, happened, strict=True))
    chosen = torch.stack([action for action, _ in of_training]).float()
    assert 0.2 < chosen[:4].mean() < 0.8, "a new policy does both"


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_that_falls_is_not_0_in_the_last_iteration(tmp_path: Path, name: str) -> None:
    config = tiny(name)
    train(work(tmp_path, spec_of("CartPole-v1"), population(config, [0]), config, iterations=4))
    sizes = [row["step_size"] for row in read_lines(tmp_path / "metrics.jsonl")]
    assert sizes[-1] > 0
    assert all(np.isfinite(sizes))


@pytest.mark.parametrize("name", NAMES)
def test_rewards_that_are_learned_from_are_scaled_and_episodes_are_not(tmp_path: Path, name: str) -> None:
    config = tiny(name, envs=4)
    train(work(tmp_path, spec_of("Pendulum-v1"), population(config, [0]), config, iterations=8))
    assert read_lines(tmp_path / "metrics.jsonl")[-1]["reward_scale"] > 2
    assert all(row["return"] < -10 for row in read_lines(tmp_path / "episodes.jsonl"))


def body(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 7), nn.LayerNorm(7), nn.SiLU(), nn.Linear(7, outputs))


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("name", NAMES)
def test_networks_of_ones_own_learn_and_are_each_agents_own(tmp_path: Path, name: str, environment: str) -> None:
    config, make = tiny(name, hidden=(64, 64)), module_actor_critic(body, body)

    def trained(place: str, seeds: list[int]) -> ActorCritic:
        built: list[ActorCritic] = []

        def catch(*args: Any, **kwargs: Any) -> ActorCritic:
            built.append(make(*args, **kwargs))
            return built[-1]

        asked = work(tmp_path / place, spec_of(environment), population(config, seeds), config, iterations=3)
        algorithm(name).train(asked, catch)
        return built[0]

    among, alone = trained("among", [0, 1, 2]), trained("alone", [1])
    assert state_of(among, 1) == state_of(alone, 0)
    start = make(Environments(spec_of(environment), population(config, [1]), 1).spaces, population(config, [1]))
    moved = {key for key, tensor in start.state().items() if not torch.equal(tensor, alone.state()[key])}
    assert moved == set(start.state())


@pytest.mark.parametrize("name", NAMES)
def test_no_two_steps_are_taken_with_the_same_noise(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within an iteration, across its rollouts, and across iterations."""
    config, drawn = tiny(name), list[Tensor]()
    original = ActorCritic.act

    def watch(self: ActorCritic, observation: Tensor, noise: Tensor) -> Tensor:
        drawn.append(noise.clone())
        return original(self, observation, noise)

    monkeypatch.setattr(Unit, "check", lambda *_: None)
    monkeypatch.setattr(ActorCritic, "act", watch)
    train(work(tmp_path, spec_of("Pendulum-v1"), population(config, [0, 1]), config, iterations=3))
    numbers = torch.stack(drawn).flatten()
    assert len(numbers) == 3 * config.steps_each * 2
    assert len(numbers.unique()) > 0.999 * len(numbers)
