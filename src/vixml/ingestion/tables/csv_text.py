"""The reader of CSV: any delimiter and encoding, quoted as RFC 4180 says or not at all, and nothing in between.

A quote mark at the beginning of a cell is either CSV's, and then the cell ends at the next single one, or a character
of the text. Which of the two holds for a file is found out from all of it, or said by the user; a file that fits
neither reading, or both, is an error that names the line. So no mark can swallow the lines that follow it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vixml.core.errors import DataError
from vixml.ingestion import dialect
from vixml.ingestion.dialect import Quoting, is_comment, is_id_pattern, pattern_of
from vixml.ingestion.encoding import Survey, survey

_BATCH = 2048  # rows that are put into columns at once
_PATTERNS = 1000  # rows whose cells show what cells of a column look like
_RETURN = "\uffff"  # no character; stands for a CR that is part of the text
_BLANK = " \t\r\n\v\f\x1a\ufeff"  # Ctrl-Z ended files once; a byte order mark begins what was put behind another file
_MOST_SUSPECTS = 10_000
_FEW = 3  # different patterns that an orderly column has at most

csv.field_size_limit(1 << 28)  # bytes of a cell; the limit of the standard library, 128 KiB, is less than a web page


@dataclass(frozen=True)
class CsvFormat:
    """How a CSV is written.

    Args:
        delimiter: Character between two cells; None finds it out.
        encoding: Its encoding; None finds it out.
        quoting: `csv`, `none` or `single`; None finds it out.
    """

    delimiter: str | None = None
    encoding: str | None = None
    quoting: Quoting | None = None


@dataclass
class CsvRows:
    """Some rows of a CSV.

    Args:
        header: Names of the columns as the file has them.
        columns: Cells of each column.
        first_line: 1-based line of each batch's first row, with the row's number and, where rows span lines or blank
            lines lie between them, the line of each row of the batch.
        repeated_headers: Rows that repeat the header; they are left out.
        comments: Lines of nothing but a remark behind `#`; they are left out.
        blank_lines: Lines without a cell.
        short: Line of the first row with fewer cells than the header, and how many there are.
    """

    header: list[str]
    columns: list[list[str]]
    first_line: list[tuple[int, int, list[int] | None]] = field(default_factory=list)
    repeated_headers: int = 0
    comments: int = 0
    blank_lines: int = 0
    short: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class CsvSettled:
    """How a CSV turned out to be written.

    Args:
        file: The file.
        survey: What its bytes show.
        delimiter: Character between two cells.
        quoting: How quote marks are meant; irrelevant where there are none.
        has_sign_line: Whether the first line is a spreadsheet's `sep=;` and no row.
    """

    file: Path
    survey: Survey
    delimiter: str
    quoting: Quoting
    has_sign_line: bool = False

    def reader(self, text: Iterable[str]) -> Any:
        """Return the standard library's reader of the file's text."""
        lines = map(_without_returns, text) if self.survey.has_returns else text
        return csv.reader(lines, delimiter=self.delimiter, **dialect.OPTIONS[self.quoting])

    def restore(self, cells: Iterable[str]) -> Iterable[str]:
        """Return cells with their CR, which the standard library would take for ends of rows."""
        return [cell.replace(_RETURN, "\r") for cell in cells] if self.survey.has_returns else cells


def _without_returns(line: str) -> str:
    end = "\r\n" if line.endswith("\r\n") else ""
    return line.removesuffix(end).replace("\r", _RETURN) + end


class _DoesNotFitError(Exception):
    """A way of quoting does not fit the file."""

    def __init__(self, line: int, reason: str, found: str) -> None:
        super().__init__(reason)
        self.line, self.reason, self.found = line, reason, found


def read_csv(file: Path, size: int | None, how: CsvFormat) -> Iterator[tuple[CsvSettled, CsvRows]]:
    """Yield the rows of a CSV in blocks.

    Args:
        file: The file.
        size: Most rows of a block; None puts all into one.
        how: What is known of the format.

    Raises:
        DataError: Empty, not of its encoding, a row with more cells than the header, or quote marks that fit neither
            way of quoting; the line is named.
    """
    seen = survey(file, how.encoding)
    with seen.open(file) as text:
        sample = text.read(dialect.SAMPLE + 1)
    if not sample.strip():
        raise DataError("the file is empty", file=file, expected="a line of column names, then a row a line")
    named = dialect.named_delimiter(sample)
    delimiter = how.delimiter or named or dialect.find_delimiter(sample)
    ways: Sequence[Quoting] = ("csv", "none") if seen.has_quotes else ("none",)
    if how.quoting is not None:
        ways = (how.quoting,)
    elif not seen.has_quotes and dialect.has_apostrophes(sample, delimiter):
        ways = ("single", "none")
    refused: list[_DoesNotFitError] = []
    for quoting in ways:
        settled = CsvSettled(file, seen, delimiter, quoting, has_sign_line=named is not None)
        try:
            whole = _try(settled, size, guessed=len(ways) > 1)
        except _DoesNotFitError as err:
            refused.append(err)
        else:
            yield from ((settled, rows) for rows in whole or _blocks(settled, size, guessed=False))
            return
    raise _refusal(file, refused[0], guessed=len(ways) > 1)


def _try(how: CsvSettled, size: int | None, *, guessed: bool) -> list[CsvRows]:
    """Return the whole table where it is wanted in one block; else see, if the quoting is a guess, that it fits.

    Raises:
        _DoesNotFitError: It does not.
    """
    if size is None:
        return list(_blocks(how, None, guessed=guessed))
    if guessed:
        for _ in _blocks(how, _BATCH, guessed=True):
            pass  # nothing is taken before the whole file has been seen to fit
    return []


def _refusal(file: Path, refused: _DoesNotFitError, *, guessed: bool) -> DataError:
    remedy = "double the quote marks inside quoted cells"
    if guessed:
        remedy += (
            "; or say by `quoting` (of `data.mapping` or `prediction`; `--quoting` of `vixml init-data`) that the "
            "marks are part of the text (`none`), or that the cell spans lines (`csv`)"
        )
    return DataError(refused.reason, file=file, line=refused.line, found=refused.found, remedy=f"{remedy}.")


def _blocks(how: CsvSettled, size: int | None, *, guessed: bool) -> Iterator[CsvRows]:
    """Yield blocks of rows.

    Args:
        how: How the file is written.
        size: Most rows of a block, None for all.
        guessed: Whether the quoting is a guess, for which no row may speak against it.

    Raises:
        _DoesNotFitError: The quoting does not fit.
        DataError: A row is damaged otherwise.
    """
    with how.survey.open(how.file) as text:
        reader = how.reader(text)
        try:
            yield from _read(reader, size, how, guessed=guessed)
        except csv.Error as err:
            fault = _fault(how, err)
            if isinstance(fault, _DoesNotFitError) and not guessed:
                fault = _refusal(how.file, fault, guessed=False)
            raise fault from err


def _read(reader: Any, size: int | None, how: CsvSettled, *, guessed: bool) -> Iterator[CsvRows]:
    header, comments = _header(reader, how)
    watch = _Watch(len(header), how, guessed=guessed)
    watch.learn([header] if how.quoting == "none" else [])
    block, line, before = CsvRows(header, [[] for _ in header]), reader.line_num + 1, reader.line_num
    block.comments = comments
    count = yielded = 0
    while rows := list(islice(reader, _BATCH if size is None else min(_BATCH, size - count))):
        spans = reader.line_num - before != len(rows)
        kept, lines = _clean(rows, line, block, watch, spans=spans)
        block.first_line.append((count, line, lines))
        for column, cells in zip(block.columns, zip(*kept, strict=True) if kept else block.columns, strict=True):
            column.extend(how.restore(cells) if kept else ())
        count += len(kept)
        before, line = reader.line_num, reader.line_num + 1
        if size is not None and count >= size:
            yield block
            yielded += 1
            block, count = CsvRows(header, [[] for _ in header]), 0
    watch.finish()
    if reader.line_num != how.survey.lines:
        raise DataError(
            "lines of the file were not read",
            file=how.file,
            line=reader.line_num,
            found=f"{reader.line_num} of {how.survey.lines} lines",
        )
    if count or not yielded:
        yield block


def _header(reader: Any, how: CsvSettled) -> tuple[list[str], int]:
    """Return the names of the columns, and how many remarks stand above them."""
    if how.has_sign_line:
        next(reader)
    comments = 0
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > 1 or not is_comment(row):
            if comments and len(row) == 1:
                break  # a table of one column, of which `#...` may be the name
            return row, comments
        comments += 1
    raise DataError(
        "the file has no line of column names" if comments else "the file is empty",
        file=how.file,
        expected="a line of column names, then a row a line",
    )


def _clean(
    rows: list[list[str]], line: int, block: CsvRows, watch: _Watch, *, spans: bool
) -> tuple[list[list[str]], list[int] | None]:
    """Return the rows of a batch with as many cells as the header, and their lines where they are not in sequence."""
    width = watch.width
    header = block.header
    marked = [f"\ufeff{header[0]}", *header[1:]]  # of a file that another one was put behind
    odd = set(map(len, rows)) != {width} or header in rows or marked in rows
    if not (odd or spans):
        watch.learn(rows)
        return rows, None
    kept, lines = [], []
    for row in rows:
        start, breaks = line, sum(map(_breaks, row)) if spans else 0
        line += 1 + breaks
        if not row or (width > 1 and len(row) == 1 and not row[0].strip(_BLANK)):
            block.blank_lines += 1
            continue
        if width > 1 and len(row) < width and is_comment(row):
            block.comments += 1
            continue
        if row in (header, marked) and width > 1:
            block.repeated_headers += 1
            continue
        if len(row) != width:
            kept.append(watch.fit(row, start, block))
        else:
            kept.append(row)
        if breaks:
            watch.spanning(kept[-1], start)
        lines.append(start)
    watch.learn(kept)
    return kept, lines


def _breaks(cell: str) -> int:
    if "\n" not in cell and "\r" not in cell:
        return 0
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n")


class _Watch:
    """Looks whether the rows speak against the way of quoting.

    Args:
        width: Cells of the header.
        how: How the file is read.
        guessed: Whether the quoting is a guess.
    """

    def __init__(self, width: int, how: CsvSettled, *, guessed: bool) -> None:
        self.width, self._how, self._guessed = width, how, guessed
        self._patterns: list[set[str]] = [set() for _ in range(width)]
        self._seen = 0
        self._suspects: list[tuple[int, list[list[str]]]] = []
        self._opened, self._closed, self._first_wrapped = 0, 0, 0

    def learn(self, rows: list[list[str]]) -> None:
        """Take in what cells look like."""
        if not self._guessed:
            return
        if self._how.quoting == "none":
            for cell in (cell for row in rows for cell in row if cell[:1] == '"'):
                self._opened += 1
                self._closed += len(cell) > 1 and cell[-1] == '"'
            return
        for row in rows[: max(0, _PATTERNS - self._seen)]:
            if not any(map(_breaks, row)):
                self._seen += 1
                for known, cell in zip(self._patterns, row, strict=True):
                    known.add(pattern_of(cell))

    def fit(self, row: list[str], line: int, block: CsvRows) -> list[str]:
        """Return a row with as many cells as the header; cells that are not there are empty.

        Raises:
            DataError: It has more cells that hold something.
            _DoesNotFitError: It has another number of cells, although marks are taken as text on a guess.
        """
        extra = [cell for cell in row[self.width :] if cell.strip()]
        if self._guessed and (self._how.quoting == "none" or extra):
            raise _DoesNotFitError(line, *_width(row, self.width))
        if extra:
            reason, found = _width(row, self.width)
            raise DataError(
                reason,
                file=self._how.file,
                line=line,
                found=found,
                remedy="put the cell that holds the delimiter into quote marks.",
            )
        if len(row) < self.width:
            first, count = block.short
            block.short = (first or line, count + 1)
        return (row + [""] * self.width)[: self.width]

    def spanning(self, row: list[str], line: int) -> None:
        """Remember a row over several lines each of which could be a row."""
        if not self._guessed or self.width < 2 or len(self._suspects) >= _MOST_SUSPECTS:
            return
        sign = self._how.delimiter
        lines = [part for part in re.split(r"\r\n|\r|\n", sign.join(row)) if part.strip()]
        if len(lines) > 1 and all(part.count(sign) + 1 == self.width for part in lines):
            self._suspects.append((line, [part.split(sign) for part in lines[1:]]))

    def finish(self) -> None:
        """Judge at the end of the file.

        Raises:
            _DoesNotFitError: The rows speak against the guess.
            DataError: They speak for another one as well.
        """
        numbers = [
            number
            for number, known in enumerate(self._patterns)
            if known and len(known) <= _FEW and all(map(is_id_pattern, known))
        ]
        for line, rows in self._suspects:
            if all(pattern_of(row[i]) in self._patterns[i] for row in rows for i in numbers):
                fault = _DoesNotFitError(
                    line,
                    "a quote mark opens a cell that ends lines later, and each of these lines looks like a row",
                    f"line {line + 1}: {self._how.delimiter.join(rows[0])[:80]}",
                )
                # Cells with tabs in them are hardly ever written, so that ids in the lines decide for rows
                is_sure = bool(numbers) and self._how.delimiter == "\t"
                raise fault if is_sure else _refusal(self._how.file, fault, guessed=True)
        if self._opened and 2 * self._closed > self._opened:
            raise _DoesNotFitError(
                1, "cells are in quote marks, but not all of them", f"{self._closed} of {self._opened}"
            )


def _width(row: list[str], width: int) -> tuple[str, str]:
    what = "the row has more cells than the header" if len(row) > width else "the row has fewer cells than the header"
    return what, f"{len(row)} cells, {width} names of columns: {' | '.join(row)[:120]}"


def _fault(how: CsvSettled, err: csv.Error) -> Exception:
    """Find the line at which the reader of the standard library gave up, which it does not say."""
    begin = 1
    with how.survey.open(how.file) as text, suppress(csv.Error):
        reader = how.reader(text)
        for _ in reader:
            begin = reader.line_num + 1
    with how.survey.open(how.file) as text:
        found = next(islice(text, begin - 1, None), "").rstrip("\r\n")
    if how.quoting != "none" and "field larger" not in str(err):
        return _DoesNotFitError(begin, "a cell begins with a quote mark and does not end with one", found[:160])
    return DataError("the row cannot be read", file=how.file, line=begin, found=err)
