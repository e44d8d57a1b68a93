"""Log-probabilities, entropies, gradients and samples against torch.distributions; densities that integrate to 1."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Categorical,
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
    kl_divergence,
)
from torch.nn.functional import pad

from relook.formulas.distributions import (
    categorical_entropy,
    categorical_fisher,
    categorical_kl,
    categorical_log_prob,
    categorical_sample,
    categorical_slope,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
    gaussian_slopes,
    squashed_log_prob,
    squashed_slopes,
)

ALMOST_1 = 1 - 2**-24
"""The largest float32 number that a generator of [0, 1) returns."""


def close(x: Tensor | None, y: Tensor | None) -> None:
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


IMPOSSIBLE = -1e30
"""Logit of an option that does not exist."""

USED = {"log-probability": (1.0, 0.0), "entropy": (0.0, 1.0), "both": (1.0, -0.3)}
"""Factors of the two outputs in a loss; with 0 an output is not part of it."""

SIZES = pytest.mark.parametrize("sizes", [(1,), (3,), (2, 5, 3), (4, 1), (2, 2, 2, 2)], ids=str)
"""Options of the choices that an action consists of: choices with fewer than the others have impossible ones."""


def choices(sizes: tuple[int, ...], *batch: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """The logits of every choice's own options [*batch, n_k], and an action [*batch, K]."""
    logits = [3 * normal(*batch, n, seed=100 * seed + k) for k, n in enumerate(sizes)]
    generator = torch.Generator().manual_seed(seed)
    action = torch.stack([torch.randint(n, batch, generator=generator) for n in sizes], -1)
    return logits, action


def filled_up(logits: list[Tensor]) -> Tensor:
    """[*batch, K, n]: choices with fewer options get impossible ones at the end."""
    most = max(x.shape[-1] for x in logits)
    return torch.stack([pad(x, (0, most - x.shape[-1]), value=IMPOSSIBLE) for x in logits], -2)


