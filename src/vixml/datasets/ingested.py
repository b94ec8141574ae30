"""The ingested data set as one entry of the catalogue."""

from __future__ import annotations

from typing import Any

from kedro_datasets._typing import TablePreview

from vixml.core.directories import open_sealed
from vixml.data.dataset import KIND, Dataset, file_name
from vixml.data.items import first_items
from vixml.data.sides import Side
from vixml.datasets.sealed_directory import SealedDirectoryDataset

_PREVIEW_ROWS = 8


class IngestedDataset(SealedDirectoryDataset):
    """Items, relevance and filters of all sides in one published directory; loading gives a handle (`Dataset`).

    Args:
        filepath: The directory.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(filepath=filepath, kind=KIND, metadata=metadata)

    def load(self) -> Dataset:  # type: ignore[override]
        """Open the directory; its parts are read when they are asked for.

        Raises:
            StateError: Not there, not complete, or of another kind.
        """
        return Dataset(open_sealed(self._filepath, kind=KIND))

    def preview(self, nrows: int = _PREVIEW_ROWS) -> TablePreview:  # type: ignore[override]
        """Return the first items of each side; only the rows that are shown are read."""
        rows = [
            [side, *(", ".join(value) if isinstance(value, list) else value for value in item.values())]
            for side in Side
            for item in first_items(self._filepath / file_name(f"items_{side}"), nrows)
        ]
        return TablePreview(
            {"index": list(range(len(rows))), "columns": ["side", "uid", "text", "images"], "data": rows}
        )
