"""Pictures of comparisons: they show the comparison's figures, and a person can read them."""

import re
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from relook.statistics.comparison import Comparison, Rules, compare, follow
from relook.statistics.comparison_plots import pictures
from relook.statistics.references import Reference
from relook.statistics.scores import Training
from relook.statistics.sequential import Plan
from statistics_support import illegible, xs, ys


def trainings(methods: list[str], tasks: list[str], seeds: int, failed: int = 0) -> list[Training]:
    """Method k scores k more than the one before, with a seed's and an episode's noise."""
    rng = np.random.default_rng(0)
    steps = np.linspace(0, 1e5, 6)
    made = []
    for task in tasks:
        for k, method in enumerate(methods):
            for seed in range(seeds):
                scores = (steps / 1e5) * (k + rng.normal()) * 100 + rng.normal(size=6)
                episodes = scores[-1] + rng.normal(0, 20, 10)
                training = Training(method, task, seed, (steps, scores), 1e5, episodes=episodes, seconds=100.0)
                made.append(replace(training, status="diverged") if seed < failed else training)
    return made


def comparison(
    methods: list[str], tasks: list[str], seeds: int, failed: int = 0, scale: bool = True, **rules: Any
) -> Comparison:
    reference = Reference("made up for a test", dict.fromkeys(tasks, (0.0, 100.0))) if scale else None
    if len(tasks) == 1:
        reference = None
    return compare(trainings(methods, tasks, seeds, failed), Rules(resamples=200, **rules), reference)


LONG = ["ppo (sb3) learning_rate=0.0003, entropy_coefficient=0.01", "a2c", "trpo cg_iterations=15, hidden=256,256,256"]
CASES = {
    "two methods": partial(comparison, ["PPO", "A2C"], ["CartPole-v1"], 10, delta=50.0, reach=50.0),
    "a single seed": partial(comparison, ["PPO", "A2C"], ["CartPole-v1"], 1),
    "one method": partial(comparison, ["PPO"], ["CartPole-v1"], 5),
    "failures": partial(comparison, ["PPO", "A2C"], ["CartPole-v1"], 6, failed=2, delta=5.0, score="auc"),
    "never reached": partial(comparison, ["PPO", "A2C"], ["CartPole-v1"], 4, reach=1e6),
    "long names": partial(comparison, LONG, ["CartPole-v1 (mass=0.1)", "Acrobot-v1"], 4, delta=1.0, reach=40.0),
    "nine methods": partial(
        comparison, [f"method {i}" for i in range(9)], ["A-v1", "B-v1"], 5, delta=0.5, adjust="max-t"
    ),
    "26 tasks": partial(comparison, ["SPR", "DrQ"], [f"Game{i}" for i in range(26)], 3, delta=0.5),
    "no common scale": partial(comparison, ["PPO", "A2C", "SAC"], ["A-v1", "B-v1"], 5, scale=False, delta=20.0),
}


@cache
def drawn(case: str) -> tuple[Comparison, dict[str, Figure]]:
    """The comparison of a case and its pictures."""
    found = CASES[case]()
    return found, dict(pictures(found))


def said(figure: Figure) -> str:
    parts = [text.get_text() for legend in figure.legends for text in (legend.get_title(), *legend.get_texts())]
    return " ".join(" ".join(parts).split())


@pytest.mark.parametrize("case", CASES)
def test_a_person_can_read_it(case: str) -> None:
    found, figures = drawn(case)
    for name, figure in figures.items():
        assert illegible(figure) == [], name
        assert re.search(r"\d+ seed", said(figure)), f"{name} says how many seeds"
        if name != "scores":
            assert "95%" in said(figure), f"{name} says what its bars and bands mean"
        for method in found.methods:
            assert method in said(figure), name


def dots(figure: Figure) -> list[list[float]]:
    return [[x for line in at.lines if line.get_marker() == "o" for x in xs(line)] for at in figure.axes]


def test_dots_are_the_figures_and_bars_their_intervals() -> None:
    found, figures = drawn("two methods")
    figure = figures["intervals"]
    names = ["mean", "median", "IQM", "worst quarter"]
    assert dots(figure) == [[found.aggregates[m][name].value for m in found.methods] for name in names]
    bars = [xs(line) for line in figure.axes[0].lines if line.get_marker() == "None"]
    assert [tuple(bar) for bar in bars] == [
        (found.aggregates[m]["mean"].low, found.aggregates[m]["mean"].high) for m in found.methods
    ]
    [difference] = found.differences
    figure = figures["differences"]
    assert dots(figure) == [[difference.mean.value]]
    assert str(difference.verdict) in figure.axes[0].get_yticklabels()[0].get_text()
    assert "δ = 50" in said(figure)
    figure = figures["improvement"]
    assert dots(figure) == [[difference.improvement.value]]


def test_seeds_and_episodes_are_two_different_marks() -> None:
    found, figures = drawn("two methods")
    figure = figures["scores"]
    [at] = figure.axes
    seeds = sorted(ys(line)[0] for line in at.lines if line.get_marker() == "o")
    assert seeds == sorted(np.concatenate([found.raw[m]["CartPole-v1"] for m in found.methods]).tolist())
    episodes = [line for line in at.lines if line.get_marker() == "_"]
    assert sorted(len(ys(line)) for line in episodes) == [10] * 20
    assert "dashes: episodes" in said(figure)


def test_failed_trainings_are_drawn_and_said() -> None:
    _, figures = drawn("failures")
    figure = figures["scores"]
    assert len([line for line in figure.axes[0].lines if line.get_marker() == "x"]) == 4
    assert "×: a training that failed" in said(figure)


def test_all_tasks_are_drawn_and_named() -> None:
    _, figures = drawn("26 tasks")
    figure = figures["scores"]
    assert [at.get_title(loc="left") for at in figure.axes] == [f"Game{i}" for i in range(26)]


def test_the_share_that_reached_a_return() -> None:
    found, figures = drawn("two methods")
    figure = figures["reached"]
    for line, method in zip(figure.axes[0].lines[::2], found.methods, strict=False):
        reached = found.reached["CartPole-v1"][method]
        assert ys(line)[-1] == pytest.approx(reached.reached.mean())
    _, figures = drawn("never reached")
    figure = figures["reached"]
    assert all(max(ys(line)) == 0 for line in figure.axes[0].lines)


@pytest.mark.parametrize("methods", [["A", "B"], ["A", "B", "C", "D"]])
def test_looks_are_drawn_against_their_boundary(methods: list[str]) -> None:
    found = comparison(methods, ["CartPole-v1"], 10)
    plan = Plan(5, 2, 0.05, None, "mean", "linear")
    looks = (plan, follow(found, plan))
    figure = dict(pictures(found, looks))["looks"]
    assert illegible(figure) == []
    for at, (_, _, path) in zip(figure.axes, looks[1], strict=True):
        [line] = [line for line in at.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(ys(line), np.asarray(path.statistic))
    assert "10 seeds" in said(figure) or "seeds of each method" in figure.axes[-1].get_xlabel()
