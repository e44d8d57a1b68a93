"""Does an actor climb its critic, through its own action, and does the critic stand still meanwhile?"""

from collections.abc import Callable
from typing import Any

import torch

from relook.doctor.examine.inside import plain
from relook.doctor.examine.inside.patient import Patient
from relook.doctor.examine.inside.policy_gradients import gradient_of, judge, where
from relook.doctor.examine.inside.textbook import critics_of, drawn_of, mu_of, theta_of
from relook.doctor.findings import Check

CHECK = Check(
    name="actor-gradient",
    component="policy loss",
    asks="The actor's gradient is that of -Q(s, a(s)), or of α log π - min Q with the noise standing still; the "
    "critics neither move nor keep a gradient of it.",
    causes=(
        "the sign: the actor goes down its critic",
        "the action is detached, or drawn without the reparametrisation",
        "the correction for tanh or for the bounds is missing in log π",
        "the actor's loss leaves its gradient in the critics",
        "the higher critic is climbed, or the temperature is another agent's",
    ),
    remedy="Freeze the critics, move the actor one step along its gradient: Q(s, a(s)) must rise.",
    lesson="A sampled action without its path back gives an actor no gradient from Q at all; entropy alone then moves "
    "it, and curves look like slow learning. Silver et al. 2014, Theorem 1; Haarnoja et al. 2018, Eq. 9.",
)


def attach(patient: Patient) -> None:
    def policy_step(call: Callable[..., Any], learner: Any, batch: Any, *rest: Any) -> Any:
        critics = patient.ac.critics.parameters
        before = critics.theta.clone(), critics.gradient.clone()
        expected = []
        with plain.differentiable():
            for a in range(len(patient.agents)):
                theta, observation = theta_of(patient, a), batch.observation[a].clone()
                if patient.name == "sac":
                    action, log_prob = drawn_of(patient, theta, observation, rest[0][a].clone())
                    alpha = float(learner.temperature["log"][a].detach().exp())
                    loss = (alpha * log_prob - critics_of(patient, theta, observation, action).amin(0)).mean()
                else:
                    loss = -critics_of(patient, theta, observation, mu_of(patient, theta, observation))[0].mean()
                expected.append(gradient_of(loss, theta, "policy"))
        number = len(patient.moves)
        told = call(learner, batch, *rest)
        judge(patient, CHECK, number, expected, where(patient))
        for what, was, now in zip(("move", "keep a gradient"), before, (critics.theta, critics.gradient), strict=True):
            same = torch.equal(was, now)
            patient.ask(
                CHECK,
                same,
                f"expected the critics not to {what} in the actor's step; found that they do",
                where(patient),
            )
        return told

    if patient.has("policy_step") and patient.has("critic_step"):
        patient.around(patient.module, "policy_step", policy_step)
