r"""Deep Q-learning (DQN), with double and dueling Q-learning and n-step returns as options.

Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518, Algorithm 1. Act ε-greedily;
keep every transition; learn Q(s, a) from samples of all that is kept, towards

    y = r + γ max_a' Q'(s', a')                                                                  (Eq. 2 of Methods)

where Q' is a target network that follows Q from time to time. Options: the action of y is chosen by Q and judged by Q'
(double, van Hasselt et al. 2016, arXiv:1509.06461, Eq. 4); Q = V + A - mean A (dueling, Wang et al. 2016,
arXiv:1511.06581, Eq. 9); y looks n steps ahead (Hessel et al. 2018, arXiv:1710.02298, §3).

Data flow, with A agents, N environments, B samples in a batch, D observed numbers, n actions:

    collect   observation [A, N, D]  →  action [A, N, 1], and the transition into the replay
    sample    places [A, B]          →  observation, action, reward, next observation, terminated  [A, B, …]
    update    y and Q(s, a) [A, B]   →  the loss's slope by Q(s, ·) [A, B, n]  →  ∂θ  →  Adam

Departures from the paper: observations are vectors and rewards are not clipped; Adam in place of RMSprop; gradients are
clipped by their norm; a time limit is not an end: targets bootstrap through truncation.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from relook.buffers import Averages, Batch, check_schedule, intervals, made_up_batch, replay_for
from relook.envs import Choices, Environments, Spaces
from relook.errors import WrongRequest
from relook.formulas.diagnostics import dormant
from relook.formulas.returns import td_target
from relook.formulas.shapes import expand
from relook.networks import QNetwork
from relook.population import Adam, Agents, Ahead, Target
from relook.population.hyperparameters import Hyperparameters, anneals, numeric, structural
from relook.runs.metrics import Metric
from relook.runs.unit import Unit
from relook.runs.work import Work

METRICS = {
    "loss": Metric("loss of Q(s, a) against its target, mean over the iteration's updates"),
    "q": Metric("mean of Q(s, a) over samples of the replay", "reward"),
    "td_error": Metric("mean of |y - Q(s, a)|, over the same samples", "reward"),
    "q_bias": Metric(
        "mean of max Q(s, ·) - discounted return, over the states of the last evaluation before this iteration",
        "reward",
        optional=True,
    ),
    "target_lag": Metric("‖θ - θ'‖ / ‖θ‖ at the end of the iteration"),
    "gradient_norm": Metric("norm of the gradient before clipping, mean over updates"),
    "dormant": Metric("share of hidden units with E|h| ≤ 2.5 % of their layer's mean, on a batch"),
    "replay_age": Metric("mean age of sampled transitions", "steps of the agent"),
    "update_to_data": Metric("updates in this iteration ÷ its environment steps"),
    "epsilon": Metric("probability ε of a random action, at the end of the iteration"),
    "learning_rate": Metric("Adam's step size α"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of DQN."""

    learning_rate: float = numeric(2e-3, "Adam's step size α; usually 1e-4 to 2e-3", above=0)
    discount: float = numeric(0.99, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    final_epsilon: float = numeric(0.05, "probability ε of a random action in the end; 0.01 to 0.1", low=0, high=1)
    exploration: float = numeric(
        0.2,
        "share of training in which ε falls from 1 to its final value; 0.1 to 0.5",
        above=0,
        high=1,
        of_training=True,
    )
    target_rate: float = numeric(
        1.0, "share τ of the way that the target network goes towards Q; 1 copies it", above=0, high=1
    )
    max_gradient_norm: float = numeric(
        float("inf"), "clip the gradient to this norm; usually 1 to 10; inf: never", above=0
    )
    envs: int = structural(1, "environments N per agent", low=1, at_start=True)
    iteration: int = structural(1000, "environment steps of each agent between records", low=1, at_start=True)
    update_interval: int = structural(4, "environment steps between updates; 1 to 256", low=1, at_start=True)
    update_to_data: float = structural(1.0, "updates for each environment step; 0.05 to 1", above=0, at_start=True)
    target_interval: int = structural(
        500, "environment steps between moves of the target network; 100 to 10,000", low=1, at_start=True
    )
    learning_starts: int = structural(1000, "environment steps before the first update", low=1, at_start=True)
    capacity: int = structural(100_000, "transitions that the replay keeps for each agent", low=1, at_start=True)
    batch: int = structural(128, "samples B per update; usually 32 to 256", low=1)
    n_step: int = structural(3, "rewards that a target adds up before it bootstraps; 1 to 5", low=1, at_start=True)
    loss: Literal["huber", "squared"] = structural("squared", "all of the error as its square, or beyond 1 linearly")
    double: bool = structural(True, "choose the action of the target by Q and judge it by the target network")
    dueling: bool = structural(False, "Q = V + A - mean A", at_start=True)
    hidden: tuple[int, ...] = structural((128, 128), "units in the hidden layers", low=1, at_start=True)
    activation: Literal["tanh", "relu"] = structural("relu", "activation of the hidden layers", at_start=True)
    initialisation: Literal["orthogonal", "uniform"] = structural(
        "orthogonal", "how weights start: orthogonal, or uniform as torch's own layers", at_start=True
    )
    adam_epsilon: float = structural(1e-8, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    anneal_learning_rate: bool = structural(True, "let the learning rate fall linearly to 0")

    def check(self) -> None:
        """Raise `WrongRequest` for values that do not fit together."""
        check_schedule(self)
        if self.target_interval % self.update_interval:
            raise WrongRequest(
                f"expected target_interval to be a multiple of update_interval, {self.update_interval}; found "
                f"{self.target_interval}"
            )

    @property
    def steps_each(self) -> int:
        """Environment steps per agent in one iteration."""
        return self.iteration


COMPONENTS: dict[str, dict[str, Any]] = {
    "target network": {"target_interval": 4},
    "double Q-learning": {"double": False},
    "n-step targets": {"n_step": 1},
    "squared loss": {"loss": "huber"},
    "learning-rate annealing": {"anneal_learning_rate": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def check_task(spaces: Spaces, time_limit: int | None) -> None:
    """Raise `WrongRequest` for actions that Q-learning cannot compare one by one."""
    kind = spaces.action.kind
    if not isinstance(kind, Choices):
        raise WrongRequest(
            f"dqn compares the values of all actions, and needs a discrete action space; found {spaces.action.space}; "
            f"use sac, td3 or ddpg"
        )
    if len(kind.sizes) != 1:
        raise WrongRequest(
            f"dqn chooses one action of several, Discrete; found {spaces.action.space}; use ppo, a2c, vpg or trpo"
        )


def epsilon(h: Hyperparameters, done: Int[Tensor, " T"], steps: int) -> Float[Tensor, "A T"]:
    """ε after `done` of `steps` steps: from 1 linearly to its final value, in the share of training for exploration."""
    return 1 + (expand(h.final_epsilon, 2) - 1) * (done / expand(h.exploration * steps, 2)).clamp(max=1)


def exploration(
    net: QNetwork, noise: Float[Tensor, "A T N 2"], epsilon: Float[Tensor, "A T"]
) -> tuple[Bool[Tensor, "A T N 1"], Int[Tensor, "A T N 1"]]:
    """Which steps explore, each with its probability ε, and the actions that they take then: any, all alike."""
    return noise[..., :1] < epsilon[:, :, None, None], net.anything(noise[..., 1:])


def target(net: QNetwork, follower: Target, batch: Batch, config: Config) -> Float[Tensor, "A B"]:
    """Y = r + γ Q'(s', a'), where a' is the best action by Q' itself or, with `double`, by Q."""
    next_q = net.q(batch.next_observation, follower.parameters)
    best = (net.q(batch.next_observation) if config.double else next_q).argmax(-1, keepdim=True)
    next_value = next_q.gather(-1, best).squeeze(-1)
    return td_target(batch.reward, next_value, batch.terminated, batch.discount)


def td_loss(error: Float[Tensor, "A B"], kind: str) -> tuple[Float[Tensor, "A B"], Float[Tensor, "A B"]]:
    """The loss of Q(s, a) - y, and the slope of its mean by Q(s, a).

    `squared`: e². `huber`: ½ e² where |e| ≤ 1, and |e| - ½ beyond (Mnih et al.'s clipped error).
    """
    samples = error.shape[1]
    if kind == "squared":
        return error.square(), error * (2 / samples)
    near = error.clamp(-1, 1)
    return near * (error - 0.5 * near), near / samples


def update(
    net: QNetwork,
    follower: Target,
    optimiser: Adam,
    batch: Batch,
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Tensor]:
    """One step of Q towards y, for the agents that still learn. Returns what there is to record."""
    y = target(net, follower, batch, config)
    now = net.evaluate(batch.observation)
    q = now.value.gather(-1, batch.action).squeeze(-1)
    loss, by_q = td_loss(q - y, config.loss)
    now.backward(torch.zeros_like(now.value).scatter_(-1, batch.action, by_q.unsqueeze(-1)))
    norm = optimiser.step({"q": h.learning_rate}, active={"q": alive}, max_norm=h.max_gradient_norm)
    return {"loss": loss, "q": q, "td_error": (y - q).abs(), "gradient_norm": torch.tensor(norm)}


def build(
    spaces: Spaces, agents: Agents, config: Config, q_network: Callable[..., QNetwork]
) -> tuple[QNetwork, Target, Adam]:
    """Q, made by the function that was passed in, its target network and its optimiser."""
    net = q_network(
        spaces,
        agents,
        hidden=config.hidden,
        activation=config.activation,
        dueling=config.dueling,
        initialisation=config.initialisation,
    )
    return net, Target(net.parameters), Adam(net.parameters, epsilon=config.adam_epsilon)


def rehearse(
    spaces: Spaces, agents: Agents, config: Config, q_network: Callable[..., QNetwork]
) -> Float[Tensor, "A ..."]:
    """A few steps and updates on made-up experience, in all the shapes of training, for the start-up self-check."""
    h = Hyperparameters(agents)
    net, follower, optimiser = build(spaces, agents, config, q_network)
    some = torch.tensor([agent.seed % 3 != 2 for agent in agents])  # the optimiser goes another way when agents rest
    batch = made_up_batch(agents, spaces, config.batch, h)
    for alive in (agents.alive, agents.alive, some):
        update(net, follower, optimiser, batch, alive, config, h)
        follower.follow(h.target_rate, alive)
    few = net.q(batch.observation[:, : config.envs])
    return torch.cat([net.parameters.theta.flatten(1), follower.parameters.theta.flatten(1), few.flatten(1)], 1)


def dqn(work: Work, actor_critic: Callable[..., QNetwork] = QNetwork) -> None:
    """Train one unit of work: all its agents as one computation."""
    config: Config = work.config
    with Unit(work, METRICS) as run, closing(Environments(work.environment, run.agents, config.envs)) as envs:
        agents, settings = run.agents, Hyperparameters(run.agents)
        net, follower, optimiser = build(envs.spaces, agents, config, actor_critic)
        replay = replay_for(config, len(agents), work.steps, envs.spaces)
        run.check(lambda some: rehearse(envs.spaces, some, config, actor_critic))
        run.start(net, envs, replay, target=follower, optimiser=optimiser)

        chance = Ahead(agents.chance, "replay", (config.batch,))
        for iteration in run.iterations(config.steps_each):
            h = settings.annealed(anneals(config), run.progress)
            done = torch.arange(0, config.iteration, config.envs) + iteration * config.iteration
            epsilons = epsilon(h, done, work.steps)
            noise = net.noise(agents, "explore", iteration, (len(done), config.envs))
            explores, anything = exploration(net, noise, epsilons)
            averages, values, updates = Averages(), list[Tensor](), 0

            for interval in intervals(iteration, config):  # slopes are written out, and nothing is autograd's
                with run.stage("collect"), torch.inference_mode():
                    for t in interval.steps:
                        q = net.q(envs.observation)
                        action = torch.where(explores[:, t], anything[:, t], q.argmax(-1, keepdim=True))
                        replay.store(action, envs.step(action))
                        values.append(q)

                with run.stage("update"), torch.inference_mode():
                    if interval.updates:
                        alive = agents.alive
                        for i in interval.updates:
                            places = replay.places(chance[i])
                            batch = replay.sample(places, h.discount)
                            averages.add(**update(net, follower, optimiser, batch, alive, config, h))
                            averages.add(replay_age=replay.age(places))
                        updates += len(interval.updates)
                    if interval.ends % config.target_interval == 0:
                        follower.follow(h.target_rate, agents.alive)

            diagnostics = averages.means()  # record
            if updates:
                diagnostics |= {"target_lag": follower.lag(), "dormant": dormant(net.hidden(batch.observation))}
            made = torch.full((len(agents),), float(updates))
            diagnostics |= {"updates": made, "update_to_data": made / config.iteration}
            diagnostics |= {"epsilon": epsilons[:, -1], "learning_rate": h.learning_rate}
            run.record(diagnostics, envs.finished_episodes(), torch.stack(values, 1).amax(-1))
