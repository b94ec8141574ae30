"""The reader of tables: CSV with any delimiter and encoding, Parquet, JSON lines, gzipped or not, whole or in blocks.

Every cell becomes a text, or a list of texts where the file has lists; so ids keep their leading zeros. Everything else
that reads a file of rows or ids (manifests, queries, lists of labels) reads it by this module.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from vixml.core.errors import DataError
from vixml.ingestion.benchmark.json_lines import parse_json, read_json_lines
from vixml.ingestion.class_names import class_names, named_classes
from vixml.ingestion.dialect import Quoting
from vixml.ingestion.encoding import open_bytes
from vixml.ingestion.tables.cells import Cell, CellError, cell_of
from vixml.ingestion.tables.csv_text import CsvFormat, CsvRows, read_csv
from vixml.ingestion.tables.table import Columns, Table

CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
ARROW_SUFFIXES = (".arrow", ".feather")
SUFFIXES = (*CSV_SUFFIXES, *JSON_SUFFIXES, ".parquet", ".pq", *ARROW_SUFFIXES)
"""Endings of the files that are read as tables, with or without `.gz` after them."""

_FORMATS = (
    "CSV (.csv, .tsv, .tab, .txt), JSON (.jsonl, .ndjson, .json), either also as .gz, Parquet (.parquet, .pq) or "
    "Arrow (.arrow, .feather)"
)
_UNREADABLE = (  # what readers of damaged files raise
    *(ValueError, OSError, EOFError, LookupError, RecursionError, NotImplementedError),
    *(zlib.error, csv.Error),
)
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_SHARD = re.compile(r"(\d+)-of-(\d+)")


def is_table(file: Path) -> bool:
    """Tell by its name whether a file can be read as a table."""
    return suffix_of(file) in SUFFIXES


def holds_tables(folder: Path) -> bool:
    """Tell whether a folder, or one of its direct sub-folders, holds a table."""
    return any(is_table(file) for pattern in ("*", "*/*") for file in folder.glob(pattern))


def files_of(file: Path) -> list[Path]:
    """Return the files of a table: one, or all that a pattern such as `train-*.parquet` names, in the order of names.

    Raises:
        DataError: There is none, or of parts that say how many they are (`00001-of-00002`) one is missing.
    """
    if not any(sign in file.name for sign in "*?[") or file.is_file():
        return [file]
    found = sorted(path for path in file.parent.glob(file.name) if path.is_file())
    if not found:
        raise DataError("no file is named like this", file=file)
    parts = [match for path in found if (match := _SHARD.search(path.name))]
    if len(parts) == len(found):
        count, numbers = int(parts[0][2]), sorted(int(part[1]) for part in parts)
        begin = numbers[0] if numbers[0] in (0, 1) else 0
        missing = sorted(set(range(begin, begin + count)) - set(numbers))
        if missing or {int(part[2]) for part in parts} != {count}:
            raise DataError(
                "parts of the table are missing",
                file=file,
                found=", ".join(path.name for path in found),
                expected=f"{count} parts; not there: number {', '.join(map(str, missing))}",
            )
    return found


def read_table(
    file: Path,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    may_be_empty: bool = False,
) -> Table:
    """Read a whole table by the ending of its name.

    Args:
        file: See `read_blocks`.
        delimiter: Of a CSV; None finds it out.
        encoding: Of a CSV; None takes UTF-8, UTF-16 where the file begins with its mark, else cp1252.
        quoting: Of a CSV; None finds it out.
        may_be_empty: Whether a table without a row will do.

    Raises:
        DataError: Missing, of another format, damaged, or without a row.
    """
    blocks = read_blocks(file, delimiter=delimiter, encoding=encoding, quoting=quoting)
    table = _joined(file, list(blocks))
    if not may_be_empty and not len(table):
        raise DataError("the table holds no row", file=file, expected="a header and at least one row")
    return table


def _joined(file: Path, tables: list[Table]) -> Table:
    """Put the parts of a table below each other."""
    if len(tables) == 1:
        return tables[0]
    first = next((table for table in tables if table.columns), Table(file, {}))
    columns: Columns = {name: [] for name in first.columns}
    places: list[Any] = []
    left_out: dict[str, int] = {}
    odd: dict[str, tuple[int, str]] = {}
    count, short = 0, (0, 0)
    for table in tables:
        if first.is_csv and set(table.columns) != set(columns):
            raise DataError(
                "the parts of the table have different columns",
                file=table.file,
                found=", ".join(table.columns),
                expected=", ".join(columns),
            )
        for name in table.columns:
            columns.setdefault(name, [""] * count)
        for name, cells in columns.items():
            cells.extend(table.columns.get(name, [""] * len(table)))
        for name, (row, reason) in table.odd.items():
            odd.setdefault(name, (count + row, reason))
        for reason, number in table.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + number
        places += [
            (count + first_row, part, lines) for first_row, part, lines in table.places or ((0, table.file, ()),)
        ]
        short = (short[0] or table.short[0], short[1] + table.short[1])
        count += len(table)
    return Table(file, columns, first.is_csv, first.repeated, odd, first.settled, left_out, short, tuple(places))


def read_blocks(
    file: Path,
    size: int | None = None,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
) -> Iterator[Table]:
    """Yield the rows of a table in blocks, in the memory of one block (a JSON list is in memory as a whole).

    Args:
        file: CSV (`.csv`, `.tsv`, `.tab`, `.txt`), JSON lines or a JSON list (`.jsonl`, `.ndjson`, `.json`) or Parquet;
            or a pattern of several (`train-*.csv`), which are one table.
        size: Most rows of a block; None puts all of a file into one. A block of JSON lines has the columns of its rows.
        delimiter: Of a CSV; None finds it out.
        encoding: Of a CSV; None takes UTF-8, UTF-16 where the file begins with its mark, else cp1252.
        quoting: Of a CSV: `csv`, `none` or `single`; None finds it out.

    Raises:
        DataError: Missing, of another format, or damaged.
    """
    for part in files_of(file):
        suffix = suffix_of(part)
        if suffix not in SUFFIXES:
            raise DataError("the format is not known by the file's name", file=part, found=part.name, expected=_FORMATS)
        if not part.is_file():
            raise DataError("the file is missing", file=part)
        try:
            if suffix in (".parquet", ".pq"):
                yield from _parquet(part, size)
            elif suffix in ARROW_SUFFIXES:
                yield from _arrow(part, size)
            elif suffix in JSON_SUFFIXES:
                yield from _json(part, size)
            else:
                yield from _csv(part, size, CsvFormat(delimiter or _delimiter_of(suffix), encoding, quoting))
        except DataError:
            raise
        except _UNREADABLE as err:
            raise DataError(
                "the table cannot be read",
                file=part,
                found=err,
                expected=_FORMATS,
                remedy="write the table again; `data.mapping` may name the `delimiter` and `encoding` of a CSV.",
            ) from err


def suffix_of(file: Path) -> str:
    """Return the ending of a file's name that says its format, in lower case and without `.gz`."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _delimiter_of(suffix: str) -> str | None:
    return "\t" if suffix in (".tsv", ".tab") else None


