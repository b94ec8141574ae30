"""Which column lists labels, and which characters separate those of one cell: guesses from what the columns hold."""

from __future__ import annotations

import shlex
from collections import Counter

from vixml.core.errors import DataError
from vixml.ingestion.tables.cells import printed_list
from vixml.ingestion.tables.profile import Column, Profile

_OTHER_COMMAS = "\uff0c\u3001\uff1b\u060c\u061b"  # of Chinese, Japanese and Arabic
_SIGNS = "|;,\n\t#^~" + _OTHER_COMMAS
_USUAL = "|;"  # signs that names hardly ever have
_KNOWN = ("", "|", ";", ",", "|;", "|,", ";,", "|;,", "\n", "\t", "#", "^", "~", "/", ":", "<>", " ", *_OTHER_COMMAS)
_OFTEN = 0.1  # share of the cells that have the sign
_RECURRING = 0.5  # share of the entries of cells with the sign that other cells have too
_RARE = 0.1  # the same share, below which what stands between the signs is no label of its own
_REPEATED = 0.5  # different cells with the sign for each cell with it, at most, where they are names


def label_separators(column: Column, labels: Profile | None) -> str:
    """Return the characters that separate labels in a cell; none where a cell is one label.

    With a table of labels, those that give the most known ids. Without one a sign must be frequent, and what it
    separates says the rest: most of it is found in other cells too, or else the sign is part of a name (`Clothing,
    Shoes & Jewelry`). `|` and `;` need no such proof, but there may be proof against them: the same cells come again
    and again, and their parts nowhere else (`Hats; Caps`).
    """
    if labels is not None:
        values = [key.values for key in labels.keys]
        return max(_KNOWN, key=lambda signs: max((column.share_within(ids, signs) for ids in values), default=0.0))
    cells = [cell for cell in _texts(column) if cell[:1] not in "[({" or not _is_list(cell)]
    chosen = ""
    for sign in _SIGNS:
        having = sum(sign in cell for cell in cells)
        if having < max(1, _OFTEN * len(cells)):
            continue
        recurring = _recurrence(cells, chosen + sign, sign)
        is_usual = sign in _USUAL and not chosen and not (recurring < _RARE and _is_name(cells, sign))
        if recurring > _RECURRING or is_usual:
            chosen += sign
    return chosen


def column_of_labels(queries: Profile, uid: str | None) -> str:
    """Return the column of a query table that is called like labels; of several one of lists, else the first.

    Args:
        queries: The table.
        uid: Its column of ids.

    Raises:
        DataError: None is. Columns that look like lists are named; what they list is for the user to say.
    """
    free = [c for n, c in queries.columns.items() if n != uid and not (c.is_image or c.is_split)]
    named = [column for column in free if column.says("label")]
    if named:
        return max(named, key=lambda column: column.is_list).name
    lists = [column.name for column in free if looks_like_list(column) and not column.says("text")]
    remedy = "name it: --pairs FILE, or --query-labels COLUMN."
    if lists:
        names = " and ".join(f"`{name}`" for name in lists)
        options = " or ".join(f"--query-labels {shlex.quote(name)}" for name in lists)
        remedy = f"{names} {'look like lists' if lists[1:] else 'looks like a list'} of labels: {options}."
    raise DataError(
        "no pairs were found: no table repeats the ids of two others, and no column is called like labels",
        file=queries.name,
        found=", ".join([*queries.columns, *(f"{name} ({why})" for name, why in queries.odd.items())]),
        expected="a table of pairs, or a column that lists labels",
        remedy=remedy,
    )


def looks_like_list(column: Column) -> bool:
    """Return whether the parts of a column's cells recur in other cells, as labels do and sentences do not."""
    if column.is_number:  # 12,90
        return False
    signs = label_separators(column, None)
    return column.is_list or bool(signs and _recurrence(_texts(column), signs, signs[-1]) > _RECURRING)


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


def _is_name(cells: list[str], sign: str) -> bool:
    """Tell whether the cells with a sign are the same few again and again."""
    having = [cell for cell in cells if sign in cell]
    return len(set(having)) <= _REPEATED * len(having)


def _split(cell: str, signs: str) -> list[str]:
    for other in signs[1:]:
        cell = cell.replace(other, signs[0])
    return [part.strip() for part in cell.split(signs[0]) if part.strip()]
