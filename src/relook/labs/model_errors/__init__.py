"""A learned model: how its errors add up from step to step, and how far ahead it should be trusted."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.labs.lab import Claim, Lab
from relook.labs.picture import COLOURS, GREY, MARKERS, STYLES, legend, panels, titled
from relook.tabular import Array, evaluate, under
from relook.tabular.three_states import GAMMA, student, undecided

WORLDS = {"forgets": 0.5, "keeps": 1.0, "amplifies": 1.1}
"""x' = a x + noise, by a."""
START, NOISE, PAIRS = 1.0, 0.1, 100
"""Where predictions begin, the noise, and how many pairs (x, x') a model is learned from."""
AHEAD = 20
WORLD_MODELS = 1_000

SAMPLES = (5, 20, 100)
"""How often each (s, a) of the student of three states was tried before the model was learned."""
MODELS, GROUPS = 4_000, 10
CRITIC = 1.0
"""The standard deviation of the errors of the values that a rollout ends with."""
LONGEST = 40
MIDDLE = SAMPLES.index(20)


class Found(NamedTuple):
    error: dict[str, NDArray[np.float64]]
    """x̂_k - x_k of k = 1, 2, … steps, model by model [k, M]."""
    added: dict[str, NDArray[np.float64]]
    """The same from one-step errors at the model's own states: Σ_i aᵏ⁻¹⁻ⁱ (m̂(x̂_i) - m(x̂_i))."""
    squares: NDArray[np.float64]
    """The squared error of V, mean over states, for each of `SAMPLES`, after k = 0, 1, … steps [n, k, M]."""
    identity: float
    """The largest difference of V̂ - V from γ (I - γ P)⁻¹ (P̂ - P) V̂."""
    too_far: int
    """How often p̂(s_k) was further from p(s_k) than 1 - (1 - ε)ᵏ in total variation."""
    one_step: NDArray[np.float64]
    """The squared error of r + γ P̂ V, mean over states, with 20 samples [M]."""
    one_step_exact: float
    """What is to be expected of it."""


def compute(restart: bool = False) -> Found:
    """If `restart`, each step of a prediction begins in the real state, so that k-step errors are one-step errors."""
    rng = np.random.default_rng(4)
    lines = {name: _lines(a, rng) for name, a in WORLDS.items()}
    mdp, policy = student(), undecided()
    p, r = under(mdp, policy)
    value, identity, too_far = evaluate(mdp, policy, GAMMA), 0.0, 0
    critic = value + CRITIC * rng.standard_normal((MODELS, mdp.size))
    squares, learned = [], []
    for n in SAMPLES:
        tried = np.array([[rng.multinomial(n, q, MODELS) / n for q in of] for of in mdp.transition])
        learned.append(np.einsum("sa,samt->mst", policy, tried))
        own = _times(np.linalg.inv(np.eye(mdp.size) - GAMMA * learned[-1]), r)
        step = GAMMA * _times(learned[-1] - p, own)
        identity = max(
            identity, float(np.abs(own - value - step @ np.linalg.inv(np.eye(mdp.size) - GAMMA * p).T).max())
        )
        too_far += _too_far(learned[-1], p)
        rolled = [critic]
        for _ in range(LONGEST):
            rolled.append(r + GAMMA * _times(learned[-1], rolled[-1]))
        squares.append([_square(estimate - value) for estimate in rolled])
    spread = mdp.transition @ value**2 - (mdp.transition @ value) ** 2
    return Found(
        {name: _rolled(WORLDS[name], *line, restart=restart) for name, line in lines.items()},
        {name: _added(WORLDS[name], *line) for name, line in lines.items()},
        np.array(squares),
        identity,
        too_far,
        _square(GAMMA * _times(learned[MIDDLE] - p, value)),
        float((GAMMA**2 * (policy**2 * spread).sum(1) / SAMPLES[MIDDLE]).mean()),
    )


