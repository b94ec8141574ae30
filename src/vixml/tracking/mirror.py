"""Copies a learning curve to the tracker while its node runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Point = tuple[str, float, int]
"""Name of a series, value, step."""

_NO_SERIES = frozenset({"step", "epoch"})  # the axis, and what is only another axis: it would be the first chart
_EPOCH = "epoch/"  # MLflow's charts have a section a prefix: curves stand by themselves, before the final metrics


class CurveMirror:
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
        self._told = (0, 0)  # which file, and how many bytes of it have been delivered

    def skip_what_is_there(self) -> None:
        """Leave what the file holds from an earlier run, until the file changes or `flush` is called."""
        self._seen = self._state()

    def poll(self) -> None:
        """Deliver new points where the file has changed."""
        state = self._state()
        if state != self._seen:
            self._deliver_from(self._told)
            self._seen = state

    def flush(self) -> None:
        """Deliver every point that has not been delivered."""
        self._deliver_from((0, 0))

    def _deliver_from(self, told: tuple[int, int]) -> None:
        try:
            with self._file.open("rb") as stream:
                found = os.fstat(stream.fileno())
                begin = told[1] if told[0] == found.st_ino and told[1] <= found.st_size else 0
                stream.seek(begin)
                content = stream.read()
        except FileNotFoundError:
            return
        content = content[: content.rfind(b"\n") + 1]  # without the line that is being written
        batch = [point for point in _points(content) if point[2] > self._last.get(point[0], -1)]
        if batch:
            self._deliver(batch)
            self._last.update((name, step) for name, _, step in batch)
        self._told = (found.st_ino, begin + len(content))

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
    yield from _points(content)


def _points(content: bytes) -> Iterator[Point]:
    for line in content.splitlines():
        try:
            record: Any = json.loads(line)
        except (ValueError, RecursionError):  # the line that is being written
            return
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            for name, value in record.items():
                if name not in _NO_SERIES and isinstance(value, (int, float)):
                    yield name if "/" in name else _EPOCH + name, float(value), record["step"]
