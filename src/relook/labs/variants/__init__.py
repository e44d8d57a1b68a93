"""Variants of an environment: tune on some, report on others, and see how much too good the first number is."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv, is_valid
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular import MDP, Array, from_environment, greedy, optimal

SIDE, HOLES, GAMMA = 4, 3, 0.99
SIZES = (1, 2, 5, 10, 20, 50)
"""Maps n that are tuned on."""
DRAWS = 2_000
"""How often n maps are drawn, with replacement."""
FRESH = 10
"""Maps that are held out and drawn, too."""
FIVE = SIZES.index(5)


class Found(NamedTuple):
    score: NDArray[np.float64]
    """J of each policy on each map, exactly [π, map]; policy i is the best one for map i."""
    best: NDArray[np.float64]
    """V*(s₀) of each map, by relook's policy iteration."""
    tuned: NDArray[np.float64]
    """The score of the policy that was chosen on the maps that it was chosen by [n, D]."""
    held_out: NDArray[np.float64]
    """Its score on fresh maps [n, D]."""
    true: NDArray[np.float64]
    """Its mean score on all maps, exactly [n, D]."""
    pairs: tuple[float, float]
    """The expectations of `tuned` and `true` for two maps, from all pairs there are."""


def compute(leak: bool = False) -> Found:
    """If `leak`, the maps that are held out are some of those that were tuned on."""
    rng, lakes = np.random.default_rng(7), [from_environment(FrozenLakeEnv(desc=desc)) for desc in maps()]
    solved = [optimal(lake, GAMMA) for lake in lakes]
    start = int(lakes[0].start.argmax())
    score = _scores(lakes, np.array([greedy(q) for _, q in solved]), start)
    tuned, held_out, true = [], [], []
    for n in SIZES:
        drawn = rng.integers(len(lakes), size=(DRAWS, n))
        means = np.array([score[:, some].mean(1) for some in drawn])
        chosen = means.argmax(1)
        fresh = rng.integers(len(lakes), size=(DRAWS, FRESH))
        if leak:
            fresh = np.take_along_axis(drawn, fresh % n, 1)
        tuned.append(means.max(1))
        held_out.append(score[chosen[:, None], fresh].mean(1))
        true.append(score[chosen].mean(1))
    best = np.array([value[start] for value, _ in solved])
    return Found(score, best, np.array(tuned), np.array(held_out), np.array(true), _pairs(score))


def maps() -> Iterator[list[str]]:
    """All maps with three holes on which the goal can be reached."""
    for holes in itertools.combinations(range(1, SIDE**2 - 1), HOLES):
        fields = np.full(SIDE**2, "F")
        fields[0], fields[-1], fields[list(holes)] = "S", "G", "H"
        rows = fields.reshape(SIDE, SIDE)
        if is_valid(rows.tolist(), SIDE):
            yield ["".join(row) for row in rows]


