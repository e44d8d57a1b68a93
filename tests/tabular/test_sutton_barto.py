"""Figures of Sutton & Barto: those that are exact or take a second, and the page that is made of all."""

import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from benchmarks.sutton_barto import (
    BETTER,
    CAR_GAMMA,
    CARRY,
    FIGURES,
    LOT,
    PAGE,
    PRINTED,
    REQUESTS,
    RETURNS,
    Made,
    Reading,
    car_rental,
    certain,
    exploring,
    maze,
    one_place,
    page,
    resampled,
    row,
    rows,
    uniform,
    walk,
    walked,
    windy,
)

from relook.tabular import evaluate, policy_iteration
from relook.tabular.prediction import td
from statistics_support import illegible

FAST = (
    "figure-2-2",
    "figure-2-3",
    "figure-2-4",
    "figure-3-2",
    "figure-3-5",
    "figure-4-1",
    "figure-4-2",
    "figure-4-3",
    "figure-5-2",
    "figure-5-3",
    "example-6-4",
    "example-13-1",
)
OTHERWISE = {"figure-4-2": ["largest value"]}
"""Readings that are not the book's, by figure."""


@cache
def made(name: str) -> Made:
    return FIGURES[name].make()


@pytest.mark.parametrize("name", FAST)
def test_readings_are_those_of_the_book(name: str) -> None:
    readings, _ = made(name)
    assert [one.what for one in readings if not one.agrees] == OTHERWISE.get(name, [])


@pytest.mark.parametrize("name", FAST)
def test_exact_readings_are_those_that_were_kept(name: str) -> None:
    readings, _ = made(name)

    def exact(some: list[Reading]) -> list[str]:
        return [row(FIGURES[name], one) for one in some if one.error is None]

    assert exact(readings) == exact(rows()[name])


@pytest.mark.parametrize("name", [name for name in FAST if name != "figure-4-2"])  # which has 441 numbers to compare
def test_a_person_can_read_the_picture(name: str) -> None:
    assert illegible(made(name)[1]) == []


def test_the_page_is_what_the_rows_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert list(rows()) == list(FIGURES)
    assert page(rows()) == text, "run python -m benchmarks.sutton_barto"
    pictures = re.findall(r"\]\((images/[^)]+)\)", text)
    assert len(pictures) == len(FIGURES)
    assert all((PAGE.parent / picture).is_file() for picture in pictures)


@pytest.mark.parametrize(
    ("ours", "error", "agrees", "said"),
    [
        (1.04, None, True, "yes, within 0.05"),
        (1.06, None, False, "**no**, off by 0.06, more than 0.05"),
        (1.06, 0.01, True, "yes, within 0.05 and two errors"),
        (0.92, 0.01, False, "**no**, off by 0.08, more than 0.05"),
    ],
)
def test_a_reading_agrees_within_its_tolerance_and_two_errors(
    ours: float, error: float | None, agrees: bool, said: str
) -> None:
    one = Reading("what", 1.0, 0.05, ours, error, PRINTED)
    assert one.agrees is agrees
    assert row(FIGURES["figure-3-2"], one).endswith(f"| {said} |")


def test_the_bootstrap_gives_the_error_of_a_mean() -> None:
    runs = np.random.default_rng(1).standard_normal(400)
    value, error = resampled(lambda some: float(some.mean()), runs)
    assert value == runs.mean()
    assert error == pytest.approx(0.05, rel=0.2)


def test_exact_parts_of_sampled_figures() -> None:
    assert -exploring(windy(), 0.0) == pytest.approx(15)
    assert -exploring(windy(), 0.1) == pytest.approx(17, abs=0.1)
    costs = maze(-1.0, 0.0)
    assert -exploring(costs, 0.0) == pytest.approx(14)
    assert -costs.start @ evaluate(costs, uniform(costs), 1.0) == pytest.approx(868.7, abs=0.1)


@pytest.mark.parametrize("place", [0, 1])
def test_cars_of_a_place_are_those_of_drawn_customers(place: int) -> None:
    there, rent = one_place(REQUESTS[place], RETURNS[place])
    rng, n = np.random.default_rng(place), 100_000
    for morning in (0, 5, LOT):
        let = np.minimum(rng.poisson(REQUESTS[place], n), morning)
        evening = np.minimum(morning - let + rng.poisson(RETURNS[place], n), LOT)
        shares = np.bincount(evening, minlength=LOT + 1) / n
        assert np.abs(shares - there[morning]).max() < 0.007
        assert rent[morning] == pytest.approx(10 * let.mean(), abs=0.25)


def test_the_best_policy_of_the_rental_earns_its_value_with_drawn_customers() -> None:
    mdp = car_rental()
    policy, value, _ = policy_iteration(mdp, CAR_GAMMA)
    move = np.array(CARRY)[policy.argmax(1)].reshape(LOT + 1, LOT + 1)
    rng, n = np.random.default_rng(3), 3000
    cars, earned = np.full((2, n), LOT), np.zeros(n)
    for day in range(120):
        moved = np.clip(move[cars[0], cars[1]], -cars[1], cars[0])
        cars = np.minimum(cars + np.stack([-moved, moved]), LOT)
        let = np.minimum(cars, np.stack([rng.poisson(rate, n) for rate in REQUESTS]))
        back = np.stack([rng.poisson(rate, n) for rate in RETURNS])
        cars = np.minimum(cars - let + back, LOT)
        earned += CAR_GAMMA**day * (10 * let.sum(0) - 2 * abs(moved))
    assert value.max() == pytest.approx(earned.mean(), abs=4 * earned.std() / np.sqrt(n))


def test_batch_td_converges_to_the_values_of_the_chain_that_was_seen() -> None:
    mdp = walk(5, 0.0)
    [episodes] = walked(5, 0.0, 1, 8)
    exact, _ = certain(episodes, mdp)
    terminal: Any = mdp.terminal
    value = np.where(mdp.terminal, 0.0, 0.5)
    for alpha in (0.01, 0.001):  # what was learned last weighs more, the less the smaller α is
        for _ in range(2000):
            for episode in episodes:
                td(value, episode, alpha, 1.0, terminal)
    assert value[~mdp.terminal] == pytest.approx(exact[~mdp.terminal], abs=0.005)


def test_batch_monte_carlo_takes_the_mean_of_the_returns() -> None:
    mdp = walk(5, 0.0)
    [episodes] = walked(5, 0.0, 1, 8)
    _, means = certain(episodes, mdp)
    returns = [episode.rewards[-1] for episode in episodes for state in episode.states if state == 3]
    assert means[3] == pytest.approx(np.mean(returns))


def test_words_of_the_book_are_said_to_be_words() -> None:
    assert all("words" in one.how for readings in rows().values() for one in readings if BETTER in one.what)
