"""What a spreadsheet would calculate gets an apostrophe; everything else stays as it is."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from vixml.core.guards.spreadsheet import escape_formula, escape_frame, escape_table
from vixml.datasets.report_files import CSVTableDataset

FORMULAS = [
    *("=cmd|'/C calc'!A0", "=1+1", "@SUM(A1)", "+cmd|x", "-cmd|x", "-1+cmd|x", "+1\n=2", "\t=1", "\r=1", "\n=1", "="),
    *("\uff1d1+1", "\uff20x", "\uff0bx", "\uff0dx", "--x", "-(1)"),
]
TEXTS = ["", "a", "a=b", "7", "-5", "+1.5", "-1e5", "-3,5", "+7%", "red - vase", "'=1", " x", "é"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped(text):
    assert escape_formula(text) == "'" + text


@pytest.mark.parametrize("text", TEXTS)
def test_other_texts_are_left_alone(text):
    assert escape_formula(text) == text


def test_tables_are_escaped_alike():
    every = [*FORMULAS, *TEXTS]
    expected = [escape_formula(text) for text in every]
    frame = escape_frame(pd.DataFrame({"=id": every, "n": range(len(every))}))
    assert frame["'=id"].tolist() == expected
    assert frame["n"].tolist() == list(range(len(every)))
    table = escape_table(pa.table({"id": pa.array([*every, None]), "n": pa.array(range(len(every) + 1))}))
    assert table["id"].to_pylist() == [*expected, None]


def test_tables_of_reports_are_escaped(tmp_path):
    data = CSVTableDataset(filepath=str(tmp_path / "failures.csv"), save_args={"index": False})
    data.save(pd.DataFrame({"url": ["http://a/b"], "detail": ["=cmd|x"], "n": [-1]}))
    assert (tmp_path / "failures.csv").read_text() == "url,detail,n\nhttp://a/b,'=cmd|x,-1\n"
