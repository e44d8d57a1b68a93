"""PPO's clip is no trust region: it takes away a reward, and holds nothing back."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from relook.algorithms.ppo import clip_loss
from relook.formulas.distributions import categorical_kl, categorical_log_prob, categorical_sample, categorical_slope
from relook.formulas.normalisation import normalised
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled

SEEDS, SAMPLES, FEATURES, CHOICES = 40, 64, 8, 4
"""Batches, each with a policy of its own: a softmax of W x."""
STEPS, EPSILON, ALPHA, SPREAD = 200, 0.2, 0.01, 0.3
"""Steps of Adam on one batch, the clip range, Adam's step size, and the standard deviation of the first W."""
SHORT = 10
UNCLIPPED = 1e9
RARE, SMALL = 0.1, 0.01
"""In one state with two actions: the probability of the better one at first, and the size of steps."""


class Run(NamedTuple):
    """After each step [STEPS, SEEDS]."""

    outside: NDArray[np.float64]
    """The share of samples with |r - 1| > ε."""
    largest: NDArray[np.float64]
    """The largest r of the batch."""
    kl: NDArray[np.float64]
    """KL(π_old ‖ π), mean over the batch's states."""


class Found(NamedTuple):
    clipped: Run
    free: Run
    """The same batches without a clip."""
    slope: float
    """How far the slope of the loss is from that of -min(r Â, clip(r) Â) by automatic differentiation."""
    rare: float
    """The ratio of the better of two actions once the clip has ended the learning from the other."""


def compute(no_minimum: bool = False) -> Found:
    """`no_minimum` learns from clip(r, 1 - ε, 1 + ε) Â alone."""
    return Found(_run(EPSILON, no_minimum), _run(UNCLIPPED, no_minimum), _wrong_by(no_minimum), _two(no_minimum))


def _slope(log_ratio: Tensor, advantage: Tensor, epsilon: float, no_minimum: bool) -> Tensor:
    """How the mean loss of each batch changes with log π(a|s) of each sample."""
    if no_minimum:
        ratio = log_ratio.exp()
        return torch.where((ratio - 1).abs() > epsilon, 0.0, -ratio * advantage / log_ratio.shape[1])
    return clip_loss(log_ratio, advantage, torch.full((len(log_ratio),), epsilon, dtype=torch.float64))[1]


def _run(epsilon: float, no_minimum: bool) -> Run:
    rng = np.random.default_rng(13)
    x, w, advantage, uniform = (
        torch.from_numpy(draw)
        for draw in (
            rng.standard_normal((SEEDS, SAMPLES, FEATURES)),
            SPREAD * rng.standard_normal((SEEDS, FEATURES, CHOICES)),
            rng.standard_normal((SEEDS, SAMPLES)),
            rng.random((SEEDS, SAMPLES, 1)),
        )
    )
    advantage = normalised(advantage)
    old = log_softmax(x @ w, -1).unsqueeze(2)
    action = categorical_sample(old, uniform)
    before = categorical_log_prob(old, action)
    first, second = torch.zeros_like(w), torch.zeros_like(w)
    log_p, log_ratio, rows = old, torch.zeros_like(before), []
    for step in range(1, STEPS + 1):
        by_log_prob = _slope(log_ratio, advantage, epsilon, no_minimum)
        gradient = x.mT @ categorical_slope(log_p, action, by_log_prob).squeeze(2)
        first.lerp_(gradient, 1 - 0.9)
        second.lerp_(gradient.square(), 1 - 0.999)
        w -= ALPHA * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        log_p = log_softmax(x @ w, -1).unsqueeze(2)
        log_ratio = categorical_log_prob(log_p, action) - before
        ratio = log_ratio.exp()
        outside = ((ratio - 1).abs() > EPSILON).double().mean(1)
        rows.append(torch.stack([outside, ratio.amax(1), categorical_kl(old, log_p).mean(1)]))
    return Run(*torch.stack(rows, 1).numpy())


def _wrong_by(no_minimum: bool) -> float:
    rng = np.random.default_rng(14)
    log_ratio = torch.from_numpy(0.3 * rng.standard_normal((1, 1000))).requires_grad_()
    advantage = torch.from_numpy(rng.standard_normal((1, 1000)))
    ratio = log_ratio.exp()
    loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - EPSILON, 1 + EPSILON) * advantage).mean()
    (expected,) = torch.autograd.grad(loss, log_ratio)
    found = _slope(log_ratio.detach(), advantage, EPSILON, no_minimum)
    return float((found - expected).abs().max())


def _two(no_minimum: bool) -> float:
    """The batch holds the worse action alone, with an advantage of -1; steps go on until its slope is 0."""
    logit = torch.tensor([[[[RARE, 1 - RARE]]]], dtype=torch.float64).log()
    old, action, advantage = logit.clone(), torch.tensor([[[1]]]), -torch.ones((1, 1), dtype=torch.float64)
    while True:
        log_ratio = log_softmax(logit, -1) - old
        slope = _slope(log_ratio[:, :, 0, 1], advantage, EPSILON, no_minimum)
        if not slope.any():
            return float(log_ratio[0, 0, 0, 0].exp())
        logit = logit - SMALL * categorical_slope(log_softmax(logit, -1), action, slope)


