"""What a person ticked in the table of a label audit: training pairs that are added, and pairs that are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix, lil_matrix

from vixml.core.errors import DataError
from vixml.data.ids import IdIndex
from vixml.ingestion.ledger import Entry
from vixml.ingestion.tables.account import account_table
from vixml.ingestion.tables.files import read_blocks

_COLUMNS = ("proposal", "accept", "query_id", "label_id")
_ADD, _REMOVE = "missing", "wrong"
_NO = frozenset(("", "0", "0.0", "-", "n", "no", "false", "none", "nan"))


def correct_pairs(
    relevance: csr_matrix, file: Path, *, queries: Sequence[str], labels: Sequence[str], entry: Entry
) -> csr_matrix:
    """Return the training pairs with the accepted proposals carried out.

    Args:
        relevance: Training pairs, CSR [N, L].
        file: The table: columns proposal (`missing` or `wrong`), accept (any mark but 0, no, false), query_id and
            label_id.
        queries: Ids of the training queries.
        labels: Ids of the labels.
        entry: The ledger's entry of the file.

    Raises:
        DataError: The file is missing, or a proposal is of no known kind.
    """
    if not file.is_file():
        raise DataError("the table of corrections is missing", file=file, remedy="check `data.corrections`.")
    rows, columns = (IdIndex({uid: place for place, uid in enumerate(ids)}) for ids in (queries, labels))
    changed: lil_matrix = relevance.tolil(copy=True)
    for table in read_blocks(file, quoting="csv" if file.suffix == ".csv" else None):
        account_table(entry, table, _COLUMNS)
        kinds, marks = (_texts(table.column(name)) for name in ("proposal", "accept"))
        row, column = rows.rows(table.ids("query_id")), columns.rows(table.ids("label_id"))
        for place, (kind, mark) in enumerate(zip(kinds, marks, strict=True)):
            if kind not in (_ADD, _REMOVE):
                raise DataError(
                    "a proposal is of no known kind", **table.place(place), found=kind, expected="missing or wrong"
                )
            if mark in _NO:
                entry.move("not ticked", 1)
            elif row[place] < 0 or column[place] < 0:
                entry.move("unknown query" if row[place] < 0 else "unknown label", 1)
            else:
                pair = int(row[place]), int(column[place])
                if (changed[pair] > 0) == (kind == _ADD):
                    entry.move("changed already", 1)
                else:
                    changed[pair] = 1.0 if kind == _ADD else 0.0
    corrected = csr_matrix(changed, dtype=np.float32)
    corrected.eliminate_zeros()
    corrected.sort_indices()
    return corrected


def _texts(cells: Sequence[object]) -> list[str]:
    return ["" if cell is None else str(cell).strip().lower() for cell in cells]
