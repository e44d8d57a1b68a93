"""A user's own actor-critic in twenty lines, to be examined: relook doctor algorithm trainer:train"""

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


class Agent(nn.Module):
    def __init__(self, observed: int, actions: int) -> None:
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(observed, 32), nn.Tanh(), nn.Linear(32, actions))
        self.critic = nn.Sequential(nn.Linear(observed, 32), nn.Tanh(), nn.Linear(32, 1))

    def act(self, observation: np.ndarray) -> int:
        return int(self.policy(torch.as_tensor(observation)).argmax())

    def value(self, observation: np.ndarray) -> float:
        return float(self.critic(torch.as_tensor(observation)))


def train(env: gym.Env, steps: int, seed: int, *, gamma: float = 0.95, batch: int = 32) -> Agent:
    torch.manual_seed(seed)
    agent = Agent(env.observation_space.shape[0], env.action_space.n)
    adam = torch.optim.Adam(agent.parameters(), 1e-2)
    seen = np.array(env.reset(seed=seed)[0])
    for _ in range(steps // batch):
        rows = []
        for _ in range(batch):
            action = Categorical(logits=agent.policy(torch.as_tensor(seen))).sample().item()
            led_to, reward, terminated, truncated, _ = env.step(action)
            led_to = np.array(led_to)
            rows.append((seen, action, reward, led_to, terminated))
            seen = np.array(env.reset()[0]) if terminated or truncated else led_to
        s, a, r, s2, end = (torch.as_tensor(np.array(column)) for column in zip(*rows, strict=True))
        value = agent.critic(s).squeeze(-1)
        target = (r + gamma * ~end * agent.critic(s2).squeeze(-1)).float().detach()
        policy_loss = -(Categorical(logits=agent.policy(s)).log_prob(a) * (target - value).detach()).mean()
        adam.zero_grad()
        (policy_loss + (target - value).square().mean()).backward()
        adam.step()
    return agent
