"""Reader of the layout of text lines and sparse matrices: `*.raw.txt` and `{trn,tst}_X_Y.txt`.

A line is the text of one item, empty or not, in the order of the matrix rows; where every line of a file is `ID->TEXT`,
the items have these ids, else their 0-based row numbers. The matrix alone says how many items and labels there are.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from vixml.core.errors import DataError
from vixml.data.sides import SHORT_NAMES, Side
from vixml.ingestion.benchmark.json_lines import read_lines
from vixml.ingestion.benchmark.layouts import find_matrix, find_texts
from vixml.ingestion.benchmark.sparse_matrix import read_sparse_text
from vixml.ingestion.encoding import as_text
from vixml.ingestion.ledger import Ledger
from vixml.ingestion.source import RawSide

_ARROW = b"->"
_LONGEST_ID = 128  # bytes
_REMEDY = "check that texts and matrices are complete and of the same release."


def read_texts(file: Path, repairs: Counter[str]) -> tuple[list[str], list[str]]:
    """Return ids and texts of the items of one side.

    A line that is not UTF-8 is read as cp1252, the larger latin-1, in which several published files are written.

    Args:
        file: Text lines, plain or gzipped.
        repairs: Gets `texts_read_as_cp1252`.

    Raises:
        DataError: Unreadable, no line at all, an id that occurs twice, or a line without id among lines with ids.
    """
    lines = [line.rstrip(b"\r\n") for _, line in read_lines(file)]
    if not lines:
        raise DataError("the file holds no item", file=file, expected="a text a line", remedy=_REMEDY)
    has_id = np.fromiter(map(_has_id, lines), dtype=bool, count=len(lines))
    if not has_id.all():
        if 2 * has_id.sum() > len(lines):
            number = int(np.flatnonzero(~has_id)[0])
            found = lines[number][:80].decode(errors="replace")
            raise DataError(
                "the line has no id, although most others have",
                file=file,
                line=number + 1,
                found=found or "an empty line",
                expected="ID->TEXT in every line, or in none",
                remedy=_REMEDY,
            )
        return [str(row) for row in range(len(lines))], [_decoded(line, repairs) for line in lines]
    first: dict[str, int] = {}
    texts = []
    for number, line in enumerate(lines, start=1):
        uid, _, text = _decoded(line, repairs).partition(_ARROW.decode())
        uid = uid.strip()
        if first.setdefault(uid, number) != number:
            raise DataError(
                f"the id occurs twice; first in line {first[uid]}",
                file=file,
                line=number,
                found=uid,
                expected="unique ids",
                remedy="remove or rename one of the two items.",
            )
        texts.append(text)
    return list(first), texts


def read_ids(root: Path, side: Side) -> list[str]:
    """Return the ids of the items of a side."""
    file = find_texts(root, side)
    return [] if file is None else read_texts(file, Counter())[0]


def read_sparse_layout(root: Path, repairs: Counter[str], ledger: Ledger) -> dict[Side, RawSide]:
    """Read training, test and labels of the layout of text lines and sparse matrices.

    Args:
        root: Raw folder.
        repairs: Gets what was repaired.
        ledger: Gets what the files hold.

    Returns:
        The same structure that JSON lines give; the text of an item is its title.

    Raises:
        DataError: A file is missing or malformed, or texts and matrix contradict one another (a matrix with fewer
            columns than labels would lose the last labels).
    """
    files = {side: find_texts(root, side) for side in SHORT_NAMES}
    read = {side: read_texts(file, repairs) for side, file in files.items() if file is not None}
    num_labels, sides = len(read[Side.LABEL][0]), {}
    for side, (uids, texts) in read.items():
        file = files[side]
        assert file is not None  # `layout_of` has found all three
        entry = ledger.entry(file, "lines")
        entry.held = entry.taken = len(texts)
        offsets, targets = np.zeros(len(uids) + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
        relevance = np.zeros(0, dtype=np.float32)
        if side != Side.LABEL:
            relevant = find_matrix(root, side)
            matrix, found = read_sparse_text(relevant, num_rows=len(uids), num_columns=num_labels)
            entry = ledger.entry(relevant, "pairs")
            entry.taken = matrix.nnz
            entry.left_out.update({"pair again": found["duplicate_entries"], "of value 0": found["zero_entries"]})
            entry.held = found["entries"]
            offsets, targets, relevance = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data
            repairs["duplicate_targets"] += found["duplicate_entries"]
            repairs["zero_relevance_targets"] += found["zero_entries"]
        lines = np.arange(1, len(uids) + 1, dtype=np.int64)
        sides[side] = RawSide(file, uids, texts, [""] * len(uids), lines, offsets, targets, relevance, 0)
    return sides


def _has_id(line: bytes) -> bool:
    left, arrow, _ = line.partition(_ARROW)
    return bool(arrow) and 0 < len(left) <= _LONGEST_ID and len(left.split()) == 1


def _decoded(line: bytes, repairs: Counter[str]) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        repairs["texts_read_as_cp1252"] += 1
        return as_text(line)
