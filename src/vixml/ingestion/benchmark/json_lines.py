"""Readers of raw files in the benchmark's format: JSON lines of products and labels, filter pairs.

Every error names the file and the line, what was found and what to do. Files are read as a stream; targets go into flat
typed arrays, so that millions of points with tens of labels each fit.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from vixml.core.errors import DataError
from vixml.data.ragged import offsets_of
from vixml.ingestion.encoding import mark_of, open_bytes
from vixml.ingestion.ledger import Entry
from vixml.ingestion.source import RawSide

_MORE = "correct the line, or write the file again."
_WHOLE, _NUMBER = frozenset({int}), frozenset({int, float})  # and so no bool, which Python would take for a number
_LARGEST = float(np.finfo(np.float32).max)
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what json.loads calls, after some looks
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_side(file: Path, *, with_targets: bool, with_content: bool = True, entry: Entry | None = None) -> RawSide:
    """Read products or labels, gzipped or plain, one JSON object a line; blank lines are skipped.

    Args:
        file: JSON lines with uid, title, optionally content, and for points target_ind and target_rel.
        with_targets: Whether target_ind and target_rel are read (points) or ignored (labels).
        with_content: Whether the content is wanted; for the entry.
        entry: The ledger's entry of the file.

    Raises:
        DataError: Broken gzip or JSON, not UTF-8, a missing or mistyped field, lists of different lengths, a relevance
            that is not a finite number of at least 0, a uid that occurs twice, or no item at all.
    """
    first_line: dict[str, int] = {}
    titles: list[str] = []
    contents: list[str] = []
    lines, lengths, targets, relevance = array("q"), array("q"), array("q"), array("d")
    num_without_content = 0
    entry, fields = entry or Entry(file.name), dict[str, None]()
    for number, item in read_json_lines(file, entry):
        if item.keys() != fields.keys():
            fields.update(dict.fromkeys(item))
        uid = _uid(file, number, item)
        if first_line.setdefault(uid, number) != number:
            raise DataError(
                f"the uid occurs twice; first in line {first_line[uid]}",
                file=file,
                line=number,
                found=uid,
                expected="unique uids",
                remedy="remove or rename one of the two items.",
            )
        titles.append(_text(file, number, item, "title"))
        num_without_content += "content" not in item
        contents.append(_text(file, number, item, "content") if "content" in item else "")
        lines.append(number)
        if with_targets:
            lengths.append(_append_targets(file, number, item, targets, relevance))
    if not first_line:
        raise DataError("the file holds no item", file=file, expected="at least one JSON object", remedy=_MORE)
    entry.taken = len(first_line)
    used = ("uid", "title", *(("content",) * with_content), *(("target_ind", "target_rel") * with_targets))
    entry.names(fields, [name for name in used if name in fields])
    weights = np.array(relevance, dtype=np.float64)
    side = RawSide(
        file=file,
        uids=list(first_line),
        titles=titles,
        contents=contents,
        lines=np.array(lines, dtype=np.int64),
        offsets=offsets_of(np.array(lengths if with_targets else [0] * len(titles), dtype=np.int64)),
        targets=np.array(targets, dtype=np.int64),
        relevance=np.clip(weights, 0.0, _LARGEST).astype(np.float32),
        num_without_content=num_without_content,
    )
    _check_relevances(side, weights)
    return side


def _check_relevances(side: RawSide, weights: NDArray[np.float64]) -> None:
    """Raise an error that names the first of these relevances which is none; `side` has them clipped."""
    wrong = np.flatnonzero(~((weights >= 0) & (weights <= _LARGEST)))
    if len(wrong):
        raise DataError(
            "a relevance is not a number of at least 0",
            file=side.file,
            line=side.line_of_target(int(wrong[0])),
            found=weights[wrong[0]],
            expected="finite numbers in target_rel, 1.0 for a plain relevant label",
            remedy=_MORE,
        )


def relevance_matrix(side: RawSide, num_labels: int) -> tuple[csr_matrix, dict[str, int]]:
    """Return the ground truth of one side.

    A label that a point lists twice counts once, with the larger relevance; relevance 0 is no relevance.

    Args:
        side: Points as read.
        num_labels: Lines of the label file; it alone fixes the width, so labels without a point are never lost.

    Returns:
        csr_matrix float32 (len(side), num_labels) with sorted indices, and the numbers of repairs.

    Raises:
        DataError: A label row out of range.
    """
    wrong = np.flatnonzero((side.targets < 0) | (side.targets >= num_labels))
    if len(wrong):
        raise DataError(
            "a label row is out of range",
            file=side.file,
            line=side.line_of_target(int(wrong[0])),
            found=f"{side.targets[wrong[0]]} in target_ind",
            expected=f"0 to {num_labels - 1}, 0-based lines of the label file, which has {num_labels} labels",
            remedy="check that points and labels are of the same release; 1-based rows must be lowered by one.",
        )
    rows = np.repeat(np.arange(len(side)), np.diff(side.offsets))
    positive = side.relevance > 0
    rows, targets, relevance = rows[positive], side.targets[positive], side.relevance[positive]
    order = np.lexsort((-relevance, targets, rows))
    rows, targets, relevance = rows[order], targets[order], relevance[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (targets[1:] != targets[:-1])
    offsets = offsets_of(np.bincount(rows[first], minlength=len(side)))
    matrix = csr_matrix((relevance[first], targets[first], offsets), shape=(len(side), num_labels))
    matrix.has_sorted_indices = True
    return matrix, {"duplicate_targets": int((~first).sum()), "zero_relevance_targets": int((~positive).sum())}


def read_filter(
    file: Path, num_points: int, num_labels: int, *, entry: Entry | None = None
) -> tuple[csr_matrix, dict[str, int]]:
    """Read pairs "row label" (0-based) that are removed from predictions; a missing or empty file has none.

    Returns:
        csr_matrix float32 (num_points, num_labels) of ones, and the numbers of repairs.

    Raises:
        DataError: A line that is not two whole numbers in range.
    """
    text = file.read_bytes() if file.is_file() else b""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    try:
        pairs = np.array(text.split(), dtype=np.int64).reshape(-1, 2)
        valid = bool((pairs >= 0).all() and (pairs < (num_points, num_labels)).all())
    except (ValueError, OverflowError):
        valid = False
    if not valid or len(pairs) != sum(bool(line.strip()) for line in text.splitlines()):
        raise _filter_error(file, text, num_points, num_labels)
    keys = np.unique(pairs[:, 0] * num_labels + pairs[:, 1])
    if entry is not None:
        entry.held, entry.taken = len(pairs), len(keys)
        entry.left_out["pair again"] = len(pairs) - len(keys)
    offsets = offsets_of(np.bincount(keys // num_labels, minlength=num_points))
    matrix = csr_matrix(
        (np.ones(len(keys), dtype=np.float32), keys % num_labels, offsets), shape=(num_points, num_labels)
    )
    matrix.has_sorted_indices = True
    return matrix, {"duplicate_filter_pairs": len(pairs) - len(keys)}


def _filter_error(file: Path, text: bytes, num_points: int, num_labels: int) -> DataError:
    """Find the first bad line of a filter file that did not pass as a whole."""

    def is_pair(line: bytes) -> bool:
        parts = line.split()
        if len(parts) != 2 or not all(part.isdigit() and len(part) < 20 for part in parts):
            return False
        return int(parts[0]) < num_points and int(parts[1]) < num_labels

    lines = list(enumerate(text.splitlines(), start=1))
    number, line = next(((n, line) for n, line in lines if line.strip() and not is_pair(line)), lines[-1])
    return DataError(
        "the filter pair is malformed or out of range",
        file=file,
        line=number,
        found=line.decode("utf-8", errors="replace"),
        expected=f'"row label", 0-based: row 0 to {num_points - 1}, label 0 to {num_labels - 1}',
        remedy="check that filter file, points and labels are of the same release.",
    )


def read_json_lines(file: Path, entry: Entry | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (1-based line, object) of every line of JSON lines, gzipped or plain, that is not blank.

    Args:
        file: The file.
        entry: The ledger's entry of the file; its lines are counted as held, blank ones as left out.
    """
    number = blank = 0
    for number, line in read_lines(file):
        if line and not line.isspace():
            yield number, _parse(file, number, line)
        else:
            blank += 1
    if entry is not None:
        entry.unit, entry.held = "lines", number
        entry.left_out["blank line"] += blank


