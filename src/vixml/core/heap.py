"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any


def release_memory() -> None:
    """Give back what this process has freed, where the C library can (glibc); elsewhere nothing happens.

    A loop over blocks whose sizes differ leaves gaps in the heap that the next block does not fit into, and so grows
    by some hundred bytes a row for ever, though nothing is kept. Milliseconds for a heap of a gigabyte.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], Any] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
