"""Pairs of a user's own tables: which label is relevant to which query, and on which side of the split."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.data.sides import Side
from vixml.ingestion.ledger import Entry, Ledger
from vixml.ingestion.tables.account import account_table, list_guess
from vixml.ingestion.tables.cells import one_text
from vixml.ingestion.tables.items import Items
from vixml.ingestion.tables.table import Table
from vixml.params.data.mapping import PairTableParams, SplitParams

SPLIT_NAMES = {
    **dict.fromkeys(("train", "trn", "training", "tr", "fit"), Side.TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev"), Side.VALIDATION),
    **dict.fromkeys(("test", "tst", "testing", "te", "eval", "evaluation", "holdout"), Side.TEST),
}
"""What the cells of a split column may say, in any case."""

YES_OR_NO = {**dict.fromkeys(("true", "yes"), 1.0), **dict.fromkeys(("false", "no"), 0.0)}
"""What a weight may say instead of a number, in any case."""

_EXAMPLES = 5


@dataclass
class Pairs:
    """Relevant pairs.

    Args:
        labels: The labels; grows where they are only named by the pairs.
        open_labels: Whether it does.
        counts: Counts of what was left out; added to.
        examples: First unknown ids, by kind.
        query: Number of the query of each pair.
        label: Number of the label of each pair.
        weight: Relevance of each pair.
        side: Code of the side of each pair where the table of pairs says it.
    """

    labels: Items
    open_labels: bool
    counts: Counter[str]
    examples: dict[str, list[str]] = field(default_factory=dict)
    query: array[int] = field(default_factory=lambda: array("q"))
    label: array[int] = field(default_factory=lambda: array("q"))
    weight: array[float] = field(default_factory=lambda: array("d"))
    side: array[int] = field(default_factory=lambda: array("b"))

    def add(self, query: int, name: str, entry: Entry, weight: float = 1.0, side: int | None = None) -> None:
        """Add one pair, or count why it is none."""
        entry.held += 1
        label = self.labels.add(name, name) if self.open_labels else self.labels.index.find(name)
        if label is None:
            self._unknown("label", name)
            entry.left_out["of an unknown label"] += 1
            return
        entry.taken += 1
        self.query.append(query)
        self.label.append(label)
        self.weight.append(weight)
        if side is not None:
            self.side.append(side)

    def read_column(self, table: Table, column: str, queries: list[int], separators: str, ledger: Ledger) -> None:
        """Take the labels that each row of a query table lists; a cell that is a known label as a whole is that one.

        Raises:
            DataError: The column is missing, or a list in it is not all there.
        """
        cells = table.column(column)
        known = {} if self.open_labels else self.labels.row_of
        entries = list(table.entries(column, separators))
        ledger.entry(table.file).names((), [column])
        entry = ledger.entry(table.file, "labels", of=f"column {column}")
        entry.guesses.append(list_guess(cells, entries, separators, "--label-separators SIGNS"))
        for cell, names, query in zip(cells, entries, queries, strict=True):
            if query < 0:
                entry.held += len(names)
                entry.left_out["in a row without id"] += len(names)
                continue
            is_one = len(names) > 1 and isinstance(cell, str) and cell.strip() in known
            for name in [str(cell).strip()] if is_one else names:
                self.add(query, name, entry)
        self._rewritten(entry)

    def read_table(
        self, table: Table, params: PairTableParams, queries: Items, split: str | int | None, ledger: Ledger
    ) -> None:
        """Take a table of pairs.

        Args:
            table: The table.
            params: Its columns.
            queries: The queries.
            split: Column that says the side of each pair, or the code of the side of all; None where queries say it.
            ledger: Gets what the table holds.

        Raises:
            DataError: A column is missing, a weight is no number of at least 0, or a split is unknown.
        """
        names = table.ids(params.query)
        label_cells = table.entries(params.label, "")
        weights = table.column(params.weight) if params.weight else None
        split_column = split if isinstance(split, str) else None
        sides = [split] * len(table) if isinstance(split, int) else None
        if split_column is not None:
            sides = split_sides(table, split_column)
        rows, entry = ledger.entry(table.file), ledger.entry(table.file, "pairs", of="its pairs")
        account_table(rows, table, [n for n in (params.query, params.label, params.weight, split_column) if n])
        for row, (name, labels) in enumerate(zip(names, label_cells, strict=True)):
            query = queries.index.find(name)
            if not name or not labels:
                self.counts["pairs_with_empty_cell"] += 1
                rows.move("with an empty cell", 1)
            elif query is None:
                self._unknown("query", name)
                rows.move("of an unknown query", 1)
            else:
                weight = 1.0 if weights is None else _weight(table, row, one_text(weights[row]))
                for label in labels:
                    self.add(query, label, entry, weight, None if sides is None else sides[row])
        self._rewritten(entry, queries.index.rewritten)

    def _rewritten(self, entry: Entry, more: int = 0) -> None:
        number = self.labels.index.rewritten + more
        if number:
            entry.notes.append(f"{number:,} ids are written differently than in their table (7.0 for 7) and were found")

    def _unknown(self, kind: str, name: str) -> None:
        self.counts[f"pairs_with_unknown_{kind}"] += 1
        examples = self.examples.setdefault(f"unknown_{kind}", [])
        if len(examples) < _EXAMPLES and name not in examples:
            examples.append(name)


def split_sides(table: Table, column: str) -> list[int]:
    """Return the code of the side (`Side.code`) of each row of a table.

    Raises:
        DataError: The column is missing, or a cell says something else.
    """
    sides = [SPLIT_NAMES.get(one_text(cell).strip().lower()) for cell in table.column(column)]
    if None in sides:
        row = sides.index(None)
        raise DataError(
            f"the split in column `{column}` is unknown",
            **table.place(row),
            found=table.column(column)[row] or "an empty cell",
            expected="train, validation or test",
            remedy="correct the column, or choose another `data.mapping.split`.",
        )
    return [side.code for side in sides if side is not None]


def split_by_rule(split: SplitParams, uids: list[str]) -> NDArray[np.int64]:
    """Return the code of the side, training or test, of each query by a rule.

    Args:
        split: The rule: `hash` or `last`.
        uids: Ids of the queries, in order.

    Returns:
        int64 [n]. By `hash` a query keeps its side whatever else the table holds.
    """
    if split.by == "hash":
        is_test = np.array([_share(uid) < split.test_fraction for uid in uids], dtype=bool)
    else:
        is_test = np.arange(len(uids)) >= len(uids) - max(1, round(len(uids) * split.test_fraction))
    return np.where(is_test, Side.TEST.code, Side.TRAIN.code).astype(np.int64)


def _share(uid: str) -> float:
    """Return a stable number in [0, 1) for an id."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:7], "big") / (1 << 56)


def _weight(table: Table, row: int, text: str) -> float:
    text = text.strip()
    try:
        weight = YES_OR_NO.get(text.lower()) if text else 1.0
        weight = float(text.replace(",", ".")) if weight is None else weight
    except ValueError:
        weight = math.nan
    if not (0.0 <= weight < float(np.finfo(np.float32).max)):
        raise DataError(
            "a weight is not a number of at least 0",
            **table.place(row),
            found=text,
            expected="a number, or true or false; 1 for a plain relevant pair",
            remedy="correct the column, or leave `data.mapping.pairs.weight` out.",
        )
    return weight
