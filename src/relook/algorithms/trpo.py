r"""Trust region policy optimisation (TRPO), and the natural policy gradient (NPG) as its option.

Schulman, Levine, Moritz, Jordan & Abbeel 2015, "Trust Region Policy Optimization", arXiv:1502.05477; Kakade 2001, "A
Natural Policy Gradient" (NIPS 14). Collect a rollout with the policy π_old; estimate advantages; take the largest step

    max_θ  L(θ) = E[ π(a|s) / π_old(a|s) Â ]   with   E[ KL(π_old(·|s) ‖ π(·|s)) ] ≤ δ      (Eq. 14)

by L's gradient g and the Fisher information F, the curvature of KL: x ≈ F⁻¹ g by conjugate gradients, the step
√(2δ / xᵀFx) x, and halving it (`backtrack_ratio`) until KL ≤ δ and L has become better (Appendix C). Without
`line_search` the step is taken as it is: that is the natural policy gradient.

Data flow, with A agents, T steps (`horizon`), N environments, D observed numbers, P parameters of the policy:

    collect   observation [A, T, N, D]  →  action [A, T, N, K], reward, terminated, truncated  [A, T, N]
    estimate  log π_old(a|s), V(s), V(s')  →  advantage Â, value target Â + V(s)  [A, T, N]
    update    the whole rollout [A, TN, …]  →  g, x, step [A, P]  →  θ;  minibatches [A, B, …]  →  V

Departures from the paper: advantages are generalised (arXiv:1506.02438) and normalised, F is damped, rewards are
scaled, and observations normalised on request. A time limit is not an end: targets bootstrap through truncation.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

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
    "policy_loss": Metric("-E[π(a|s) / π_old(a|s) Â] after the step that was taken"),
    "value_loss": Metric("mean squared error of V(s) against its target, mean over minibatches", "reward²"),
    "entropy": Metric("mean entropy of π(·|s) before the update", "nats"),
    "kl": Metric("mean KL(π_old ‖ π) of the step that was taken; 0 if none was", "nats"),
    "backtracks": Metric("how often the step was made shorter; the most there is means that none was taken"),
    "cg_residual": Metric("‖F x - g‖ / ‖g‖ after the conjugate gradients"),
    "expected_improvement": Metric("what gᵀ(θ - θ_old) promises of L, for the step that was taken"),
    "improvement": Metric("how much better L became"),
    "explained_variance": Metric(
        "1 - Var[target - V] / Var[target] before the update; null if targets are equal", optional=True
    ),
    "value_bias": Metric("mean(V - target) / sd(target) before the update; null if targets are equal", optional=True),
    "value": Metric("mean of V(s) over the rollout", "reward"),
    "gradient_norm": Metric("norm of the policy's gradient g"),
    "step_size": Metric("‖θ_after - θ_before‖ / ‖θ_before‖ of the iteration's update"),
    "saturation": Metric(
        "share of bounded action components at or beyond 99 % of the way to a bound; null if none", optional=True
    ),
    "reward_scale": Metric("what rewards are divided by before learning", "reward"),
}


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of TRPO."""

    target_kl: float = numeric(0.01, "δ, the size of the trust region in KL; usually 0.005 to 0.05", above=0)
    damping: float = numeric(0.1, "what is added to F's diagonal; usually 0.01 to 0.1", low=0)
    backtrack_ratio: float = numeric(0.8, "by how much a step that goes too far is made shorter", above=0, high=1)
    value_learning_rate: float = numeric(1e-3, "Adam's step size of the value function; usually 1e-3", above=0)
    discount: float = numeric(0.98, "discount γ; usually 0.9 to 0.999", low=0, high=1)
    gae_lambda: float = numeric(0.95, "λ of the advantage estimate; usually 0.9 to 1", low=0, high=1)
    cg_steps: int = structural(10, "steps of conjugate gradients; usually 10 to 15", low=1)
    backtracks: int = structural(10, "how often a step may be made shorter before none is taken", low=1)
    line_search: bool = structural(True, "look for a step inside the trust region; without it: natural policy gradient")
    adam_epsilon: float = structural(1e-5, "ε of Adam's denominator; usually 1e-8 to 1e-5", above=0)
    envs: int = structural(8, "environments N per agent", low=1, at_start=True)
    horizon: int = structural(
        256, "steps T in each environment between updates; usually 128 to 4000", low=1, at_start=True
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
    anneal_target_kl: bool = structural(True, "let the size of the trust region fall linearly to 0")
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
    "line search": {"line_search": False},
    "GAE": {"gae_lambda": 1.0},
    "advantage normalisation": {"normalise_advantages": False},
    "reward scaling": {"scale_rewards": False},
    "trust-region annealing": {"anneal_target_kl": False},
}
"""What `relook ablate` takes away: each part, with the values that it is off at."""


def surrogate(log_ratio: Float[Tensor, "A B"], advantage: Float[Tensor, "A B"]) -> Float[Tensor, " A"]:
    """L(θ) = E[ π(a|s) / π_old(a|s) Â ], Eq. 14."""
    return (log_ratio.exp() * advantage).mean(1)


