"""Does a test notice when an algorithm, its buffers or its environments are broken? `python -m benchmarks.planted_bugs [NUMBER …]`

Plants one bug after another in a copy of the source, runs the tests that need no other process, and writes which test
noticed first to results/planted_bugs.md. Numbers are those of the catalogue that the bugs were chosen from; names say
what is wrong. A patch that no longer applies to today's source is an error.
"""

import os
import re
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
ROOMS = (
    "algorithms",
    "formulas",
    "population",
    "networks",
    "buffers",
    "envs",
    "runs",
    "contracts",
    "learning",
    "resume",
)
"""The tests that are tried: those of the bug's own room first, then the others."""

PPO, GAE = "algorithms/ppo.py", "formulas/returns.py"
ROLLOUT, VECTOR, SPACES = "buffers/rollout.py", "envs/vector.py", "envs/spaces.py"
LAYERS, AGENTS = "population/layers.py", "population/agents.py"
ADAM, POLICIES, NORMALISERS = "population/optimiser.py", "networks/policies.py", "population/normalisers.py"
ESTIMATES, DISTRIBUTIONS = "buffers/estimates.py", "formulas/distributions.py"
REINFORCE, VPG, A2C, TRPO = (f"algorithms/{name}.py" for name in ("reinforce", "vpg", "a2c", "trpo"))
UNIT, EVALUATION = "runs/unit.py", "runs/evaluation.py"
DQN, DDPG, TD3, SAC = (f"algorithms/{name}.py" for name in ("dqn", "ddpg", "td3", "sac"))
REPLAY, SEGMENTS, TARGET = "buffers/replay.py", "runs/segments.py", "population/target.py"
Q_NETWORK, Q_FUNCTIONS, CONTINUOUS = (f"networks/{name}.py" for name in ("q_network", "q_functions", "continuous"))
DIAGNOSTICS = "formulas/diagnostics.py"
OTHERWISE = dict.fromkeys(("dqn.py", "ddpg.py", "td3.py", "sac.py"), "off_policy.py")
OTHERWISE |= dict.fromkeys(("q_network.py", "continuous.py"), "q_functions.py") | {"replay.py": "replay_buffer.py"}
"""Files whose tests have another name."""


@dataclass(frozen=True)
class Bug:
    """A text of the source, once in its file, and what a mistake would make of it."""

    number: str
    what: str
    file: str
    right: str
    wrong: str


