"""What `sync_tracking` needs of a variant's runs, kept on disk: their keys, parameters and tags, and what they made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vixml.core.directories import read_json, write_json
from vixml.core.errors import StateError
from vixml.core.provenance import fingerprint_json

_log = logging.getLogger(__name__)
_KEPT = 20


class RunRecords:
    """The runs of one variant, newest last; those that the store has completely are dropped when a new one begins.

    A record that cannot be written is a warning: it must not end a training.

    Args:
        file: `run_records.json` of the variant.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def begin(self, record: Mapping[str, Any], parent: Mapping[str, Any] | None = None) -> None:
        """Note a run that has begun, with what opens the run above it."""
        kept = [run for run in self.read() if not run.get("delivered")]
        self._write([*kept[1 - _KEPT :], {**record, "above": parent, "status": "RUNNING"}])

    def change(self, key: str, **facts: Any) -> None:
        """Note facts of the run of this key."""
        self._write([{**run, **facts} if run["key"] == key else run for run in self.read()])

    def read(self) -> list[dict[str, Any]]:
        """Return the records, newest last; none where the file is missing or damaged."""
        try:
            value = read_json(self._file)
        except (StateError, OSError):
            return []
        runs = value.get("runs") if isinstance(value, dict) else None
        return [run for run in runs if isinstance(run, dict) and "key" in run] if isinstance(runs, list) else []

    def _write(self, runs: list[dict[str, Any]]) -> None:
        try:
            write_json(self._file, {"runs": runs})
        except OSError as err:
            _log.warning("%s cannot be written, so this run cannot be sent to MLflow later (%s).", self._file, err)


def fingerprint_of(document: Mapping[str, Any]) -> str:
    """Return the fingerprint that ties a document of results to the run that made it."""
    return fingerprint_json(document)[:16]
