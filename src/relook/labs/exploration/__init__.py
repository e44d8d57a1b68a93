"""Exploration: a treasure that dice do not find, and a television that curiosity does not leave."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, legend, panels, titled
from relook.tabular.bandits import best

SEEDS, EPSILON = 10, 0.1
SIZES = np.array([12, 10, 8, 6, 4, 2])
"""Sizes N of the Deep Sea: N steps, each left or right, and a treasure for N times right."""
EPISODES, BONUS, COST = 2_000, 0.1, 0.01
SIDE, TV, IMAGES = 5, 0, 16
"""A room of 5 × 5 places; in the corner that is place 0, a television shows one of 16 images by chance."""
STEPS, WINDOW, LATE = 12_000, 500, 3_000
ALPHA, GAMMA = 0.5, 0.9
RATES = np.array([[0.01], [0.05]])
"""Of the slow and the fast mean of the error in each place."""
AGENTS = ("prediction error", "gain of one image", "fall of the mean error", "count")


class Found(NamedTuple):
    solved: NDArray[np.int64]
    """How many seeds' greedy policies end at the treasure [ε-greedy or counts, N]."""
    share: NDArray[np.float64]
    """Share of time in front of the television [agent, window, seed]."""
    late: NDArray[np.float64]
    """The same of the last steps [agent, seed]."""
    always: float
    """That of an ε-greedy policy that always goes there the shortest way, exact."""


