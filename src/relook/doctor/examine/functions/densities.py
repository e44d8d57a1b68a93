"""Is a function of log-probabilities one of a density?"""

from collections.abc import Iterator
from math import log, pi

import torch
from torch import Tensor

from relook.doctor.examine.functions.asking import B, Function, differs, numbers
from relook.doctor.findings import Check

NAME = "log_prob"
SIGNATURE = "(action, mean, log_std) → [B], of actions and means [B, K] and log σ [K]"
CHECK = Check(
    name="function-log-prob",
    component="networks",
    asks="exp(log π) of one component integrates to 1; of several components the logarithms add up, to one number for "
    "each sample; and it is that of a Gaussian, or of one that tanh squashes into (-1, 1) if it is -∞ or not a number "
    "beyond.",
    causes=(
        "the change of variables of tanh is missing, or has the wrong sign",
        "components are averaged, or kept apart",
        "a standard deviation is taken for its logarithm, or its square for it",
    ),
    remedy="Integrate exp(log π) over a fine grid of actions, once for each spread.",
    lesson="Without the correction of tanh entropies are of another policy, and a learned temperature drifts (Haarnoja "
    "et al. 2018, Appendix C). An integral needs no reference: a density that does not integrate to 1 is none.",
)
GRID = 40_001


def look(function: Function) -> Iterator[str]:
    action, mean, log_std = 0.5 * numbers(1, B, 3).tanh(), 0.3 * numbers(2, B, 3), torch.tensor([-1.0, -0.5, 0.2])
    found = function(action, mean, log_std)
    if found.shape != (B,):
        yield f"expected one log-probability for each of {B} samples; found shape {list(found.shape)}"
        return
    apart = [function(action[:, k : k + 1], mean[:, k : k + 1], log_std[k : k + 1]) for k in range(3)]
    yield from differs("sum over components", found, torch.stack(apart).sum(0))
    squashed = not torch.isfinite(function(torch.full((1, 1), 1.5), torch.zeros(1, 1), torch.zeros(1))).all()
    for spread in (-1.0, 0.3):
        area = _area(function, spread, squashed=squashed)
        yield from differs(f"integral of exp(log π) with log σ = {spread:g}", area, torch.tensor(1.0), 1e-2)
    z = (torch.atanh(action) if squashed else action) - mean
    gaussian = (-(z / log_std.exp()).square() / 2 - log_std - log(2 * pi) / 2).sum(1)
    slope = torch.log(1 - action.square()).sum(1) if squashed else 0.0
    yield from differs("log π of a squashed Gaussian" if squashed else "log π of a Gaussian", found, gaussian - slope)


def _area(function: Function, log_std: float, *, squashed: bool) -> Tensor:
    """∫ exp(log π(a)) da over all actions of one component, at mean 0.2."""
    u = torch.linspace(-12.0, 12.0, GRID, dtype=torch.float64).unsqueeze(1)
    edge = u.clamp(-8, 8)
    grid = edge.tanh() if squashed else u
    density = function(grid, torch.full_like(grid, 0.2), torch.full((1,), log_std, dtype=torch.float64)).exp()
    return torch.trapezoid(density.nan_to_num(0.0, 0.0, 0.0), grid[:, 0])
