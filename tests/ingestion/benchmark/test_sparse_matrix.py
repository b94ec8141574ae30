"""Sparse matrices in text form: round trips, and headers and entries that lie."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vixml.core.errors import DataError
from vixml.ingestion.benchmark.sparse_matrix import read_sparse_text

rows = st.lists(st.dictionaries(st.integers(0, 8), st.floats(0.125, 8, width=32), max_size=5), max_size=8)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, packed=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))
def test_round_trip(tmp_path, rows, packed, end):
    lines = [f"{len(rows)} 9", *(" ".join(f"{k}:{v!r}" for k, v in row.items()) for row in rows)]
    text = "".join(line + end for line in lines).encode()
    file = tmp_path / "trn_X_Y.txt"
    file.write_bytes(gzip.compress(text) if packed else text)
    expected = np.zeros((len(rows), 9), dtype=np.float32)
    for number, row in enumerate(rows):
        for column, value in row.items():
            expected[number, column] = value
    matrix, counts = read_sparse_text(file, num_rows=len(rows), num_columns=9)
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.has_canonical_format
    assert counts == {"duplicate_entries": 0, "zero_entries": 0, "entries": sum(map(len, rows))}


def test_duplicates_merge_and_zeros_are_not_stored(tmp_path):
    (tmp_path / "f").write_text("2 3\n2:1 0:0 2:4\n\n\n\n")
    matrix, counts = read_sparse_text(tmp_path / "f")
    assert matrix.toarray().tolist() == [[0, 0, 4], [0, 0, 0]]
    assert matrix.nnz == 1
    assert counts == {"duplicate_entries": 1, "zero_entries": 1, "entries": 3}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "no header"),
        ("0:1 1:1\n", 1, "no header"),
        ("2\n", 1, "no header"),
        ("-1 3\n", 1, "no header"),
        ("99999999999999999 3\n", 1, "no header"),
        ("3 4\n0:1\n", 2, "lies about the number of rows.*1 rows"),
        ("1 4\n0:1\n1:1\n", 3, "lies about the number of rows"),
        ("1 4\n4:1\n", 2, "out of range"),
        ("1 4\n-1:1\n", 2, "out of range"),
        ("1 4\n1\n", 2, "malformed"),
        ("1 4\n1:x\n", 2, "malformed"),
        ("1 4\n1:nan\n", 2, "malformed"),
        ("1 4\n1:-1\n", 2, "malformed"),
        ("1 4\n1:inf\n", 2, "malformed"),
        ("1 4\n1:1_0\n", 2, "malformed"),
        ("1 4\n1_0:1\n", 2, "malformed"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, says):
    (tmp_path / "f").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        read_sparse_text(tmp_path / "f")
    assert caught.value.line == line


def test_what_float32_cannot_tell_from_zero_is_a_zero(tmp_path):
    (tmp_path / "f").write_text("1 4\n0:1e-60 1:1e-45 2:0 3:7.1e-46\n")
    matrix, counts = read_sparse_text(tmp_path / "f")
    assert matrix.indices.tolist() == [1, 3]
    assert (matrix.data > 0).all()
    assert counts["zero_entries"] == 2


def test_a_header_that_contradicts_the_other_files(tmp_path):
    (tmp_path / "f").write_text("1 4\n0:1\n")
    for wanted in ({"num_rows": 2}, {"num_columns": 5}):
        with pytest.raises(DataError, match="contradict"):
            read_sparse_text(tmp_path / "f", **wanted)