def _lines(a: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes and intercepts [M] of least squares through pairs x ~ N(0, 1), x' = a x + noise."""
    x = rng.standard_normal((WORLD_MODELS, PAIRS))
    y = a * x + NOISE * rng.standard_normal(x.shape)
    centred = x - x.mean(1, keepdims=True)
    slope = (centred * y).sum(1) / (centred**2).sum(1)
    return slope, y.mean(1) - slope * x.mean(1)


def _rolled(
    a: float, slope: NDArray[np.float64], intercept: NDArray[np.float64], *, restart: bool
) -> NDArray[np.float64]:
    real, guess, found = START, np.full(WORLD_MODELS, START), []
    for _ in range(AHEAD):
        guess = slope * (real if restart else guess) + intercept
        real *= a
        found.append(guess - real)
    return np.array(found)


def _added(a: float, slope: NDArray[np.float64], intercept: NDArray[np.float64]) -> NDArray[np.float64]:
    guess, errors, found = np.full(WORLD_MODELS, START), list[NDArray[np.float64]](), []
    for _ in range(AHEAD):
        errors.append(slope * guess + intercept - a * guess)
        guess = slope * guess + intercept
        found.append(np.sum([a ** (len(errors) - 1 - i) * error for i, error in enumerate(errors)], axis=0))
    return np.array(found)


def _too_far(learned: NDArray[np.float64], p: Array) -> int:
    """Among all models, steps and first states."""
    off = 0.5 * np.abs(learned - p).sum(2).max(1)
    guess, real, count = learned, p, 0
    for k in range(1, AHEAD + 1):
        apart = 0.5 * np.abs(guess - real).sum(2)
        count += int((apart > 1 - (1 - off[:, None]) ** k + 1e-12).sum())
        guess, real = guess @ learned, real @ p
    return count


def _times(matrix: NDArray[np.float64], vector: Array) -> NDArray[np.float64]:
    """Matrices [M, S, S] times vectors [S] or [M, S]."""
    product: NDArray[np.float64] = (matrix * vector[..., None, :]).sum(2)
    return product


def _square(error: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = np.square(error).mean(1)
    return mean


def claims(found: Found) -> list[Claim]:
    apart = [np.abs(found.error[name] - found.added[name]).max() for name in WORLDS]
    grown = np.sqrt(np.square(found.error["amplifies"]).mean(1))
    a = WORLDS["amplifies"]
    first_order = np.hypot(np.sum(a ** np.arange(AHEAD)), AHEAD * a ** (AHEAD - 1)) / np.sqrt(2)
    groups = np.sqrt(found.squares[MIDDLE].reshape(LONGEST + 1, GROUPS, -1).mean(2))
    inside = groups[1:-1].min(0) < np.minimum(groups[0], groups[-1])
    return [
        Claim(
            "the largest difference of k-step errors from one-step errors, passed on with aᵏ⁻¹⁻ⁱ and added up",
            float(max(apart)),
            0.0,
            1e-12,
            "m̂(x̂) - m(x) = (m̂(x̂) - m(x̂)) + a (x̂ - x), again and again; rounding",
        ),
        Claim(
            "the error after 20 steps over that after one, where the world amplifies",
            float(grown[-1] / grown[0]),
            float(first_order),
            4 * float(first_order) / np.sqrt(2 * WORLD_MODELS),
            "errors of intercept and slope vary alike and grow as Σ aⁱ and k aᵏ⁻¹; four standard errors, 1,000 models",
        ),
        Claim(
            "the largest difference of V̂ - V from γ (I - γ P)⁻¹ (P̂ - P) V̂",
            found.identity,
            0.0,
            1e-10,
            "both Bellman equations, one less the other; rounding",
        ),
        Claim(
            "the mean square error of r + γ P̂ V with 20 samples of each (s, a)",
            float(found.one_step.mean()),
            found.one_step_exact,
            4 * float(found.one_step.std()) / np.sqrt(MODELS),
            "γ² Σ_a π² Var V(s') / 20, as means of 20 samples vary; four standard errors of 4,000 models",
        ),
        Claim(
            "in how many of 10 groups of models a rollout of 1 to 39 steps was better than none, and than 40",
            float(inside.sum()),
            float(GROUPS),
            0.0,
            "400 models each, and all groups agree",
        ),
        Claim(
            "how often k steps led further away than 1 - (1 - ε)ᵏ, in total variation",
            float(found.too_far),
            0.0,
            0.0,
            "two walks can be coupled so that they part with probability ε at most in each step",
        ),
    ]


def best_length(found: Found, n: int) -> int:
    """The rollout with the smallest error, for so many samples of each (s, a)."""
    return int(found.squares[SAMPLES.index(n)].mean(1).argmin())


def draw(found: Found) -> Figure:
    lengths = [best_length(found, n) for n in SAMPLES]
    figure, (left, right) = panels(
        2,
        f"The better the model, the longer it should be trusted: {lengths[0]}, {lengths[1]} and {lengths[2]} steps "
        "after 5, 20 and 100 samples",
        f"Left: lines through {PAIRS} pairs, {WORLD_MODELS:,} models each. Right: the student of three states, γ = "
        f"{GAMMA}, {MODELS:,} models each; errors of the critic have the standard deviation {CRITIC:g}.",
    )
    for i, (name, a) in enumerate(WORLDS.items()):
        error = np.sqrt(np.square(found.error[name]).mean(1))
        label = f"a = {a}: the world {name}"
        left.semilogy(
            np.arange(1, AHEAD + 1), error, MARKERS[i] + STYLES[i], color=COLOURS[i], markersize=4, label=label
        )
    left.set_xticks([1, 5, 10, 15, 20])
    titled(left, "x' = a x: errors of a learned model", "steps k that are predicted", "root mean square error of x")
    legend(left, "upper left")
    for i, n in enumerate(SAMPLES):
        error = np.sqrt(found.squares[i].mean(1))
        right.plot(error, STYLES[i], color=COLOURS[i], label=f"{n} samples of each (s, a)")
        right.plot(lengths[i], error[lengths[i]], MARKERS[i], color=COLOURS[i], markersize=8)
    right.axhline(CRITIC, color=GREY, linewidth=1, linestyle=":")
    right.annotate("critic alone", (LONGEST, CRITIC), fontsize=8, va="bottom", ha="right", color=GREY)
    right.set_ylim(0, 1.9)
    titled(right, "Roll out k steps, then ask the critic", "steps k of the rollout", "root mean square error of V")
    legend(right, "upper left")
    return figure


def lesson(found: Found) -> str:
    growth = {name: np.sqrt(np.square(of).mean(1)) for name, of in found.error.items()}
    few, some, many = (best_length(found, n) for n in SAMPLES)
    error = np.sqrt(found.squares[MIDDLE].mean(1))
    return (
        "Each step of a rollout adds the model's error in the state that the model is in, and the world passes it on. "
        f"After {AHEAD} steps it is {growth['forgets'][-1] / growth['forgets'][0]:.1f} times that of one step where "
        f"the world forgets, {growth['keeps'][-1] / growth['keeps'][0]:.0f} times where it keeps, and "
        f"{growth['amplifies'][-1] / growth['amplifies'][0]:.0f} times where it amplifies. A critic at the end of a "
        f"rollout is discounted by γᵏ, and so are its errors: with 20 samples of each (s, a) {some} steps are best "
        f"(error {error[some]:.2f}; the critic alone {error[0]:.2f}, {LONGEST} steps {error[-1]:.2f}), with 5 "
        f"samples {few}, with 100 {many}. This is why MBPO and Dreamer imagine short rollouts. The critic's errors "
        "are independent of the model's here; a critic that was learned in the model shares them."
    )


LAB = Lab(
    name="model_errors",
    title="How far to trust a learned model",
    question=(
        "A model-based agent learns p̂(s'|s, a) from samples and then imagines: k steps with the model, and after them "
        "the value of where it is, by a critic: Σ γⁱ r + γᵏ V_critic. Errors of the model add up with k. Errors of the "
        "critic shrink with γᵏ. How do the model's errors grow, and which k is best?"
    ),
    prompt="Each (s, a) was tried 20 times, γ = 0.9, and the critic is off by 1. Which rollout gives the best values?",
    choices=("none: ask the critic at once", "a few steps, then the critic", "as long as possible"),
    answer=lambda found: int(np.digitize(best_length(found, 20), [1, LONGEST])),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="each step of a prediction begins in the real state: one-step errors are taken for k-step errors",
    wrong=lambda: compute(restart=True),
    notes=(
        "Model vs Model-Free RL",
        "- By a model of the environment, we mean a function which predicts state transitions and rewards.",
    ),
    reading=(
        "relook lab off_policy_data",
        "Feinberg et al. 2018 (arXiv:1803.00101)",
        "Janner et al. 2019 (arXiv:1906.08253), section 4",
        "Asadi, Misra & Littman 2018 (arXiv:1804.07193)",
    ),
)
