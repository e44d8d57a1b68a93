"""Is a function of advantages the one that its definition gives?"""

from collections.abc import Iterator

import torch

from relook.doctor.examine.functions.asking import Function, differs, flags, numbers
from relook.doctor.examine.inside import plain
from relook.doctor.findings import Check

NAME = "advantages"
SIGNATURE = "(reward, value, next_value, terminated, truncated, discount, gae_lambda) → [T], all of one environment"
CHECK = Check(
    name="function-advantages",
    component="estimates",
    asks="Advantages of one environment's steps are the sum that defines them: nothing is bootstrapped where an "
    "episode terminated, the next value is where it was truncated, and no sum goes beyond either.",
    causes=(
        "a truncation is taken for a termination, or the other way round",
        "the recursion goes on across the end of an episode, or is masked a step too early or too late",
        "γ and λ are exchanged, or one of them is missing",
    ),
    remedy="δ = r + γ V(s') unless terminated, - V(s); A = δ + γ λ A of the next step unless either flag is set.",
    lesson="It is asked for random rewards, values and flags, for λ of 0, 0.7 and 1 and γ of 0.5 and 0.99, and "
    "compared with Eq. 16 of Schulman et al. 2016 (arXiv:1506.02438) as a sum in float64.",
)
T = 30


def look(function: Function) -> Iterator[str]:
    reward, value, next_value = (numbers(seed, T) for seed in (1, 2, 3))
    terminated, truncated = flags(4, T, share=0.15), flags(5, T, share=0.15)
    for discount, gae_lambda in ((0.99, 0.7), (0.5, 0.7), (0.99, 0.0), (0.99, 1.0)):
        found = function(reward, value, next_value, terminated, truncated, discount, gae_lambda)
        r, v, following, ends, cuts = (x.unsqueeze(1) for x in (reward, value, next_value, terminated, truncated))
        expected = plain.gae(r.double(), v.double(), following.double(), ends, cuts, discount, gae_lambda)[:, 0]
        wrong = list(differs(f"advantage with γ = {discount:g}, λ = {gae_lambda:g}", torch.as_tensor(found), expected))
        if wrong:
            yield wrong[0]
            return
