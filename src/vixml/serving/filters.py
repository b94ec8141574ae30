"""What must not be predicted: pairs of query and label, a list of the only labels allowed, a list of labels denied."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.data.ids import canonical_id
from vixml.data.ragged import offsets_of, ragged_indices
from vixml.ingestion.ledger import Entry
from vixml.ingestion.tables.account import account_table
from vixml.ingestion.tables.cells import CellError, cell_of
from vixml.ingestion.tables.files import read_blocks
from vixml.serving.query_files import read_ids

_log = logging.getLogger(__name__)
_LABEL_COLUMNS = ("label_id", "label", "id", "uid")
_BLOCK = 65_536

Rows = NDArray[np.int64]
RowsOf = Callable[[Sequence[str]], Rows]
"""Maps label ids to rows of the label table; -1 for an id that is not there."""


def allowed_rows(
    num_labels: int, allow: Iterable[str] | None, deny: Iterable[str] | None, rows_of: RowsOf
) -> Rows | None:
    """Return the rows of the labels that may be predicted, increasing; None for all of them.

    Args:
        num_labels: Number of labels.
        allow: Ids of the only labels allowed; None for all.
        deny: Ids of labels that are left out; None for none.
        rows_of: Finds labels by id.

    Raises:
        DataError: No label is left.
    """
    if allow is None and deny is None:
        return None
    chosen = np.zeros(num_labels, dtype=bool)
    chosen[_known(allow, rows_of, "allowed") if allow is not None else slice(None)] = True
    if deny is not None:
        chosen[_known(deny, rows_of, "denied")] = False
    if not chosen.any():
        raise DataError("the filters leave no label to predict", expected="an allowed label of this model")
    return np.flatnonzero(chosen)


def label_ids(ids: Iterable[Any] | None) -> list[str]:
    """Return ids of labels as texts, as a file of them would give them: 7 and 7.0 are `7`; a single text is one id.

    Raises:
        DataError: One is no id.
    """
    if ids is None:
        return []
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        ids = [ids]
    found = []
    for uid in ids:
        try:
            text = cell_of(uid)
        except CellError:
            text = ""
        if not isinstance(text, str) or not text.strip():
            raise DataError("not a label id", found=repr(uid)[:100], expected="ids of labels, such as `L7` or 7")
        found.append(text)
    return found


def excluded_pairs(ids: Sequence[Iterable[str] | None], num_labels: int, rows_of: RowsOf) -> sp.csr_matrix:
    """Return the excluded labels of n queries as CSR [n, num_labels]; ids that no label has are skipped."""
    found = [rows_of(label_ids(row)) for row in ids]
    kept = [np.unique(row[row >= 0]) for row in found]
    return _matrix(np.concatenate([*kept, np.zeros(0, np.int64)]), np.array([len(row) for row in kept]), num_labels)


def read_label_list(file: Path, entry: Entry | None = None, rows_of: RowsOf | None = None) -> list[str]:
    """Read label ids from a table with a column `label_id`, or from a `.txt` of one id a line.

    Args:
        file: The file.
        entry: The ledger's entry of the file.
        rows_of: Finds labels by id, for the entry.
    """
    if not file.is_file():
        raise DataError("the list of labels is missing", file=file)
    entry = entry or Entry(file.name)
    ids = read_ids(file, _LABEL_COLUMNS, entry)
    if rows_of is not None:
        entry.move("not among the model's labels", int((rows_of(ids) < 0).sum()))
    return ids


@dataclass(frozen=True)
class ExcludedPairs:
    """Excluded pairs of any number of queries, 16 bytes each: the query by a 64-bit hash of its id, the label by row.

    Args:
        keys: Hash of each pair's query, sorted, uint64 [pairs].
        rows: Its label, int64 [pairs].
        num_labels: Number of labels.
    """

    keys: NDArray[np.uint64]
    rows: Rows
    num_labels: int

    @classmethod
    def read(cls, file: Path, num_labels: int, rows_of: RowsOf, entry: Entry | None = None) -> ExcludedPairs:
        """Read a table with the columns `query_id` and `label_id`, and write what it holds into its entry.

        Raises:
            DataError: Unreadable, or a column is missing.
        """
        keys, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        entry = entry or Entry(file.name)
        for table in read_blocks(file, _BLOCK):
            labels = rows_of(table.ids("label_id"))
            account_table(entry, table, ("query_id", "label_id"))
            entry.move("not among the model's labels", int((labels < 0).sum()))
            keys.append(hash_ids(list(map(canonical_id, table.ids("query_id"))))[labels >= 0])
            rows.append(labels[labels >= 0])
        if entry.left_out.total():
            _log.warning("%s: of %d excluded pairs %s.", file, entry.held, dict(entry.left_out))
        key, row = np.concatenate(keys), np.concatenate(rows)
        order = np.lexsort((row, key))
        return cls(key[order], row[order], num_labels)

    def of(self, query_ids: Sequence[str]) -> sp.csr_matrix:
        """Return the pairs of some queries as CSR [len(query_ids), num_labels]."""
        wanted = hash_ids(list(map(canonical_id, query_ids)))
        first, last = np.searchsorted(self.keys, wanted, "left"), np.searchsorted(self.keys, wanted, "right")
        return _matrix(self.rows[ragged_indices(first, last - first)], last - first, self.num_labels)


def _matrix(columns: Rows, counts: Rows, num_labels: int) -> sp.csr_matrix:
    shape = (len(counts), num_labels)
    return sp.csr_matrix((np.ones(len(columns), dtype=np.float32), columns, offsets_of(counts)), shape=shape)


def hash_ids(ids: Sequence[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each id."""
    import pandas as pd

    return pd.util.hash_array(np.array(list(ids), dtype=object), categorize=False)


def _known(ids: Iterable[str], rows_of: RowsOf, what: str) -> Rows:
    rows = rows_of(label_ids(ids))
    if len(rows) and (rows < 0).any():
        _log.warning("%d of %d %s labels are not among the model's labels.", (rows < 0).sum(), len(rows), what)
    return rows[rows >= 0]
