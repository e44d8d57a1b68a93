"""Checks of episodes, their actions and their values."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from doctor.watch.watched_support import (
    EACH,
    ITERATIONS,
    TORQUE,
    TWO,
    Acted,
    Array,
    episode,
    evaluated,
    evaluations,
    flat,
    look,
    training,
)
from relook.doctor.watch import (
    constant_observations,
    endings,
    episode_seeds,
    evaluation_modes,
    q_bias,
    record_agreement,
    returns_differ,
    spread_of_actions,
    unused_actions,
)
from relook.doctor.watch.watched import Actions, Missing, Played, Watched
from relook.runs.reading import AgentRecord

RNG = np.random.default_rng(0)


def acting(number: int, used: Any, **changed: Any) -> tuple[Played, Any]:
    return episode(number, length=len(used), ret=float(len(used)), **changed), used


def with_actions(*each: tuple[Played, Any], **changed: Any) -> Watched:
    acted = Acted([e for e, _ in each], {e.record["number"]: used for e, used in each}, {})
    return training(changed.pop("columns", None), **acted.records(), **changed)


def early(draw: Any, **changed: Any) -> Watched:
    """A hundred training episodes at the beginning."""
    return with_actions(*(acting(i, draw(50), steps=EACH * (1 + i // 20)) for i in range(100)), **changed)


THREE = Actions((3,), np.zeros(0), np.zeros(0), rescaled=True)


def test_an_action_that_is_never_used() -> None:
    random: dict[str, Any] = {"actions": THREE, "columns": {"entropy": flat(1.05)}}
    [finding] = look(unused_actions, early(lambda n: RNG.integers(0, 2, n), **random))
    assert (finding.severity, "all 3 actions" in finding.evidence) == ("error", True)
    assert look(unused_actions, early(lambda n: RNG.integers(0, 3, n), **random)) == []


def test_an_action_used_less_than_exploration_promises() -> None:
    few = {"algorithm": "dqn", "columns": {"epsilon": np.repeat([0.9, 0.05], ITERATIONS // 2)}}
    [finding] = look(unused_actions, early(lambda n: RNG.binomial(1, 0.2, n), **few))
    assert "as ε says" in finding.evidence
    assert look(unused_actions, early(lambda n: RNG.binomial(1, 0.47, n), **few)) == []


@pytest.mark.parametrize(
    "watched",
    [
        early(lambda n: np.zeros((n, 1)), actions=TORQUE),
        early(lambda n: np.zeros(n, int), actions=None),
        early(lambda n: np.zeros(n, int), columns={"entropy": flat(0.1)}),  # no longer random
        training(),
    ],
)
def test_actions_that_cannot_be_judged_are_missing(watched: Watched) -> None:
    with pytest.raises(Missing):
        look(unused_actions, watched)


def late(draw: Any, **changed: Any) -> Watched:
    """Twenty in its later half."""
    return with_actions(*(acting(i, draw(100), steps=EACH * (60 + i)) for i in range(20)), **changed)


def test_actions_that_are_less_spread_out_than_their_entropy() -> None:
    said = {"entropy": flat(0.6, 0.001)}
    [finding] = look(spread_of_actions, late(lambda n: RNG.binomial(1, 0.05, n), columns=said))
    assert (finding.severity, finding.figures["said"] > finding.figures["most"]) == ("error", True)
    assert look(spread_of_actions, late(lambda n: RNG.binomial(1, 0.35, n), columns=said)) == []


def test_continuous_actions_are_measured_in_the_policys_units() -> None:
    said = {"entropy": flat(float(0.5 * np.log(2 * np.pi * np.e * 0.2**2)), 0)}  # σ = .2 of half the range, 2
    asked: dict[str, Any] = {"actions": TORQUE, "columns": said}
    assert look(spread_of_actions, late(lambda n: RNG.normal(0, 0.4, (n, 1)), **asked)) == []
    assert look(spread_of_actions, late(lambda n: RNG.normal(0, 0.2, (n, 1)), **asked))
    with pytest.raises(Missing):
        look(spread_of_actions, late(lambda n: np.full((n, 1), 2.0), **asked))  # cut at the bound: nothing to say


def valued(values: Any, *, digests: bool = True, sizes: int = 4) -> Watched:
    episodes = [
        evaluated(i, i // 5, **({} if digests else {"digest": "same"}), deterministic=i % 2 == 0) for i in range(25)
    ]
    acted = Acted(episodes, {}, {e.record["number"]: values(e.length) for e in episodes})
    return training(**acted.records(), observation_size=sizes)


def test_values_that_never_differ() -> None:
    [finding] = look(constant_observations, valued(lambda n: np.full(n, 3.0)))
    assert (finding.severity, "showed different things" in finding.evidence) == ("error", True)
    [finding] = look(constant_observations, valued(lambda n: np.full(n, 3.0), digests=False))
    assert finding.severity == "warning"
    assert look(constant_observations, valued(lambda n: 3 + 1e-3 * RNG.random(n))) == []
    with pytest.raises(Missing):  # one number that is always the same: a bandit
        look(constant_observations, valued(lambda n: np.full(n, 3.0), digests=False, sizes=1))
    with pytest.raises(Missing):
        look(constant_observations, training(episodes=[evaluated(i, i // 5) for i in range(25)]))


def test_an_agent_that_stands_still_sees_more_when_it_acts_with_noise() -> None:
    def wanders(noisy: Any) -> Watched:
        episodes = [evaluated(i, i // 4, deterministic=i % 2 == 0) for i in range(20)]
        values = {e.record["number"]: np.full(e.length, 3.0) if e.deterministic else noisy(e.length) for e in episodes}
        return training(**Acted(episodes, {}, values).records(), observation_size=4)

    assert look(constant_observations, wanders(RNG.random)) == []
    assert look(constant_observations, wanders(lambda n: np.full(n, 3.0)))


def discounted(value: Any) -> Watched:
    """Three evaluations late in training, of episodes that earn 1 a step and end after 50."""
    episodes = [evaluated(i, 8 + i // 5) for i in range(15)]
    acted = Acted(episodes, {}, {e.record["number"]: value(np.arange(50, 0, -1)) for e in episodes})
    return training(**acted.records())


def test_values_are_compared_with_returns_where_rewards_are_known() -> None:
    [finding] = look(q_bias, discounted(lambda left: np.full(50, 100.0)))  # as if nothing ever ended
    assert (finding.severity, "too high" in finding.evidence) == ("warning", True)
    assert look(q_bias, discounted(lambda left: (1 - 0.99**left) / 0.01)) == []
    with pytest.raises(Missing):  # rewards that differ from step to step
        look(q_bias, training(episodes=[evaluated(i, 8 + i // 5, ret=float(i)) for i in range(15)]))


def moded(drawn: Any, *, entropy: float = 0.5, **changed: Any) -> Watched:
    """One evaluation in both modes."""
    fixed = [evaluated(i, 10, deterministic=True) for i in range(5)]
    both = [*fixed, *(evaluated(i + 5, 10, **changed) for i in range(5))]
    actions = {i: np.zeros(50, int) for i in range(5)} | {i: drawn(50) for i in range(5, 10)}
    return training({"entropy": flat(entropy, 0)}, **Acted(both, actions, {}).records())


def test_a_stochastic_evaluation_that_is_none() -> None:
    [finding] = look(evaluation_modes, moded(lambda n: np.zeros(n, int)))
    assert "same actions" in finding.evidence
    assert look(evaluation_modes, moded(lambda n: RNG.integers(0, 2, n))) == []
    assert look(evaluation_modes, moded(lambda n: np.zeros(40, int), length=40)) == []
    with pytest.raises(Missing):  # a policy that is certain
        look(evaluation_modes, moded(lambda n: np.zeros(n, int), entropy=0.01))


def test_evaluation_seeds() -> None:
    same = [evaluated(i, i // 5, deterministic=True) for i in range(25)]
    moving = [replace(e, reset_seed=e.record["number"] + 500) for e in same]
    shared = [*same, *(episode(i + 100, reset_seed=10_000 + i) for i in range(5))]
    for episodes in (moving, shared):
        assert [finding.severity for finding in look(evaluation_modes, training(episodes=episodes))] == ["error"]
    with pytest.raises(Missing):  # of the other question, after this one had nothing to say
        look(evaluation_modes, training(episodes=same))


def test_rewards_per_step_that_differ_between_training_and_evaluation() -> None:
    train = [episode(i, length=20 + i, ret=20.0 + i) for i in range(30)]
    clipped = [evaluated(i, 1, length=20 + i, ret=0.1 * (20 + i)) for i in range(30)]
    raw = [replace(e, ret=float(e.length)) for e in clipped]
    scores = evaluations([[20.0 + 38 * i, 10.0 + 38 * i] for i in range(11)], deterministic=False)
    [finding] = look(returns_differ, training(episodes=train + clipped, evaluations=scores))
    assert (finding.severity, finding.figures["evaluation"]) == ("error", pytest.approx(0.1))
    assert look(returns_differ, training(episodes=train + raw, evaluations=scores)) == []


def ends(kind: str, length: int, *, limit: int | None = 50, ending: str = "terminated") -> Watched:
    train = [episode(i, length=length, ending=kind) for i in range(40)]
    return training(
        episodes=[*train, *(evaluated(i, 1, length=length, ending=ending) for i in range(40))], time_limit=limit
    )


def test_endings() -> None:
    def severities(watched: Watched) -> list[str]:
        return [finding.severity for finding in look(endings, watched)]

    assert severities(ends("terminated", 51)) == ["error"]  # longer than the limit
    assert severities(ends("terminated", 50, ending="truncated")) == ["error"]  # the limit as an end
    assert severities(ends("terminated", 50)) == ["warning"]  # in both: the environment may do so
    assert severities(ends("truncated", 30)) == ["error"]  # swapped in training alone
    assert severities(ends("truncated", 30, ending="truncated")) == []  # the environment's own
    assert severities(ends("truncated", 50, ending="truncated")) == []
    assert severities(ends("terminated", 30)) == []
    with pytest.raises(Missing):
        look(endings, ends("terminated", 30, limit=None))


def test_seeds_of_training() -> None:
    one_seed_for_all = training(episodes=[episode(i, reset_seed=i // 8) for i in range(80)])
    [finding] = look(episode_seeds, one_seed_for_all)
    assert "10 seeds in 80 episodes" in finding.evidence
    assert look(episode_seeds, training(episodes=[episode(i) for i in range(80)])) == []
    [finding] = look(episode_seeds, training(episodes=[episode(i, reset_seed=None) for i in range(80)]))
    with pytest.raises(Missing):
        look(episode_seeds, training(episodes=[episode(i) for i in range(80)], seeds_each_reset=False))


def test_agents_that_are_one_agent() -> None:
    episodes = [episode(i) for i in range(80)]
    one, twin = training(episodes=episodes), training()
    twin.agent = AgentRecord(1, 1, 0, one.agent.hyperparameters)
    one.peers = [twin]
    [finding] = look(episode_seeds, one)
    assert finding.figures["seeds"] == [0, 1]
    other = training({"policy_loss": flat(-0.02, 0.5)})
    other.agent = twin.agent
    one.peers = [other]
    assert look(episode_seeds, one) == []


def returned(said: float, **changed: Any) -> Watched:
    returns: Array = np.full(ITERATIONS, np.nan)
    returns[0] = said
    return training({"episode_return": returns}, episodes=[episode(i, ret=10.0 + i) for i in range(4)], **changed)


def test_records_that_do_not_agree() -> None:
    [finding] = look(record_agreement, returned(1.15))
    assert "mean return of its 4 episodes, 11.5; found 1.15" in finding.evidence
    assert look(record_agreement, returned(11.5)) == []
    assert look(record_agreement, returned(1.15, all_episodes=False)) == []
    scores = evaluations([[4.0, 6.0]], deterministic=True)
    played = [evaluated(i, 0, deterministic=True, ret=ret) for i, ret in enumerate((4.0, 8.0))]
    [finding] = look(record_agreement, training(episodes=played, evaluations=scores))
    assert "evaluation 0" in finding.evidence
    twice = [episode(1, digest="x"), episode(2, digest="x", ret=5.0)]
    [finding] = look(record_agreement, training(episodes=twice, drop=["episode_return"]))
    assert "same observations and rewards" in finding.evidence
    with pytest.raises(Missing):
        look(record_agreement, training())


def test_two_choices_are_too_many_to_count() -> None:
    several = Actions((2, 2), TWO.middle, TWO.half, rescaled=True)
    with pytest.raises(Missing):
        look(unused_actions, early(lambda n: np.zeros((n, 2), int), actions=several))
