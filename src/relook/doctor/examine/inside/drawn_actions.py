"""Are actions drawn from the policy, or explored with as much noise as was asked for?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import epsilon_of, mu_of, q_of, range_of, theta_of
from relook.doctor.findings import Check
from relook.envs import Environments, Transition

CHECK = Check(
    name="drawn-actions",
    component="exploration",
    asks="At observations that are all alike actions vary as π says: choices as often as they are probable, numbers "
    "with its mean and standard deviation; ε-greedy actions differ from the greedy one as often as ε says, noise has "
    "the spread that was asked for, and every environment and step has noise of its own.",
    causes=(
        "the best action is taken while collecting",
        "the standard deviation is taken for its logarithm, or its square for it",
        "noise is shared by environments, steps or agents",
        "ε does not fall, or falls the wrong way; noise ignores the width of the range",
    ),
    remedy="Draw thousands of actions at one observation, and compare their frequencies with exp(log π).",
    lesson="An agent that acts greedily while it collects learns from too little and still solves CartPole. The test "
    "is one of statistics: it asks whether frequencies could have come from the policy, with odds of a million to "
    "one.",
)
SIGMAS = 5.0
"""How far from its expectation a mean may be, in standard errors: odds of two in a million for each comparison."""


def attach(patient: Patient) -> None:
    """Frequencies, on a patient whose observations are all alike (`still`); what lies beyond a bound, on any."""

    def step(call: Callable[..., Transition], envs: Any, action: Tensor) -> Transition:
        if envs is patient.envs:
            middle, half = range_of(patient)
            reach = float(((action.double() - middle) / half).abs().max())
            said = f"expected actions inside their bounds, which are stored as they are done; found one at {reach:.3g}"
            patient.ask(CHECK, reach <= 1 + 1e-5, said, _where(patient))
        return call(envs, action)

    def act(call: Callable[..., Tensor], ac: Any, observation: Tensor, noise: Tensor) -> Tensor:
        found = call(ac, observation, noise)
        for a in range(len(patient.agents)):
            theta = plain.leaves(ac.state(), a)
            with torch.no_grad():
                mean = plain.network(theta, "policy", patient.seen(a, observation[a]), patient.config.activation)
                drawn = mean + theta["policy/log_std"].exp() * noise[a].double()
            patient.compare(CHECK, "μ(s) + σ ε", found[a], drawn, _where(patient))
        return found

    def explore(call: Callable[..., Tensor], ac: Any, observation: Tensor, noise: Tensor, h: Any) -> Tensor:
        found = call(ac, observation, noise, h)
        middle, half = range_of(patient)
        for a in range(len(patient.agents)):
            with torch.inference_mode(False), torch.no_grad():
                best = mu_of(patient, theta_of(patient, a), observation[a])
            moved = best + patient.hyperparameter(a, "exploration_noise") * half * noise[a].double()
            drawn = torch.maximum(torch.minimum(moved, middle + half), middle - half)
            patient.compare(CHECK, "μ(s) + σ ε, cut to the bounds", found[a], drawn, _where(patient))
        return found

    if patient.continuous and patient.has("Rollout"):
        patient.around(patient.known.networks, "act", act)
    if patient.has("explore"):
        patient.around(patient.module, "explore", explore)
    if patient.continuous and not patient.has("Rollout"):  # a Gaussian policy may choose what lies beyond
        patient.around(Environments, "step", step)
    if patient.asked.still:
        judge = _on_policy if patient.has("Rollout") else _off_policy
        patient.afterwards(lambda: judge(patient))


def _where(patient: Patient) -> str:
    return f"relook/algorithms/{patient.name}.py, collect"


def _z(patient: Patient, what: str, x: Tensor, mean: float, std: float) -> None:
    """Report if the mean of independent numbers is too far from what it should be."""
    z = (float(x.double().mean()) - mean) / max(std / len(x) ** 0.5, 1e-12)
    patient.ask(
        CHECK,
        abs(z) <= SIGMAS,
        f"expected {what} of {mean:.4g} over {len(x)} draws; found {float(x.double().mean()):.4g}, "
        f"{abs(z):.0f} standard errors away",
        _where(patient),
        z=z,
    )


def _alike(patient: Patient, actions: Tensor) -> None:
    """Numbers [A, M, K] that no two draws can share."""
    flat = actions.flatten(0, 1)
    patient.ask(
        CHECK,
        len(flat.unique(dim=0)) == len(flat),
        "expected every agent, environment and step to have noise of its own; found draws that are equal",
        _where(patient),
    )


def _moments(patient: Patient, actions: Tensor, mean: Tensor, std: Tensor, what: str) -> None:
    """Mean and spread of actions [M, K] of one agent."""
    for k in range(actions.shape[1]):
        x, mu, sigma = actions[:, k].double(), float(mean[k]), float(std[k])
        _z(patient, f"{what}, component {k}, a mean", x, mu, sigma)
        _z(
            patient,
            f"{what}, component {k}, a mean square distance from it",
            (x - mu).square(),
            sigma**2,
            2**0.5 * sigma**2,
        )


def _on_policy(patient: Patient) -> None:
    """The policy of the first iteration collected it: what it has become since does not matter."""
    moments = [m for m in patient.history if m.iteration == 0]
    if not moments or not patient.first:
        return
    actions = torch.stack([m.action for m in moments], 1).flatten(1, 2)  # [A, T · N, K]
    seen = moments[0].told.observation
    if patient.continuous:
        _alike(patient, actions)
    for a in range(len(patient.agents)):
        theta = {name: x[a].double() for name, x in patient.first.items()}
        output = plain.network(theta, "policy", patient.seen(a, seen[a]), patient.config.activation)[0]
        if patient.continuous:
            _moments(patient, actions[a], output, theta["policy/log_std"].exp(), "drawn actions")
        else:
            p = output.softmax(-1)
            for choice, own in enumerate(p.tolist()):
                _z(patient, f"choice {choice}, a share", (actions[a, :, 0] == choice), own, (own * (1 - own)) ** 0.5)


def _anything(patient: Patient) -> None:
    """Numbers spread evenly over [0, 1) become all actions, evenly."""
    even = (torch.arange(300) + 0.5) / 300
    width = 1 if patient.name == "dqn" else 2
    found = patient.ac.anything(even.view(1, -1, 1).expand(len(patient.agents), -1, width))[0]
    if patient.name == "dqn":
        counts = [int((found == choice).sum()) for choice in range(3)]
        patient.ask(
            CHECK,
            counts == [100] * 3,
            f"expected random actions to be all choices alike; found {counts}",
            _where(patient),
        )
        return
    for k in range(width):
        middle, half = (float(x[k]) for x in range_of(patient))
        low, high = middle - half, middle + half
        patient.compare(CHECK, "random actions", found[:, k], low + even.double() * (high - low), _where(patient), 1e-4)


def _off_policy(patient: Patient) -> None:
    _anything(patient)
    config = patient.config
    n = config.envs
    random = getattr(config, "random_steps", 0) // n
    actions = torch.stack([m.action for m in patient.history], 1).double()  # [A, T, N, K]
    if patient.name == "dqn":
        _epsilon_greedy(patient, actions[..., 0])
        return
    middle, half = range_of(patient)
    low, high = middle - half, middle + half
    uniform = actions[:, :random].flatten(1, 2)
    _alike(patient, uniform)
    for a in range(len(patient.agents)):
        _moments_of_uniform(patient, uniform[a], middle, half)
    if not patient.first:
        return
    quiet = -(-config.learning_starts // n)  # steps before the first update: the first networks act in them
    drawn = actions[:, random:quiet].flatten(1, 2)
    if drawn.shape[1] < 16:
        return
    for a in range(len(patient.agents)):
        theta = {name: x[a].double() for name, x in patient.first.items()}
        seen = patient.history[0].told.observation[a, 0].double().unsqueeze(0)
        output = plain.network(theta, "policy", seen, config.activation)[0]
        if patient.name == "sac":
            mean, log_std = output.chunk(2)
            u = torch.atanh(((drawn[a] - middle) / half).clamp(-0.999999, 0.999999))
            _moments(patient, u, mean, log_std.exp(), "actions before tanh")
        else:
            sigma = patient.hyperparameter(a, "exploration_noise")
            mu = middle + half * output.tanh()
            free = (drawn[a] > low) & (drawn[a] < high)
            noise = ((drawn[a] - mu) / half)[free.all(1)]
            _moments(patient, noise, torch.zeros_like(half), sigma * torch.ones_like(half), "exploration noise")


def _moments_of_uniform(patient: Patient, actions: Tensor, middle: Tensor, half: Tensor) -> None:
    for k in range(actions.shape[1]):
        x = (actions[:, k] - middle[k]) / half[k]
        _z(patient, f"first actions, component {k}, a mean", x, 0.0, 3**-0.5)
        _z(patient, f"first actions, component {k}, a mean square", x.square(), 1 / 3, (4 / 45) ** 0.5)


def _epsilon_greedy(patient: Patient, actions: Tensor) -> None:
    """How often another action than the first network's greedy one is taken, before it learns and over all."""
    config, choices = patient.config, 3
    quiet = config.learning_starts // config.envs
    if not patient.first:
        return
    for a in range(len(patient.agents)):
        theta = {name: x[a].double() for name, x in patient.first.items()}
        seen = patient.history[0].told.observation[a, 0].double().unsqueeze(0)
        greedy = int(q_of(patient, theta, seen)[0].argmax())
        epsilon = epsilon_of(patient, a, torch.arange(0, patient.steps, config.envs)[:quiet])
        other = (actions[a, :quiet] != greedy).double().flatten()
        lower = next(choice for choice in range(choices) if choice != greedy)
        explored = actions[a, :quiet][actions[a, :quiet] != greedy]
        _z(patient, "explored actions, one of two, a share", explored == lower, 0.5, 0.5)
        expected = (epsilon * (1 - 1 / choices)).repeat_interleave(config.envs)
        z = float((other - expected).sum() / (expected * (1 - expected)).sum().sqrt())
        patient.ask(
            CHECK,
            abs(z) <= SIGMAS,
            f"expected {float(expected.mean()):.1%} of the first actions to be other than the greedy one; found "
            f"{float(other.mean()):.1%}, {abs(z):.0f} standard errors away",
            _where(patient),
            z=z,
        )
