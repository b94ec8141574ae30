"""Cells of a table: what a value of any type is as a text, and which entries a cell of several has.

One rule for all readers: 7.0 of Parquet and 7 of JSON are both `7`; a list is the same list whether Parquet or JSON
stores it, or a CSV shows it as JSON, Python, numpy, pandas or PostgreSQL print it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from numbers import Number
from typing import Any
from uuid import UUID

from vixml.data.ids import EXACT

Cell = str | list[str]

_WRAPPED = re.compile(r"(?:array|list|tuple|set|frozenset|Index|StringArray)\((.*?)(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
_SERIES = re.compile(r"(?:\A|\n)(?:Name: [^\n]*, )?(?:Length: \d+, )?dtype: [\w\[\], ]+\Z")
_ARRAY = re.compile(r"(?:<\w+>\n)?(\[.*?\])\n(?:Length|Categories).*", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"))|(?P<word>[^\s,'\"\[\](){}]+))"
    r"(?P<end>\s*,\s*|\s+|\Z)",
    re.DOTALL,
)
_NOTHING = frozenset(("None", "nan", "NaN", "NaT", "<NA>", "null", "NULL", "NA"))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED_COMMA = {quote: re.compile(rf"{quote}\s*,\s*{quote}") for quote in "'\""}
_PAIRS = {"[": "]", "(": ")", "{": "}"}


class CellError(ValueError):
    """A cell that no table can hold, or a list that is not all there; the message is for the user."""


def cell_of(value: Any) -> Cell:
    """Return a value of Parquet or JSON as text or list of texts: 7.0 is `7`, nothing is the empty text.

    Raises:
        CellError: The value is an object, a list of lists, or bytes that are not UTF-8.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        entries = [cell_of(entry) for entry in value]
        if any(isinstance(entry, list) for entry in entries):
            raise CellError("a list of lists")
        return entries  # type: ignore[return-value]
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or str(value) in ("nan", "NaN", "NaT", "<NA>"):
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise CellError("bytes that are not UTF-8") from None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= EXACT else str(value)
    if isinstance(value, Decimal):
        return str(int(value)) if value == value.to_integral_value() else format(value.normalize(), "f")
    if isinstance(value, dict):
        raise CellError("an object of several fields")
    if isinstance(value, Number | date | time | timedelta | UUID):
        return str(value)
    raise CellError(f"a value of the type {type(value).__name__}")


def one_text(cell: Cell) -> str:
    """Return a cell as one text: the entries of a list are joined by a space, half a character is `?`."""
    text = cell if isinstance(cell, str) else " ".join(cell)
    return text if text.isascii() else text.encode(errors="replace").decode()


def whole(uid: str) -> str:
    """Return an id that UTF-8 can hold: half a character of JSON as its escape, so that ids stay different."""
    return uid if uid.isascii() else uid.encode(errors="backslashreplace").decode()


def split_cell(cell: Cell, separators: str) -> list[str]:
    """Return the entries of a cell: of a list, a list as some program prints it, or a text with separators.

    Args:
        cell: The cell.
        separators: Characters that separate entries in a text that is no list; empty if it is one entry.

    Returns:
        The entries, none of them empty.

    Raises:
        CellError: The printed list was cut (`...`), holds lists, or is an object.
    """
    if isinstance(cell, str):
        text = cell.strip()
        found = printed_list(text) if text[:1] in _PAIRS or text[-1:] == ")" or "dtype: " in text else None
        if found is None:
            for separator in separators[1:]:
                text = text.replace(separator, separators[0])
            cell = text.split(separators[0]) if separators else [text]
        else:
            cell = list(found)
    return [whole(part.strip()) for part in cell if part.strip()]


