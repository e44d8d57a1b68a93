"""Is a policy of several choices the product of its choices?"""

import itertools

import numpy as np
import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.findings import Check
from relook.networks.policies import CategoricalPolicy

CHECK = Check(
    name="several-choices",
    component="networks",
    asks="With several choices, also of different numbers of options, log π and the entropy add up over the choices, "
    "KL too; their slopes are the chain rule's, samples come as often as π says, and the best action has the best of "
    "each choice.",
    causes=(
        "options that fill up a shorter choice count as options",
        "choices are averaged, and not added up",
        "the options of one choice are taken for those of another",
    ),
    remedy="Add π up over all combinations of options: it is 1.",
    lesson="Most environments have one choice, so that what goes wrong with several is found by whoever has them.",
)
WHERE = "relook/networks/policies.py"
SIZES = ((3, 2), (2, 2), (2, 4, 1))
STATES = 3


def attach(patient: Patient) -> None:
    if patient.has("Rollout"):
        patient.afterwards(lambda: _look(patient))


def _look(patient: Patient) -> None:
    rng, agents = np.random.default_rng(0), len(patient.agents)
    parameters = patient.ac.parameters
    for sizes in SIZES:
        policy = CategoricalPolicy(sizes)
        every = torch.tensor(list(itertools.product(*map(range, sizes))))
        output, other = (torch.from_numpy(rng.standard_normal((agents, STATES, sum(sizes)))) for _ in range(2))
        rows = output.repeat_interleave(len(every), 1)
        actions = every.repeat(STATES, 1).expand(agents, -1, -1)
        shape = agents, STATES, len(every)
        by_log_prob, by_entropy = (torch.from_numpy(rng.standard_normal(rows.shape[:2])) for _ in range(2))
        judged = policy.evaluate(parameters, rows.float(), actions)
        with plain.differentiable():
            leaf = rows.clone().requires_grad_()
            log_p, entropy = _plainly(leaf, sizes, actions)
            [slope] = torch.autograd.grad((by_log_prob * log_p + by_entropy * entropy).sum(), leaf)
        found = judged.backward(by_log_prob.float(), by_entropy.float())
        noise = (torch.arange(60) + 0.5) / 60
        drawn = _drawn(policy, patient, output, noise)
        there = output.repeat_interleave(len(noise), 1)
        p = [part.softmax(-1) for part in torch.split(there, list(sizes), -1)]
        best = torch.stack([part.argmax(-1) for part in torch.split(output, list(sizes), -1)], -1)
        away = policy.evaluate(parameters, other.repeat_interleave(len(every), 1).float(), actions)
        log_q, _ = _plainly(other.repeat_interleave(len(every), 1), sizes, actions)
        kl = (log_p.exp() * (log_p - log_q)).view(shape).sum(-1)
        for what, x, y, tolerance in (
            ("log π(a|s) of several choices", judged.log_prob, log_p, 1e-5),
            ("sum of π over all combinations", judged.log_prob.exp().view(shape).sum(-1), torch.ones(shape[:2]), 1e-5),
            ("entropy of several choices", judged.entropy, entropy, 1e-5),
            ("slopes of several choices", found, slope, 1e-5),
            ("KL of several choices", policy.kl(judged.distribution, away.distribution).view(shape)[..., 0], kl, 1e-4),
            ("the best of several choices", policy.mode(output.float()), best, 0),
        ):
            patient.compare(CHECK, what, x, y, WHERE, tolerance, part="gradient" if "slopes" in what else "")
        for k, part in enumerate(p):  # even noise draws each option as often as π says, but for rounding
            often = torch.nn.functional.one_hot(drawn[..., k], part.shape[-1]).double()
            share = often.view(agents, STATES, len(noise), -1).mean(2)
            expected = part.view(agents, STATES, len(noise), -1).mean(2)
            patient.compare(CHECK, "how often options are drawn", share, expected, WHERE, 0.05, 1.0, part="exploration")


def _plainly(output: Tensor, sizes: tuple[int, ...], actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log π(a|s) and the entropy [A, B] of outputs [A, B, O] in which the choices follow each other."""
    parts = [part.log_softmax(-1) for part in torch.split(output, list(sizes), -1)]
    chosen = [part.gather(-1, actions[..., k : k + 1])[..., 0] for k, part in enumerate(parts)]
    return torch.stack(chosen).sum(0), torch.stack([-(part.exp() * part).sum(-1) for part in parts]).sum(0)


def _drawn(policy: CategoricalPolicy, patient: Patient, output: Tensor, noise: Tensor) -> Tensor:
    """Choices [A, S · U, K] of each state for each of U numbers between 0 and 1."""
    rows = output.repeat_interleave(len(noise), 1).float()
    uniform = noise.repeat(output.shape[1]).view(1, -1, 1).expand(*rows.shape[:2], len(policy.sizes))
    return policy.sample(patient.ac.parameters, rows, uniform)
