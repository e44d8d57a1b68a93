"""How good values are said to be, on cases whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.formulas.diagnostics import dormant, explained_variance, monte_carlo_bias, value_bias


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


def test_the_bias_against_returns_is_over_all_steps_of_all_episodes() -> None:
    """Against a walk through each episode; the steps beyond an episode's end hold nonsense."""
    steps, agents, episodes = 9, 2, 3
    value, reward = random(steps, agents, episodes, seed=1), random(steps, agents, episodes, seed=2)
    length = torch.tensor([[9, 4, 1], [2, 9, 6]])
    terminated = torch.tensor([[True, True, True], [True, False, False]])
    gamma = torch.tensor([0.9, 0.5])
    for a in range(agents):
        errors = []
        for n in range(episodes):
            last = int(length[a, n]) - 1
            total = 0.0 if terminated[a, n] else float(value[last, a, n])
            for t in reversed(range(last + 1)):
                if t < last or terminated[a, n]:
                    total = float(reward[t, a, n]) + float(gamma[a]) * total
                    errors.append(float(value[t, a, n]) - total)
        found = monte_carlo_bias(value, reward, length, terminated, gamma)
        assert float(found[a]) == pytest.approx(np.mean(errors), abs=1e-5)


def test_values_that_are_right_have_no_bias_and_a_constant_error_is_it() -> None:
    """A reward of 1 for ever is worth 1 / (1 - γ), whether an episode is cut or the values know of its end."""
    value, reward, length = torch.full((5, 1, 2), 10.0), torch.ones(5, 1, 2), torch.full((1, 2), 5)
    cut, gamma = torch.zeros(1, 2, dtype=torch.bool), torch.tensor([0.9])
    torch.testing.assert_close(monte_carlo_bias(value, reward, length, cut, gamma), torch.zeros(1))
    ending = torch.tensor([4.0951, 3.439, 2.71, 1.9, 1.0]).view(5, 1, 1).expand(5, 1, 2)
    torch.testing.assert_close(monte_carlo_bias(ending, reward, length, ~cut, gamma), torch.zeros(1))
    torch.testing.assert_close(monte_carlo_bias(ending + 3, reward, length, ~cut, gamma), torch.full((1,), 3.0))


def test_an_agent_without_episodes_has_no_bias() -> None:
    nothing = torch.zeros(1, 2, dtype=torch.int64)
    found = monte_carlo_bias(torch.ones(3, 1, 2), torch.ones(3, 1, 2), nothing, nothing > 0, torch.ones(1))
    assert not found.isfinite()


def test_dormant_units_are_counted_against_their_own_layer() -> None:
    first = torch.tensor([1.0, -1.0, 0.0, 0.02, 2.0]).expand(1, 6, 5)
    second = 100 * torch.tensor([1.0, 0.03, 0.001]).expand(1, 6, 3)
    assert dormant([first]).tolist() == [pytest.approx(2 / 5)], "0.025 × 0.804 is just above 0.02"
    assert dormant([first, second]).tolist() == [pytest.approx(3 / 8)]
    assert dormant([first, second], threshold=0.0).tolist() == [pytest.approx(1 / 8)]
    both = dormant([torch.cat([first, torch.ones_like(first)])])
    assert both.tolist() == [pytest.approx(2 / 5), 0]


def test_a_unit_that_answers_seldom_but_loudly_is_awake() -> None:
    layer = torch.zeros(1, 10, 2)
    layer[:, :, 1], layer[:, 0, 0] = 1.0, -5.0
    assert dormant([layer]).tolist() == [0]
