"""Reading queries and ids from files of any length: CSV, Parquet or JSON lines, block by block in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vixml.core.errors import DataError
from vixml.ingestion.tables.files import Cell, Columns, one_text, read_blocks, split_cell


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
    for table in _filled_blocks(file, size):
        count = len(next(iter(table.values())))
        is_named |= id_column in table
        columns = [texts_of(file, table, name) for name in text_columns]
        texts = [" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]
        ids = [str(number + row) for row in range(1, count + 1)]
        if is_named:  # a block of JSON lines may lack what earlier ones have
            ids = texts_of(file, table, id_column) if id_column in table else [""] * count
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
                images[row].extend(split_cell(cell, "|;"))
        yield QueryBlock(ids, texts, images)
        number += count


def id_column(file: Path, names: Sequence[str], size: int = 65_536) -> Iterator[list[str]]:
    """Yield one column of ids in blocks: the first of `names` that the file has, or its only column.

    Raises:
        DataError: Unreadable, or it is not clear which column is meant.
    """
    for table in _filled_blocks(file, size):
        present = [name for name in names if name in table] or (list(table) if len(table) == 1 else [])
        yield texts_of(file, table, present[0] if present else names[0])


def texts_of(file: Path, table: Columns, name: str) -> list[str]:
    """Return a column as texts: 7.0 is `7`, a missing value the empty text, a list its entries joined by a space.

    Raises:
        DataError: There is no such column.
    """
    if name not in table:
        raise DataError(
            f"there is no column `{name}`",
            file=file,
            found=", ".join(table),
            remedy="rename the column, or name yours by the parameters `prediction.*_column`.",
        )
    return [one_text(cell) for cell in table[name]]


def _filled_blocks(file: Path, size: int) -> Iterator[dict[str, list[Cell]]]:
    return (table for table in read_blocks(file, size) if any(table.values()))
