"""Reader of sparse matrices in the Extreme Classification Repository's text form (`trn_X_Y.txt`).

The first line is "rows columns"; then every row is a line of "column:value" pairs, 0-based, empty where it has none.
"""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from vixml.core.errors import DataError
from vixml.data.ragged import offsets_of
from vixml.ingestion.benchmark.json_lines import read_lines

_REMEDY = "check that the file is complete and of the same release as the others."
_LARGEST = float(np.finfo(np.float32).max)
_ZERO = 2.0**-150  # what is not larger is 0 as float32
_MOST = 2**40  # rows or columns; a header beyond it lies


def read_sparse_text(
    file: Path, *, num_rows: int | None = None, num_columns: int | None = None
) -> tuple[csr_matrix, dict[str, int]]:
    """Read a sparse matrix as a stream.

    A column that a row lists twice counts once, with the larger value; a zero is not stored.

    Args:
        file: Text file, plain or gzipped.
        num_rows: Rows that other files speak of; checked against the header where given.
        num_columns: Likewise for columns.

    Returns:
        csr_matrix float32 (rows, columns) with sorted indices, and the numbers of repairs.

    Raises:
        DataError: A header that is none or lies, a malformed pair, a column out of range, a value that is not a finite
            number of at least 0.
    """
    lines = read_lines(file)
    rows, columns = _header(file, next(lines, (1, b""))[1])
    for name, found, wanted in (("rows", rows, num_rows), ("columns", columns, num_columns)):
        if wanted is not None and found != wanted:
            raise DataError(
                f"the header's {name} contradict the other files",
                file=file,
                line=1,
                found=found,
                expected=str(wanted),
                remedy=_REMEDY,
            )
    indices, values, lengths = array("q"), array("d"), array("q")
    counts = {"duplicate_entries": 0, "zero_entries": 0, "entries": 0}
    for number, line in lines:
        if len(lengths) == rows:
            if not line.isspace():
                raise _lies(file, number, rows, "more")
            continue
        entries = _entries(file, number, line, columns, counts)
        indices.extend(entries)
        values.extend(entries.values())
        lengths.append(len(entries))
    if len(lengths) < rows:
        raise _lies(file, len(lengths) + 1, rows, f"{len(lengths)}")
    offsets = offsets_of(np.array(lengths, dtype=np.int64))
    data, column = np.array(values, dtype=np.float32), np.array(indices, dtype=np.int64)
    return csr_matrix((data, column, offsets), shape=(rows, columns)), counts


def _header(file: Path, line: bytes) -> tuple[int, int]:
    parts = line.split()
    if len(parts) == 2 and all(part.isdigit() and len(part) < 16 for part in parts):
        rows, columns = map(int, parts)
        if max(rows, columns) <= _MOST:
            return rows, columns
    raise DataError(
        "the first line is no header",
        file=file,
        line=1,
        found=line[:80].decode("utf-8", errors="replace").strip() or "nothing",
        expected='"rows columns", two whole numbers',
        remedy=_REMEDY,
    )


def _entries(file: Path, number: int, line: bytes, columns: int, counts: dict[str, int]) -> dict[int, float]:
    """Return the row's values by ascending column."""
    entries: dict[int, float] = {}
    pairs = line.split()
    counts["entries"] += len(pairs)
    for pair in pairs:
        left, colon, right = pair.partition(b":")
        column = int(left) if left.isdigit() and len(left) < 19 else -1
        try:
            value = float(right) if b"_" not in right else math.nan  # 1_0 is a number to Python alone
        except ValueError:
            value = math.nan
        if not colon or not 0 <= column < columns or not 0 <= value <= _LARGEST:
            raise DataError(
                "the entry is malformed or out of range",
                file=file,
                line=number,
                found=pair[:80].decode("utf-8", errors="replace"),
                expected=f'"column:value", column 0 to {columns - 1}, value a finite number of at least 0',
                remedy=_REMEDY,
            )
        counts["duplicate_entries"] += column in entries
        counts["zero_entries"] += value <= _ZERO and column not in entries
        if value > _ZERO:
            entries[column] = max(value, entries.get(column, 0.0))
    return dict(sorted(entries.items()))


def _lies(file: Path, number: int, rows: int, found: str) -> DataError:
    return DataError(
        "the header lies about the number of rows",
        file=file,
        line=number,
        found=f"{found} rows",
        expected=f"{rows}, as line 1 says",
        remedy=_REMEDY,
    )
