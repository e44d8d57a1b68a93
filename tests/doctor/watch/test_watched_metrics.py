"""Checks of metrics: each fires on a fault, keeps quiet on its healthy twin, and says what is missing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from doctor.watch.watched_support import (
    EACH,
    ITERATIONS,
    TORQUE,
    cut,
    evaluations,
    flat,
    line,
    look,
    on_policy,
    progress,
    training,
)
from relook.doctor.findings import COMPONENTS
from relook.doctor.watch import (
    annealing,
    clip_fraction,
    dead_steps,
    divergence,
    dormant_units,
    entropy_collapse,
    entropy_maximum,
    environment_fault,
    explained_variance,
    gradient_norm,
    impossible_numbers,
    lost_returns,
    policy_steps,
    q_bias,
    replay_age,
    returns_differ,
    reward_scale,
    saturation,
    still_policy,
    surrogate,
    target_lag,
    temperature_drift,
    update_count,
    value_bias,
    value_bound,
)
from relook.doctor.watch.checks import CHECKS
from relook.doctor.watch.watched import Missing, Watched

STUCK = {"episode_return": flat(20, 0.1)}
FALLS = {"episode_return": line(400, 20)}


def stopped(**event: Any) -> Watched:
    return training(stop={"status": "diverged", "reason": "its q_loss became nan", "steps": 512, **event})


def sac(columns: dict[str, Any] | None = None, asked: dict[str, Any] | None = None, **changed: Any) -> Watched:
    return training(columns, asked, algorithm="sac", actions=TORQUE, **changed)


def dqn(columns: dict[str, Any] | None = None, asked: dict[str, Any] | None = None, **changed: Any) -> Watched:
    return training(columns, asked, algorithm="dqn", **changed)


def on_trust_region(columns: dict[str, Any]) -> Watched:
    """A TRPO agent."""
    metrics = on_policy() | {"improvement": np.abs(flat(0.01)), "kl": np.full(ITERATIONS, 0.0099)} | columns
    watched = training(metrics, {"target_kl": 0.01})
    return replace(watched, run=replace(watched.run, algorithm="trpo"))


def waving(share: float, high: float, low: float) -> Any:
    """A column that has one value in a share of the iterations, evenly spread, and another in the rest."""
    return np.where(np.arange(ITERATIONS) % 100 < 100 * share, high, low).astype(float)


CERTAIN: dict[str, tuple[Any, str, Callable[[], Watched], Callable[[], Watched]]] = {
    "diverged": (divergence, "error", stopped, lambda: stopped(during="train")),
    "crashed": (environment_fault, "error", lambda: stopped(status="crashed"), stopped),
    "infinite reward": (environment_fault, "error", lambda: stopped(during="train"), training),
    "negative KL": (
        impossible_numbers,
        "error",
        lambda: training({"kl": -np.abs(flat(0.01))}),
        lambda: training({"kl": np.full(ITERATIONS, -1e-9)}),
    ),
    "more entropy than there is": (
        impossible_numbers,
        "error",
        lambda: training({"entropy": flat(0.75, 0)}),
        lambda: training({"entropy": flat(0.6931, 0)}),
    ),
    "annealed too early": (
        annealing,
        "error",
        lambda: training({"learning_rate": 1e-3 * np.clip(1 - 2 * progress(), 0, 1)}),
        lambda: training({"learning_rate": np.full(ITERATIONS, 1e-3)}, {"anneal_learning_rate": False}),
    ),
    "a fixed rate that should fall": (
        annealing,
        "error",
        lambda: training({"learning_rate": np.full(ITERATIONS, 1e-3)}),
        training,
    ),
    "ε that does not fall": (annealing, "error", lambda: dqn({"epsilon": np.ones(ITERATIONS)}), dqn),
    "one minibatch": (update_count, "error", lambda: training({"updates": np.ones(ITERATIONS)}), training),
    "half the updates": (
        update_count,
        "error",
        lambda: sac({"update_to_data": np.full(ITERATIONS, 0.5)}),
        lambda: sac({"update_to_data": np.full(ITERATIONS, 0.5)}, {"update_to_data": 0.5, "update_interval": 2}),
    ),
    "only the newest": (
        replay_age,
        "error",
        lambda: sac({"replay_age": np.full(ITERATIONS, 256.0)}),
        lambda: sac({"replay_age": np.full(ITERATIONS, 256.0)}, {"capacity": EACH}),
    ),
    "nothing moves": (
        dead_steps,
        "error",
        lambda: training({"step_size": np.zeros(ITERATIONS)}),
        lambda: training({"step_size": np.zeros(ITERATIONS), "value_loss": np.zeros(ITERATIONS)}),
    ),
    "no gradient for the policy": (
        dead_steps,
        "error",
        lambda: sac({"policy_gradient_norm": np.zeros(ITERATIONS)}),
        lambda: sac({"policy_gradient_norm": waving(0.3, 0.0, 0.5)}),
    ),
    "the policy stands still": (
        still_policy,
        "error",
        lambda: training({"kl": np.zeros(ITERATIONS)}),
        lambda: training({"kl": np.full(ITERATIONS, 1e-9)}),
    ),
    "the policy has nothing to learn": (
        still_policy,
        "error",
        lambda: training({"kl": np.zeros(ITERATIONS)}),
        lambda: training({"kl": np.zeros(ITERATIONS), "explained_variance": waving(0.95, np.nan, 0.5)}),
    ),
    "uphill": (
        surrogate,
        "error",
        lambda: training({"policy_loss": np.abs(flat(0.01))}),
        lambda: training({"policy_loss": waving(0.3, 0.01, -0.02)}),
    ),
    "a line search that makes it worse": (
        surrogate,
        "error",
        lambda: on_trust_region({"improvement": -np.abs(flat(0.01))}),
        lambda: on_trust_region({}),
    ),
    "beyond the trust region": (
        policy_steps,
        "error",
        lambda: on_trust_region({"kl": np.full(ITERATIONS, 0.012)}),
        lambda: on_trust_region({"kl": np.full(ITERATIONS, 0.0102)}),
    ),
    "enormous steps while returns fall": (
        policy_steps,
        "error",
        lambda: training({"kl": np.full(ITERATIONS, 3.0), **FALLS}),
        lambda: training({"kl": np.full(ITERATIONS, 0.3), **FALLS}),
    ),
    "enormous steps": (
        policy_steps,
        "warning",
        lambda: training({"kl": np.full(ITERATIONS, 3.0)}),
        lambda: training({"kl": np.full(ITERATIONS, 0.04)}),
    ),
    "clipped, and yet no KL": (
        clip_fraction,
        "error",
        lambda: training({"clip_fraction": flat(0.4), "kl": np.full(ITERATIONS, 1e-4)}, {"anneal_clip": False}),
        lambda: training({"clip_fraction": flat(0.4), "kl": np.full(ITERATIONS, 0.01)}, {"anneal_clip": False}),
    ),
    "most samples clipped": (
        clip_fraction,
        "warning",
        lambda: training({"clip_fraction": flat(0.7), "kl": np.full(ITERATIONS, 0.2), **STUCK}),
        lambda: training({"clip_fraction": flat(0.7), "kl": np.full(ITERATIONS, 0.2)}),
    ),
    "the target is the network": (
        target_lag,
        "error",
        lambda: sac({"target_lag": np.zeros(ITERATIONS)}),
        lambda: dqn({"target_lag": np.zeros(ITERATIONS)}),  # copied where the iteration ends
    ),
    "the target never moves": (
        target_lag,
        "error",
        lambda: sac({"target_lag": line(0.1, 0.9)}),
        lambda: sac({"target_lag": line(0.1, 0.2)}),
    ),
    "τ and 1 - τ swapped": (
        target_lag,
        "error",
        lambda: sac({"target_lag": np.full(ITERATIONS, 3e-6)}),
        lambda: sac({"target_lag": np.full(ITERATIONS, 0.006)}),
    ),
    "the temperature runs away": (
        temperature_drift,
        "error",
        lambda: sac({"temperature": np.exp(line(0, 4, 0.0))}),
        lambda: sac({"temperature": np.exp(line(0, 4, 0.0)), "entropy": line(-2, -1.5, 0.0)}),
    ),
    "the temperature vanishes": (
        temperature_drift,
        "error",
        lambda: sac({"entropy": line(-2, -3, 0.0)}),
        lambda: sac({"entropy": line(-0.98, -1.02, 0.0)}),
    ),
    "a fixed temperature that moves": (
        temperature_drift,
        "error",
        lambda: sac({}, {"learn_temperature": False}),
        lambda: sac({"temperature": np.full(ITERATIONS, 1.0)}, {"learn_temperature": False}),
    ),
    "the temperature outweighs everything": (
        temperature_drift,
        "error",
        lambda: sac({"temperature": np.exp(line(0, 16, 0.0)), "entropy": line(-2, -1.5, 0.0)}),
        lambda: sac({"temperature": np.exp(line(0, 5, 0.0)), "entropy": line(-2, -1.5, 0.0)}),
    ),
    "a return that never ends": (
        reward_scale,
        "error",
        lambda: training({"reward_scale": line(10, 500)}),
        lambda: training({"reward_scale": line(10, 40)}),
    ),
    "scaled although it is off": (
        reward_scale,
        "error",
        lambda: training({}, {"scale_rewards": False}),
        lambda: training({"reward_scale": np.ones(ITERATIONS)}, {"scale_rewards": False}),
    ),
    "values without limit": (
        value_bound,
        "error",
        lambda: sac({"q": -np.exp(line(2, 11))}),
        lambda: sac({"q": line(-5, -700)}),
    ),
    "values above the bound": (
        value_bound,
        "warning",
        lambda: training({"value": line(1, 450)}),
        lambda: training({"value": line(1, 250)}),
    ),
    "certain of nothing": (
        entropy_collapse,
        "error",
        lambda: training({"entropy": np.exp(line(-0.4, -60, 0.0)), **FALLS}),
        lambda: training({"entropy": np.exp(line(-0.4, -60, 0.0))}),
    ),
    "certain of nothing, late": (
        entropy_collapse,
        "warning",
        lambda: training({"entropy": np.exp(line(-0.4, -8, 0.0)), **FALLS}),
        lambda: training({"entropy": line(0.6, 0.1), **FALLS}),
    ),
    "narrow and no better": (
        entropy_collapse,
        "warning",
        lambda: training({"entropy": line(1.4, -3), **STUCK}, actions=TORQUE),
        lambda: training({"entropy": line(1.4, -0.5), **STUCK}, actions=TORQUE),
    ),
    "random for ever, and asked to be": (
        entropy_maximum,
        "error",
        lambda: training({"entropy": flat(0.69, 0.0005), **STUCK}, {"entropy_coefficient": 5.0}),
        lambda: training({"entropy": flat(0.66, 0.0005), **STUCK}, {"entropy_coefficient": 5.0}),
    ),
    "random for ever": (
        entropy_maximum,
        "warning",
        lambda: training({"entropy": flat(0.6928, 0.0001), **STUCK}),
        lambda: training({"entropy": flat(0.6928, 0.0001)}),
    ),
    "wider and wider": (
        entropy_maximum,
        "warning",
        lambda: training({"entropy": line(1.4, 3.0), **STUCK}, actions=TORQUE),
        lambda: training({"entropy": line(1.4, 0.5), **STUCK}, actions=TORQUE),
    ),
    "gradients without limit": (
        gradient_norm,
        "error",
        lambda: training({"gradient_norm": np.exp(line(0, 14))}),
        lambda: training({"gradient_norm": np.exp(line(0, 3))}),
    ),
    "asleep": (
        dormant_units,
        "warning",
        lambda: sac({"dormant": line(0.1, 0.9)}),
        lambda: sac({"dormant": line(0.1, 0.5)}),
    ),
    "dead": (
        dormant_units,
        "error",
        lambda: sac({"dormant": np.ones(ITERATIONS)}),
        lambda: sac({"dormant": waving(0.4, 1.0, 0.2)}),
    ),
    "at the bound": (
        saturation,
        "warning",
        lambda: sac({"saturation": np.ones(ITERATIONS), **STUCK}),
        lambda: sac({"saturation": np.ones(ITERATIONS)}),
    ),
    "values that explain nothing": (
        explained_variance,
        "warning",
        lambda: training({"explained_variance": -np.abs(flat(0.3)), **STUCK}),
        lambda: training({"explained_variance": -np.abs(flat(0.3))}),
    ),
    "values off by a constant": (
        value_bias,
        "warning",
        lambda: training({"value_bias": flat(8), "value_loss": np.full(ITERATIONS, 400.0)}),
        lambda: training({"value_bias": flat(8), "value_loss": np.full(ITERATIONS, 0.01)}),  # solved: targets are equal
    ),
    "values that promise too much": (
        q_bias,
        "warning",
        lambda: sac({"q_bias": np.repeat(np.linspace(500, 900, 10), 10)}),
        lambda: sac({"q_bias": np.repeat(np.linspace(500, 50, 10), 10)}),
    ),
    "forgotten": (
        lost_returns,
        "warning",
        lambda: training({"episode_return": np.concatenate([line(20, 500), flat(20)])[::2]}),
        lambda: training({"episode_return": np.concatenate([line(20, 500), flat(300)])[::2]}),
    ),
    "worse than untrained": (
        lost_returns,
        "warning",
        lambda: training({"episode_return": line(22, 9)}),
        lambda: training({"episode_return": flat(20, 0.3)}),
    ),
    "evaluation sees less": (
        returns_differ,
        "error",
        lambda: training(evaluations=evaluations([[20 + i, 9.0] for i in range(11)], deterministic=False)),
        lambda: training(
            evaluations=evaluations([[20.0 + 38 * i, 10.0 + 38 * i] for i in range(11)], deterministic=False)
        ),
    ),
    "greedy sees less": (
        returns_differ,
        "warning",
        lambda: dqn(evaluations=evaluations([[-1400.0, -1390.0]] * 11, deterministic=True)),
        lambda: dqn(evaluations=evaluations([[-140.0, -100.0]] * 11, deterministic=True)),  # exploration costs
    ),
}
"""A check, how severe it is, a training in which it must find something, and one much like it in which it must not."""


@pytest.mark.parametrize("name", CERTAIN)
def test_a_fault_is_found_and_its_healthy_twin_is_not(name: str) -> None:
    check, severity, broken, healthy = CERTAIN[name]
    [finding] = look(check, broken())
    assert (finding.severity, finding.check) == (severity, check.CHECK)
    assert finding.evidence.startswith("expected ")
    assert "; " in finding.evidence
    assert finding.where
    assert finding.figures["excess"] > 0
    try:
        assert look(check, healthy()) == []
    except Missing:
        assert name in ("nothing moves", "the policy has nothing to learn")  # where there is nothing to learn


@pytest.mark.parametrize("watched", [training(), sac(), dqn(), on_trust_region({})], ids=["ppo", "sac", "dqn", "trpo"])
def test_nothing_is_found_in_what_is_healthy_at_any_time(watched: Watched) -> None:
    looked = set()
    for rows in (0, 1, 2, 5, 10, 20, 50, 100):
        for check in CHECKS:
            try:
                assert look(check, cut(watched, rows)) == [], (check.CHECK.name, rows)
                looked.add(check.CHECK.name)
            except Missing:
                continue
    assert len(looked) >= 11


MISSING = {
    **dict.fromkeys((explained_variance, value_bias, still_policy, policy_steps, clip_fraction, reward_scale), "dqn"),
    **dict.fromkeys((temperature_drift, target_lag, replay_age, dormant_units, saturation, q_bias), "ppo"),
    **dict.fromkeys((surrogate, entropy_collapse, entropy_maximum), "dqn"),
}
"""Checks, and an algorithm that does not record what they look at."""


@pytest.mark.parametrize("check", MISSING, ids=lambda check: check.CHECK.name)
def test_what_is_not_recorded_is_missing_and_not_wrong(check: Any) -> None:
    with pytest.raises(Missing):
        look(check, training(algorithm=MISSING[check]))


@pytest.mark.parametrize("check", [annealing, update_count, dead_steps, value_bound, gradient_norm, lost_returns])
def test_without_metrics_there_is_nothing_to_say(check: Any) -> None:
    with pytest.raises(Missing):
        look(check, training({}, drop=list(on_policy())))


def test_a_training_that_was_changed_on_its_way_has_no_schedule() -> None:
    with pytest.raises(Missing):
        look(annealing, training({"learning_rate": np.full(ITERATIONS, 1e-3)}, straight=False))


def test_columns_without_a_number_are_missing() -> None:
    never = np.full(ITERATIONS, np.nan)
    for check in CHECKS:
        try:
            assert look(check, training(dict.fromkeys(on_policy(), never))) == []
        except Missing:
            continue


def test_every_check_says_all_that_a_finding_needs() -> None:
    names = [check.CHECK.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        about = check.CHECK
        assert about.component in COMPONENTS
        assert about.name == check.__name__.rpartition(".")[2].replace("_", "-")  # type: ignore[attr-defined]
        assert len(about.causes) >= 3
        assert about.asks.endswith(".")
        assert about.remedy.endswith(".")
        assert len(about.lesson) > 250
