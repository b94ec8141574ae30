"""Which characters separate the labels of one cell: a guess from what the column holds."""

from __future__ import annotations

from collections import Counter

from vixml.ingestion.tables.cells import printed_list
from vixml.ingestion.tables.profile import Column, Profile

_SIGNS = "|;,"
_OFTEN = 0.1  # share of the cells that have the sign
_RECURRING = 0.5  # share of the entries of cells with the sign that other cells have too


def label_separators(column: Column, labels: Profile | None) -> str:
    """Return the characters that separate labels in a cell; none where a cell is one label.

    With a table of labels, those that give the most known ids. Without one a sign must be frequent; and a comma, which
    names often have (`Clothing, Shoes & Jewelry`), separates only where most of what it separates is found in other
    cells too.
    """
    if labels is not None:
        candidates = ("", "|", ";", ",", "|;", "|,", ";,", "|;,")
        values = [key.values for key in labels.keys]
        return max(candidates, key=lambda signs: max((column.share_within(ids, signs) for ids in values), default=0.0))
    cells = [cell for cell in _texts(column) if cell[:1] not in "[({" or not _is_list(cell)]
    chosen = ""
    for sign in _SIGNS:
        having = sum(sign in cell for cell in cells)
        if having < max(1, _OFTEN * len(cells)):
            continue
        if (sign != "," and not chosen) or _recurrence(cells, chosen + sign, sign) > _RECURRING:
            chosen += sign
    return chosen


def _texts(column: Column) -> list[str]:
    cells = (cell if isinstance(cell, str) else part for cell in column.sample for part in _parts(cell, column))
    return [str(cell).strip() for cell in cells]


def _parts(cell: str | list[str], column: Column) -> list[str]:
    """Return the texts of a cell that may hold several labels: the entries of a true list hold one each."""
    return [cell] if isinstance(cell, str) else cell if column.is_repeated else []


def _is_list(cell: str) -> bool:
    try:
        return printed_list(cell) is not None
    except ValueError:
        return True


def _recurrence(cells: list[str], signs: str, sign: str) -> float:
    """Return the share of the entries of the different cells with a sign that another cell has as well."""
    entries = {cell: _split(cell, signs) for cell in set(cells)}
    cells_of = Counter(entry for parts in entries.values() for entry in set(parts))
    found = [entry for cell, parts in entries.items() if sign in cell for entry in parts]
    return sum(cells_of[entry] > 1 for entry in found) / max(1, len(found))


def _split(cell: str, signs: str) -> list[str]:
    for other in signs[1:]:
        cell = cell.replace(other, signs[0])
    return [part.strip() for part in cell.split(signs[0]) if part.strip()]
