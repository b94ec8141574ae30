"""Ids of items: which of two texts mean the same one, by one rule wherever ids of two files meet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[ T]00:00:00")
EXACT = 2**53
"""Largest whole number up to which floats are exact; a larger one may be another id than it was written for."""

_SAFE = 16  # characters of `9007199254740.0`: shorter ones are below EXACT
_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
_POWER = re.compile(r"[+-]?\d(?:\.\d+)?[eE]\+\d\d?")


def canonical_id(uid: str) -> str:
    """Return what an id is in every file: without space around it, composed characters, 7.0 as 7, '=a as =a.

    A program that knows a missing value only in columns of floats (pandas) writes whole numbers as 7.0; a spreadsheet
    writes `="007"` to keep the zeros, and web pages leave spaces that do not break and characters without width.
    """
    if not uid.isascii():
        uid = _INVISIBLE.sub("", uid).replace("\u00a0", " ")
    uid = uid.strip()
    if uid[:2] == '="' and uid[-1:] == '"' and len(uid) > 3:
        uid = uid[2:-1]
    if uid[:1] == "'" and uid[1:2] in ("=", "+", "-", "@"):  # how our own CSV keeps spreadsheets from calculating it
        uid = uid[1:]
    if uid[-1:] == "0" and (number := _WHOLE.fullmatch(uid)) is not None:
        return number.group(1) if len(uid) < _SAFE or abs(int(number.group(1))) <= EXACT else uid
    if uid.endswith("00:00:00") and (day := _MIDNIGHT.fullmatch(uid)) is not None:
        return day.group(1)
    if "+" in uid and _POWER.fullmatch(uid) is not None:
        power = float(uid)
        return str(int(power)) if power.is_integer() and abs(power) <= EXACT else uid
    return uid if uid.isascii() else unicodedata.normalize("NFC", uid)


class IdIndex:
    """Finds items by id: as it is written, else by what it means where only one item has that meaning.

    Args:
        row_of: Id -> row. It may grow.
    """

    def __init__(self, row_of: Mapping[str, int]) -> None:
        self._row_of = row_of
        self._meaning: dict[str, int] = {}
        self._known = 0
        self.rewritten = 0
        """Ids found by their meaning only."""

    def find(self, uid: str) -> int | None:
        """Return the row of an id, or None."""
        row = self._row_of.get(uid)
        if row is not None:
            return row
        if self._known != len(self._row_of):
            self._meaning, self._known = {}, len(self._row_of)
            for known, number in self._row_of.items():
                meant = canonical_id(known)
                self._meaning[meant] = -1 if meant in self._meaning else number
        row = self._meaning.get(canonical_id(uid), -1)
        self.rewritten += row >= 0
        return row if row >= 0 else None

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of ids, int64 [n]; -1 for an unknown one."""
        found = map(self.find, ids)
        return np.fromiter((-1 if row is None else row for row in found), dtype=np.int64, count=len(ids))
