"""Networks, distributions and returns as a textbook writes them: for one agent, in float64, with autograd.

Nothing here shares code with what is examined by it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import log, pi

import torch
from torch import Tensor
from torch.nn.functional import relu

Theta = Mapping[str, Tensor]
"""The tensors of one agent by name: `group/layer/weight` [inputs, outputs], `group/layer/bias` [outputs]."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": relu}


@contextmanager
def differentiable() -> Iterator[None]:
    """Autograd, also where an algorithm does without it."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def leaves(state: Mapping[str, Tensor], agent: int) -> dict[str, Tensor]:
    """One agent's tensors in float64, as leaves of autograd."""
    return {name: tensor[agent].to(torch.float64, copy=True).requires_grad_() for name, tensor in state.items()}


def network(theta: Theta, group: str, x: Tensor, activation: str) -> Tensor:
    """The output [B, O] of a group's perceptron."""
    layers = sum(name.startswith(f"{group}/") and name.endswith("/weight") for name in theta)
    for i in range(layers):
        x = (ACTIVATIONS[activation](x) if i else x) @ theta[f"{group}/{i}/weight"] + theta[f"{group}/{i}/bias"]
    return x


def log_prob(theta: Theta, output: Tensor, action: Tensor) -> Tensor:
    """Log π(a|s) [B] of actions [B, width]: one choice, or a diagonal Gaussian if there is a log σ."""
    if "policy/log_std" not in theta:
        return output.log_softmax(-1).gather(-1, action.long())[:, 0]
    log_std = theta["policy/log_std"]
    return (-((action - output) / log_std.exp()).square() / 2 - log_std - log(2 * pi) / 2).sum(-1)


def entropy(theta: Theta, output: Tensor) -> Tensor:
    """The entropy [B] of π(·|s)."""
    if "policy/log_std" not in theta:
        log_p = output.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)
    return (theta["policy/log_std"] + log(2 * pi * torch.e) / 2).sum().expand(len(output))


def kl(old: Theta, old_output: Tensor, new: Theta, new_output: Tensor) -> Tensor:
    """KL(π_old ‖ π_new) [B] of two policies."""
    if "policy/log_std" not in new:
        log_p, log_q = old_output.log_softmax(-1), new_output.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)
    s, r = old["policy/log_std"], new["policy/log_std"]
    return (r - s + ((2 * s).exp() + (old_output - new_output).square()) / (2 * (2 * r).exp()) - 0.5).sum(-1)


def squashed(output: Tensor, noise: Tensor, middle: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Actions [B, K] of a Gaussian that tanh squashes into middle ± half, and log π(a|s) [B] (Haarnoja et al. 2018,
    Appendix C), with log(1 - tanh² u) written so that it does not lose digits.
    """
    mean, log_std = output.chunk(2, -1)
    log_std = log_std.clamp(-20, 2)
    u = mean + log_std.exp() * noise
    gaussian = (-noise.square() / 2 - log_std - log(2 * pi) / 2).sum(-1)
    slope = 2 * (log(2) - u - torch.nn.functional.softplus(-2 * u)) + half.log()
    return middle + half * u.tanh(), gaussian - slope.sum(-1)


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, gamma: float, lam: float
) -> Tensor:
    """Advantages [T, N] of one agent, from the sum that defines them (Schulman et al. 2016, Eq. 16): no recursion."""
    steps, environments = reward.shape
    delta = (reward + gamma * torch.where(terminated, 0.0, next_value) - value).tolist()
    over = (terminated | truncated).tolist()
    advantage = torch.zeros_like(reward)
    for n in range(environments):
        for t in range(steps):
            total = 0.0
            for ahead in range(t, steps):
                total += (gamma * lam) ** (ahead - t) * delta[ahead][n]
                if over[ahead][n]:
                    break
            advantage[t, n] = total
    return advantage


def of_ended_episodes(end: Tensor, past: int) -> Tensor:
    """Which steps [A, T, N] are of an episode that ends within them and not before step `past`."""
    steps, chosen = end.shape[1], torch.zeros_like(end)
    for t in range(steps):
        ends = t + (end[:, t:].cumsum(1) == 0).sum(1)
        chosen[:, t] = (past <= ends) & (ends < steps)
    return chosen
