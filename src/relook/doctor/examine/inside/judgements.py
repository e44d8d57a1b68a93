"""Do policy and value function say of a rollout what the networks say, whoever asks?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Estimates, Rollout
from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import Theta, best_of, critics_of, drawn_of, mu_of, q_of
from relook.doctor.findings import Check
from relook.networks.q_functions import QFunctions
from relook.population import Parameters

CHECK = Check(
    name="judgements",
    component="networks",
    asks="The log-probability of each stored action and the value of each stored observation are those of the networks "
    "at that moment, computed once more from their weights: summed over the components of an action, one number for "
    "each sample.",
    causes=(
        "log-probabilities are not summed over action components, or are summed over the batch",
        "they belong to other parameters, other observations or a clipped action",
        "probabilities are passed as logits, or a standard deviation as its logarithm",
        "observations are normalised on one way and not on the other",
    ),
    remedy="Compute log π once more from stored observations and actions right after collecting: it must be the same.",
    lesson="The ratio of PPO's first minibatch must be 1, which is the same test in another form (Huang et al. 2022, "
    "detail 'Debug'). Where it is not, every step of the policy is scaled by something that nobody meant.",
)
WHERE = "relook/networks"


def attach(patient: Patient) -> None:
    def estimate(call: Callable[..., Estimates], ac: Any, rollout: Rollout, reward: Tensor, h: Any) -> Estimates:
        expected = [_plainly(patient, a, rollout) for a in range(len(patient.agents))]
        found = call(ac, rollout, reward, h)
        for a, (log_prob, value) in enumerate(expected):
            patient.compare(CHECK, "log π(a|s) of what was done", found.log_prob[a].flatten(), log_prob, WHERE)
            patient.compare(CHECK, "V(s) of what was seen", found.value[a].flatten(), value, WHERE)
        return found

    def evaluate(call: Callable[..., Any], ac: Any, observation: Tensor, action: Tensor) -> Any:
        now = call(ac, observation, action)
        for a in range(len(patient.agents)):
            theta = plain.leaves(ac.state(), a)
            with torch.no_grad():
                output = plain.network(theta, "policy", patient.seen(a, observation[a]), patient.config.activation)
                said = plain.log_prob(theta, output, action[a])
                patient.compare(CHECK, "log π(a|s)", now.log_prob[a], said, WHERE, floor=1e-3)
                patient.compare(CHECK, "entropy of π(·|s)", now.entropy[a], plain.entropy(theta, output), WHERE)
                if hasattr(now, "value"):
                    value = plain.network(theta, "value", patient.seen(a, observation[a]), patient.config.activation)
                    patient.compare(CHECK, "V(s)", now.value[a], value[:, 0], WHERE)
        return now

    def value(call: Callable[..., Tensor], ac: Any, observation: Tensor) -> Tensor:
        found = call(ac, observation)
        for a in range(len(patient.agents)):
            theta = plain.leaves(ac.state(), a)
            with torch.no_grad():
                own = plain.network(theta, "value", patient.seen(a, observation[a]), patient.config.activation)
            patient.compare(CHECK, "V(s)", found[a], own[:, 0], WHERE)
        return found

    def mode(call: Callable[..., Tensor], ac: Any, observation: Tensor) -> Tensor:
        found = call(ac, observation)
        for a in range(len(patient.agents)):
            with torch.inference_mode(False), torch.no_grad():
                best = best_of(patient, a, observation[a].clone())
            patient.compare(CHECK, "the best action", found[a], best, WHERE)
        return found

    patient.around(patient.known.networks, "act_deterministically", mode)
    if not patient.has("Rollout"):
        _off_policy(patient)
        return
    patient.around(patient.known.networks, "value", value)
    if patient.has("estimate"):
        patient.around(patient.module, "estimate", estimate)
    for name in ("evaluate", "evaluate_policy"):
        patient.around(patient.known.networks, name, evaluate)


def _plainly(patient: Patient, a: int, rollout: Rollout) -> tuple[Tensor, Tensor]:
    """Log π(a|s) and V(s) [T · N] of an agent's rollout."""
    theta, activation = plain.leaves(patient.ac.state(), a), patient.config.activation
    seen, action = patient.seen(a, rollout.observation[a].flatten(0, 1)), rollout.action[a].flatten(0, 1)
    with torch.no_grad():
        output = plain.network(theta, "policy", seen, activation)
        return plain.log_prob(theta, output, action), plain.network(theta, "value", seen, activation)[:, 0]


def _off_policy(patient: Patient) -> None:
    """Q functions and actors, for batches, for the few of one step, and with the parameters of a target network."""

    def told(what: str, found: Tensor, expected: list[Tensor]) -> None:
        for a, own in enumerate(expected):
            patient.compare(CHECK, what, found[a], own, WHERE)

    def thetas(parameters: Parameters | None) -> list[Theta]:
        own = patient.ac.parameters if patient.name == "dqn" else patient.ac.critics.parameters
        with torch.inference_mode(False):
            state = patient.ac.state() if parameters is None else patient.state_of(own, parameters.theta)
            return [plain.leaves(state, a) for a in range(len(patient.agents))]

    def q(call: Callable[..., Tensor], net: Any, observation: Tensor, parameters: Parameters | None = None) -> Tensor:
        found = call(net, observation, parameters)
        with torch.no_grad():
            told("Q(s, ·)", found, [q_of(patient, t, observation[a]) for a, t in enumerate(thetas(parameters))])
        return found

    def values(
        call: Callable[..., Tensor], critics: Any, observation: Tensor, action: Tensor, parameters: Any = None
    ) -> Tensor:
        found = call(critics, observation, action, parameters)
        with torch.no_grad():
            own = enumerate(thetas(parameters))
            told("Q(s, a)", found, [critics_of(patient, t, observation[a], action[a]) for a, t in own])
        return found

    def of_few(call: Callable[..., Tensor], critics: Any, observation: Tensor, action: Tensor) -> Tensor:
        found = call(critics, observation, action)
        with torch.no_grad():
            own = enumerate(thetas(None))
            told("min Q(s, a)", found, [critics_of(patient, t, observation[a], action[a]).amin(0) for a, t in own])
        return found

    def act(call: Callable[..., Tensor], ac: Any, observation: Tensor, noise: Tensor) -> Tensor:
        found = call(ac, observation, noise)
        with torch.no_grad():
            own = enumerate(thetas(None))
            told(
                "action",
                found,
                [drawn_of(patient, t, observation[a], noise[a])[0] for a, t in own]
                if patient.name == "sac"
                else [mu_of(patient, t, observation[a]) for a, t in own],
            )
        return found

    def action(
        call: Callable[..., Tensor], ac: Any, observation: Tensor, parameters: Parameters | None = None
    ) -> Tensor:
        found = call(ac, observation, parameters)
        with torch.inference_mode(False):
            state = patient.ac.state() if parameters is None else patient.state_of(ac.parameters, parameters.theta)
            own = [plain.leaves(state, a) for a in range(len(patient.agents))]
        with torch.no_grad():
            told("action", found, [mu_of(patient, t, observation[a]) for a, t in enumerate(own)])
        return found

    if patient.name == "dqn":
        patient.around(patient.known.networks, "q", q)
        return
    if patient.name != "sac":
        patient.around(patient.known.networks, "action", action)
    patient.around(QFunctions, "values", values)
    patient.around(QFunctions, "of_few", of_few)
    patient.around(patient.known.networks, "act", act)