def claims(found: Found) -> list[Claim]:
    outside, largest = found.clipped.outside[SHORT - 1], found.clipped.largest[-1]
    return [
        Claim(
            "the largest difference of the loss's slope from automatic differentiation",
            found.slope,
            0.0,
            1e-12,
            "the same formula, -min(r Â, clip(r) Â), differentiated by other means",
        ),
        Claim(
            "the ratio of an action of probability 0.1 when the other one's has fallen to 0.8",
            found.rare,
            (1 - (1 - EPSILON) * (1 - RARE)) / RARE,
            SMALL,
            "(1 - 0.8 × 0.9) / 0.1: what one action loses the other gets; the last step goes too far by < 0.01",
        ),
        Claim(
            "the share of ratios outside 1 ± ε after 10 steps, mean of 40 seeds",
            float(outside.mean()),
            0.35,
            float(4 * outside.std(ddof=1) / np.sqrt(SEEDS)),
            "measured before on another batch; four standard errors",
        ),
        Claim(
            "the largest ratio after 200 steps, mean of 40 seeds",
            float(largest.mean()),
            3.16,
            float(4 * largest.std(ddof=1) / np.sqrt(SEEDS)),
            "measured before on another batch; four standard errors",
        ),
        Claim(
            "seeds of 40 whose largest ratio is above 1 + ε after 200 steps",
            float((largest > 1 + EPSILON).sum()),
            float(SEEDS),
            0.0,
            "all: samples whose ratio is clipped share parameters with samples that still push",
            "at least",
        ),
        Claim(
            "seeds of 40 whose KL is smaller with the clip than without after 200 steps",
            float((found.clipped.kl[-1] < found.free.kl[-1]).sum()),
            float(SEEDS),
            0.0,
            "all: the clip holds nothing back, but takes away most of what pushes",
            "at least",
        ),
    ]


def draw(found: Found) -> Figure:
    largest = found.clipped.largest[-1]
    figure, (left, right) = panels(
        2,
        f"After {STEPS} steps on one batch the largest ratio is {largest.mean():.1f} on average, where the clip says "
        f"{1 + EPSILON:g}",
        f"{SEEDS} batches of {SAMPLES} samples, a softmax of {FEATURES} features with {CHOICES} actions, Adam with a "
        f"step size of {ALPHA}. Lines: means. Band: 5 % to 95 % of the seeds.",
    )
    steps = np.arange(1, STEPS + 1)
    for run, style, colour, label in (
        (found.free, "--", COLOURS[1], "without a clip"),
        (found.clipped, "-", COLOURS[0], f"clipped, ε = {EPSILON}"),
    ):
        for at, values in ((left, run.largest), (right, run.kl)):
            at.plot(steps, values.mean(1), style, color=colour, label=label, linewidth=2)
            at.fill_between(steps, *np.quantile(values, (0.05, 0.95), axis=1), color=colour, alpha=0.15, linewidth=0)
            at.set_xscale("log")
            at.set_yscale("log")
    left.axhline(1 + EPSILON, color=GREY, linestyle=":", linewidth=1)
    left.annotate("1 + ε", (1, 1 + EPSILON), (0, 3), textcoords="offset points", fontsize=8, color=GREY)
    left.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    left.minorticks_off()
    titled(left, "The largest ratio of a batch", "steps", "max r")
    titled(right, "How far the policy has moved", "steps", "KL(π_old ‖ π), nats")
    for at in (left, right):
        at.set_xticks([1, 10, 100, STEPS], ["1", "10", "100", f"{STEPS}"])
        legend(at, "upper left")
    return figure


def lesson(found: Found) -> str:
    run = found.clipped
    return (
        f"The clip makes the slope 0 for a sample whose ratio has passed 1 + ε in the direction that its advantage "
        f"asks for. Nothing pulls the ratio back, and the parameters still move for other samples: after {SHORT} steps "
        f"{run.outside[SHORT - 1].mean():.0%} of the ratios are outside 1 ± {EPSILON}, after {STEPS} the largest is "
        f"{run.largest[-1].mean():.2f} on average, in the worst of {SEEDS} batches {run.largest[-1].max():.1f}. Two "
        f"actions show it exactly: an action of probability {RARE} is at a ratio of {found.rare:.2f} when the other "
        f"has fallen to 0.8. The clip is worth something all the same: KL is {run.kl[-1].mean():.2f} nats in place of "
        f"{found.free.kl[-1].mean():.2f} without it. What limits PPO's steps besides is few epochs, a small step size, "
        "and a stop at a KL that one chooses (target_kl). How large these numbers are depends on samples per "
        "parameter: with more of them per weight, ratios stay closer."
    )


LAB = Lab(
    name="clipping",
    title="PPO's clip is no trust region",
    question=(
        "PPO takes several epochs of steps on one batch. With the ratio r = π(a|s) / π_old(a|s) and the advantage Â it "
        "maximises min(r Â, clip(r, 1 - ε, 1 + ε) Â), so that a sample gains nothing more from moving r beyond 1 ± ε. "
        "That sounds as if no ratio got far beyond. TRPO's trust region really is one: it measures KL and makes the "
        "step shorter. Here are batches of 64 samples and 4 actions, a softmax of 8 features, ε = 0.2, and Adam."
    ),
    prompt="After 200 steps on one batch, how large is the largest ratio?",
    choices=("1.2, or a little more", "about 1.6", "about 3"),
    answer=lambda found: int(np.abs(np.log(np.array([1.22, 1.6, 3]) / found.clipped.largest[-1].mean())).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the ratio is clipped, but the minimum with r Â is left out",
    wrong=lambda: compute(no_minimum=True),
    notes=("- Proximal Policy Optimization (PPO)", "- PPO", "- VPG -> TRPO -> PPO"),
    reading=(
        "relook lab performance_difference",
        "relook lab natural_gradient",
        "Schulman et al. 2017 (arXiv:1707.06347), Eq. 7",
        "Ilyas et al. 2020 (arXiv:1811.02553), on trust regions in practice",
        "Wang et al. 2019 (arXiv:1903.07940), Truly Proximal Policy Optimization",
    ),
)
