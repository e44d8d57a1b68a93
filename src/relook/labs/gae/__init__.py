"""Generalised advantage estimation: λ chooses between a critic's error and the noise of returns."""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from relook.formulas.returns import gae
from relook.labs.lab import Claim, Lab
from relook.labs.listing import Listed, drawn
from relook.labs.picture import COLOURS, MARKERS, STYLES, legend, panels, titled
from relook.tabular import MDP, Array, backup, evaluate, under
from relook.tabular.three_states import GAMMA, REST, STUDY, TIRED, student, undecided

LAMBDAS = np.linspace(0, 1, 21)
HALF = 10
"""Where λ = ½ is among them."""
LENGTH, EPISODES = 100, 20_000
"""Steps that are sampled, and episodes with each first action; γ¹⁰⁰ is 3·10⁻⁵."""
EACH = 30
"""Episodes with each action that an estimate of A(s, study) - A(s, rest) has."""
CRITICS = (0.9, 0.8, 0.5)
"""Critics V that are wrong by a factor, everywhere; the second is the one of most claims."""
USED = 1
RANDOM = 20
"""Critics that are wrong by standard normal numbers."""


class Found(NamedTuple):
    bias: NDArray[np.float64]
    """Of Â(s, study) - Â(s, rest), for each critic, λ and state [critics, λ, S]."""
    error: NDArray[np.float64]
    """The root mean square error of that with 30 episodes each, over states [critics, λ]."""
    best: NDArray[np.float64]
    """λ with the smallest error, for each of the critics that are wrong at random."""
    offset: NDArray[np.float64]
    """E[Â(s, a)] - A(s, a) at λ = 1 [S, A]."""
    wrong_by: NDArray[np.float64]
    """V^π(s) - V(s) of that critic [S]."""
    telescoped: float
    """The largest difference of Â at λ = 1 from the discounted return less V(s₀), with V(s_T) at its end."""
    summed: float
    """The largest difference of Â at λ = ½ from Σ (γλ)ˡ δ_{t+l}, term by term."""
    sampled: float
    """The mean of Â(tired, study) - Â(tired, rest) at λ = ½ over sampled episodes."""
    variance: float
    """Its variance for one pair of episodes, and …"""
    variance_error: float
    """… the standard error of that."""
    expected: tuple[float, float]
    """What mean and variance must be."""


