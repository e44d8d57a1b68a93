"""Generalised advantage estimates against plain loops and numbers worked out by hand."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from relook.formulas.returns import gae, reward_to_go, squared_error, td_target


class Case(NamedTuple):
    """The arguments of `gae`, in its order."""

    reward: Tensor
    value: Tensor
    next_value: Tensor
    terminated: Tensor
    truncated: Tensor
    discount: Tensor
    lam: Tensor


def random_case(seed: int, shape: tuple[int, int, int], ends: float = 0.3, dtype: torch.dtype = torch.float64) -> Case:
    """Rewards, values and next values are unrelated; the two flags are drawn independently, so both occur at once."""
    rng = np.random.default_rng(seed)
    numbers = [torch.tensor(rng.normal(size=shape), dtype=dtype) for _ in range(3)]
    flags = [torch.tensor(rng.random(shape) < ends) for _ in range(2)]
    per_agent = [torch.tensor(rng.random(shape[0]), dtype=dtype) for _ in range(2)]
    return Case(*numbers, *flags, *per_agent)


def naive(
    case: Case, *, unbootstrapped: Tensor | None = None, cut: Tensor | None = None, swapped: bool = False
) -> NDArray[np.float64]:
    """One agent, one environment, one step at a time, in float64. The keywords make it wrong in a chosen way."""
    reward, value, next_value, terminated, truncated, discount, lam = (x.double().numpy() for x in case)
    no_next = terminated if unbootstrapped is None else unbootstrapped.numpy()
    stop = np.logical_or(terminated, truncated) if cut is None else cut.numpy()
    if swapped:
        discount, lam = lam, discount
    agents, steps, environments = reward.shape
    advantage = np.zeros(reward.shape)
    for a in range(agents):
        for n in range(environments):
            following = 0.0
            for t in range(steps - 1, -1, -1):
                bootstrap = 0.0 if no_next[a, t, n] else next_value[a, t, n]
                delta = reward[a, t, n] + discount[a] * bootstrap - value[a, t, n]
                following = delta if stop[a, t, n] else delta + discount[a] * lam[a] * following
                advantage[a, t, n] = following
    return advantage


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    ends=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
)
def test_gae_is_the_naive_loop(seed: int, shape: tuple[int, int, int], ends: float) -> None:
    case = random_case(seed, shape, ends)
    np.testing.assert_allclose(gae(*case).numpy(), naive(case), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 3, 1), (1, 1, 1), (10, 128, 8)])
def test_gae_in_float32_is_the_naive_loop_also_when_axes_are_equally_long(shape: tuple[int, int, int]) -> None:
    case = random_case(7, shape, dtype=torch.float32)
    got = gae(*case)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), naive(case), rtol=1e-5, atol=1e-5)


CASE = random_case(11, (4, 4, 3))
"""T equals A."""

NEVER = torch.zeros_like(CASE.terminated)

WRONG = {
    "flags merged": naive(CASE, unbootstrapped=CASE.terminated | CASE.truncated),
    "bootstrap after a termination": naive(CASE, unbootstrapped=NEVER),
    "truncation taken for termination and the other way round": naive(CASE, unbootstrapped=CASE.truncated),
    "recursion across a truncation": naive(CASE, cut=CASE.terminated),
    "recursion across a termination": naive(CASE, cut=CASE.truncated),
    "recursion never cut": naive(CASE, cut=NEVER),
    "γ and λ swapped": naive(CASE, swapped=True),
    "γ of another agent": naive(CASE._replace(discount=CASE.discount.roll(1))),
    "λ of another agent": naive(CASE._replace(lam=CASE.lam.roll(1))),
    "one γ for all agents": naive(CASE._replace(discount=CASE.discount[:1].expand(4))),
    "γ along time": np.swapaxes(naive(Case(*(x.transpose(0, 1) if x.ndim == 3 else x for x in CASE))), 0, 1),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_the_comparison_would_notice(wrong: NDArray[np.float64]) -> None:
    assert np.abs(gae(*CASE).numpy() - wrong).max() > 0.1


def test_the_masks_that_are_compared_hold_both_flags_each_alone_and_together() -> None:
    kinds = {(bool(x), bool(y)) for x, y in zip(CASE.terminated.flatten(), CASE.truncated.flatten(), strict=True)}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}


def one(*numbers: float) -> Tensor:
    """[1, T, 1]."""
    return torch.tensor(numbers, dtype=torch.float32).reshape(1, -1, 1)


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # δ = (1 + 0.5·10 - 2, 3 + 0.5·20 - 4) = (4, 9); Â_0 = 4 + 0.5·0.5·9 = 6.25
        (one(0, 0), one(0, 0), one(6.25, 9)),
        # Nothing follows step 0: δ_0 = 1 - 2, and no recursion.
        (one(1, 0), one(0, 0), one(-1, 9)),
        # The state after step 0 keeps its value, but the recursion stops.
        (one(0, 0), one(1, 0), one(4, 9)),
        # Both at once is a termination.
        (one(1, 0), one(1, 0), one(-1, 9)),
        # The same at the last step: δ_1 = 3 - 4.
        (one(0, 1), one(0, 0), one(3.75, -1)),
        (one(0, 0), one(0, 1), one(6.25, 9)),
    ],
    ids=["no end", "terminated", "truncated", "both", "terminated last", "truncated last"],
)
def test_truncation_bootstraps_and_termination_does_not(
    terminated: Tensor, truncated: Tensor, expected: Tensor
) -> None:
    half = torch.tensor([0.5])
    got = gae(one(1, 3), one(2, 4), one(10, 20), terminated.bool(), truncated.bool(), half, half)
    assert got.tolist() == expected.tolist()


def test_lambda_0_is_the_one_step_temporal_difference_error() -> None:
    case = random_case(3, (5, 7, 2))._replace(lam=torch.zeros(5, dtype=torch.float64))
    gamma = case.discount[:, None, None]
    error = case.reward + gamma * case.next_value * (~case.terminated) - case.value
    torch.testing.assert_close(gae(*case), error, rtol=1e-12, atol=1e-12)


def test_lambda_1_is_the_discounted_return_minus_the_value() -> None:
    """With next values that are the values of the next states; the last state bootstraps."""
    steps, gamma = 6, 0.9
    rng = np.random.default_rng(5)
    reward, values = rng.normal(size=steps), rng.normal(size=steps + 1)
    tensors = [torch.tensor(x).reshape(1, steps, 1) for x in (reward, values[:-1], values[1:])]
    no_end = torch.zeros(1, steps, 1, dtype=torch.bool)
    ones = torch.ones(1, dtype=torch.float64)
    got = gae(tensors[0], tensors[1], tensors[2], no_end, no_end, gamma * ones, ones).flatten().numpy()
    for t in range(steps):
        ret = sum(gamma ** (k - t) * reward[k] for k in range(t, steps)) + gamma ** (steps - t) * values[-1]
        assert got[t] == pytest.approx(ret - values[t], rel=1e-12)


def test_every_agent_gets_what_it_gets_alone() -> None:
    case = random_case(9, (5, 5, 3), dtype=torch.float32)
    together = gae(*case)
    for a in range(5):
        assert torch.equal(gae(*(x[a : a + 1] for x in case))[0], together[a])


def test_values_after_a_termination_do_not_matter_even_if_they_are_not_finite() -> None:
    case = random_case(13, (2, 5, 2))
    broken = case._replace(next_value=torch.where(case.terminated, torch.nan, case.next_value))
    assert torch.equal(gae(*broken), gae(*case))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    ends=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
)
def test_the_reward_to_go_is_the_naive_loop(seed: int, shape: tuple[int, int, int], ends: float) -> None:
    case = random_case(seed, shape, ends)
    end, beyond = case.terminated | case.truncated, case.value
    expected = np.zeros(shape)
    for a, n in np.ndindex(shape[0], shape[2]):
        for t in range(shape[1]):
            factor = 1.0
            for later in range(t, shape[1]):
                expected[a, t, n] += factor * case.reward[a, later, n].item()
                factor *= case.discount[a].item()
                if end[a, later, n]:
                    expected[a, t, n] += factor * beyond[a, later, n].item()
                    break
    np.testing.assert_allclose(reward_to_go(case.reward, end, beyond, case.discount).numpy(), expected, atol=1e-12)


def test_the_reward_to_go_is_the_lambda_1_return_when_values_say_nothing() -> None:
    """GAE with λ = 1 and V = 0, but behind truncations, is the same sum."""
    case = random_case(5, (3, 7, 2))
    beyond = torch.where(case.truncated & ~case.terminated, case.next_value, 0.0)
    advantage = gae(
        case.reward,
        torch.zeros_like(case.value),
        beyond,
        case.terminated,
        case.truncated,
        case.discount,
        torch.ones_like(case.lam),
    )
    torch.testing.assert_close(
        reward_to_go(case.reward, case.terminated | case.truncated, beyond, case.discount), advantage
    )


def test_a_td_target_bootstraps_through_truncation_alone() -> None:
    """`terminated` removes what follows, by choice and not by a product, which would let NaN through."""
    reward, following = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0, torch.nan, 30.0]])
    terminated, discount = torch.tensor([[False, True, False]]), torch.tensor([[0.5, 0.5, 0.25]])
    assert td_target(reward, following, terminated, discount).tolist() == [[6.0, 2.0, 10.5]]


def test_the_squared_error_is_each_critics_own_and_its_slope_that_of_the_sum_of_means() -> None:
    q, target = torch.randn(2, 3, 4).requires_grad_(), torch.randn(2, 4)
    errors, slope = squared_error(q.detach(), target)
    expected = (q - target[:, None]).square()
    torch.testing.assert_close(errors, expected.detach())
    expected.mean(2).sum().backward()
    torch.testing.assert_close(slope, q.grad)
