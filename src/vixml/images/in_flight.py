"""How much is decoded at the same time, and for how long: a small file can ask for gigabytes, or for minutes."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_SCAN, _END = 0xDA, 0xD9


class PixelBudget:
    """Lets threads decode side by side as long as their images together have no more pixels than allowed.

    Args:
        most: Pixels; an image that has more of its own is decoded alone.
    """

    def __init__(self, most: int) -> None:
        self._most, self._used = most, 0
        self._line, self._free = threading.Lock(), threading.Condition()

    @property
    def used(self) -> int:
        """Pixels that are taken now."""
        return self._used

    @contextmanager
    def taking(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image of `pixels`, and keep it while the block runs."""
        amount = min(pixels, self._most)
        with self._line, self._free:  # who is first in line waits; small ones do not overtake a large one for ever
            self._free.wait_for(lambda: self._used + amount <= self._most)
            self._used += amount
        try:
            yield
        finally:
            with self._free:
                self._used -= amount
                self._free.notify_all()


class TimedBytes(io.BytesIO):
    """The bytes of a file, which cannot be read any more when their time is up.

    Decoders that read block by block, JPEG's above all, end then.

    Args:
        content: The bytes.
        seconds: From `start` on; None for no limit.
    """

    def __init__(self, content: bytes, seconds: float | None) -> None:
        super().__init__(content)
        self._seconds, self._end = seconds, float("inf")

    def start(self) -> None:
        """Let the time begin."""
        if self._seconds is not None:
            self._end = time.monotonic() + self._seconds

    def read(self, size: int | None = -1, /) -> bytes:
        """See `io.BytesIO.read`.

        Raises:
            TimeoutError: The time is up.
        """
        if time.monotonic() > self._end:
            raise TimeoutError(f"not decoded after {self._seconds} s")
        return super().read(size)


def jpeg_scans(content: bytes, most: int) -> int:
    """Return the number of scans of a JPEG file, at most `most` + 1; 0 for other files.

    Each scan of a progressive JPEG goes over all of the image again, and a few bytes make one.
    """
    if not content.startswith(b"\xff\xd8"):
        return 0
    scans, place = 0, 2
    while scans <= most and (marker := _MARKER.search(content, place)):
        code, place = marker[1][0], marker.end()
        if code == _END:
            break
        scans += code == _SCAN
        if code not in _ALONE:
            place += max(2, int.from_bytes(content[place : place + 2]))
    return scans
