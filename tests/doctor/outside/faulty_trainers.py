"""Trainers as users write them, each healthy, and with faults that are well known."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

FAULTS = (
    "reward shifted",
    "time limit",
    "reset observation",
    "aliased",
    "mean subtracted",
    "sign",
    "one seed",
)


def network(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class ActorCritic:
    """A policy gradient with a critic, on the steps of a few episodes at a time, as Spinning Up's VPG goes about it."""

    def __init__(self, env: Any, steps: int, seed: int, fault: str = "", gamma: float = 0.95, batch: int = 32) -> None:
        torch.manual_seed(seed)
        observed, actions = env.observation_space.shape[0], int(env.action_space.n)
        self.policy, self.critic = network(observed, 32, actions), network(observed, 32, 1)
        adam = torch.optim.Adam([*self.policy.parameters(), *self.critic.parameters()], 1e-2)
        keep = np.asarray if fault == "aliased" else np.array
        seen, reward_before = keep(env.reset(seed=seed)[0]), 0.0
        for _ in range(steps // batch):
            rows = []
            for _ in range(batch):
                action = int(Categorical(logits=self.policy(torch.as_tensor(seen))).sample())
                led_to, reward, terminated, truncated, _ = env.step(action)
                led_to, over = keep(led_to), terminated or truncated
                stored = reward_before if fault == "reward shifted" else reward
                end = over if fault == "time limit" else terminated
                following = led_to
                if over:
                    again = seed if fault == "one seed" else None
                    following = keep(env.reset(seed=again)[0])
                target_of = following if fault == "reset observation" else led_to
                rows.append((seen, action, stored, target_of, end))
                seen, reward_before = following, 0.0 if over else reward
            s, a, r, s2, d = (torch.as_tensor(np.array(column)) for column in zip(*rows, strict=True))
            r = (r - r.mean() if fault == "mean subtracted" else r).float()
            value = self.critic(s).squeeze(-1)
            target = (r + gamma * ~d * self.critic(s2).squeeze(-1)).detach()
            advantage = (target - value).detach() * (-1 if fault == "sign" else 1)
            loss = -(Categorical(logits=self.policy(s)).log_prob(a) * advantage).mean()
            adam.zero_grad()
            (loss + (target - value).square().mean()).backward()
            adam.step()

    def act(self, observation: Any) -> int:
        return int(self.policy(torch.as_tensor(observation)).argmax())

    def value(self, observation: Any) -> float:
        return float(self.critic(torch.as_tensor(observation)))


class DDPG:
    """DDPG. With `broadcast` Q keeps its shape (B, 1) where targets have (B): Spinning Up's exercise 2.2."""

    def __init__(self, env: Any, steps: int, seed: int, fault: str = "", gamma: float = 0.95, batch: int = 64) -> None:
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        observed, size = env.observation_space.shape[0], env.action_space.shape[0]
        low, high = (torch.as_tensor(x) for x in (env.action_space.low, env.action_space.high))
        self.middle, self.half = (high + low) / 2, (high - low) / 2
        self.mu, self.q = network(observed, 32, size), network(observed + size, 32, 1)
        self.slow_mu, self.slow_q = network(observed, 32, size), network(observed + size, 32, 1)
        pairs = ((self.mu, self.slow_mu), (self.q, self.slow_q))
        for fast, slow in pairs:
            slow.load_state_dict(fast.state_dict())
        climbs, fits = torch.optim.Adam(self.mu.parameters(), 3e-3), torch.optim.Adam(self.q.parameters(), 1e-2)
        rows: deque[Any] = deque(maxlen=10_000)
        seen = np.array(env.reset(seed=seed)[0])
        for step in range(steps):
            noise = torch.as_tensor(rng.normal(0, 0.4, size), dtype=torch.float32)
            with torch.no_grad():
                greedy = self._action(self.mu, torch.as_tensor(seen))
            action = torch.clamp(greedy + noise * self.half, low, high).numpy()
            if step < 300:
                action = rng.uniform(low, high).astype(np.float32)
            led_to, reward, terminated, truncated, _ = env.step(action)
            led_to = np.array(led_to)
            rows.append((seen, action, np.float32(reward), led_to, terminated))
            seen = np.array(env.reset()[0]) if terminated or truncated else led_to
            if step >= 300 and step % 2 == 0:
                some = [rows[i] for i in rng.integers(0, len(rows), batch)]
                columns = [torch.as_tensor(np.array(column)) for column in zip(*some, strict=True)]
                self._update(columns, climbs, fits, gamma, fault)
                for fast, slow in pairs:
                    for theta, follows in zip(fast.parameters(), slow.parameters(), strict=True):
                        follows.data.lerp_(theta.data, 0.02)

    def _action(self, mu: Callable[[Tensor], Tensor], seen: Tensor) -> Tensor:
        return self.middle + self.half * torch.tanh(mu(seen))

    def _update(self, batch: list[Tensor], climbs: Any, fits: Any, gamma: float, fault: str) -> None:
        s, a, r, s2, d = batch
        with torch.no_grad():
            following = self.slow_q(torch.cat([s2, self._action(self.slow_mu, s2)], -1)).squeeze(-1)
            target = r + gamma * ~d * following
        value = self.q(torch.cat([s, a], -1))
        if fault != "broadcast":
            value = value.squeeze(-1)
        fits.zero_grad()
        (value - target).square().mean().backward()
        fits.step()
        climbs.zero_grad()
        (-self.q(torch.cat([s, self._action(self.mu, s)], -1)).mean()).backward()
        climbs.step()

    def act(self, observation: Any) -> Any:
        with torch.no_grad():
            return self._action(self.mu, torch.as_tensor(observation)).numpy()

    def value(self, observation: Any) -> float:
        with torch.no_grad():
            seen = torch.as_tensor(observation)
            return float(self.q(torch.cat([seen, self._action(self.mu, seen)], -1)))


def actor_critic(env: Any, steps: int, seed: int) -> ActorCritic:
    return ActorCritic(env, steps, seed)


def ddpg(env: Any, steps: int, seed: int) -> DDPG:
    return DDPG(env, steps, seed)


def with_fault(kind: Callable[..., Any], fault: str) -> Callable[..., Any]:
    """A training function (env, steps, seed) with a fault."""

    def train(env: Any, steps: int, seed: int) -> Any:
        return kind(env, steps, seed, fault=fault)

    return train
