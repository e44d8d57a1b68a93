"""Running statistics against numpy over all data, and against a plain loop of discounted returns."""

import numpy as np
import pytest
import torch
from torch import Tensor

from relook.population import ObservationNormaliser, RewardScaler
from relook.population.normalisers import CLIP

ONE_HOT = torch.tensor([False, False, True, True])


def observations(rows: int, agents: int = 3, seed: int = 0) -> Tensor:
    """Two numbers that differ in place and spread between agents, and two one-hot components."""
    rng = np.random.default_rng(seed)
    own = np.arange(1, agents + 1)[:, None, None]
    numbers = rng.normal(size=(agents, rows, 2)) * own * [1.0, 30.0] + own * [5.0, -100.0]
    state = rng.integers(0, 2, size=(agents, rows))
    return torch.tensor(np.concatenate([numbers, np.eye(2)[state]], -1), dtype=torch.float32)


def batches(count: int = 6) -> list[Tensor]:
    return [observations(rows=5 + 7 * i, seed=i) for i in range(count)]


def after(given: list[Tensor], one_hot: Tensor = ONE_HOT) -> ObservationNormaliser:
    normaliser = ObservationNormaliser(len(given[0]), one_hot)
    for batch in given:
        normaliser.update(batch)
    return normaliser


def test_statistics_are_numpys_over_everything_seen() -> None:
    given = batches()
    normaliser = after(given)
    everything = torch.cat(given, 1).double().numpy()
    np.testing.assert_allclose(normaliser.mean, everything.mean(1), rtol=1e-12)
    np.testing.assert_allclose(normaliser.variance, everything.var(1), rtol=1e-12)
    assert normaliser.count == everything.shape[1]


