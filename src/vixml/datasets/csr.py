"""A sparse matrix in one `.npz` file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from vixml.core.directories import atomic_file
from vixml.core.errors import DataError, StateError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_PREVIEW_ROWS = 20
_DAMAGED = (ValueError, LookupError, OSError, EOFError, TypeError, NotImplementedError, BadZipFile, zlib.error)
"""What NumPy, SciPy and the zip reader raise for a file that is torn, edited or something else."""


class CSRDataset(AbstractDataset["csr_matrix", "csr_matrix"]):
    """Relevance or filter pairs: CSR matrix float32 of shape (num_points, num_labels), indices sorted.

    The file holds `indptr` int64, `indices` int32 or int64, `shape`, and `data` only where a value differs from one.
    It is written atomically and read without pickle.

    Args:
        filepath: The `.npz` file.
        metadata: Kept for Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: csr_matrix) -> None:
        """Write the matrix in canonical form (sorted indices, no duplicates)."""
        import numpy as np
        from scipy import sparse

        matrix = sparse.csr_matrix(data, dtype=np.float32, copy=True)
        matrix.sum_duplicates()
        arrays: dict[str, Any] = {
            "indptr": matrix.indptr.astype(np.int64),
            "indices": matrix.indices,
            "shape": np.asarray(matrix.shape, dtype=np.int64),
        }
        if not np.all(matrix.data == 1.0):
            arrays["data"] = matrix.data
        with atomic_file(self._filepath) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)

    def load(self) -> csr_matrix:
        """Read the matrix.

        Raises:
            StateError: The file is missing.
            DataError: It is not a matrix written by this data set.
        """
        import numpy as np
        from scipy import sparse

        try:
            with np.load(self._filepath, allow_pickle=False) as arrays:
                indices, indptr = arrays["indices"], arrays["indptr"]
                data = arrays["data"] if "data" in arrays else np.ones(len(indices), dtype=np.float32)
                rows, columns = (int(n) for n in arrays["shape"])
                matrix = sparse.csr_matrix((data, indices, indptr), shape=(rows, columns))
            matrix.check_format(full_check=True)
        except FileNotFoundError as err:
            raise StateError("the matrix is missing", file=self._filepath, remedy="run `ingestion`.") from err
        except _DAMAGED as err:
            raise DataError(
                "the file is not a sparse matrix of this project",
                file=self._filepath,
                found=str(err),
                remedy="run the pipeline that writes it again.",
            ) from err
        return matrix

    def preview(self, nrows: int = _PREVIEW_ROWS) -> TablePreview:
        """Return the first rows as a table: the row, how many entries it has, the first of them."""
        matrix = self.load()
        rows = range(min(nrows, matrix.shape[0]))
        table = [
            [row, int(matrix.indptr[row + 1] - matrix.indptr[row]), str(matrix[row].indices[:10].tolist())]
            for row in rows
        ]
        return TablePreview({"index": list(rows), "columns": ["row", "entries", "first columns"], "data": table})

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath.as_posix()}