def _cells(values: list[Any]) -> tuple[list[Cell], tuple[int, str] | None]:
    """Return values as cells, and row and reason of the first that is none."""
    try:
        return list(map(cell_of, values)), None
    except CellError:
        cells: list[Cell] = []
        odd: tuple[int, str] | None = None
        for row, value in enumerate(values):
            try:
                cells.append(cell_of(value))
            except CellError as err:
                odd = odd or (row, str(err))
                cells.append("")
        return cells, odd


def _table(file: Path, named: list[tuple[str, list[Any]]], **facts: Any) -> Table:
    """Return a table of columns of any values; columns of one name become one of lists."""
    columns: Columns = {}
    odd: dict[str, tuple[int, str]] = {}
    repeated: dict[str, int] = {}
    for name, values in named:
        cells, fault = (values, None) if facts.get("is_csv") else _cells(values)
        if fault is not None:
            odd.setdefault(name, fault)
        if name not in columns:
            columns[name] = cells
            continue
        if name not in repeated:
            columns[name] = [_filled(cell) for cell in columns[name]]
        repeated[name] = repeated.get(name, 1) + 1
        columns[name] = [[*kept, *_filled(cell)] for kept, cell in zip(columns[name], cells, strict=True)]
    return Table(file, columns, repeated=repeated, odd=odd, **facts)


