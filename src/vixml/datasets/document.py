"""Small documents: a JSON value, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview, TablePreview

from vixml.core.directories import atomic_file, read_json, write_json
from vixml.core.errors import StateError


class JSONDocumentDataset(AbstractDataset[Any, Any]):
    """One JSON document, written atomically.

    Args:
        filepath: The `.json` file.
        missing_ok: Load None where there is no file, for inputs that need not be there.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, missing_ok: bool = False, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.missing_ok = missing_ok
        self.metadata = metadata

    def save(self, data: Any) -> None:
        """Write the document."""
        write_json(self._filepath, data)

    def load(self) -> Any:
        """Read the document.

        Raises:
            StateError: Missing (unless `missing_ok`) or not JSON.
        """
        if self.missing_ok and not self._exists():
            return None
        return read_json(self._filepath)

    def preview(self) -> JSONPreview:
        """Return the document."""
        return JSONPreview(json.dumps(self.load(), ensure_ascii=False))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix(), "missing_ok": self.missing_ok}


class JSONLinesDataset(AbstractDataset[Sequence[Mapping[str, Any]], list[dict[str, Any]]]):
    """A list of records, one JSON object a line, written atomically: learning curves.

    Args:
        filepath: The `.jsonl` file.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Write the records."""
        with atomic_file(self._filepath) as temporary:
            lines = (json.dumps(dict(record), ensure_ascii=False) + "\n" for record in data)
            temporary.write_text("".join(lines), encoding="utf-8")

    def load(self) -> list[dict[str, Any]]:
        """Read the records.

        Raises:
            StateError: The file is missing or a line is not JSON.
        """
        try:
            content = self._filepath.read_bytes()
        except FileNotFoundError as err:
            raise StateError("the file is missing", file=self._filepath) from err
        records = []
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as err:
                raise StateError("the line is not valid JSON", file=self._filepath, line=number, found=line) from err
        return records

    def preview(self, nrows: int = 50) -> TablePreview:
        """Return the last records as a table."""
        records = self.load()
        columns = list(dict.fromkeys(key for record in records for key in record))
        start = max(0, len(records) - nrows)
        rows = [[record.get(column) for column in columns] for record in records[start:]]
        return TablePreview({"index": list(range(start, len(records))), "columns": columns, "data": rows})

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
