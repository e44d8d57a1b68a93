r"""Twin delayed deep deterministic policy gradient (TD3).

Fujimoto, van Hoof & Meger 2018, "Addressing Function Approximation Error in Actor-Critic Methods", arXiv:1802.09477,
Algorithm 1. DDPG with three changes against values that are too high: two critics, of which the lower one makes the
target; noise on the target's action, so that a narrow peak of the critic is not believed; and a policy (with all
targets) that moves at every d-th update only.

    ã = clip(μ'(s') + clip(ε, -c, c)),   y = r + γ min(Q'₁(s', ã), Q'₂(s', ã))                     (Eqs. 10 and 14)

Data flow, with A agents, N environments, B samples in a batch, D observed numbers, K numbers of an action:

    collect   observation [A, N, D]  →  action [A, N, K], and the transition into the replay
    sample    places [A, B]          →  observation, action, reward, next observation, terminated  [A, B, …]
    update    y [A, B], Q(s, a) [A, 2, B]  →  ∂θ of both critics  →  Adam
              every d-th: Q₁(s, μ(s))      →  its slope by the action [A, B, K]  →  ∂θ of the policy  →  Adam
              every d-th: all targets follow

Departures from the paper: actions are uniform at first, and updates begin when that ends, as in the authors' code. A
time limit is not an end: targets bootstrap through truncation.
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
from relook.formulas.shapes import expand
from relook.networks import DeterministicActorCritic
from relook.population import Adam, Agents, Ahead, Target
from relook.population.hyperparameters import Hyperparameters, anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "policy_loss": Metric("-Q₁(s, μ(s)), mean over the iteration's updates of the policy", "reward"),
    "q_loss": Metric("squared error of Q(s, a) against its target, mean over both critics and updates", "reward²"),
    "q": Metric("mean of Q(s, a) over both critics and samples of the replay", "reward"),
    "td_error": Metric("mean of |y - Q(s, a)|, over the same samples", "reward"),
    "q_bias": Metric(
        "mean of min Q(s, μ(s)) - discounted return, over the states of the last evaluation before this iteration",
        "reward",
        optional=True,
    ),
    "target_lag": Metric("‖θ - θ'‖ / ‖θ‖ of the critics at the end of the iteration"),
    "policy_gradient_norm": Metric("norm of the policy's gradient, mean over its updates"),
    "q_gradient_norm": Metric("norm of the critics' gradient, mean over updates"),
    "saturation": Metric("share of action components of μ(s) at or beyond 99 % of the way to a bound, on a batch"),
    "dormant": Metric("share of hidden units of the critics with E|h| ≤ 2.5 % of their layer's mean, on a batch"),
    "replay_age": Metric("mean age of sampled transitions", "steps of the agent"),
    "update_to_data": Metric("updates in this iteration ÷ its environment steps"),
    "learning_rate": Metric("Adam's step size of the policy"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of TD3."""

    learning_rate: float = numeric(1e-3, "Adam's step size of the policy; usually 1e-4 to 1e-3", above=0)
    q_learning_rate: float = numeric(1e-3, "Adam's step size of the critics; usually 3e-4 to 1e-3", above=0)
    discount: float = numeric(0.99, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    target_rate: float = numeric(
        0.005, "share τ of the way that target networks go at each update; 0.001 to 0.01", above=0, high=1
    )
    exploration_noise: float = numeric(
        0.1, "sd σ of the noise of actions, in halves of their range; usually 0.1 to 0.2", low=0
    )
    target_noise: float = numeric(
        0.2, "sd of the noise on the target's action, in halves of the range; usually 0.1 to 0.3", low=0
    )
    noise_clip: float = numeric(0.5, "the farthest c that this noise goes, in halves of the range", above=0)
    policy_delay: int = structural(2, "updates of the critics for each update of the policy, d", low=1)
    envs: int = structural(1, "environments N per agent", low=1, at_start=True)
    iteration: int = structural(1000, "environment steps of each agent between records", low=1, at_start=True)
    update_interval: int = structural(1, "environment steps between updates; 1 to 50", low=1, at_start=True)
    update_to_data: float = structural(1.0, "updates for each environment step; 0.5 to 4", above=0, at_start=True)
    random_steps: int = structural(
        10_000, "environment steps with actions from all over their range", low=0, at_start=True
    )
    learning_starts: int = structural(
        10_000,
        "environment steps before the first update; of few random ones a policy learns to stay at its bounds",
        low=1,
        at_start=True,
    )
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
    "target smoothing": {"target_noise": 0.0},
    "policy delay": {"policy_delay": 1},
    "exploration noise": {"exploration_noise": 0.0},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def check_task(spaces: Spaces, time_limit: int | None) -> None:
    """Raise `WrongRequest` for actions without bounds to stay in."""
    check_bounded("td3", spaces.action)


class Learner(NamedTuple):
    """The networks, their targets and their optimisers."""

    ac: DeterministicActorCritic
    policy_target: Target
    q_target: Target
    policy_optimiser: Adam
    q_optimiser: Adam


def target(learner: Learner, batch: Batch, noise: Float[Tensor, "A B K"], h: Hyperparameters) -> Float[Tensor, "A B"]:
    """Y = r + γ min Q'(s', ã), where ã is μ'(s') with noise that is cut at ±c, Eqs. 10 and 14."""
    ac, most = learner.ac, expand(h.noise_clip, 3)
    smoothing = torch.maximum(torch.minimum(expand(h.target_noise, 3) * noise, most), -most) * ac.half
    action = ac.bounded(ac.action(batch.next_observation, learner.policy_target.parameters) + smoothing)
    next_value = ac.critics.values(batch.next_observation, action, learner.q_target.parameters).amin(1)
    return td_target(batch.reward, next_value, batch.terminated, batch.discount)


def critic_step(
    learner: Learner, batch: Batch, noise: Float[Tensor, "A B K"], alive: Bool[Tensor, " A"], h: Hyperparameters
) -> dict[str, Tensor]:
    """One step of both critics towards the same y."""
    y = target(learner, batch, noise, h)
    now = learner.ac.critics.evaluate(batch.observation, batch.action)
    loss, by_value = squared_error(now.value, y)
    now.backward(by_value)
    rate = h.q_learning_rate
    norm = learner.q_optimiser.step({"q1": rate, "q2": rate}, active={"q1": alive, "q2": alive})
    return {"q_loss": loss, "q": now.value, "td_error": loss.sqrt(), "q_gradient_norm": torch.tensor(norm)}


def policy_step(learner: Learner, batch: Batch, alive: Bool[Tensor, " A"], h: Hyperparameters) -> dict[str, Tensor]:
    """One step of μ up the first critic, which learns nothing from it."""
    now = learner.ac.evaluate_action(batch.observation)
    judged = learner.ac.critics.frozen(batch.observation, now.action, group="q1")
    now.backward(judged.by_action(torch.full_like(judged.value, -1 / batch.reward.shape[1])))
    norm = learner.policy_optimiser.step({"policy": h.learning_rate}, active={"policy": alive})
    return {"policy_loss": -judged.value, "policy_gradient_norm": torch.tensor(norm)}


def update(
    learner: Learner,
    batch: Batch,
    noise: Float[Tensor, "A B K"],
    alive: Bool[Tensor, " A"],
    h: Hyperparameters,
    *,
    policy_too: bool,
) -> dict[str, Tensor]:
    """One step of the critics and, if it is its turn, of policy and targets, for the agents that still learn.

    Returns what there is to record.
    """
    told = critic_step(learner, batch, noise, alive, h)
    if policy_too:
        told |= policy_step(learner, batch, alive, h)
        learner.q_target.follow(h.target_rate, alive)
        learner.policy_target.follow(h.target_rate, alive)
    return told


def explore(
    ac: DeterministicActorCritic, observation: Float[Tensor, "A N D"], noise: Float[Tensor, "A N K"], h: Hyperparameters
) -> Float[Tensor, "A N K"]:
    """μ(s) + σ ε, cut to the bounds: what is done is what is stored."""
    return ac.bounded(ac.action(observation) + expand(h.exploration_noise, 3) * ac.half * noise)


def build(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., DeterministicActorCritic]
) -> Learner:
    """The networks, made by the function that was passed in, and what belongs to them."""
    ac = actor_critic(
        spaces,
        agents,
        critics=2,
        hidden=config.hidden,
        activation=config.activation,
        initialisation=config.initialisation,
    )
    policy, q = ac.parameters, ac.critics.parameters
    epsilon = config.adam_epsilon
    return Learner(ac, Target(policy), Target(q), Adam(policy, epsilon=epsilon), Adam(q, epsilon=epsilon))


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, actor_critic: Callable[..., DeterministicActorCritic]
) -> Float[Tensor, "A ..."]:
    """A few steps and updates on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    learner = build(spaces, agents, config, actor_critic)
    some = torch.tensor([agent.seed % 3 != 2 for agent in agents])  # the optimiser goes another way when agents rest
    batch = made_up_batch(agents, spaces, config.batch, h)
    for alive in (agents.alive, agents.alive, some):
        update(learner, batch, learner.ac.noise(agents, "rehearse", 5, (config.batch,)), alive, h, policy_too=True)
    few, noise = batch.observation[:, : config.envs], learner.ac.noise(agents, "rehearse", 4, (config.envs,))
    done = explore(learner.ac, few, noise[:, : few.shape[1]], h)
    learned = (learner.ac.parameters, learner.ac.critics.parameters, learner.policy_target.parameters)
    return torch.cat([*(x.theta.flatten(1) for x in learned), done.flatten(1), learner.ac.value(few)], 1)


def td3(work: Work, actor_critic: Callable[..., DeterministicActorCritic] = DeterministicActorCritic) -> None:
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
            policy_target=learner.policy_target,
            q_target=learner.q_target,
            policy_optimiser=learner.policy_optimiser,
            q_optimiser=learner.q_optimiser,
        )

        chance = Ahead(agents.chance, "replay", (config.batch,))
        smoothing = Ahead(partial(ac.noise, agents), "smooth", (config.batch,))
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
                            action = explore(ac, envs.observation, noise[:, t], h)
                        replay.store(action, envs.step(action))

                if interval.updates:
                    with run.stage("update"), torch.inference_mode():
                        alive = agents.alive
                        for i in interval.updates:
                            places, turn = replay.places(chance[i]), (i + 1) % config.policy_delay == 0
                            batch = replay.sample(places, h.discount)
                            averages.add(**update(learner, batch, smoothing[i], alive, h, policy_too=turn))
                            averages.add(replay_age=replay.age(places))
                        updates += len(interval.updates)

            diagnostics = averages.means()  # record
            if updates:
                diagnostics |= {
                    "target_lag": learner.q_target.lag(),
                    "saturation": saturation(ac.action(batch.observation), envs.spaces),
                    "dormant": dormant(ac.critics.hidden(batch.observation, batch.action)),
                }
            made = torch.full((len(agents),), float(updates))
            diagnostics |= {"updates": made, "update_to_data": made / config.iteration}
            diagnostics["learning_rate"] = h.learning_rate
            values = ac.value(torch.cat(seen, 1)).unflatten(1, shape)
            run.record(diagnostics, envs.finished_episodes(), values)
