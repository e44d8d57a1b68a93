"""Does the chain rule hold: from slopes by what networks say to slopes by their parameters?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.textbook import critics_of, drawn_of, mu_of, q_of, theta_of
from relook.doctor.findings import Check
from relook.networks.q_functions import QFunctions

CHECK = Check(
    name="backward",
    component="gradient",
    asks="The gradient by the parameters is the chain rule's, from the slopes that a loss hands in: nothing added to "
    "what was there before, no part left out, and for a frozen network no gradient at all.",
    causes=(
        "gradients add up over minibatches",
        "an activation's slope, a softmax's or a bound's is forgotten",
        "a path through the entropy, log σ or the action is missing",
        "a frozen network keeps a gradient",
    ),
    remedy="Compare with automatic differentiation of the same network in float64, for random slopes.",
    lesson="A gradient with a part missing still goes down, only slower: nothing in a curve says so. It is the one "
    "thing in deep learning that has an exact answer for every number, so it is asked for all of them.",
)
WHERE = "relook/networks"
FAR = 10.0
"""Times its weights, log σ of a squashed policy lies beyond its bounds for some observations."""
RELATIVE, SMALL = 1e-3, 1e-6
"""A thousandth of the largest slope may be off, and what is smaller than any slope that matters."""

Theta = Mapping[str, Tensor]


def attach(patient: Patient) -> None:
    networks = patient.known.networks
    if patient.has("Rollout"):
        patient.around(networks, "evaluate", lambda call, *args: _both(patient, call, *args))
        patient.around(networks, "evaluate_policy", lambda call, *args: _policy(patient, call, *args))
        patient.around(networks, "evaluate_value", lambda call, *args: _value(patient, call, *args))
        return
    if patient.name == "dqn":
        patient.around(networks, "evaluate", lambda call, *args: _q(patient, call, *args))
        return
    patient.around(QFunctions, "evaluate", lambda call, *args: _critics(patient, call, *args))
    patient.around(QFunctions, "frozen", lambda call, *args, **kwargs: _frozen(patient, call, *args, **kwargs))
    name = "evaluate_draw" if patient.name == "sac" else "evaluate_action"
    patient.around(networks, name, lambda call, *args: _actor(patient, call, *args))
    if patient.name == "sac":
        patient.afterwards(lambda: _far_out(patient))


def _judge(
    patient: Patient, parameters: Any, groups: Sequence[str], totals: Sequence[Tensor], thetas: Sequence[Theta]
) -> None:
    """Compare ∂θ as it stands with the gradient of Σ slope · output, for each agent."""
    state = patient.state_of(parameters, parameters.gradient)
    for a, (total, theta) in enumerate(zip(totals, thetas, strict=True)):
        own = [name for name in theta if name.split("/")[0] in groups]
        slopes = torch.autograd.grad(total, [theta[name] for name in own], allow_unused=True)
        expected = {n: torch.zeros_like(theta[n]) if s is None else s for n, s in zip(own, slopes, strict=True)}
        scale = max(float(x.abs().max()) for x in expected.values())
        for name, slope in expected.items():
            error = float((state[name][a].double() - slope).abs().nan_to_num(nan=torch.inf).max())
            patient.ask(
                CHECK,
                error <= RELATIVE * scale + SMALL,
                f"expected slopes by {name} of at most {float(slope.abs().max()):.3g}; found some {error:.3g} off",
                WHERE,
                error=error,
            )


def _sum(slopes: Tensor | None, a: int, outputs: Tensor) -> Tensor:
    return 0 * outputs.sum() if slopes is None else (slopes[a].double().reshape(outputs.shape) * outputs).sum()


def _outputs(patient: Patient, a: int, observation: Tensor, action: Tensor) -> tuple[Theta, Tensor, Tensor]:
    theta = theta_of(patient, a)
    output = plain.network(theta, "policy", patient.seen(a, observation[a]), patient.config.activation)
    return theta, plain.log_prob(theta, output, action[a]), plain.entropy(theta, output)


def _both(patient: Patient, call: Callable[..., Any], ac: Any, observation: Tensor, action: Tensor) -> Any:
    now = call(ac, observation, action)

    def backward(by_log_prob: Tensor, by_value: Tensor, by_entropy: Tensor | None = None) -> None:
        thetas, totals = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, log_prob, entropy = _outputs(patient, a, observation, action)
                value = plain.network(theta, "value", patient.seen(a, observation[a]), patient.config.activation)[:, 0]
                totals.append(_sum(by_log_prob, a, log_prob) + _sum(by_value, a, value) + _sum(by_entropy, a, entropy))
                thetas.append(theta)
        now.backward(by_log_prob, by_value, by_entropy)
        _judge(patient, ac.parameters, ("policy", "value"), totals, thetas)

    return now._replace(backward=backward)


def _policy(patient: Patient, call: Callable[..., Any], ac: Any, observation: Tensor, action: Tensor) -> Any:
    now = call(ac, observation, action)

    def backward(by_log_prob: Tensor, by_entropy: Tensor | None = None) -> None:
        thetas, totals = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, log_prob, entropy = _outputs(patient, a, observation, action)
                totals.append(_sum(by_log_prob, a, log_prob) + _sum(by_entropy, a, entropy))
                thetas.append(theta)
        now.backward(by_log_prob, by_entropy)
        _judge(patient, ac.parameters, ("policy",), totals, thetas)

    return now._replace(backward=backward)


def _value(patient: Patient, call: Callable[..., Any], ac: Any, observation: Tensor) -> Any:
    now = call(ac, observation)

    def backward(by_value: Tensor) -> None:
        thetas, totals = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta = theta_of(patient, a)
                value = plain.network(theta, "value", patient.seen(a, observation[a]), patient.config.activation)[:, 0]
                totals.append(_sum(by_value, a, value))
                thetas.append(theta)
        now.backward(by_value)
        _judge(patient, ac.parameters, ("value",), totals, thetas)

    return now._replace(backward=backward)


def _q(patient: Patient, call: Callable[..., Any], net: Any, observation: Tensor) -> Any:
    now = call(net, observation)

    def backward(by_value: Tensor) -> None:
        with plain.differentiable():
            thetas = [theta_of(patient, a) for a in range(len(patient.agents))]
            totals = [
                _sum(by_value.clone(), a, q_of(patient, theta, observation[a].clone()))
                for a, theta in enumerate(thetas)
            ]
        now.backward(by_value)
        _judge(patient, net.parameters, ("q",), totals, thetas)

    return now._replace(backward=backward)


def _critics(patient: Patient, call: Callable[..., Any], critics: Any, observation: Tensor, action: Tensor) -> Any:
    now = call(critics, observation, action)

    def backward(by_value: Tensor) -> None:
        with plain.differentiable():
            thetas = [theta_of(patient, a) for a in range(len(patient.agents))]
            totals = [
                _sum(by_value.clone(), a, critics_of(patient, theta, observation[a].clone(), action[a].clone()))
                for a, theta in enumerate(thetas)
            ]
        now.backward(by_value)
        _judge(patient, critics.parameters, critics.groups, totals, thetas)

    return now._replace(backward=backward)


def _frozen(
    patient: Patient, call: Callable[..., Any], critics: Any, observation: Tensor, action: Tensor, **group: Any
) -> Any:
    now = call(critics, observation, action, **group)

    def by_action(by_value: Tensor) -> Tensor:
        before = critics.parameters.gradient.clone()
        found: Tensor = now.by_action(by_value)
        kept = not torch.equal(before, critics.parameters.gradient)
        patient.ask(CHECK, not kept, "expected frozen critics to keep no gradient; found one", WHERE)
        with plain.differentiable():
            for a in range(len(patient.agents)):
                leaf = action[a].double().clone().requires_grad_()
                values = critics_of(patient, theta_of(patient, a), observation[a].clone(), leaf)
                values = values[: by_value.shape[1]]
                [slope] = torch.autograd.grad(_sum(by_value.clone(), a, values), leaf)
                patient.compare(CHECK, "slope of Q by the action", found[a], slope, WHERE, RELATIVE, SMALL / RELATIVE)
        return found

    return now._replace(by_action=by_action)


def _far_out(patient: Patient) -> None:
    """A squashed policy with larger weights: where log σ is beyond its bounds, it has no slope."""
    if not patient.history:
        return
    theta, rng = patient.ac.parameters.theta, np.random.default_rng(0)
    trained, observation = theta.clone(), patient.history[-1].told.observation
    shape = (*observation.shape[:2], len(patient.ac.half))
    noise, by_action, by_log_prob = (torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) for _ in range(3))
    theta.mul_(FAR)
    try:
        with torch.inference_mode():
            now = _actor(patient, type(patient.ac).evaluate_draw, patient.ac, observation, noise)
            now.backward(by_action, by_log_prob[..., 0])
    finally:
        theta.copy_(trained)


def _actor(patient: Patient, call: Callable[..., Any], ac: Any, observation: Tensor, *noise: Tensor) -> Any:
    now = call(ac, observation, *noise)

    def backward(by_action: Tensor, *by_log_prob: Tensor) -> None:
        thetas, totals = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, seen = theta_of(patient, a), observation[a].clone()
                if noise:
                    action, log_prob = drawn_of(patient, theta, seen, noise[0][a].clone())
                    total = _sum(by_action.clone(), a, action) + _sum(by_log_prob[0].clone(), a, log_prob)
                else:
                    total = _sum(by_action.clone(), a, mu_of(patient, theta, seen))
                thetas.append(theta)
                totals.append(total)
        now.backward(by_action, *by_log_prob)
        _judge(patient, ac.parameters, ("policy",), totals, thetas)

    return now._replace(backward=backward)
