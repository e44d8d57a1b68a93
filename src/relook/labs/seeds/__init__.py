"""Seeds and statistics: how much better an algorithm looks than itself."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import comb
from scipy.stats import nct, norm, t

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.statistics.aggregates import Scores
from relook.statistics.significance import mean_difference, p_value

SEEDS, SHOWN = 10, 3
"""Seeds that are run, and how many of the best are shown."""
FEW, MOST = 5, 20
"""Seeds of each of two methods; most of them where more are added."""
GROUPS = 40_000
LEVEL = 0.05
EFFECT = 1.0
"""A real difference, in standard deviations of a seed."""
CHECKED = 200


class Found(NamedTuple):
    every: NDArray[np.float64]
    """The mean of ten seeds, in standard deviations of a seed [G]."""
    best: NDArray[np.float64]
    """The mean of the best three of them [G]."""
    apart: NDArray[np.float64]
    """The difference of the means of five seeds each of the same algorithm [G]."""
    alarms: NDArray[np.float64]
    """How often p < 0.05 between the same algorithms, with 2, 3, … `MOST` seeds each."""
    peeking: NDArray[np.float64]
    """How often p < 0.05 with that many or with fewer: who stops there reports it."""
    power: NDArray[np.float64]
    """How often p < 0.05 where the difference is `EFFECT`."""
    differs: float
    """The largest difference of p from relook's own, five seeds each."""


def compute(normal: bool = False) -> Found:
    """If `normal`, differences are called significant beyond 1.96 standard errors, however few seeds there are."""
    rng = np.random.default_rng(8)
    ten = np.sort(rng.standard_normal((GROUPS, SEEDS)))
    first, second = rng.standard_normal((2, GROUPS, MOST))
    same, other = _p(first, second, normal), _p(first + EFFECT, second, normal)
    few = [(Scores([x[:FEW]]), Scores([y[:FEW]])) for x, y in zip(first[:CHECKED], second[:CHECKED], strict=True)]
    return Found(
        ten.mean(1),
        ten[:, -SHOWN:].mean(1),
        first[:, :FEW].mean(1) - second[:, :FEW].mean(1),
        (same < LEVEL).mean(0),
        (np.minimum.accumulate(same, 1) < LEVEL).mean(0),
        (other < LEVEL).mean(0),
        float(np.abs([p_value(mean_difference(x, y)) for x, y in few] - _welch(first, second)).max()),
    )


def _p(first: NDArray[np.float64], second: NDArray[np.float64], normal: bool) -> NDArray[np.float64]:
    """Student's two-sided p of no difference from the first 2, 3, … seeds of each [G, N - 1]."""
    n = np.arange(1, first.shape[1] + 1)
    means = [x.cumsum(1) / n for x in (first, second)]
    squares = (first**2 + second**2).cumsum(1) - n * (means[0] ** 2 + means[1] ** 2)
    error = np.sqrt(squares[:, 1:] / (2 * n[1:] - 2) * 2 / n[1:])
    score = -np.abs(means[0] - means[1])[:, 1:] / error
    p: NDArray[np.float64] = 2 * (norm.cdf(score) if normal else t.cdf(score, 2 * n[1:] - 2))
    return p


