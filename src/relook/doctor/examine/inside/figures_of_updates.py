"""Is every figure that off-policy updates log what its definition gives?"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from relook.buffers import Averages, Batch
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.plain import ACTIVATIONS
from relook.doctor.examine.inside.textbook import Theta, critics_of, drawn_of, mu_of, q_of, range_of, theta_of
from relook.doctor.findings import Check
from relook.population import Target
from relook.runs.unit import Unit

CHECK = Check(
    name="figures-of-updates",
    component="record",
    asks="Means over updates are over all of them; Q, errors, the policy's loss, the temperature, saturation, the lag "
    "of the critics' target and the share of dormant units are those of the networks that they are said to be of, "
    "computed once more from their weights.",
    causes=(
        "a figure of another network, or of another batch, is logged",
        "a sign, or a logarithm that was not taken back",
        "actions of the replay are looked at, where those of the policy are meant",
    ),
    remedy="Compute the figure once more after one update, from parameters and batch.",
    lesson="DDPG's policy loss is -Q: with the other sign it seems to get worse as the policy gets better. Figures of "
    "off-policy learning are all that there is to see before returns move.",
)
WHERE = "metrics.jsonl"


def attach(patient: Patient) -> None:
    if not patient.has("replay_for"):
        return
    batches: list[tuple[Any, ...]] = []
    told: dict[str, list[Tensor]] = defaultdict(list)
    targets: list[Tensor] = []
    temperatures: list[Tensor] = []

    def update(call: Callable[..., Any], learner: Any, *args: Any, **kwargs: Any) -> Any:
        batch = next(x for x in args if isinstance(x, Batch))
        targets.clear()
        with torch.inference_mode(False), torch.no_grad():
            expected = [_q(patient, a, batch) for a in range(len(patient.agents))]
        if patient.name == "sac":  # as its losses were weighted in this update, before it moves
            temperatures.append(learner.temperature["log"].double().exp().squeeze(1).clone())
        found = call(learner, *args, **kwargs)
        batches.append(args)
        for name, x in found.items():
            told[name].append(x.clone())
        for a, q in enumerate(expected):
            patient.compare(CHECK, "mean of Q(s, a)", found["q"][a].double().mean(), q.mean(), WHERE, 1e-3, 1e-3)
            if targets:
                apart = (targets[0][a].double().reshape(1, -1) - q.reshape(-1, q.shape[-1])).abs().mean()
                error = found["td_error"][a].double().mean()
                patient.compare(CHECK, "mean of |y - Q(s, a)|", error, apart, WHERE, 1e-3, 1e-3)
        return found

    def target(call: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        y = call(*args, **kwargs)
        targets.append(y.clone())
        return y

    def policy_step(call: Callable[..., Any], learner: Any, batch: Batch, *rest: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            expected = [_policy_loss(patient, learner, a, batch, *rest) for a in range(len(patient.agents))]
        found = call(learner, batch, *rest)
        for a, loss in enumerate(expected):
            patient.compare(CHECK, "policy_loss", found["policy_loss"][a].double().mean(), loss, WHERE, 1e-3, 1e-3)
        return found

    def record(call: Callable[..., Any], unit: Any, diagnostics: Mapping[str, Tensor], *rest: Any, **named: Any) -> Any:
        if batches:
            with torch.inference_mode(False), torch.no_grad():
                for a in range(len(patient.agents)):
                    _of_agent(patient, a, diagnostics, batches[-1])
        if temperatures:
            mean = torch.stack(temperatures).mean(0)
            patient.compare(CHECK, "mean temperature", diagnostics["temperature"], mean, WHERE, 1e-4)
        for name, x in told.items():
            if name in patient.module.METRICS:
                patient.ask(CHECK, name in diagnostics, f"expected {name} of updates that were made; found none", WHERE)
            if name in diagnostics:
                mean = torch.stack([each.double().flatten(1).mean(1) if each.ndim > 1 else each for each in x]).mean(0)
                patient.compare(CHECK, f"mean {name}", diagnostics[name], mean, WHERE, 1e-4)
        if "update_to_data" in diagnostics:
            made = len(told["q"]) / patient.config.iteration
            patient.compare(CHECK, "update_to_data", diagnostics["update_to_data"], [made] * len(patient.agents), WHERE)
        for kept in (batches, told, temperatures):
            kept.clear()
        return call(unit, diagnostics, *rest, **named)

    patient.around(patient.module, "update", update)
    patient.around(patient.module, "target", target)
    patient.afterwards(lambda: _averages(patient))
    if patient.has("policy_step"):
        patient.around(patient.module, "policy_step", policy_step)
    patient.around(Unit, "record", record)


def _q(patient: Patient, a: int, batch: Batch) -> Tensor:
    """Q(s, a) of an agent's batch [B], or of each of its critics [G, B]."""
    theta, seen, done = theta_of(patient, a), batch.observation[a], batch.action[a]
    if patient.name == "dqn":
        return q_of(patient, theta, seen).gather(1, done.long())[:, 0]
    return critics_of(patient, theta, seen, done)


