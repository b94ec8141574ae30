"""The learning curve on disk: JSON lines, the truth that trackers mirror."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vixml.core.directories import atomic_file


class Curve:
    """Appends records to a JSON-lines file and keeps it consistent with a resumed run.

    Args:
        file: The curve's file; created with its folder.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)

    def log(self, *, step: int, epoch: int, **values: float) -> None:
        """Append one record."""
        record = {"step": step, "epoch": epoch, **{name: round(float(value), 6) for name, value in values.items()}}
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def rewind(self, step: int) -> None:
        """Drop records behind `step`: a rerun from a checkpoint writes them again."""
        kept = [record for record in self.records() if record["step"] <= step]
        with atomic_file(self.file) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def records(self) -> list[dict[str, Any]]:
        """Return all complete records; a torn last line is ignored."""
        if not self.file.exists():
            return []
        records = []
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records
