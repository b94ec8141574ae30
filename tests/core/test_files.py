"""Single files: whole or not at all, JSON in one form, and hashes of what they say."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from vixml.core.errors import StateError
from vixml.core.files import atomic_file, content_hash, hash_file, link, read_json, stamp_of, write_json


def test_an_error_in_the_middle_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("older")

    def write_half() -> None:
        with atomic_file(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


def test_json_comes_back_and_equal_values_are_equal_bytes(tmp_path: Path) -> None:
    for name, value in (("a", {"b": [1, None], "a": "ü"}), ("b", {"a": "ü", "b": [1, None]})):
        write_json(tmp_path / "new folder" / name, value)
        assert read_json(tmp_path / "new folder" / name) == value
    assert (tmp_path / "new folder/a").read_bytes() == (tmp_path / "new folder/b").read_bytes()


@pytest.mark.parametrize(("content", "message"), [(None, "missing"), ("{", "not valid JSON"), ("[" * 99_999, "JSON")])
def test_what_is_no_json_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StateError, match=message):
        read_json(file)


def test_a_hash_is_that_of_the_bytes_whatever_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vixml.core.files._CHUNK", 7)
    (tmp_path / "a").write_bytes(bytes(range(100)))
    assert hash_file(tmp_path / "a") == hashlib.sha256(bytes(range(100))).hexdigest()


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_times_and_memory_do_not_count_in_documents(tmp_path: Path, name: str) -> None:
    def hashed(**values: float) -> str:
        (tmp_path / name).write_text(json.dumps(values))
        return content_hash(tmp_path / name)

    assert hashed(loss=1, seconds=2) == hashed(seconds=3, loss=1)
    assert hashed(loss=1, seconds=2) != hashed(loss=2, seconds=2)


def test_what_only_claims_to_be_json_counts_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert content_hash(tmp_path / "a.json") == hash_file(tmp_path / "a.json")


def test_a_stamp_changes_with_whatever_is_written(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    before = stamp_of(file)
    assert stamp_of(file) == before
    with atomic_file(file) as temporary:
        temporary.write_text("1")
        os.utime(temporary, ns=(before[1], before[1]))
    assert stamp_of(file) != before, "another file in its place, of the same size and time"


def test_a_link_is_a_copy_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("not on this file system")

    (tmp_path / "a").write_text("1")
    link(tmp_path / "a", tmp_path / "linked")
    assert (tmp_path / "linked").samefile(tmp_path / "a")
    monkeypatch.setattr("os.link", refused)
    link(tmp_path / "a", tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "1"
    assert not (tmp_path / "copied").samefile(tmp_path / "a")
