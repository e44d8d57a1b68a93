"""Do policy and value function say of a rollout what the networks say, whoever asks?"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Estimates, Rollout
from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import Theta, best_of, critics_of, drawn_of, mu_of, q_of, theta_of
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

    def judged(what: str, found: Tensor, expected: Callable[[Tensor], Tensor], a: int, seen: Tensor) -> None:
        """Compare with what the networks say of what they see; where they say so of it raw, that is the fault."""
        said, part = expected(patient.seen(a, seen)), ""
        if getattr(patient.ac, "normaliser", None) is not None and not torch.allclose(found.double(), said, rtol=1e-3):
            part = "normalisation" if torch.allclose(found.double(), expected(seen.double()), rtol=1e-3) else ""
        patient.compare(CHECK, what, found, said, WHERE, floor=1e-3, part=part)

    def evaluate(call: Callable[..., Any], ac: Any, observation: Tensor, action: Tensor) -> Any:
        now = call(ac, observation, action)
        for a in range(len(patient.agents)):
            theta, asked = plain.leaves(ac.state(), a), (a, observation[a])

            def log_prob(seen: Tensor, a: int = a, theta: Theta = theta) -> Tensor:
                return plain.log_prob(theta, _output(patient, theta, "policy", seen), action[a])

            def entropy(seen: Tensor, theta: Theta = theta) -> Tensor:
                return plain.entropy(theta, _output(patient, theta, "policy", seen))

            with torch.no_grad():
                judged("log π(a|s)", now.log_prob[a], log_prob, *asked)
                judged("entropy of π(·|s)", now.entropy[a], entropy, *asked)
                if hasattr(now, "value"):
                    judged("V(s)", now.value[a], partial(_value, patient, theta), *asked)
        return now

    def value(call: Callable[..., Tensor], ac: Any, observation: Tensor) -> Tensor:
        found = call(ac, observation)
        for a in range(len(patient.agents)):
            theta = plain.leaves(ac.state(), a)
            with torch.no_grad():
                judged("V(s)", found[a], partial(_value, patient, theta), a, observation[a])
        return found

    def mode(call: Callable[..., Tensor], ac: Any, observation: Tensor) -> Tensor:
        found = call(ac, observation)
        for a in range(len(patient.agents)):
            with torch.inference_mode(False), torch.no_grad():
                seen = observation[a].clone()
                if patient.has("Rollout"):
                    judged("the best action", found[a], partial(_best, patient, theta_of(patient, a)), a, seen)
                else:
                    patient.compare(CHECK, "the best action", found[a], best_of(patient, a, seen), WHERE)
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


def _output(patient: Patient, theta: Theta, group: str, seen: Tensor) -> Tensor:
    return plain.network(theta, group, seen, patient.config.activation)


def _value(patient: Patient, theta: Theta, seen: Tensor) -> Tensor:
    """V(s) [B]"""
    return _output(patient, theta, "value", seen)[:, 0]


def _best(patient: Patient, theta: Theta, seen: Tensor) -> Tensor:
    """The best actions [B, width] of what the networks see."""
    output = _output(patient, theta, "policy", seen)
    return output if patient.continuous else output.argmax(1, keepdim=True).double()


def _plainly(patient: Patient, a: int, rollout: Rollout) -> tuple[Tensor, Tensor]:
    """Log π(a|s) and V(s) [T · N] of an agent's rollout."""
    theta, activation = plain.leaves(patient.ac.state(), a), patient.config.activation
    seen, action = patient.seen(a, rollout.observation[a].flatten(0, 1)), rollout.action[a].flatten(0, 1)
    with torch.no_grad():
        output = plain.network(theta, "policy", seen, activation)
        return plain.log_prob(theta, output, action), plain.network(theta, "value", seen, activation)[:, 0]


def _best_value(patient: Patient, theta: Theta, observation: Tensor) -> Tensor:
    """V(s) [B] of what acts: the largest Q, or the least of the critics at the policy's best action."""
    if patient.name == "dqn":
        return q_of(patient, theta, observation).amax(1)
    if patient.name == "sac":
        best, _ = drawn_of(patient, theta, observation, torch.zeros(len(observation), len(patient.ac.half)))
    else:
        best = mu_of(patient, theta, observation)
    return critics_of(patient, theta, observation, best).amin(0)


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

    def value(call: Callable[..., Tensor], ac: Any, observation: Tensor) -> Tensor:
        found = call(ac, observation)
        with torch.no_grad():
            own = [_best_value(patient, t, observation[a]) for a, t in enumerate(thetas(None))]
            told("V(s)", found, own)
        return found

    def evaluate_draw(call: Callable[..., Any], ac: Any, observation: Tensor, noise: Tensor) -> Any:
        now = call(ac, observation, noise)
        with torch.no_grad():
            own = [drawn_of(patient, t, observation[a], noise[a]) for a, t in enumerate(thetas(None))]
            told("action", now.action, [action for action, _ in own])
            told("log π(a|s) of what is drawn", now.log_prob, [log_prob for _, log_prob in own])
        return now

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

    patient.around(patient.known.networks, "value", value)
    if patient.name == "dqn":
        patient.around(patient.known.networks, "q", q)
        return
    if patient.name == "sac":
        patient.around(patient.known.networks, "evaluate_draw", evaluate_draw)
    if patient.name != "sac":
        patient.around(patient.known.networks, "action", action)
    patient.around(QFunctions, "values", values)
    patient.around(QFunctions, "of_few", of_few)
    patient.around(patient.known.networks, "act", act)
