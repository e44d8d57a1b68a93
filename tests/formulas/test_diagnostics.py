"""How good values are said to be, on cases whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.formulas.diagnostics import explained_variance, value_bias


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TARGET = random(3, 200)


def test_perfect_values_explain_everything_without_bias() -> None:
    assert explained_variance(TARGET, TARGET).tolist() == [1, 1, 1]
    assert value_bias(TARGET, TARGET).tolist() == [0, 0, 0]


def test_a_constant_explains_nothing() -> None:
    torch.testing.assert_close(explained_variance(torch.full_like(TARGET, 5.0), TARGET), torch.zeros(3))


def test_values_of_the_wrong_sign_are_worse_than_a_constant() -> None:
    torch.testing.assert_close(explained_variance(-TARGET, TARGET), torch.full((3,), -3.0))


def test_explained_variance_is_blind_to_a_constant_error_and_value_bias_sees_it_with_its_sign() -> None:
    shift = torch.tensor([[2.0], [-3.0], [0.0]])
    torch.testing.assert_close(explained_variance(TARGET + shift, TARGET), torch.ones(3))
    sd = torch.from_numpy(TARGET.numpy().std(1))
    torch.testing.assert_close(value_bias(TARGET + shift, TARGET), shift.squeeze(1) / sd)


def test_both_are_numpys_formula_for_each_agent() -> None:
    value, target = random(4, 4, seed=1), random(4, 4, seed=2)
    v, t = value.double().numpy(), target.double().numpy()
    np.testing.assert_allclose(explained_variance(value, target), 1 - (t - v).var(1) / t.var(1), rtol=1e-5)
    np.testing.assert_allclose(value_bias(value, target), (v - t).mean(1) / t.std(1), rtol=1e-5)


@pytest.mark.parametrize("number", [0.0, 1.0, -2.5, 0.1, -3.3])
@pytest.mark.parametrize("count", [1, 8, 10, 1000])
def test_equal_targets_give_nan_and_only_for_the_agent_that_has_them(number: float, count: int) -> None:
    target = torch.cat([torch.full((1, count), number), torch.arange(float(count)).unsqueeze(0)])
    value = random(2, count)
    for result in (explained_variance(value, target), value_bias(value, target)):
        assert result.isnan().tolist() == [True, count == 1]
