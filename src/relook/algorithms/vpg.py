r"""Vanilla policy gradient (VPG), with a value function and generalised advantage estimates.

Sutton, McAllester, Singh & Mansour 2000, "Policy Gradient Methods for Reinforcement Learning with Function
Approximation" (NIPS 12), Theorem 1; Schulman, Moritz, Levine, Jordan & Abbeel 2016, "High-Dimensional Continuous
Control Using Generalized Advantage Estimation", arXiv:1506.02438, Eqs. 1 and 16. Collect a rollout with the policy π;
estimate advantages; make one step of gradient ascent along

    ∇J(θ) = E[ ∇ log π(a|s) Â ]

and then fit the value function to Â + V, in several epochs of minibatch steps.

Data flow, with A agents, T steps (`horizon`), N environments, D observed numbers:

    collect   observation [A, T, N, D]  →  action [A, T, N, K], reward, terminated, truncated  [A, T, N]
    estimate  V(s), V(s')               →  advantage Â, value target Â + V(s)  [A, T, N]
    update    the whole rollout [A, TN, …]  →  one step of the policy;  minibatches [A, B, …]  →  V

Departures from the papers: Adam instead of plain ascent; advantages are normalised, rewards scaled, and observations
normalised on request. A time limit is not an end: targets bootstrap through truncation.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.buffers import Estimates, Rollout, estimate, made_up, rollout_diagnostics
from relook.envs import Environments, Spaces
from relook.formulas.normalisation import normalised
from relook.networks import ActorCritic, fit_value, network_settings
from relook.population import Adam, Agents, RewardScaler
from relook.population.hyperparameters import Hyperparameters, anneals, check_minibatch, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "policy_loss": Metric("-E[log π(a|s) Â] before the update"),
    "value_loss": Metric("mean squared error of V(s) against its target, mean over minibatches", "reward²"),
    "entropy": Metric("mean entropy of π(·|s) before the update", "nats"),
    "kl": Metric("mean KL(π_old ‖ π) of the policy's step", "nats"),
    "explained_variance": Metric(
        "1 - Var[target - V] / Var[target] before the update; null if targets are equal", optional=True
    ),
    "value_bias": Metric("mean(V - target) / sd(target) before the update; null if targets are equal", optional=True),
    "value": Metric("mean of V(s) over the rollout", "reward"),
    "gradient_norm": Metric("norm of the policy's gradient before clipping"),
    "step_size": Metric("‖θ_after - θ_before‖ / ‖θ_before‖ of the iteration's update"),
    "saturation": Metric(
        "share of bounded action components at or beyond 99 % of the way to a bound; null if none", optional=True
    ),
    "reward_scale": Metric("what rewards are divided by before learning", "reward"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of VPG."""

    learning_rate: float = numeric(1e-2, "Adam's step size α of the policy; usually 3e-4 to 1e-2", above=0)
    value_learning_rate: float = numeric(1e-3, "Adam's step size of the value function; usually 1e-3", above=0)
    discount: float = numeric(0.98, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    gae_lambda: float = numeric(0.95, "λ of the advantage estimate; usually 0.9 to 1", low=0, high=1)
    entropy_coefficient: float = numeric(0.0, "weight of an entropy bonus; usually 0 to 0.02", low=0)
    max_gradient_norm: float = numeric(
        float("inf"), "clip the policy's gradient to this norm; usually 0.5 to 10; inf: never", above=0
    )
    adam_epsilon: float = structural(1e-5, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    envs: int = structural(8, "environments N per agent", low=1, at_start=True)
    horizon: int = structural(
        64, "steps T in each environment between updates; usually 32 to 2048", low=1, at_start=True
    )
    value_epochs: int = structural(10, "passes over the rollout that fit the value function; usually 5 to 80", low=1)
    minibatch: int = structural(128, "samples in a step of the value function; usually 64 to 4000", low=1)
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
        """Raise `WrongRequest` for values that do not fit together."""
        check_minibatch(self.minibatch, self.steps_each)

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.horizon * self.envs


COMPONENTS: dict[str, dict[str, Any]] = {
    "GAE": {"gae_lambda": 1.0},
    "advantage normalisation": {"normalise_advantages": False},
    "reward scaling": {"scale_rewards": False},
    "learning-rate annealing": {"anneal_learning_rate": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def policy_loss(
    log_prob: Float[Tensor, "A B"], advantage: Float[Tensor, "A B"]
) -> tuple[Float[Tensor, " A"], Float[Tensor, "A B"]]:
    """-E[log π(a|s) Â] (arXiv:1506.02438, Eq. 1), and its slope by log π."""
    return -(log_prob * advantage).mean(1), -advantage / advantage.shape[1]


def policy_step(
    ac: ActorCritic,
    optimiser: Adam,
    rollout: Rollout,
    estimates: Estimates,
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Float[Tensor, " A"]]:
    """One step of the policy on the whole rollout. Returns diagnostics."""
    observation, action = rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)
    advantage = estimates.advantage.flatten(1)
    advantage = normalised(advantage) if config.normalise_advantages else advantage
    before = ac.evaluate_policy(observation, action)
    loss, by_log_prob = policy_loss(before.log_prob, advantage)
    by_entropy = (-h.entropy_coefficient / advantage.shape[1]).unsqueeze(1).expand_as(advantage)
    before.backward(by_log_prob, by_entropy)
    norm = optimiser.step({"policy": h.learning_rate}, active={"policy": alive}, max_norm=h.max_gradient_norm)
    after = ac.evaluate_policy(observation, action)
    return {
        "policy_loss": loss,
        "entropy": before.entropy.mean(1),
        "kl": ac.kl(before.distribution, after.distribution).mean(1),
        "gradient_norm": torch.tensor(norm),
    }


def update(
    ac: ActorCritic,
    optimiser: Adam,
    rollout: Rollout,
    estimates: Estimates,
    agents: Agents,
    iteration: int,
    config: Config,
    h: Hyperparameters,
) -> dict[str, Float[Tensor, " A"]]:
    """One iteration's step of the policy, and the steps of the value function. Returns diagnostics."""
    start = ac.parameters.theta.clone()
    diagnostics = policy_step(ac, optimiser, rollout, estimates, agents.alive, config, h)
    batches = rollout.minibatches(agents, iteration, config.value_epochs, config.minibatch, *estimates)
    samples = ((batch.observation, batch.target, 1 / batch.target.shape[1]) for batch in batches)
    diagnostics["value_loss"] = fit_value(ac, optimiser, samples, h.value_learning_rate, agents.alive)
    return diagnostics | {"step_size": ac.relative_distance(start)}


def build(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> tuple[ActorCritic, Adam]:
    """The networks, made by the function that was passed in, and their optimiser."""
    ac = actor_critic(spaces, agents, **network_settings(config))
    return ac, Adam(ac.parameters, epsilon=config.adam_epsilon)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> Float[Tensor, "A ..."]:
    """An iteration on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    ac, optimiser = build(spaces, agents, config, actor_critic)
    rollout, reward = made_up(ac, agents, spaces, config, h)
    update(ac, optimiser, rollout, estimate(ac, rollout, reward, h), agents, 0, config, h)
    return ac.parameters.theta


def vpg(work: Work, actor_critic: Callable[..., ActorCritic] = ActorCritic) -> None:
    """Train one unit of work: all its agents as one computation."""
    config: Config = work.config
    with Unit(work, METRICS) as run, closing(Environments(work.environment, run.agents, config.envs)) as envs:
        agents, settings = run.agents, Hyperparameters(run.agents)
        ac, optimiser = build(envs.spaces, agents, config, actor_critic)
        scaler = RewardScaler(len(agents), config.envs, enabled=config.scale_rewards)
        rollout = Rollout(len(agents), config.horizon, config.envs, envs.spaces)
        run.check(lambda some: rehearse(envs.spaces, some, config, actor_critic))
        run.start(ac, envs, optimiser=optimiser, reward_scaler=scaler)

        for iteration in run.iterations(config.steps_each):
            h = settings.annealed(anneals(config), run.progress)

            with run.stage("collect"):
                noise = ac.noise(agents, "explore", iteration, (config.horizon, config.envs))
                for t in range(config.horizon):
                    action = ac.act(envs.observation, noise[:, t])
                    rollout.store(t, action, envs.step(action))

            with run.stage("estimate"):
                scaler.update(rollout.reward, rollout.terminated | rollout.truncated, h.discount)
                estimates = estimate(ac, rollout, scaler(rollout.reward), h)

            with run.stage("update"):
                diagnostics = update(ac, optimiser, rollout, estimates, agents, iteration, config, h)
                ac.observe(rollout.observation.flatten(1, 2))

            diagnostics |= rollout_diagnostics(estimates, rollout.action, envs.spaces, scaler.scale)  # record
            diagnostics["value_loss"] *= scaler.scale**2
            run.record(diagnostics, envs.finished_episodes(), estimates.value, scaler.scale)
