"""Is the gradient of an on-policy algorithm that of the loss in its paper?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check

CHECK = Check(
    name="policy-gradient",
    component="policy loss",
    asks="What the optimiser gets for the policy is the gradient of the paper's loss, from advantages, stored "
    "log-probabilities and hyper-parameters as they are: its sign, its size, each parameter's share of it, and nothing "
    "of the value function's.",
    causes=(
        "a wrong sign, of the loss or of the entropy bonus",
        "the ratio is not π / π_old: exp is missing, or the old log-probability is recomputed",
        "clipping on one side, or at another bound",
        "advantages are not normalised where they should be, or over all agents",
        "gradients add up over minibatches, or are cleared before the step",
        "a (B, 1) met a (B), and everything was broadcast",
    ),
    remedy="Write the loss once more, for one sample after the other, and compare gradients.",
    lesson="A surrogate whose gradient is 0 has a perfect KL and a perfect clip fraction, and a value function that "
    "learns: from the curves alone, experts and language models name the wrong part (rl-debug-bench). The gradient "
    "names it at once. Losses: Williams 1992; Schulman et al. 2015, Eq. 14; 2016, Eq. 1; 2017, Eqs. 7 and 9.",
)

SMALL = 1e-3
"""Slopes below a thousandth of this are rounding."""

Gradient = dict[str, Tensor]


def attach(patient: Patient) -> None:
    attachments = {"reinforce": _reinforce, "vpg": _vpg, "a2c": _a2c, "ppo": _ppo}
    if patient.name in attachments:
        attachments[patient.name](patient)


def where(patient: Patient) -> str:
    return f"relook/algorithms/{patient.name}.py"


def gradient_of(loss: Tensor, theta: Gradient, group: str) -> Gradient:
    """∂loss/∂θ of a group's tensors; 0 where the loss does not depend on them."""
    own = {name: x for name, x in theta.items() if name.startswith(f"{group}/")}
    slopes = torch.autograd.grad(loss, list(own.values()), allow_unused=True, retain_graph=True)
    return {name: torch.zeros_like(x) if s is None else s for (name, x), s in zip(own.items(), slopes, strict=True)}


def judge(patient: Patient, check: Check, move: int, expected: list[Gradient], place: str) -> None:
    """Compare the gradient that an optimiser's step found with what it should have been, for each agent."""
    if move >= len(patient.moves):
        patient.ask(check, False, "expected a step of the optimiser; found none", place)
        return
    found = patient.moves[move]
    state = patient.state_of(found.optimiser.parameters, found.gradient)
    for a, own in enumerate(expected):
        scale = max((float(x.abs().max()) for x in own.values()), default=0.0)
        for name, gradient in own.items():
            # Relative to the largest slope of all: a bias that hardly matters need not have three digits.
            error = float((state[name][a].double() - gradient).abs().nan_to_num(nan=torch.inf).max())
            size = float(state[name][a].abs().max())
            patient.ask(
                check,
                error <= 1e-3 * max(scale, SMALL),
                f"expected the gradient of {name} to be that of the loss, at most {float(gradient.abs().max()):.3g}; "
                f"found it {error:.3g} off, at most {size:.3g}",
                place,
                error=error,
                expected=float(gradient.abs().max()),
            )


def normalised(x: Tensor) -> Tensor:
    apart = x - x.mean()
    return apart / (apart.square().mean().sqrt() + 1e-8)


def _policy(patient: Patient, a: int, observation: Tensor, action: Tensor) -> tuple[Gradient, Tensor, Tensor]:
    """θ of an agent, log π(a|s) and entropy of samples."""
    theta = plain.leaves(patient.ac.state(), a)
    output = plain.network(theta, "policy", patient.seen(a, observation[a]), patient.config.activation)
    return theta, plain.log_prob(theta, output, action[a]), plain.entropy(theta, output)


