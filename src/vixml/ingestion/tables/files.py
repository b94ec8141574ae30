"""The reader of tables: CSV with any delimiter and encoding, Parquet, JSON lines, gzipped or not, whole or in blocks.

Every cell becomes a text, or a list of texts where the file has lists; so ids keep their leading zeros.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from vixml.core.errors import DataError
from vixml.ingestion.benchmark.json_lines import read_json_lines

Cell = str | list[str]
Columns = dict[str, list[Cell]]
"""Name -> n cells, all of one length."""

CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*CSV_SUFFIXES, *JSON_SUFFIXES, ".parquet", ".pq")
"""Endings of the files that are read as tables, with or without `.gz` after them."""

_FORMATS = "CSV (.csv, .tsv, .tab, .txt), JSON (.jsonl, .ndjson, .json), either also as .gz, or Parquet (.parquet, .pq)"
_DELIMITERS = ",;\t|"
_SAMPLE = 1 << 16  # characters that the delimiter is found out from
_UNREADABLE = (  # what readers of damaged files raise
    *(ValueError, OSError, EOFError, LookupError, RecursionError, NotImplementedError),
    *(zlib.error, csv.Error),
)

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Args:
        file: Where it was read.
        columns: Its cells.
        is_csv: Whether it has a header line (and rows may span lines).
    """

    file: Path
    columns: Columns
    is_csv: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str) -> list[Cell]:
        """Return the cells of a column.

        Raises:
            DataError: There is no such column; the nearest is named.
        """
        try:
            return self.columns[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.4)
            raise DataError(
                f"the table has no column `{name}`",
                file=self.file,
                found=", ".join(self.columns),
                expected="a column of this table",
                remedy=(f"did you mean `{near[0]}`? " if near else "")
                + "Correct the option of `vixml init-data`, or `data.mapping` of the environment.",
            ) from None

    def line(self, row: int) -> int:
        """Return the 1-based line where 0-based row `row` begins; in Parquet and JSON the row itself counts."""
        if not self.is_csv:
            return row + 1
        breaks = (str(cell).count("\n") for cells in self.columns.values() for cell in cells[:row])
        return row + 2 + sum(breaks)


def is_table(file: Path) -> bool:
    """Tell by its name whether a file can be read as a table."""
    return suffix_of(file) in SUFFIXES


def holds_tables(folder: Path) -> bool:
    """Tell whether a folder, or one of its direct sub-folders, holds a table."""
    return any(is_table(file) for pattern in ("*", "*/*") for file in folder.glob(pattern))


def read_table(
    file: Path, *, delimiter: str | None = None, encoding: str | None = None, may_be_empty: bool = False
) -> Table:
    """Read a whole table by the ending of its name.

    Args:
        file: See `read_blocks`.
        delimiter: Of a CSV; None finds it out.
        encoding: Of a CSV; None takes UTF-8, UTF-16 where the file begins with its mark, else cp1252.
        may_be_empty: Whether a table without a row will do.

    Raises:
        DataError: Missing, of another format, damaged, or without a row.
    """
    columns = next(read_blocks(file, delimiter=delimiter, encoding=encoding), {})
    if not may_be_empty and not next(iter(columns.values()), []):
        raise DataError("the table holds no row", file=file, expected="a header and at least one row")
    return Table(file, columns, is_csv=suffix_of(file) in CSV_SUFFIXES)


def read_blocks(
    file: Path, size: int | None = None, *, delimiter: str | None = None, encoding: str | None = None
) -> Iterator[Columns]:
    """Yield the rows of a table in blocks, in the memory of one block (a JSON list is in memory as a whole).

    Args:
        file: CSV (`.csv`, `.tsv`, `.tab`, `.txt`), JSON lines or a JSON list (`.jsonl`, `.ndjson`, `.json`) or Parquet.
        size: Most rows of a block; None puts all into one. A block of JSON lines has the columns that its rows have.
        delimiter: Of a CSV; None finds it out.
        encoding: Of a CSV; None takes UTF-8, UTF-16 where the file begins with its mark, else cp1252.

    Raises:
        DataError: Missing, of another format, or damaged.
    """
    suffix = suffix_of(file)
    if suffix not in SUFFIXES:
        raise DataError("the format is not known by the file's name", file=file, found=file.name, expected=_FORMATS)
    if not file.is_file():
        raise DataError("the file is missing", file=file)
    try:
        if suffix in (".parquet", ".pq"):
            yield from _parquet(file, size)
        elif suffix in JSON_SUFFIXES:
            yield from _json(file, size)
        else:
            yield from _csv(file, size, delimiter or ("\t" if suffix in (".tsv", ".tab") else None), encoding)
    except DataError:
        raise
    except _UNREADABLE as err:
        raise DataError(
            "the table cannot be read",
            file=file,
            found=err,
            expected=_FORMATS,
            remedy="write the table again; `data.mapping` may name the `delimiter` and `encoding` of a CSV.",
        ) from err


