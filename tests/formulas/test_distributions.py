"""Log-probabilities, entropies and samples against torch.distributions, and densities that integrate to 1."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch.distributions import Categorical, Normal

from relook.formulas.distributions import (
    categorical_entropy,
    categorical_log_prob,
    categorical_sample,
    gaussian_entropy,
    gaussian_log_prob,
    log_softmax,
)

ALMOST_1 = 1 - 2**-24
"""The largest float32 number that a generator of [0, 1) returns."""


def close(x: Tensor | None, y: Tensor | None) -> None:
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(3,), (1,), (4, 5), (2, 3, 4, 6)])
def test_log_softmax_is_torchs(shape: tuple[int, ...]) -> None:
    logits = 3 * normal(*shape)
    close(log_softmax(logits), torch.log_softmax(logits, -1))


def test_log_softmax_of_huge_logits_is_finite_and_does_not_depend_on_a_constant() -> None:
    logits = torch.tensor([[1e4, 1e4 - 1, -1e4], [-1e30, 0.0, 1.0]], dtype=torch.float64)
    close(log_softmax(logits), torch.log_softmax(logits, -1))
    small = normal(4, 5)
    torch.testing.assert_close(log_softmax(small + 1000.0), log_softmax(small), rtol=0, atol=1e-11)


def test_the_gradient_of_log_softmax_is_torchs() -> None:
    ours, theirs = normal(4, 5).requires_grad_(), normal(4, 5).requires_grad_()
    weight = normal(4, 5, seed=1)
    torch.autograd.backward([(log_softmax(ours) * weight).sum()])
    torch.autograd.backward([(torch.log_softmax(theirs, -1) * weight).sum()])
    close(ours.grad, theirs.grad)


@pytest.mark.parametrize("options", [1, 2, 7])
def test_categorical_log_prob_and_entropy_are_torchs(options: int) -> None:
    log_p = log_softmax(2 * normal(5, 6, options))
    theirs: Any = Categorical(logits=log_p)
    for option in range(options):
        category = torch.full((5, 6), option)
        expected = theirs.log_prob(category)
        close(categorical_log_prob(log_p, category), expected)
    close(categorical_entropy(log_p), theirs.entropy())


def test_the_entropy_of_a_fair_die_is_the_log_of_its_faces() -> None:
    torch.testing.assert_close(categorical_entropy(log_softmax(torch.zeros(2, 6))), torch.full((2,), 6.0).log())


def test_the_entropy_of_a_certain_choice_is_0() -> None:
    assert categorical_entropy(log_softmax(torch.tensor([0.0, -1e30, -1e30]))).item() == 0


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


@pytest.mark.parametrize("options", [1, 2, 3, 10, 100])
def test_the_ends_of_the_unit_interval_give_the_first_and_the_last_category(options: int) -> None:
    log_p = log_softmax(normal(1000, options, dtype=torch.float32))
    assert (categorical_sample(log_p, torch.zeros(1000)) == 0).all()
    assert (categorical_sample(log_p, torch.full((1000,), ALMOST_1)) == options - 1).all()


@pytest.mark.parametrize("uniform", [0.0, 0.3, 0.999, 1 - 2**-23, ALMOST_1])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_category_of_probability_0_is_never_drawn(uniform: float, where: str) -> None:
    impossible = {"first": [0, 1], "middle": [2, 3], "last": [4, 5, 6]}[where]
    logits = normal(20_000, 7, dtype=torch.float32)
    logits[:, impossible] = -1e30
    drawn = categorical_sample(log_softmax(logits), torch.full((20_000,), uniform))
    assert not torch.isin(drawn, torch.tensor(impossible)).any()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_gaussian_log_prob_and_entropy_are_torchs(d: int) -> None:
    x, mean, log_std = normal(4, 6, d, seed=1), normal(4, 6, d, seed=2), normal(4, 6, d, seed=3)
    theirs: Any = Normal(mean, log_std.exp())
    log_prob = theirs.log_prob(x).sum(-1)
    entropy = theirs.entropy().sum(-1)
    close(gaussian_log_prob(x, mean, log_std), log_prob)
    close(gaussian_entropy(log_std), entropy)


def test_a_log_std_that_does_not_depend_on_the_state_is_every_rows() -> None:
    x, mean, log_std = normal(4, 4, 3, seed=1), normal(4, 4, 3, seed=2), normal(4, 1, 3, seed=3)
    expected = gaussian_log_prob(x, mean, log_std.expand(4, 4, 3).contiguous())
    close(gaussian_log_prob(x, mean, log_std), expected)


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
