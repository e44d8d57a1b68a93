r"""Proximal Policy Optimisation, the clipped kind (PPO-Clip).

Schulman, Wolski, Dhariwal, Radford & Klimov 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347.
Collect a rollout with the policy π_old; estimate advantages; take several epochs of minibatch steps on

    L(θ) = E[ min(r Â, clip(r, 1-ε, 1+ε) Â) ] - c₁ E[ (V(s) - V_target)² ] + c₂ E[ H(π(·|s)) ]      (Eqs. 7 and 9)

with r = π(a|s) / π_old(a|s). The clip takes away the reward for moving r further than ε from 1.

Data flow, with A agents, T steps (`horizon`), N environments, B samples in a minibatch, D observed numbers:

    collect   observation [A, T, N, D]  →  action [A, T, N, K], reward, terminated, truncated  [A, T, N]
    estimate  log π_old(a|s), V(s), V(s')  →  advantage Â, value target Â + V(s)  [A, T, N]
    update    minibatch [A, B, …]       →  losses and their slopes [A, B]  →  ∂θ [A, G, P]  →  Adam

Departures from the paper. Usual ones (Huang et al. 2022, "The 37 Implementation Details of PPO"): advantages are
normalised per minibatch; weights start orthogonal; gradients are clipped; rewards are scaled, and observations
normalised on request; policy and value function share nothing. Ours: the gradients of policy and value function are
clipped each by itself, so that a large value error does not shrink the policy's step (LOG.md). A time limit is not an
end: targets bootstrap through truncation.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.buffers import Minibatch, Rollout, estimate, made_up, rollout_diagnostics
from relook.envs import Environments, Spaces
from relook.formulas.normalisation import normalised
from relook.formulas.shapes import expand
from relook.networks import ActorCritic, network_settings
from relook.population import Adam, Agents, RewardScaler
from relook.population.hyperparameters import Hyperparameters, anneals, check_minibatch, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "policy_loss": Metric("clipped surrogate loss, mean over the update's minibatches"),
    "value_loss": Metric("mean squared error of V(s) against its target, mean over minibatches", "reward²"),
    "entropy": Metric("mean entropy of π(·|s)", "nats"),
    "kl": Metric("KL(π_old ‖ π) by E[(r-1) - log r], which cannot be negative, mean over minibatches", "nats"),
    "clip_fraction": Metric("share of samples with |r - 1| > ε, mean over minibatches"),
    "explained_variance": Metric(
        "1 - Var[target - V] / Var[target] before the update; null if targets are equal", optional=True
    ),
    "value_bias": Metric("mean(V - target) / sd(target) before the update; null if targets are equal", optional=True),
    "value": Metric("mean of V(s) over the rollout", "reward"),
    "gradient_norm": Metric("norm of the gradient before clipping, mean over minibatches"),
    "step_size": Metric("‖θ_after - θ_before‖ / ‖θ_before‖ of the iteration's update"),
    "updates": Metric("minibatch steps that the policy took; fewer than planned if the KL stop ended the update"),
    "saturation": Metric(
        "share of bounded action components at or beyond 99 % of the way to a bound; null if none", optional=True
    ),
    "learning_rate": Metric("Adam's step size α"),
    "reward_scale": Metric("what rewards are divided by before learning", "reward"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of PPO."""

    learning_rate: float = numeric(1e-3, "Adam's step size α; usually 1e-4 to 1e-3", above=0)
    discount: float = numeric(0.98, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    gae_lambda: float = numeric(0.9, "λ of the advantage estimate; usually 0.8 to 1", low=0, high=1)
    clip: float = numeric(0.2, "clip range ε of the probability ratio; usually 0.1 to 0.3", above=0)
    value_clip: float = numeric(
        float("inf"),
        "V moves at most this far from V_old in an update, on the scale of scaled rewards; inf: not clipped",
        above=0,
    )
    value_learning_rate_factor: float = numeric(
        1.0, "learning rate of the value function ÷ that of the policy", above=0
    )
    value_coefficient: float = numeric(0.5, "weight c₁ of the value loss; usually 0.25 to 1", low=0)
    entropy_coefficient: float = numeric(0.0, "weight c₂ of the entropy bonus; usually 0 to 0.02", low=0)
    max_gradient_norm: float = numeric(0.5, "clip the gradient to this norm; usually 0.5 to 10; inf: never", above=0)
    target_kl: float = numeric(
        float("inf"), "stop an agent's update when KL > 1.5 × this; usually 0.01 to 0.05; inf: never", above=0
    )
    adam_epsilon: float = structural(1e-5, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    envs: int = structural(8, "environments N per agent", low=1, at_start=True)
    horizon: int = structural(
        64, "steps T in each environment between updates; usually 32 to 2048", low=1, at_start=True
    )
    clip_together: bool = structural(False, "clip the gradients of policy and value function as one vector, not each")
    epochs: int = structural(10, "passes over the rollout per update; usually 3 to 10", low=1)
    minibatch: int = structural(256, "samples B per gradient step; usually 64 to 512", low=1)
    hidden: tuple[int, ...] = structural(
        (64, 64), "units in the hidden layers of policy and value function", low=1, at_start=True
    )
    activation: Literal["tanh", "relu"] = structural("tanh", "activation of the hidden layers")
    initial_log_std: float = structural(
        0.0, "log σ of a new Gaussian policy, in units of half the action range; -1 to 0", at_start=True
    )
    anneal_learning_rate: bool = structural(True, "let the learning rate fall linearly to 0")
    anneal_clip: bool = structural(True, "let the clip range fall linearly to 0")
    normalise_advantages: bool = structural(True, "shift and scale advantages to mean 0 and sd 1 in each minibatch")
    recompute_advantages: bool = structural(
        False, "estimate advantages and value targets anew, with V as it is by then, before each epoch"
    )
    normalise_observations: bool = structural(
        False, "shift and scale observations by their running mean and sd", at_start=True
    )
    scale_rewards: bool = structural(True, "divide rewards by the running sd of the discounted return", at_start=True)
    kl_stops: Literal["both", "policy"] = structural("both", "what the KL stop ends: both losses or the policy's alone")

    def check(self) -> None:
        """Raise `WrongRequest` for values that do not fit together."""
        check_minibatch(self.minibatch, self.steps_each)

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.horizon * self.envs


COMPONENTS: dict[str, dict[str, Any]] = {
    "ratio clipping": {"clip": 1e9},
    "several epochs": {"epochs": 1},
    "GAE": {"gae_lambda": 1.0},
    "advantage normalisation": {"normalise_advantages": False},
    "reward scaling": {"scale_rewards": False},
    "gradient clipping": {"max_gradient_norm": float("inf")},
    "clipping each by itself": {"clip_together": True},
    "learning-rate annealing": {"anneal_learning_rate": False},
    "clip annealing": {"anneal_clip": False},
    "tanh units": {"activation": "relu"},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


# Losses are given for each sample, and their slope is how the mean over samples changes with each log π(a|s) or V(s).
# `Evaluation.backward` goes on from there; autograd would do the same, in more time than the rest of a minibatch takes.


def clip_loss(
    log_ratio: Float[Tensor, "A B"], advantage: Float[Tensor, "A B"], clip: Float[Tensor, " A"]
) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
    """-min(r Â, clip(r, 1-ε, 1+ε) Â) with r = π(a|s) / π_old(a|s), Eq. 7; and the slope of its mean by log π(a|s).

    The minimum only ever meets the bound on the side that the advantage pushes to: 1+ε for Â > 0, 1-ε for Â < 0. As
    r = e^(log r), the slope is -r Â / B, and 0 beyond the bound.
    """
    bound = (1 + torch.copysign(expand(clip, 2), advantage)) * advantage
    surrogate = log_ratio.exp() * advantage
    return -torch.minimum(surrogate, bound), torch.where(surrogate >= bound, 0.0, surrogate) / -surrogate.shape[1]


def value_loss(
    value: Float[Tensor, "A B"],
    value_old: Float[Tensor, "A B"],
    target: Float[Tensor, "A B"],
    value_clip: Float[Tensor, " A"] | None = None,
) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
    """(V - target)², Eq. 9, and the slope of its mean by V.

    Where V is farther than `value_clip` (infinite: never) from V_old, it is the worse of this and of the same for the
    nearest allowed value, which does not change with V.
    """
    error = value - target
    squares, slope = error.square(), error * (2 / error.shape[1])
    if value_clip is not None:
        reach, moved = expand(value_clip, 2), value - value_old
        nearest = value_old + torch.copysign(reach, moved)
        held = torch.where(moved.abs() > reach, (nearest - target).square(), 0.0)
        slope = torch.where(held > squares, 0.0, slope)
        squares = torch.maximum(squares, held)
    return squares, slope


class Step(NamedTuple):
    """What one minibatch gave, to be looked at after the update."""

    took_part: Bool[Tensor, " A"]
    moved: Bool[Tensor, " A"]
    gradient_norm: list[float]
    policy_loss: Float[Tensor, "A B"]
    value_loss: Float[Tensor, "A B"]
    entropy: Float[Tensor, "A B"]
    log_ratio: Float[Tensor, "A B"]


def kl(log_ratio: Float[Tensor, "*A B"]) -> Float[Tensor, "*A"]:
    """KL(π_old ‖ π) from log r of samples of π_old: E[(r-1) - log r], which cannot be negative."""
    return (log_ratio.exp() - 1 - log_ratio).mean(-1)


def gradient_step(
    ac: ActorCritic,
    optimiser: Adam,
    batch: Minibatch,
    alive: Bool[Tensor, " A"],
    active: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> Step:
    """One minibatch: every agent that is active, and whose KL has not passed 1.5 × the target, makes one step."""
    advantage = normalised(batch.advantage) if config.normalise_advantages else batch.advantage
    now = ac.evaluate(batch.observation, batch.action)
    log_ratio = now.log_prob - batch.log_prob
    policy_loss, by_log_prob = clip_loss(log_ratio, advantage, h.clip)
    value_error, by_value = value_loss(now.value, batch.value, batch.target, h.finite("value_clip"))
    by_entropy = None
    if h.any("entropy_coefficient"):  # the slope of -c₂ times the mean entropy
        by_entropy = -expand(h.entropy_coefficient / log_ratio.shape[1], 2).expand_as(log_ratio)
    now.backward(by_log_prob, expand(h.value_coefficient, 2) * by_value, by_entropy)

    moving = active if h.finite("target_kl") is None else active & ~(kl(log_ratio) > 1.5 * h.target_kl)
    gradient_norm = optimiser.step(
        {"policy": h.learning_rate, "value": h.learning_rate * h.value_learning_rate_factor},
        active={"policy": moving, "value": moving if config.kl_stops == "both" else alive},
        max_norm=h.max_gradient_norm,
        clip_together=config.clip_together,
    )
    return Step(active, moving, gradient_norm, policy_loss, value_error, now.entropy, log_ratio)


def update(
    ac: ActorCritic,
    optimiser: Adam,
    batches: Iterable[Minibatch],
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Float[Tensor, " A"]]:
    """One iteration's minibatches, for the agents that still learn (`alive`).

    Returns diagnostics, averaged over the minibatches in which an agent's policy took part.
    """
    before, active = ac.parameters.theta.clone(), alive
    all_may_stop = config.kl_stops == "both" and h.finite("target_kl") is not None
    steps: list[Step] = []
    measured: list[dict[str, Tensor]] = []
    for batch in batches:
        steps.append(gradient_step(ac, optimiser, batch, alive, active, config, h))
        active = steps[-1].moved
        if len(steps) == 64:  # what thousands of minibatches leave behind would take memory apart
            measured.append(minibatch_diagnostics(steps, h))
            steps.clear()
        if all_may_stop and not active.any():
            break
    if steps:
        measured.append(minibatch_diagnostics(steps, h))
    return update_diagnostics(measured) | {"step_size": ac.relative_distance(before)}


def minibatch_diagnostics(steps: Sequence[Step], h: Hyperparameters) -> dict[str, Tensor]:
    """Means [M, A] over the samples of each of M minibatches, and who took part in it and who moved."""
    measured: dict[str, list[Tensor]] = defaultdict(list)
    for size in sorted({step.log_ratio.shape[1] for step in steps}):  # the last of an epoch may be smaller
        alike = [step for step in steps if step.log_ratio.shape[1] == size]
        columns = zip(Step._fields, zip(*alike, strict=True), strict=True)
        stacked = {name: torch.stack(x) if isinstance(x[0], Tensor) else torch.tensor(x) for name, x in columns}
        log_ratio = stacked.pop("log_ratio")
        stacked["kl"] = kl(log_ratio)
        stacked["clip_fraction"] = ((log_ratio.exp() - 1).abs() > expand(h.clip, 2)).float().mean(-1)
        for name, x in stacked.items():
            measured[name].append(x.mean(-1) if x.ndim == 3 else x)  # over samples
    return {name: torch.cat(x) for name, x in measured.items()}


def update_diagnostics(measured: Sequence[Mapping[str, Tensor]]) -> dict[str, Float[Tensor, " A"]]:
    """Means over the minibatches in which an agent's policy took part."""
    whole = {name: torch.cat([part[name] for part in measured]) for name in measured[0]}
    took_part, updates = whole.pop("took_part"), whole.pop("moved").sum(0)
    means = {name: torch.where(took_part, x, 0.0).sum(0) / took_part.sum(0) for name, x in whole.items()}
    return means | {"updates": updates}


def renewed(
    ac: ActorCritic, rollout: Rollout, reward: Float[Tensor, "A T N"], h: Hyperparameters
) -> tuple[Float[Tensor, "A T N"], Float[Tensor, "A T N"]]:
    """Advantages and targets as V has them within an update (Andrychowicz et al. 2021, §3.5, arXiv:2006.05990)."""
    now = estimate(ac, rollout, reward, h)
    return now.advantage, now.target


def build(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> tuple[ActorCritic, Adam]:
    """The networks, made by the function that was passed in, and their optimiser."""
    ac = actor_critic(spaces, agents, **network_settings(config))
    return ac, Adam(ac.parameters, epsilon=config.adam_epsilon)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., ActorCritic]
) -> Float[Tensor, "A ..."]:
    """A few steps and minibatches on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    ac, optimiser = build(spaces, agents, config, actor_critic)
    rollout, reward = made_up(ac, agents, spaces, config, h)
    estimates = estimate(ac, rollout, reward, h)
    *batches, last = rollout.minibatches(agents, 0, 1, config.minibatch, *estimates)
    some = torch.tensor([agent.seed % 3 != 2 for agent in agents])  # the optimiser goes another way when agents rest
    for batch, alive in [*((batch, agents.alive) for batch in batches[:4]), (last, some)]:
        gradient_step(ac, optimiser, batch, alive, alive, config, h)
    return ac.parameters.theta


def ppo(work: Work, actor_critic: Callable[..., ActorCritic] = ActorCritic) -> None:
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
                reward = scaler(rollout.reward)
                estimates = estimate(ac, rollout, reward, h)

            with run.stage("update"):
                anew = partial(renewed, ac, rollout, reward, h) if config.recompute_advantages else None
                batches = rollout.minibatches(
                    agents, iteration, config.epochs, config.minibatch, *estimates, renew=anew
                )
                diagnostics = update(ac, optimiser, batches, agents.alive, config, h)
                ac.observe(rollout.observation.flatten(1, 2))

            diagnostics |= rollout_diagnostics(estimates, rollout.action, envs.spaces, scaler.scale)  # record
            diagnostics["value_loss"] *= scaler.scale**2
            diagnostics["learning_rate"] = h.learning_rate
            run.record(diagnostics, envs.finished_episodes(), estimates.value, scaler.scale)
