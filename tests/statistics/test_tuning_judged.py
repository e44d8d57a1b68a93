"""What is said of a search: scores, verdicts, edges, and the picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from relook.errors import RelookError, WrongRequest
from relook.runs.reading import Run
from relook.statistics.plots import save
from relook.statistics.reports import markdown
from relook.statistics.tuning import (
    RANDOM,
    START,
    TPE,
    Arm,
    Trial,
    Tried,
    Tuned,
    as_json,
    heading,
    judge,
    tables,
    trials,
    verdicts,
    worst_score,
)
from relook.statistics.tuning_plots import picture
from statistics_support import illegible, xs

SPACE: dict[str, Any] = {
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True, "beyond": [True, True]},
    "gae_lambda": {"low": 0.5, "high": 1.0, "log": False, "beyond": [True, False]},
    "clip": {"choices": [0.1, 0.2, 0.3], "beyond": [True, True]},
    "target_kl": {"choices": [0.01, "inf"], "beyond": [True, False]},
    "hidden": {"choices": [[64, 64], [256, 256]], "beyond": [False, False]},
}
RECORD = {"algorithm": "ppo", "steps": 1000, "first_seed": 10_000, "failed_score": None, "trials": 6, "space": SPACE}
BEST = {"learning_rate": 1e-3, "gae_lambda": 0.8, "clip": 0.2, "target_kl": "inf", "hidden": [64, 64]}


def trial(number: int, *returns: Sequence[float], **more: Any) -> Trial:
    seeds = [Tried(np.array(own, dtype=np.float64), 1000, failed=False) for own in returns]
    values = {"learning_rate": 10.0 ** -(2 + number % 3), "gae_lambda": 0.6, "clip": 0.1, "target_kl": 0.01}
    own = Trial(number, RANDOM, values | {"hidden": [256, 256]}, seeds, pruned=False, waits=False)
    return replace(own, **more)


def tuned(run: Run, **changed: Any) -> Tuned:
    """A search whose best trial is the second, at 90 on its seeds."""
    found = [
        trial(0, [0.0, 10], [0, 20], sampler=START),
        trial(1, [0.0, 95], [0, 85], values=BEST, sampler=TPE),
        trial(2, [0.0, 99], [0, 99], pruned=True),
        trial(3, [0.0, 40], [0, 30]),
    ]
    found[3] = replace(found[3], seeds=[found[3].seeds[0], replace(found[3].seeds[1], failed=True)])
    rng = np.random.default_rng(0)
    arms = {
        name: Arm(name, BEST | {"clip": clip}, mean + 5 * rng.standard_normal(10), 0)
        for name, mean, clip in (("tuned", 80, 0.2), ("default", 60, 0.3), ("start", 10, 0.1))
    }
    own = Tuned(Path("search"), RECORD, "CartPole-v1", found, [], -5.0, arms, run, 12.0, (6400, 1600))
    return replace(own, **changed)


def test_a_trials_score_is_its_last_evaluation_and_a_seed_that_failed_scores_the_worst() -> None:
    good = trial(0, [-10.0, 50, -1], [-10.0, -5, -3])
    assert good.score(-99) == -2
    assert good.curve(-99).tolist() == [-10, 22.5, -2]
    failed = replace(good, seeds=[good.seeds[0], replace(good.seeds[1], returns=np.array([-10.0, 7]), failed=True)])
    assert failed.curve(-99).tolist() == [-10.0, 28.5, -50.0]
    assert worst_score([good, failed], None) == -10
    assert worst_score([good], -30.0) == -30
    nothing = replace(good, seeds=[replace(good.seeds[0], returns=np.zeros(0), failed=True)])
    assert nothing.curve(-99).tolist() == [-99.0]
    with pytest.raises(RelookError, match="every one failed before its first"):
        worst_score([nothing], None)


def test_the_best_trial_was_trained_to_the_end(tiny_run: Run) -> None:
    found = tuned(tiny_run)
    assert [trial.number for trial in found.ranked] == [1, 3, 0]
    assert found.chosen.score(found.worst) == 90
    assert found.optimism == pytest.approx(90 - found.arms["tuned"].scores.mean())


def test_the_final_chooses_by_its_own_seeds(tiny_run: Run) -> None:
    lucky, steady = tuned(tiny_run).trials[1], tuned(tiny_run).trials[3]
    finalists = [
        replace(lucky, seeds=trial(1, [0, 9.0], [0, 11]).seeds),
        replace(steady, seeds=trial(3, [0, 30.0]).seeds),
    ]
    found = tuned(tiny_run, finalists=finalists)
    assert found.chosen.number == 3
    assert found.optimism == pytest.approx(30 - found.arms["tuned"].scores.mean())
    page = markdown(heading(found), [*tables(found)])
    for said in (
        "the chosen trial, number 3, scored 30.00 on the 1 seeds that chose it",
        "| 3 | 17.50 | 30.00 | 30.00 |",
        "| 1 | 90.00 | 10.00 | 9.000 |",
    ):
        assert said in page, said
    assert "stalk: on the 1 seeds of the final" in texts(picture(found))


def arms(tuned_at: float, default_at: float, spread: float = 1.0, seeds: int = 10) -> dict[str, Arm]:
    noise = spread * np.linspace(-1, 1, seeds) if seeds > 1 else np.zeros(1)
    return {name: Arm(name, BEST, at + noise, 0) for name, at in (("tuned", tuned_at), ("default", default_at))}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            arms(80, 60),
            "tuned beats the default by 20.00: the 95 % interval of the difference, 19.37 … 20.63, excludes",
        ),
        (arms(60, 80), "tuned is worse than the default by 20.00"),
        (arms(60, 61, spread=9), "whether tuned beats the default is undecided: the 95 % interval of the difference"),
        (arms(60, 61, seeds=1), "one seed has no interval"),
        ({"tuned": arms(1, 1)["tuned"]}, "note: the tuned setting is the default one"),
    ],
)
def test_a_verdict_is_as_strong_as_its_interval(tiny_run: Run, own: dict[str, Arm], said: str) -> None:
    assert any(said in line for line in verdicts(tuned(tiny_run, arms=own))), verdicts(tuned(tiny_run, arms=own))


def test_it_says_when_nothing_was_better_than_the_start(tiny_run: Run) -> None:
    found = tuned(tiny_run, trials=[trial(0, [0.0, 100], sampler=START), trial(1, [0.0, 1])], arms=arms(80, 60))
    assert "note: the search chose what it started from" in verdicts(found)


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ({}, []),
        ({"learning_rate": 9e-3}, [("learning_rate", "upper")]),
        ({"learning_rate": 1.2e-5}, [("learning_rate", "lower")]),
        ({"learning_rate": 5e-3}, []),
        ({"gae_lambda": 0.51}, [("gae_lambda", "lower")]),
        ({"gae_lambda": 0.999}, []),  # there is nothing above 1
        ({"clip": 0.3}, [("clip", "upper")]),
        ({"clip": 0.1}, [("clip", "lower")]),
        ({"target_kl": 0.01}, []),  # one of two values is always at an end
        ({"hidden": [256, 256]}, []),
    ],
)
def test_a_value_at_the_edge_of_its_range_is_named(tiny_run: Run, values: dict[str, Any], edges: Any) -> None:
    found = tuned(tiny_run, trials=[trial(0, [0.0, 1], sampler=START), trial(1, [0.0, 9], values=BEST | values)])
    assert found.edges == edges
    assert sum("widen it" in line for line in heading(found)) == len(edges)


def test_the_report_says_everything(tiny_run: Run) -> None:
    found = tuned(tiny_run)
    page = markdown(heading(found), [*tables(found)])
    for said in (
        "4 trials, 1 pruned, 1 with a seed that failed; 2 tuning seeds each, 10000 … 10001, 1,000 steps",
        "6,400 steps of all agents in the search, 12 seconds of work in all; pruning spared 20% of the steps",
        "note: a seed that failed scores −5.000, the worst that was seen",
        "| 1 | TPE | 90.00 | 85.00 | learning_rate=0.001, gae_lambda=0.8, clip=0.2, target_kl=inf, hidden=64,64 |",
        "| 0 | start | 15.00 | 10.00 |",
        "| random | 2 | 17.50 | 17.50 | 1 | 1 |",
        "| clip | 0.1 or 0.2 or 0.3 | 0.2 | 0.3 | 0.1 |",
        "| gae_lambda | 0.5 … 1 | 0.8 | 0.8 | 0.8 |",
    ):
        assert said in page, said
    content = as_json(found)
    assert content["chosen"] == 1
    assert content["trials"][2]["pruned"] is True
    assert content["gains"]["default"]["low"] > 0


def texts(figure: Figure) -> str:
    parts = [text.get_text() for at in figure.axes for text in (at.title, at.xaxis.label, at.yaxis.label)]
    parts += [at.get_title(loc="left") for at in figure.axes]
    parts += [label.get_text() for at in figure.axes for label in at.get_xticklabels()]
    return " ".join([*parts, *(legend.get_title().get_text() for legend in figure.legends)]).replace("\n", " ")


def test_the_picture_has_every_trial_and_says_what_its_marks_are(tiny_run: Run, tmp_path: Path) -> None:
    found = tuned(tiny_run)
    figure = picture(found)
    save(figure, tmp_path / "search.png")
    said = texts(figure)
    for part in (
        "trial",
        "return (reward)",
        "Confirmed",
        "tuned",
        "default",
        "learning_rate",
        "256,256",
        "pruned",
        "×:",
    ):
        assert part in said, part
    drawn = {round(x) for line in figure.axes[0].lines if line.get_linestyle() == "None" for x in xs(line)}
    assert drawn == {0, 1, 2, 3}
    assert not illegible(figure)
    assert figure.axes[2].get_xscale() == "log"
    assert len(figure.axes) == 2 + len(SPACE)


def test_more_hyperparameters_than_can_be_drawn_are_counted(tiny_run: Run) -> None:
    space = {f"x{k}": SPACE["gae_lambda"] for k in range(8)}
    values = dict.fromkeys(space, 0.7)
    own = [trial(0, [0.0, 1], sampler=START, values=values), trial(1, [0.0, 2], values=values)]
    figure = picture(tuned(tiny_run, record=RECORD | {"space": space}, trials=own))
    assert len(figure.axes) == 2 + 6
    assert "; 2 more hyper" in texts(figure)


def test_what_is_no_search_is_refused(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match=r"found no grid.json"):
        judge(tmp_path)
    with pytest.raises(RelookError, match="expected trials of a search"):
        trials([tiny_run], ["clip"])
    (tmp_path / "grid.json").write_text('{"kind": "search", "space": {}, "trials": 3}')
    with pytest.raises(RelookError, match="expected a search that has ended"):
        judge(tmp_path)
