"""Reading queries and ids from files of any length: CSV, Parquet or JSON lines, block by block in constant memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vixml.core.errors import DataError, shown
from vixml.ingestion.dialect import Quoting
from vixml.ingestion.encoding import survey
from vixml.ingestion.ledger import Entry
from vixml.ingestion.tables.account import account_table
from vixml.ingestion.tables.cells import one_text
from vixml.ingestion.tables.files import read_blocks, suffix_of
from vixml.ingestion.tables.table import Table

_log = logging.getLogger(__name__)


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
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    entry: Entry | None = None,
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
        delimiter: Of a CSV; None finds it out, as for the next two.
        encoding: Of a CSV.
        quoting: Of a CSV.
        entry: The ledger's entry of the file.

    Raises:
        DataError: Missing or unreadable, without a text column, or a query without id.
    """
    number, is_named = 0, False
    entry = entry or Entry(file.name)
    for table in _filled_blocks(file, size, delimiter=delimiter, encoding=encoding, quoting=quoting):
        count = len(table)
        account_table(entry, table, (id_column, *text_columns, *image_columns))
        is_named |= id_column in table.columns
        if not (is_named or number):
            _say_that_queries_are_numbered(table, id_column)
        columns = [texts_of(table, name) for name in text_columns]
        texts = [" ".join(filter(None, parts)) for parts in zip(*columns, strict=True)]
        ids = [str(number + row) for row in range(1, count + 1)]
        if is_named:  # a block of JSON lines may lack what earlier ones have
            ids = table.ids(id_column) if id_column in table.columns else [""] * count
        if "" in ids:
            raise DataError(
                f"a query has no `{id_column}`",
                **table.place(ids.index("")),
                found=f"query {number + ids.index('') + 1}",
                remedy="fill it.",
            )
        images: list[list[str]] = [[] for _ in ids]
        for name in image_columns:
            for row, entries in enumerate(table.entries(name, "|;") if name in table.columns else ()):
                images[row].extend(entries)
        yield QueryBlock(ids, texts, images)
        number += count


def _say_that_queries_are_numbered(table: Table, id_column: str) -> None:
    """Warn that there is no column of ids.

    Raises:
        DataError: There is one that differs in upper and lower case only.
    """
    alike = [name for name in table.columns if name.casefold() == id_column.casefold()]
    if alike:
        raise DataError(
            f"the table has no column `{id_column}`",
            file=table.file,
            found=alike[0],
            remedy=f"say `prediction.id_column: {alike[0]}`, or rename the column.",
        )
    _log.warning(
        "%s has no column %s, so its queries are numbered from 1; its columns are %s.",
        table.file,
        id_column,
        shown(", ".join(table.columns)),
    )


def read_ids(file: Path, names: Sequence[str], entry: Entry | None = None) -> list[str]:
    """Read a list of ids: the column of a table that is called like one of `names`, or a `.txt` of one id a line.

    Args:
        file: The file.
        names: What the column may be called.
        entry: The ledger's entry of the file.

    Raises:
        DataError: Unreadable, or it is not clear which column is meant.
    """
    entry = entry or Entry(file.name)
    if suffix_of(file) == ".txt":
        with survey(file).open(file) as text:
            lines = [line.strip("\x1a\ufeff").strip() for line in text]  # of old programs, of files put together
        is_header = bool(lines) and lines[0] in names
        ids = [line for line in lines[is_header:] if line]
        entry.unit, entry.held, entry.taken = "lines", len(lines), len(ids)
        entry.left_out.update({"header": int(is_header), "blank line": lines[is_header:].count("")})
        return ids
    found: list[str] = []
    for table in _filled_blocks(file, 65_536):
        present = [name for name in names if name in table.columns]
        if not present and len(table.columns) == 1:
            present = list(table.columns)
            if table.is_csv:  # its first line may be an id
                raise DataError(
                    "it is not clear whether the first line is an id or the name of the column",
                    file=file,
                    line=1,
                    found=present[0],
                    expected=f"a first line of {' or '.join(names)}",
                    remedy=f"write `{names[0]}` above the ids, or call the file .txt: then every line is an id.",
                )
        ids = table.ids(present[0] if present else names[0])
        account_table(entry, table, present[:1])
        entry.move("without id", ids.count(""))
        found += filter(None, ids)
    return found


def texts_of(table: Table, name: str) -> list[str]:
    """Return a column as texts: 7.0 is `7`, a missing value the empty text, a list its entries joined by a space.

    Raises:
        DataError: There is no such column.
    """
    return [one_text(cell) for cell in table.column(name)]


def _filled_blocks(file: Path, size: int, **how: Any) -> Iterator[Table]:
    return (table for table in read_blocks(file, size, **how) if len(table))
