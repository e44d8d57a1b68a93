"""`relook plot`: any runs, any metric, any grouping, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from relook.cli.main import main
from relook.runs.files import read_lines
from relook.runs.reading import Run
from relook.statistics import plots
from relook.statistics.lines import differing, grouped, lines, y_label
from statistics_support import illegible, xs, ys


@pytest.fixture(scope="session")
def varied_run(tmp_path_factory: pytest.TempPathFactory, train_here: Any) -> Run:
    """Two settings of two seeds."""
    from relook.envs import EnvironmentSpec

    out = tmp_path_factory.mktemp("varied") / "run"
    return Run(train_here(out, EnvironmentSpec("CartPole-v1"), learning_rate=[1e-3, 1e-4]).path)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def plot(*words: object) -> int:
    return main(["plot", *map(str, words)])


@pytest.mark.parametrize("name", ["x.png", "x.svg", "x.pdf"])
def test_it_draws_a_file_and_says_where(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run, name: str
) -> None:
    assert plot(tiny_run.path, "--out", tmp_path / name) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 5000


@pytest.mark.parametrize("y", ["evaluation", "stochastic-evaluation", "episode_return", "kl", "updates"])
@pytest.mark.parametrize("x", ["steps", "updates", "time"])
def test_any_metric_against_any_axis(tiny_run: Run, drawn: list[Figure], x: str, y: str) -> None:
    assert plot(tiny_run.path, "--y", y, "--x", x) == 0
    [figure] = drawn
    assert illegible(figure) == []
    [at] = figure.axes
    unit = tiny_run.unit_directory(0)
    if y in ("evaluation", "stochastic-evaluation"):
        rows = [row for row in read_lines(unit / "evaluations.jsonl") if row["deterministic"] == (y == "evaluation")]
        values = {row["steps"]: row["mean_return"] for row in rows if row["agent"] == 0}
    else:
        rows = read_lines(unit / "metrics.jsonl")
        values = {row["steps"]: row[y] for row in rows if row["agent"] == 0 and row[y] is not None}
    assert ys(at.lines[0]) == [*values.values()]
    places = {
        "steps": [*values],
        "updates": [updates(unit, s) for s in values],
        "time": [elapsed(unit, s) for s in values],
    }
    assert xs(at.lines[0]) == pytest.approx(places[x])
    said = at.get_ylabel().replace("\n", " ")
    assert (
        said
        == {
            "evaluation": "return (reward, mean of 1 deterministic episodes)",
            "stochastic-evaluation": "return (reward, mean of 1 stochastic episodes)",
            "episode_return": "episode return (reward)",
            "kl": "kl (nats)",
            "updates": "updates",
        }[y]
    )


def updates(unit: Path, steps: int) -> float:
    rows = read_lines(unit / "metrics.jsonl")
    return float(sum(row["updates"] for row in rows if row["agent"] == 0 and row["steps"] <= steps))


def elapsed(unit: Path, steps: int) -> float:
    return next((row["elapsed"] for row in read_lines(unit / "timing.jsonl") if row["steps"] == steps), 0.0)


def test_groups_and_facets(varied_run: Run, tiny_run: Run, drawn: list[Figure]) -> None:
    assert plot(varied_run.path) == 0
    assert plot(varied_run.path, "--group", "seed") == 0
    assert plot(varied_run.path, "--group", "algorithm", "--facet", "learning_rate") == 0
    assert plot(f"A={varied_run.path}", f"B={tiny_run.path}", "--group", "run") == 0
    assert plot(f"A={varied_run.path}", f"A={tiny_run.path}", "--group", "task", "--y", "entropy", "--smooth", "2") == 0
    labels = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert labels[0] == ["learning_rate=0.001  (mean of 2 seeds)", "learning_rate=0.0001  (mean of 2 seeds)"]
    assert labels[1] == ["seed=0  (mean of 2 seeds)", "seed=1  (mean of 2 seeds)"]
    assert labels[2] == ["ppo  (mean of 2 seeds)"]
    assert [at.get_title(loc="left") for at in drawn[2].axes] == ["learning_rate=0.001", "learning_rate=0.0001"]
    assert labels[3] == ["A  (mean of 4 seeds)", "B  (mean of 2 seeds)"]
    assert labels[4] == ["CartPole-v1  (mean of 6 seeds)"]
    assert all(illegible(figure) == [] for figure in drawn)


def test_several_tasks_have_a_panel_each(tiny_run: Run, tmp_path: Path, train_here: Any, drawn: list[Figure]) -> None:
    from relook.envs import EnvironmentSpec

    other = train_here(tmp_path / "other", EnvironmentSpec("Acrobot-v1", max_episode_steps=20))
    assert plot(tiny_run.path, other.path, "--group", "algorithm") == 0
    assert [at.get_title(loc="left") for at in drawn[0].axes] == ["CartPole-v1", "Acrobot-v1"]


def test_keys_of_lines(varied_run: Run) -> None:
    found = lines(varied_run, "name")
    assert differing(found) == ["learning_rate"]
    assert found[3].keys["learning_rate"] == "0.0001"
    assert [*grouped(found, ["run", "preset"], None)[""]] == ["name, preset=none"]
    assert y_label([varied_run], "kl")[1].startswith("KL(")
    damages: tuple[Any, ...] = (None, 3, {"kl": 3}, {"kl": {}})
    for damage in damages:
        run = Run(varied_run.path)
        run.record["metrics"] = damage
        assert y_label([run], "kl") == ("kl", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--y", "k"], "expected --y among evaluation, stochastic-evaluation, episode_return"),
        (["--group", "learning"], "expected a key among run, algorithm, preset, task, seed"),
        (["--facet", "colour"], "found 'colour'"),
        (["--smooth", "0"], "at least one point; found 0"),
        (["--centre", "iqm", "--band", "simultaneous"], "simultaneous band is one of the mean"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    capsys: pytest.CaptureFixture[str], tiny_run: Run, words: list[str], said: str
) -> None:
    assert plot(tiny_run.path, *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_agents_without_such_a_metric_are_no_reason_to_fail(tiny_run: Run) -> None:
    assert all(np.isfinite(line.seed.curve[1]).all() for line in lines(tiny_run, "x", "episode_return"))
