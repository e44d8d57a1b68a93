"""Does TRPO's step go along the natural gradient, to the edge of the trust region and not beyond?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.policy_gradients import gradient_of, normalised
from relook.doctor.findings import Check
from relook.population import Agents
from relook.population.hyperparameters import Hyperparameters

CHECK = Check(
    name="trust-region",
    component="policy loss",
    asks="The gradient is that of the surrogate, the direction x solves (F + damping) x = g with F the curvature of "
    "KL, the whole step is √(2δ / xᵀFx) x, and what is taken of it has KL ≤ δ and a better surrogate.",
    causes=(
        "a sign, of the gradient or of the surrogate in the line search",
        "F is of another distribution, or lacks its damping",
        "the line search accepts a step that is too long, or one that makes things worse",
    ),
    remedy="Compare F v with the change of ∂KL when θ moves a little along v.",
    lesson="A wrong F still gives a direction that goes up, and the line search hides how badly. Schulman et al. 2015 "
    "(arXiv:1502.05477), Appendix C.",
)
WHERE = "relook/algorithms/trpo.py"


def attach(patient: Patient) -> None:
    if patient.name != "trpo":
        return
    expected: list[Tensor] = []
    names: list[list[str]] = []
    observed: list[Tensor] = []
    solutions: list[Any] = []

    def policy_step(call: Callable[..., Any], ac: Any, rollout: Any, estimates: Any, *rest: Any) -> Any:
        expected.clear()
        names.clear()
        observed[:] = [rollout.observation.flatten(1, 2)]
        before, log_probs = [], []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta = plain.leaves(ac.state(), a)
                seen, action = patient.seen(a, rollout.observation[a].flatten(0, 1)), rollout.action[a].flatten(0, 1)
                output = plain.network(theta, "policy", seen, patient.config.activation)
                log_prob = plain.log_prob(theta, output, action)
                advantage = estimates.advantage[a].flatten().double()
                advantage = normalised(advantage) if patient.config.normalise_advantages else advantage
                gradient = gradient_of((log_prob * advantage).mean(), theta, "policy")
                names.append(list(gradient))
                expected.append(torch.cat([x.flatten() for x in gradient.values()]))
                before.append((theta, output.detach(), advantage))
                log_probs.append(log_prob.detach())
        told = call(ac, rollout, estimates, *rest)
        for a, (theta, output, advantage) in enumerate(before):
            now = plain.leaves(ac.state(), a)
            with torch.no_grad():
                seen, action = patient.seen(a, rollout.observation[a].flatten(0, 1)), rollout.action[a].flatten(0, 1)
                new = plain.network(now, "policy", seen, patient.config.activation)
                kl = float(plain.kl(theta, output, now, new).mean())
                better = float(((plain.log_prob(now, new, action) - log_probs[a]).exp() * advantage).mean())
                before_it = float(advantage.mean())
            gained = better - before_it
            patient.compare(CHECK, "KL that is told", told["kl"][a], kl, WHERE, 1e-2, 1e-5, "record")
            patient.compare(
                CHECK, "improvement that is told", told["improvement"][a], gained, WHERE, 1e-2, 1e-4, "record"
            )
            moved = torch.cat([(now[name] - theta[name]).detach().flatten() for name in names[a]])
            promised = float(expected[a] @ moved)
            patient.compare(
                CHECK, "promised improvement", told["expected_improvement"][a], promised, WHERE, 1e-2, 1e-4, "record"
            )
            most = patient.hyperparameter(a, "target_kl")
            patient.ask(
                CHECK, kl <= most * 1.01, f"expected KL of at most {most:.3g} after the step; found {kl:.3g}", WHERE
            )
            patient.ask(
                CHECK,
                better >= before_it - 1e-6,
                f"expected a better surrogate than {before_it:.3g}; found {better:.3g}",
                WHERE,
            )
            patient.ask(CHECK, kl > most * 0.05, f"expected a step towards KL {most:.3g}; found {kl:.3g}", WHERE)
        return told

    def conjugate_gradients(call: Callable[..., Any], fisher: Any, g: Tensor, steps: int) -> Any:
        found = [_flat(patient, g, a, own) for a, own in enumerate(names)]
        for a, own in enumerate(found):
            patient.compare(CHECK, "gradient of the surrogate", own, expected[a], WHERE, 1e-3)
        _curvature(patient, fisher, g, names, observed[0])
        solved = call(fisher, g, steps)
        solutions.append(solved)
        product = fisher(solved.x)
        left = (product - g).norm(dim=1) / g.norm(dim=1)
        patient.ask(
            CHECK, bool((left < 0.5).all()), f"expected (F + damping) x = g; found {float(left.max()):.2f} left", WHERE
        )
        patient.compare(CHECK, "xᵀ F x", solved.curvature, (solved.x * product).sum(1), WHERE, 1e-2)
        return solved

    def line_search(call: Callable[..., Any], theta: Tensor, whole: Tensor, *rest: Any) -> Any:
        x, curvature = solutions[-1].x, solutions[-1].curvature
        for a in range(len(whole)):
            reach = (2 * patient.hyperparameter(a, "target_kl") / float(curvature[a])) ** 0.5
            patient.compare(CHECK, "the whole step", whole[a], reach * x[a].double(), WHERE, 1e-3)
        return call(theta, whole, *rest)

    def surrogate(call: Callable[..., Tensor], log_ratio: Tensor, advantage: Tensor) -> Tensor:
        found = call(log_ratio, advantage)
        apart = 0.5 * torch.linspace(-1, 1, log_ratio.shape[1]).expand_as(log_ratio)  # at 0 many wrong ones are right
        for x, y in ((log_ratio, found), (apart, call(apart, advantage))):
            expected = (x.double().exp() * advantage.double()).mean(1)
            patient.compare(CHECK, "surrogate", y, expected, WHERE, 1e-4, 1e-3)
        return found

    patient.around(patient.module, "surrogate", surrogate)
    patient.around(patient.module, "line_search", line_search)
    patient.afterwards(lambda: _alone(patient))
    patient.around(patient.module, "policy_step", policy_step)
    patient.around(patient.module, "conjugate_gradients", conjugate_gradients)


def _alone(patient: Patient) -> None:
    """Conjugate gradients and line search on problems whose answers are known."""
    matrix = torch.tensor(
        [[[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]], [[2.0, 0.0, 0.3], [0.0, 5.0, 1.0], [0.3, 1.0, 3.0]]]
    )
    g = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 2.0]])
    half_way = patient.module.conjugate_gradients(lambda v: (matrix @ v.unsqueeze(2)).squeeze(2), g, 1)
    rest = (g - (matrix @ half_way.x.unsqueeze(2)).squeeze(2)).norm(dim=1) / g.norm(dim=1)
    patient.compare(CHECK, "the residual that is told", half_way.residual, rest, WHERE, 1e-4, part="record")
    solved = patient.module.conjugate_gradients(lambda v: (matrix @ v.unsqueeze(2)).squeeze(2), g, 3)
    patient.compare(CHECK, "the solution of F x = g", solved.x, torch.linalg.solve(matrix, g), WHERE, 1e-3)

    first, config = patient.agents[0], patient.config
    h = Hyperparameters(Agents([first, first]))
    ratio, most = (float(first.hyperparameters[name]) for name in ("backtrack_ratio", "target_kl"))
    searches = patient.config.line_search
    # What a step of so much of the whole gives, and how much of it should be taken: at first too far, then worse, and
    # good at the third try; and never good.
    for kls, surrogates, taken in (
        ([2 * most, most / 2, most / 2, most / 2], [1.0, -1.0, 1.0, 1.0], ratio**2),
        ([most / 2] * 4, [-1.0] * 4, 0.0),
        ([2 * most] * 4, [1.0] * 4, 0.0),
        ([most / 2] * 4, [1.0] * 4, 1.0),
        ([1.1 * most, most / 2, most / 2, most / 2], [1.0] * 4, ratio),
    ):
        tries = iter(range(100))

        def judge(
            kls: list[float] = kls, surrogates: list[float] = surrogates, tries: Any = tries
        ) -> tuple[Tensor, Tensor]:
            i = min(next(tries), len(kls) - 1)
            return torch.full((2,), surrogates[i]), torch.full((2,), kls[i])

        theta, whole = torch.zeros(2, 3), torch.ones(2, 3)
        alive, before = torch.tensor([True, True]), torch.zeros(2)
        found = patient.module.line_search(theta, whole, judge, before, alive, config, h)
        if searches:
            failed = {0.0: config.backtracks, ratio: 1, ratio**2: 2, 1.0: 0}[taken]
            said = "tries that were not good"
            patient.compare(CHECK, said, found.backtracks, [failed] * 2, WHERE, 1e-6, part="record")
        patient.compare(
            CHECK, "what is taken of a step", theta, torch.full((2, 3), taken if searches else 1.0), WHERE, 1e-5, 1e-3
        )
    theta = torch.zeros(2, 3)
    good = torch.ones(2), torch.full((2,), most / 2)
    resting = torch.tensor([True, False])
    patient.module.line_search(theta, torch.ones(2, 3), lambda: good, torch.zeros(2), resting, config, h)
    patient.compare(CHECK, "the step of an agent that rests", theta[1], torch.zeros(3), WHERE, 0, 1.0)


def _flat(patient: Patient, block: Tensor, a: int, names: list[str]) -> Tensor:
    """A row [A, P] of the policy's θ as one vector without padding, in the order of `names`."""
    theta = torch.zeros_like(patient.ac.parameters.theta)
    theta[:, 0] = block
    state = patient.state_of(patient.ac.parameters, theta)
    return torch.cat([state[name][a].double().flatten() for name in names])


def _curvature(
    patient: Patient, fisher: Callable[[Tensor], Tensor], g: Tensor, names: list[list[str]], observed: Tensor
) -> None:
    """F v + damping v against the second derivative of KL, at v = g."""
    product = fisher(g)
    with plain.differentiable():
        for a in range(len(patient.agents)):
            theta = plain.leaves(patient.ac.state(), a)
            seen = patient.seen(a, observed[a])
            output = plain.network(theta, "policy", seen, patient.config.activation)
            old = {name: x.detach() for name, x in theta.items()}
            kl = plain.kl(old, output.detach(), theta, output).mean()
            own = [theta[name] for name in names[a]]
            slopes = torch.autograd.grad(kl, own, create_graph=True)
            v = _flat(patient, g, a, names[a])
            along = (torch.cat([x.flatten() for x in slopes]) * v).sum()
            curved = torch.cat([x.flatten() for x in torch.autograd.grad(along, own)])
            expected = curved + patient.hyperparameter(a, "damping") * v
            patient.compare(CHECK, "F v + damping v", _flat(patient, product, a, names[a]), expected, WHERE, 2e-3)