@lru_cache(maxsize=65_536)
def printed_list(text: str) -> tuple[str, ...] | None:
    """Return the entries of a list as a program prints it, or None where the text is no such list.

    Known: JSON, Python (lists, tuples, sets), numpy (without commas, `array(...)`), pandas (a series), PostgreSQL.

    Raises:
        CellError: The list was cut when it was printed, holds lists, or is an object.
    """
    if array := _ARRAY.fullmatch(text):
        text = array.group(1)
    if _SERIES.search(text):
        return _series(text)
    wrapped = _WRAPPED.fullmatch(text)
    text = wrapped.group(1).strip() if wrapped and wrapped.group(1)[:1] in _PAIRS else text
    if len(text) < 2 or _PAIRS.get(text[0]) != text[-1]:
        return None
    if text[0] in "[{":
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            if isinstance(value, dict) and not value:
                return ()
            return tuple(_entries(value))
    return _tokens(text)


def _entries(value: Any) -> Sequence[str]:
    found = cell_of(value)
    return [found] if isinstance(found, str) else found


def _tokens(text: str) -> tuple[str, ...] | None:
    """Return the entries between brackets that are not JSON."""
    kind, inner = text[0], text[1:-1].strip()
    entries: list[str] = []
    position, words, commas, is_quoted = 0, 0, 0, False
    while position < len(inner):
        token = _TOKEN.match(inner, position)
        if token is None:
            return _untidy(kind, inner)
        position = token.end()
        commas += "," in token["end"]
        if token["text"]:
            is_quoted = True
            entries.append(_literal(token["text"]))
        elif token["word"] == "...":
            raise CellError("a list that was cut when it was printed (`...`)")
        else:
            words += token["word"] not in _NOTHING and _NUMBER.fullmatch(token["word"]) is None
            entries.append(_word(token["word"]))
    if kind == "(" and inner and not is_quoted and (words or not commas):
        return None  # text in brackets
    if words:
        return _untidy(kind, inner)
    return tuple(entries)


def _literal(token: str) -> str:
    try:
        value = ast.literal_eval(token)
    except (ValueError, SyntaxError):
        return token.strip("'\"")
    return _scalar(value) if isinstance(value, bytes) else str(cell_of(value))


def _word(word: str) -> str:
    if word in _NOTHING:
        return ""
    if _NUMBER.fullmatch(word):
        number = float(word)
        if re.fullmatch(r"[+-]?\d+\.0*", word) and number.is_integer():
            return str(int(number))
    return word


def _untidy(kind: str, inner: str) -> tuple[str, ...] | None:
    """Return the entries of a list without quotes, or with apostrophes in its quotes."""
    if kind == "(":
        return None
    if re.match(r"\s*['\"][^'\"]*['\"]\s*:", inner) and kind == "{":
        raise CellError("an object of several fields")
    if inner[:1] in "[({" and inner:
        raise CellError("a list of lists")
    quote = inner[:1]
    if quote in _QUOTED_COMMA and len(inner) > 1 and inner[-1] == quote and kind == "[":
        return tuple(_QUOTED_COMMA[quote].split(inner[1:-1]))
    if "," not in inner:
        return None if kind == "[" else (inner.strip('"'),)
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', inner)
    return tuple(_bare(part.strip()) for part in parts)


def _bare(part: str) -> str:
    if part[:1] == part[-1:] == '"' and len(part) > 1:
        return re.sub(r"\\(.)", r"\1", part[1:-1])
    return "" if part in _NOTHING else part.strip("'\"")


def _series(text: str) -> tuple[str, ...] | None:
    """Return the entries of a pandas series as it is printed."""
    entries = []
    for line in text.splitlines():
        if _SERIES.search(line) or line.startswith("Series(["):
            continue
        if re.fullmatch(r"\s*\.\.\.\s*", line) or re.fullmatch(r"\S+\s{2,}\.\.\.", line):
            raise CellError("a list that was cut when it was printed (`...`)")
        parts = re.fullmatch(r"\S+\s{2,}(.*)", line)
        if parts is None:
            return None
        entries.append(_word(parts.group(1)))
    return tuple(entries)
