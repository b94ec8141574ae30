"""Items in one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from vixml.core.directories import atomic_file
from vixml.core.errors import StateError

if TYPE_CHECKING:
    import pandas as pd

_PREVIEW_ROWS = 20


class ItemsDataset(AbstractDataset["pd.DataFrame", "pd.DataFrame"]):
    """A data frame, whose columns may hold lists, written atomically.

    Unlike kedro-datasets' Parquet data set it previews lists (Kedro-Viz cannot show arrays) and reads only the rows
    that it shows.

    Args:
        filepath: The `.parquet` file.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: pd.DataFrame) -> None:
        """Write the data frame, without its index."""
        with atomic_file(self._filepath) as temporary:
            data.to_parquet(temporary, index=False)

    def load(self) -> pd.DataFrame:
        """Read the data frame.

        Raises:
            StateError: The file is missing or is not Parquet.
        """
        import pandas as pd

        try:
            return pd.read_parquet(self._filepath)
        except FileNotFoundError as err:
            raise StateError("the items are missing", file=self._filepath, remedy="run `ingestion`.") from err
        except (OSError, ValueError) as err:
            raise StateError(
                "the file is not Parquet", file=self._filepath, found=str(err), remedy="run `ingestion` again."
            ) from err

    def preview(self, nrows: int = _PREVIEW_ROWS) -> TablePreview:
        """Return the first rows."""
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self._filepath) as file:
            columns = list(file.schema_arrow.names)
            rows: list[dict[str, Any]] = next((batch.to_pylist() for batch in file.iter_batches(batch_size=nrows)), [])
        data = [[", ".join(value) if isinstance(value, list) else value for value in row.values()] for row in rows]
        return TablePreview({"index": list(range(len(rows))), "columns": columns, "data": data})

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