def torchs(logits: list[Tensor], action: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy by torch.distributions, which see nothing of impossible options."""
    distributions: list[Any] = [Categorical(logits=x) for x in logits]
    log_probs = [own.log_prob(action[..., k]) for k, own in enumerate(distributions)]
    return torch.stack(log_probs).sum(0), torch.stack([own.entropy() for own in distributions]).sum(0)


def entropy_of(logits: Tensor) -> Tensor:
    return categorical_entropy(logits.log_softmax(-1))


@SIZES
@pytest.mark.parametrize("batch", [(), (7,), (3, 5)], ids=str)
def test_categorical_log_prob_and_entropy_are_sums_of_torchs(batch: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    logits, action = choices(sizes, *batch)
    log_p = filled_up(logits).log_softmax(-1)
    log_prob, entropy = categorical_log_prob(log_p, action), categorical_entropy(log_p)
    assert log_prob.shape == entropy.shape == batch
    expected = torchs(logits, action)
    close(log_prob, expected[0])
    close(entropy, expected[1])


@SIZES
@pytest.mark.parametrize("used", USED)
def test_the_slope_of_categorical_log_prob_and_entropy_is_that_of_torchs(used: str, sizes: tuple[int, ...]) -> None:
    """Every row has a weight of its own in the loss; impossible options get no slope at all."""
    theirs, action = choices(sizes, 3, 5)
    for x in theirs:
        x.requires_grad_()
    by_log_prob, by_entropy = (f * w for f, w in zip(USED[used], normal(2, 3, 5, seed=9), strict=True))
    log_prob, entropy = torchs(theirs, action)
    torch.autograd.backward([(by_log_prob * log_prob + by_entropy * entropy).sum()])
    log_p = filled_up([x.detach() for x in theirs]).log_softmax(-1)
    slope = categorical_slope(log_p, action, by_log_prob, by_entropy)
    for k, x in enumerate(theirs):
        n = x.shape[-1]
        close(slope[..., k, :n], x.grad)
        assert (slope[..., k, n:] == 0).all()
    if not USED[used][1]:
        close(categorical_slope(log_p, action, by_log_prob), slope)


def test_the_log_prob_of_an_impossible_option_says_so() -> None:
    log_prob = categorical_log_prob(torch.tensor([[0.0, 1.0, IMPOSSIBLE]]).log_softmax(-1), torch.tensor([2]))
    assert log_prob.item() < -1e29


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "row", [[1e4, 1e4 - 1, -1e4], [-1e4, -1e4 + 2, -1e4 - 1], [1e30, 0.0, 1.0], [IMPOSSIBLE, 1e4, 1e4]], ids=str
)
def test_huge_logits_give_what_their_differences_say(row: list[float], dtype: torch.dtype) -> None:
    """Infinity and NaN come neither out nor back."""
    own, category = (
        torch.tensor([row, row, row], dtype=dtype).unsqueeze(1).log_softmax(-1),
        torch.arange(3).unsqueeze(1),
    )
    given = categorical_log_prob(own, category), categorical_entropy(own)
    differences = torch.tensor(row, dtype=torch.float64) - max(row)
    log_p = differences - differences.exp().sum().log()
    entropy = -(log_p * log_p.exp()).sum()
    torch.testing.assert_close(given[0].double(), log_p, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(given[1].double(), entropy.expand(3), rtol=1e-6, atol=1e-6)
    assert categorical_slope(own, category, torch.ones(3, dtype=dtype), torch.ones(3, dtype=dtype)).isfinite().all()


def test_the_entropy_of_a_fair_die_is_the_log_of_its_faces_and_that_of_two_dice_twice_as_much() -> None:
    torch.testing.assert_close(entropy_of(torch.zeros(2, 1, 6)), torch.full((2,), 6.0).log())
    torch.testing.assert_close(entropy_of(torch.zeros(3, 2, 6)), 2 * torch.full((3,), 6.0).log())


def test_the_entropy_of_a_certain_choice_is_0() -> None:
    assert entropy_of(torch.tensor([[0.0, IMPOSSIBLE, IMPOSSIBLE]])).item() == 0


def chi_square(drawn: Tensor, p: Tensor) -> float:
    expected = p * drawn.numel()
    observed = torch.bincount(drawn, minlength=len(p))
    return float(((observed - expected) ** 2 / expected).sum())


P = torch.tensor([0.5, 0.2, 0.05, 0.25])


def test_categories_are_drawn_as_often_as_their_probabilities_say() -> None:
    limit = float(chi2.ppf(0.999, len(P) - 1))
    uniform = torch.rand(100_000, generator=torch.Generator().manual_seed(1))
    drawn = categorical_sample(P.log().expand(100_000, -1), uniform)
    assert chi_square(drawn, P) < limit
    assert chi_square(drawn, P.roll(1)) > limit
    assert chi_square(drawn, P + torch.tensor([0.01, -0.01, 0.0, 0.0])) > limit


def test_evenly_spaced_uniform_numbers_give_every_category_its_exact_share() -> None:
    uniform = (torch.arange(1000) + 0.5) / 1000
    drawn = categorical_sample(P.log().expand(1000, -1), uniform)
    assert torch.bincount(drawn).tolist() == [500, 200, 50, 250]


@pytest.mark.parametrize("constant", [-1e4, -50.0, 3.0, 80.0, 1e4])
def test_only_differences_of_logits_say_what_is_drawn(constant: float) -> None:
    uniform = (torch.arange(1000) + 0.5) / 1000
    drawn = categorical_sample((P.double().log() + constant).float().expand(1000, -1), uniform)
    counts = torch.bincount(drawn, minlength=4) - torch.tensor([500, 200, 50, 250])
    assert counts.abs().max() <= abs(constant) * 2**-23 * 1000 + (abs(constant) > 3)


def test_every_choice_of_a_batch_is_drawn_by_its_own_number() -> None:
    logits = P.log().expand(2, 3, 4)
    uniform = torch.tensor([[0.1, 0.6, 0.8], [0.72, 0.0, 0.49]])
    assert categorical_sample(logits, uniform).tolist() == [[0, 1, 3], [2, 0, 0]]
    assert categorical_sample(logits.flip(-1), uniform).tolist() == [[0, 3, 3], [3, 0, 2]]


@pytest.mark.parametrize("options", [1, 2, 3, 10, 100])
def test_the_ends_of_the_unit_interval_give_the_first_and_the_last_category(options: int) -> None:
    logits = normal(1000, options, dtype=torch.float32)
    assert (categorical_sample(logits, torch.zeros(1000)) == 0).all()
    assert (categorical_sample(logits, torch.full((1000,), ALMOST_1)) == options - 1).all()


@pytest.mark.parametrize("uniform", [0.0, 0.3, 0.999, 1 - 2**-23, ALMOST_1])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_category_of_probability_0_is_never_drawn(uniform: float, where: str) -> None:
    impossible = {"first": [0, 1], "middle": [2, 3], "last": [4, 5, 6]}[where]
    logits = normal(20_000, 7, dtype=torch.float32)
    logits[:, impossible] = IMPOSSIBLE
    drawn = categorical_sample(logits, torch.full((20_000,), uniform))
    assert not torch.isin(drawn, torch.tensor(impossible)).any()


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_logits_without_a_distribution_still_give_a_category_that_exists(odd: float) -> None:
    logits = torch.tensor([[0.0, odd, 1.0], [0.0, 0.0, 0.0]])
    with np.errstate(invalid="ignore"):
        assert categorical_sample(logits, torch.tensor([0.9, 0.9])).tolist() == [0, 2]


@pytest.mark.parametrize("d", [1, 2, 5])
def test_gaussian_log_prob_and_entropy_are_torchs(d: int) -> None:
    x, mean, log_std = normal(4, 6, d, seed=1), normal(4, 6, d, seed=2), normal(4, 6, d, seed=3)
    theirs: Any = Normal(mean, log_std.exp())
    log_prob = theirs.log_prob(x).sum(-1)
    entropy = theirs.entropy().sum(-1)
    close(gaussian_log_prob(x, mean, log_std), log_prob)
    close(gaussian_entropy(log_std), entropy)


LOG_STD_SHAPES = pytest.mark.parametrize("shape", [(4, 6, 3), (4, 1, 3), (1, 6, 3), (1, 1, 3)], ids=str)


@LOG_STD_SHAPES
def test_a_log_std_that_does_not_depend_on_the_state_is_every_rows(shape: tuple[int, ...]) -> None:
    x, mean, log_std = normal(4, 6, 3, seed=1), normal(4, 6, 3, seed=2), normal(*shape, seed=3)
    expected = gaussian_log_prob(x, mean, log_std.expand(4, 6, 3).contiguous())
    close(gaussian_log_prob(x, mean, log_std), expected)


@LOG_STD_SHAPES
def test_the_slopes_of_gaussian_log_prob_are_torchs(shape: tuple[int, ...]) -> None:
    """Of mean and log σ; every row has a weight of its own in the loss."""
    x, mean, log_std = normal(4, 6, 3, seed=1), normal(4, 6, 3, seed=2), normal(*shape, seed=3)
    weight = normal(4, 6, seed=4)
    theirs = mean.clone().requires_grad_(), log_std.expand(4, 6, 3).clone().requires_grad_()
    distribution: Any = Normal(theirs[0], theirs[1].exp())
    torch.autograd.backward([(distribution.log_prob(x).sum(-1) * weight).sum()])
    for own, other in zip(gaussian_slopes(x, mean, log_std, weight), theirs, strict=True):
        close(own, other.grad)


def integral(density: Callable[[Tensor], Tensor], d: int) -> float:
    """Over [-12, 12] in each direction, on a grid that is fine enough for sd ≥ 0.3."""
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    points = torch.cartesian_prod(*[side] * d).reshape(-1, d)
    return float(density(points).sum() * (side[1] - side[0]) ** d)


@pytest.mark.parametrize("d", [1, 2])
def test_the_gaussian_density_integrates_to_1_and_its_entropy_is_the_mean_of_minus_log_p(d: int) -> None:
    mean = torch.tensor([0.7, -1.1], dtype=torch.float64)[:d]
    log_std = torch.tensor([0.4, -0.5], dtype=torch.float64)[:d]

    def log_p(x: Tensor) -> Tensor:
        return gaussian_log_prob(x, mean.expand_as(x), log_std.expand_as(x))

    assert integral(lambda x: log_p(x).exp(), d) == pytest.approx(1, abs=1e-9)
    assert integral(lambda x: -log_p(x) * log_p(x).exp(), d) == pytest.approx(
        gaussian_entropy(log_std).item(), abs=1e-9
    )


@SIZES
def test_the_kl_of_choices_is_the_sum_of_torchs(sizes: tuple[int, ...]) -> None:
    (old, _), (new, _) = choices(sizes, 3, 5), choices(sizes, 3, 5, seed=1)
    divergence = categorical_kl(filled_up(old).log_softmax(-1), filled_up(new).log_softmax(-1))
    expected = [kl_divergence(Categorical(logits=x), Categorical(logits=y)) for x, y in zip(old, new, strict=True)]
    close(divergence, torch.stack(expected).sum(0))
    close(categorical_kl(filled_up(old).log_softmax(-1), filled_up(old).log_softmax(-1)), torch.zeros(3, 5).double())


@SIZES
def test_the_fisher_information_of_choices_is_the_curvature_of_their_kl(sizes: tuple[int, ...]) -> None:
    logits, _ = choices(sizes, 4)
    direction = [normal(4, n, seed=50 + k) for k, n in enumerate(sizes)]
    product = categorical_fisher(
        filled_up(logits).log_softmax(-1), torch.where(filled_up(logits) > IMPOSSIBLE, filled_up(direction), 0.0)
    )
    for k, (x, v) in enumerate(zip(logits, direction, strict=True)):
        for row in range(4):

            def divergence(moved: Tensor, at: Tensor = x[row]) -> Tensor:
                return categorical_kl(at.log_softmax(-1)[None], moved.log_softmax(-1)[None])

            curvature = torch.autograd.functional.hessian(divergence, x[row])
            close(product[row, k, : x.shape[-1]], curvature @ v[row])


@LOG_STD_SHAPES
def test_the_kl_of_gaussians_is_torchs(shape: tuple[int, ...]) -> None:
    mean, other = normal(2, 4, 6, 3, seed=1)
    log_std, changed = 0.5 * normal(2, *shape, seed=2)
    old, new = (Normal(m, s.exp().expand(4, 6, 3)) for m, s in ((mean, log_std), (other, changed)))
    close(gaussian_kl(mean, log_std, other, changed), kl_divergence(old, new).sum(-1))
    close(gaussian_kl(mean, log_std, mean, log_std), torch.zeros(4, 6).double())


def test_the_kl_of_nearly_equal_gaussians_is_not_lost_in_rounding() -> None:
    """1e-4 apart: the terms of the formula are ½ each, and their difference 1e-8."""
    zero, near = torch.zeros(1, 1), torch.full((1, 1), 1e-4)
    assert gaussian_kl(zero, zero, zero, near).item() == pytest.approx(1e-8, rel=1e-3)
    assert gaussian_kl(zero, zero, near, zero).item() == pytest.approx(0.5e-8, rel=1e-3)


BOUNDS = pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 2.0), (0.0, 10.0), (-5.0, 0.5)])


@BOUNDS
@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -1.0), (-0.4, 1.0), (0.3, -3.0)])
def test_the_squashed_density_integrates_to_1_over_its_bounds(
    low: float, high: float, mean: float, log_std: float
) -> None:
    """Without the correction, or without the width of the bounds in it, it would not."""
    middle, half = (low + high) / 2, (high - low) / 2
    # On a grid of u that reaches far beyond all mass; the widths of its cells are those of the actions.
    edges = torch.linspace(mean - 12 * np.exp(log_std), mean + 12 * np.exp(log_std), 40_001, dtype=torch.float64)
    u = (edges[1:] + edges[:-1]) / 2
    widths = (middle + half * edges.tanh()).diff()
    noise = (u - mean) / np.exp(log_std)
    log_prob = squashed_log_prob(
        u[:, None], noise[:, None], torch.full((40_000, 1), log_std).double(), torch.tensor([half]).double()
    )
    assert float((log_prob.exp() * widths).sum()) == pytest.approx(1, abs=2e-3)


@BOUNDS
def test_the_squashed_density_is_torchs(low: float, high: float) -> None:
    middle, half = torch.full((3,), (low + high) / 2).double(), torch.full((3,), (high - low) / 2).double()
    mean, log_std, noise = normal(50, 3), normal(50, 3, seed=1) / 3, normal(50, 3, seed=2)
    squash = [TanhTransform(cache_size=1), AffineTransform(middle, half, event_dim=1, cache_size=1)]
    expected = TransformedDistribution(Independent(Normal(mean, log_std.exp()), 1), squash)
    u = mean + log_std.exp() * noise
    close(squashed_log_prob(u, noise, log_std, half), expected.log_prob(squash[1](squash[0](u))))


def test_the_squashed_density_keeps_its_digits_at_the_bounds() -> None:
    """1 - tanh² u is 0 in float32 from u = 9 on; its logarithm goes on falling by 2 for each step of u."""
    u = torch.tensor([[10.0], [20.0], [40.0], [-40.0]])
    found = squashed_log_prob(u, torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(1))
    expected = [2 * x - 2 * np.log(2) - 0.5 * np.log(2 * np.pi) for x in (10, 20, 40, 40)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("used", USED.values(), ids=USED)
def test_slopes_of_a_squashed_gaussian_are_autograds(used: tuple[float, float]) -> None:
    by_log_prob, of_action = used
    mean, log_std = normal(20, 3).requires_grad_(), (normal(20, 3, seed=1) / 3).requires_grad_()
    noise, half = normal(20, 3, seed=2), torch.tensor([1.0, 2.0, 0.5]).double()
    u = mean + log_std.exp() * noise
    weights = normal(20, seed=3), normal(20, 3, seed=4)
    loss = by_log_prob * (squashed_log_prob(u, noise, log_std, half) * weights[0]).sum()
    loss = loss + of_action * (half * u.tanh() * weights[1]).sum()
    loss.backward()
    by_mean, by_log_std = squashed_slopes(
        u.detach().tanh(), noise, log_std.detach().exp(), half, of_action * weights[1], by_log_prob * weights[0]
    )
    close(by_mean, mean.grad)
    close(by_log_std, log_std.grad)