class Solution(NamedTuple):
    """What the conjugate gradients found."""

    x: Float[Tensor, "A P"]
    curvature: Float[Tensor, " A"]
    """xᵀ F x"""
    residual: Float[Tensor, " A"]
    """‖F x - g‖ / ‖g‖"""


def conjugate_gradients(fisher: Callable[[Tensor], Tensor], g: Float[Tensor, "A P"], steps: int) -> Solution:
    """Solve F x = g for each agent (Hestenes & Stiefel 1952); an agent that has solved it stays where it is."""
    x, r = torch.zeros_like(g), g.clone()
    p, square = g.clone(), dot(g, g)
    first = square.clone()
    for _ in range(steps):
        product = fisher(p)
        going = square > 1e-10 * first
        length = torch.where(going, square / dot(p, product), 0.0).unsqueeze(1)
        x, r = x + length * p, r - length * product
        following = dot(r, r)
        p = torch.where(going.unsqueeze(1), r + (following / square).unsqueeze(1) * p, p)
        square = following
    product = fisher(x)
    left = dot(product - g, product - g) / first.where(first > 0, 1.0)  # nothing to solve: nothing left
    return Solution(x, dot(x, product), left.sqrt())


def dot(x: Float[Tensor, "A P"], y: Float[Tensor, "A P"]) -> Float[Tensor, " A"]:
    """Each agent's own scalar product."""
    return (x * y).sum(1)


def policy_step(
    ac: ActorCritic,
    rollout: Rollout,
    estimates: Estimates,
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> dict[str, Float[Tensor, " A"]]:
    """One step inside the trust region, on the whole rollout, of every agent `alive`. Returns diagnostics."""
    observation, action = rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)
    advantage = estimates.advantage.flatten(1)
    advantage = normalised(advantage) if config.normalise_advantages else advantage
    old = ac.evaluate_policy(observation, action)
    old.backward(advantage / advantage.shape[1])  # the ratio is 1 here: the slope of L by log π is Â
    g = ac.parameters.gradient[:, 0].clone()
    solved = conjugate_gradients(lambda v: old.fisher(v) + h.damping.unsqueeze(1) * v, g, config.cg_steps)
    whole = (2 * h.target_kl / solved.curvature).sqrt().unsqueeze(1) * solved.x
    whole = torch.where(whole.isfinite().all(1, keepdim=True), whole, 0.0)  # no gradient, no step

    def judge() -> tuple[Float[Tensor, " A"], Float[Tensor, " A"]]:
        new = ac.evaluate_policy(observation, action)
        return surrogate(new.log_prob - old.log_prob, advantage), ac.kl(old.distribution, new.distribution).mean(1)

    before = surrogate(torch.zeros_like(advantage), advantage)
    found = line_search(ac.parameters.theta[:, 0], whole, judge, before, alive, config, h)
    return {
        "policy_loss": -found.surrogate,
        "entropy": old.entropy.mean(1),
        "kl": found.kl,
        "backtracks": found.backtracks,
        "cg_residual": solved.residual,
        "expected_improvement": found.share * dot(g, whole),
        "improvement": found.surrogate - before,
        "gradient_norm": dot(g, g).sqrt(),
    }


class Found(NamedTuple):
    """What became of a step."""

    share: Float[Tensor, " A"]
    """How much of the whole step was taken; 0 if none."""
    backtracks: Float[Tensor, " A"]
    kl: Float[Tensor, " A"]
    surrogate: Float[Tensor, " A"]


def line_search(
    theta: Float[Tensor, "A P"],
    whole: Float[Tensor, "A P"],
    judge: Callable[[], tuple[Tensor, Tensor]],
    before: Float[Tensor, " A"],
    alive: Bool[Tensor, " A"],
    config: Config,
    h: Hyperparameters,
) -> Found:
    """Move θ by the longest of the steps ρⁱ · whole with KL ≤ δ and L better than `before`, each agent by its own.

    `judge()` gives L and KL of the policy with θ as it is. Without a line search the whole step is the one.
    """
    start, looking = theta.clone(), alive.clone()
    taken, tries, kl, after = torch.zeros_like(before), torch.zeros_like(before), torch.zeros_like(before), before
    share = torch.ones_like(before)
    for _ in range(config.backtracks if config.line_search else 1):
        theta.copy_(torch.where(looking.unsqueeze(1), start + share.unsqueeze(1) * whole, theta))
        now, distance = judge()
        good = (distance <= h.target_kl) & (now > before) if config.line_search else torch.ones_like(looking)
        found, looking = looking & good, looking & ~good
        taken, kl, after = (torch.where(found, new, old) for new, old in ((share, taken), (distance, kl), (now, after)))
        tries, share = tries + looking, share * h.backtrack_ratio
        if not looking.any():
            break
    theta.copy_(torch.where(looking.unsqueeze(1), start, theta))  # none was good: stay
    return Found(taken, tries, kl, after)


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
    diagnostics = policy_step(ac, rollout, estimates, agents.alive, config, h)
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


def trpo(work: Work, actor_critic: Callable[..., ActorCritic] = ActorCritic) -> None:
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
