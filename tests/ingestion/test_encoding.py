"""Bytes of text files in any encoding."""

from __future__ import annotations

import gzip

import pytest

from vixml.ingestion.benchmark.json_lines import read_json_lines
from vixml.ingestion.encoding import as_text, survey


def test_no_byte_is_lost():
    line = bytes(range(1, 256))
    assert len(as_text(line)) == 255
    assert as_text("Größe €".encode("cp1252")) == "Größe €"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_lines_are_counted_as_python_reads_them(tmp_path, monkeypatch, end, encoding):
    monkeypatch.setattr("vixml.ingestion.encoding._CHUNK", 3)
    file = tmp_path / "t.txt"
    for text in ("a", "a" + end, "é" + end + end + "b", f'"é{end}b"{end}', ""):
        file.write_bytes(gzip.compress(text.encode(encoding)))
        seen = survey(file)
        with seen.open(file) as stream:
            lines = list(stream)
        assert seen.lines == len(lines)
        assert "".join(lines) == text
        assert seen.has_quotes == ('"' in text)


def test_the_first_line_that_is_not_utf8_is_shown(tmp_path):
    (tmp_path / "t.txt").write_bytes("a\nü\n".encode() + "Größe\nb\n".encode("cp1252"))
    assert survey(tmp_path / "t.txt").foreign == (3, "Größe")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_lines_with_a_mark(tmp_path, encoding):
    (tmp_path / "t.jsonl").write_text('{"id": "é"}\n\n{"id": 2}\n', encoding=encoding)
    assert list(read_json_lines(tmp_path / "t.jsonl")) == [(1, {"id": "é"}), (3, {"id": 2})]
