"""CSV: quote marks that are none, cells over lines, ragged rows, delimiters and encodings. No row is lost silently."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from vixml.core.errors import DataError
from vixml.ingestion.tables.files import read_blocks, read_table
from vixml.serving.query_files import query_blocks


def columns(file: Path, content: str | bytes, **how):
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    whole = read_table(file, **how).columns
    blocks = [block.columns for block in read_blocks(file, 2, **how)]
    assert {name: [cell for block in blocks for cell in block[name]] for name in whole} == whole
    return whole


@pytest.mark.parametrize(
    ("name", "lines", "texts"),
    [
        ("t.tsv", ['q1\t"Best buy', "q2\tlamp", 'q3\t"Nice" hat'], ['"Best buy', "lamp", '"Nice" hat']),
        ("t.tsv", ['q1\t"Best buy', "q2\tlamp"], ['"Best buy', "lamp"]),
        ("t.csv", ["q1,6\" pipe", 'q2,"a', "q3,b"], ['6" pipe', '"a', "b"]),
        ("t.tsv", ['q1\t"Best buy', "q2\tlamp", 'q3\t6"', "q4\tdesk"], ['"Best buy', "lamp", '6"', "desk"]),
        ("t.csv", ['q1,"a ""b"" c"', 'q2,"d, e"', "q3,f"], ['a "b" c', "d, e", "f"]),
        ("t.csv", ['q1,"first', 'second, third"', "q2,x"], ["first\nsecond, third", "x"]),
        ("t.csv", ['q1,"first', "", 'last"', "", "q2,x"], ["first\n\nlast", "x"]),
        ("t.csv", ['q1,"ends', '"', "q2,x"], ["ends\n", "x"]),
        ("t.csv", ['"q1","a"', '"q2","b"'], ["a", "b"]),
        ("t.csv", ["q1,", 'q2,""'], ["", ""]),
        ("t.txt", ['q1|"a', "q2|b, c", "q3|d"], ['"a', "b, c", "d"]),
    ],
)  # fmt: skip
def test_every_row_is_read(tmp_path, name, lines, texts):
    sign = {"t.tsv": "\t", "t.txt": "|"}.get(name, ",")
    found = columns(tmp_path / name, "\n".join([f"id{sign}text", *lines]) + "\n")
    assert found["text"] == texts
    assert found["id"] == [f"q{number}" for number in range(1, len(texts) + 1)]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (['q1,"Best buy', "q2,lamp", 'q3,6"', "q4,desk"], 2),
        (['name,"Best buy', "other,lamp", 'third,6"', "fourth,desk"], 2),  # a cell over three lines, or three rows
        (['q1,"Best buy', "q2,lamp", 'q3,"Shoes, red"'], 2),  # neither: marks are CSV's in line 4 alone
        (["q1,x", 'q2,"He said "hi", then left"'], 3),
        (["q1,x", 'q2,"He said \\"hi\\", then left"'], 3),
        (['"q1","a"', '"q2","b "c" d"'], 3),
        (["q1,x", "q2,y,z"], 3),
        (["q1,x", 'q2, "y, z"'], 3),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_names_the_line(tmp_path, lines, line):
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: "):
        columns(tmp_path / "t.csv", "\n".join(["id,text", *lines]) + "\n")
    with pytest.raises(DataError, match=rf"t\.csv, line {line}: "):
        list(query_blocks(tmp_path / "t.csv", 1))


def test_the_user_may_say_what_quote_marks_are(tmp_path):
    content = 'id,text\nq1,"Best buy\nq2,lamp\nq3,6"\nq4,desk\n'
    assert columns(tmp_path / "t.csv", content, quoting="none")["text"] == ['"Best buy', "lamp", '6"', "desk"]
    assert columns(tmp_path / "t.csv", content, quoting="csv")["text"] == ["Best buy\nq2,lamp\nq3,6", "desk"]
    with pytest.raises(DataError, match="line 3"):
        columns(tmp_path / "t.csv", 'id,text\n1,a\n2,"b\n3,c\n', quoting="csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path, end):
    content = end.join(["id,text", "1,a", '2,"b, c"', "3,d"])
    assert columns(tmp_path / "t.csv", content)["text"] == ["a", "b, c", "d"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_return_among_lines_that_end_otherwise_is_part_of_the_text(tmp_path, end):
    found = columns(tmp_path / "t.csv", end.join(["id,text", "1,a\rb", '2,"c\r, d"', "3,e", ""]))
    assert found == {"id": ["1", "2", "3"], "text": ["a\rb", "c\r, d", "e"]}


@pytest.mark.parametrize("packed", [lambda text: text, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings(tmp_path, encoding, packed):
    content = 'id;text\n1;Grüße\n2;"naïve; 5 €"\n'.replace("€", "€")
    assert columns(tmp_path / "t.csv", packed(content.encode(encoding)))["text"] == ["Grüße", "naïve; 5 €"]


def test_a_line_of_another_encoding_does_not_spoil_the_others(tmp_path):
    content = "id,text\n1,Grüße\n".encode() + "2,Größe\n".encode("cp1252") + b"3,\x81\n"
    assert columns(tmp_path / "t.csv", content)["text"] == ["Grüße", "Größe", "\x81"]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"id,text\n1,a\n2,b\0c\n", None, "line 3: .*NUL"),
        ("id,text\n1,a\n".encode("utf-16")[2:], None, "NUL"),
        ("id,text\n1,a\n2,Grüße\n".encode("cp1252"), "utf-8", "line 3: the text is not of its encoding"),
        (b"id,text\n1,\x81\n", "cp1252", "line 1: the text is not of its encoding"),
        (b"\n,,\n", None, "empty"),
    ],
)
def test_a_damaged_text_is_an_error(tmp_path, content, encoding, message):
    with pytest.raises(DataError, match=message):
        columns(tmp_path / "t.csv", content, encoding=encoding)


def test_ragged_rows_repeated_headers_and_blank_lines_are_told_apart(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text('id,text,\n\n1,a,\n2\nid,text,\n3,"c\nd",,,\n   \n4,e,\n', encoding="utf-8")
    table = read_table(file)
    assert table.columns == {"id": ["1", "2", "3", "4"], "text": ["a", "", "c\nd", "e"]}
    assert table.left_out == {"header again": 1}
    assert table.short == (4, 1)
    assert [table.line(row) for row in range(4)] == [3, 4, 6, 9]


@pytest.mark.parametrize("end", ["\x1a", "\n\x1a\n", "\ufeff"])
def test_what_old_programs_leave_at_the_end_is_no_row(tmp_path, end):
    assert columns(tmp_path / "t.csv", f"id,text\n1,a\n2,b\n{end}") == {"id": ["1", "2"], "text": ["a", "b"]}


def test_a_file_behind_another_one_with_its_mark_and_header(tmp_path):
    one = "\ufeffid,text\n1,a\n", "\ufeffid,text\n2,b\n"
    file = tmp_path / "t.csv"
    file.write_text("".join(one), encoding="utf-8")
    table = read_table(file)
    assert table.columns == {"id": ["1", "2"], "text": ["a", "b"]}
    assert table.left_out == {"header again": 1}


def test_a_column_without_a_name_has_its_number(tmp_path):
    assert columns(tmp_path / "t.csv", ",id,\n0,a,\n1,b,\n") == {"Unnamed: 0": ["0", "1"], "id": ["a", "b"]}


def test_a_cell_may_be_long(tmp_path):
    text = "word " * 100_000
    assert columns(tmp_path / "t.csv", f'id,text\n1,"{text},"\n')["text"] == [f"{text},"]