def _ppo(patient: Patient) -> None:
    def gradient_step(call: Callable[..., Any], ac: Any, optimiser: Any, batch: Any, *rest: Any) -> Any:
        expected, losses, config = [], [], patient.config
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, log_prob, entropy = _policy(patient, a, batch.observation, batch.action)
                advantage, clip = batch.advantage[a].double(), patient.hyperparameter(a, "clip")
                advantage = normalised(advantage) if config.normalise_advantages else advantage
                ratio = (log_prob - batch.log_prob[a].double()).exp()
                surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
                bonus = patient.hyperparameter(a, "entropy_coefficient") * entropy
                expected.append(gradient_of(-(surrogate + bonus).mean(), theta, "policy"))
                losses.append(-float(surrogate.detach().mean()))
        patient.losses["policy_loss"].append(losses)
        number = len(patient.moves)
        told = call(ac, optimiser, batch, *rest)
        judge(patient, CHECK, number, expected, where(patient))
        return told

    patient.around(patient.module, "gradient_step", gradient_step)


def _vpg(patient: Patient) -> None:
    def policy_step(call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Any, estimates: Any, *rest: Any) -> Any:
        expected, losses = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, log_prob, entropy = _policy(
                    patient, a, rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)
                )
                advantage = estimates.advantage[a].flatten().double()
                advantage = normalised(advantage) if patient.config.normalise_advantages else advantage
                bonus = patient.hyperparameter(a, "entropy_coefficient") * entropy
                expected.append(gradient_of(-(log_prob * advantage + bonus).mean(), theta, "policy"))
                losses.append(-float((log_prob * advantage).detach().mean()))
        patient.losses["policy_loss"].append(losses)
        number = len(patient.moves)
        told = call(ac, optimiser, rollout, estimates, *rest)
        judge(patient, CHECK, number, expected, where(patient))
        return told

    patient.around(patient.module, "policy_step", policy_step)


def _a2c(patient: Patient) -> None:
    def update(call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Any, *rest: Any) -> Any:
        with plain.differentiable():
            own = [
                _policy(patient, a, rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2))
                for a in range(len(patient.agents))
            ]
        number = len(patient.moves)
        told = call(ac, optimiser, rollout, *rest)
        expected, losses = [], []
        with plain.differentiable():
            for a, (theta, log_prob, entropy) in enumerate(own):
                advantage = told[0].advantage[a].flatten().double()
                advantage = normalised(advantage) if patient.config.normalise_advantages else advantage
                bonus = patient.hyperparameter(a, "entropy_coefficient") * entropy
                expected.append(gradient_of(-(log_prob * advantage + bonus).mean(), theta, "policy"))
                losses.append(-float((log_prob * advantage).detach().mean()))
        patient.losses["policy_loss"].append(losses)
        judge(patient, CHECK, number, expected, where(patient))
        return told

    patient.around(patient.module, "update", update)


def _reinforce(patient: Patient) -> None:
    targets: list[Tensor] = []

    def reward_to_go(call: Callable[..., Tensor], *args: Any) -> Tensor:
        targets.append(call(*args))
        return targets[-1]

    def update(call: Callable[..., Any], ac: Any, optimiser: Any, rollout: Any, *rest: Any) -> Any:
        observation, action = rollout.observation.flatten(1, 2), rollout.action.flatten(1, 2)
        learned = plain.of_ended_episodes(rollout.terminated | rollout.truncated, rollout.past)
        with plain.differentiable():
            own = [_policy(patient, a, observation, action) for a in range(len(patient.agents))]
        values = []
        for a, (theta, _, _) in enumerate(own):
            with torch.no_grad():
                seen = patient.seen(a, observation[a])
                values.append(plain.network(theta, "value", seen, patient.config.activation)[:, 0])
        number = len(patient.moves)
        told = call(ac, optimiser, rollout, *rest)
        expected, losses = [], []
        with plain.differentiable():
            for a, (theta, log_prob, _) in enumerate(own):
                chosen = learned[a].flatten()
                advantage = targets[-1][a].flatten().double()
                if patient.config.baseline == "value":
                    advantage = advantage - values[a]
                advantage = advantage[chosen]
                advantage = normalised(advantage) if patient.config.normalise_advantages else advantage
                loss = -(log_prob[chosen] * advantage).mean() if chosen.any() else 0 * log_prob.sum()
                expected.append(gradient_of(loss, theta, "policy"))
                losses.append(float(loss.detach()))
        patient.losses["policy_loss"].append(losses)
        judge(patient, CHECK, number, expected, where(patient))
        return told

    patient.around(patient.module, "reward_to_go", reward_to_go)
    patient.around(patient.module, "update", update)
