r"""REINFORCE: the smallest policy gradient there is.

Williams 1992, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning" (Machine
Learning 8), with the reward to go in place of the whole return (Sutton & Barto 2018, §13.3 and §13.4). Play whole
episodes with the policy π; make one step of gradient ascent along

    ∇J(θ) = E[ ∇ log π(a|s) (G - b(s)) ],   G_t = r_t + γ r_{t+1} + γ² r_{t+2} + … to the episode's end

where the baseline b is V(s), learned from G, or nothing.

Data flow, with A agents, T steps (`horizon`), N environments, P steps of the past, D observed numbers:

    collect   observation [A, P + T, N, D]  →  action [A, P + T, N, K], reward, terminated, truncated  [A, P + T, N]
    estimate  whose episode has ended, G  [A, P + T, N];  V(s)  →  advantage G - V(s)
    update    the steps of these episodes [A, (P + T)N, …]  →  one step of the policy, and steps of V

Departures from the paper: Adam instead of plain ascent; advantages are normalised, rewards scaled, and observations
normalised on request. γᵗ before the gradient is left out, as everywhere. An iteration has a fixed number of steps: an
episode that goes on is learned from in the iteration in which it ends, and began with the policy before. A time limit
is not an end: with a baseline, G goes on with V after it; without one there is nothing to go on with.
"""

import itertools
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.buffers import Rollout, made_up
from relook.envs import Environments, Spaces
from relook.errors import WrongRequest
from relook.formulas.returns import reward_to_go
from relook.networks import ActorCritic, fit_value, network_settings
from relook.population import Adam, Agents, RewardScaler
from relook.population.hyperparameters import Hyperparameters, anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "samples": Metric("steps whose episode ended in this iteration, and that were learned from"),
    "policy_loss": Metric("-E[log π(a|s) (G - b)] before the update"),
    "value_loss": Metric("mean squared error of V(s) against G, mean over passes; 0 without baseline", "reward²"),
    "entropy": Metric("mean entropy of π(·|s) before the update", "nats"),
    "value": Metric("mean of V(s) over the steps that were learned from; 0 without baseline", "reward"),
    "gradient_norm": Metric("norm of the policy's gradient"),
    "step_size": Metric("‖θ_after - θ_before‖ / ‖θ_before‖ of the iteration's update"),
    "reward_scale": Metric("what rewards are divided by before learning", "reward"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of REINFORCE."""

    learning_rate: float = numeric(3e-3, "Adam's step size α of the policy; usually 1e-3 to 1e-2", above=0)
    value_learning_rate: float = numeric(1e-3, "Adam's step size of the baseline; usually 1e-3 to 1e-2", above=0)
    discount: float = numeric(0.99, "discount γ; usually 0.9 to 1", low=0, high=1)
    adam_epsilon: float = structural(1e-5, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    envs: int = structural(4, "environments N per agent", low=1, at_start=True)
    horizon: int = structural(
        256, "steps T in each environment between updates; usually 200 to 2000", low=1, at_start=True
    )
    baseline: Literal["value", "none"] = structural("value", "what is taken from G: V(s), or nothing", at_start=True)
    value_epochs: int = structural(20, "steps of the baseline in an iteration; usually 5 to 80", low=1)
    hidden: tuple[int, ...] = structural(
        (64, 64), "units in the hidden layers of policy and value function", low=1, at_start=True
    )
    activation: Literal["tanh", "relu"] = structural("tanh", "activation of the hidden layers")
    initial_log_std: float = structural(
        0.0, "log σ of a new Gaussian policy, in units of half the action range; -1 to 0", at_start=True
    )
    anneal_learning_rate: bool = structural(True, "let the policy's learning rate fall linearly to 0")
    normalise_advantages: bool = structural(True, "shift and scale advantages to mean 0 and sd 1")
    normalise_observations: bool = structural(
        False, "shift and scale observations by their running mean and sd", at_start=True
    )
    scale_rewards: bool = structural(True, "divide rewards by the running sd of the discounted return", at_start=True)

    def check(self) -> None:
        """Any values fit together."""

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.horizon * self.envs


COMPONENTS: dict[str, dict[str, Any]] = {
    "baseline": {"baseline": "none"},
    "advantage normalisation": {"normalise_advantages": False},
    "reward scaling": {"scale_rewards": False},
    "learning-rate annealing": {"anneal_learning_rate": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def check_task(spaces: Spaces, time_limit: int | None) -> None:
    """Raise `WrongRequest` for an environment whose episodes may never end: they are learned from whole."""
    if time_limit is None:
        raise WrongRequest(
            "expected an environment whose episodes have a time limit, because REINFORCE learns from whole ones; "
            "found none: give it one with --max-episode-steps"
        )


def policy_loss(
    log_prob: Float[Tensor, "A B"], advantage: Float[Tensor, "A B"], share: Float[Tensor, "A B"]
) -> tuple[Float[Tensor, " A"], Float[Tensor, "A B"]]:
    """-E[log π(a|s) (G - b(s))], and its slope by log π; `share` are the weights of the samples, which add up to 1."""
    return -(log_prob * advantage * share).sum(1), -advantage * share


def update(
    ac: ActorCritic,
    optimiser: Adam,
    rollout: Rollout,
    reward: Float[Tensor, "A _ N"],
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Float[Tensor, " A"]]:
    """One iteration's step of the policy and steps of the baseline, on the episodes that have ended."""
    start, end = ac.parameters.theta.clone(), rollout.terminated | rollout.truncated
    learned = rollout.ended().flatten(1)
    samples, alive = learned.sum(1), alive & learned.any(1)
    share = learned / samples.clamp(min=1).unsqueeze(1)
    observation, action = rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)

    value, beyond = torch.zeros_like(share), torch.zeros_like(reward)
    if config.baseline == "value":
        value = ac.value(observation)
        next_value = ac.value(rollout.next_observation.flatten(1, 2)).view_as(reward)
        beyond = torch.where(rollout.terminated, 0.0, next_value)
    target = reward_to_go(reward, end, beyond, h.discount).flatten(1)
    advantage = target - value
    if config.normalise_advantages:
        advantage = advantage - (advantage * share).sum(1, keepdim=True)
        advantage = advantage / (advantage.square() * share).sum(1, keepdim=True).sqrt().clamp(min=1e-8)

    now = ac.evaluate_policy(observation, action)
    loss, by_log_prob = policy_loss(now.log_prob, advantage, share)
    now.backward(by_log_prob)
    norm = optimiser.step({"policy": h.learning_rate}, active={"policy": alive})
    value_loss = torch.zeros_like(loss)
    if config.baseline == "value":
        passes = itertools.repeat((observation, target, share), config.value_epochs)
        value_loss = fit_value(ac, optimiser, passes, h.value_learning_rate, alive)
    return {
        "samples": samples.float(),
        "policy_loss": loss,
        "value_loss": value_loss,
        "entropy": (now.entropy * share).sum(1),
        "value": (value * share).sum(1),
        "gradient_norm": torch.tensor(norm),
        "step_size": ac.relative_distance(start),
    }


