"""Log-likelihoods of actions: a choice, a Gaussian, and a Gaussian squeezed into bounds."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax
from scipy.stats import multivariate_normal, norm

from relook.formulas.distributions import (
    categorical_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    squashed_log_prob,
)
from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, legend, panels, titled

ACTIONS = 1_000
"""Actions whose log-likelihoods are compared with scipy's."""
MEAN, LOG_STD = np.array([0.3, -1.0, 2.0]), np.array([-1.5, -0.5, 0.4])
"""A diagonal Gaussian of three components."""
DRAWN = 200_000
SIGMA = 0.25
"""Of the Gaussian in the picture."""
NARROW = 0.1
"""σ in the prediction."""
HALF, SHIFT, WIDTH = 2.0, 0.5, 0.9
"""A squashed policy: the action is a = 2 tanh(u), with u of mean 0.5 and standard deviation 0.9."""
FAR = 20.0
"""In float64 tanh(20) is 1, and log(1 - tanh²) is -∞."""


class Found(NamedTuple):
    categorical: float
    """The largest difference of log π(a|s) from scipy's, for a choice among five."""
    gaussian: float
    """The same for the diagonal Gaussian with covariance diag(σ²)."""
    lost: NDArray[np.float64]
    """log p(x) with covariance diag(σ²) less log p(x) with diag(σ), for each x that the policy drew [DRAWN]."""
    divergence: float
    """What it must be on average: KL between the two."""
    area: float
    """∫ p(a) da of the squashed policy."""
    far: float
    """log p(a) at u = 20, less the same from logistic functions."""
    narrow: float
    """log π(a|s) of the mean action of a Gaussian with σ = 0.1."""
    action: NDArray[np.float64]
    density: NDArray[np.float64]
    """The squashed policy's p(a), at each `action`."""
    unscaled: NDArray[np.float64]
    """The Gaussian's p(u), at each `action`."""
    squashed: NDArray[np.float64]
    """Actions that the squashed policy drew."""
    plain: NDArray[np.float64]
    """Actions that a Gaussian with σ = 0.25 drew."""


def compute(change_of_variables: bool = True) -> Found:
    rng = np.random.default_rng(3)
    logits, chosen = rng.normal(size=(ACTIONS, 5)), rng.integers(5, size=ACTIONS)
    log_p = torch.from_numpy(logits).log_softmax(-1).unsqueeze(1)
    ours = categorical_log_prob(log_p, torch.from_numpy(chosen).unsqueeze(1)).numpy()
    categorical = np.abs(ours - log_softmax(logits, 1)[np.arange(ACTIONS), chosen]).max()

    mean, log_std = torch.from_numpy(MEAN), torch.from_numpy(LOG_STD)
    drawn = MEAN + np.exp(LOG_STD) * rng.standard_normal((DRAWN, 3))
    x = torch.from_numpy(drawn)
    right = gaussian_log_prob(x, mean.expand(x.shape), log_std).numpy()
    scipys = multivariate_normal(MEAN, np.diag(np.exp(2 * LOG_STD))).logpdf(drawn)
    # A standard deviation of √σ is a covariance of diag(σ).
    as_noted = gaussian_log_prob(x, mean.expand(x.shape), log_std / 2).numpy()

    node, weight = np.polynomial.legendre.leggauss(400)
    action = HALF * node
    density = np.exp(_squashed(np.arctanh(node), change_of_variables))
    far = _squashed(np.array([FAR]), True)[0]
    slope = np.log(HALF) + np.log(4) + log_expit(2 * FAR) + log_expit(-2 * FAR)  # 1 - tanh² u = 4 s(2u) s(-2u)
    return Found(
        float(categorical),
        float(np.abs(right - scipys).max()),
        right - as_noted,
        float(gaussian_kl(mean, log_std, mean, log_std / 2)),
        float(density @ (HALF * weight)),
        float(far - (norm.logpdf(FAR, SHIFT, WIDTH) - slope)),
        float(gaussian_log_prob(torch.zeros(1), torch.zeros(1), torch.tensor([np.log(NARROW)]))),
        action,
        density,
        norm.pdf(np.arctanh(node), SHIFT, WIDTH),
        HALF * np.tanh(SHIFT + WIDTH * rng.standard_normal(DRAWN)),
        SIGMA * rng.standard_normal(DRAWN),
    )


def _squashed(u: NDArray[np.float64], change_of_variables: bool) -> NDArray[np.float64]:
    """The log-density of the actions 2 tanh(u), or of u itself where the change of variables is forgotten."""
    at, log_std = torch.from_numpy(u).unsqueeze(1), torch.full((len(u), 1), np.log(WIDTH), dtype=torch.float64)
    if not change_of_variables:
        return gaussian_log_prob(at, torch.full_like(at, SHIFT), log_std).numpy()
    return squashed_log_prob(at, (at - SHIFT) / WIDTH, log_std, torch.tensor([HALF], dtype=torch.float64)).numpy()


