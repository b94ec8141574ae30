"""A table in memory: its columns, and where its rows stand."""

from __future__ import annotations

import pytest

from vixml.core.errors import DataError
from vixml.ingestion.tables.files import read_table
from vixml.serving.query_files import query_blocks


def test_a_repeated_column_is_no_id(tmp_path):
    (tmp_path / "q.csv").write_text("id,id,text\n1,1,a\n2,3,b\n")
    with pytest.raises(DataError, match=r"q\.csv, line 3: .*several ids; the table has 2 columns"):
        list(query_blocks(tmp_path / "q.csv", 9))


def test_rows_of_a_second_part_are_named_by_its_file(tmp_path):
    for part, text in enumerate(["id,text\n1,a\n2,b\n", "id,text\n3,c\n\n4,d\n"]):
        (tmp_path / f"q-{part}.csv").write_text(text)
    table = read_table(tmp_path / "q-*.csv")
    assert table.columns["id"] == ["1", "2", "3", "4"]
    assert [table.place(row)["line"] for row in range(4)] == [2, 3, 2, 4]
    assert table.place(3)["file"] == tmp_path / "q-1.csv"
