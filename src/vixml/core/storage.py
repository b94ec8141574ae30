"""Disks that are full, protected or at their quota: the ONE place that turns what libraries raise into our error."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from vixml.core.errors import StateError, StorageError, VixmlError

_WHAT = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would become larger than this process may write",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}
_PROTECTED = (errno.EROFS, errno.EACCES, errno.EPERM)
_IN_TEXT = tuple(code for code in _WHAT if code not in (errno.EACCES, errno.EPERM))
_MIB = 1 << 20


def storage_error(error: BaseException, *, path: Path | None = None, needed: int | None = None) -> StorageError | None:
    """Return what `error` means if writing failed for want of space or permission, else None.

    Besides `OSError` this knows safetensors, Arrow and faiss, which say it in their text only, and NumPy, which says
    how many items it could not write.

    Args:
        error: What was raised; its causes are looked at too.
        path: File or folder that was being written, where the error does not name one.
        needed: Bytes that were to be written, where it is known.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, VixmlError):
            return seen if isinstance(seen, StorageError) else None
        code = _code(seen)
        if code is not None:
            return _compose(code, seen, path, needed)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


@contextmanager
def writing(path: Path, *, needed: int | None = None) -> Iterator[None]:
    """Raise `StorageError` where the block cannot write for want of space or permission; other errors pass."""
    try:
        yield
    except Exception as err:
        found = storage_error(err, path=path, needed=needed)
        if found is None or found is err:
            raise
        raise found from err


def reserve(file: Path, size: int) -> None:
    """Take `size` bytes on the disk for a file that is going to be written through a memory map.

    A memory map of a file with holes does not fail when the disk is full: the process is killed (SIGBUS).

    Raises:
        StorageError: There is not as much space.
    """
    with writing(file, needed=size), file.open("r+b") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)


def check_array(file: Path) -> None:
    """Make sure that a `.npy` file holds the whole array that its header announces.

    `np.save` hands its last bytes to the C library, which may lose them without a word when the disk is full.

    Raises:
        StorageError: The end is missing.
        StateError: It is no array, or the header does not fit the file.
    """
    with file.open("rb") as stream:
        try:
            shape, dtype = array_header(stream)
        except ValueError as err:
            raise StateError("the file is no NumPy array", file=file, found=str(err)) from err
        expected = stream.tell() + math.prod(shape) * dtype.itemsize
    size = file.stat().st_size
    if size > expected:
        raise StateError(
            "the array's header does not fit the file", file=file, found=f"{size} bytes", expected=f"{expected} bytes"
        )
    if size < expected:
        raise _compose(errno.ENOSPC, OSError(), file, expected)


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of a `.npy` file; the stream then stands at the first number.

    Raises:
        ValueError: It is none, holds Python objects, or has an impossible shape.
    """
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if any(size < 0 for size in shape) or math.prod(shape) >= 1 << 62:
        raise ValueError(f"a shape of {shape}")
    if dtype.hasobject:
        raise ValueError(f"numbers of type {dtype}")
    return shape, dtype


def _code(error: BaseException) -> int | None:
    number = getattr(error, "errno", None)
    if number in _WHAT:
        return int(number)
    text = str(error)
    match = re.search(r"(?:os error|errno) (\d+)", text, flags=re.IGNORECASE)
    if match and int(match[1]) in _IN_TEXT:
        return int(match[1])
    # NumPy and SQLite keep no errno
    if re.search(r"\d+ requested and \d+ written|database or disk is full", text):
        return errno.ENOSPC
    return next((code for code in _IN_TEXT if os.strerror(code) in text), None)


def _compose(code: int, error: BaseException, path: Path | None, needed: int | None) -> StorageError:
    # a copy and a rename name their source first, and what is full is the disk of their target
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    file = Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else path
    remedy = "then run the same command with `--only-missing-outputs`: what was complete before is untouched."
    if code in _PROTECTED:
        found = StorageError(f"{_WHAT[code]}", file=file, remedy="make the place writable (owner, rights); " + remedy)
    else:
        found = StorageError(
            f"could not be written: {_WHAT[code]}",
            file=file,
            found=_space(file),
            expected=None if needed is None else f"{needed / _MIB:.1f} MiB for this file",
            remedy="free space there or raise the limit; " + remedy,
        )
    found.errno = code
    return found


def _space(file: Path | None) -> str | None:
    """Return how much is free where `file` is to be."""
    for folder in [] if file is None else [file, *file.absolute().parents]:
        if folder.exists():
            return f"{shutil.disk_usage(folder).free / _MIB:.1f} MiB free"
    return None