BUGS: tuple[Bug, ...] = (
    Bug("1", "policy loss has the wrong sign", PPO, "return -torch.minimum(", "return torch.minimum("),
    Bug("2", "advantage is V - R", GAE, "next_value) - value", "next_value) * 0 + value - reward"),
    Bug(
        "3",
        "old log-probability is not the old policy's",
        PPO,
        "log_ratio = now.log_prob - batch.log_prob",
        "log_ratio = now.log_prob - now.log_prob.mean(1, keepdim=True)",
    ),
    Bug(
        "4",
        "log-probabilities are (B, 1) against (B)",
        "formulas/distributions.py",
        "category.unsqueeze(-1)).sum((-2, -1))\n",
        "category.unsqueeze(-1)).sum(-2)\n",
    ),
    Bug(
        "5",
        "log-probability is not summed over action components",
        "formulas/distributions.py",
        "return -(0.5 * z.square() + log_std).sum(-1) - 0.5 * log(2 * pi) * x.shape[-1]",
        "return -(0.5 * z.square() + log_std)[..., 0] - 0.5 * log(2 * pi)",
    ),
    Bug(
        "6",
        "log-probability is averaged over the batch",
        PPO,
        "log_ratio = now.log_prob - batch.log_prob",
        "log_ratio = (now.log_prob - batch.log_prob).mean(1, keepdim=True).expand_as(now.value)",
    ),
    Bug("7", "entropy bonus has the wrong sign", PPO, "by_entropy = -expand(", "by_entropy = expand("),
    Bug(
        "8",
        "entropy bonus is a hundred times too large",
        PPO,
        "by_entropy = -expand(h.entropy_coefficient",
        "by_entropy = -expand(100 * h.entropy_coefficient",
    ),
    Bug(
        "10",
        "exp is forgotten in the ratio",
        PPO,
        "surrogate = log_ratio.exp() * advantage",
        "surrogate = log_ratio * advantage",
    ),
    Bug(
        "11",
        "the advantage's own slope is in the policy's",
        PPO,
        "surrogate >= bound, 0.0, surrogate",
        "surrogate >= bound, 0.0, surrogate + 0.1 * log_ratio",
    ),
    Bug(
        "12",
        "the target's slope cancels half of the value's",
        PPO,
        "slope = error.square(), error * (2 / error.shape[1])",
        "slope = error.square(), error * (1 / error.shape[1])",
    ),
    Bug(
        "13",
        "ends are off by one in GAE",
        GAE,
        "delta[:, t] + decay[:, t] * following",
        "delta[:, t] + decay[:, t - 1] * following",
    ),
    Bug(
        "14",
        "GAE runs on across ends",
        GAE,
        "torch.where(terminated | truncated, 0.0, gamma * expand(lam, 3))",
        "(gamma * expand(lam, 3)).expand_as(delta)",
    ),
    Bug(
        "14b",
        "GAE runs on across truncations",
        GAE,
        "torch.where(terminated | truncated, 0.0",
        "torch.where(terminated, 0.0",
    ),
    Bug(
        "15",
        "the value after a termination is bootstrapped",
        GAE,
        "torch.where(terminated, 0.0, next_value) - value",
        "next_value - value",
    ),
    Bug(
        "17",
        "truncation is treated as termination",
        GAE,
        "torch.where(terminated, 0.0, next_value) - value",
        "torch.where(terminated | truncated, 0.0, next_value) - value",
    ),
    Bug(
        "18",
        "termination is treated as truncation",
        GAE,
        "torch.where(terminated, 0.0, next_value) - value",
        "torch.where(terminated & truncated, 0.0, next_value) - value",
    ),
    Bug(
        "19",
        "the value of the reset observation is bootstrapped",
        ESTIMATES,
        "ac.value(led_to)",
        "ac.value(observation.roll(-1, 1))",
    ),
    Bug(
        "20", "returns are accumulated forwards", GAE, "in reversed(range(delta.shape[1]))", "in range(delta.shape[1])"
    ),
    Bug(
        "21",
        "the discount is missing in the bootstrap",
        GAE,
        "delta = reward + gamma * torch",
        "delta = reward + torch",
    ),
    Bug(
        "21b",
        "the discount is squared in the recursion",
        GAE,
        "0.0, gamma * expand(lam, 3)",
        "0.0, gamma * gamma * expand(lam, 3)",
    ),
    Bug(
        "22",
        "γ and λ are swapped",
        ESTIMATES,
        "rollout.truncated, h.discount, h.gae_lambda)",
        "rollout.truncated, h.gae_lambda, h.discount)",
    ),
    Bug(
        "23",
        "rewards are shifted by one step",
        ESTIMATES,
        "advantage = gae(reward, ",
        "advantage = gae(reward.roll(1, 1), ",
    ),
    Bug(
        "23b",
        "the buffer stores the last step's reward",
        ROLLOUT,
        "            stored[:, self.past + t] = new.numpy()",
        "            stored[:, self.past + t - (stored is self._arrays[3])] = new.numpy()",
    ),
    Bug(
        "25",
        "advantages are shuffled apart from observations",
        ROLLOUT,
        "(self.observation, self.action, log_prob, value, advantage, target)",
        "(self.observation, self.action, log_prob, value, advantage.flip(1), target)",
    ),
    Bug(
        "26",
        "only the first minibatch of an epoch is used",
        ROLLOUT,
        "order[:, :whole].unflatten",
        "order[:, :size].unflatten",
    ),
    Bug(
        "26b",
        "the last, smaller minibatch is dropped",
        ROLLOUT,
        "order[:, whole:].unsqueeze(0)",
        "order[:, samples:].unsqueeze(0)",
    ),
    Bug(
        "27",
        "the buffer is not overwritten every iteration",
        ROLLOUT,
        "            stored[:, self.past + t] = new.numpy()",
        "            stored[:, self.past + t] = new.numpy() if not stored[:, t].any() else stored[:, t]",
    ),
    Bug("28", "advantages are not normalised", PPO, "normalised(batch.advantage) if", "batch.advantage if"),
    Bug(
        "28b",
        "advantages are normalised over all agents",
        "formulas/normalisation.py",
        "return layer_norm(x, x.shape[1:], eps=1e-16)",
        "return layer_norm(x, x.shape, eps=1e-16)",
    ),
    Bug(
        "30",
        "gradients add up over minibatches",
        LAYERS,
        "by_weight.copy_(_product(torch.bmm, x.transpose(1, 2), slope))",
        "by_weight.add_(_product(torch.bmm, x.transpose(1, 2), slope))",
    ),
    Bug(
        "31",
        "gradients are cleared before the step",
        PPO,
        "    gradient_norm = optimiser.step(",
        "    ac.parameters.gradient.zero_()\n    gradient_norm = optimiser.step(",
    ),
    Bug(
        "31b",
        "backward is missing",
        PPO,
        "    now.backward(by_log_prob, expand(h.value_coefficient, 2) * by_value, by_entropy)\n",
        "",
    ),
    Bug(
        "32",
        "the learning rate is annealed to 0 too early",
        "population/hyperparameters.py",
        "linear(progress) if",
        "linear(min(2 * progress, 1)) if",
    ),
    Bug(
        "33",
        "the learning rate is a hundred times too large",
        ADAM,
        "lr=rate,",
        "lr=100 * rate,",
    ),
    Bug(
        "35",
        "the standard deviation is used as the log",
        POLICIES,
        "std = np.exp(parameters[self.LOG_STD].detach().numpy())[:, None]",
        "std = parameters[self.LOG_STD].detach().numpy()[:, None]",
    ),
    Bug(
        "36",
        "probabilities are passed as logits",
        POLICIES,
        "log_p = self.logits(output).log_softmax(-1)",
        "log_p = self.logits(output).softmax(-1).log_softmax(-1)",
    ),
    Bug(
        "37",
        "actions are the policy's best while collecting",
        POLICIES,
        "return categorical_sample(self.logits(output), noise)",
        "return self.logits(output).argmax(-1)",
    ),
    Bug(
        "38",
        "the value loss broadcasts (B) against (B, 1)",
        PPO,
        "error = value - target",
        "error = (value.unsqueeze(2) - target.unsqueeze(1)).mean(2)",
    ),
    Bug(
        "clip",
        "the ratio is clipped on one side only",
        PPO,
        "bound = (1 + torch.copysign(expand(clip, 2), advantage)) * advantage",
        "bound = torch.where(advantage > 0, (1 + expand(clip, 2)) * advantage, torch.inf)",
    ),
    Bug(
        "slope 1",
        "the slope goes on beyond the bound",
        PPO,
        "torch.where(surrogate >= bound, 0.0, surrogate)",
        "torch.where(surrogate >= torch.inf, 0.0, surrogate)",
    ),
    Bug(
        "slope 2",
        "the slope of a clipped value goes on",
        PPO,
        "slope = torch.where(held > squares, 0.0, slope)",
        "slope = slope * 1.0",
    ),
    Bug(
        "slope 3",
        "the activation's slope is forgotten",
        "networks/mlp.py",
        "            if i:\n                slope = self._slope(linear_slope_by_input(self._tensors[2 * i], slope), self.inputs[i])",
        "            if i:\n                slope = linear_slope_by_input(self._tensors[2 * i], slope)",
    ),
    Bug(
        "slope 4",
        "the slope of the entropy is that of E[-log p] at fixed p",
        "formulas/distributions.py",
        "slope -= p * (log_p + entropy) * by_entropy[..., None, None]",
        "slope -= p * log_p * by_entropy[..., None, None]",
    ),
    Bug(
        "slope 5",
        "log σ does not learn from the entropy",
        POLICIES,
        "by_log_std += by_entropy.unsqueeze(-1)",
        "by_log_std += 0 * by_entropy.unsqueeze(-1)",
    ),
    Bug(
        "slope 6",
        "the logits' slope misses the softmax",
        "formulas/distributions.py",
        "slope = (p * -weight).scatter_add_(",
        "slope = (p * -0.0).scatter_add_(",
    ),
    Bug(
        "kl",
        "the KL estimate is E[-log r], which can be negative",
        PPO,
        "return (log_ratio.exp() - 1 - log_ratio).mean(-1)",
        "return -log_ratio.mean(-1)",
    ),
    Bug(
        "adam", "Adam does not count its steps", ADAM, "self._row_steps[rows] = before + 1", "self._row_steps[rows] = 1"
    ),
    Bug(
        "60",
        "clipped actions are stored with the log-probability of unclipped ones",
        ROLLOUT,
        "(action, *step)",
        "(action.clamp(-1, 1) if action.is_floating_point() else action, *step)",
    ),
    Bug("61", "actions are not rescaled to the bounds", SPACES, "self._middle + self._half * np.where", "np.where"),
    Bug("61b", "bounds are taken to be symmetric", SPACES, "(np.where(self.bounded, low, 0) + high) / 2", "0 * high"),
    Bug(
        "61c",
        "all components get the first one's bounds",
        SPACES,
        "self._low, self._high, self._rescale = low, high, rescale",
        "low, high = np.full_like(low, low[0]), np.full_like(high, high[0])\n"
        "                self._low, self._high, self._rescale = low, high, rescale",
    ),
    Bug(
        "71",
        "observations are aliased",
        VECTOR,
        "self._before[:] = self._observation",
        "self._before = self._observation",
    ),
    Bug("72", "the current observation is not advanced", VECTOR, "        self._observation[:] = self._after\n", ""),
    Bug(
        "73",
        "next_observation is the one after the reset",
        VECTOR,
        "            self._reset(i)\n        else:",
        "            self._reset(i)\n            self._after_rows[i] = self._observation_rows[i]\n        else:",
    ),
    Bug(
        "76",
        "ends are stored one step late",
        ROLLOUT,
        "            stored[:, self.past + t] = new.numpy()",
        "            stored[:, (t + (stored is self._arrays[4])) % stored.shape[1]] = new.numpy()",
    ),
    Bug("77", "parallel environments share their seeds", VECTOR, "self._slot(n), episode)", "0, episode)"),
    Bug("77b", "every episode starts from one seed", VECTOR, "self._slot(n), episode)", "self._slot(n), 0)"),
    Bug(
        "79",
        "the step after an end is a reset step that ignores the action",
        VECTOR,
        "            self._reset(i)\n        else:",
        "            self._reset(i)\n            self._observation_rows[i] = self._after_rows[i]\n        else:",
    ),
    Bug(
        "81",
        "a termination at the time limit is dropped",
        VECTOR,
        "self._terminated.flat[i], self._truncated.flat[i] = terminated, truncated",
        "self._terminated.flat[i], self._truncated.flat[i] = terminated and not truncated, truncated",
    ),
    Bug(
        "82",
        "termination and truncation are swapped",
        VECTOR,
        "self._terminated.flat[i], self._truncated.flat[i] = terminated, truncated",
        "self._truncated.flat[i], self._terminated.flat[i] = terminated, truncated",
    ),
    Bug(
        "83",
        "the mean reward is subtracted",
        NORMALISERS,
        "return reward / expand(self.scale, 3)",
        "return (reward - reward.mean()) / expand(self.scale, 3)",
    ),
    Bug(
        "83b",
        "the discounted return is not reset at ends",
        NORMALISERS,
        "torch.where(done[:, t], 0.0, self.discounted_return)",
        "self.discounted_return",
    ),
    Bug(
        "84",
        "the observation statistics move while acting",
        "networks/actor_critic.py",
        "        return self.policy.mode(",
        "        self.observe(observation)\n        return self.policy.mode(",
    ),
    Bug(
        "84b",
        "the observation statistics move before the update",
        PPO,
        '            with run.stage("estimate"):\n',
        '            ac.observe(rollout.observation.flatten(1, 2))\n            with run.stage("estimate"):\n',
    ),
    Bug(
        "84c",
        "the statistics are not saved",
        "networks/actor_critic.py",
        "        if self.normaliser is not None:\n            state |=",
        "        if self.normaliser is None:\n            state |=",
    ),
    Bug(
        "86",
        "deterministic evaluation draws random actions",
        EVALUATION,
        "policy.act_deterministically(observation)\n                if deterministic",
        "policy.act(observation, noise[:, t % NOISE_BLOCK])\n                if deterministic",
    ),
    Bug(
        "87",
        "evaluation reports scaled returns",
        VECTOR,
        "ret=sum(running.digest.rewards)",
        "ret=sum(running.digest.rewards) / 10",
    ),
    Bug(
        "one-hot",
        "one-hot observations are normalised",
        NORMALISERS,
        "torch.where(self.one_hot, 1.0, (",
        "torch.where(self.one_hot & False, 1.0, (",
    ),
    Bug(
        "agents",
        "a loss couples the agents",
        PPO,
        "expand(h.value_coefficient, 2) * by_value, by_entropy)",
        "expand(h.value_coefficient, 2) * by_value.mean(0, keepdim=True).expand_as(by_value), by_entropy)",
    ),
    Bug(
        "mask",
        "an agent with a gradient that is not finite is stepped",
        ADAM,
        "if moving and isfinite(norms[a]):",
        "if moving:",
    ),
    Bug(
        "limit",
        "the time limit comes one step late",
        VECTOR,
        "bool(truncated) or left[i] <= 1",
        "bool(truncated) or left[i] <= 0",
    ),
    Bug(
        "fault",
        "a fault of one agent stops all",
        VECTOR,
        "if i // self.count not in self.agents.stopped]",
        "if not self.agents.stopped]",
    ),
    Bug(
        "nan",
        "a reward that is not finite goes unnoticed",
        VECTOR,
        "np.vdot(rows, rows) + np.vdot(self._reward_rows, self._reward_rows)",
        "np.vdot(rows, rows)",
    ),
    Bug(
        "rank",
        "γ broadcasts along T instead of A",
        GAE,
        "gamma = expand(discount, 3)\n    delta",
        "gamma = discount.reshape(1, -1, 1) if reward.shape[1] == len(discount) else expand(discount, 3)\n    delta",
    ),
    Bug(
        "r1",
        "episodes that go on are learned from",
        REINFORCE,
        "learned = rollout.ended().flatten(1)",
        "learned = torch.ones_like(rollout.ended().flatten(1))",
    ),
    Bug(
        "r2", "episodes are learned from again and again", ROLLOUT, "torch.tensor(t >= self.past)", "torch.tensor(True)"
    ),
    Bug(
        "r3",
        "the past is not kept",
        ROLLOUT,
        "stored[:, stored.shape[1] - self.past :].copy()",
        "stored[:, : self.past].copy()",
    ),
    Bug("r4", "returns run on across episodes", GAE, "torch.where(end[:, t], beyond[:, t], following)", "following"),
    Bug(
        "r5",
        "a termination is followed by V",
        REINFORCE,
        "torch.where(rollout.terminated, 0.0, next_value)",
        "next_value",
    ),
    Bug(
        "r5b",
        "a truncation is followed by nothing",
        REINFORCE,
        "torch.where(rollout.terminated, 0.0, next_value)",
        "0 * next_value",
    ),
    Bug("r6", "the baseline is added", REINFORCE, "advantage = target - value", "advantage = target + value"),
    Bug(
        "r7",
        "agents share the number of samples",
        REINFORCE,
        "samples, alive = learned.sum(1)",
        "samples, alive = learned.sum(1) * 0 + learned.sum() // len(learned)",
    ),
    Bug(
        "r8",
        "the policy's loss has the wrong sign",
        REINFORCE,
        ".sum(1), -advantage * share",
        ".sum(1), advantage * share",
    ),
    Bug(
        "r9",
        "the past is not saved",
        REINFORCE,
        "reward_scaler=scaler, rollout=rollout)",
        "reward_scaler=scaler)",
    ),
    Bug("v1", "the policy's loss has the wrong sign", VPG, ".mean(1), -advantage /", ".mean(1), advantage /"),
    Bug("v2", "the entropy bonus has the wrong sign", VPG, "by_entropy = (-h.entropy", "by_entropy = (h.entropy"),
    Bug("v3", "advantages are not normalised", VPG, "normalised(advantage) if", "advantage if"),
    Bug("v4", "the value function is not fitted", VPG, "config.value_epochs, config.minibatch", "0, config.minibatch"),
    Bug(
        "v5",
        "V is fitted to the advantage",
        VPG,
        "(batch.observation, batch.target, 1",
        "(batch.observation, batch.advantage, 1",
    ),
    Bug(
        "v6", "the slope of V's error is half", "networks/values.py", "now.backward(2 * share", "now.backward(1 * share"
    ),
    Bug(
        "a1",
        "the value's error is not that of the n-step return",
        A2C,
        "estimates.target.flatten(1)",
        "0 * advantage.flatten(1)",
    ),
    Bug(
        "a2",
        "an iteration's first rollout alone is learned from",
        A2C,
        "estimates, losses = update(ac, optimiser, rollout, reward, agents.alive,",
        "estimates, losses = update(ac, optimiser, rollout, reward, agents.alive & (number == 0),",
    ),
    Bug("a3", "RMSprop forgets the root", ADAM, "square.sqrt().add_", "square.clone().add_"),
    Bug(
        "a4",
        "RMSprop remembers the gradient, not its square",
        ADAM,
        "addcmul_(gradient, gradient,",
        "add_(gradient.abs(),",
    ),
    Bug("a5", "every rollout gets the first one's noise", A2C, "noise[:, number, t]", "noise[:, 0, t]"),
    Bug(
        "a6",
        "the bootstrap is from the reset state",
        A2C,
        "ac.value(rollout.next_observation",
        "ac.value(rollout.observation",
    ),
    Bug("t1", "the step is √(δ / xᵀFx) x", TRPO, "(2 * h.target_kl / solved", "(h.target_kl / solved"),
    Bug("t2", "F is not damped", TRPO, "old.fisher(v) + h.damping.unsqueeze(1) * v", "old.fisher(v)"),
    Bug("t3", "KL is not looked at", TRPO, "(distance <= h.target_kl) & (now > before)", "now > before"),
    Bug(
        "t4",
        "improvement is not looked at",
        TRPO,
        "(distance <= h.target_kl) & (now > before)",
        "distance <= h.target_kl",
    ),
    Bug(
        "t5",
        "a step that was not good stays",
        TRPO,
        "theta.copy_(torch.where(looking.unsqueeze(1), start, theta))",
        "theta.copy_(theta)",
    ),
    Bug("t6", "β is upside down in the conjugate gradients", TRPO, "(following / square)", "(square / following)"),
    Bug("t7", "the direction is the gradient", TRPO, ".unsqueeze(1) * solved.x", ".unsqueeze(1) * g"),
    Bug("t8", "steps do not become shorter", TRPO, "share * h.backtrack_ratio", "share * 1.0"),
    Bug("t9", "one agent's search ends all agents'", TRPO, "if not looking.any():", "if not looking.all():"),
    Bug("t10", "the step goes down", TRPO, "old.backward(advantage /", "old.backward(-advantage /"),
    Bug("t11", "F of log σ is 1", POLICIES, "copy_(2 * direction[self.LOG_STD])", "copy_(direction[self.LOG_STD])"),
    Bug(
        "t12",
        "F of a choice is diag(p)",
        DISTRIBUTIONS,
        "return p * (direction - (p * direction).sum(-1, keepdim=True))",
        "return p * direction",
    ),
    Bug("t13", "F of the mean is 1/σ", POLICIES, "moved * (-2 * log_std).exp()", "moved * (-log_std).exp()"),
    Bug(
        "t14",
        "the derivative along a direction misses the hidden layers",
        "networks/mlp.py",
        "moved = linear(moved, self._tensors[2 * i], by_theta)",
        "moved = by_theta",
    ),
    Bug("t15", "KL of Gaussians forgets the means", DISTRIBUTIONS, "- ratio + moved.square())", "- ratio)"),
    Bug(
        "t16",
        "KL of choices is the other way round",
        DISTRIBUTIONS,
        "(old.exp() * (old - new))",
        "(new.exp() * (new - old))",
    ),
    Bug(
        "t17",
        "an agent that rests is stepped",
        TRPO,
        "start, looking = theta.clone(), alive.clone()",
        "start, looking = theta.clone(), alive | True",
    ),
    Bug("t18", "agents share the scalar product", TRPO, "return (x * y).sum(1)", "return (x * y).sum() + 0 * x[:, 0]"),
    Bug(
        "39",
        "the target network of DQN is never copied",
        DQN,
        "                        follower.follow(h.target_rate, agents.alive)\n",
        "                        pass\n",
    ),
    Bug(
        "39b", "the critics' target of SAC never moves", SAC, "    learner.q_target.follow(h.target_rate, alive)\n", ""
    ),
    Bug(
        "39c",
        "the policy's target of DDPG never moves",
        DDPG,
        "    learner.policy_target.follow(h.target_rate, alive)\n",
        "",
    ),
    Bug(
        "39d",
        "the critics' target of TD3 never moves",
        TD3,
        "        learner.q_target.follow(h.target_rate, alive)\n",
        "",
    ),
    Bug(
        "40", "the target network is the network", TARGET, "self.parameters = source.copy()", "self.parameters = source"
    ),
    Bug("41", "τ and 1 - τ are exchanged", TARGET, "target.lerp_(source, tau)", "target.lerp_(source, 1 - tau)"),
    Bug(
        "43",
        "DQN's target comes from the network that learns",
        DQN,
        "net.q(batch.next_observation, follower.parameters)",
        "net.q(batch.next_observation)",
    ),
    Bug(
        "43b",
        "SAC's target comes from the critics that learn",
        SAC,
        "following.action, learner.q_target.parameters)",
        "following.action)",
    ),
    Bug(
        "43c",
        "TD3's target action comes from the policy that learns",
        TD3,
        "ac.action(batch.next_observation, learner.policy_target.parameters)",
        "ac.action(batch.next_observation)",
    ),
    Bug(
        "43d",
        "DDPG's target value comes from the critic that learns",
        DDPG,
        "action, learner.q_target.parameters).unbind(1)",
        "action).unbind(1)",
    ),
    Bug(
        "44",
        "the target's slope cancels half of the critics'",
        GAE,
        "return error.square(), error * (2 / error.shape[2])",
        "return error.square(), error * (1 / error.shape[2])",
    ),
    Bug(
        "45",
        "targets bootstrap beyond a termination",
        GAE,
        "reward + discount * torch.where(terminated, 0.0, next_value)",
        "reward + discount * next_value",
    ),
    Bug(
        "46",
        "targets bootstrap at terminations only",
        GAE,
        "torch.where(terminated, 0.0, next_value)\n\n\ndef squared",
        "torch.where(terminated, next_value, 0.0)\n\n\ndef squared",
    ),
    Bug(
        "48",
        "double Q-learning selects and judges by the target",
        DQN,
        "(net.q(batch.next_observation) if config.double else next_q).argmax",
        "next_q.argmax",
    ),
    Bug(
        "49",
        "Q of another action is taught",
        DQN,
        "q = now.value.gather(-1, batch.action).squeeze(-1)",
        "q = now.value.gather(-1, (batch.action + 1) % now.value.shape[-1]).squeeze(-1)",
    ),
    Bug(
        "50",
        "ε is inverted",
        DQN,
        "return noise[..., :1] < epsilon",
        "return noise[..., :1] > epsilon",
    ),
    Bug("50b", "ε never falls", DQN, "(expand(h.final_epsilon, 2) - 1) *", "0 * (expand(h.final_epsilon, 2) - 1) *"),
    Bug(
        "50c",
        "random actions never choose the last",
        Q_NETWORK,
        "(uniform * self.actions).long()",
        "(uniform * (self.actions - 1)).long()",
    ),
    Bug(
        "51",
        "Q cannot be negative",
        Q_NETWORK,
        'return self._combined(self.network.one(parameters or self.parameters, "q", observation))',
        'return self._combined(self.network.one(parameters or self.parameters, "q", observation)).relu()',
    ),
    Bug(
        "52",
        "DQN's loss is a sum, not a mean",
        DQN,
        "return error.square(), error * (2 / samples)",
        "return error.square(), error * 2",
    ),
    Bug(
        "52b",
        "the critics' loss is a sum, not a mean",
        GAE,
        "return error.square(), error * (2 / error.shape[2])",
        "return error.square(), error * 2",
    ),
    Bug(
        "q1",
        "the Huber loss has the slope of the squared one",
        DQN,
        "return near * (error - 0.5 * near), near / samples",
        "return near * (error - 0.5 * near), error / samples",
    ),
    Bug(
        "q2",
        "dueling forgets to take away the mean",
        Q_NETWORK,
        "advantage - advantage.mean(-1, keepdim=True)",
        "advantage",
    ),
    Bug("q3", "dueling's slope forgets the mean", Q_NETWORK, "by_value - by_v / self.actions", "by_value"),
    Bug(
        "q4",
        "γ is not raised to the number of steps",
        REPLAY,
        "torch.where(going_on, total_discount * gamma, total_discount)",
        "total_discount",
    ),
    Bug(
        "q5",
        "n steps go on beyond a truncation",
        REPLAY,
        '(at("terminated", last) | at("truncated", last))',
        'at("terminated", last)',
    ),
    Bug(
        "q6",
        "rewards of n steps are not discounted",
        REPLAY,
        'total_discount * at("reward", last), 0.0)',
        'at("reward", last), 0.0)',
    ),
    Bug(
        "q7",
        "the target network is copied at every update",
        DQN,
        "batch = replay.sample(places, h.discount)\n",
        "batch = replay.sample(places, h.discount)\n                            follower.follow(h.target_rate, alive)\n",
    ),
    Bug(
        "q8",
        "an agent's rate of its target is its neighbour's",
        TARGET,
        "rate.tolist(), active.tolist(), strict",
        "rate.flip(0).tolist(), active.tolist(), strict",
    ),
    Bug("q9", "the target of an agent that rests goes on", TARGET, "            if moves:\n", "            if True:\n"),
    Bug(
        "56",
        "the correction of tanh is missing",
        DISTRIBUTIONS,
        "2 * steepness - log_std",
        "2 * log(2) - log_std",
    ),
    Bug(
        "57",
        "the width of the bounds is missing in the density",
        DISTRIBUTIONS,
        "constant = half.log().sum() +",
        "constant = 0 * half.log().sum() +",
    ),
    Bug(
        "59", "the correction of tanh has no slope", DISTRIBUTIONS, "+ 2 * squashed * weight", "+ 0 * squashed * weight"
    ),
    Bug(
        "60",
        "DDPG stores an action that was not done",
        DDPG,
        "return ac.bounded(ac.action(observation)",
        "return (ac.action(observation)",
    ),
    Bug(
        "61",
        "a deterministic policy reaches ±1 and not its bounds",
        CONTINUOUS,
        "return self.middle + self.half * self._output(observation, parameters).tanh()",
        "return self._output(observation, parameters).tanh()",
    ),
    Bug(
        "61b",
        "random actions reach half of their range",
        CONTINUOUS,
        "self.half * (2 * uniform - 1)",
        "self.half * (uniform - 0.5)",
    ),
    Bug(
        "62",
        "the action's slope does not reach SAC's policy",
        SAC,
        "now.backward(judged.by_action(by_value),",
        "now.backward(0 * judged.by_action(by_value),",
    ),
    Bug(
        "62b",
        "log σ has no slope through the action",
        DISTRIBUTIONS,
        "return by_u, by_u * std * noise - weight",
        "return by_u, 0 * by_u - weight",
    ),
    Bug("64", "the temperature moves the wrong way", SAC, "(entropy.mean(1) - wanted)", "(wanted - entropy.mean(1))"),
    Bug(
        "65",
        "TD3 believes the higher critic",
        TD3,
        "learner.q_target.parameters).amin(1)",
        "learner.q_target.parameters).amax(1)",
    ),
    Bug(
        "65b",
        "SAC's target believes the higher critic",
        SAC,
        "learner.q_target.parameters).amin(1)",
        "learner.q_target.parameters).amax(1)",
    ),
    Bug(
        "65c",
        "SAC's policy climbs the higher critic",
        SAC,
        "judged.value.min(1, keepdim=True)",
        "judged.value.max(1, keepdim=True)",
    ),
    Bug(
        "67",
        "agents share a temperature",
        SAC,
        "soft = lowest - learner.alpha *",
        "soft = lowest - learner.alpha.mean() *",
    ),
    Bug(
        "68",
        "DDPG's policy goes down its critic",
        DDPG,
        "torch.full_like(judged.value, -1 /",
        "torch.full_like(judged.value, 1 /",
    ),
    Bug(
        "68b",
        "SAC's policy goes down its critics",
        SAC,
        "scatter_(1, which, -1 / samples)",
        "scatter_(1, which, 1 / samples)",
    ),
    Bug(
        "68c",
        "TD3's policy goes down its critic",
        TD3,
        "torch.full_like(judged.value, -1 /",
        "torch.full_like(judged.value, 1 /",
    ),
    Bug(
        "69",
        "the policy's loss leaves its slope in the critics",
        Q_FUNCTIONS,
        "value, by_input = net.output, net.by_input",
        "value, by_input = net.output, lambda slope: (net.backward(slope.clone()), net.by_input(slope))[1]",
    ),
    Bug(
        "c1",
        "TD3's noise on the target action has no limit",
        TD3,
        "torch.maximum(torch.minimum(expand(h.target_noise, 3) * noise, most), -most)",
        "(expand(h.target_noise, 3) * noise)",
    ),
    Bug("c2", "TD3's target action leaves its bounds", TD3, "action = ac.bounded(ac.action(", "action = (ac.action("),
    Bug("c3", "TD3's policy moves at every update", TD3, "(i + 1) % config.policy_delay == 0", "True"),
    Bug(
        "c4",
        "TD3 smooths every target with the same noise",
        TD3,
        "smoothing[i], alive",
        "smoothing[0], alive",
    ),
    Bug("c5", "the second critic does not learn", SAC, 'active={"q1": alive, "q2": alive}', 'active={"q1": alive}'),
    Bug(
        "c6",
        "the entropy is missing in SAC's target",
        SAC,
        "soft = lowest - learner.alpha * following.log_prob",
        "soft = lowest",
    ),
    Bug(
        "c7",
        "the target entropy is not per component",
        SAC,
        "h.target_entropy * len(learner.ac.half)",
        "h.target_entropy",
    ),
    Bug(
        "c8",
        "target action and action share their noise",
        SAC,
        "policy_step(learner, batch, noise[:, 1], alive, h)",
        "policy_step(learner, batch, noise[:, 0], alive, h)",
    ),
    Bug(
        "c9",
        "both critics start the same",
        "networks/mlp.py",
        'rng = stream(agent.seed, f"initialise/{group}/{layer}")',
        'rng = stream(agent.seed, f"initialise/{layer}")',
    ),
    Bug(
        "c10",
        "log σ is not bounded in training",
        CONTINUOUS,
        "        log_std = unbounded.clamp(LOG_STD_LOW, LOG_STD_HIGH)\n",
        "        log_std = unbounded\n",
    ),
    Bug("c11", "exploration noise ignores the width of the range", DDPG, "* ac.half * noise)", "* noise)"),
    Bug("c12", "first actions come from the policy", SAC, "< config.random_steps", "< 0"),
    Bug(
        "73r",
        "the replay gives the observation that followed the reset",
        REPLAY,
        'at("next_observation", last).float()',
        'at("observation", rows(place + self.environments)).float()',
    ),
    Bug(
        "75",
        "rows that are not filled yet are sampled",
        REPLAY,
        "usable = self.steps - self.oldest - (self.n_step - 1)",
        "usable = self.length",
    ),
    Bug(
        "75b",
        "the newest steps are sampled before what follows them",
        REPLAY,
        "usable = self.steps - self.oldest - (self.n_step - 1)",
        "usable = self.steps - self.oldest",
    ),
    Bug(
        "75c",
        "the newest steps are never sampled",
        REPLAY,
        "usable = self.steps - self.oldest - (self.n_step - 1)",
        "usable = max(1, self.steps - self.oldest - self.n_step - 1)",
    ),
    Bug(
        "76",
        "terminations of a replay are one step late",
        REPLAY,
        '            at("terminated", last),\n',
        '            at("terminated", rows(place - self.environments)),\n',
    ),
    Bug(
        "82r",
        "a replay calls a truncation a termination",
        REPLAY,
        '            at("terminated", last),\n',
        '            at("terminated", last) | at("truncated", last),\n',
    ),
    Bug(
        "82s",
        "a replay exchanges termination and truncation",
        REPLAY,
        '            at("terminated", last),\n',
        '            at("truncated", last),\n',
    ),
    Bug(
        "b0",
        "all updates of a block get its first numbers",
        AGENTS,
        "return self._drawn[:, at]",
        "return self._drawn[:, 0]",
    ),
    Bug(
        "l1",
        "a narrow product is turned around once",
        LAYERS,
        "by_weight.copy_(_product(torch.bmm, slope.transpose(1, 2), x).transpose(1, 2))",
        "by_weight.copy_(_product(torch.bmm, slope.transpose(1, 2), x).view_as(by_weight))",
    ),
    Bug(
        "l2",
        "the slope by the action is that by the first numbers of the observation",
        "networks/mlp.py",
        "linear_slope_by_input(self._tensors[0][:, first:], slope)",
        "linear_slope_by_input(self._tensors[0][:, : self._tensors[0].shape[1] - first], slope)",
    ),
    Bug(
        "b1",
        "the ring forgets where its oldest step is",
        REPLAY,
        ".long() + self.oldest * self.environments",
        ".long()",
    ),
    Bug(
        "b2",
        "agents draw the same places",
        REPLAY,
        "return (chance *",
        "return (chance[:1].expand_as(chance) *",
    ),
    Bug(
        "b3",
        "every update draws the same places",
        DQN,
        "replay.places(chance[i])",
        "replay.places(chance[0])",
    ),
    Bug(
        "b4",
        "agents sample from the first one's transitions",
        REPLAY,
        "self._first_row = torch.arange(agents).unsqueeze(1) *",
        "self._first_row = 0 * torch.arange(agents).unsqueeze(1) *",
    ),
    Bug(
        "b5",
        "environments of a step are mixed up",
        REPLAY,
        "return (place % (self.length * self.environments) +",
        "return (place // self.environments * self.environments % (self.length * self.environments) +",
    ),
    Bug("b6", "learning starts with the first step", REPLAY, "learns = number >= first", "learns = True"),
    Bug(
        "b7",
        "one update too many",
        REPLAY,
        "updates = round(config.update_to_data * config.update_interval)\n    #",
        "updates = round(config.update_to_data * config.update_interval) + 1\n    #",
    ),
    Bug(
        "b8",
        "a checkpoint holds only the newest segment",
        SEGMENTS,
        "return [asdict(segment) for segment in segments]",
        "return [asdict(segment) for segment in [*segments][-1:]]",
    ),
    Bug(
        "b9",
        "damage in a segment is not looked for",
        SEGMENTS,
        'file_digest(file, "sha256").hexdigest() != segment.sha256',
        'not file_digest(file, "sha256").hexdigest()',
    ),
    Bug(
        "b10",
        "segments that a milestone needs are taken away",
        UNIT,
        "chain.from_iterable(needed)",
        "chain.from_iterable(needed[:1])",
    ),
    Bug(
        "b11",
        "a resumed replay is empty",
        UNIT,
        "            segments.read(self.work.directory / REPLAY, self._segments, self._put_back)\n",
        "            self._replay.put_back(0, self._replay.written_between(0, 0))\n",
    ),
    Bug(
        "b12",
        "the age of samples is in steps of all environments",
        REPLAY,
        "return (self.environments * self.steps - places",
        "return (self.steps - places",
    ),
    Bug(
        "m1",
        "the bias of Q forgets γ",
        DIAGNOSTICS,
        "come = reward[t] + discount.unsqueeze(1) * following",
        "come = reward[t] + following",
    ),
    Bug(
        "m2",
        "the bias of Q counts steps beyond an episode's end",
        DIAGNOSTICS,
        "total += torch.where(within[t], value[t] - following, 0.0)",
        "total += value[t] - following",
    ),
    Bug("m3", "units are dormant against all layers", DIAGNOSTICS, "strength.mean(1, keepdim=True))", "1.0)"),
)