def _averages(patient: Patient) -> None:
    """Means over more updates than an examination makes: of 1 to n it is (n + 1) ÷ 2."""
    for n in (5, 32, 70):
        averages = Averages()
        for i in range(1, n + 1):
            averages.add(of_agents=torch.full((2,), float(i)), of_samples=torch.full((2, 3), float(i)))
        for name, x in averages.means().items():
            patient.compare(CHECK, f"mean {name} over {n} updates", x, [(n + 1) / 2] * 2, WHERE)


def _policy_loss(patient: Patient, learner: Any, a: int, batch: Batch, *rest: Any) -> Tensor:
    """-Q₁(s, μ(s)), or α log π(a|s) - min Q(s, a) of what the noise draws, on average."""
    theta, seen = theta_of(patient, a), batch.observation[a].clone()
    if patient.name != "sac":
        return -critics_of(patient, theta, seen, mu_of(patient, theta, seen))[0].mean()
    action, log_prob = drawn_of(patient, theta, seen, rest[0][a].clone())
    alpha = learner.temperature["log"][a].double().exp()
    loss: Tensor = (alpha * log_prob - critics_of(patient, theta, seen, action).amin(0)).mean()
    return loss


def _of_agent(patient: Patient, a: int, diagnostics: Mapping[str, Tensor], last: tuple[Any, ...]) -> None:
    """What is told of networks as they are at the end of an iteration, on the batch of the last update."""
    batch = next(x for x in last if isinstance(x, Batch))
    theta, seen, done = theta_of(patient, a), batch.observation[a].clone(), batch.action[a].clone()
    if "saturation" in diagnostics:
        pair = next((x for x in last if isinstance(x, Tensor) and x.ndim == 4), None)
        drawn = mu_of(patient, theta, seen) if pair is None else drawn_of(patient, theta, seen, pair[a, 0].clone())[0]
        middle, half = range_of(patient)
        far = ((drawn - middle) / half).abs()
        at_bound = (far >= 0.99).double().mean()
        border = float(((far - 0.99).abs() < 1e-4).double().mean()) + 1e-6  # which may count or not
        found = float(diagnostics["saturation"][a])
        said = f"expected a saturation of {float(at_bound):.3g}; found {found:.3g}"
        patient.ask(CHECK, abs(found - float(at_bound)) <= border, said, WHERE)
    if "dormant" in diagnostics:
        found, expected = float(diagnostics["dormant"][a]), _dormant(patient, theta, seen, done)
        said = f"expected a share of {expected:.3g} dormant units; found {found:.3g}"
        patient.ask(CHECK, abs(found - expected) <= 1e-6, said, WHERE)
    if "target_lag" in diagnostics:
        source = patient.ac.parameters if patient.name == "dqn" else patient.ac.critics.parameters
        kept = [x for x in patient.kept.values() if isinstance(x, Target) and x.source is source]
        for target in kept[:1]:
            x, y = target.source.theta[a].double(), target.parameters.theta[a].double()
            lag = (x - y).norm() / x.norm()
            patient.compare(CHECK, "target_lag", diagnostics["target_lag"][a], lag, WHERE, 1e-3, 1e-4)


def _dormant(patient: Patient, theta: Theta, seen: Tensor, done: Tensor) -> float:
    """The share of hidden units of all networks of Q with E|h| ≤ 2.5 % of the mean of their layer."""
    inputs = seen.double() if patient.name == "dqn" else torch.cat([seen.double(), done.double()], 1)
    groups = sorted({name.partition("/")[0] for name in theta if name.startswith("q")})
    layers: list[list[Tensor]] = [[] for _ in patient.config.hidden]
    for group in groups:
        x = inputs
        for i in range(len(layers)):
            x = ACTIVATIONS[patient.config.activation](x @ theta[f"{group}/{i}/weight"] + theta[f"{group}/{i}/bias"])
            layers[i].append(x.abs().mean(0))
    asleep = []
    for layer in layers:
        strength = torch.cat(layer)
        asleep.append(strength <= 0.025 * strength.mean())
    return float(torch.cat(asleep).double().mean())