def test_an_observation_loses_its_mean_and_is_divided_by_its_standard_deviation() -> None:
    given = batches()
    everything = torch.cat(given, 1)
    out = after(given)(everything)
    x = everything.double().numpy()[..., :2]
    expected = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    np.testing.assert_allclose(out[..., :2], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out[..., :2].mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(out[..., :2].std(1, correction=0), 1, atol=1e-4)


def test_one_hot_components_are_left_alone() -> None:
    given = batches()
    assert torch.equal(after(given)(given[0])[..., 2:], given[0][..., 2:])
    nothing_marked = after(given, torch.zeros(4, dtype=torch.bool))
    assert not torch.equal(nothing_marked(given[0])[..., 2:], given[0][..., 2:])


def test_a_rare_one_hot_state_is_not_blown_up() -> None:
    common = torch.tensor([1.0, 0.0]).expand(1, 1000, 2)
    rare = torch.tensor([[[0.0, 1.0]]])
    assert torch.equal(after([common], torch.tensor([True, True]))(rare), rare)
    assert after([common], torch.tensor([False, False]))(rare).abs().max() == CLIP


def test_before_it_has_seen_anything_it_changes_nothing() -> None:
    x = observations(5).clamp(-CLIP, CLIP)
    assert torch.equal(ObservationNormaliser(3, ONE_HOT)(x), x)


def test_calling_does_not_move_the_statistics() -> None:
    normaliser = after(batches())
    x = observations(9, seed=99)
    before = normaliser(x)
    normaliser(1000 * x)
    assert torch.equal(normaliser(x), before)
    normaliser.update(x)
    assert not torch.equal(normaliser(x), before)


def test_outliers_are_cut_on_both_sides() -> None:
    normaliser = after(batches())
    x = torch.full((3, 1, 4), 1e6)
    x[:, :, 1] = -1e6
    assert normaliser(x)[..., :2].tolist() == [[[CLIP, -CLIP]]] * 3


def test_a_component_that_never_changes_stays_finite() -> None:
    normaliser = after([torch.full((2, 50, 1), 7.5)], torch.tensor([False]))
    assert (normaliser(torch.full((2, 3, 1), 7.5)) == 0).all()


def test_statistics_of_an_agent_do_not_depend_on_its_neighbours() -> None:
    given = batches()
    together = after(given)
    for a in range(3):
        alone = after([batch[a : a + 1] for batch in given])
        assert torch.equal(alone(given[0][a : a + 1])[0], together(given[0])[a])
        assert torch.equal(alone.variance[0], together.variance[a])
    broken = [batch.clone() for batch in given]
    broken[2][0] = torch.nan
    assert torch.equal(after(broken)(given[0])[1:], together(given[0])[1:])


def test_a_normaliser_that_took_over_a_state_goes_on_like_the_one_that_gave_it() -> None:
    given = batches()
    first, second = after(given), ObservationNormaliser(3, ONE_HOT)
    state = first.state()
    second.load(state)
    x = observations(9, seed=99)
    assert torch.equal(second(x), first(x))
    kept = {name: tensor.clone() for name, tensor in state.items()}
    for normaliser in (first, second):
        normaliser.update(x)
    assert torch.equal(second(x), first(x))
    assert all(torch.equal(state[name], kept[name]) for name in kept)


# --------------------------------------------------------------------------------------------------------- rewards

DISCOUNT = torch.tensor([0.9, 0.5, 0.99])


def rollouts(count: int = 4, agents: int = 3, steps: int = 3, environments: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Rewards [A, T, N] and ends; A = T = N."""
    rng = np.random.default_rng(0)
    shape = (agents, steps, environments)
    scale = np.arange(1, agents + 1)[:, None, None] ** 2
    return [
        (torch.tensor(rng.normal(1, 3, shape) * scale, dtype=torch.float32), torch.tensor(rng.random(shape) < 0.3))
        for _ in range(count)
    ]


def scaled(given: list[tuple[Tensor, Tensor]], discount: Tensor = DISCOUNT) -> RewardScaler:
    agents, _, environments = given[0][0].shape
    scaler = RewardScaler(agents, environments)
    for reward, done in given:
        scaler.update(reward, done, discount)
    return scaler


def naive_scale(given: list[tuple[Tensor, Tensor]], agent: int) -> float:
    """The standard deviation of all running discounted returns, one environment at a time."""
    returns = []
    for n in range(given[0][0].shape[2]):
        running = 0.0
        for reward, done in given:
            for t in range(reward.shape[1]):
                running = running * float(DISCOUNT[agent]) + float(reward[agent, t, n])
                returns.append(running)
                if done[agent, t, n]:
                    running = 0.0
    return float(np.std(returns))


def test_rewards_are_divided_by_the_standard_deviation_of_running_discounted_returns() -> None:
    given = rollouts()
    scaler = scaled(given)
    assert any(done.any() for _, done in given)
    for agent in range(3):
        expected = naive_scale(given, agent)
        assert float(scaler.scale[agent]) == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(scaler(given[0][0])[agent], (given[0][0][agent] / expected).clamp(-CLIP, CLIP))


def test_the_running_return_lives_on_between_rollouts_and_ends_with_an_episode() -> None:
    """One reward of 1 per step, γ = 0.5: 1, 1.5, 1.75 | 1.875 and the episode ends, 1, 1.5."""
    ones, done = torch.ones(1, 3, 1), torch.zeros(1, 3, 1, dtype=torch.bool)
    ends_first = torch.tensor([True, False, False]).view(1, 3, 1)
    scaler = scaled([(ones, done), (ones, ends_first)], torch.tensor([0.5]))
    expected = [1, 1.5, 1.75, 1.875, 1, 1.5]
    assert scaler.mean.item() == pytest.approx(np.mean(expected))
    assert scaler.variance.item() == pytest.approx(np.var(expected))
    assert scaler.discounted_return.item() == 1.5


def test_there_is_no_shift_so_rewards_keep_their_sign_and_their_order() -> None:
    scaler = scaled(rollouts())
    reward = torch.linspace(-2, 2, 9).view(1, 9, 1).expand(3, 9, 1)
    out = scaler(reward)
    assert torch.equal(out.sign(), reward.sign())
    assert (out.diff(dim=1) > 0).all()
    torch.testing.assert_close(out * scaler.scale[:, None, None], reward)


def test_equal_returns_leave_rewards_as_they_are() -> None:
    scaler = RewardScaler(1, 2)
    reward, done = torch.ones(1, 5, 2), torch.ones(1, 5, 2, dtype=torch.bool)
    scaler.update(reward, done, torch.tensor([0.9]))
    assert torch.equal(scaler(reward), reward)


def test_the_scale_moves_only_in_update() -> None:
    given = rollouts()
    scaler = scaled(given)
    before = scaler.scale
    scaler(1000 * given[0][0])
    assert torch.equal(scaler.scale, before)


def test_the_scale_of_an_agent_does_not_depend_on_its_neighbours() -> None:
    given = rollouts()
    together = scaled(given)
    for a in range(3):
        alone = scaled([(r[a : a + 1], d[a : a + 1]) for r, d in given], DISCOUNT[a : a + 1])
        assert torch.equal(alone.scale[0], together.scale[a])


def test_a_scaler_that_is_not_enabled_passes_rewards_through() -> None:
    scaler = RewardScaler(3, 3, enabled=False)
    for reward, done in rollouts():
        scaler.update(100 * reward, done, DISCOUNT)
        assert torch.equal(scaler(100 * reward), 100 * reward)
    assert scaler.scale.tolist() == [1, 1, 1]
