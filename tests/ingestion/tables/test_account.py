"""What the ledger says of a table."""

from __future__ import annotations

import pytest

from vixml.ingestion.ledger import Entry
from vixml.ingestion.tables.account import account_table, list_guess
from vixml.ingestion.tables.files import read_blocks


def test_blocks_add_up(tmp_path):
    (tmp_path / "t.csv").write_text("id,text,more\n1,a,\nid,text,more\n2\n3,c,\n")
    entry = Entry("t.csv")
    for block in read_blocks(tmp_path / "t.csv", 1):
        account_table(entry, block, ["id", "text"])
    assert (entry.held, entry.taken, entry.left_out) == (4, 3, {"header again": 1})
    assert (entry.columns, entry.unused) == (("id", "text"), ("more",))
    assert entry.notes == ["1 rows have fewer cells than the header, the first in line 4"]
    assert [guess.what for guess in entry.guesses] == ["delimiter", "encoding"]


@pytest.mark.parametrize(
    ("cells", "entries", "signs", "example"),
    [
        (["a", "a|b"], [["a"], ["a", "b"]], "|", "a|b is 2: <a>, <b>"),
        (["a", "b, c"], [["a"], ["b, c"]], "", "b, c is 1: <b, c>"),
        ([], [], "", "no cell"),
    ],
)
def test_the_example_is_a_cell_that_could_be_misread(cells, entries, signs, example):
    assert list_guess(cells, entries, signs, "--x").example == example
