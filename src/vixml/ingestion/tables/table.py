"""A table in memory: its columns, where its rows stand in which file, and how its file turned out to be written."""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vixml.core.errors import DataError
from vixml.ingestion.tables.cells import Cell, CellError, split_cell, whole
from vixml.ingestion.tables.csv_text import CsvSettled

Columns = dict[str, list[Cell]]
"""Name -> n cells, all of one length."""


@dataclass(frozen=True)
class Table:
    """Rows of a table in memory.

    Args:
        file: Where they were read; a pattern where a table is in several files.
        columns: Their cells. Columns of one name are one, whose cells are lists.
        is_csv: Whether the file has a header line (and rows may span lines).
        repeated: Name -> how many columns have it, where there are several.
        odd: Column -> row and reason of the first cell that is neither a text nor a list of texts.
        settled: How a CSV turned out to be written; None of other formats.
        left_out: Rows that are no rows of the table, by reason.
        short: First line of a CSV that has fewer cells than the header, and how many there are.
        places: Row number, file and lines of each part, in order.
    """

    file: Path
    columns: Columns
    is_csv: bool = False
    repeated: dict[str, int] = field(default_factory=dict)
    odd: dict[str, tuple[int, str]] = field(default_factory=dict)
    settled: CsvSettled | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    short: tuple[int, int] = (0, 0)
    places: tuple[tuple[int, Path, tuple[tuple[int, int, list[int] | None], ...]], ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str) -> list[Cell]:
        """Return the cells of a column.

        Raises:
            DataError: There is no such column (the nearest is named), or a cell holds what is no text.
        """
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.4)
            raise DataError(
                f"the table has no column `{name}`",
                file=self.file,
                found=", ".join(self.columns),
                expected="a column of this table",
                remedy=(f"did you mean `{near[0]}`? " if near else "")
                + "Correct the option of `vixml init-data`, or the setting (`data.mapping`, `prediction.*_column`).",
            )
        if name in self.odd:
            row, reason = self.odd[name]
            raise DataError(
                f"a cell of the column `{name}` is neither a text nor a list of texts",
                **self.place(row),
                found=reason,
                remedy="write the column as texts, numbers or lists of them.",
            )
        return self.columns[name]

    def ids(self, name: str) -> list[str]:
        """Return a column of ids, without space around them.

        Raises:
            DataError: There is no such column, or a cell holds several.
        """
        cells = self.column(name)
        found = [whole(cell.strip()) if isinstance(cell, str) else _only(cell) for cell in cells]
        if None in found:
            row = found.index(None)
            several = f"; the table has {self.repeated[name]} columns of this name" if name in self.repeated else ""
            raise DataError(
                f"a cell of the column `{name}` holds several ids{several}",
                **self.place(row),
                found=", ".join(cells[row]),
                expected="one id a row",
            )
        return found  # type: ignore[return-value]

    def entries(self, name: str, separators: str) -> Iterator[list[str]]:
        """Yield the entries of each cell of a column (see `split_cell`).

        Raises:
            DataError: There is no such column, or a list in it is not all there; the row is named.
        """
        several = name in self.repeated
        for row, cell in enumerate(self.column(name)):
            try:
                if several and not isinstance(cell, str):
                    yield [entry for part in cell for entry in split_cell(part, separators)]
                else:
                    yield split_cell(cell, separators)
            except CellError as err:
                raise DataError(
                    f"a cell of the column `{name}` cannot be taken apart",
                    **self.place(row),
                    found=f"{err}: {cell if isinstance(cell, str) else cell[:5]}",
                    expected="a list of texts or numbers",
                    remedy="write the column again, best as JSON or Parquet lists.",
                ) from None

    def line(self, row: int) -> int:
        """Return the 1-based line where 0-based row `row` begins; in Parquet and JSON lists the row itself counts."""
        return int(self.place(row)["line"])

    def place(self, row: int) -> dict[str, Any]:
        """Return file and line of a 0-based row, as the errors take them."""
        if not self.places:
            return {"file": self.file, "line": row + 1}
        first, file, batches = self.places[bisect_right([part[0] for part in self.places], row) - 1]
        row -= first
        if not batches:
            return {"file": file, "line": row + 1}
        begin, line, lines = batches[bisect_right([batch[0] for batch in batches], row) - 1]
        return {"file": file, "line": line + row - begin if lines is None else lines[row - begin]}


def _only(cell: list[str]) -> str | None:
    filled = [whole(entry.strip()) for entry in cell if entry.strip()]
    return None if len(set(filled)) > 1 else filled[0] if filled else ""
