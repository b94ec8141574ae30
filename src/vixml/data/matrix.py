"""Relevance and filter pairs: a sparse matrix in one `.npz` file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy import sparse

from vixml.core.errors import DataError, StateError

_DAMAGED = (ValueError, LookupError, OSError, EOFError, TypeError, NotImplementedError, BadZipFile, zlib.error)
"""What NumPy, SciPy and the zip reader raise for a file that is torn, edited or something else."""


def write_matrix(file: Path, matrix: sparse.csr_matrix) -> None:
    """Write a matrix in canonical form: sorted indices, no duplicates.

    The file holds `indptr` int64, `indices` int32 or int64, `shape`, and `data` only where a value differs from one.

    Args:
        file: The `.npz` file.
        matrix: CSR [num_points, num_labels], stored as float32.
    """
    canonical = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
    canonical.sum_duplicates()
    arrays: dict[str, Any] = {
        "indptr": canonical.indptr.astype(np.int64),
        "indices": canonical.indices,
        "shape": np.asarray(canonical.shape, dtype=np.int64),
    }
    if not np.all(canonical.data == 1.0):
        arrays["data"] = canonical.data
    with file.open("wb") as stream:
        np.savez(stream, **arrays)


def read_matrix(file: Path) -> sparse.csr_matrix:
    """Read a matrix, CSR float32 [num_points, num_labels] with sorted indices; no pickle is ever opened.

    Raises:
        StateError: The file is missing.
        DataError: It is not a matrix that `write_matrix` wrote.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            indices, indptr = arrays["indices"], arrays["indptr"]
            data = arrays["data"] if "data" in arrays else np.ones(len(indices), dtype=np.float32)
            rows, columns = (int(n) for n in arrays["shape"])
            matrix = sparse.csr_matrix((data, indices, indptr), shape=(rows, columns))
        matrix.check_format(full_check=True)
    except FileNotFoundError as err:
        raise StateError("the matrix is missing", file=file, remedy="run `ingestion`.") from err
    except _DAMAGED as err:
        raise DataError(
            "the file is not a sparse matrix of this project",
            file=file,
            found=str(err),
            remedy="run the pipeline that writes it again.",
        ) from err
    return matrix
