"""Two gradients through a random action: by the score, and by reparameterisation."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.formulas.distributions import gaussian_slopes
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled

MEAN, SIGMA = 1.5, 0.3
"""Of the action x. E[x²] = μ² + σ², whose slope by μ is 2μ = 3."""
SAMPLES = 200_000
SIGMAS = np.geomspace(0.05, 1.5, 30)
WAVES = np.linspace(0.5, 12, 231)
"""k in the objective cos(kx)."""
FAST = 10.0
NODE, WEIGHT = np.polynomial.hermite_e.hermegauss(120)
"""Gauss's rule for standard normal noise: exact for polynomials, to 12 digits for the cosines here."""

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Found(NamedTuple):
    score: NDArray[np.float64]
    """x² ∂ log p(x)/∂μ for each sample."""
    pathwise: NDArray[np.float64]
    """∂x²/∂μ with x = μ + σε, for the same noise ε."""
    ratio: float
    """Variance of the score's estimate over that of the other, exactly."""
    with_baseline: float
    """The same if E[x²] is subtracted from x²."""
    fast: float
    """The same for cos(10 x)."""
    by_sigma: NDArray[np.float64]
    """Variances of score, score with baseline, and pathwise, for each of `SIGMAS` [3, σ]."""
    by_wave: NDArray[np.float64]
    """Variances of score and pathwise for cos(kx), for each of `WAVES` [2, k]."""


def compute(power: int = 2) -> Found:
    """The score is (x - μ) / σ²; `power` is of σ in it."""
    noise = torch.from_numpy(np.random.default_rng(9).standard_normal(SAMPLES)).unsqueeze(1)
    mean = torch.full((SAMPLES, 1), MEAN, dtype=torch.float64, requires_grad=True)
    x = mean + SIGMA * noise
    x.square().sum().backward()
    assert mean.grad is not None
    log_std = torch.full((1,), np.log(SIGMA), dtype=torch.float64)
    slope, _ = gaussian_slopes(x.detach(), mean.detach(), log_std, x.detach().square().squeeze(1))
    by_sigma = []
    for sigma in SIGMAS:
        by_sigma.append(_variances(np.square, lambda x: 2 * x, sigma, MEAN**2 + sigma**2))
    square = _variances(np.square, lambda x: 2 * x, SIGMA, MEAN**2 + SIGMA**2)
    by_wave = [_wave(k) for k in WAVES]
    fast = _wave(FAST)
    return Found(
        slope.squeeze(1).numpy() * SIGMA ** (2 - power),
        mean.grad.squeeze(1).numpy(),
        square[0] / square[2],
        square[1] / square[2],
        fast[0] / fast[1],
        np.array(by_sigma).T,
        np.array(by_wave).T,
    )


def _variances(f: Function, slope: Function, sigma: float, baseline: float) -> tuple[float, float, float]:
    """Of f(x) ε/σ, of (f(x) - baseline) ε/σ, and of f'(x), by Gauss's rule."""
    x, weight = MEAN + sigma * NODE, WEIGHT / WEIGHT.sum()
    score, less, pathwise = (
        float(weight @ g**2 - (weight @ g) ** 2)
        for g in (f(x) * NODE / sigma, (f(x) - baseline) * NODE / sigma, slope(x))
    )
    return score, less, pathwise


def _wave(k: float) -> tuple[float, float]:
    """The variances for cos(kx), of score and pathwise."""
    score, _, pathwise = _variances(lambda x: np.cos(k * x), lambda x: -k * np.sin(k * x), SIGMA, 0.0)
    return score, pathwise


def _wave_in_closed_form(k: float) -> float:
    """The ratio of both, from E[cos(k(μ + σε))] = cos(kμ) e^(-k²σ²/2)."""
    c, twice = (k * SIGMA) ** 2, np.cos(2 * k * MEAN) * np.exp(-2 * (k * SIGMA) ** 2)
    squared_mean = (k * np.sin(k * MEAN)) ** 2 * np.exp(-c)
    score = (1 + (1 - 4 * c) * twice) / (2 * SIGMA**2) - squared_mean
    return float(score / (k**2 * (1 - twice) / 2 - squared_mean))