def claims(found: Found) -> list[Claim]:
    rounding = "two ways to the same number; float64 keeps about 15 digits"
    return [
        Claim("the largest difference from scipy, of a choice among five", found.categorical, 0.0, 1e-10, rounding),
        Claim(
            "the largest difference from scipy's Gaussian with covariance diag(σ²)",
            found.gaussian,
            0.0,
            1e-10,
            rounding,
        ),
        Claim(
            "the log-likelihood per action that is lost with covariance diag(σ)",
            float(found.lost.mean()),
            found.divergence,
            float(4 * found.lost.std() / np.sqrt(DRAWN)),
            "the mean of log p - log q over draws from p is KL(p ‖ q); four standard errors of 200,000 draws",
        ),
        Claim(
            "the area under the squashed policy's density",
            found.area,
            1.0,
            1e-8,
            "every action lies within the bounds; Gauss's rule with 400 nodes is good to about 10⁻⁹ here",
        ),
        Claim(
            "log π at u = 20, less the same from logistic functions",
            found.far,
            0.0,
            1e-10,
            rounding + ": log 0 has none",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"Variance is σ², not σ; and a squeezed density is divided by da/du, so that its area is {found.area:.3f}",
        f"Grey: {DRAWN:,} actions drawn from the policy. Left: σ = {SIGMA}. Right: a = 2 tanh(u), with u from a "
        f"Gaussian of mean {SHIFT} and σ = {WIDTH}.",
    )
    left.hist(found.plain, 80, density=True, color="#cccccc")
    x = np.linspace(-1.6, 1.6, 400)
    left.plot(x, norm.pdf(x, 0, SIGMA), color=COLOURS[0], label="covariance σ²")
    left.plot(x, norm.pdf(x, 0, np.sqrt(SIGMA)), "--", color=COLOURS[1], label="covariance σ (the notes)")
    titled(left, "A Gaussian policy", "action a", "density")
    legend(left, "upper right")
    right.hist(found.squashed, 80, range=(-HALF, HALF), density=True, color="#cccccc")
    right.plot(found.action, found.density, color=COLOURS[0], label="p(u) / (da/du)")
    right.plot(found.action, found.unscaled, "--", color=COLOURS[1], label="p(u) alone")
    titled(right, "Another, squeezed into [-2, 2]", "action a", "density")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    return (
        "log π(a|s) is the logarithm of a probability if actions are counted, and of a density if they are "
        f"continuous; a density may exceed 1, and so log π of the mean action is {found.narrow:+.2f} at σ = {NARROW}. "
        "Densities have units: they cannot be compared between action spaces of different scale. Whoever takes σ for "
        f"the variance loses {found.lost.mean():.3f} of log-likelihood per action with the three σ here. A squashed "
        f"action needs log da/du subtracted, or the area is not 1 but {_area_without(found):.3f}; and it needs a "
        "formula that does not take the logarithm of 1 - tanh²(u), which float64 rounds to 0 beyond u = 19."
    )


def _area_without(found: Found) -> float:
    """The area under p(u) as if it were a density of actions."""
    order = np.argsort(found.action)
    return float(np.trapezoid(found.unscaled[order], found.action[order]))


LAB = Lab(
    name="likelihood",
    title="The log-likelihood of an action",
    question=(
        "A stochastic policy draws actions, and learning needs log π(a|s) of those that were drawn. For a choice among "
        "n actions, a classifier's log-probability is all there is. A diagonal Gaussian policy gives a mean μ and a "
        "standard deviation σ for each component of a continuous action, and SAC squeezes that through tanh so that "
        "actions stay within bounds. What are their log-likelihoods, and what goes wrong if σ is taken for the "
        "variance or if the squeezing is forgotten?"
    ),
    prompt="A Gaussian policy of one component has σ = 0.1. What is log π(a|s) of its mean action?",
    choices=("about -0.9", "0: nothing is more probable", "about +1.4"),
    answer=lambda found: int(np.abs(np.array([-0.92, 0.0, 1.38]) - found.narrow).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the squashed action gets the density of the Gaussian, without the change of variables",
    wrong=lambda: compute(change_of_variables=False),
    notes=(
        "- Categorical policy (discrete action space) , similar to Categorical NN model",
        "- Diagonal Guassian policy (continuous action space)",
        "- where the cross variance is a diagonal matrix",
        r"- described by mean vector \(\mu\) and convariance matrix \(\sigma\)",
        r"computing log likelihoods of particular actions \(log \pi_\theta (a|s)\)",
    ),
    reading=(
        "relook lab log_derivative",
        "relook lab reparameterisation",
        "Haarnoja et al. 2018 (arXiv:1812.05905), Appendix C",
        "Sutton & Barto 2018, section 13.7",
    ),
    erratum=(
        "The notes describe the Gaussian by its mean μ and a covariance matrix σ. The matrix is diag(σ²): σ is the "
        "vector of standard deviations, and what a network puts out is usually log σ."
    ),
)
