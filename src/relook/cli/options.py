"""What several verbs' options share."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from relook.errors import WrongRequest

T = TypeVar("T")


def parse(form: type[T], verb: str, arguments: Sequence[str]) -> T:
    """Fill in a form from a command line. Wrong words end the program with status 2 and a hint."""
    words = list(arguments)
    for option in ("--env-arg", "--held-out-env-arg"):
        words = _together(words, option)
    return tyro.cli(form, prog=f"relook {verb}", args=words, config=(tyro.conf.OmitArgPrefixes,))


def _together(words: list[str], option: str) -> list[str]:
    """The same words with all values of an option behind its first appearance: `-x a -x b` means `-x a b`."""
    values: list[str] = []
    others: list[str] = []
    place, taking = None, False
    for word in words:
        if word.startswith("--"):
            taking = word == option
        if not taking:
            others.append(word)
        elif word != option:
            values.append(word)
        elif place is None:
            place = len(others)
    return words if place is None else [*others[:place], option, *values, *others[place:]]


def environment_arguments(pairs: Sequence[str], option: str = "--env-arg") -> dict[str, Any]:
    """KEY=VALUE pairs: a value is a number, true, false, none or JSON if it reads as one, and otherwise a string."""
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise WrongRequest(f"expected {option} KEY=VALUE, such as is_slippery=false; found {pair!r}")
        arguments[key] = _value(value)
    return arguments


def variants(words: Sequence[str]) -> list[dict[str, Any]]:
    """Each word changes some of an environment's arguments: KEY=VALUE, or several with commas."""
    return [environment_arguments(re.split(r",(?=[^\W\d]\w*=)", word), "--held-out-env-arg") for word in words]


def _value(text: str) -> Any:
    word = {"True": "true", "False": "false", "None": "null", "none": "null"}.get(text, text)
    try:
        return json.loads(word)
    except ValueError:
        return text


def sizes(name: str, text: str) -> tuple[int, ...]:
    """Several sizes, which are one value: 64,64."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise WrongRequest(f"expected {name} as sizes with commas, such as 64,64; found {text!r}") from None


def output_file(path: Path, option: str) -> Path:
    """A file that is about to be written: its directory must exist."""
    if not path.absolute().parent.is_dir():
        raise WrongRequest(
            f"cannot write {path}: there is no directory {path.absolute().parent}; choose another {option}"
        )
    return path
