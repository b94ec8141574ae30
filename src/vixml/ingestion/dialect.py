"""What the beginning of a CSV shows of how it is written: the delimiter, a line that names it, and apostrophes."""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from typing import Any, Literal

DELIMITERS = ",;\t|"
Quoting = Literal["csv", "none", "single"]
"""`csv`: double quote marks as RFC 4180 has them; `single`: apostrophes in their place; `none`: neither."""

OPTIONS: dict[Quoting, dict[str, Any]] = {
    "csv": {"strict": True},
    "none": {"quoting": csv.QUOTE_NONE},
    "single": {"strict": True, "quotechar": "'"},
}
"""Options of the standard library's reader."""

SAMPLE = 1 << 16
"""Characters that the dialect is found out from."""

_NAMED = re.compile(r"\ufeff?\"?sep=(.)\"?[ \t]*\r?\n")
_REMARK = re.compile(r"\s*#(?!\d)")  # `#17` may be an id
_FEWEST = 3  # cells in apostrophes that make them a way of quoting


def named_delimiter(text: str) -> str | None:
    """Return the delimiter that a spreadsheet names in a first line `sep=;`, or None."""
    found = _NAMED.match(text)
    return found.group(1) if found else None


def find_delimiter(text: str) -> str:
    """Return the delimiter that cuts the first rows into the most columns of one number; a comma if none does."""
    sample = _whole_lines(text)

    def quality(delimiter: str, options: dict[str, Any]) -> tuple[float, int]:
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, **options)
        widths = [len(row) for row in rows if row and not is_comment(row)][:200]
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    ways: list[dict[str, Any]] = [{}, OPTIONS["none"]]
    return max(DELIMITERS, key=lambda delimiter: max(quality(delimiter, way) for way in ways))


def has_apostrophes(text: str, delimiter: str) -> bool:
    """Tell whether apostrophes are this file's quote marks: every cell of a column below the header is in two."""
    sample = _whole_lines(text)
    if sample.count("'") < 2 * _FEWEST:
        return False
    try:
        rows = list(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, **OPTIONS["single"]))
    except csv.Error:
        return False
    rows = [row for row in rows if row and not is_comment(row)]
    marked = re.findall(rf"(?:^|{re.escape(delimiter)})'", sample.split("\n", 1)[-1], re.MULTILINE)
    return len(rows) > _FEWEST and len({len(row) for row in rows}) == 1 and len(marked) >= len(rows) - 1


def is_comment(row: list[str]) -> bool:
    """Tell whether a row of a CSV of several columns is a remark: nothing but one cell that begins with `#`."""
    return _REMARK.match(row[0]) is not None and not any(cell.strip() for cell in row[1:])


@lru_cache(maxsize=8192)
def pattern_of(cell: str) -> str:
    """Return what a cell looks like: runs of letters are one `a`, runs of digits one `9`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell.strip()))


def is_id_pattern(pattern: str) -> bool:
    """Tell whether cells of this pattern are numbers or ids: they have digits and no space."""
    return "9" in pattern and " " not in pattern


def _whole_lines(text: str) -> str:
    sample = text[:SAMPLE]
    return sample if len(sample) == len(text) else sample[: sample.rfind("\n") + 1] or sample