def split_cell(cell: Cell, separators: str) -> list[str]:
    """Return the entries of a cell: of a list, a JSON list as text, or a text with separators; none of them empty."""
    if isinstance(cell, str):
        text = cell.strip()
        parts: Sequence[Any] = [text]
        if text.startswith("[") and text.endswith("]"):
            try:
                parts = json.loads(text)
            except (ValueError, RecursionError):
                parts = [part.strip(" '\"") for part in text[1:-1].split(",")]  # how Python prints a list
        elif separators:
            for separator in separators[1:]:
                text = text.replace(separator, separators[0])
            parts = text.split(separators[0])
        cell = [str(cell_of(part)) for part in parts]
    return [part.strip() for part in cell if part.strip()]


def one_text(cell: Cell) -> str:
    """Return a cell as one text; the entries of a list are joined by a space."""
    return cell if isinstance(cell, str) else " ".join(cell)


def suffix_of(file: Path) -> str:
    """Return the ending of a file's name that says its format, in lower case and without `.gz`."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def cell_of(value: Any) -> Cell:
    """Return a value of Parquet or JSON as text or list of texts: 7.0 is `7`, nothing is the empty text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return [str(cell_of(entry)) for entry in value]
    return str(value)


def _parquet(file: Path, size: int | None) -> Iterator[Columns]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as table:
        for batch in [table.read()] if size is None else table.iter_batches(batch_size=size):
            yield {str(name): list(map(cell_of, cells)) for name, cells in batch.to_pydict().items()}


def _json(file: Path, size: int | None) -> Iterator[Columns]:
    """Yield JSON lines, or the objects of one JSON list."""
    with io.TextIOWrapper(_open(file), "utf-8-sig", errors="replace") as stream:
        is_list = next((line.lstrip()[:1] for line in stream if line.strip()), "") == "["
    items: Iterator[dict[str, Any]] = _json_list(file) if is_list else (item for _, item in read_json_lines(file))
    while block := list(islice(items, size)):
        names = dict.fromkeys(str(key) for item in block for key in item)
        yield {name: [cell_of(item.get(name)) for item in block] for name in names}


def _json_list(file: Path) -> Iterator[dict[str, Any]]:
    with _open(file) as stream:
        items = json.loads(stream.read().decode("utf-8-sig"))
    for item in items:
        if not isinstance(item, dict):
            raise DataError("the entry is not a JSON object", file=file, found=item, expected="objects, as rows")
        yield item


def _csv(file: Path, size: int | None, delimiter: str | None, encoding: str | None) -> Iterator[Columns]:
    encoding, errors = (encoding, "strict") if encoding else _find_encoding(file)
    _check_text(file, encoding, errors)
    with io.TextIOWrapper(_open(file), encoding, errors=errors, newline="") as text:
        sample = text.read(_SAMPLE + 1)
    if not sample.strip():
        raise DataError("the file is empty", file=file, expected="a line of column names, then a row a line")
    options: Any = {"sep": delimiter or _find_delimiter(sample), "dtype": str, "na_filter": False, "engine": "c"}
    with io.TextIOWrapper(_open(file), encoding, errors=errors, newline="") as text:
        frames = [pd.read_csv(text, **options)] if size is None else pd.read_csv(text, chunksize=size, **options)
        for frame in frames:
            if not isinstance(frame.index, pd.RangeIndex):  # pandas would shift the cells by a column
                found = ", ".join(map(str, frame.columns))
                raise DataError("the rows have more cells than the header", file=file, found=found, line=2)
            filled = frame.fillna("")
            yield {str(name).strip(): filled[name].tolist() for name in filled.columns}


def _find_encoding(file: Path) -> tuple[str, str]:
    """Return the encoding of a text and what to do with broken bytes: only cp1252, the last resort, replaces them."""
    with _open(file) as stream:
        start = stream.read(4)
    mark = next((mark for mark in _MARKS if start.startswith(mark)), None)
    if mark is not None:
        return _MARKS[mark], "strict"
    try:
        _check_text(file, "utf-8", "strict")
    except UnicodeDecodeError:
        return "cp1252", "replace"
    return "utf-8", "strict"


def _check_text(file: Path, encoding: str, errors: str) -> None:
    """Decode a whole file, in constant memory, to find what no table holds.

    Raises:
        DataError: It holds NUL characters.
        UnicodeDecodeError: It is not of this encoding.
    """
    with io.TextIOWrapper(_open(file), encoding, errors=errors, newline="") as text:
        while chunk := text.read(1 << 20):
            if "\0" in chunk:
                raise DataError(
                    "the table holds NUL characters; it is not a text", file=file, remedy="name its `encoding`."
                )


def _open(file: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where it is gzipped."""
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(file)) if packed or file.suffix.lower() == ".gz" else file.open("rb")


def _find_delimiter(text: str) -> str:
    """Return the delimiter that cuts the first rows into the most columns of one number; a comma if none does."""
    sample = text[:_SAMPLE]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1] or sample

    def quality(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row][:200]
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    return max(_DELIMITERS, key=quality)
