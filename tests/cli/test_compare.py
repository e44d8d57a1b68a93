"""`relook compare`: what it prints and writes, and the mistakes that it meets with one clear sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from relook.cli.main import main
from relook.runs.reading import Run


def table(path: Path, seeds: int = 6, tasks: tuple[str, ...] = ("CartPole-v1",), **columns: Any) -> Path:
    """Method B scores 30 more than A; a column may hold a value for each method."""
    rng = np.random.default_rng(0)
    rows = []
    for task in tasks:
        for k, method in enumerate(("A", "B")):
            for seed in range(seeds):
                level = 100 + 30 * k + 5 * rng.normal()
                for step in (0, 500, 1000):
                    row = {"method": method, "task": task, "seed": seed, "step": step, "score": level * step / 1000}
                    rows.append(row | {name: v[k] if isinstance(v, tuple) else v for name, v in columns.items()})
    pl.DataFrame(rows).write_csv(path)
    return path


def compare(*words: object) -> int:
    try:
        return main(["compare", *map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The sentence with which a comparison is refused."""
    assert compare(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("relook: ")
    assert err.count("\n") == 1
    return err


def result(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert compare(*words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return found


def test_a_run_and_a_table_side_by_side(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run) -> None:
    steps = tiny_run.steps
    pl.DataFrame(
        [{"method": "other", "task": "CartPole-v1", "seed": s, "step": steps, "score": 10.0 * s} for s in (1, 2, 3)]
    ).write_csv(tmp_path / "x.csv")
    said = refused(capsys, tiny_run.path, tmp_path / "x.csv")
    assert "different time limits" in said
    allowed = ["time-limit", "evaluation-mode", "reward-scaling"]
    found = result(capsys, f"mine={tiny_run.path}", tmp_path / "x.csv", "--allow", *allowed)
    assert found["methods"] == ["mine", "other"]
    assert found["raw"]["other"]["CartPole-v1"] == [10.0, 20.0, 30.0]
    finals = [s["final_return"] for s in tiny_run.agent_summaries]
    assert found["raw"]["mine"]["CartPole-v1"] == finals
    assert sum("allowed: " in note for note in found["notes"]) == 3
    assert any("no verdict: expected at least 3 seeds" in note for note in found["notes"])


def test_a_verdict_needs_a_declared_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv")
    [difference] = result(capsys, path, "--delta", "5")["differences"]
    assert (difference["first"], difference["second"], difference["verdict"]) == ("B", "A", "better")
    assert difference["mean"]["low"] > 5
    found = result(capsys, path)
    assert found["differences"][0]["verdict"] is None
    assert "no verdict: declare the smallest difference that matters, --delta" in found["notes"]
    [difference] = result(capsys, path, "--delta", "5", "--baseline", "B")["differences"]
    assert (difference["first"], difference["verdict"]) == ("A", "worse")
    [difference] = result(capsys, path, "--delta", "100")["differences"]
    assert difference["verdict"] == "equivalent"


def test_the_terminal_shows_all_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert compare(table(tmp_path / "x.csv"), "--delta", "5", "--reach", "60") == 0
    said = capsys.readouterr().out
    for words in (
        "A: 6 seeds; B: 6 seeds",
        "score: return, last evaluation",
        "failed trainings: 0 of 12",
        "Aggregates",
        "worst quarter",
        "Tests of the differences",
        "better",
        "Steps to a return of 60",
        "6 of 6",
        "range holds",
    ):
        assert words in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("tasks", [("CartPole-v1",), ("CartPole-v1", "Acrobot-v1")])
def test_everything_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, tasks: tuple[str, ...]) -> None:
    path, out = table(tmp_path / "x.csv", tasks=tasks), tmp_path / "out"
    words = [path, "--delta", "1", "--reach", "60", "--out", out]
    assert compare(*words) == 0
    names = {path.name for path in out.iterdir()}
    assert names == {f"comparison.{kind}" for kind in ("json", "md", "tex")} | {
        f"{name}.png"
        for name in ("scores", "intervals", "differences", "improvement", "profiles", "efficiency", "reached")
    }
    assert json.loads((out / "comparison.json").read_text())["methods"] == ["A", "B"]
    markdown = (out / "comparison.md").read_text()
    assert markdown.startswith("# Comparison")
    assert "| A |" in markdown
    latex = (out / "comparison.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") > 3
    assert "B $-$ A" in latex
    assert compare(*words) == 0, "an older comparison is written anew"
    assert f"{out}: comparison.json, comparison.md" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(capsys, path, "--out", tmp_path / "file")


def test_names_are_text_and_no_markup(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    frame = pl.read_csv(table(tmp_path / "x.csv"))
    renamed = pl.when(pl.col("method") == "A").then(pl.lit("[bold]A[/] $x_{$")).otherwise(pl.lit("B \n of\ttwo lines"))
    frame.with_columns(method=renamed).write_csv(tmp_path / "x.csv")
    assert compare(tmp_path / "x.csv", "--delta", "5", "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "[bold]A[/] $x_{$: 6 seeds; B of two lines: 6 seeds" in said
    assert "| [bold]A[/] $x_{$ |" in (tmp_path / "out" / "comparison.md").read_text()


def test_an_older_comparisons_pictures_do_not_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, out = table(tmp_path / "x.csv"), tmp_path / "out"
    assert compare(path, "--reach", "60", "--out", out) == 0
    (out / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert compare(path, "--out", out) == 0
    assert not (out / "reached.png").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert "notes.txt" not in capsys.readouterr().out


# The mistakes that users make


def test_tuned_against_untuned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, table(tmp_path / "x.csv", tuning_trials=(1, 200)))
    assert "tuned differently (settings tried: A: 1, B: 200)" in said
    said = refused(capsys, table(tmp_path / "x.csv", phase=("test", "tune")))
    assert "B has scores of tuning seeds beside test seeds of A" in said
    assert "--allow phases" in said


def test_unequal_steps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    frame = pl.read_csv(table(tmp_path / "x.csv"))
    frame.filter((pl.col("method") == "B") | (pl.col("step") < 1000)).write_csv(tmp_path / "x.csv")
    said = refused(capsys, tmp_path / "x.csv")
    assert "different numbers of steps (A: 500, B: 1,000)" in said
    assert "--steps 500" in said
    assert result(capsys, tmp_path / "x.csv", "--steps", "500")["raw"]["A"]["CartPole-v1"][0] < 60


def test_the_same_seed_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_run: Run) -> None:
    frame = pl.read_csv(table(tmp_path / "x.csv"))
    pl.concat([frame, frame.filter(pl.col("seed") == 2)]).write_csv(tmp_path / "x.csv")
    assert "the same seed is there twice" in refused(capsys, tmp_path / "x.csv")
    assert "the same seed is there twice" in refused(capsys, tiny_run.path, tiny_run.path)


def test_mixed_evaluation_modes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, table(tmp_path / "x.csv", evaluation_mode=("deterministic", "stochastic")))
    assert "evaluated in different modes (A: deterministic, B: stochastic)" in said


def test_too_few_seeds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = result(capsys, table(tmp_path / "x.csv", seeds=2), "--delta", "1")
    assert found["differences"][0]["verdict"] is None
    assert "no verdict: expected at least 3 seeds of each method and task, found 2" in found["notes"]
    found = result(capsys, table(tmp_path / "x.csv", seeds=4), "--delta", "1")
    assert any("only 4 seeds: below 5" in note for note in found["notes"])
    found = result(capsys, table(tmp_path / "x.csv", seeds=1))
    assert any("a single seed says nothing" in note for note in found["notes"])


@pytest.mark.parametrize("word", ["best", "max", "peak", "maximum"])
def test_the_best_checkpoint_as_score(capsys: pytest.CaptureFixture[str], tmp_path: Path, word: str) -> None:
    path = table(tmp_path / "x.csv")
    assert "the best of many evaluations" in refused(capsys, path, "--score", word)
    pl.read_csv(path).rename({"score": f"{word}_return"}).write_csv(path)
    assert "the best of many evaluations" in refused(capsys, path)


@pytest.mark.parametrize("options", [("--methods", "A"), ("--baseline", "B")])
def test_a_substring_matches_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[str, str]
) -> None:
    frame = pl.read_csv(table(tmp_path / "x.csv")).with_columns(pl.col("method") + "-tuned")
    frame.write_csv(tmp_path / "x.csv")
    said = refused(capsys, tmp_path / "x.csv", *options)
    assert "A-tuned, B-tuned" in said
    assert f"found {options[1]!r}" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "at least one run directory"),
        (("nothing.csv",), "no such file"),
        (("--score", "sum"), "expected --score final or auc; found 'sum'"),
        (("--allow", "everything"), "found 'everything'"),
        (("--alpha", "0.7"), "expected --alpha between 0 and 0.5; found 0.7"),
        (("--delta", "0"), "expected --delta between 0"),
        (("--last", "0"), "expected --last"),
        (("--adjust", "max-t", "--test", "mann-whitney"), "choose --adjust holm"),
        (("--paired", "--test", "mann-whitney"), "expected --test welch"),
        (("--last", "9"), "at least 9 evaluations"),
        (("--reference", "missing.toml"), "missing.toml"),
        (("--steps", "-5"), "expected --steps"),
    ],
)
def test_other_wrong_requests(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    source = [] if words in ((), ("nothing.csv",)) else [table(tmp_path / "x.csv")]
    assert said in refused(capsys, *source, *words)


def test_pairs_need_the_same_seeds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv")
    assert any("paired" in note for note in result(capsys, path, "--paired")["notes"])
    frame = pl.read_csv(path)
    shifted = pl.when(pl.col("method") == "B").then(pl.col("seed") + 1).otherwise(pl.col("seed"))
    frame.with_columns(seed=shifted).write_csv(path)
    assert "6 and 6 of which 5 are in both; leave out --paired" in refused(capsys, path, "--paired")


# Looking while seeds are added


def test_a_plan_is_written_at_the_first_look_and_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    new = ["--looks", "3", "--seeds-per-look", "4"]
    first = table(tmp_path / "4.csv", seeds=4)
    assert "for a new plan" in refused(capsys, first, "--plan", plan)
    found = result(capsys, first, "--plan", plan, *new)["sequential"]
    assert json.loads(plan.read_text())["looks"] == 3
    [path] = found["comparisons"]
    assert len(path["statistic"]) == 1
    found = result(capsys, table(tmp_path / "8.csv", seeds=8), "--plan", plan)["sequential"]
    [path] = found["comparisons"]
    assert len(path["statistic"]) == 2
    assert path["decided"] is not None
    for moved in (["--looks", "5"], ["--alpha", "0.1"], ["--delta", "3"], ["--statistic", "rank"]):
        assert "a plan that moves does not keep its promise" in refused(capsys, first, "--plan", plan, *moved)
    assert compare(first, "--plan", plan, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "looks.png").is_file()
    assert "Look by look" in capsys.readouterr().out


def test_a_plan_after_the_fact_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, plan = table(tmp_path / "x.csv", seeds=8), tmp_path / "plan.json"
    words = [path, "--plan", plan, "--looks", "3", "--seeds-per-look", "4"]
    assert "there are 8 already" in refused(capsys, *words)
    assert not plan.exists()
    assert compare(*words, "--allow", "late-plan") == 0
    assert plan.exists()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"looks": 0}', '{"looks": 1e9, "seeds_per_look": 3, "alpha": 0.05}', "\x00"]
)
def test_a_plan_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    assert compare(table(tmp_path / "x.csv"), "--plan", tmp_path / "plan.json") == 1
    err = capsys.readouterr().err
    assert err.startswith("relook: expected")
    assert err.count("\n") == 1


def test_an_undecided_question_says_what_it_needs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", seeds=3, wall_time=7200.0)
    frame = pl.read_csv(path)
    noisy = pl.col("score") + 40 * (pl.col("seed") - 1) * pl.when(pl.col("method") == "A").then(1).otherwise(-1)
    frame.with_columns(score=noisy).write_csv(path)
    [difference] = result(capsys, path, "--delta", "10")["differences"]
    assert difference["verdict"] == "undecided"
    needed = difference["needed"]
    assert needed["power"] > 50
    assert needed["precision"] > 50
    assert needed["hours"] == pytest.approx(4.0)
    assert compare(path, "--delta", "10") == 0
    assert "Seeds of each method that the question needs" in capsys.readouterr().out
