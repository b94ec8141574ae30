"""Copies a learning curve to the tracker while its node runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Point = tuple[str, float, int]
"""Name of a series, value, step."""

_NO_SERIES = frozenset({"step", "epoch"})  # the axis, and what is only another axis: it would be the first chart
_EPOCH = "epoch/"  # MLflow's charts have a section a prefix: curves stand by themselves, before the final metrics


class CurveUploader:
    """Hands on the new points of a JSON-lines file, in batches.

    The file is the truth. It may be cut back when a training resumes (another file then takes its place), so a point is
    handed on only where its step is behind all earlier ones of its series. Points that could not be delivered are
    delivered with the next batch. While the file only grows, a look reads what is new.

    Args:
        file: The curve, an object with `step` and values a line.
        deliver: Takes a batch of points; raises where it could not.
    """

    def __init__(self, file: Path, deliver: Callable[[list[Point]], None]) -> None:
        self._file, self._deliver = file, deliver
        self._last: dict[str, int] = {}
        self._seen: tuple[int, int] | None = None
        self._told, self._last_line = 0, b""  # so many bytes have been delivered, and how they end

    def skip_what_is_there(self) -> None:
        """Leave what the file holds from an earlier run, until the file changes or `flush` is called."""
        self._seen = self._state()

    def poll(self) -> None:
        """Deliver new points where the file has changed."""
        state = self._state()
        if state != self._seen:
            self._deliver_from(self._told, self._last_line)
            self._seen = state

    def flush(self) -> None:
        """Deliver every point that has not been delivered."""
        self._deliver_from(0, b"")

    def _deliver_from(self, begin: int, last: bytes) -> None:
        try:
            with self._file.open("rb") as stream:
                stream.seek(begin - len(last))
                content = stream.read()
        except FileNotFoundError:
            return
        if not content.startswith(last):  # another file, or another content
            self._deliver_from(0, b"")
            return
        lines = list(_whole_records(content[len(last) :]))
        batch = [point for _, record in lines for point in _points(record)]
        batch = [point for point in batch if point[2] > self._last.get(point[0], -1)]
        if batch:
            self._deliver(batch)
            self._last.update((name, step) for name, _, step in batch)
        if lines:
            self._last_line = lines[-1][0]
            self._told = begin + sum(len(line) for line, _ in lines)

    def _state(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size


def curve_points(file: Path) -> Iterator[Point]:
    """Yield the points of a curve in order; a line that is being written ends it, and a missing file has none.

    A mean over an epoch (`loss`) is called `epoch/loss` beside `batch/loss` and `validation/P@1`.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return
    for _, record in _whole_records(content):
        yield from _points(record)


def _whole_records(content: bytes) -> Iterator[tuple[bytes, Any]]:
    """Yield each line and what it says, up to one that is being written or damaged."""
    for line in content.splitlines(keepends=True):
        try:
            record: Any = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not line.endswith(b"\n"):
            return
        yield line, record


def _points(record: Any) -> Iterator[Point]:
    if isinstance(record, dict) and isinstance(record.get("step"), int):
        for name, value in record.items():
            if name not in _NO_SERIES and isinstance(value, (int, float)):
                yield name if "/" in name else _EPOCH + name, float(value), record["step"]