def claims(found: Found) -> list[Claim]:
    m, s = MEAN**2, SIGMA**2
    pathwise, score, less = 4 * s, m**2 / s + 14 * m + 15 * s, 8 * m + 10 * s
    moments = "moments of a Gaussian up to the sixth, by hand and by Gauss's rule; exact but for rounding"
    return [
        Claim(
            "the mean of x² ∂ log p(x)/∂μ over 200,000 samples",
            float(found.score.mean()),
            2 * MEAN,
            4 * np.sqrt(score / SAMPLES),
            "d(μ² + σ²)/dμ; four standard errors with the exact variance 89.1",
        ),
        Claim(
            "the mean of ∂x²/∂μ with x = μ + σε",
            float(found.pathwise.mean()),
            2 * MEAN,
            4 * np.sqrt(pathwise / SAMPLES),
            "the same slope; four standard errors with the exact variance 0.36",
        ),
        Claim("the ratio of their variances, exactly", found.ratio, score / pathwise, 1e-8, moments),
        Claim("that ratio with the baseline E[x²]", found.with_baseline, less / pathwise, 1e-8, moments),
        Claim(
            "the ratio of the sampled variances",
            float(found.score.var() / found.pathwise.var()),
            100.0,
            0.0,
            "it is 247.5 exactly; 100 is far below what chance can do to it",
            "at least",
        ),
        Claim(
            "the ratio for cos(10 x), where the score wins",
            found.fast,
            _wave_in_closed_form(FAST),
            1e-8,
            "f' = -k sin(kx) grows with k, and f does not; in closed form and by Gauss's rule",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, middle, right) = panels(
        3,
        f"Both estimate the slope 3 of E[x²], the score with {found.ratio:.1f} times the variance; for cos(10 x), "
        f"{found.fast:.2f} times",
        f"x = μ + σε with μ = {MEAN}, σ = {SIGMA} and standard normal ε. Left: {SAMPLES:,} samples of each; middle and "
        "right: exact.",
        width=4.2,
    )
    edges = np.linspace(-10, 60, 141).tolist()
    left.hist(found.score, edges, color=COLOURS[1], alpha=0.6, hatch="//", label="score: x² (x - μ)/σ²")
    left.hist(found.pathwise, edges, color=COLOURS[0], label="pathwise: 2x")
    left.axvline(2 * MEAN, color=GREY, linestyle="--", linewidth=1)
    left.set_yscale("log")
    titled(left, "One sample's estimate of d E[x²]/dμ", "estimate (mean: 3)", "samples")
    legend(left, "upper right")
    labels = (("score", "--", COLOURS[1]), ("score with baseline", ":", COLOURS[2]), ("pathwise", "-", COLOURS[0]))
    for variance, (label, style, colour) in zip(found.by_sigma, labels, strict=True):
        middle.loglog(SIGMAS, variance, style, color=colour, linewidth=2, label=label)
    middle.axvline(SIGMA, color=GREY, linewidth=1, linestyle="-.")
    titled(middle, "x²: the less noise, the worse the score", "σ of the action", "variance")
    legend(middle, "upper right")
    for variance, (label, style, colour) in zip(found.by_wave, (labels[0], labels[2]), strict=True):
        right.semilogy(WAVES, variance, style, color=colour, linewidth=2, label=label)
    titled(right, "cos(kx): the score wins for large k", "k", "variance")
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    return (
        f"Both means are 3 ({found.score.mean():.2f} and {found.pathwise.mean():.3f}). The score knows of f only its "
        f"values, and needs {found.ratio:.1f} samples for each one of the pathwise estimate, which knows the slope f'; "
        f"a baseline brings that down to {found.with_baseline:.1f}. SAC takes the slope of its critic this way, x = "
        "μ + σε; REINFORCE and PPO cannot, because returns have no slope by the action. Neither always wins: for "
        f"cos(10 x) the ratio is {found.fast:.2f}, since a slope may be large where values are not. And a critic's "
        "slope is only as good as the critic, while the score needs no critic at all, and works for choices too."
    )


LAB = Lab(
    name="reparameterisation",
    title="The score, or a slope through the noise",
    question=(
        "An action x is drawn from a Gaussian with mean μ and standard deviation σ, and f(x) is what it is worth. "
        "Which way should μ go? The score needs values only: E[f(x) ∂ log p(x)/∂μ]. If f has a slope, one may write "
        "x = μ + σε, with noise ε that does not depend on μ, and take E[f'(μ + σε)]: reparameterisation, or the "
        "pathwise derivative. With f(x) = x², μ = 1.5 and σ = 0.3 the truth is 2μ = 3. How far are single samples off?"
    ),
    prompt="How many samples does the score need to be as precise as one sample of the pathwise derivative?",
    choices=("about 2", "about 16", "about 250"),
    answer=lambda found: int(np.abs(np.log(np.array([2, 16, 250]) / found.ratio)).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the score is taken for (x - μ)/σ, where it is (x - μ)/σ²",
    wrong=lambda: compute(power=1),
    notes=("- Soft Actor-Critic (SAC)", "sampling actions from policy"),
    reading=(
        "relook lab likelihood",
        "relook lab log_derivative",
        "Mohamed et al. 2020 (arXiv:1906.10652)",
        "Haarnoja et al. 2018 (arXiv:1812.05905), section 4.2",
    ),
)
