"""The documentation names only what exists, and its examples run."""

import re
import shlex
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from docs.generate import PAGES as PAGES_MADE

from relook.algorithms import ALGORITHMS, algorithm
from relook.cli import ablate, doctor, doctor_algorithm, doctor_functions, doctor_self_test, fork, grid, tune
from relook.cli.main import VERBS, main
from relook.cli.options import parse
from relook.cli.train import form_for
from relook.exports import FORMATS
from relook.runs.tidy import COLUMNS

ROOT = Path(__file__).parents[2]
WHERE = (ROOT / "docs" / "where-is-it.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LOG.md",
    *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")),
]


def resolve(name: str) -> object:
    """The object that a dotted name means."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        for part in parts[depth:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(relook(?:\.\w+)+)`", WHERE))))
def test_every_symbol_of_where_is_it_exists_and_is_documented(name: str) -> None:
    assert resolve(name).__doc__


def test_where_is_it_is_not_empty() -> None:
    assert len(re.findall(r"`relook\.", WHERE)) > 40


def tree_entries() -> dict[str, str]:
    """Path and meaning of every line of the README's file tree."""
    [block] = re.findall(r"```\n(src/relook/.*?)```", README, re.DOTALL)
    entries, folders = {}, [""]
    for line in block.splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        name, _, meaning = line.strip().partition("  ")
        folders[indent + 1 :] = []
        entries["".join(folders) + name] = meaning.strip()
        folders.append(name)
    return entries


def test_the_file_tree_has_a_line_for_each_file_and_no_other() -> None:
    entries = tree_entries()
    source = ROOT / "src" / "relook"
    files = {
        f"src/relook/{p.relative_to(source)}"
        for p in source.rglob("*.py")
        if p.name not in ("__init__.py", "__main__.py")
    }
    listed = {path for path in entries if path.endswith(".py")}
    folders = {path for path in listed if path.endswith("/*.py")}  # many files of one kind
    covered = {path for path in files if f"{path.rpartition('/')[0]}/*.py" in folders}
    assert folders == {f"{path.rpartition('/')[0]}/*.py" for path in covered}
    assert listed - folders == files - covered
    assert all(meaning for path, meaning in entries.items() if path != "src/relook/")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


def commands() -> list[str]:
    """All `relook …` command lines of the pages, without comments."""
    texts = [(ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ") for page in PAGES]
    lines = [line for text in texts for line in text.splitlines()]
    found = [line.split("#")[0].strip().removeprefix("$ ") for line in lines]
    return sorted({line for line in found if re.match(r"relook [a-z]", line)})


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_pages_are_understood(command: str) -> None:
    verb, *words = shlex.split(command)[1:]
    assert verb in VERBS
    if "--help" in words:
        with pytest.raises(SystemExit, match="0"):
            main(command.split()[1:])
    elif verb == "train":
        parse(form_for(algorithm(words[0])), "train", words[1:])
    elif verb == "grid" and not words[0].endswith(".toml"):
        names = list(takewhile(lambda word: not word.startswith("-"), words))
        parse(grid.form_for(names), "grid", words[len(names) :])
    elif verb == "grid":
        parse(grid.FileForm, "grid", words)
    elif verb in ("ablate", "tune"):
        forms: Any = {"ablate": (ablate.Form, ablate.DirectoryForm), "tune": (tune.Form, tune.FileForm)}
        algorithms, others = forms[verb]
        named = words[0] in ALGORITHMS
        parse(grid.form_for(words[:1], algorithms) if named else others, verb, words[named:])
    elif verb == "doctor":
        examiners = [doctor, doctor_algorithm, doctor_functions, doctor_self_test]
        forms = dict(zip(("run", "algorithm", "functions", "self-test"), examiners, strict=True))
        parse(forms[words[0]].Form, verb, words[1:])
    elif verb == "fork":
        parse(fork.form_for(algorithm("ppo")), "fork", words)
    else:
        parse(import_module(f"relook.cli.{verb}").Form, verb, words)


@pytest.mark.parametrize("page", PAGES_MADE)
def test_pages_that_follow_from_the_source_are_todays(page: str) -> None:
    """`python docs/generate.py` makes them so."""
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == PAGES_MADE[page]()


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert "action" in names


def test_the_tidy_tables_columns_are_described() -> None:
    said = (ROOT / "docs" / "records-out.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {meaning} |" for name, (_, meaning) in COLUMNS.items()]
    assert re.findall(r"\| `.*", said) == rows
    assert [*FORMATS] == re.findall(r"--to (\w+)", f"--to parquet {said}")