def compute(forgets_discount: bool = False) -> Found:
    """`forgets_discount` lets the recursion decay with λ and not with γλ."""
    mdp, policy, rng = student(), undecided(), np.random.default_rng(8)
    value = evaluate(mdp, policy, GAMMA)
    advantage = backup(mdp, value, GAMMA) - value[:, None]
    truth = advantage[:, STUDY] - advantage[:, REST]

    def errors(critic: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bias [λ, S] and error [λ] of a critic."""
        mean, variance = np.moveaxis(np.array([_moments(mdp, policy, critic, lam) for lam in LAMBDAS]), 1, 0)
        bias = mean[..., STUDY] - mean[..., REST] - truth
        return bias, np.sqrt((bias**2 + variance.sum(2) / EACH).mean(1))

    bias, error = zip(*(errors(factor * value) for factor in CRITICS), strict=True)
    best = [LAMBDAS[errors(value + rng.standard_normal(mdp.size))[1].argmin()] for _ in range(RANDOM)]

    critic = CRITICS[USED] * value
    start = np.full(EPISODES, TIRED)
    episodes = [drawn(mdp, policy, LENGTH, start, rng, first=action) for action in (STUDY, REST)]
    decay = 1 / GAMMA if forgets_discount else 1.0
    study, rest = (_estimates(critic, among, 0.5 * decay) for among in episodes)
    at_one = _estimates(critic, episodes[0], decay)
    states, discounts = episodes[0].state, GAMMA ** np.arange(LENGTH + 1)
    returns = episodes[0].reward @ discounts[:-1] + discounts[-1] * critic[states[:, -1]]
    delta = episodes[0].reward + GAMMA * critic[states[:, 1:]] - critic[states[:, :-1]]
    lag = np.arange(LENGTH) - np.arange(LENGTH)[:, None]
    naive = delta @ np.where(lag >= 0, (GAMMA * 0.5) ** np.maximum(lag, 0), 0.0).T
    mean, variance = _moments(mdp, policy, critic, 0.5)
    squares = np.square(study[:, 0] - study[:, 0].mean()) + np.square(rest[:, 0] - rest[:, 0].mean())
    return Found(
        np.array(bias),
        np.array(error),
        np.array(best),
        _moments(mdp, policy, critic, 1.0)[0] - advantage,
        value - critic,
        float(np.abs(at_one[:, 0] - (returns - critic[states[:, 0]])).max()),
        float(np.abs(study - naive).max()),
        float(study[:, 0].mean() - rest[:, 0].mean()),
        float(squares.mean()),
        float(squares.std() / np.sqrt(EPISODES)),
        (float(mean[TIRED, STUDY] - mean[TIRED, REST]), float(variance[TIRED].sum())),
    )


def _moments(mdp: MDP, policy: Array, critic: Array, lam: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of Â given s and a [S, A], by solving Â = δ + γλ Â' for its first and second moments."""
    p, _ = under(mdp, policy)
    delta = mdp.reward + GAMMA * critic - critic[:, None, None]
    decay = GAMMA * lam

    def solved(now: Array, rate: float) -> tuple[Array, Array]:
        """X(s, a) = now + rate E[X(s', a')], and its mean over actions."""
        by_state = np.linalg.solve(np.eye(mdp.size) - rate * p, (policy * now).sum(1))
        return now + rate * mdp.transition @ by_state, by_state

    first, following = solved((mdp.transition * delta).sum(2), decay)
    second, _ = solved((mdp.transition * (delta**2 + 2 * decay * delta * following)).sum(2), decay**2)
    return np.asarray(first, np.float64), np.asarray(second - first**2, np.float64)


def _estimates(critic: Array, among: Listed, lam: float) -> NDArray[np.float64]:
    """What relook's gae makes of episodes that go on beyond their last step [N, T]."""
    reward, value, following = (
        torch.from_numpy(x.T[None].copy())
        for x in (among.reward, critic[among.state[:, :-1]], critic[among.state[:, 1:]])
    )
    never = torch.zeros(reward.shape, dtype=torch.bool)
    gamma, lam_ = (torch.tensor([x], dtype=torch.float64) for x in (GAMMA, lam))
    return gae(reward, value, following, never, never, gamma, lam_)[0].numpy().T


def claims(found: Found) -> list[Claim]:
    exact = "exact but for rounding"
    mean, variance = found.expected
    best = LAMBDAS[found.error[USED].argmin()]
    return [
        Claim(
            "the largest difference of Â at λ = 1 from the discounted return less V(s₀)",
            found.telescoped,
            0.0,
            1e-12,
            "Σ γᵗ δ_t telescopes: all values between the first and the last cancel; " + exact,
        ),
        Claim("the largest difference of Â at λ = ½ from Σ (γλ)ˡ δ", found.summed, 0.0, 1e-12, "Eq. 16; " + exact),
        Claim(
            "the mean of Â(tired, study) - Â(tired, rest) at λ = ½",
            found.sampled,
            mean,
            4 * np.sqrt(variance / EPISODES),
            "linear equations for the moments of Â; four standard errors of 20,000 pairs of episodes",
        ),
        Claim(
            "the variance of that difference",
            found.variance,
            variance,
            4 * found.variance_error,
            "the same equations, for the second moment; four standard errors",
        ),
        Claim(
            "the largest bias of that difference, over states, at λ = 1",
            float(np.abs(found.bias[USED, -1]).max()),
            0.0,
            1e-12,
            "a critic cancels from returns without end, but for a baseline that both actions share; " + exact,
        ),
        Claim(
            "the largest difference between the bias of Â(s, a) itself at λ = 1 and V^π(s) - V(s)",
            float(np.abs(found.offset - found.wrong_by[:, None]).max()),
            0.0,
            1e-12,
            "E[Â] = Q(s, a) - V(s), with the critic's V; " + exact,
        ),
        Claim(
            "λ with the smallest error for a critic that is 20 % too low, 30 episodes with each action",
            float(best),
            0.45,
            0.15,
            "exact on a grid of 0.05; where it lies between 0.3 and 0.6 depends on the critic's error and on 30",
        ),
        Claim(
            "how many of 20 critics that are wrong at random have their best λ strictly between 0 and 1",
            float(((found.best > 0) & (found.best < 1)).sum()),
            RANDOM,
            0.0,
            "bias falls and variance rises with λ; exact on a grid of 0.05, without sampling of episodes",
        ),
    ]


def draw(found: Found) -> Figure:
    best = LAMBDAS[found.error[USED].argmin()]
    figure, (left, right) = panels(
        2,
        f"With a critic that is 20 % too low and {EACH} episodes, λ = {best:.1f} is best",
        f"Differences between the advantages of studying and resting; {EACH} episodes with each action, root mean "
        "square over the three states; γ = 0.9. Exact.",
    )
    bias = np.sqrt(np.square(found.bias[USED]).mean(1))
    left.plot(LAMBDAS, bias, color=COLOURS[0], label="bias: the critic's error")
    left.plot(LAMBDAS, np.sqrt(found.error[USED] ** 2 - bias**2), "--", color=COLOURS[1], label="noise of the episodes")
    left.plot(LAMBDAS, found.error[USED], ":", color=COLOURS[6], linewidth=2, label="both")
    titled(left, "A critic that is 20 % too low", "λ", "root mean square error")
    legend(left, "upper left")
    for i, factor in enumerate(CRITICS):
        least = int(found.error[i].argmin())
        right.plot(LAMBDAS, found.error[i], color=COLOURS[i], linestyle=STYLES[i], label=f"{1 - factor:.0%} too low")
        right.plot(LAMBDAS[least], found.error[i][least], MARKERS[i], color=COLOURS[i], markersize=8)
    titled(right, "The worse the critic, the larger the best λ (marked)", "λ", "root mean square error")
    right.set_ylim(0, 1.05 * found.error.max())
    legend(right, "lower right")
    return figure


def lesson(found: Found) -> str:
    bias = np.abs(found.bias[USED]).max(1)
    best = [LAMBDAS[x.argmin()] for x in found.error]
    return (
        "Â = Σ (γλ)ˡ δ trusts the critic at λ = 0 and the returns at λ = 1. A critic that is 20 % too low biases the "
        f"difference between two actions by up to {bias[0]:.2f} at λ = 0, {bias[HALF]:.2f} at ½ and {bias[19]:.2f} at "
        f"0.95; the noise grows the other way, and with {EACH} episodes λ = {best[1]:.1f} has the smallest error "
        f"(λ = {best[0]:.2f} for a critic 10 % too low, {best[2]:.2f} for one 50 % too low). At λ = 1 differences are "
        f"unbiased, but Â itself is not: it keeps V^π(s) - V(s), here up to {found.wrong_by.max():.2f}, which is a "
        "baseline and harmless to the mean of the policy gradient. With more episodes, larger λ pay."
    )


LAB = Lab(
    name="gae",
    title="Bias, noise and λ",
    question=(
        "How much better is an action than what the policy does on average? One may ask the critic V one step later, "
        "δ = r + γ V(s') - V(s), or add up rewards to the end. Generalised advantage estimation, "
        "Â_t = Σ_l (γλ)ˡ δ_{t+l}, is anything in between, by λ. If the critic is 20 % too low and there are 30 "
        "episodes with each of two actions, which λ tells best how much better the one is than the other?"
    ),
    prompt="Which λ has the smallest root mean square error?",
    choices=("0: the critic alone", "about 0.5", "1: the returns alone"),
    answer=lambda found: int(np.abs(np.array([0, 0.5, 1]) - LAMBDAS[found.error[USED].argmin()]).argmin()),
    compute=compute,
    claims=claims,
    draw=draw,
    lesson=lesson,
    mistake="the recursion decays with λ, and γ is forgotten",
    wrong=lambda: compute(forgets_discount=True),
    notes=(
        "- VPG -> TRPO -> PPO",
        "- Proximal Policy Optimization (PPO)",
        "- directly optimize on bjective, policy performance",
    ),
    reading=(
        "relook lab baselines",
        "Schulman et al. 2016 (arXiv:1506.02438), section 3 and Eq. 16",
        "Sutton & Barto 2018, section 12.1",
    ),
)
