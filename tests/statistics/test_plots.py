"""Learning curves: what is drawn is what was measured, and a person can read it."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from relook.errors import WrongRequest
from relook.statistics.aggregates import iqm, mean_interval
from relook.statistics.curves import simultaneous_band
from relook.statistics.plots import COLOURS, Drawing, Seed, learning_curves, save
from statistics_support import illegible, xs, ys

HOW = Drawing("ppo on CartPole-v1", "environment steps of each agent", "return (reward)")
GRID = np.linspace(0, 10_000, 11)


def group(seeds: int, seed: int = 0) -> list[Seed]:
    walks = np.random.default_rng(seed).normal(0, 10, (seeds, 11)).cumsum(1)
    return [Seed((GRID, walk)) for walk in walks]


def texts(figure: Figure) -> str:
    [legend] = figure.legends
    said = [text.get_text() for text in (legend.get_title(), *legend.get_texts())]
    return " ".join(" ".join(said).split())


@pytest.mark.parametrize("name", ["x.png", "x.svg", "x.pdf"])
def test_a_picture_is_written_the_same_each_time(tmp_path: Path, name: str) -> None:
    contents = set()
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / name
        save(learning_curves({"": {"": group(3)}}, HOW), path)
        contents.add(path.read_bytes())
    [content] = contents
    assert content[:5] == {".png": b"\x89PNG\r", ".svg": b"<?xml", ".pdf": b"%PDF-"}[path.suffix]
    assert len(content) > 5000
    with pytest.raises(WrongRequest, match=r"end in .png, .svg, .pdf; found x.jpg"):
        save(Figure(), tmp_path / "x.jpg")


def test_thin_lines_are_the_seeds_and_the_thick_one_is_their_mean() -> None:
    seeds = group(5)
    [at] = learning_curves({"": {"": seeds}}, HOW).axes
    *thin, thick = at.lines
    for line, seed in zip(thin, seeds, strict=True):
        assert (xs(line), ys(line)) == (seed.curve[0].tolist(), seed.curve[1].tolist())
        assert line.get_linewidth() < thick.get_linewidth()
    scores = np.stack([seed.curve[1] for seed in seeds], 1)
    np.testing.assert_allclose(ys(thick), scores.mean(1))
    [band] = (c for c in at.collections if isinstance(c, PolyCollection))
    low, high = mean_interval(scores, axis=1)
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((low.min(), high.max()))


def test_the_other_centre_and_the_other_bands() -> None:
    seeds = group(6)
    scores = np.stack([seed.curve[1] for seed in seeds], 1)
    [at] = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "y", centre="iqm")).axes
    np.testing.assert_allclose(ys(at.lines[-1]), [iqm(row) for row in scores])
    figure = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "y", band="simultaneous"))
    [band] = (c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    low, high = simultaneous_band(scores)
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((low.min(), high.max()))
    assert "for the whole curve at once" in texts(figure)
    figure = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "y", band="none"))
    assert not figure.axes[0].collections
    assert "band" not in texts(figure)
    figure = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "y", centre="none"))
    assert len(figure.axes[0].lines) == 6


def test_smoothing_is_said_on_the_axis_and_looks_back_only() -> None:
    seeds = [Seed((GRID, np.arange(11.0) ** 2))]
    [at] = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "return", smooth=3)).axes
    assert at.get_ylabel().replace("\n", " ") == "return, mean of the last 3 points"
    assert ys(at.lines[0])[4] == pytest.approx((4 + 9 + 16) / 3)
    [at] = learning_curves({"": {"": seeds}}, Drawing(HOW.title, "x", "return")).axes
    assert at.get_ylabel() == "return"


def test_every_picture_says_how_many_seeds_and_what_its_band_means() -> None:
    figure = learning_curves({"": {"A": group(5), "B": group(1)}}, HOW)
    said = texts(figure)
    assert "A (mean of 5 seeds)" in said
    assert "B (mean of 1 seed)" in said
    assert "95% interval of the mean over seeds, at each step by itself" in said
    assert "thin: single seeds" in said
    figure = learning_curves({"": {"A": group(25)}}, HOW)
    assert len(figure.axes[0].lines) == 1
    assert "no single seeds" in texts(figure)


def test_a_training_that_failed_is_marked_counted_and_stays_in_the_mean() -> None:
    whole, broken = Seed((GRID, np.full(11, 10.0))), Seed((GRID[:4], np.zeros(4)), failed=True)
    figure = learning_curves({"": {"": [whole, broken]}}, HOW)
    *others, thick = figure.axes[0].lines
    np.testing.assert_allclose(ys(thick), 5.0)
    assert xs(thick)[-1] == GRID[-1]
    [mark] = [line for line in others if line.get_marker() == "x"]
    assert (xs(mark), ys(mark)) == ([3000.0], [0.0])
    assert "1 of 2 trainings failed" in texts(figure)


def test_a_centre_ends_where_the_shortest_curve_does() -> None:
    [at] = learning_curves({"": {"": [Seed((GRID, GRID)), Seed((GRID[:5], GRID[:5]))]}}, HOW).axes
    assert xs(at.lines[-1])[-1] == GRID[4]


def test_more_than_can_be_told_apart_is_refused() -> None:
    with pytest.raises(WrongRequest, match="at most 28 groups"):
        learning_curves({"": {str(i): group(1) for i in range(29)}}, HOW)
    figure = learning_curves({"": {str(i): group(1) for i in range(28)}}, HOW)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines if line.get_linewidth() > 2}
    assert len(looks) == 28 == 4 * len(COLOURS)


LONG = "learning_rate=0.0003, entropy_coefficient=0.01, hidden=256,256, normalise_observations=True"
PICTURES = {
    "one seed": ({"": {"": group(1)}}, HOW),
    "one group": ({"": {"": group(10)}}, HOW),
    "nine groups": ({"": {f"learning_rate={i}e-4": group(3, i) for i in range(9)}}, HOW),
    "many groups": ({"": {f"learning_rate={i}e-4": group(2, i) for i in range(28)}}, HOW),
    "long names": ({"": {f"{LONG} {i}": group(3, i) for i in range(4)}}, HOW),
    "two panels": ({task: {"A": group(5), "B": group(4, 1)} for task in ("CartPole-v1", "Acrobot-v1")}, HOW),
    "ten panels": ({f"Task{i}-v1": {"A": group(5), "B": group(4, 1)} for i in range(10)}, HOW),
    "long labels": (
        {"A (mass=0.1, length=0.5, sutton_barto_reward=True)": {"": group(2)}, "B": {"": group(2)}},
        Drawing(
            "ppo and a2c and trpo on CartPole-v1 (mass=0.1, length=0.5)\n" + "what this metric means " * 6,
            "seconds of training, shared by all agents of a unit of work",
            "return (reward, mean of 10 deterministic episodes)",
            smooth=7,
        ),
    ),
    "large numbers": ({"": {"": [Seed((GRID * 1e4, GRID * 1e9))]}}, HOW),
    "small numbers": ({"": {"": [Seed((GRID, GRID * -1e-9))]}}, HOW),
    "branches": ({"": {"": group(3)}}, Drawing("t", "x", "y", branches=[5000.0])),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_person_can_read_it(name: str) -> None:
    panels, how = PICTURES[name]
    figure = learning_curves(panels, how)
    assert illegible(figure) == []
    assert all(at.get_ylabel() or i for i, at in enumerate(figure.axes))
    assert all(re.search(r"\w", at.get_xlabel()) for at in figure.axes[-1:])


def test_the_look_for_illegible_text_finds_some() -> None:
    figure = Figure(figsize=(4, 3))
    figure.text(0.5, 0.5, "one text")
    figure.text(0.52, 0.51, "another text")
    figure.text(0.9, 0.2, "beyond the edge of it")
    assert illegible(figure) == ["cut off: 'beyond the edge of it'", "'one text' covers 'another text'"]
