r"""Advantage actor-critic (A2C): synchronous, n-step, one update a rollout.

Mnih, Badia, Mirza, Graves, Lillicrap, Harley, Silver & Kavukcuoglu 2016, "Asynchronous Methods for Deep Reinforcement
Learning", arXiv:1602.01783, Algorithm S3, with its actors in step (Wu et al. 2017, OpenAI Baselines: ACKTR & A2C). Make
a few steps in all environments; estimate n-step advantages; make one step of gradient descent on

    L(θ) = -E[ log π(a|s) Â ] + c₁ E[ (V(s) - V_target)² ] - c₂ E[ H(π(·|s)) ]

of policy and value function at once. A rollout is so short that an iteration has several of them (`rollouts`): metrics
are of all of them.

Data flow, with A agents, T steps (`horizon`), N environments, D observed numbers, for each rollout:

    collect   observation [A, T, N, D]  →  action [A, T, N, K], reward, terminated, truncated  [A, T, N]
    update    log π(a|s), V(s), V(s')   →  advantage Â, value target Â + V(s)  [A, T, N]  →  ∂θ [A, G, P]  →  RMSprop

Departures from the paper: policy and value function share nothing; the value loss has no ½ (c₁ stands for it); rewards
are scaled, observations normalised, λ below 1 and advantages normalised on request. A time limit is not an end: targets
bootstrap through truncation.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.buffers import Estimates, Rollout, made_up, rollout_diagnostics
from relook.envs import Environments, Spaces
from relook.formulas.normalisation import normalised
from relook.formulas.returns import gae
from relook.formulas.shapes import expand
from relook.networks import ActorCritic, network_settings
from relook.population import Adam, Agents, Optimiser, RewardScaler, RMSprop
from relook.population.hyperparameters import Hyperparameters, anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "policy_loss": Metric("-E[log π(a|s) Â], mean over updates"),
    "value_loss": Metric("mean squared error of V(s) against its target, mean over updates", "reward²"),
    "entropy": Metric("mean entropy of π(·|s)", "nats"),
    "explained_variance": Metric(
        "1 - Var[target - V] / Var[target] before the update; null if targets are equal", optional=True
    ),
    "value_bias": Metric("mean(V - target) / sd(target) before the update; null if targets are equal", optional=True),
    "value": Metric("mean of V(s) over the rollout", "reward"),
    "gradient_norm": Metric("norm of the gradient before clipping, mean over updates"),
    "step_size": Metric("‖θ_after - θ_before‖ / ‖θ_before‖ of the iteration's updates together"),
    "learning_rate": Metric("step size α"),
    "saturation": Metric(
        "share of bounded action components at or beyond 99 % of the way to a bound; null if none", optional=True
    ),
    "reward_scale": Metric("what rewards are divided by before learning", "reward"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of A2C."""

    learning_rate: float = numeric(3e-3, "step size α; usually 7e-4 to 7e-3", above=0)
    discount: float = numeric(0.98, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    gae_lambda: float = numeric(1.0, "λ of the advantage estimate; 1: n-step, as published", low=0, high=1)
    value_coefficient: float = numeric(0.5, "weight c₁ of the value loss; usually 0.25 to 1", low=0)
    entropy_coefficient: float = numeric(0.0, "weight c₂ of the entropy bonus; usually 0 to 0.02", low=0)
    max_gradient_norm: float = numeric(0.5, "clip the gradient to this norm; usually 0.5 to 40; inf: never", above=0)
    optimiser: Literal["rmsprop", "adam"] = structural(
        "rmsprop", "how a gradient becomes a step; the paper's is RMSprop", at_start=True
    )
    epsilon: float = structural(1e-5, "ε of the optimiser's denominator; usually 1e-8 to 1e-5", above=0)
    envs: int = structural(8, "environments N per agent", low=1, at_start=True)
    horizon: int = structural(8, "steps T in each environment between updates; usually 5 to 20", low=1, at_start=True)
    rollouts: int = structural(8, "rollouts, each with its update, in an iteration", low=1, at_start=True)
    clip_together: bool = structural(False, "clip the gradients of policy and value function as one vector, not each")
    hidden: tuple[int, ...] = structural(
        (64, 64), "units in the hidden layers of policy and value function", low=1, at_start=True
    )
    activation: Literal["tanh", "relu"] = structural("tanh", "activation of the hidden layers")
    initial_log_std: float = structural(
        0.0, "log σ of a new Gaussian policy, in units of half the action range; -1 to 0", at_start=True
    )
    anneal_learning_rate: bool = structural(True, "let the learning rate fall linearly to 0")
    normalise_advantages: bool = structural(False, "shift and scale advantages to mean 0 and sd 1")
    normalise_observations: bool = structural(
        False, "shift and scale observations by their running mean and sd", at_start=True
    )
    scale_rewards: bool = structural(True, "divide rewards by the running sd of the discounted return", at_start=True)

    def check(self) -> None:
        """Any values fit together."""

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.rollouts * self.horizon * self.envs


COMPONENTS: dict[str, dict[str, Any]] = {
    "reward scaling": {"scale_rewards": False},
    "gradient clipping": {"max_gradient_norm": float("inf")},
    "clipping each by itself": {"clip_together": True},
    "learning-rate annealing": {"anneal_learning_rate": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def policy_loss(
    log_prob: Float[Tensor, "A B"], advantage: Float[Tensor, "A B"]
) -> tuple[Float[Tensor, " A"], Float[Tensor, "A B"]]:
    """-E[log π(a|s) Â], and its slope by log π."""
    return -(log_prob * advantage).mean(1), -advantage / advantage.shape[1]


def update(
    ac: ActorCritic,
    optimiser: Optimiser,
    rollout: Rollout,
    reward: Float[Tensor, "A T N"],
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> tuple[Estimates, dict[str, Float[Tensor, " A"]]]:
    """One step of policy and value function on a rollout. Returns what it was judged by, and diagnostics."""
    now = ac.evaluate(rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2))
    log_prob, value = now.log_prob.view_as(reward), now.value.view_as(reward)
    next_value = ac.value(rollout.next_observation.flatten(1, 2)).view_as(reward)
    advantage = gae(reward, value, next_value, rollout.terminated, rollout.truncated, h.discount, h.gae_lambda)
    estimates = Estimates(log_prob, value, advantage, target=advantage + value)

    weight = advantage.flatten(1)
    loss, by_log_prob = policy_loss(now.log_prob, normalised(weight) if config.normalise_advantages else weight)
    error = now.value - estimates.target.flatten(1)
    by_entropy = None
    if h.any("entropy_coefficient"):  # the slope of -c₂ times the mean entropy
        by_entropy = -expand(h.entropy_coefficient / weight.shape[1], 2).expand_as(weight)
    now.backward(by_log_prob, expand(h.value_coefficient * (2 / weight.shape[1]), 2) * error, by_entropy)
    norm = optimiser.step(
        {"policy": h.learning_rate, "value": h.learning_rate},
        active={"policy": alive, "value": alive},
        max_norm=h.max_gradient_norm,
        clip_together=config.clip_together,
    )
    return estimates, {
        "policy_loss": loss,
        "value_loss": error.square().mean(1),
        "entropy": now.entropy.mean(1),
        "gradient_norm": torch.tensor(norm),
    }


def build(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> tuple[ActorCritic, Optimiser]:
    """The networks, made by the function that was passed in, and their optimiser."""
    ac = actor_critic(spaces, agents, **network_settings(config))
    kind = {"rmsprop": RMSprop, "adam": Adam}[config.optimiser]
    return ac, kind(ac.parameters, epsilon=config.epsilon)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> Float[Tensor, "A ..."]:
    """An iteration on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    ac, optimiser = build(spaces, agents, config, actor_critic)
    rollout, reward = made_up(ac, agents, spaces, config, h)
    for _ in range(4):
        update(ac, optimiser, rollout, reward, agents.alive, config, h)
    return ac.parameters.theta


def a2c(work: Work, actor_critic: Callable[..., ActorCritic] = ActorCritic) -> None:
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
            before, seen = ac.parameters.theta.clone(), []
            noise = ac.noise(agents, "explore", iteration, (config.rollouts, config.horizon, config.envs))

            for number in range(config.rollouts):
                with run.stage("collect"):
                    for t in range(config.horizon):
                        action = ac.act(envs.observation, noise[:, number, t])
                        rollout.store(t, action, envs.step(action))

                with run.stage("update"):
                    scaler.update(rollout.reward, rollout.terminated | rollout.truncated, h.discount)
                    scale, reward = scaler.scale, scaler(rollout.reward)
                    estimates, losses = update(ac, optimiser, rollout, reward, agents.alive, config, h)
                    losses["value_loss"] *= scale**2
                    in_reward = Estimates(*(x * expand(scale, 3) for x in estimates))
                    seen.append((losses, in_reward, rollout.action.clone()))
                    ac.observe(rollout.observation.flatten(1, 2))

            of_rollouts, parts, actions = zip(*seen, strict=True)  # record
            estimates = Estimates(*(torch.cat(x, 1) / expand(scale, 3) for x in zip(*parts, strict=True)))
            diagnostics = {name: torch.stack([one[name] for one in of_rollouts]).mean(0) for name in losses}
            diagnostics |= rollout_diagnostics(estimates, torch.cat(actions, 1), envs.spaces, scale)
            diagnostics["updates"] = torch.full((len(agents),), float(config.rollouts))
            diagnostics |= {"step_size": ac.relative_distance(before), "learning_rate": h.learning_rate}
            run.record(diagnostics, envs.finished_episodes(), estimates.value, scale)
