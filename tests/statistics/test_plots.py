"""Learning curves become pictures."""

import struct
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.typing import NDArray

from relook.statistics.plots import Curve, learning_curves


def curve(seeds: int, seed: int = 0) -> Curve:
    rng = np.random.default_rng(seed)
    return np.linspace(0, 10_000, 11), rng.normal(0, 10, (11, seeds)).cumsum(0)


def draw(curves: dict[str, Curve], path: Path, centre: str = "mean") -> NDArray[np.float64]:
    """The picture's pixels, after a look at its first bytes."""
    learning_curves(curves, path, title="ppo on CartPole-v1", y_label="return", centre=centre)
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    assert 800 <= width <= 3000
    assert 500 <= height <= 2000
    assert plt.get_fignums() == []
    return np.asarray(plt.imread(path), dtype=np.float64)


@pytest.mark.parametrize(
    ("settings", "seeds", "centre"), [(1, 1, "mean"), (1, 5, "mean"), (1, 1, "IQM"), (3, 1, "mean"), (9, 5, "IQM")]
)
def test_a_png_of_sensible_size_is_written(tmp_path: Path, settings: int, seeds: int, centre: str) -> None:
    curves = {f"learning_rate={i}": curve(seeds, i) for i in range(settings)}
    assert draw(curves, tmp_path / "x.png", centre).std() > 0.01


def test_a_picture_shows_what_it_is_given(tmp_path: Path) -> None:
    pictures = [
        draw({"": curve(5)}, tmp_path / "0.png"),
        draw({"": curve(5)}, tmp_path / "1.png"),
        draw({"": curve(5, 1)}, tmp_path / "2.png"),
        draw({"": curve(5)}, tmp_path / "3.png", "IQM"),
    ]
    same = [picture.shape == pictures[0].shape and bool((picture == pictures[0]).all()) for picture in pictures]
    assert same == [True, True, False, False]
