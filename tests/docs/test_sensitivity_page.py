"""docs/studies/sensitivity.md is what its scores say."""

import re

import polars as pl
from benchmarks.sensitivity import FAMILIES, HYPERPARAMETERS, PAGE, PIECES, SCORES, page, study

from relook.statistics.sensitivity_plots import pictures
from statistics_support import illegible


def test_the_page_is_what_its_scores_say() -> None:
    made = PAGE.read_text(encoding="utf-8")
    assert page() == made, "run python -m benchmarks.sensitivity page"
    for image in re.findall(r"\]\((\.\./images/[^)]+)\)", made):
        assert (PAGE.parent / image).is_file()


def test_the_scores_are_those_of_the_grids() -> None:
    frame = pl.read_csv(SCORES)
    there = {(r["method"], r["task"]): r["n"] for r in frame.group_by("method", "task").agg(n=pl.len()).to_dicts()}
    asked = {}
    for piece in PIECES:
        words = piece.command()
        values = [
            len(re.findall(r" \d\S*", f" {part}"))
            for part in " ".join(words).split(" --")
            if part.split()[0] in ("learning-rate", "target-kl", "discount")
        ]
        seeds = int(words[words.index("--seeds") + 1])
        for method in piece.algorithms.split():
            for task in piece.environments.split():
                asked[method, task] = seeds * values[0] * values[1]
    assert there == asked
    assert set(HYPERPARAMETERS) < set(frame.columns)


def test_a_person_can_read_its_pictures() -> None:
    for family in FAMILIES:
        found = study(family)
        for _, figure in pictures(found, next(iter(found.algorithms))):
            assert illegible(figure) == []