def build(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> tuple[ActorCritic, Adam]:
    """The networks, made by the function that was passed in, and their optimiser."""
    ac = actor_critic(spaces, agents, **network_settings(config))
    return ac, Adam(ac.parameters, epsilon=config.adam_epsilon)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic], past: int
) -> Float[Tensor, "A ..."]:
    """An iteration on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    ac, optimiser = build(spaces, agents, config, actor_critic)
    rollout, reward = made_up(ac, agents, spaces, config, h, past=past)
    update(ac, optimiser, rollout, reward, agents.alive, config, h)
    return ac.parameters.theta


def reinforce(work: Work, actor_critic: Callable[..., ActorCritic] = ActorCritic) -> None:
    """Train one unit of work: all its agents as one computation."""
    config: Config = work.config
    with Unit(work, METRICS) as run, closing(Environments(work.environment, run.agents, config.envs)) as envs:
        agents, settings = run.agents, Hyperparameters(run.agents)
        ac, optimiser = build(envs.spaces, agents, config, actor_critic)
        scaler = RewardScaler(len(agents), config.envs, enabled=config.scale_rewards)
        past = envs.time_limit or 0  # an episode that ends in an iteration began no more steps earlier than that
        rollout = Rollout(len(agents), config.horizon, config.envs, envs.spaces, past=past)
        run.check(lambda some: rehearse(envs.spaces, some, config, actor_critic, past))
        run.start(ac, envs, optimiser=optimiser, reward_scaler=scaler, rollout=rollout)

        for iteration in run.iterations(config.steps_each):
            h = settings.annealed(anneals(config), run.progress)

            with run.stage("collect"):
                rollout.remember()
                noise = ac.noise(agents, "explore", iteration, (config.horizon, config.envs))
                for t in range(config.horizon):
                    action = ac.act(envs.observation, noise[:, t])
                    rollout.store(t, action, envs.step(action))

            with run.stage("update"):
                new = slice(rollout.past, None)
                scaler.update(rollout.reward[:, new], (rollout.terminated | rollout.truncated)[:, new], h.discount)
                diagnostics = update(ac, optimiser, rollout, scaler(rollout.reward), agents.alive, config, h)
                ac.observe(rollout.observation[:, new].flatten(1, 2))

            scale = scaler.scale  # record
            diagnostics["value_loss"] *= scale**2
            diagnostics["value"] *= scale
            run.record(diagnostics | {"reward_scale": scale}, envs.finished_episodes(), value_scale=scale)
