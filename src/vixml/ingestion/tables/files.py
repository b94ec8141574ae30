"""Reading tables that a user wrote: CSV with any delimiter and encoding, Parquet, JSON lines, gzipped or not.

Every cell becomes a text, or a list of texts where the file has lists; so ids keep their leading zeros.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from vixml.core.errors import DataError
from vixml.ingestion.benchmark.json_lines import read_json_lines

Cell = str | list[str]

CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*CSV_SUFFIXES, *JSON_SUFFIXES, ".parquet", ".pq")
"""Endings of the files that are read as tables, with or without `.gz` after them."""

_DELIMITERS = ",;\t|"
_SAMPLE = 1 << 16  # characters that the delimiter is found out from
UNREADABLE = (
    *(ValueError, OSError, EOFError, LookupError, RecursionError, NotImplementedError),
    *(zlib.error, csv.Error),
)
"""What readers of damaged files raise."""

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Args:
        file: Where it was read.
        columns: Name -> n cells, all of one length.
        is_csv: Whether it has a header line (and rows may span lines).
    """

    file: Path
    columns: dict[str, list[Cell]]
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


def read_table(file: Path, *, delimiter: str | None = None, encoding: str | None = None) -> Table:
    """Read a table by the ending of its name.

    Args:
        file: CSV (`.csv`, `.tsv`, `.tab`, `.txt`), JSON lines or a JSON list (`.jsonl`, `.ndjson`, `.json`) or Parquet.
        delimiter: Of a CSV; None finds it out.
        encoding: Of a CSV; None takes UTF-8, UTF-16 where the file begins with its mark, else cp1252.

    Raises:
        DataError: Missing, of another format, damaged, or without a row.
    """
    suffix = suffix_of(file)
    if suffix not in SUFFIXES:
        raise DataError("the ending of the name says no format", file=file, expected=" ".join(SUFFIXES))
    try:
        if suffix in (".parquet", ".pq"):
            from pyarrow import parquet

            columns = {
                str(name): list(map(cell_of, cells)) for name, cells in parquet.read_table(file).to_pydict().items()
            }
        elif suffix in JSON_SUFFIXES:
            columns = _from_json(file)
        else:
            columns = _from_csv(file, delimiter or ("\t" if suffix in (".tsv", ".tab") else None), encoding)
    except DataError:
        raise
    except UNREADABLE as err:
        raise DataError(
            "the table cannot be read",
            file=file,
            found=err,
            expected="CSV, JSON lines or Parquet, as the ending of its name says",
            remedy="write the table again, or name `delimiter` and `encoding` in `data.mapping`.",
        ) from err
    if not columns or not next(iter(columns.values())):
        raise DataError("the table holds no row", file=file, expected="a header and at least one row")
    return Table(file, columns, is_csv=suffix in CSV_SUFFIXES)


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


def text_format(file: Path) -> tuple[str, str]:
    """Return (encoding, delimiter) of a CSV of any length as `read_table` finds them out, in constant memory."""
    with open_bytes(file) as stream:
        start = stream.read(4)
        encoding = next((_MARKS[mark] for mark in _MARKS if start.startswith(mark)), "utf-8")
        if encoding == "utf-8":
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                decoder.decode(start)
                while chunk := stream.read(1 << 20):
                    decoder.decode(chunk)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                encoding = "cp1252"
    if suffix_of(file) in (".tsv", ".tab"):
        return encoding, "\t"
    with io.TextIOWrapper(open_bytes(file), encoding, errors="replace") as text:
        return encoding, _find_delimiter(text.read(_SAMPLE + 1))


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where it is gzipped."""
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(file)) if packed or file.suffix.lower() == ".gz" else file.open("rb")


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


def _unpack(file: Path) -> bytes:
    content = file.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _from_json(file: Path) -> dict[str, list[Cell]]:
    content = _unpack(file)
    if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        items = json.loads(content.decode("utf-8-sig"))
        wrong = next((i for i, item in enumerate(items) if not isinstance(item, dict)), None)
        if wrong is not None:
            raise DataError(
                "the entry is not a JSON object", file=file, found=items[wrong], expected="objects, as rows"
            )
    else:
        items = [item for _, item in read_json_lines(file)]
    names = dict.fromkeys(str(key) for item in items for key in item)
    return {name: [cell_of(item.get(name)) for item in items] for name in names}


def _from_csv(file: Path, delimiter: str | None, encoding: str | None) -> dict[str, list[Cell]]:
    text = _decode(_unpack(file), encoding)
    if "\0" in text:
        raise DataError("the table holds NUL characters; it is not a text", file=file, remedy="name its `encoding`.")
    if not text.strip():
        return {}
    frame = pd.read_csv(
        io.StringIO(text),
        sep=delimiter or _find_delimiter(text),
        dtype=str,
        na_filter=False,
        engine="c",
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(
            "the rows have more cells than the header", file=file, found=", ".join(map(str, frame.columns)), line=2
        )
    frame = frame.fillna("")
    return {str(name).strip(): frame[name].tolist() for name in frame.columns}


def _decode(content: bytes, encoding: str | None) -> str:
    if encoding is not None:
        return content.decode(encoding)
    mark = next((mark for mark in _MARKS if content.startswith(mark)), None)
    if mark is not None:
        return content.decode(_MARKS[mark])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


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