def compute(only_tried: bool = False) -> Found:
    """If `only_tried`, an action that was never tried has no bonus, as where bonuses are paid for what was done."""
    rng = np.random.default_rng(1)
    at = _room(rng)
    share = at.reshape(STEPS // WINDOW, WINDOW, len(AGENTS), SEEDS).mean(1).transpose(1, 0, 2)
    return Found(_deep_sea(rng, only_tried), share, at[-LATE:].mean(0), _always())


def _deep_sea(rng: np.random.Generator, only_tried: bool) -> NDArray[np.int64]:
    """Q-learning (α = 1, γ = 1) of all sizes, agents and seeds at once: rows by size, so that the longest go on."""
    size = np.repeat(SIZES, 2 * SEEDS)
    counts = np.tile(np.repeat([False, True], SEEDS), len(SIZES))
    deepest, rows = int(SIZES.max()), len(size)
    right = rng.integers(2, size=(rows, deepest, deepest))
    q, tried = np.zeros((2, rows, deepest + 1, deepest + 1, 2))
    going = [np.arange((size > t).sum()) for t in range(deepest)]

    def worth(row: NDArray[np.int64], t: int, column: NDArray[np.int64]) -> NDArray[np.float64]:
        """Q + β / √(n + 1) for those that count."""
        n = tried[row, t, column]
        bonus = np.where(only_tried & (n == 0), 0.0, BONUS / np.sqrt(n + 1))
        seems: NDArray[np.float64] = q[row, t, column] + np.where(counts[row, None], bonus, 0.0)
        return seems

    for _ in range(EPISODES):
        column = np.zeros(rows, dtype=int)
        for t, row in enumerate(going):
            at = column[row]
            any_action = rng.random(len(row)) < np.where(counts[row], 0.0, EPSILON)
            action = np.where(any_action, rng.integers(2, size=len(row)), best(worth(row, t, at), rng))
            goes = action == right[row, t, at]
            to = np.where(goes, at + 1, np.maximum(at - 1, 0))
            last = t == size[row] - 1
            ahead = np.where(last, to == size[row], worth(row, t + 1, to).max(1))
            tried[row, t, at, action] += 1
            q[row, t, at, action] = ahead - COST / size[row] * goes
            column[row] = to
    column = np.zeros(rows, dtype=int)
    for t, row in enumerate(going):
        at = column[row]
        goes = q[row, t, at].argmax(1) == right[row, t, at]
        column[row] = np.where(goes, at + 1, np.maximum(at - 1, 0))
    found: NDArray[np.int64] = (column == size).reshape(len(SIZES), 2, SEEDS).sum(2).T
    return found


def _leads() -> NDArray[np.int64]:
    """Where each of four moves leads from each place [place, move]; walls keep one where one is."""
    y, x = np.divmod(np.arange(SIDE**2)[:, None], SIDE)
    below, right = np.array([[0, 0, 1, -1], [1, -1, 0, 0]])
    to: NDArray[np.int64] = np.clip(y + below, 0, SIDE - 1) * SIDE + np.clip(x + right, 0, SIDE - 1)
    return to


def _room(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether agents that learn from an inner reward alone are at the television [step, agent, seed]."""
    leads, rows = _leads(), len(AGENTS) * SEEDS
    row, agent = np.arange(rows), np.repeat(np.arange(len(AGENTS)), SEEDS)
    q = np.zeros((rows, SIDE**2, 4))
    seen = np.ones((rows, SIDE**2, IMAGES))  # of each place: Laplace's rule, p(image) = (n + 1) / (Σ n + 16)
    total = np.full((rows, SIDE**2), float(IMAGES))
    mean_error = np.full((2, rows, SIDE**2), np.log(IMAGES))
    place = np.full(rows, SIDE**2 // 2)
    found = np.zeros((STEPS, rows), dtype=bool)
    for step in range(STEPS):
        move = np.where(rng.random(rows) < EPSILON, rng.integers(4, size=rows), best(q[row, place], rng))
        to = leads[place, move]
        found[step] = to == TV
        image = np.where(found[step], rng.integers(IMAGES, size=rows), 0)
        n, of = seen[row, to, image], total[row, to]
        seen[row, to, image], total[row, to] = n + 1, of + 1
        error = np.log(of / n)
        mean_error[:, row, to] += RATES * (error - mean_error[:, row, to])
        slow, fast = mean_error[:, row, to]
        gain = error - np.log((of + 1) / (n + 1))
        reward = np.choose(agent, [error, gain, slow - fast, 1 / np.sqrt(of + 1 - IMAGES)])
        q[row, place, move] += ALPHA * (reward + GAMMA * q[row, to].max(1) - q[row, place, move])
        place = to
    return found.reshape(STEPS, len(AGENTS), SEEDS)


def _always() -> float:
    """In the long run: the share p with p = p P, where all shortest ways are alike."""
    leads = _leads()
    far = np.add(*np.divmod(np.arange(SIDE**2), SIDE))
    nearest = far[leads] == far[leads].min(1, keepdims=True)
    policy = EPSILON / 4 + (1 - EPSILON) * nearest / nearest.sum(1, keepdims=True)
    chain = np.einsum("sa,sat->st", policy, np.eye(SIDE**2)[leads])
    # p (P - 1) = 0 and Σ p = 1
    rows = np.vstack([chain.T - np.eye(SIDE**2), np.ones(SIDE**2)])
    return float(np.linalg.lstsq(rows, np.eye(SIDE**2 + 1)[-1], rcond=None)[0][TV])


def claims(found: Found) -> list[Claim]:
    mean = dict(zip(AGENTS, found.late.mean(1).tolist(), strict=True))
    error = dict(zip(AGENTS, (4 * found.late.std(1, ddof=1) / SEEDS**0.5).tolist(), strict=True))
    return [
        Claim(
            "the fewest of ten seeds that find the treasure by counts, N = 2 to 12",
            float(found.solved[1].min()),
            SEEDS,
            0,
            "what was tried less is tried next, so that all of about N² actions are tried in 2,000 episodes",
        ),
        Claim(
            "the most of ten seeds that find it ε-greedily, N = 8, 10, 12",
            float(found.solved[0, SIZES >= 8].max()),
            0,
            0,
            "right costs, so that left is greedy soon, and N times right by chance has probability (ε/2)ᴺ",
        ),
        Claim(
            "the late share of time at the television, for the prediction error",
            mean["prediction error"],
            0.9,
            0,
            "its error is log 16 for ever, and 0 in the end everywhere else",
            "at least",
        ),
        Claim(
            "the same, which is not above that of always going there",
            mean["prediction error"],
            found.always,
            error["prediction error"],
            "the stationary distribution of the ε-greedy policy, exact; four standard errors of ten seeds",
            "at most",
        ),
        Claim(
            "the same for counts",
            mean["count"],
            1 / SIDE**2,
            error["count"],
            "all places alike; four standard errors of ten seeds",
        ),
        Claim(
            "the same for the fall of the mean error",
            mean["fall of the mean error"],
            0.05,
            0,
            "an error that stays as large as it is does not fall",
            "at most",
        ),
        Claim(
            "the same for the gain of one image",
            mean["gain of one image"],
            0.5,
            0,
            "after n images it is about 15/n there and 15/n² elsewhere",
            "at least",
        ),
    ]


def draw(found: Found) -> Figure:
    figure, (left, right) = panels(
        2,
        f"Dice do not find the treasure; curiosity that loves errors spends {found.late[0].mean():.0%} of its time "
        "watching noise",
        f"Left: {EPISODES:,} episodes of Q-learning, ε = {EPSILON}. Right: means of {SEEDS} seeds, {WINDOW} steps "
        "each; no reward but the inner one.",
    )
    left.plot(SIZES, found.solved[1], "s-", color=COLOURS[0], label="bonus β / √(n + 1) for what was tried n times")
    left.plot(SIZES, found.solved[0], "o--", color=COLOURS[1], label="ε-greedy")
    left.set_xticks(SIZES)
    left.set_ylim(-0.5, 14)
    left.set_yticks(range(0, 11, 2))
    titled(left, "Deep Sea: who finds the treasure", "N: steps to the right, one after another", "seeds of ten")
    legend(left, "upper left")
    step = np.arange(1, STEPS // WINDOW + 1) * WINDOW
    looks = (("-", COLOURS[1]), ("-.", COLOURS[3]), (":", COLOURS[2]), ("--", COLOURS[0]))
    for name, share, (style, colour) in zip(AGENTS, found.share.mean(2), looks, strict=True):
        right.plot(step, share, linestyle=style, color=colour, label=name)
    right.axhline(1 / SIDE**2, color=GREY, linewidth=1, linestyle=(0, (1, 4)))
    right.set_ylim(0, 1.5)
    right.set_yticks(np.linspace(0, 1, 6))
    titled(right, "Noisy TV: who stays in front of it", "steps", "share of time")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    error, gain, fall, count = found.late.mean(1)
    return (
        "An ε-greedy learner finds what a few chance actions in a row lead to. Eight in a row it does not: "
        f"{found.solved[0, SIZES >= 8].max():.0f} of ten seeds at N = 8 and more, where a bonus for what was tried "
        f"less often finds the treasure with {found.solved[1].min():.0f} of ten. Curiosity needs care. Whoever is "
        f"rewarded by prediction errors spends {error:.0%} of its late time before noise that nobody can predict, "
        f"close to the {found.always:.1%} of a policy that always goes there; counts spend {count:.1%} and the fall of "
        f"the mean error {fall:.1%}. Learning progress has to be measured over a while: by what each single image "
        f"teaches, it is {gain:.0%}, as noise goes on teaching a little for long. Here places can be counted; with "
        "pictures one has to say which are alike. The notes' rabbit hole is such a television, and the pull of "
        "different things such a bonus; whether people work like this is another question."
    )


LAB = Lab(
    name="exploration",
    title="Exploration, and the rabbit hole",
    question=(
        "Deep Sea: N steps, each left or right; a treasure of 1 waits for whoever goes right N times, and each step to "
        "the right costs 0.01/N. Does ε-greedy Q-learning find it, or does it take a bonus for what was tried less "
        "often? And if there is no reward at all but an inner one: a room of 25 places, and in one of them a "
        "television that shows random images. The agent predicts which image it will see in each place, and is "
        "rewarded for its errors, for what it learns, or for going where it was less often."
    ),
    prompt="How much of its late time does the agent that is rewarded for prediction errors spend at the television?",
    choices=("1/25, like anywhere else", "about half", "more than nine tenths"),
    answer=lambda found: int(np.abs(np.array([0.04, 0.5, 0.95]) - found.late[0].mean()).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the bonus is paid for what was done, and what was never tried is worth 0",
    wrong=lambda: compute(only_tried=True),
    notes=(
        "* When I look at different things I feel more motivated. why is this?",
        "Follow the guide of openai, dont fall down too many rabbit hole",
    ),
    reading=(
        "Sutton & Barto 2018, sections 2.6 and 2.7",
        "Osband et al. 2019 (arXiv:1703.07608), Deep Exploration via Randomized Value Functions",
        "Burda et al. 2019 (arXiv:1808.04355), Large-Scale Study of Curiosity-Driven Learning",
        "Oudeyer, Kaplan & Hafner 2007, Intrinsic Motivation Systems for Autonomous Mental Development",
    ),
)
