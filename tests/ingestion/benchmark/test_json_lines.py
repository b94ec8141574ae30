"""Readers of JSON lines and filter pairs: round trips, and errors that name file, line and remedy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vixml.core.errors import DataError
from vixml.data.sides import Side
from vixml.ingestion.benchmark.json_lines import read_filter, read_side, relevance_matrix
from vixml.ingestion.benchmark.layouts import find_raw_file

GOOD = {"uid": "a", "title": "t", "content": "c", "target_ind": [1, 0], "target_rel": [1.0, 0.5]}


def write(file: Path, items: list[Any], *, packed: bool = False) -> Path:
    data = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()
    file.write_bytes(gzip.compress(data) if packed else data)
    return file


def changed(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, "uid": "b", **fields}.items() if value is not ...}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
points = st.lists(
    st.fixed_dictionaries(
        {
            "uid": texts.filter(str.strip),
            "title": texts,
            "content": texts,
            "targets": st.dictionaries(st.integers(0, 30), st.floats(0.125, 8, width=32), max_size=6),
        }
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda point: point["uid"],
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=points, packed=st.booleans(), extra=st.integers(0, 3))
def test_round_trip(tmp_path, points, packed, extra):
    items = [
        {**point, "target_ind": list(point["targets"]), "target_rel": list(point["targets"].values())}
        for point in points
    ]
    num_labels = 31 + extra
    side = read_side(write(tmp_path / "trn.json", items, packed=packed), with_targets=True)
    assert side.uids == [point["uid"] for point in points]
    assert side.titles == [point["title"] for point in points]
    assert side.contents == [point["content"] for point in points]
    matrix, repairs = relevance_matrix(side, num_labels)
    expected = np.zeros((len(points), num_labels), dtype=np.float32)
    for row, point in enumerate(points):
        for label, value in point["targets"].items():
            expected[row, label] = value
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert matrix.dtype == np.float32
    assert all((np.diff(matrix.indices[a:b]) > 0).all() for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False))
    assert not any(repairs.values())


def test_points_without_labels_and_the_last_label_stay(tmp_path):
    items = [changed(uid="a"), changed(uid="b", target_ind=[], target_rel=[])]
    matrix, _ = relevance_matrix(read_side(write(tmp_path / "f", items), with_targets=True), 5)
    assert matrix.shape == (2, 5)
    assert np.diff(matrix.indptr).tolist() == [2, 0]


def test_duplicates_merge_and_zero_relevance_is_none(tmp_path):
    items = [changed(target_ind=[2, 1, 2, 0], target_rel=[0.5, 1, 2, 0])]
    matrix, repairs = relevance_matrix(read_side(write(tmp_path / "f", items), with_targets=True), 3)
    assert matrix.toarray().tolist() == [[0.0, 1.0, 2.0]]
    assert repairs == {"duplicate_targets": 1, "zero_relevance_targets": 1}


def test_lenient_where_nothing_is_lost(tmp_path):
    """Byte order mark, blank lines, numeric uids, null titles and a missing content are understood."""
    file = tmp_path / "f"
    file.write_bytes(b'\xef\xbb\xbf{"uid": 7, "title": null}\n\n  \n{"uid": "\xc3\xa9", "title": "x"}')
    side = read_side(file, with_targets=False)
    assert side.uids == ["7", "é"]
    assert side.titles == ["", "x"]
    assert side.lines.tolist() == [1, 4]
    assert side.num_without_content == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"uid": "b", ', "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ("[" * 100_000, "not valid JSON"),
        (changed(uid="a"), "first in line 1"),
        (changed(uid=...), "`uid` is missing"),
        (changed(uid=""), "`uid` is of the wrong type"),
        (changed(uid=True), "`uid` is of the wrong type"),
        ('{"uid": "\\ud800", "title": ""}', "`uid` is of the wrong type"),
        (changed(title=...), "`title` is missing"),
        (changed(title=3), "`title` is of the wrong type"),
        (changed(content=[]), "`content` is of the wrong type"),
        (changed(target_ind=...), "`target_ind` is missing"),
        (changed(target_rel=...), "`target_rel` is missing"),
        (changed(target_ind="1"), "`target_ind` is of the wrong type"),
        (changed(target_ind=[1.0, 2]), "`target_ind` is of the wrong type"),
        (changed(target_ind=[True, 0]), "`target_ind` is of the wrong type"),
        (changed(target_ind=[10**30, 0]), "`target_ind` is of the wrong type"),
        (changed(target_rel=[None, 1]), "`target_rel` is of the wrong type"),
        (changed(target_rel=[1.0]), "differ in length"),
        (changed(target_rel=[float("nan"), 1]), "not a number of at least 0"),
        (changed(target_rel=[float("inf"), 1]), "not a number of at least 0"),
        (changed(target_rel=[1e300, 1]), "not a number of at least 0"),
        (changed(target_rel=[-1, 1]), "not a number of at least 0"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_is_named(tmp_path, line, says, packed):
    text = line if isinstance(line, str) else json.dumps(line)
    data = f"{json.dumps(GOOD)}\n{text}\n{json.dumps(changed(uid='z'))}\n".encode()
    file = tmp_path / "trn.json"
    file.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(DataError, match=says) as caught:
        read_side(file, with_targets=True)
    assert caught.value.line == 2
    assert caught.value.file == file
    assert caught.value.remedy


def test_not_utf8(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(json.dumps(GOOD).encode() + b'\n{"uid": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"not UTF-8.*0xe9") as caught:
        read_side(file, with_targets=False)
    assert caught.value.line == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "header"])
def test_broken_gzip(tmp_path, damage):
    data = bytearray(gzip.compress("".join(json.dumps(changed(uid=str(i))) + "\n" for i in range(500)).encode()))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flip":
        data[-8] ^= 0xFF  # checksum
    else:
        data[2] = 99  # unknown compression
    file = tmp_path / "f.json.gz"
    file.write_bytes(bytes(data))
    with pytest.raises(DataError, match="broken or cut off"):
        read_side(file, with_targets=True)


def test_empty_missing_and_absent_files(tmp_path):
    (tmp_path / "trn.json").write_bytes(b"\n")
    with pytest.raises(DataError, match="holds no item"):
        read_side(find_raw_file(tmp_path, Side.TRAIN), with_targets=True)
    with pytest.raises(DataError, match="raw file is missing"):
        find_raw_file(tmp_path, Side.LABEL)
    with pytest.raises(DataError, match="cannot be read"):
        read_side(tmp_path, with_targets=True)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_label_rows_out_of_range_name_their_line(tmp_path, label):
    items = [GOOD, changed(target_ind=[], target_rel=[]), changed(uid="c", target_ind=[0, label])]
    side = read_side(write(tmp_path / "f", items), with_targets=True)
    with pytest.raises(DataError, match=rf"out of range.*{label}.*0 to 2") as caught:
        relevance_matrix(side, 3)
    assert caught.value.line == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=20), newline=st.sampled_from("\n\r"))
def test_filter_round_trip(tmp_path, pairs, newline):
    file = tmp_path / "filter.txt"
    end = "\r\n" if newline == "\r" else "\n"
    file.write_bytes("".join(f"{row} {label}{end}" for row, label in pairs).encode())
    matrix, repairs = read_filter(file, 6, 9)
    assert set(zip(*matrix.nonzero(), strict=True)) == set(pairs)
    assert (matrix.data == 1).all()
    assert repairs == {"duplicate_filter_pairs": len(pairs) - len(set(pairs))}


@pytest.mark.parametrize("text", [None, "", "\n \n"])
def test_filter_missing_or_empty_is_fine(tmp_path, text):
    file = tmp_path / "filter.txt"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    matrix, _ = read_filter(file, 3, 4)
    assert matrix.shape == (3, 4)
    assert matrix.nnz == 0


@pytest.mark.parametrize("bad", ["3 0", "0 4", "-1 0", "0", "0 1 2", "a b", "0 1.5", "0 99999999999999999999", "é 1"])
def test_filter_errors_name_the_line(tmp_path, bad):
    file = tmp_path / "filter.txt"
    file.write_text(f"0 1\n\n{bad}\n1 2\n", encoding="utf-8")
    with pytest.raises(DataError, match="malformed or out of range") as caught:
        read_filter(file, 3, 4)
    assert caught.value.line == 3
