"""Bytes of text files, gzipped or not, in whatever encoding: one rule for tables, lists of ids and text lines.

UTF-8; UTF-16 and UTF-32 where the file begins with their mark; whatever is no UTF-8 is cp1252, as spreadsheets write
it, and the few bytes that cp1252 does not know are the control characters of latin-1. So no byte is lost.
"""

from __future__ import annotations

import codecs
import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from vixml.core.errors import DataError

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_CHUNK = 1 << 20


def _undefined(err: UnicodeError) -> tuple[str, int]:
    assert isinstance(err, UnicodeDecodeError)
    return err.object[err.start : err.end].decode("latin-1"), err.end


def _not_utf8(err: UnicodeError) -> tuple[str, int]:
    assert isinstance(err, UnicodeDecodeError)
    return err.object[err.start : err.end].decode("cp1252", "vixml-latin-1"), err.end


codecs.register_error("vixml-latin-1", _undefined)
codecs.register_error("vixml-cp1252", _not_utf8)

REPAIR = "vixml-cp1252"
"""Name for `errors=` of a decoder of UTF-8: what is no UTF-8 is cp1252."""


def as_text(line: bytes) -> str:
    """Return bytes as text: UTF-8, and cp1252 where they are none."""
    return line.decode("utf-8", REPAIR)


def open_bytes(file: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where it is gzipped."""
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(file)) if packed or file.suffix.lower() == ".gz" else file.open("rb")


def mark_of(start: bytes) -> str | None:
    """Return the encoding whose mark the first bytes of a file are, or None."""
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)


@dataclass(frozen=True)
class Survey:
    """What one pass over the bytes of a text file shows.

    Args:
        encoding: For `open`.
        errors: For `open`.
        lines: Lines, ended by LF or CR LF, or by CR where there is no LF.
        has_quotes: Whether a quote mark is anywhere.
        has_returns: Whether CR stand among lines that LF ends; they are part of the text then, and end no line.
        foreign: The first line that is not UTF-8, and its number; None where all are, or where the encoding was given.
    """

    encoding: str
    errors: str
    lines: int
    has_quotes: bool
    foreign: tuple[int, str] | None = None
    has_returns: bool = False

    def open(self, file: Path) -> io.TextIOWrapper:
        """Open the file as text, with its line ends as they are."""
        newline = "\n" if self.has_returns else ""
        return io.TextIOWrapper(open_bytes(file), self.encoding, errors=self.errors, newline=newline)

    @property
    def name(self) -> str:
        """The encoding as a user would say it."""
        return "cp1252 where it is not UTF-8" if self.foreign else self.encoding.removesuffix("-sig")


def survey(file: Path, encoding: str | None = None) -> Survey:
    """Look at every byte of a text file once, in constant memory.

    Args:
        file: The file.
        encoding: Its encoding; None finds it out.

    Raises:
        DataError: It holds NUL characters, or bytes that the encoding does not know; the line is named.
    """
    with open_bytes(file) as stream:
        found = encoding or mark_of(stream.read(4)) or "utf-8-sig"
        stream.seek(0)
        if codecs.lookup(found).name not in ("utf-8", "utf-8-sig"):
            return _survey_text(file, stream, found)
        return _survey_utf8(file, stream, given=encoding is not None)


class _Lines:
    """Counts lines, piece by piece."""

    def __init__(self) -> None:
        self.feeds = self.returns = 0
        self._last = ""

    def add(self, text: str | bytes) -> None:
        """Count the line ends of the next piece."""
        piece: Any = text if isinstance(text, str) else text.decode("latin-1")
        self.feeds += piece.count("\n")
        if "\r" in piece:
            self.returns += piece.count("\r") - piece.count("\r\n")
        self.returns -= self._last == "\r" and piece[:1] == "\n"
        self._last = piece[-1:]

    @property
    def has_returns(self) -> bool:
        return self.feeds > 0 and self.returns > 0

    @property
    def ends(self) -> int:
        """Ends of lines so far."""
        return self.feeds or self.returns

    @property
    def count(self) -> int:
        """Lines, the last one perhaps without an end."""
        return self.ends + (self._last not in ("", "\n") and not (self._last == "\r" and not self.feeds))


def _survey_utf8(file: Path, stream: IO[bytes], *, given: bool) -> Survey:
    lines, has_quotes = _Lines(), False
    foreign: tuple[int, str] | None = None
    decoder = codecs.getincrementaldecoder("utf-8")()
    while chunk := stream.read(_CHUNK):
        if b"\0" in chunk:
            lines.add(chunk[: chunk.index(b"\0")])
            raise _nul(file, lines.ends + 1)
        if foreign is None:
            pending = decoder.getstate()[0]
            try:
                if pending or not chunk.isascii():
                    decoder.decode(chunk)
            except UnicodeDecodeError as err:
                foreign = _place(err, lines.ends)
                if given:
                    raise _undecodable(file, foreign[0], err) from err
        has_quotes = has_quotes or b'"' in chunk
        lines.add(chunk)
    if foreign is None:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as err:
            foreign = (lines.count, as_text(err.object))
            if given:
                raise _undecodable(file, foreign[0], err) from err
    errors = "strict" if foreign is None else REPAIR
    return Survey("utf-8-sig", errors, lines.count, has_quotes, foreign, lines.has_returns)


def _survey_text(file: Path, stream: IO[bytes], encoding: str) -> Survey:
    lines, has_quotes = _Lines(), False
    with io.TextIOWrapper(stream, encoding, newline="") as text:
        try:
            while chunk := text.read(_CHUNK):
                if "\0" in chunk:
                    lines.add(chunk[: chunk.index("\0")])
                    raise _nul(file, lines.ends + 1)
                has_quotes = has_quotes or '"' in chunk
                lines.add(chunk)
        except UnicodeDecodeError as err:
            raise _undecodable(file, lines.ends + 1, err) from err
    return Survey(encoding, "strict", lines.count, has_quotes, None, lines.has_returns)


def _place(err: UnicodeDecodeError, before: int) -> tuple[int, str]:
    """Return the number of the line that cannot be decoded, and the line."""
    begin = err.object.rfind(b"\n", 0, err.start) + 1
    end = err.object.find(b"\n", err.start)
    line = err.object[begin : end if end >= 0 else len(err.object)]
    return before + err.object.count(b"\n", 0, err.start) + 1, as_text(line[:200]).strip()


def _nul(file: Path, line: int) -> DataError:
    return DataError(
        "the table holds NUL characters; it is not a text", file=file, line=line, remedy="name its `encoding`."
    )


def _undecodable(file: Path, line: int, err: UnicodeDecodeError) -> DataError:
    return DataError(
        "the text is not of its encoding",
        file=file,
        line=line,
        found=f"{err.reason} ({err.encoding})",
        remedy="name its `encoding`, or write the file again in UTF-8.",
    )
