"""Texts in CSV files that a spreadsheet would take for formulas: an id `=cmd|...` could start a program there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Spreadsheets of some languages take the wide forms too; a number with a sign is none.
FORMULA = r"^(?:[=@\t\r\n\x{FF1D}\x{FF20}]|[+\-\x{FF0B}\x{FF0D}][^0-9.]|[+\-\x{FF0B}\x{FF0D}][0-9.].*[^0-9.,eE%])"
_FORMULA = re.compile(re.sub(r"\\x\{(\w{4})\}", r"\\u\1", FORMULA), re.DOTALL)


def escape_formula(text: str) -> str:
    """Return a text with an apostrophe before it where a spreadsheet would calculate it (OWASP's advice)."""
    return f"'{text}" if _FORMULA.match(text) else text


def escape_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, and names of columns, no spreadsheet calculates; itself where that is so already."""

    def escaped(cell: object) -> object:
        return escape_formula(cell) if isinstance(cell, str) else cell

    texts = {}
    for name, column in frame.items():
        cells = [escaped(cell) for cell in column] if column.dtype.kind not in "biufmM" else []
        if any(new is not old for new, old in zip(cells, column, strict=False)):
            texts[name] = cells
    names = {name: escaped(name) for name in frame if escaped(name) != name}
    return frame.assign(**texts).rename(columns=names) if texts or names else frame  # type: ignore[arg-type]


def escape_table(table: pa.Table) -> pa.Table:
    """Return an Arrow table whose columns of texts no spreadsheet calculates."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(place)
            risky = pc.match_substring_regex(column, f"(?s){FORMULA}")
            if pc.any(risky).as_py():
                table = table.set_column(
                    place, field, pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)
                )
    return table
