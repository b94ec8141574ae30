"""What the beginning of a CSV shows of how it is written."""

from __future__ import annotations

import pytest

from vixml.ingestion.dialect import find_delimiter, has_apostrophes, is_comment, named_delimiter
from vixml.ingestion.tables.files import read_table


@pytest.mark.parametrize(
    ("text", "sign"),
    [("sep=;\r\na;b\r\n", ";"), ('"sep=\t"\na\tb\n', "\t"), ("\ufeffsep=,\na,b\n", ","), ("a;sep=;\n", None)],
)
def test_a_spreadsheet_names_its_delimiter(text, sign):
    assert named_delimiter(text) == sign


def test_the_named_delimiter_is_used_and_its_line_is_no_row(tmp_path):
    (tmp_path / "t.csv").write_text("sep=;\r\nid;text\r\n1;a, b\r\n2;c\r\n", encoding="utf-8", newline="")
    table = read_table(tmp_path / "t.csv")
    assert table.columns == {"id": ["1", "2"], "text": ["a, b", "c"]}
    assert [table.line(row) for row in (0, 1)] == [3, 4]


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("# made; in 2020\na|b\n1|2\n", "|"),
        ("a\n1\n", ","),
    ],
)
def test_the_delimiter_gives_rows_of_one_width(text, sign):
    assert find_delimiter(text) == sign


@pytest.mark.parametrize(
    ("lines", "are_marks"),
    [
        (["'1','a, b'", "'2','c'", "'3','d'"], True),
        (["1,'a, b'", "2,'c'", "3,'it''s'"], True),
        (["1,'tis the season", "2,'n roll", "3,rock"], False),
        (["1,it's", "2,she's", "3,we're"], False),
        (["1,a", "2,'b'", "3,c"], False),
    ],
)
def test_apostrophes_are_quote_marks_where_a_whole_column_has_them(lines, are_marks):
    assert has_apostrophes("\n".join(["id,text", *lines]) + "\n", ",") == are_marks


def test_cells_in_apostrophes_are_read_and_the_user_may_say_otherwise(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("id,text\n" + "".join(f"'{i}','thing, no. {i}'\n" for i in range(9)), encoding="utf-8")
    table = read_table(file)
    assert table.columns["id"] == [str(i) for i in range(9)]
    assert table.columns["text"][3] == "thing, no. 3"
    assert table.settled is not None
    assert table.settled.quoting == "single"
    file.write_text("id,text\n" + "".join(f"'{i}',t\n" for i in range(9)), encoding="utf-8")
    assert read_table(file, quoting="none").columns["id"][2] == "'2'"
    file.write_text("id,text\n" + "".join(f"'{i}',t\n" for i in range(9)) + "'9,t\n", encoding="utf-8")
    assert read_table(file).columns["id"][-1] == "'9"  # one mark that nothing closes: all of them are text


@pytest.mark.parametrize(
    ("row", "is_one"), [(["# part 2"], True), ([" #x", "", " "], True), (["#17"], False), (["#x", "text"], False)]
)
def test_remarks(row, is_one):
    assert is_comment(row) == is_one


def test_remarks_are_left_out_and_counted(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("# my data\nid,text\n1,a\n# more\n2,b\n#17\n", encoding="utf-8")
    table = read_table(file)
    assert table.columns == {"id": ["1", "2", "#17"], "text": ["a", "b", ""]}
    assert table.left_out == {"a remark behind #": 2}
    assert [table.line(row) for row in range(3)] == [3, 5, 6]
