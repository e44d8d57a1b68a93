"""Expected value, standard deviation, and what a mean of few samples is worth."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import t

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled

SIZES = 2 ** np.arange(2, 13)
"""Numbers of samples n that a mean is taken of."""
MEANS = 2_000
"""Means of each size."""
SEEDS = (3, 5, 10, 20, 40)
INTERVALS = 40_000
"""Intervals for each number of seeds: their coverage has a standard error of 0.002 at most."""
LEVEL = 0.95


class Found(NamedTuple):
    error: NDArray[np.float64]
    """Root mean square of (mean - expectation) for each of `SIZES`."""
    normal: NDArray[np.float64]
    """How often mean ± 1.96 s / √n holds the expectation, for each of `SEEDS`."""
    student: NDArray[np.float64]
    """The same with Student's t in place of 1.96."""

    @property
    def slope(self) -> float:
        """Of log error over log n."""
        return float(np.polyfit(np.log(SIZES), np.log(self.error), 1)[0])


def compute(ddof: int = 1) -> Found:
    """Means of exponential samples, whose expectation is 1, and intervals of normal ones, whose expectation is 0."""
    rng = np.random.default_rng(1)
    error = [float(np.sqrt(np.square(rng.exponential(size=(MEANS, n)).mean(1) - 1).mean())) for n in SIZES]
    normal, student = [], []
    for n in SEEDS:
        sample = rng.standard_normal((INTERVALS, n))
        off = np.abs(sample.mean(1)) / (sample.std(1, ddof=ddof) / np.sqrt(n))
        normal.append(float((off <= 1.959964).mean()))
        student.append(float((off <= t.ppf((1 + LEVEL) / 2, n - 1)).mean()))
    return Found(np.array(error), np.array(normal), np.array(student))


def claims(found: Found) -> list[Claim]:
    five = SEEDS.index(5)
    exact = float(t.cdf(1.959964, 4) - t.cdf(-1.959964, 4))
    sharp = 4 * np.sqrt(0.11 / INTERVALS)
    return [
        Claim(
            "the slope of the error of a mean over n, log by log",
            found.slope,
            -0.5,
            0.03,
            "the variance of a mean of n is σ²/n; eleven points with an error of 1.6 % each",
        ),
        Claim(
            "how often mean ± 1.96 s/√5 holds the truth",
            found.normal[five],
            exact,
            sharp,
            "(mean - μ) / (s/√n) is Student's t with 4 degrees of freedom; four standard errors of 40,000 intervals",
        ),
        Claim(
            "the same with t in place of 1.96",
            found.student[five],
            LEVEL,
            sharp,
            "which is what t is for; four standard errors",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        "A mean gets better with √n only, and of five seeds it is less certain than ±1.96 s/√n says",
        f"Left: {MEANS:,} means of each size, of samples with expectation 1 and standard deviation 1. Right: "
        f"{INTERVALS:,} intervals of each kind, of normal samples.",
    )
    left.loglog(SIZES, found.error, "o-", color=COLOURS[0], label="measured")
    left.loglog(SIZES, SIZES**-0.5, "--", color=GREY, label="σ / √n")
    titled(left, "How far a mean is off", "samples n", "root mean square error")
    legend(left)
    right.plot(SEEDS, found.student, "s-", color=COLOURS[2], label="mean ± t s/√n")
    right.plot(SEEDS, found.normal, "o--", color=COLOURS[1], label="mean ± 1.96 s/√n")
    right.axhline(LEVEL, color=GREY, linewidth=1, linestyle=":")
    right.set_xscale("log")
    right.set_xticks(SEEDS, [str(n) for n in SEEDS])
    right.minorticks_off()
    titled(right, "How often an interval holds the truth", "seeds n", "share of intervals")
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    five = SEEDS.index(5)
    return (
        f"Four times the samples halve the error: the slope is {found.slope:.2f}. An interval of five seeds with the "
        f"factor 1.96 holds the truth in {found.normal[five]:.1%} of all cases and not in 95 %, because s is uncertain "
        f"itself; Student's t makes up for it ({found.student[five]:.1%}). What relook prints about seeds uses "
        "intervals that know how few there are."
    )


LAB = Lab(
    name="expectation",
    title="What a mean of few samples is worth",
    question=(
        "The return of an agent is a random variable: another seed, another number. Its expected value is what "
        "learning is about, and the mean of n seeds estimates it. How fast does the estimate get better with n, and "
        "how often does the usual interval, mean ± 1.96 s/√n with the standard deviation s of the sample, hold the "
        "truth if n = 5?"
    ),
    prompt="Of 100 intervals mean ± 1.96 s/√5, how many hold the expected value?",
    choices=("about 95", "about 88", "about 75"),
    answer=lambda found: int(np.abs(np.array([0.95, 0.88, 0.75]) - found.normal[SEEDS.index(5)]).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the standard deviation divides by n and not by n - 1",
    wrong=lambda: compute(ddof=0),
    notes=("- random variables, Bayes theorem, chain rule prob, expected value, standard dev, importance sampling",),
    reading=("relook lab seeds", "docs/comparing.md", "Agarwal et al. 2021 (arXiv:2108.13264), section 3"),
)
