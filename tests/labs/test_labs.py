"""Every quick lab: its claims hold, a mistake is caught, the picture can be read, and it says what it must."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from relook.cli.main import main
from relook.labs import LABS, find
from relook.labs.lab import Claim, Lab
from relook.labs.symbols import SYMBOLS, lines
from statistics_support import illegible

ROOT = Path(__file__).parents[2]
NOTES = (ROOT / "docs" / "founding-notes.txt").read_text(encoding="utf-8").splitlines()
QUICK = [name for name in LABS if find(name).quick]


@cache
def found(name: str) -> Any:
    return find(name).compute()


@pytest.mark.parametrize("name", QUICK)
def test_all_claims_of_a_quick_lab_hold(name: str) -> None:
    claims = find(name).claims(found(name))
    assert len(claims) >= 2
    assert not [claim for claim in claims if not claim.holds]


@pytest.mark.parametrize("name", QUICK)
def test_a_mistake_is_caught_by_a_claim(name: str) -> None:
    own = find(name)
    assert [claim.what for claim in own.claims(own.wrong()) if not claim.holds], own.mistake


@pytest.mark.parametrize("name", QUICK)
def test_the_picture_of_a_quick_lab_can_be_read(name: str) -> None:
    assert not illegible(find(name).draw(found(name)))


@pytest.mark.parametrize("name", LABS)
def test_a_lab_says_what_it_asks_and_which_lines_it_answers(name: str) -> None:
    own: Lab[Any] = find(name)
    assert own.name == name
    assert 2 <= len(own.choices) <= 4
    assert own.prompt.endswith(("?", "."))
    assert own.notes
    assert set(own.notes) <= {line.strip() for line in NOTES}
    assert own.reading
    for text in own.reading:
        if text.startswith("relook lab "):
            assert text.removeprefix("relook lab ") in (*LABS, "symbols")
        if text.startswith("docs/"):
            assert (ROOT / text).exists()


@pytest.mark.parametrize("name", QUICK)
def test_an_answer_is_one_of_the_choices_and_the_lesson_has_numbers(name: str) -> None:
    own = find(name)
    assert 0 <= own.answer(found(name)) < len(own.choices)
    assert any(character.isdigit() for character in own.lesson(found(name)))


def test_a_sign_bug_breaks_what_winning_and_defending_claims_of_self_play_and_nothing_else() -> None:
    own = find("defend")  # which takes a minute or two as it is
    mistaken = own.wrong()
    broken = [claim.what for claim in own.claims(mistaken) if not claim.holds]
    assert len(broken) == 3
    assert all("minimax-Q" in what for what in broken)
    assert not illegible(own.draw(mistaken))
    assert own.answer(mistaken) == 2
    assert "60,000" in own.lesson(mistaken)
    assert own.table
    assert all(len(line) <= 90 for line in own.table(mistaken).splitlines())
    assert own.table(mistaken).count(" O ") >= 15


def test_claims_compare_in_three_ways() -> None:
    def claim(found: float, kind: Any) -> Claim:
        return Claim("x", found, 1.0, 0.1, "y", kind)

    assert [claim(x, "equal").holds for x in (0.85, 0.95, 1.05, 1.15, float("nan"))] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert [claim(x, "at least").holds for x in (0.85, 0.95, 5.0, float("nan"))] == [False, True, True, False]
    assert [claim(x, "at most").holds for x in (-5.0, 1.05, 1.15, float("nan"))] == [True, True, False, False]


def test_a_lab_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "trajectories", "--predict", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Your prediction: 1, as probabilities do. It did not hold." in said
    assert "0.0722" in said
    assert "The notes, once more." in said
    assert (tmp_path / "lab-trajectories.png").stat().st_size > 10_000
    assert main(["lab", "trajectories", "--check"]) == 0
    assert "holds" in capsys.readouterr().out
    assert main(["lab", "trajectories", "--predict", "7"]) == 2
    assert main(["lab", "nothing_of_this_name"]) == 2
    assert main(["lab"]) == 2
    assert main(["labs"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in LABS)


def test_a_claim_that_does_not_hold_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = find("trajectories")
    monkeypatch.setitem(own.__dict__, "compute", own.wrong)
    with contextlib.suppress(SystemExit):
        assert main(["lab", "trajectories", "--check"]) == 1
    out, err = capsys.readouterr()
    assert "does not hold" in out
    assert "what trajectories claims does not hold here" in err


def test_a_lab_is_shorter_where_that_is_asked_for_and_there_is_a_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["lab", "trajectories", "--check", "--quick"]) == 0
    own = find("trajectories")
    monkeypatch.setitem(own.__dict__, "shorter", own.wrong)
    assert main(["lab", "trajectories", "--check"]) == 0
    assert main(["lab", "trajectories", "--check", "--quick"]) == 1
    assert "does not hold" in capsys.readouterr().out


def test_every_symbol_has_a_value_and_its_line_of_code(capsys: pytest.CaptureFixture[str]) -> None:
    told = list(lines())
    assert len(told) == len(SYMBOLS) == len({written for written, *_ in told}) >= 25
    for written, called, value, code in told:
        assert called, written
        assert value, written
        assert "return" not in code
    assert main(["lab", "symbols"]) == 0
    assert "V^π(s)" in capsys.readouterr().out