def read_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (1-based number, UTF-8) of every line of a text file, gzipped or plain, without a byte order mark.

    A file with the mark of UTF-16 or UTF-32 is converted; any other is given as it is.

    Raises:
        DataError: The file cannot be read, or its gzip stream is broken.
    """
    number = 0
    try:
        with open_bytes(file) as stream:
            encoding = mark_of(stream.read(4))
            stream.seek(0)
            lines: Iterable[bytes] = stream
            if encoding not in (None, "utf-8-sig"):
                lines = (line.encode() for line in io.TextIOWrapper(stream, encoding, newline="\n"))
            for number, line in enumerate(lines, start=1):
                yield number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise DataError(
            "the gzip file is broken or cut off",
            file=file,
            line=number + 1,
            found=err,
            remedy="copy or download the file again.",
        ) from err
    except UnicodeError as err:
        raise DataError("the line is not of the file's encoding", file=file, line=number + 1, found=err) from err
    except OSError as err:
        raise DataError("the file cannot be read", file=file, found=err, remedy="check that it is there.") from err


def _parse(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
        item, end = _SCAN(text, 0)
        # Every field has `":`; as many of them as fields, and no space before a colon: no field is repeated
        is_plain = type(item) is dict and text.count('":') == len(item) and " :" not in text and "\t:" not in text
        if is_plain and (end == len(text) or text[end:].isspace()):
            return item  # type: ignore[no-any-return]
    except (ValueError, StopIteration, RecursionError):
        pass  # said below
    return _parse_slowly(file, number, line)


def _parse_slowly(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as err:
        raise DataError(
            "the line is not UTF-8",
            file=file,
            line=number,
            found=f"byte 0x{line[err.start]:02x} at position {err.start}",
            remedy="convert the file, for instance with `iconv -f latin1 -t utf-8`.",
        ) from err
    item = parse_json(file, number, text)
    if not isinstance(item, dict):
        raise DataError(
            "the line is not a JSON object", file=file, line=number, found=type(item).__name__, remedy=_MORE
        )
    return item


def parse_json(file: Path, number: int | None, text: str) -> Any:
    """Return what a JSON text says.

    Args:
        file: Where it is from.
        number: Its line there.
        text: The JSON.

    Raises:
        DataError: It is no JSON, or an object in it has two fields of one name, of which JSON readers drop the first.
    """
    try:
        item = json.loads(text, object_pairs_hook=_unique_fields)
    except _RepeatedFieldError as err:
        raise DataError(
            f"the field `{err}` occurs twice", file=file, line=number, found=text[:120], remedy=_MORE
        ) from err
    except (ValueError, RecursionError) as err:
        raise DataError(
            "the line is not valid JSON", file=file, line=number, found=err, expected="one JSON object", remedy=_MORE
        ) from err
    return item


class _RepeatedFieldError(Exception):
    """A field of an object occurs twice."""


def _unique_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(fields)
    if len(item) != len(fields):
        seen: set[str] = set()
        raise _RepeatedFieldError(next(name for name, _ in fields if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return item


def _field(file: Path, number: int, item: dict[str, Any], name: str, expected: str) -> Any:
    try:
        return item[name]
    except KeyError as err:
        raise DataError(
            f"the field `{name}` is missing",
            file=file,
            line=number,
            found=f"fields {', '.join(item) or '(none)'}",
            expected=expected,
            remedy=_MORE,
        ) from err


def _wrong_type(file: Path, number: int, name: str, found: object, expected: str) -> DataError:
    return DataError(
        f"the field `{name}` is of the wrong type",
        file=file,
        line=number,
        found=repr(found),
        expected=expected,
        remedy=_MORE,
    )


def _uid(file: Path, number: int, item: dict[str, Any]) -> str:
    expected = "a text or whole number that is not empty"
    value = _field(file, number, item, "uid", expected)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip() or not _encodable(value):
        raise _wrong_type(file, number, "uid", value, expected)
    return value


def _text(file: Path, number: int, item: dict[str, Any], name: str) -> str:
    value = _field(file, number, item, name, "a text")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(file, number, name, value, "a text")
    return value


def _encodable(text: str) -> bool:
    """Tell whether the text holds no unpaired surrogate, which JSON escapes can smuggle in and UTF-8 cannot express."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _append_targets(file: Path, number: int, item: dict[str, Any], targets: array[int], relevance: array[float]) -> int:
    """Append the targets of one point to the flat arrays and return how many there are."""
    found = _field(file, number, item, "target_ind", "a list of 0-based label rows")
    weights = _field(file, number, item, "target_rel", "a list of relevances, one for each entry of target_ind")
    for name, values, flat, types, expected in (
        ("target_ind", found, targets, _WHOLE, "a list of whole numbers"),
        ("target_rel", weights, relevance, _NUMBER, "a list of numbers"),
    ):
        if not isinstance(values, list) or not types.issuperset(map(type, values)):
            raise _wrong_type(file, number, name, values, expected)
        try:
            flat.extend(values)
        except OverflowError as err:
            raise _wrong_type(file, number, name, values, expected) from err
    if len(found) != len(weights):
        raise DataError(
            "target_ind and target_rel differ in length",
            file=file,
            line=number,
            found=f"{len(found)} labels, {len(weights)} relevances",
            expected="one relevance for each label",
            remedy=_MORE,
        )
    return len(found)
