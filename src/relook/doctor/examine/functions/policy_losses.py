"""Does a policy's loss push the right way, as far as it should, and no one else?"""

from collections.abc import Iterator

import torch

from relook.doctor.examine.functions.asking import B, Function, differs, numbers, of_a_loss, slopes
from relook.doctor.findings import Check

NAME = "policy_loss"
SIGNATURE = "(log_prob, old_log_prob, advantage) → one number, of columns [B]"
CHECK = Check(
    name="function-policy-loss",
    component="policy loss",
    asks="Where the policy is still the old one, the slope by log π of a sample is minus its advantage ÷ B (advantages "
    "here have mean 0 and standard deviation 1); none goes to the old log π or to the advantage; order and duplication "
    "of samples make no difference.",
    causes=(
        "the sign is wrong",
        "the ratio is of the same log-probability twice, or lacks its exponential",
        "a sum in place of a mean, or a mean too early",
        "(B, 1) against (B) is broadcast to (B, B)",
        "the advantage is not detached",
    ),
    remedy="`-(log_prob - old_log_prob).exp() * advantage`, clipped or not, and its mean; all columns of one shape.",
    lesson="The first minibatch's ratio must be 1 and its slope that of a plain policy gradient (Huang et al. 2022, "
    "'The 37 implementation details of PPO'). A loss that passes has the right sign and the right size; what the clip "
    "does further away needs a test of your own.",
)


def look(function: Function) -> Iterator[str]:
    log_prob, advantage = -numbers(1, B).abs(), numbers(2, B)
    advantage = (advantage - advantage.mean()) / advantage.std(correction=0)
    _, (by_log_prob, by_old, by_advantage) = slopes(function, log_prob, log_prob, advantage)
    yield from differs("slope by log π where π is the old policy", by_log_prob * B, -advantage, 1e-3)
    for what, slope in (("the old log π", by_old), ("the advantage", by_advantage)):
        if slope.any():
            yield f"expected no slope by {what}; found one of up to {float(slope.abs().max()):.3g}: detach it"
    yield from of_a_loss(function, log_prob, log_prob + 0.05 * numbers(3, B), advantage)
    better = torch.where(advantage > 0, 0.02, -0.02)
    if float(function(log_prob + better, log_prob, advantage)) >= float(function(log_prob, log_prob, advantage)):
        yield "expected a lower loss where better actions are more probable; found none"
