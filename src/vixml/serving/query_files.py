"""Reading queries from files of any length: CSV, Parquet or JSON lines, block by block in constant memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vixml.core.errors import DataError
from vixml.ingestion.tables.files import (
    CSV_SUFFIXES,
    JSON_SUFFIXES,
    UNREADABLE,
    cell_of,
    one_text,
    open_bytes,
    read_table,
    split_cell,
    suffix_of,
    text_format,
)

if TYPE_CHECKING:
    import pandas as pd

_FORMATS = "CSV (.csv, .tsv, .tab, .txt), JSON (.jsonl, .ndjson, .json), either also as .gz, or Parquet (.parquet, .pq)"


@dataclass(frozen=True)
class QueryBlock:
    """Some consecutive queries of a file.

    Args:
        ids: The user's id of each query.
        texts: Text of each query.
        images: Image files of each query, POSIX paths as the file has them.
    """

    ids: list[str]
    texts: list[str]
    images: list[list[str]]

    def __len__(self) -> int:
        return len(self.ids)


def query_blocks(
    file: Path,
    size: int,
    *,
    id_column: str = "id",
    text_columns: Sequence[str] = ("text",),
    image_columns: Sequence[str] = ("images",),
) -> Iterator[QueryBlock]:
    """Yield the queries of a file in blocks.

    A file without the id column gets the number of the query, from 1, as id; one without the image columns has no
    images. Several images stand in one cell as a list (Parquet, JSON) or separated by `|` or `;`.

    Args:
        file: The file.
        size: Queries of a block.
        id_column: Column of the ids.
        text_columns: Columns whose texts are joined by a space.
        image_columns: Columns of the image files; one that is not there holds none.

    Raises:
        DataError: Missing or unreadable, without a text column, or a query without id.
    """
    number, is_named = 0, False
    for table in table_blocks(file, size):
        is_named |= id_column in table
        columns = [[text_of(value) for value in _column(file, table, name)] for name in text_columns]
        texts = [" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]
        ids = _numbers(number, len(table))
        if is_named:  # a block of JSON lines may lack what earlier ones have
            ids = [text_of(value) for value in table.get(id_column, [""] * len(table))]
        if "" in ids:
            raise DataError(
                f"a query has no `{id_column}`",
                file=file,
                found=f"query {number + ids.index('') + 1}",
                remedy="fill it.",
            )
        images: list[list[str]] = [[] for _ in ids]
        for name in image_columns:
            for row, cell in enumerate(table.get(name, [])):
                images[row].extend(_names(cell))
        yield QueryBlock(ids, texts, images)
        number += len(table)


def table_blocks(file: Path, size: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV, Parquet or JSON lines file as data frames of at most `size` rows.

    Raises:
        DataError: Missing, of another format, or damaged.
    """
    kind = suffix_of(file)
    if not file.is_file():
        raise DataError("the file is missing", file=file)
    if kind in (".parquet", ".pq"):
        blocks = _parquet(file, size)
    elif kind in JSON_SUFFIXES:
        blocks = _json(file, size)
    elif kind in CSV_SUFFIXES:
        blocks = _csv(file, size)
    else:
        raise DataError("the format is not known by the file's name", file=file, found=file.name, expected=_FORMATS)
    try:
        yield from (block for block in blocks if len(block))
    except DataError:
        raise
    except UNREADABLE as err:
        raise DataError("the file cannot be read", file=file, found=err, expected=_FORMATS) from err


def id_column(file: Path, names: Sequence[str], size: int = 65_536) -> Iterator[list[str]]:
    """Yield one column of ids in blocks: the first of `names` that the file has, or its only column.

    Raises:
        DataError: Unreadable, or it is not clear which column is meant.
    """
    for table in table_blocks(file, size):
        present = [name for name in names if name in table] or (list(table.columns) if table.shape[1] == 1 else [])
        yield [text_of(value) for value in _column(file, table, present[0] if present else names[0])]


def _csv(file: Path, size: int) -> Iterator[pd.DataFrame]:
    import pandas as pd

    encoding, delimiter = text_format(file)
    with open_bytes(file) as stream:
        if not stream.read(1 << 10).strip():
            raise DataError("the file is empty", file=file, expected="a line of column names")
    options: Any = {"sep": delimiter, "dtype": str, "na_filter": False, "encoding_errors": "replace"}
    with open_bytes(file) as stream, pd.read_csv(stream, chunksize=size, encoding=encoding, **options) as chunks:
        for chunk in chunks:
            if not isinstance(chunk.index, pd.RangeIndex):  # pandas would shift the cells by a column
                found = ", ".join(map(str, chunk.columns))
                raise DataError("the rows have more cells than the header", file=file, found=found, line=2)
            yield chunk.rename(columns=lambda name: str(name).strip())


def _parquet(file: Path, size: int) -> Iterator[pd.DataFrame]:
    import pandas as pd
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=size):
            yield pd.DataFrame(batch.to_pydict(), dtype=object)


def _json(file: Path, size: int) -> Iterator[pd.DataFrame]:
    """Yield JSON lines, or the objects of one JSON list; a list is in memory as a whole."""
    import pandas as pd

    with io.TextIOWrapper(open_bytes(file), "utf-8-sig") as stream:
        is_list = next((line.lstrip()[:1] for line in stream if line.strip()), "") == "["
    if is_list:
        whole = pd.DataFrame(read_table(file).columns, dtype=object)
        yield from (whole[begin : begin + size] for begin in range(0, len(whole), size))
        return
    with io.TextIOWrapper(open_bytes(file), "utf-8-sig") as stream:
        lines = enumerate(stream, start=1)
        while chunk := list(islice(lines, size)):
            records = [_record(file, number, line) for number, line in chunk if line.strip()]
            if records:
                yield pd.DataFrame(records, dtype=object)


def _record(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as err:
        raise DataError("the line is not valid JSON", file=file, line=number, found=line.strip()) from err
    if not isinstance(record, dict):
        raise DataError("the line is not a JSON object", file=file, line=number, found=line.strip())
    return record


def _column(file: Path, table: pd.DataFrame, name: str) -> Any:
    if name not in table:
        raise DataError(
            f"there is no column `{name}`",
            file=file,
            found=", ".join(map(str, table.columns)),
            remedy="rename the column, or name yours by the parameters `prediction.*_column`.",
        )
    return table[name]


def _numbers(before: int, count: int) -> list[str]:
    return [str(number) for number in range(before + 1, before + count + 1)]


def text_of(value: Any) -> str:
    """Return a cell as text: 7.0 is `7`, a missing value the empty text, a list its entries joined by a space."""
    return one_text(cell_of(value))


def _names(cell: Any) -> list[str]:
    """Return the image files of one cell."""
    return split_cell(cell_of(cell), "|;")
