"""The bug zoo: every patch still applies, does something, and is taken out again."""

import ast
import tomllib

import pytest

from relook.algorithms import ALGORITHMS
from relook.cli.main import main
from relook.doctor.examine.inside.examination import ORDER as INSIDE
from relook.doctor.examine.outside.examination import ORDER as OUTSIDE
from relook.doctor.findings import COMPONENTS
from relook.doctor.zoo import BUGS, SOURCE, Bug
from relook.doctor.zoo.self_test import cages, self_test
from relook.errors import RelookError


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_patch_applies_to_todays_source_and_is_still_python(bug: Bug) -> None:
    text = (SOURCE / bug.file).read_text(encoding="utf-8")
    assert text.count(bug.right) == 1
    ast.parse(text.replace(bug.right, bug.wrong))
    assert bug.right != bug.wrong
    assert bug.component in COMPONENTS
    assert bug.algorithm in ALGORITHMS


def test_there_are_enough_bugs_of_every_kind_and_each_has_its_own_name() -> None:
    assert len(BUGS) >= 70
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.algorithm for bug in BUGS} == set(ALGORITHMS)
    assert len({(bug.file, bug.right, bug.wrong) for bug in BUGS}) == len(BUGS), "no bug twice"


def test_of_every_bug_it_is_known_where_it_bears_load_and_what_names_it() -> None:
    known = tomllib.loads((SOURCE / "doctor" / "zoo" / "known.toml").read_text(encoding="utf-8"))
    assert list(known) == [bug.name for bug in BUGS]
    for bug in BUGS:
        assert not bug.shows or bug.environment, f"{bug.name} shows in the return of no environment"
        assert bug.check in {"", "import", *(check.name for check in (*INSIDE, *OUTSIDE))}


def test_a_bug_is_planted_in_a_copy_and_taken_out_again() -> None:
    bug = next(bug for bug in BUGS if bug.name == "a1")
    with cages(1) as [cage]:
        whole = (cage.package / bug.file).read_text(encoding="utf-8")
        caught = cage.examine(bug)
        assert caught.checks
        assert caught.right
        assert caught.seconds > 0
        assert (cage.package / bug.file).read_text(encoding="utf-8") == whole
        assert cage.ask("inside", "a2c")["findings"] == [], "and nothing is found where there is none"
        place = cage.package
    assert not place.exists()
    assert (SOURCE / bug.file).read_text(encoding="utf-8") == whole


def test_the_command_tells_bugs_by_what_shows_and_says_what_it_finds_where_nothing_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shows = next(bug for bug in BUGS if bug.algorithm == "a2c" and bug.shows)
    hidden = next(bug for bug in BUGS if bug.algorithm == "a2c" and not bug.shows)
    assert main(["doctor", "self-test", shows.name, hidden.name]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "all: 2 of 2 caught" in said
    assert "that show in the return: 1 of 1 caught" in said
    assert "that do not: 1 of 1 caught" in said
    assert "as they are: nothing found in a2c" in said
    assert main(["doctor", "self-test", "no-such-bug"]) == 2


def test_a_patch_that_no_longer_applies_is_an_error() -> None:
    stale = Bug("stale", "a text that is not there", "ppo", "record", "algorithms/ppo.py", "no such text", "x")
    with pytest.raises(
        RelookError, match=r"expected the text that bug stale changes once in algorithms/ppo\.py; found it 0"
    ):
        self_test([stale], lambda caught: None, workers=1)


def test_a_bug_that_keeps_relook_from_being_imported_is_caught() -> None:
    broken = Bug(
        "broken",
        "a name that is not there",
        "ppo",
        "record",
        "formulas/returns.py",
        "import torch\n",
        "import torchh\n",
    )
    [caught] = self_test([broken], lambda caught: None, workers=1)
    assert caught.checks == ("import",)
    assert "torchh" in caught.evidence