def _scores(lakes: list[MDP], policies: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """V^π(s₀) of every policy on every map, from V = r + γ P V."""
    transition, reward = (np.array([getattr(lake, name) for lake in lakes]) for name in ("transition", "mean_reward"))
    found = []
    for policy in policies:
        p, r = np.einsum("sa,msat->mst", policy, transition), (policy * reward).sum(2)
        found.append(np.linalg.solve(np.eye(p.shape[1]) - GAMMA * p, r[..., None])[:, start, 0])
    return np.array(found)


def _pairs(score: NDArray[np.float64]) -> tuple[float, float]:
    tuned, true, mean = [], [], score.mean(1)
    for first in score.T:
        both = (score + first[:, None]) / 2
        tuned.append(both.max(0).mean())
        true.append(mean[both.argmax(0)].mean())
    return float(np.mean(tuned)), float(np.mean(true))


def claims(found: Found) -> list[Claim]:
    limit = found.score.mean(1).max()
    tuned, true = found.tuned.mean(1), found.true.mean(1)
    four = f"four standard errors of {DRAWS:,} draws"

    def error(values: Array) -> float:
        return 4 * float(values.std()) / float(np.sqrt(DRAWS))

    return [
        Claim(
            "the largest difference of a policy's score on its own map from V*",
            float(np.abs(np.diag(found.score) - found.best).max()),
            0.0,
            1e-9,
            "it was made for that map; V from one equation for all maps, V* by policy iteration, rounding",
        ),
        Claim(
            "the score on two maps that a policy was chosen by",
            float(tuned[1]),
            found.pairs[0],
            error(found.tuned[1]),
            f"all pairs of maps, listed; {four}",
        ),
        Claim(
            "its score on all maps",
            float(true[1]),
            found.pairs[1],
            error(found.true[1]),
            f"all pairs of maps, listed; {four}",
        ),
        Claim(
            "the score on ten fresh maps less that on all maps, chosen by five maps",
            float((found.held_out - found.true)[FIVE].mean()),
            0.0,
            error((found.held_out - found.true)[FIVE]),
            f"fresh maps know nothing of the choice, so that their mean has no bias; {four}",
        ),
        Claim(
            "for how many of six sizes the tuned score is above, and the true one below the best possible",
            float(((tuned >= limit) & (true <= limit)).sum()),
            float(len(SIZES)),
            0.0,
            "E[max] ≥ max E, and no choice is better than the best one",
        ),
    ]


def draw(found: Found) -> Figure:
    tuned, held_out, true = (values.mean(1) for values in (found.tuned, found.held_out, found.true))
    limit = found.score.mean(1).max()
    figure, (left, right) = panels(
        2,
        f"Chosen by five maps, a policy scores {tuned[FIVE]:.2f} on them and {true[FIVE]:.2f} on all maps",
        f"Frozen lakes of {SIDE} × {SIDE} fields, slippery, with {HOLES} holes: {len(found.best)} maps; all scores are "
        f"exact, {DRAWS:,} draws. The policies know where they are and not where the holes are.",
    )
    left.semilogx(SIZES, tuned, "s--", color=COLOURS[1], label="on the n maps it was chosen by")
    left.semilogx(SIZES, held_out, "o-", color=COLOURS[0], label=f"on {FRESH} fresh maps")
    left.axhline(limit, color=GREY, linewidth=1, linestyle=":")
    left.annotate("best for all maps", (SIZES[0], limit), fontsize=8, color=GREY, va="bottom")
    left.set_xticks(SIZES, [str(n) for n in SIZES])
    left.minorticks_off()
    left.set_ylim(0, None)
    titled(left, "The more maps, the nearer are both", "maps n that are tuned on", "score, mean")
    legend(left)
    right.plot(found.tuned[FIVE], found.true[FIVE], ".", color=COLOURS[0], markersize=3, alpha=0.4)
    right.plot([0, 0.6], [0, 0.6], "--", color=GREY, linewidth=1)
    right.annotate("as good as it looks", (0.2, 0.205), fontsize=8, color=GREY, ha="right", va="bottom")
    right.set_xlim(0, 0.65)
    right.set_ylim(0, 0.25)
    titled(right, "Each draw of five maps", "score on these five", "score on all maps")
    return figure


def lesson(found: Found) -> str:
    tuned, true = found.tuned.mean(1), found.true.mean(1)
    return (
        f"The best policy for one map scores {tuned[0]:.2f} on it and {true[0]:.2f} on all {len(found.best)}: it knows "
        f"by heart where the holes were. Chosen by five maps it seems to score {tuned[FIVE]:.2f} and scores "
        f"{true[FIVE]:.2f}; by fifty, {tuned[-1]:.2f} and {true[-1]:.2f}, where {found.score.mean(1).max():.2f} is the "
        "best that any of these policies can do. The score that something was chosen by is always too good, since the "
        "mean of a maximum is above the maximum of the means; the same holds of hyper-parameters and of seeds. More "
        "variants help twice: what is chosen gets better, and what is reported gets truer. Fresh variants tell the "
        "truth, as long as nothing is chosen by them; after a look and a change they are no longer fresh."
    )


LAB = Lab(
    name="variants",
    title="Tune on some variants, report on others",
    question=(
        "A slippery frozen lake of 4 × 4 fields, start and goal in opposite corners, three holes somewhere: 334 maps. "
        "A policy sees where it is, and not where the holes are. There is one policy for each map that is best on it. "
        "Draw n maps, take that of all these policies which scores best on them, and report. How good is it on other "
        "maps?"
    ),
    prompt="The policy that is best on five maps scores 0.32 there. What does it score on all maps, on average?",
    choices=("about 0.32: it was the best of 334", "about 0.25", "about 0.14"),
    answer=lambda found: int(np.abs(np.array([0.32, 0.25, 0.14]) - found.true[FIVE].mean()).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the maps that are held out are some of those that were tuned on",
    wrong=lambda: compute(leak=True),
    notes=("- Don't overfit", "### Doing Rigorous Research in RL"),
    reading=(
        "relook lab seeds",
        "relook lab overestimation",
        "Cobbe et al. 2019 (arXiv:1812.02341)",
        "Whiteson et al. 2011, Protecting against evaluation overfitting in empirical reinforcement learning",
    ),
)
