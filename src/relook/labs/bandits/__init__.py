"""What exploring costs: the regret of ε-greedy, UCB1 and Thompson sampling on ten arms that are almost alike."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, STYLES, legend, panels, titled
from relook.tabular.bandits import Played, epsilon_greedy, thompson, ucb

MEANS = np.array([0.6] + 9 * [0.5])
"""How probable a reward of 1 is, arm by arm."""
GAP = MEANS.max() - MEANS
STEPS, COPIES = 20_000, 50
EPSILON = 0.1
TAIL = 5_000
"""Steps at the end over which a slope is measured."""
EARLIER = {"ε-greedy": 326.0, "UCB1": 876.0, "Thompson": 181.0}
"""Regret after as many steps in an earlier experiment of ours."""
METHODS: dict[str, Callable[..., Played]] = {
    "ε-greedy": partial(epsilon_greedy, epsilon=EPSILON),
    "UCB1": ucb,
    "UCB, c = ½": partial(ucb, c=0.5),
    "Thompson": thompson,
}
SHOWN = np.unique(np.geomspace(10, STEPS, 200).astype(int))
"""Steps at which regret is kept."""


class Regret(NamedTuple):
    """One method's regret."""

    regret: NDArray[np.float64]
    """Σ (μ* - μ_a) up to each of `SHOWN` [n, B]."""
    tail: NDArray[np.float64]
    """The same over the last `TAIL` steps, per step [B]."""
    missed: NDArray[np.float64]
    """T μ* less the rewards that came [B]."""


Found = dict[str, Regret]


def compute(best: float | None = None) -> Found:
    """`best`: what an arm is compared with; the mean of the best arm if not given."""
    found = {}
    for seed, (name, method) in enumerate(METHODS.items()):
        arms, rewards = method(_draw, (COPIES, len(MEANS)), STEPS, np.random.default_rng(seed))
        against = float(MEANS.max()) if best is None else best
        regret = (against - MEANS)[arms].cumsum(0)
        tail = (regret[-1] - regret[-1 - TAIL]) / TAIL
        found[name] = Regret(regret[SHOWN - 1], tail, STEPS * against - rewards.sum(0))
    return found


def _draw(rng: np.random.Generator, arm: NDArray[np.int64]) -> NDArray[np.float64]:
    return (rng.random(len(arm)) < MEANS[arm]).astype(float)


def claims(found: Found) -> list[Claim]:
    last = {name: of.regret[-1] for name, of in found.items()}
    greedy = found["ε-greedy"]
    apart = np.concatenate([of.missed - of.regret[-1] for of in found.values()])
    again = [
        Claim(
            f"the mean regret of {name} after 20,000 steps",
            float(last[name].mean()),
            earlier,
            4 * float(np.sqrt(2 / COPIES) * last[name].std()),
            "as in an earlier experiment; four standard errors of a difference, if that had 50 copies, too",
        )
        for name, earlier in EARLIER.items()
    ]
    return [
        *again,
        Claim(
            "ε-greedy's regret per step over the last 5,000 steps",
            float(greedy.tail.mean()),
            EPSILON * float(GAP.mean()),
            4 * float(greedy.tail.std()) / np.sqrt(COPIES),
            "when it knows the best arm it still takes any arm with probability ε: ε times the mean gap, for ever; "
            "four standard errors",
        ),
        Claim(
            "regret from rewards that came, less regret from means, over all methods",
            float(apart.mean()),
            0.0,
            4 * float(apart.std()) / np.sqrt(len(apart)),
            "E[r] is the arm's mean; four standard errors of 200 copies",
        ),
        Claim(
            "in how many of 50 pairs of copies UCB1 lost more than Thompson sampling and than UCB with c = ½",
            float(((last["UCB1"] > last["Thompson"]) & (last["UCB1"] > last["UCB, c = ½"])).sum()),
            float(COPIES),
            0.0,
            "√2 is safe for all rewards in [0, 1] and at every T at once, which is more than these arms need",
        ),
    ]


def draw(found: Found) -> Figure:
    names = list(METHODS)
    ends = ", ".join(f"{name} {found[name].regret[-1].mean():.0f}" for name in ("UCB1", "ε-greedy", "Thompson"))
    figure, (left, right) = panels(
        2,
        f"Regret after {STEPS:,} steps: {ends}; a bound that is safe in theory explores for too long here",
        f"Ten arms, which pay 1 with probability 0.6 (one) or 0.5 (nine); mean of {COPIES} copies. Upright marks: 25 % "
        "to 75 % of the copies.",
    )
    for i, name in enumerate(names):
        regret = found[name].regret
        left.plot(SHOWN, regret.mean(1), STYLES[i], color=COLOURS[i], linewidth=2, label=name)
        right.semilogx(SHOWN, regret.mean(1), STYLES[i], color=COLOURS[i], linewidth=2)
        low, high = np.quantile(regret[-1], [0.25, 0.75])
        left.plot([STEPS * (1.02 + 0.02 * i)] * 2, [low, high], color=COLOURS[i], linewidth=3)
    slope = EPSILON * GAP.mean()
    left.plot([0, STEPS], [0, slope * STEPS], color=GREY, linewidth=1, label=f"{slope:.3f} per step")
    titled(left, "What grows with T is straight here", "steps", "regret")
    titled(right, "The same; what grows with log T is straight here in the end", "steps", "regret")
    legend(left, "upper left")
    return figure


def lesson(found: Found) -> str:
    last = {name: of.regret[-1].mean() for name, of in found.items()}
    return (
        f"ε-greedy goes on exploring at the same rate: its regret, {last['ε-greedy']:.0f}, still grows by "
        f"{found['ε-greedy'].tail.mean():.4f} per step, and always will. UCB1's and Thompson's grow with log T in the "
        "end, and none that works on every bandit does better. But "
        f"after {STEPS:,} steps UCB1 has lost {last['UCB1']:.0f}, more than twice as much as ε-greedy: its width "
        "√(2 ln t / n) holds for any rewards in [0, 1], and arms that differ by 0.1 are told apart late. With c = ½ in "
        f"place of √2 it is {last['UCB, c = ½']:.0f}, but then the proof is lost. Thompson sampling, which knows that "
        f"rewards are 0 or 1, loses {last['Thompson']:.0f}. So the order depends on how long one plays; what a theorem "
        "promises for T → ∞ need not be there at the T that one can afford."
    )


LAB = Lab(
    name="bandits",
    title="What exploring costs",
    question=(
        "Ten arms: one pays 1 with probability 0.6, the others with 0.5. The regret of T pulls is what was lost "
        "against always pulling the best: Σ (μ* - μ_a). ε-greedy takes any arm with probability 0.1, UCB1 the arm with "
        "the largest mean + √(2 ln t / n), Thompson sampling the best of means drawn from what is still credible."
    ),
    prompt="After 20,000 pulls, which of the three has lost most?",
    choices=("ε-greedy, whose regret is linear in T", "UCB1, whose regret is logarithmic in T", "Thompson sampling"),
    answer=lambda found: int(np.argmax([found[name].regret[-1].mean() for name in EARLIER])),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="regret is counted against a reward of 1, which no arm has on average",
    wrong=lambda: compute(best=1.0),
    notes=(
        "- Classical RL algorithms",
        "- random variables, Bayes theorem, chain rule prob, expected value, standard dev, importance sampling",
    ),
    reading=(
        "relook lab expectation",
        "Sutton & Barto 2018, chapter 2",
        "Auer, Cesa-Bianchi & Fischer 2002, Theorem 1",
        "Agrawal & Goyal 2012 (arXiv:1111.1797)",
    ),
    quick=False,
)
