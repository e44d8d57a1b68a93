"""Lines of JSON survive what JSON cannot hold and what a power cut leaves."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from relook.errors import RelookError
from relook.runs.files import MOST_BYTES, LineWriter, number, plain, read_json, read_lines


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.5, 1e-300, 3])
def test_a_number_comes_back_from_strict_json(value: float) -> None:
    back = number(json.loads(json.dumps(plain(value), allow_nan=False)))
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_plain_reaches_into_everything() -> None:
    value = {"a": [math.nan, (math.inf, {"b": -math.inf})], "c": "inf", "d": None, "e": True}
    assert plain(value) == {"a": [None, ["inf", {"b": "-inf"}]], "c": "inf", "d": None, "e": True}


def test_lines_are_appended_and_read_back(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"a": 1, "text": "naïve\nline"}, {"a": 0.1}, {}]
    for part in (records[:2], records[2:]):
        writer = LineWriter(tmp_path / "x.jsonl")
        writer.write(part)
        writer.close()
    assert read_lines(tmp_path / "x.jsonl") == records
    assert (tmp_path / "x.jsonl").read_bytes().count(b"\n") == 3


def test_a_written_line_can_be_read_before_the_file_is_closed(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "x.jsonl")
    writer.write([{"a": 1}])
    assert read_lines(tmp_path / "x.jsonl") == [{"a": 1}]
    writer.close()


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "nothing.jsonl") == []


@pytest.mark.parametrize("torn", ['{"a": 3', '{"a": 3}', "", '{"a": "\N{GREEK SMALL LETTER ALPHA}'])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n' + torn.encode()[: len(torn.encode()) or None])
    assert read_lines(path) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("garbage", [b"garbage", b'{"a": 3', b"\xff\xfe", b""])
def test_garbage_between_lines_is_an_error_that_names_the_file(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' + garbage + b'\n{"a": 2}\n')
    with pytest.raises(RelookError, match=r"x\.jsonl"):
        read_lines(path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "null"])
def test_a_document_that_is_no_object_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(RelookError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_an_oversize_document_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert read_json(path) == {}
    os.truncate(path, MOST_BYTES + 1)  # sparse: takes no space
    with pytest.raises(RelookError, match="it is larger"):
        read_json(path)
