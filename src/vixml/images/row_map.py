"""Reader of the authors' image maps: a numpy OBJECT array of row lists, whose payload is a pickle, without unpickling.

`{train,test,labels}_imgs_384_3_map.npy` says for each item -1 or the list of its rows of image embeddings. A pickle
is a program, and unpickling would run whatever it says. Nothing of this one is run: `RowPickle` walks over its
instructions, knows the few that such an array consists of, and puts plain values in the place of numpy's own
constructors. Any other instruction or name is an error that says what was found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vixml.core.errors import DataError
from vixml.data.ragged import RaggedArray, offsets_of
from vixml.images.row_pickle import RefusedPickleError, RowPickle

_LARGEST_FILE = 1 << 32  # bytes; the largest known map has about 60 MB
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[^']{1,40})', 'fortran_order': (?:False|True), "
    rb"'shape': \((?P<shape>[\d, ]{0,80})\), \} *\n"
)
_NO_IMAGE = -1


@dataclass(frozen=True)
class _At:
    """Where an error is: the file, and the item (0-based) where one is concerned."""

    file: Path
    item: int | None = None

    def error(self, what: str, found: object, expected: str) -> DataError:
        """Return the error of this place."""
        where = "" if self.item is None else f" of item {self.item}"
        return DataError(
            f"the image map{where} {what}",
            file=self.file,
            found=found,
            expected=expected,
            remedy="download the map again from the authors; it must be of the same release as the other files. "
            "Nothing in the file was run.",
        )


def read_row_map(file: Path, *, num_items: int, num_rows: int) -> RaggedArray:
    """Read which rows of the image embeddings belong to each item.

    Args:
        file: `.npy` file of an object array [num_items]; each entry is -1 or None (no image), or a list, tuple or
            one-dimensional integer array of rows; numbers may be Python's or numpy's.
        num_items: Items of that side.
        num_rows: Rows of the embeddings.

    Returns:
        Rows of each item, int64 and ragged, in the order of the file.

    Raises:
        DataError: The file holds anything else, another number of items, or a row out of range. Nothing was run.
    """
    at = _At(file)
    shape, payload = _split(at, _bytes(at))
    if len(shape) != 1 or shape[0] != num_items:
        raise at.error("is of another shape", shape, f"({num_items},), one entry for each item")
    try:
        entries = RowPickle(payload).array()
    except RefusedPickleError as err:
        raise at.error("contains something other than lists of rows", err, "an object array of -1 and lists") from err
    if len(entries) != num_items:
        raise at.error("announces more or fewer items than it holds", len(entries), f"{num_items} items")
    total = sum(len(entry) for entry in entries if isinstance(entry, list | tuple | np.ndarray))
    if total > len(payload):  # each row takes a byte at least: the same list stands for many items
        raise at.error("repeats its lists", f"{total} rows in {len(payload)} bytes", "a separate list for each item")
    rows = [_rows(at, item, entry) for item, entry in enumerate(entries)]
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    values = np.fromiter((row for part in rows for row in part), dtype=np.int64, count=int(lengths.sum()))
    offsets = offsets_of(lengths)
    wrong = np.flatnonzero((values < 0) | (values >= num_rows))
    if len(wrong):
        item = int(np.searchsorted(offsets, wrong[0], side="right") - 1)
        raise _At(file, item).error("names a row out of range", values[wrong[0]], f"0 to {num_rows - 1}")
    return RaggedArray(values, offsets)


def _bytes(at: _At) -> bytes:
    try:
        size = at.file.stat().st_size
        if size > _LARGEST_FILE:
            raise at.error("is too large", f"{size} bytes", f"at most {_LARGEST_FILE}")
        return at.file.read_bytes()
    except OSError as err:
        raise DataError("the image map cannot be read", file=at.file, found=err) from err


def _split(at: _At, content: bytes) -> tuple[tuple[int, ...], memoryview]:
    """Return the shape that the header announces, and the payload."""
    expected = "a .npy file of an object array, as numpy writes it"
    if content[:6] != b"\x93NUMPY" or len(content) < 12:
        raise at.error("is no .npy file", content[:16] or "nothing", expected)
    width = 2 if content[6] == 1 else 4
    begin = 8 + width
    end = begin + int.from_bytes(content[8:begin], "little")
    header = _HEADER.fullmatch(content[begin : min(end, begin + 1000)])
    if header is None:
        raise at.error("has no header that numpy writes", content[begin : begin + 100], expected)
    if header["descr"] != b"|O":
        raise at.error("is no object array", f"dtype {header['descr'].decode(errors='replace')}", expected)
    parts = [part.strip() for part in header["shape"].split(b",") if part.strip()]
    if not all(part.isdigit() and len(part) < 16 for part in parts):
        raise at.error("has a header of no shape", header["shape"], expected)
    return tuple(map(int, parts)), memoryview(content)[end:]


def _rows(at: _At, item: int, entry: object) -> list[int] | tuple[int, ...] | NDArray[np.int64]:
    """Return the rows of one entry; the type of each number is checked, its range is not."""
    if entry is None or (type(entry) is int and entry == _NO_IMAGE):
        return ()
    if isinstance(entry, np.ndarray):
        if entry.ndim == 1:
            return entry
    elif isinstance(entry, list | tuple) and set(map(type, entry)) <= {int}:
        return entry
    raise _At(at.file, item).error("is no list of rows", _shown(entry), "-1, or a list of whole numbers")


def _shown(entry: object) -> str:
    """Return what an entry is, never the whole of it: a list may hold itself a million times."""
    if isinstance(entry, list | tuple):
        kinds = sorted({type(part).__name__ for part in entry[:100]})
        return f"{type(entry).__name__} of {len(entry)}: {', '.join(kinds)}"
    if isinstance(entry, np.ndarray):
        return f"array of shape {entry.shape}"
    return f"{type(entry).__name__} {str(entry)[:80]}" if isinstance(entry, int | str | bytes) else type(entry).__name__