def _filled(cell: Cell) -> list[str]:
    return [entry for entry in ([cell] if isinstance(cell, str) else cell) if entry.strip()]


def _parquet(file: Path, size: int | None) -> Iterator[Table]:
    from pyarrow.parquet import ParquetFile

    first = 0
    with ParquetFile(file) as parquet:
        names_of = class_names((parquet.schema_arrow.metadata or {}).get(b"huggingface"))
        for batch in [parquet.read()] if size is None else parquet.iter_batches(batch_size=size):
            yield _arrow_table(file, batch, first, names_of)
            first += batch.num_rows
        if first != parquet.metadata.num_rows:
            raise DataError(
                "rows of the file were not read", file=file, found=f"{first} of {parquet.metadata.num_rows} rows"
            )


def _arrow(file: Path, size: int | None) -> Iterator[Table]:
    """Yield the rows of an Arrow file (Feather is one) or of a stream, as Hugging Face `datasets` save to disk."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        try:
            reader = pa.ipc.open_file(source)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        except pa.ArrowInvalid:
            source.seek(max(0, source.size() - len(_END_OF_STREAM)))
            if source.read() != _END_OF_STREAM:  # one that is cut between two batches would be read without a word
                raise
            source.seek(0)
            batches = reader = pa.ipc.open_stream(source)
        names_of, first = class_names((reader.schema.metadata or {}).get(b"huggingface")), 0
        whole = [reader.read_all()] if size is None else batches
        for batch in whole:
            for start in range(0, batch.num_rows, size or max(1, batch.num_rows)):
                part = batch.slice(start, size)
                yield _arrow_table(file, part, first, names_of)
                first += part.num_rows


def _arrow_table(file: Path, batch: Any, first: int, names_of: Any) -> Table:
    """Return rows of Parquet or Arrow as a table; `first` is the number of the first one in the file."""
    named = [
        (str(name), named_classes(column.to_pylist(), names_of.get(name)))
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return _table(file, _as_written(named), places=((-first, file, ()),))


def _as_written(named: list[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Give columns that pandas has numbered (`tag`, `tag.1`, `tag.2`) the one name that they had before."""
    seen: Counter[str] = Counter()
    names = []
    for name, _ in named:
        base, _, number = name.rpartition(".")
        is_numbered = seen[base] > 0 and number == str(seen[base]) and not base.replace(".", "").isdigit()
        names.append(base if is_numbered else name)
        seen[names[-1]] += 1
    return [(name, cells) for name, (_, cells) in zip(names, named, strict=True)]


def _json(file: Path, size: int | None) -> Iterator[Table]:
    """Yield JSON lines, or the objects of one JSON list."""
    with io.TextIOWrapper(open_bytes(file), "utf-8-sig", errors="replace") as stream:
        is_list = next((line.lstrip()[:1] for line in stream if line.strip()), "") == "["
    items = _json_list(file) if is_list else read_json_lines(file)
    while block := list(islice(items, size)):
        names = dict.fromkeys(str(key) for _, item in block for key in item)
        lines = [number for number, _ in block]
        named = [(name, [item.get(name) for _, item in block]) for name in names]
        yield _table(file, named, places=((0, file, ((0, lines[0], lines),)),))


def _json_list(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_bytes(file) as stream:
        items = parse_json(file, None, stream.read().decode("utf-8-sig"))
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise DataError("the entry is not a JSON object", file=file, found=item, expected="objects, as rows")
        yield number, item


def _csv(file: Path, size: int | None, how: CsvFormat) -> Iterator[Table]:
    for settled, rows in read_csv(file, size, how):
        counts = {"header again": rows.repeated_headers, "a remark behind #": rows.comments}
        left_out = {why: number for why, number in counts.items() if number}
        yield _table(
            file,
            _as_written(_named(rows)),
            is_csv=True,
            settled=settled,
            left_out=left_out,
            short=rows.short,
            places=((0, file, tuple(rows.first_line)),),
        )


def _named(rows: CsvRows) -> list[tuple[str, list[Any]]]:
    """Return the columns of a CSV by their names; one without a name is left out if it is empty."""
    named: list[tuple[str, list[Any]]] = []
    for number, (name, cells) in enumerate(zip(rows.header, rows.columns, strict=True)):
        if name.strip() or any(cells):
            named.append((name.strip() or f"Unnamed: {number}", cells))
    return named
