"""Reading untrusted files: a name may lead to a pipe, a device, or more bytes than there is memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_BLOCK = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NOFOLLOW", 0)


class NotRegularError(OSError):
    """A pipe, a device or a socket where a file is expected."""


class TooManyBytesError(OSError):
    """A file of more bytes than may be read."""


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a regular file; nothing else is opened, and nothing waited for.

    Args:
        path: The file; links in its path have been followed (`Path.resolve`).
        most: Most bytes that are read.

    Raises:
        NotRegularError: A pipe, a device, a socket.
        TooManyBytesError: It has more bytes.
        OSError: Missing, a folder, a link, or no permission.
    """
    _check(path, os.lstat(path), most)  # before it is opened: opening a device can do things, a pipe waits
    handle = os.open(path, _FLAGS | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as stream:  # noqa: PTH123 - what is open, by its number
        _check(path, os.fstat(handle), most)
        parts, left = [], most + 1
        while left and (part := stream.read(min(_BLOCK, left))):
            parts.append(part)
            left -= len(part)
    if not left:
        raise TooManyBytesError(f"{path}: more than {most} bytes")
    return b"".join(parts)


def _check(path: Path, facts: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(f"{path}: a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise NotRegularError(f"{path}: no regular file")
    if facts.st_size > most:
        raise TooManyBytesError(f"{path}: {facts.st_size} bytes, at most {most}")
