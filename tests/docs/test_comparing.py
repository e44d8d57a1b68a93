"""The worked example of docs/comparing.md: made anew from its scores, and from a tiny training."""

import re
from pathlib import Path

import pytest
from docs.comparing import DOCS, METHODS, TASKS, page, pictures, train

from docs import comparing
from relook.cli.main import main


def test_the_page_is_what_its_scores_say() -> None:
    made = (DOCS / "comparing.md").read_text(encoding="utf-8")
    assert page(DOCS / "comparing.csv") == made, "run python docs/comparing.py"
    for image in re.findall(r"\]\((images/[^)]+)\)", made):
        assert (DOCS / image).is_file()


def test_its_command_trains_compares_and_writes(
    tmp_path: Path, work_here: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = [f"{command} --evaluate-episodes 2" for command in comparing.commands(1024, 3, str(tmp_path / "runs"))]
    monkeypatch.setattr(comparing, "commands", lambda *_: shorter)
    table = tmp_path / "scores.csv"
    train(1024, 3, str(tmp_path / "runs")).write_csv(table)
    said = page(table, 1024, 3)
    assert all(f"### {title}" in said for title in ("Three seeds", "Smoothing", "The maximum over training"))
    assert "nan" not in said
    pictures(table, tmp_path)
    assert len([*tmp_path.glob("comparing-*.png")]) == 3
    capsys.readouterr()
    sources = [f"{m}={tmp_path}/runs/{name}-{task}" for m, name in METHODS.items() for task in TASKS]
    assert main(["compare", *sources, "--delta", "0.05", "--json"]) == 0
    of_runs = capsys.readouterr().out
    assert main(["compare", str(table), "--delta", "0.05", "--json"]) == 0
    assert capsys.readouterr().out == of_runs