RESULTS = ROOT / "benchmarks" / "results" / "planted_bugs.md"
HEAD = """# Planted bugs and the tests that notice them

Made by `python -m benchmarks.planted_bugs`: each bug alone in a copy of the source; the first test that fails.

| catalogue | bug | file | noticed by |
|---|---|---|---|
"""


def main(numbers: list[str]) -> int:
    torch.set_num_threads(1)
    for library in ("gymnasium", "mujoco", "polars", "scipy.stats", "safetensors.torch", "tyro", "rich"):
        import_module(library)  # once for all forks
    known = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    rows = {line.split("|")[1].strip(): line for line in known if line.count("|") == 5}
    if failing := plant(Bug("", "nothing", PPO, "", "")):
        raise RuntimeError(f"the tests must pass before a bug is planted; {failing} does not")
    missed = 0
    for bug in BUGS:
        if numbers and bug.number not in numbers:
            continue
        noticed = plant(bug)
        print(f"{bug.number:>8}  {bug.what}: {noticed or 'NOT NOTICED'}", flush=True)
        found = f"`{noticed}`" if noticed else MISSED
        rows[bug.number] = f"| {bug.number} | {bug.what} | `{bug.file}` | {found} |"
        lines = [rows[bug.number] for bug in BUGS if bug.number in rows]
        missed = sum(MISSED in line for line in lines)
        summary = f"\n\n{len(lines) - missed} of {len(lines)} noticed.\n"
        RESULTS.write_text(HEAD + "\n".join(lines) + summary, encoding="utf-8")
    return int(missed > 0)


