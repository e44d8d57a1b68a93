"""Moments of data that comes at once or in pieces."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from relook.formulas.normalisation import merge_moments, moments, normalised


def data(*shape: int, seed: int = 0) -> torch.Tensor:
    """Every agent and component has its own mean and spread."""
    rng = np.random.default_rng(seed)
    own = (shape[0], 1, *shape[2:])
    return torch.from_numpy(rng.normal(size=own) * 5 + rng.normal(size=shape) * (1 + rng.random(own) * 3))


@pytest.mark.parametrize("shape", [(3, 7), (3, 3), (1, 1), (4, 50, 6), (3, 3, 3)])
def test_moments_are_numpys_over_the_second_axis(shape: tuple[int, ...]) -> None:
    x = data(*shape)
    mean, variance = moments(x)
    np.testing.assert_allclose(mean, x.numpy().mean(1), rtol=1e-12)
    np.testing.assert_allclose(variance, x.numpy().var(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [3, 13, 100, 2048])
def test_moments_of_an_agent_do_not_depend_on_its_neighbours(rows: int) -> None:
    x = data(10, rows).float()
    together = moments(x)
    for a in range(10):
        alone = moments(x[a : a + 1].clone())
        assert all(torch.equal(x[0], y[a]) for x, y in zip(alone, together, strict=True))


@pytest.mark.parametrize("cuts", [[0, 60], [0, 1, 60], [0, 10, 11, 40, 60], list(range(61))])
def test_merged_moments_are_those_of_all_data(cuts: list[int]) -> None:
    """From nothing (count 0), whatever mean and variance nothing is said to have."""
    x = data(3, 60, 2)
    count, mean, variance = 0.0, torch.full((3, 2), 5.0, dtype=torch.float64), torch.ones(3, 2, dtype=torch.float64)
    for start, stop in pairwise(cuts):
        piece = x[:, start:stop]
        count, mean, variance = merge_moments(count, mean, variance, float(stop - start), *moments(piece))
    assert count == 60
    np.testing.assert_allclose(mean, x.numpy().mean(1), rtol=1e-11)
    np.testing.assert_allclose(variance, x.numpy().var(1), rtol=1e-11)


def test_merging_is_symmetric_and_counts_weigh() -> None:
    """{0, 0, 0} and {4}: mean 1, variance (3·1 + 9) / 4."""
    zero, four = torch.tensor(0.0), torch.tensor(4.0)
    for merged in (merge_moments(3.0, zero, zero, 1.0, four, zero), merge_moments(1.0, four, zero, 3.0, zero, zero)):
        assert [float(x) for x in merged] == [4, 1, 3]


def test_normalised_advantages_have_mean_0_and_sd_1_for_each_agent() -> None:
    advantage = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * torch.tensor([[1.0], [50.0], [0.01]])
    out = normalised(advantage + 5)
    torch.testing.assert_close(out.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert normalised(torch.ones(1, 1)).item() == 0.0
