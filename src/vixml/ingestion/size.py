"""How many training queries raw files hold, cheaply: the choice of a recipe needs the order of magnitude only.

Validation queries count as training queries here, so that the number does not change with `data.validation_fraction`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from vixml.core.errors import VixmlError
from vixml.data.sides import Side
from vixml.ingestion.benchmark.layouts import find_json, find_texts
from vixml.params.data.mapping import MappingParams

_READ_WHOLE = 64_000_000
"""Bytes of a file up to which it is read whole; of a larger one the lines of the first part are counted."""


def count_training_queries(raw: Path, mapping: MappingParams | None) -> int | None:
    """Return the number of training queries in a raw folder, about; None where it cannot be told.

    Args:
        raw: The folder.
        mapping: Which column is what in tables of one's own; None for a benchmark's files.
    """
    try:
        if mapping is not None:
            return _count_tables(raw, mapping)
        file = find_json(raw, Side.TRAIN) or find_texts(raw, Side.TRAIN)
        return None if file is None else _count_lines(file, file.stat().st_mtime_ns)
    except (VixmlError, OSError, ValueError, EOFError):  # ingestion says what is wrong with the files
        return None


def _count_tables(raw: Path, mapping: MappingParams) -> int:
    from vixml.ingestion.tables.files import files_of

    table = mapping.queries
    parts = files_of(raw / table.file)
    how = (table.delimiter, table.encoding, table.quoting)
    count = sum(_count_items(file, table.id, how, file.stat().st_mtime_ns) for file in parts)
    return round(count * (1 - mapping.split.test_fraction)) if mapping.split.by in ("hash", "last") else count


@cache
def _count_items(file: Path, column: str | None, how: tuple[Any, Any, Any], stamp: int) -> int:
    """Return the number of distinct ids of a small table, of rows of a large one; `column` has the ids."""
    from vixml.ingestion.tables.files import ARROW_SUFFIXES, read_blocks, read_table, suffix_of

    if file.stat().st_size <= _READ_WHOLE:
        table = read_table(file, delimiter=how[0], encoding=how[1], quoting=how[2])
        return len(table) if column is None else len(set(table.ids(column)))
    if suffix_of(file) in (".parquet", ".pq"):
        from pyarrow import parquet

        return int(parquet.read_metadata(file).num_rows)
    if suffix_of(file) in ARROW_SUFFIXES:  # their batches are mapped and not read
        return sum(map(len, read_blocks(file, _READ_WHOLE)))
    return _count_lines(file, stamp)


@cache
def _count_lines(file: Path, stamp: int) -> int:
    """Return the number of lines of a text file, gzipped or not; of a large one it is estimated.

    Args:
        file: The file.
        stamp: Its time of change, which identifies its content.
    """
    import gzip

    size = file.stat().st_size
    lines, last = 0, b"\n"
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        text = gzip.GzipFile(fileobj=stream) if packed else stream
        while chunk := text.read(1 << 20):
            lines, last = lines + chunk.count(b"\n"), chunk[-1:]
            if stream.tell() > _READ_WHOLE:
                return round(lines * size / stream.tell())
    return lines + (last != b"\n")