MISSED = "**nothing**"


def patched(bug: Bug) -> str:
    """The file's text with the bug in it. Raises `ValueError` if the place to plant it is not there exactly once."""
    text = (ROOT / "src" / "relook" / bug.file).read_text(encoding="utf-8")
    if bug.right and text.count(bug.right) != 1:
        raise ValueError(
            f"bug {bug.number}: expected its place once in {bug.file}; found it {text.count(bug.right)} times"
        )
    return text.replace(bug.right, bug.wrong) if bug.right else text


def plant(bug: Bug) -> str | None:
    """The first test that fails with the bug planted; None if all pass."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for folder in ("src", "tests", "docs"):
            shutil.copytree(ROOT / folder, copy / folder)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "src" / "relook" / bug.file).write_text(patched(bug), encoding="utf-8")
        room, name = bug.file.split("/")
        own = f"tests/{room}/test_{OTHERWISE.get(name, name)}"
        others = [f"tests/{other}" for other in ROOMS if other != room]
        for tests in ([own] if (ROOT / own).exists() and bug.number else [], [f"tests/{room}"], others):
            output = run_tests(copy, tests) if tests else "0 passed"
            if found := re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", output, re.MULTILINE):
                return found[1]
            if " passed" not in output:
                raise RuntimeError(f"the tests did not run: {output[-2000:]}")
        return None


def run_tests(copy: Path, tests: list[str]) -> str:
    """What pytest prints about a copy of the project, up to its first failure.

    It runs in a fork of this process, which has the libraries imported already but nothing of relook.
    """
    printed = copy / "printed.txt"
    child = os.fork()
    if child == 0:
        try:
            with printed.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os.chdir(copy)
            sys.path.insert(0, str(copy / "src"))  # before the installed relook
            os.environ["PYTHONPATH"] = str(copy / "src")
            pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
    return printed.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
