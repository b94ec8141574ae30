"""The learning curve on disk: JSON lines, the truth that trackers mirror."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from vixml.core.directories import atomic_file

log = logging.getLogger(__name__)


class Curve:
    """Appends records to a JSON-lines file and keeps it consistent with a resumed run.

    Args:
        file: The curve's file; created with its folder.
        write: Whether this process writes it: of several ranks only one does.
    """

    def __init__(self, file: Path, *, write: bool = True) -> None:
        self.file, self._write = file, write
        file.parent.mkdir(parents=True, exist_ok=True)
        self._waiting: list[str] = []

    def log(self, *, step: int, epoch: int, **values: float) -> None:
        """Append one record; where the disk takes none, it waits in memory for the next."""
        if not self._write:
            return
        record = {"step": step, "epoch": epoch, **{name: round(float(value), 6) for name, value in values.items()}}
        self._waiting.append(json.dumps(record) + "\n")
        size = self.file.stat().st_size if self.file.exists() else 0
        try:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write("".join(self._waiting))
        except OSError as err:
            log.warning("The learning curve could not be written; it is tried again with its next record: %s", err)
            with suppress(OSError):
                os.truncate(self.file, size)
            return
        self._waiting.clear()

    def rewind(self, step: int) -> None:
        """Drop records behind `step`: a rerun from a checkpoint writes them again."""
        if not self._write:
            return
        kept = [record for record in self.records() if record["step"] <= step]
        with atomic_file(self.file) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def records(self) -> list[dict[str, Any]]:
        """Return all complete records; what comes behind a torn or damaged one is ignored."""
        lines: list[bytes | str] = [*self.file.read_bytes().splitlines()] if self.file.exists() else []
        records: list[dict[str, Any]] = []
        for line in [*lines, *self._waiting]:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(record, dict) or not isinstance(record.get("step"), int):
                break
            records.append(record)
        return records
