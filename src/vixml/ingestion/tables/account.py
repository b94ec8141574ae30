"""What the ledger says of a table: its rows, its columns, and what was found out about how it is written."""

from __future__ import annotations

from collections.abc import Iterable

from vixml.ingestion.ledger import Entry, Guess, shorten
from vixml.ingestion.tables.cells import Cell
from vixml.ingestion.tables.table import Table

_SAMPLE = 2000
_QUOTING = {"csv": "marks are CSV's", "none": "marks are part of the text", "single": "cells are quoted by apostrophes"}
_SETTING = "--{name}, or `{name}`"


def account_table(entry: Entry, table: Table, used: Iterable[str]) -> None:
    """Write a table, or a block of one, into its entry: its rows count as held, and as taken until they are moved.

    Args:
        entry: The entry of its file.
        table: The table.
        used: Columns that are used.
    """
    left_out = sum(table.left_out.values())
    entry.held += len(table) + left_out
    entry.taken += len(table)
    entry.left_out.update(table.left_out)
    entry.names(table.columns, used)
    line, number = table.short
    if number:
        entry.notes.append(f"{number:,} rows have fewer cells than the header, the first in line {line}")
    entry.notes += [
        f"{number} columns are called `{name}`: their cells are one list"
        for name, number in table.repeated.items()
        if not any(f"`{name}`" in note for note in entry.notes)
    ]
    if table.settled is not None and not entry.guesses:
        entry.guesses += csv_guesses(table)


def csv_guesses(table: Table) -> list[Guess]:
    """Return what was found out about a CSV, each with an example of what it makes of the file."""
    how = table.settled
    assert how is not None
    texts = [cell for cells in table.columns.values() for cell in cells[:_SAMPLE] if isinstance(cell, str)]
    foreign = next((cell for cell in texts if not cell.isascii()), None)
    found = [
        Guess("delimiter", repr(how.delimiter), shorten(" / ".join(table.columns)), _SETTING.format(name="delimiter")),
        Guess(
            "encoding",
            how.survey.name,
            shorten(
                f"line {how.survey.foreign[0]}: {how.survey.foreign[1]}" if how.survey.foreign else foreign or "ASCII"
            ),
            _SETTING.format(name="encoding"),
        ),
    ]
    if how.survey.has_quotes or how.quoting == "single":
        marked = [cell for cell in texts if '"' in cell or how.delimiter in cell or "\n" in cell]
        what = _QUOTING[how.quoting]
        example = f"a cell is: {shorten(marked[0])}" if marked else "no cell has a mark or a delimiter in it"
        found.append(Guess("quoting", f"{how.quoting}, {what}", example, _SETTING.format(name="quoting")))
    return found


def list_guess(cells: list[Cell], entries: list[list[str]], signs: str, option: str) -> Guess:
    """Return what separates the entries of cells, with an example: a cell with several, or with a sign that is none.

    Args:
        cells: The cells.
        entries: Their entries.
        signs: What separates them; empty for nothing.
        option: What changes it.
    """
    order = sorted(range(min(_SAMPLE, len(cells))), key=lambda i: (len(entries[i]) < 2, not _has_sign(cells[i])))
    example = "no cell"
    if order:
        row = order[0]
        made = ", ".join(f"<{entry}>" for entry in entries[row])
        example = f"{shorten(cells[row])} is {len(entries[row])}: {shorten(made)}"
    return Guess("several in one cell", f"separated by {signs!r}" if signs else "no: a cell is one", example, option)


def _has_sign(cell: Cell) -> bool:
    return isinstance(cell, str) and any(sign in cell for sign in "|;,")
