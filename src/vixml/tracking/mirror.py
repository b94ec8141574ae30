"""Copies a learning curve to the tracker while its node runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Point = tuple[str, float, int]
"""Name of a series, value, step."""


class CurveMirror:
    """Follows a JSON-lines file in a thread and hands on new points in batches.

    The file is the truth. It may be cut back when a training resumes, so a point is handed on only where its step is
    behind all earlier ones of its series. What the file holds from an earlier run is not read before the file changes
    or the node ends. Points that could not be delivered are delivered with the next batch.

    Args:
        file: The curve, an object with `step` and values a line.
        deliver: Takes a batch of points; returns whether it could.
        interval: Seconds between two looks at the file.
    """

    def __init__(self, file: Path, deliver: Callable[[list[Point]], bool], *, interval: float = 3.0) -> None:
        self._file, self._deliver, self._interval = file, deliver, interval
        self._last: dict[str, int] = {}
        self._seen = self._state()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the file."""
        self._seen = self._state()
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, name="curve-mirror", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Deliver what is left and end; a second call does nothing."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(timeout=30)
        self._thread = None
        self.flush()

    def flush(self) -> None:
        """Deliver every point that has not been delivered."""
        batch = [
            (name, float(value), record["step"])
            for record in self._records()
            for name, value in record.items()
            if name != "step" and isinstance(value, (int, float)) and record["step"] > self._last.get(name, -1)
        ]
        if batch and self._deliver(batch):
            self._last.update((name, step) for name, _, step in batch)

    def _follow(self) -> None:
        while not self._stop.wait(self._interval):
            state = self._state()
            if state != self._seen:
                self.flush()
                self._seen = state

    def _state(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size

    def _records(self) -> list[dict[str, Any]]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:  # the line that is being written
                break
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
        return records
