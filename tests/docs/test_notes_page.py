"""The notes line by line: every answer exists, and every line is there."""

import re
import tomllib
from pathlib import Path

import pytest

from relook.algorithms import ALGORITHMS, TABULAR
from relook.cli.main import VERBS
from relook.labs import LABS, find

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTES = [
    line.strip() for line in (DOCS / "founding-notes.txt").read_text(encoding="utf-8").splitlines() if line.strip()
]
ANSWERS: dict[str, list[str]] = tomllib.loads((DOCS / "answers.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("answer", sorted({answer for answers in ANSWERS.values() for answer in answers}))
def test_an_answer_exists(answer: str) -> None:
    if link := re.fullmatch(r"\[.+\]\((.+)\)", answer):
        assert (DOCS / link[1]).exists()
    elif file := re.fullmatch(r"`(.+\.py)`", answer):
        assert (ROOT / "src" / "relook" / file[1]).exists()
    else:
        relook, verb, *words = answer.split()
        assert relook == "relook"
        assert verb in VERBS
        if verb == "lab":
            assert words[0] in (*LABS, "symbols")
        elif verb in ("train", "grid", "ablate", "tune") or (verb == "algorithms" and words):
            assert words[0] in ALGORITHMS or words[0] in TABULAR


def test_answers_are_to_lines_of_the_notes() -> None:
    assert set(ANSWERS) <= set(NOTES)
    assert len(set(NOTES)) == len(NOTES), "a line that comes twice would be answered twice"


def test_every_line_stands_on_the_page_in_its_order() -> None:
    page = (DOCS / "notes.md").read_text(encoding="utf-8")
    places = [page.index(f"| {line.replace('|', chr(92) + '|')} |") for line in NOTES]
    assert places == sorted(places)
    unanswered = [
        line for line in NOTES if not ANSWERS.get(line) and all(line not in find(name).notes for name in LABS)
    ]
    assert page.count("nothing yet") == len(unanswered) <= 4