def _welch(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Welch's p from the first five seeds of each, from the textbook."""
    x, y = first[:CHECKED, :FEW], second[:CHECKED, :FEW]
    a, b = x.var(1, ddof=1) / FEW, y.var(1, ddof=1) / FEW
    freedom = (a + b) ** 2 / ((a**2 + b**2) / (FEW - 1))
    p: NDArray[np.float64] = 2 * t.sf(np.abs(x.mean(1) - y.mean(1)) / np.sqrt(a + b), freedom)
    return p


def best_of(seeds: int, shown: int) -> float:
    """The expected mean of the best of so many standard normal numbers, by integrating order statistics."""
    total = 0.0
    for above in range(shown):
        ways = seeds * comb(seeds - 1, above)
        total += (
            ways
            * quad(
                lambda x, above=above: x * norm.pdf(x) * norm.sf(x) ** above * norm.cdf(x) ** (seeds - 1 - above), -9, 9
            )[0]
        )
    return total / shown


def exact_power(n: int) -> float:
    """How often Student's test with n seeds each finds a difference of `EFFECT`, by the noncentral t distribution."""
    limit, shift = t.ppf(1 - LEVEL / 2, 2 * n - 2), EFFECT * np.sqrt(n / 2)
    return float(nct.sf(limit, 2 * n - 2, shift) + nct.cdf(-limit, 2 * n - 2, shift))


def _sharp(share: float) -> float:
    """Four standard errors of a share of `GROUPS`."""
    return 4 * float(np.sqrt(share * (1 - share) / GROUPS))


def claims(found: Found) -> list[Claim]:
    exact = best_of(SEEDS, SHOWN)
    differ = 2 * float(norm.sf(np.sqrt(FEW / 2)))
    at = FEW - 2  # the first entry is that of two seeds
    four = "four standard errors of 40,000"
    return [
        Claim(
            "how much the mean of the best 3 of 10 seeds is above the mean of all, in standard deviations",
            float((found.best - found.every).mean()),
            exact,
            4 * float((found.best - found.every).std()) / np.sqrt(GROUPS),
            f"the three largest order statistics of ten normal numbers, integrated; {four}",
        ),
        Claim(
            "how often the means of five seeds of the same algorithm differ by more than one standard deviation",
            float((np.abs(found.apart) > 1).mean()),
            differ,
            _sharp(differ),
            f"the difference is normal with the variance 2/5; {four}",
        ),
        Claim(
            "how often p < 0.05 between five seeds and five of the same algorithm",
            float(found.alarms[at]),
            LEVEL,
            _sharp(LEVEL),
            f"what p means, as long as seeds are normal; {four}",
        ),
        Claim(
            "how often p < 0.05 where one is better by a whole standard deviation, five seeds each",
            float(found.power[at]),
            exact_power(FEW),
            _sharp(exact_power(FEW)),
            f"the noncentral t distribution; {four}",
        ),
        Claim(
            "how often p < 0.05 at some time while seeds are added, from two to twenty",
            float(found.peeking[-1]),
            0.2,
            0.0,
            "each of nineteen looks is another chance; no closed form, but it is far above 0.05",
            "at least",
        ),
        Claim(
            "the largest difference of relook's p value from Welch's in the textbook",
            found.differs,
            0.0,
            1e-12,
            "the same formula written twice; rounding",
        ),
    ]


def draw(found: Found) -> Figure:
    gain = float(found.best.mean())
    figure, (left, right) = panels(
        2,
        f"The best {SHOWN} of {SEEDS} seeds look {gain:.2f} standard deviations better than the algorithm is",
        f"Normal seeds, {GROUPS:,} repetitions. Right: Student's test, p < {LEVEL}; circles: there is a "
        "difference of one standard deviation, squares and triangles: there is none.",
    )
    bins = np.linspace(-1.5, 2.5, 81).tolist()
    left.hist(found.every, bins, density=True, color=COLOURS[0], alpha=0.7, label="mean of all 10")
    left.hist(
        found.best, bins, density=True, histtype="step", color=COLOURS[1], linewidth=2, label="mean of the best 3"
    )
    left.axvline(0, color=GREY, linestyle=":", linewidth=1)
    titled(left, "The same algorithm, ten seeds", "score, in standard deviations of a seed", "density")
    legend(left, "upper left")
    n = np.arange(2, MOST + 1)
    right.plot(n, found.power, "o-", color=COLOURS[2], markersize=4, label="real difference, n seeds")
    right.plot(n, found.peeking, "^--", color=COLOURS[1], markersize=4, label="no difference, stop when p < 0.05")
    right.plot(n, found.alarms, "s:", color=COLOURS[0], markersize=4, label="no difference, n seeds")
    right.set_xticks([2, 5, 10, 15, 20])
    right.set_ylim(0, 1)
    titled(right, "How often a difference is announced", "seeds n of each method", "share of comparisons")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    at = FEW - 2
    enough = 2 + int(np.argmax(found.power >= 0.8))
    return (
        f"Nothing was improved, and yet the best {SHOWN} of {SEEDS} seeds are {found.best.mean():.2f} standard "
        "deviations better than the mean: who picks seeds for one method and not for the other has a result at once. "
        f"Means of {FEW} seeds differ by more than a standard deviation in {(np.abs(found.apart) > 1).mean():.1%} of "
        f"all comparisons of an algorithm with itself. A test with p < {LEVEL} keeps its word "
        f"({found.alarms[at]:.1%} false alarms) if the number of seeds is fixed before; looking after each seed and "
        f"stopping when it suits gives {found.peeking[-1]:.0%}. And few seeds see little: a real difference of one "
        f"standard deviation is found in {found.power[at]:.0%} of comparisons with {FEW} seeds each, and in 80 % from "
        f"{enough} on. Real returns are not normal, which is one reason for the interquartile mean and the bootstrap."
    )


LAB = Lab(
    name="seeds",
    title="How much better an algorithm looks than itself",
    question=(
        "Two groups run the same algorithm on the same task, each with five seeds, and report the mean return. Nothing "
        "but the seed is different. How far apart are their means? And what if one of them runs ten seeds and shows "
        "the best three, or goes on adding seeds until p < 0.05?"
    ),
    prompt="How often do the two means of five seeds differ by more than the standard deviation of a single seed?",
    choices=("once in a thousand comparisons", "once in fifty", "once in nine"),
    answer=lambda found: int(
        np.abs(np.log(np.array([1 / 1000, 1 / 50, 1 / 9]) / (np.abs(found.apart) > 1).mean())).argmin()
    ),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="1.96 standard errors are called significant, however few seeds they come from",
    wrong=lambda: compute(normal=True),
    notes=("### Doing Rigorous Research in RL", "- Measure everything, replay of agent's performance now and then"),
    reading=(
        "relook lab expectation",
        "docs/comparing.md",
        "Henderson et al. 2018 (arXiv:1709.06560)",
        "Colas, Sigaud & Oudeyer 2018 (arXiv:1806.08295)",
        "Agarwal et al. 2021 (arXiv:2108.13264)",
    ),
)
