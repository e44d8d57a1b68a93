r"""Soft actor-critic (SAC).

Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications", arXiv:1812.05905, Algorithm 1. Maximise the
return and, weighted with a temperature α, the entropy of the policy. Act with a Gaussian that tanh squashes into the
bounds; keep every transition; from samples of all that is kept learn two critics towards

    y = r + γ (min Q'(s', a') - α log π(a'|s')),   a' ~ π(·|s')                                    (Eqs. 3 and 5)

the policy down α log π(a|s) - min Q(s, a) with a ~ π(·|s) through its noise (Eq. 9), and α so that the entropy comes to
a target H̄, down E[ -α (log π(a|s) + H̄) ] (Eq. 18). The target critics follow: θ' ← (1 - τ) θ' + τ θ.

Data flow, with A agents, N environments, B samples in a batch, D observed numbers, K numbers of an action:

    collect   observation [A, N, D]  →  action [A, N, K], and the transition into the replay
    sample    places [A, B]          →  observation, action, reward, next observation, terminated  [A, B, …]
    update    y [A, B], Q(s, a) [A, 2, B]    →  ∂θ of both critics  →  Adam
              α log π(a|s) - min Q(s, a)     →  slopes by action [A, B, K] and log π  →  ∂θ of the policy  →  Adam
              log π(a|s) + H̄                →  ∂ log α  →  Adam
              the target critics follow

Departures from the paper: the temperature's loss is linear in log α, as in the authors' code; actions are uniform at
first. A time limit is not an end: targets bootstrap through truncation.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from relook.buffers import Averages, Batch, check_schedule, intervals, made_up_batch, replay_for, saturation
from relook.envs import Environments, Spaces, check_bounded
from relook.formulas.diagnostics import dormant
from relook.formulas.returns import squared_error, td_target
from relook.networks import SquashedActorCritic
from relook.population import Adam, Agents, Ahead, Parameters, Target
from relook.population.hyperparameters import Hyperparameters, anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "policy_loss": Metric("α log π(a|s) - min Q(s, a), mean over the iteration's updates", "reward"),
    "q_loss": Metric("squared error of Q(s, a) against its target, mean over both critics and updates", "reward²"),
    "q": Metric("mean of Q(s, a) over both critics and samples of the replay", "reward"),
    "td_error": Metric("mean of |y - Q(s, a)|, over the same samples", "reward"),
    "q_bias": Metric(
        "mean of min Q(s, a) - discounted return for the squashed mean a, over the states of the last evaluation; Q "
        "counts α times the entropy to come, the return does not",
        "reward",
        optional=True,
    ),
    "target_lag": Metric("‖θ - θ'‖ / ‖θ‖ of the critics at the end of the iteration"),
    "policy_gradient_norm": Metric("norm of the policy's gradient, mean over updates"),
    "q_gradient_norm": Metric("norm of the critics' gradient, mean over updates"),
    "temperature": Metric("α, mean over updates", "reward per nat"),
    "entropy": Metric("-log π(a|s) of drawn actions, mean over updates", "nats"),
    "saturation": Metric("share of components of drawn actions at or beyond 99 % of the way to a bound, on a batch"),
    "dormant": Metric("share of hidden units of the critics with E|h| ≤ 2.5 % of their layer's mean, on a batch"),
    "replay_age": Metric("mean age of sampled transitions", "steps of the agent"),
    "update_to_data": Metric("updates in this iteration ÷ its environment steps"),
    "learning_rate": Metric("Adam's step size of the policy"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of SAC."""

    learning_rate: float = numeric(1e-3, "Adam's step size of the policy; usually 1e-4 to 1e-3", above=0)
    q_learning_rate: float = numeric(1e-3, "Adam's step size of the critics; usually 3e-4 to 1e-3", above=0)
    discount: float = numeric(0.99, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    target_rate: float = numeric(
        0.005, "share τ of the way that target networks go at each update; 0.001 to 0.01", above=0, high=1
    )
    temperature: float = numeric(1.0, "α, at the start if it is learned; a fixed one: usually 0.05 to 0.2", above=0)
    temperature_learning_rate: float = numeric(1e-3, "Adam's step size of log α; usually 3e-4 to 1e-3", above=0)
    target_entropy: float = numeric(-1.0, "entropy H̄ that α is learned for, per component of an action; in nats")
    learn_temperature: bool = structural(True, "learn α, or keep it")
    envs: int = structural(1, "environments N per agent", low=1, at_start=True)
    iteration: int = structural(1000, "environment steps of each agent between records", low=1, at_start=True)
    update_interval: int = structural(1, "environment steps between updates; 1 to 50", low=1, at_start=True)
    update_to_data: float = structural(1.0, "updates for each environment step; 0.5 to 4", above=0, at_start=True)
    random_steps: int = structural(
        1000, "environment steps with actions from all over their range", low=0, at_start=True
    )
    learning_starts: int = structural(1000, "environment steps before the first update", low=1, at_start=True)
    capacity: int = structural(1_000_000, "transitions that the replay keeps for each agent", low=1, at_start=True)
    batch: int = structural(256, "samples B per update; usually 100 to 256", low=1)
    n_step: int = structural(1, "rewards that a target adds up before it bootstraps; 1 to 5", low=1, at_start=True)
    hidden: tuple[int, ...] = structural((256, 256), "units in the hidden layers", low=1, at_start=True)
    activation: Literal["tanh", "relu"] = structural("relu", "activation of the hidden layers", at_start=True)
    initialisation: Literal["orthogonal", "uniform"] = structural(
        "orthogonal", "how weights start: orthogonal, or uniform as torch's own layers", at_start=True
    )
    adam_epsilon: float = structural(1e-8, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    anneal_learning_rate: bool = structural(False, "let the policy's learning rate fall linearly to 0")

    def check(self) -> None:
        """Raise `WrongRequest` for values that do not fit together."""
        check_schedule(self)

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.iteration


COMPONENTS: dict[str, dict[str, Any]] = {
    "target networks": {"target_rate": 1.0},
    "learned temperature": {"learn_temperature": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def check_task(spaces: Spaces, time_limit: int | None) -> None:
    """Raise `WrongRequest` for actions without bounds to stay in."""
    check_bounded("sac", spaces.action)


class Learner(NamedTuple):
    """The networks and log α, the critics' targets, and the optimisers."""

    ac: SquashedActorCritic
    temperature: Parameters
    """log α, one number for each agent."""
    q_target: Target
    policy_optimiser: Adam
    q_optimiser: Adam
    temperature_optimiser: Adam

    @property
    def alpha(self) -> Float[Tensor, "A 1"]:
        """The temperature α."""
        return self.temperature["log"].detach().exp()


def target(learner: Learner, batch: Batch, noise: Float[Tensor, "A B K"]) -> Float[Tensor, "A B"]:
    """Y = r + γ (min Q'(s', a') - α log π(a'|s')), Eqs. 3 and 5."""
    critics, following = learner.ac.critics, learner.ac.draw(batch.next_observation, noise)
    lowest = critics.values(batch.next_observation, following.action, learner.q_target.parameters).amin(1)
    soft = lowest - learner.alpha * following.log_prob
    return td_target(batch.reward, soft, batch.terminated, batch.discount)


def critic_step(
    learner: Learner, batch: Batch, noise: Float[Tensor, "A B K"], alive: Bool[Tensor, " A"], h: Hyperparameters
) -> dict[str, Tensor]:
    """One step of both critics towards the same y."""
    y = target(learner, batch, noise)
    now = learner.ac.critics.evaluate(batch.observation, batch.action)
    loss, by_value = squared_error(now.value, y)
    now.backward(by_value)
    rate = h.q_learning_rate
    norm = learner.q_optimiser.step({"q1": rate, "q2": rate}, active={"q1": alive, "q2": alive})
    return {"q_loss": loss, "q": now.value, "td_error": loss.sqrt(), "q_gradient_norm": torch.tensor(norm)}


def policy_step(
    learner: Learner, batch: Batch, noise: Float[Tensor, "A B K"], alive: Bool[Tensor, " A"], h: Hyperparameters
) -> dict[str, Tensor]:
    """One step of π down α log π(a|s) - min Q(s, a), Eq. 9; the critics learn nothing from it."""
    now = learner.ac.evaluate_draw(batch.observation, noise)
    judged = learner.ac.critics.frozen(batch.observation, now.action)
    lowest, which = judged.value.min(1, keepdim=True)
    alpha, samples = learner.alpha, batch.reward.shape[1]
    by_value = torch.zeros_like(judged.value).scatter_(1, which, -1 / samples)
    now.backward(judged.by_action(by_value), (alpha / samples).expand_as(now.log_prob))
    norm = learner.policy_optimiser.step({"policy": h.learning_rate}, active={"policy": alive})
    loss = alpha * now.log_prob - lowest.squeeze(1)
    return {"policy_loss": loss, "entropy": -now.log_prob, "policy_gradient_norm": torch.tensor(norm)}


def temperature_step(
    learner: Learner, entropy: Float[Tensor, "A B"], alive: Bool[Tensor, " A"], h: Hyperparameters
) -> None:
    """One step of log α: up where the entropy is below its target, down where it is above, Eq. 18."""
    wanted = h.target_entropy * len(learner.ac.half)
    learner.temperature.gradient_of("log").copy_((entropy.mean(1) - wanted).unsqueeze(1))
    learner.temperature_optimiser.step({"temperature": h.temperature_learning_rate}, active={"temperature": alive})


def update(
    learner: Learner,
    batch: Batch,
    noise: Float[Tensor, "A two B K"],
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Tensor]:
    """One step of critics, policy, temperature and targets, for the agents that still learn.

    Returns what there is to record.
    """
    told = critic_step(learner, batch, noise[:, 0], alive, h) | policy_step(learner, batch, noise[:, 1], alive, h)
    told["temperature"] = learner.alpha.squeeze(1)
    if config.learn_temperature:
        temperature_step(learner, told["entropy"], alive, h)
    learner.q_target.follow(h.target_rate, alive)
    return told


def build(spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., SquashedActorCritic]) -> Learner:
    """The networks, made by the function that was passed in, and what belongs to them."""
    ac = actor_critic(
        spaces,
        agents,
        critics=2,
        hidden=config.hidden,
        activation=config.activation,
        initialisation=config.initialisation,
    )
    temperature = Parameters(len(agents), ("temperature",), {"log": (1,)})
    temperature.set("log", agents.hyperparameter("temperature").log().unsqueeze(1))
    learned = (ac.parameters, ac.critics.parameters, temperature)
    optimisers = (Adam(parameters, epsilon=config.adam_epsilon) for parameters in learned)
    return Learner(ac, temperature, Target(ac.critics.parameters), *optimisers)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., SquashedActorCritic]
) -> Float[Tensor, "A ..."]:
    """A few steps and updates on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    learner = build(spaces, agents, config, actor_critic)
    some = torch.tensor([agent.seed % 3 != 2 for agent in agents])  # the optimiser goes another way when agents rest
    batch = made_up_batch(agents, spaces, config.batch, h)
    for alive in (agents.alive, agents.alive, some):
        update(learner, batch, learner.ac.noise(agents, "rehearse", 5, (2, config.batch)), alive, config, h)
    few = batch.observation[:, : config.envs]
    done = learner.ac.act(few, learner.ac.noise(agents, "rehearse", 4, few.shape[1:2]))
    learned = (learner.ac.parameters, learner.ac.critics.parameters, learner.temperature, learner.q_target.parameters)
    return torch.cat([*(x.theta.flatten(1) for x in learned), done.flatten(1), learner.ac.value(few)], 1)


def sac(work: Work, actor_critic: Callable[..., SquashedActorCritic] = SquashedActorCritic) -> None:
    """Train one unit of work: all its agents as one computation."""
    config: Config = work.config
    with Unit(work, METRICS) as run, closing(Environments(work.environment, run.agents, config.envs)) as envs:
        agents, settings = run.agents, Hyperparameters(run.agents)
        learner = build(envs.spaces, agents, config, actor_critic)
        ac, replay = learner.ac, replay_for(config, len(agents), work.steps, envs.spaces)
        run.check(lambda some: rehearse(envs.spaces, some, config, actor_critic))
        run.start(
            ac,
            envs,
            replay,
            temperature=learner.temperature,
            q_target=learner.q_target,
            policy_optimiser=learner.policy_optimiser,
            q_optimiser=learner.q_optimiser,
            temperature_optimiser=learner.temperature_optimiser,
        )

        chance = Ahead(agents.chance, "replay", (config.batch,))
        drawn = Ahead(partial(ac.noise, agents), "update", (2, config.batch))
        for iteration in run.iterations(config.steps_each):
            h = settings.annealed(anneals(config), run.progress)
            shape = (config.iteration // config.envs, config.envs)
            noise = ac.noise(agents, "explore", iteration, shape)
            uniform = agents.uniform("anything", iteration, (*shape, envs.spaces.action.width))
            averages, seen, updates = Averages(), list[Tensor](), 0

            for interval in intervals(iteration, config):  # slopes are written out, and nothing is autograd's
                with run.stage("collect"), torch.inference_mode():
                    for step, t in enumerate(interval.steps):
                        seen.append(envs.observation.clone())
                        if interval.done + step * config.envs < config.random_steps:
                            action = ac.anything(uniform[:, t])
                        else:
                            action = ac.act(envs.observation, noise[:, t])
                        replay.store(action, envs.step(action))

                if interval.updates:
                    with run.stage("update"), torch.inference_mode():
                        alive = agents.alive
                        for i in interval.updates:
                            places, pair = replay.places(chance[i]), drawn[i]
                            batch = replay.sample(places, h.discount)
                            averages.add(**update(learner, batch, pair, alive, config, h))
                            averages.add(replay_age=replay.age(places))
                        updates += len(interval.updates)

            diagnostics = averages.means()  # record
            if updates:
                diagnostics |= {
                    "target_lag": learner.q_target.lag(),
                    "saturation": saturation(ac.act(batch.observation, pair[:, 0]), envs.spaces),
                    "dormant": dormant(ac.critics.hidden(batch.observation, batch.action)),
                }
            made = torch.full((len(agents),), float(updates))
            diagnostics |= {"updates": made, "update_to_data": made / config.iteration}
            diagnostics["learning_rate"] = h.learning_rate
            values = ac.value(torch.cat(seen, 1)).unflatten(1, shape)
            run.record(diagnostics, envs.finished_episodes(), values)
