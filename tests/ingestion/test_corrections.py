"""Proposals of a label audit that a person ticked: pairs added and taken out, and what is left out and why."""

from __future__ import annotations

import pandas as pd
import pytest
import scipy.sparse as sp

from vixml.core.errors import DataError
from vixml.datasets.report_files import CSVTableDataset
from vixml.ingestion.corrections import correct_pairs
from vixml.ingestion.ingest import ingest
from vixml.ingestion.ledger import Entry
from vixml.params.data.ingestion import DataParams

QUERIES, LABELS = ["=a", "b", "007"], ["x", "y"]
ROWS = [
    ("missing", "x", "=a", "y", 'a "quoted", text'),
    ("missing", "", "b", "x", "not ticked"),
    ("wrong", "yes", "b", "y", "taken out"),
    ("missing", "1", "007", "y", "there already"),
    ("missing", "x", "gone", "y", "no such query"),
    ("wrong", "no", "007", "y", "not ticked either"),
]


@pytest.fixture
def relevance():
    return sp.csr_matrix([[1, 0], [0, 1], [0, 1]], dtype="float32")


@pytest.fixture
def file(tmp_path):
    """The table as the pipeline writes it, ticked."""
    columns = ("proposal", "accept", "query_id", "label_id", "query_text")
    table = pd.DataFrame(dict(zip(columns, zip(*ROWS, strict=True), strict=True)))
    path = tmp_path / "label_audit_table.csv"
    CSVTableDataset(filepath=str(path), save_args={"index": False}).save(table)
    return path


def test_ticked_proposals_are_carried_out(relevance, file):
    entry = Entry("table")
    found = correct_pairs(relevance, file, queries=QUERIES, labels=LABELS, entry=entry)
    assert found.toarray().tolist() == [[1, 1], [0, 0], [0, 1]]
    assert (entry.held, entry.taken) == (6, 2)
    assert entry.left_out == {"not ticked": 2, "changed already": 1, "unknown query": 1}
    assert relevance.nnz == 3, "the original stays as it is"
    assert found.nnz == 3, "no zero is stored"


def test_an_unknown_kind_and_a_missing_file_are_errors(relevance, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("proposal,accept,query_id,label_id\nperhaps,x,b,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="no known kind"):
        correct_pairs(relevance, file, queries=QUERIES, labels=LABELS, entry=Entry("table"))
    with pytest.raises(DataError, match="corrections is missing"):
        correct_pairs(relevance, tmp_path / "none.csv", queries=QUERIES, labels=LABELS, entry=Entry("table"))


def test_ingestion_reads_them(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("trn", "tst"):
        lines = [f'{{"uid": "q{n}", "title": "t{n}", "target_ind": [{n % 2}], "target_rel": [1.0]}}' for n in range(6)]
        (raw / f"{name}.json").write_text("\n".join(lines), encoding="utf-8")
    (raw / "lbl.json").write_text('{"uid": "x", "title": "x"}\n{"uid": "y", "title": "y"}\n', encoding="utf-8")
    file = tmp_path / "ticked.csv"
    file.write_text("proposal,accept,query_id,label_id\nmissing,x,q0,y\nwrong,x,q1,y\n", encoding="utf-8")
    plain = ingest(raw, DataParams(), 0).relevance_train.toarray()
    found = ingest(raw, DataParams(corrections=str(file)), 0)
    expected = plain.copy()
    expected[0, 1], expected[1, 1] = 1, 0
    assert found.relevance_train.toarray().tolist() == expected.tolist()
    assert next(one for one in found.report["ledger"]["files"] if "ticked" in one["file"])["taken"] == 2
